"""The two traces: what the pipeline does to any picture, and what it did to one.

The shapes come from network/graph.py, so they are those of the very network that was exported: phi 0 at 224 px ends in
7 x 7 x 1280.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgefit_toolkit.network.blocks import blocks
from edgefit_toolkit.network.graph import operators
from edgefit_toolkit.records import Preprocessing, Variant
from edgefit_toolkit.report.schema.walkthrough import (
    PredictionStep,
    PredictionTraceDoc,
    StageDoc,
    TraceStep,
    WorkedPixel,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgefit_toolkit.network.efficientnet import EfficientNet

    Activations = Mapping[str, NDArray[np.float32]]

TOP = 5  # values shown per step


def worked_pixel(raw: Sequence[int], x: int, y: int, preprocessing: Preprocessing) -> WorkedPixel:
    """One pixel (R, G, B bytes after crop and resize) to the network's float input, with the arithmetic written out."""
    mean, std = preprocessing.mean, preprocessing.std
    value = [(int(channel) - mean) / std for channel in raw]
    lines = [f"({int(c)} - {mean:g}) / {std:g} = {v:.4f}" for c, v in zip(raw, value, strict=True)]
    return {"x": x, "y": y, "raw": [int(c) for c in raw], "value": value, "formula": "; ".join(lines)}


def _input_words(io_dtype: str, preprocessing: Preprocessing) -> str:
    """What the model takes per channel; int8 is 128 less than the byte."""
    mean, std = preprocessing.mean, preprocessing.std
    if io_dtype == "uint8":
        return f"raw bytes per channel (uint8, scale 1/{std:g}, zero point {mean:g}): no float arithmetic in the app"
    return f"bytes minus 128 per channel (int8, scale 1/{std:g}, zero point {mean - 128:g}): one subtraction in the app"


def pipeline_trace(
    variant: Variant, preprocessing: Preprocessing, pixel: WorkedPixel | None = None, io_dtype: str = "uint8"
) -> list[TraceStep]:
    """input -> preprocessing -> features -> pooling -> classification, with the shapes of this variant."""
    side = variant.resolution_px
    pool = next(operator for operator in operators(variant) if operator.kind == "pool")
    full = [f"{op.in_shape[2]} × {op.out_shape[2]}" for op in operators(variant) if op.kind == "fc"]
    layers = "One fully connected layer" if len(full) == 1 else "Two fully connected layers"
    padding = preprocessing.crop_padding_px
    first: TraceStep = {
        "step": "input",
        "text": f"A photograph of any size, upright, RGB. The model's door takes {side} × {side} "
        f"{_input_words(io_dtype, preprocessing)}.",
        "shape": [side, side, 3],
    }
    prepared: TraceStep = {
        "step": "preprocessing",
        "text": f"Centre crop of a square with side min(width, height) × {side} / ({side} + {padding}); "
        f"antialiased {preprocessing.interpolation} resize to {side} px; "
        f"(raw − {preprocessing.mean:g}) / {preprocessing.std:g}, which the model does itself.",
        "shape": [side, side, 3],
    }
    if pixel is not None:
        prepared["pixel"] = pixel
    stages = _stages(variant)
    features: TraceStep = {
        "step": "features",
        "text": f"{sum(s['repeats'] for s in stages[1:-1])} inverted-bottleneck blocks in seven stages between stem "
        f"and head; {variant.madds / 1e6:,.0f} million multiply-adds in all.",
        "shape": list(pool.in_shape),
        "stages": stages,
    }
    pooling: TraceStep = {
        "step": "pooling",
        "text": f"The mean over the {pool.in_shape[0]} × {pool.in_shape[1]} positions: one number per channel.",
        "shape": [pool.out_shape[2]],
    }
    last: TraceStep = {
        "step": "classification",
        "text": f"{layers} ({' and '.join(full)} weights), then softmax inside the model file: the outputs are "
        "probabilities.",
        "shape": [variant.classes],
    }
    return [first, prepared, features, pooling, last]


def _stages(variant: Variant) -> list[StageDoc]:
    graph, every = operators(variant), blocks(variant.family, variant.width, variant.depth)
    rows: list[StageDoc] = []
    for stage in range(-1, graph[-1].stage + 1):
        own = [operator for operator in graph if operator.stage == stage and operator.kind not in ("pool", "fc")]
        inside = [block for block in every if block.stage == stage]
        if stage == -1:
            name, drawn, repeats, stride = "stem", "Conv 3×3", 1, own[0].stride
        elif stage == graph[-1].stage:
            name, drawn, repeats, stride = "head", "Conv 1×1", 1, 1
        else:
            first = inside[0]
            name, repeats, stride = f"stage {stage + 1}", len(inside), first.stride
            drawn = f"MBConv{first.expand} {first.kernel}×{first.kernel}"
        rows.append(
            {
                "name": name,
                "operator": drawn,
                "repeats": repeats,
                "stride": stride,
                "shape": list(own[-1].out_shape),
                "madds": sum(operator.madds for operator in own),
            }
        )
    return rows


def record_activations(network: EfficientNet, inputs: Any) -> dict[str, NDArray[np.float32]]:
    """What leaves the stem, each stage's last block, the head, the pooling and the classifier for one picture.

    `inputs` is the network's float input [1, 3, R, R]. Feature maps are returned as [height, width, channels].
    """
    import torch

    kept: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            kept[name] = output.detach().float().cpu().clone()

        return hook

    variant = network.variant
    every = blocks(variant.family, variant.width, variant.depth)
    last_of = {block.stage: index for index, block in enumerate(every)}
    watched: dict[str, Any] = {"stem": network.stem}
    watched |= {f"stage {stage + 1}": network.blocks[index] for stage, index in last_of.items()}
    watched |= {"head": network.head, "classifier": network.classifier}
    handles = [module.register_forward_hook(keep(name)) for name, module in watched.items()]
    was_training = network.training
    try:
        network.eval()
        with torch.inference_mode():
            network(inputs)
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    found: dict[str, NDArray[np.float32]] = {}
    for name, output in kept.items():
        found[name] = output[0].permute(1, 2, 0).numpy() if output.ndim == 4 else output[0].numpy()
        if name == "head":
            found["pooling"] = found[name].mean(axis=(0, 1))
    return found


def prediction_trace(
    file: str,
    truth: str,
    labels: Sequence[str],
    activations: Activations,
    float_probabilities: NDArray[np.float32],
    int8_probabilities: NDArray[np.float32],
    picture: str | None = None,
) -> PredictionTraceDoc:
    """The largest values of one picture at each step: channel means of feature maps, logits, then both models' answers.

    `activations` as from record_activations, [height, width, channels] or [n]; probabilities [classes].
    """
    steps: list[PredictionStep] = []
    for name, values in activations.items():
        if name == "classifier":
            named, text = list(labels), "logits: one number per class, larger is likelier"
        elif values.ndim == 1:
            named = [f"channel {i}" for i in range(values.shape[0])]
            text = "the mean of each channel: what the classifier sees"
        else:
            named = [f"channel {i}" for i in range(values.shape[2])]
            text = f"channels with the largest mean over {values.shape[0]} × {values.shape[1]} positions"
        flat = values.mean(axis=(0, 1)) if values.ndim == 3 else values
        steps.append({"name": name, "text": text, "shape": list(values.shape), "top": _top(flat, named)})
    for name, values in (("float answer", float_probabilities), ("int8 answer", int8_probabilities)):
        text = "probabilities after softmax with the fitted temperature"
        steps.append({"name": name, "text": text, "shape": list(values.shape), "top": _top(values, list(labels))})
    answer = steps[-1]["top"][0][0]
    trace: PredictionTraceDoc = {"file": file, "truth": truth, "answer": answer, "steps": steps}
    if picture is not None:
        trace["picture"] = picture
    return trace


def _top(values: NDArray[np.float32], names: list[str]) -> list[tuple[str, float]]:
    order = sorted(range(len(names)), key=lambda i: (-float(values[i]), i))[:TOP]
    return [(names[i], float(values[i])) for i in order]
