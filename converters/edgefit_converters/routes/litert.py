"""The default route: PyTorch -> litert-torch -> float .tflite. No TensorFlow, no ONNX.

The file takes float32 NHWC (pixels - 127) / 128 under the name `image`, static batch 1, and gives probabilities under
`scores`; its tensors carry the network's own layer names (`blocks.3.expand`, `blocks.3.expand/weight`, ...), which is
what quantize.py and the int8 steps find them by.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgefit_converters.int8 import quantize
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy
from edgefit_converters.routes.installed import check_installed
from edgefit_converters.routes.route import Draft
from edgefit_converters.tflite import flatfile, inspect, torchgraph
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import silent_stderr
from edgefit_toolkit.interrupts import native
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import TFLiteModel


class LiteRT:
    """The route: litert-torch writes the float file, ai-edge-quantizer makes it int8 with edgefit's ranges."""

    name = "litert"
    stack = "torch -> litert-torch -> ai-edge-quantizer"

    def __init__(self, on_progress: Progress | None = None, *, offline: bool = False) -> None:
        """Takes what every route takes; this one has nothing to fetch and little to tell."""

    def versions(self) -> dict[str, str]:
        """Of the packages that convert."""
        return {package: version(package) for package in ("torch", "litert-torch", "ai-edge-quantizer")}

    def check(self) -> None:
        """Whether its packages are installed."""
        check_installed()

    def to_make(self) -> str:
        """Nothing: it came with the install."""
        return ""

    def declines(self, own_ranges: bool) -> str:
        """Nothing: the ladder was made for this route."""
        return ""

    def export_float(self, network: deploy.Deployed, path: str | Path) -> TFLiteModel:
        """See Route."""
        return export_deployed(network, path)

    def quantize(self, draft: Draft, path: str | Path, recipe: Recipe) -> TFLiteModel:
        """See Route."""
        return quantize.quantize_with(draft.float_path, draft.ranges, path, recipe, draft.scales)


def export_float(network: EfficientNet, path: str | Path, temperature: float = 1.0) -> TFLiteModel:
    """Converts a network to a float .tflite with softmax(logits / temperature) at its end.

    The same network gives the same bytes. Raises ConversionError when litert-torch fails or leaves a TRANSPOSE or PAD.
    """
    return export_deployed(deploy.deploy(network, temperature), path)


def export_deployed(deployed: deploy.Deployed, path: str | Path) -> TFLiteModel:
    """The same, for a network that is already folded."""
    flatfile.write(path, name_tensors(_convert(deployed), deployed))
    facts = inspect.read_model(path)
    left = [kind for kind in inspect.FORBIDDEN if facts.ops.get(kind)]
    if left:
        raise ConversionError(
            f"the converted {deployed.variant.label} has {', '.join(left)} operators, which no EfficientNet needs",
            "this is a fault of edgefit: please report it with the variant's name",
        )
    return facts.as_model(recipe="float32")


def _convert(deployed: deploy.Deployed) -> bytes:
    litert_torch, config = _import_litert_torch()
    size_px = deployed.variant.resolution_px
    shown, config.show_progress = config.show_progress, False
    try:
        with warnings.catch_warnings(), native():
            warnings.simplefilter("ignore")  # torch.export's and jax's own deprecations
            nhwc = litert_torch.to_channel_last_io(deploy.Scores(deployed), args=[0]).eval()
            model = litert_torch.convert(nhwc, (torch.zeros(1, size_px, size_px, 3),))
            return bytes(model.model_content())
    except (RuntimeError, ValueError, TypeError, NotImplementedError, torch._dynamo.exc.TorchDynamoException) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError(
            f"litert-torch could not convert {deployed.variant.label}: {reason[0]}",
            "run `edgefit doctor` to check the installed versions",
        ) from error
    finally:
        config.show_progress = shown


def _import_litert_torch() -> tuple[Any, Any]:
    """The package and its settings. litert-torch takes 3 s to import, and jax, torchao and absl talk while it does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with silent_stderr(), warnings.catch_warnings(), native():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            import litert_torch
            from litert_torch import _config
        except ImportError as error:
            raise ConversionError(
                f"litert-torch cannot be imported: {error}", "install edgefit again: pip install edgefit-toolkit"
            ) from error
        finally:
            logging.disable(before)
    return litert_torch, _config.config


def name_tensors(content: bytes, deployed: deploy.Deployed) -> bytes:
    """Gives every tensor of a converted float network the name of its layer, and every layer constants of its own.

    Raises ConversionError when the file does not hold the network's weights, layer by layer.
    """
    flat = FlatModel(content)
    named = list(deploy.layers(deployed).items())
    operators = list(flat.weighted())
    if len(operators) != len(named):
        raise ConversionError(f"the converted graph has {len(operators)} layers with weights, not {len(named)}")
    owner: dict[int, str] = {}  # id(operator) -> layer
    seen: set[int] = set()
    for (operator, kind), (name, layer) in zip(operators, named, strict=True):
        operator.inputs = list(operator.inputs)
        if len(operator.inputs) == 2 or operator.inputs[2] < 0:  # the converter drops a bias of zeros; int8 needs one
            operator.inputs[2:] = [flat.add_constant(operator.inputs[1], np.zeros(layer.weight.shape[0], np.float32))]
        for slot, what in ((1, "weight"), (2, "bias")):
            tensor = operator.inputs[slot]
            if tensor in seen:  # equal constants are merged by the converter: zeros, mostly
                tensor = operator.inputs[slot] = flat.add_tensor(tensor)
            seen.add(tensor)
            flat.graph.tensors[tensor].name = f"{name}/{what}".encode()
        weight = torchgraph.to_tflite(layer.weight.detach(), kind).numpy()
        if not np.allclose(flat.constant(operator.inputs[1]), weight, rtol=1e-5, atol=1e-7):
            raise ConversionError(f"the converted graph holds other weights for {name} than the network does")
        owner[id(operator)] = name
    used: Counter[str] = Counter()
    last = "image"
    for operator in flat.graph.operators:
        last = owner.get(id(operator), last)
        name = last if id(operator) in owner else f"{last}/{flat.kind(operator).lower()}"
        for tensor in operator.outputs:
            used[name] += 1
            flat.graph.tensors[tensor].name = (name if used[name] == 1 else f"{name}.{used[name]}").encode()
        for slot, tensor in enumerate(operator.inputs):
            if tensor >= 0 and flat.is_constant(tensor) and tensor not in seen:
                flat.graph.tensors[tensor].name = f"{name}/constant{slot}".encode()
    flat.rename_ends("image", "scores")
    flat.model.description = f"EfficientNet {deployed.variant.label}, made by edgefit".encode()
    return flat.to_bytes()
