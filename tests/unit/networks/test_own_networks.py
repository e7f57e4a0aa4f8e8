"""A network from a file: what of the file counts, and what is wrong with it in one clear line."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from goodsubnet.errors import UserError
from goodsubnet.networks.architectures import own_file
from goodsubnet.networks.deep import build, check_image, initial_network
from goodsubnet.networks.files import decode, encode, load_network
from goodsubnet.networks.layers import prunable_layers
from goodsubnet.pruning import surgery
from goodsubnet.runtime import artifacts

torch.set_num_threads(1)

EXAMPLE = (Path(__file__).parents[3] / "examples/own_network/network.py").read_text()
GREY = ([0.25], [0.5])


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def described(text, function="build"):
    Path("mine.py").write_text(text)
    return {"kind": "deep", **own_file.described("mine.py", function)}


def built(text, **names):
    return initial_network(described(text), 10, *GREY, **{"experiment": "e", "network": "n", "seed": 0} | names)


def test_the_code_counts_and_comments_docstrings_and_layout_do_not():
    first = described(EXAMPLE)
    assert first == {"kind": "deep", "file": "mine.py", "function": "build", "code": first["code"]}
    same = '"""Another docstring."""\n\n' + EXAMPLE[EXAMPLE.index("from torch") :] + "\n\n# A comment\n"
    assert described(same) == first
    assert described(EXAMPLE.replace("nn.ReLU()", "nn.GELU()"))["code"] != first["code"]


def test_the_file_is_looked_at_without_torch():
    described(EXAMPLE)
    code = (
        "import sys; from goodsubnet.settings.networks import network_settings\n"
        "network_settings({'kind': 'deep', 'file': 'mine.py'}).as_architecture(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


def test_it_is_built_with_what_it_asks_for_and_begins_as_its_key_says():
    network = built(EXAMPLE).eval()
    assert network.network[0][0].in_channels == 1
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    state, again = network.state_dict(), built(EXAMPLE).state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)
    for other in ({"seed": 1}, {"experiment": "f"}, {"network": "m"}):
        assert not torch.equal(built(EXAMPLE, **other).network[0][0].weight, network.network[0][0].weight)
    for signature in ("classes, channels, width=3", "**names", "channels, *, classes", "classes, channels=1"):
        text = f"from torch import nn\ndef build({signature}):\n    names = locals()\n    return nn.Linear(2, 3)\n"
        assert isinstance(build(described(text), 10, *GREY).network, nn.Linear)
    fixed = "from torch import nn\ndef build():\n    return nn.Linear(2, 3)\n"
    assert isinstance(build(described(fixed), 10, *GREY).network, nn.Linear)


def test_it_comes_back_from_its_file_shrunk_and_dense(tmp_path):
    network, description = built(EXAMPLE).eval(), {"classes": 10, "image": [1, 8, 8]}
    description["architecture"] = described(EXAMPLE)
    layers = prunable_layers(network)
    assert [layer.channels for layer in layers] == [32, 32]
    for layer in layers:
        surgery.shrink(network, layer, [1, 5, 7], torch.zeros(1, 1, 8, 8))
    path = tmp_path / "x.safetensors"
    path.write_bytes(artifacts.encode_tensors(encode(network, description)))
    images = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_network(path)(images), network(images))
    described(EXAMPLE + "# A comment\n")
    load_network(path)
    described(EXAMPLE.replace("nn.ReLU", "nn.GELU"))
    with pytest.raises(UserError, match=r"x\.safetensors: mine\.py: its code is another than that of the network"):
        load_network(path)
    Path("mine.py").unlink()
    with pytest.raises(UserError, match=r"x\.safetensors: mine\.py is missing; paths of networks are relative to"):
        load_network(path)
    with pytest.raises(UserError, match=r"mine\.py is missing"):
        decode(encode(network, description))


START = "import torch\nfrom torch import nn\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def build(:\n", r"mine\.py is not Python: .* \(line 1\)"),
        ("a\0b", r"mine\.py is not Python"),
        ("def other():\n    pass\n", r"mine\.py has no function build at its top level \(there: other\)"),
        ("build = 3\n", r"no function build at its top level \(there: none\)"),
        ("def build(width): pass\n", "build asks for width, and is given classes and channels by their names"),
        ("def build(classes, /): pass\n", "build asks for classes, and is given classes and channels by their names"),
        ("def build(*, depth): pass\n", "build asks for depth"),
        (
            "import beside\ndef build(): pass\n",
            "line 1 imports beside, a file beside it, whose changes would go unseen",
        ),
        ("def build():\n    from . import x\n", r"line 2 imports \., a file beside it"),
    ],
)
def test_what_the_text_of_the_file_tells(text, said):
    Path("beside.py").write_text("")
    with pytest.raises(UserError, match=said) as error:
        described(text)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read():
    with pytest.raises(UserError, match=r"mine\.py is missing"):
        own_file.described("mine.py", "build")
    Path("mine.py").mkdir()
    with pytest.raises(UserError, match=r"mine\.py cannot be read: Is a directory"):
        own_file.described("mine.py", "build")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nowhere_to_be_found\ndef build(): pass\n", r"mine\.py: raised ModuleNotFoundError \(No module named"),
        ("def build():\n    raise KeyError('depth')\n", r"mine\.py: build raised KeyError \('depth'\)"),
        ("def build(): pass\n", r"mine\.py: build returned NoneType, not a torch\.nn\.Module"),
        (START + "def build(): return nn.LazyLinear(3)\n", "build builds lazy layers"),
        (START + "def build(): return nn.Linear(2, 3).double()\n", "has weight in float64; make it float32"),
        (
            START + "def build():\n    a = nn.Linear(2, 2)\n    return nn.ModuleList([a, a])\n",
            r"uses the weights 1\.weight in two layers, which cannot be pruned",
        ),
        (
            START + "import random\ndef build():\n    n = nn.Linear(2, 2)\n"
            "    nn.init.constant_(n.bias, random.random())\n    return n\n",
            r"mine\.py: bias begins with other weights each time; draw them from torch's global generator alone",
        ),
        (
            START
            + "class N(nn.Module):\n    def get_extra_state(self): return 3\n    def set_extra_state(self, s): pass\n"
            "def build(): return N()\n",
            "keeps _extra_state in its state, which is not a tensor",
        ),
    ],
)
def test_what_building_it_tells(text, said):
    with pytest.raises(UserError, match=said) as error:
        built(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ("nn.Linear(64, classes)", None),
        ("nn.Linear(64, 7)", r"returns \(2, 7\) for 2 images of 10 classes, not logits \(2, 10\)"),
        ("nn.Unflatten(1, (8, 8))", r"returns \(2, 8, 8\) for 2 images"),
        ("nn.Linear(63, classes)", r"size: the network cannot take images of 8 x 8 pixels \(mat1 and mat2"),
    ],
)
def test_what_it_returns_is_looked_at_before_it_is_trained(layer, said):
    network = built(EXAMPLE.replace("nn.Linear(64, classes)", layer))
    if said is None:
        check_image(network, (1, 8, 8), 10)
        return
    with pytest.raises(UserError, match=said) as error:
        check_image(network, (1, 8, 8), 10)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "self.a = nn.Conv2d(1, 4, 3)\n    def forward(self, x): return self.a(x)",
            "Own has no layer that can be pruned",
        ),
        (
            "self.a = nn.Conv2d(1, 4, 3)\n    def forward(self, x): return x if x.sum() > 0 else self.a(x)",
            "Own cannot be pruned: its operations depend on the values or shapes",
        ),
    ],
)
def test_a_network_that_cannot_be_pruned(body, said):
    text = f"{START}class Own(nn.Module):\n    def __init__(self):\n        super().__init__()\n        {body}\n"
    with pytest.raises(UserError, match=said):
        prunable_layers(built(f"{text}def build(): return Own()\n"))
