"""Which layers of an int8 model lose the answer: SQNR of every activation against the float model's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgefit_converters.judge.parity import sqnr_db
from edgefit_converters.tflite import torchgraph
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_converters.tflite.streams import streams
from edgefit_toolkit.interpreter import Pixels, TFLite, open_interpreter

STANDS_OUT_DB = 8.0  # lost by one layer; a healthy one loses 1 to 6
AHEAD_DB = 5.0  # of the next worst; healthy ones lie within 3
EQUALIZED = 0.1  # spread of the channels' scales, relative, from which on they were scaled one by one
SLOPES = (0.6, 1.3)  # healthy layers have .8 to 1.01: noise leaves it, clipping lowers it, a wrong scale moves it
FIRST_DB = 15.0  # of a layer that reads the (exact) image; a healthy one has 25 and more


@dataclass(frozen=True)
class LayerParity:
    """One operator's output."""

    name: str  # as in the network: `blocks.3.expand`, `blocks.3.project/add`
    sqnr_db: float  # of its values
    drop_db: float  # how much cleaner its worst input was: a large drop is where the answer is lost
    slope: float  # of its values against the float model's: 1 when its scale is right


def compare_layers(float_path: str | Path, int8_path: str | Path, pixels: Pixels) -> tuple[LayerParity, ...]:
    """Every activation of both files over uint8 pictures [N, R, R, 3], in the order they are computed.

    A handful of photographs is enough. Both files must come from one network (same tensor names). Channels of residual
    streams may be scaled in the int8 file (int8/equalization.py): there each channel is compared after its best scale.
    """
    graph = torchgraph.read_graph(float_path)
    scaled = frozenset().union(*streams(graph))
    gates = {op.name: op.inputs[0] for op in graph.ops if op.kind == "LOGISTIC"}
    swished = {gates[n] for op in graph.ops for n in op.inputs if op.kind == "MUL" and gates.get(n) in op.inputs}
    names = [op.name for op in graph.ops]
    reference, other = _activations(Path(float_path), names, pixels), _activations(Path(int8_path), names, pixels)
    sqnr: dict[str, float] = {"image": float("inf")}
    found = []
    for op in graph.ops:
        a, b = reference[op.name], other[op.name]
        if op.name in swished:
            a = a.clip(min=b.min())  # what ranges.py cuts off there, swish does not let through
        if op.name in scaled:
            b = _rescaled(a, b)
        sqnr[op.name] = sqnr_db(a, b)
        drop = min(sqnr[name] for name in op.inputs) - sqnr[op.name]
        found.append(LayerParity(op.name, sqnr[op.name], drop, _slope(a, b)))
    return tuple(found)


def worst(layers: tuple[LayerParity, ...], n: int = 5) -> tuple[LayerParity, ...]:
    """The layers with the largest drop; those that read the image are none of them, its input being exact."""
    finite = [layer for layer in layers if np.isfinite(layer.drop_db)]
    return tuple(sorted(finite, key=lambda layer: -layer.drop_db)[:n])


def blame(layers: tuple[LayerParity, ...]) -> str:
    """The layers that lose the answer, in a sentence; whether one of them alone does."""
    blurred = [layer for layer in layers if not np.isfinite(layer.drop_db) and layer.sqnr_db < FIRST_DB]
    if blurred:
        return f"{blurred[0].name} has {blurred[0].sqnr_db:.0f} dB left of an exact image: its scale looks wrong"
    moved = next((layer for layer in layers if not SLOPES[0] < layer.slope < SLOPES[1]), None)
    if moved is not None:
        return (
            f"{moved.name} gives {moved.slope:.1f} times the float model's values: its scale, or that of what it "
            "reads, looks wrong"
        )
    first, *others = worst(layers, 3)
    if first.drop_db > STANDS_OUT_DB and all(first.drop_db > other.drop_db + AHEAD_DB for other in others):
        return (
            f"one layer stands out, {first.name} loses {first.drop_db:.0f} dB by itself: its scale, or that of what it "
            "reads, looks wrong"
        )
    said = ", ".join(f"{layer.name} ({layer.drop_db:.0f} dB)" for layer in (first, *others))
    return f"no single layer stands out; most is lost in {said}"


def _slope(reference: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    power = float(np.square(reference, dtype=np.float64).sum())
    return float((reference.astype(np.float64) * other).sum()) / power if power else 1.0


def _rescaled(reference: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Each channel at its best scale; as it is where all channels have one and the same: that is a fault, no plan."""
    axes = tuple(range(other.ndim - 1))
    power = np.square(other, dtype=np.float64).sum(axes)
    factor = (reference.astype(np.float64) * other).sum(axes) / np.maximum(power, 1e-30)
    low, high = np.percentile(factor, (25, 75))
    return other if high - low < EQUALIZED * abs(high + low) / 2 else np.asarray(other * factor, np.float32)


def _activations(path: Path, names: list[str], pixels: Pixels) -> dict[str, npt.NDArray[np.float32]]:
    """Dequantized values by name, photographs along the first axis."""
    flat, input_of_byte = FlatModel.read(path), TFLite(path).input_of_byte
    index = {flat.name(t): t for operator in flat.graph.operators for t in operator.outputs}
    interpreter = open_interpreter(path, keep_tensors=True)
    start = interpreter.get_input_details()[0]["index"]
    rows: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in names}
    for picture in pixels:
        interpreter.set_tensor(start, input_of_byte[picture][None])
        interpreter.invoke()
        for name in names:
            rows[name].append(_real(flat.graph.tensors[index[name]], interpreter.get_tensor(index[name])))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def _real(record: Any, stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    values = stored.astype(np.float32)
    if stored.dtype == np.float32:
        return values
    scale, zero_point = np.float32(record.quantization.scale[0]), int(record.quantization.zeroPoint[0])
    return np.asarray((values - zero_point) * scale, np.float32)
