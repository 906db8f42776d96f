"""The network as an ONNX file: the first half of the onnx-tf route."""

from __future__ import annotations

import contextlib
import importlib.machinery
import sys
import types
import warnings
from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from edgefit_converters.routes import deploy
from edgefit_converters.tflite.torchgraph import Constants
from edgefit_toolkit.errors import ConversionError

OPSET = 13  # the newest that onnx-tf 1.10 converts without gaps


def export_onnx(network: deploy.Deployed, path: str | Path, layers: Mapping[str, Constants] | None = None) -> None:
    """Writes the network with its softmax, float32 [1, R, R, 3] `image` -> [1, classes] `scores`.

    `layers` replace the network's constants. Raises ConversionError when torch cannot export it.
    """
    network = deepcopy(network) if layers else network
    with torch.no_grad():
        own = deploy.layers(network)
        for name, layer in (layers or {}).items():
            own[name].weight.copy_(layer.weight.reshape(own[name].weight.shape))
            bias = own[name].bias
            if bias is not None:  # a folded layer always has one
                bias.copy_(layer.bias)
    size_px = network.variant.resolution_px
    try:
        with onnx_at_hand(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "legacy export": the one that writes what onnx-tf reads
            torch.onnx.export(
                _ChannelsLast(network).eval(),
                (torch.zeros(1, size_px, size_px, 3),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["scores"],
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError(f"torch could not export {network.variant.label} to ONNX: {reason[0]}") from error


class _ChannelsLast(nn.Module):
    """Takes NHWC, as the app's camera gives it and TensorFlow computes in."""

    def __init__(self, network: deploy.Deployed) -> None:
        super().__init__()
        self.scores = deploy.Scores(network)

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.scores(image.permute(0, 3, 1, 2))
        return scores


@contextlib.contextmanager
def onnx_at_hand() -> Iterator[None]:
    """torch imports `onnx` for one thing: to look for custom functions in the finished file. It has none, and the
    onnx that onnx-tf needs does not go together with edgefit's packages: an empty graph is shown where it is missing.
    """
    if "onnx" in sys.modules or find_spec("onnx") is not None:
        yield
        return
    stand_in = types.ModuleType("onnx")
    stand_in.__spec__ = importlib.machinery.ModuleSpec("onnx", None)
    empty = types.SimpleNamespace(graph=types.SimpleNamespace(node=()))
    stand_in.load_model_from_string = lambda content: empty  # type: ignore[attr-defined]
    sys.modules["onnx"] = stand_in
    try:
        yield
    finally:
        del sys.modules["onnx"]
