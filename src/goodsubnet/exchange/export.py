"""A network as an ONNX file, for programs that know nothing of this package."""

import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import torch

from goodsubnet.errors import UserError
from goodsubnet.networks.deep import zero_images
from goodsubnet.networks.files import load
from goodsubnet.runtime import artifacts


def export_onnx(path: str | Path, output: str | Path) -> None:
    """Write the deep network in the file at `path` as ONNX, with its weights, for batches of any size.

    Its input "images" is (batch, C, H, W) in [0, 1], its output "logits" (batch, classes).
    Raises UserError if there is no such network in the file, onnx is not installed, or the output cannot be written.
    """
    missing = [package for package in ("onnx", "onnxscript") if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"{output}: ONNX files need the packages onnx and onnxscript; pip install {' '.join(missing)}")
    network, description = load(path)
    with _quiet():
        program = torch.onnx.export(
            network,
            # Two: an axis of length one would be taken for a constant.
            (zero_images(network, description["image"], count=2),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    artifacts.write(output, cast(torch.onnx.ONNXProgram, program).model_proto.SerializeToString())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on its own deprecations and on operators that no network here has."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
