"""An exported network computes in another runtime what it computes here."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from goodsubnet.errors import UserError
from goodsubnet.exchange.export import export_onnx
from goodsubnet.networks.deep import initial_network
from goodsubnet.networks.files import encode
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.pruning import surgery
from goodsubnet.runtime import artifacts

torch.set_num_threads(1)


def saved_network(folder, name, width_multiplier, image):
    """A network with every second layer shrunk to three channels, and norms as if trained; its file."""
    architecture = {"architecture": name, "form": "cifar", "width_multiplier": width_multiplier}
    channels = image[0]
    network = initial_network(architecture, 4, [0.5] * channels, [0.25] * channels, "export", name, 0).eval()
    generator = np.random.default_rng(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.copy_(torch.from_numpy(generator.uniform(0.5, 1.5, tensor.shape)))
    for layer in prunable_layers(network)[::2]:
        surgery.shrink(network, layer, [0, 2, 3], torch.zeros(1, *image))
    path = folder / "network.safetensors"
    description = {"architecture": architecture, "classes": 4, "image": list(image)}
    path.write_bytes(artifacts.encode_tensors(encode(network, description)))
    return network, path


@pytest.mark.parametrize(
    ("name", "width_multiplier", "image"), [("mobilenet_v2", 0.1, (3, 16, 16)), ("resnet8", 0.25, (1, 28, 20))]
)
def test_another_runtime_gives_the_same_logits_for_any_batch(tmp_path, capfd, name, width_multiplier, image):
    network, path = saved_network(tmp_path, name, width_multiplier, image)
    output = tmp_path / "exported" / "network.onnx"
    export_onnx(path, output)
    assert [file.name for file in output.parent.iterdir()] == ["network.onnx"]
    assert capfd.readouterr() == ("", "")

    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    assert [(tensor.name, tensor.shape[1:]) for tensor in session.get_inputs()] == [("images", list(image))]
    assert [(tensor.name, tensor.shape[1:]) for tensor in session.get_outputs()] == [("logits", [4])]
    generator = np.random.default_rng(1)
    for count in (1, 5):
        images = generator.random((count, *image), dtype=np.float32)
        (logits,) = session.run(["logits"], {"images": images})
        with torch.no_grad():
            expected = network(torch.from_numpy(images)).numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
        assert np.ptp(expected, axis=1).min() > 1e-2
    onnx.checker.check_model(onnx.load(output), full_check=True)


def test_missing_packages_and_files_are_one_clear_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="none is missing"):
        export_onnx(tmp_path / "none", tmp_path / "network.onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"network\.onnx: ONNX files need .* onnx and onnxscript; pip install"):
        export_onnx(tmp_path / "none", tmp_path / "network.onnx")
