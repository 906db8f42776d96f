"""The value range of every activation, from running the float .tflite over the calibration photographs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import Pixels, open_interpreter
from edgefit_toolkit.records import PIXEL_MEAN, PIXEL_STD

MEAN_POSITIONS = 8  # along each side of a feature map, at least, that a channel's mean is taken from
SAMPLES = 2048  # values kept per tensor and photograph, at random places
LEAST_SQUARES_VALUES = 20_000  # of a tensor's sample: more moves the chosen end by less than one step of the search
SHARES = np.linspace(1, 0.3, 36)  # of a range's end as seen: the search tries these
LEVELS = 255  # steps of an int8 range
SIGMOID_RANGE = (0.0, 255 / 256)  # TFLite: an int8 LOGISTIC has scale 1/256 and zero point -128
INPUT_RANGE = ((0 - PIXEL_MEAN) / PIXEL_STD, (255 - PIXEL_MEAN) / PIXEL_STD)  # -127/128 to 1: scale exactly 1/128

Range = tuple[float, float]


@dataclass(frozen=True)
class Observed:
    """What one activation showed over all photographs."""

    low: float
    high: float
    values: npt.NDArray[np.float32]  # a random sample
    means: npt.NDArray[np.float32]  # [N, C]: each channel's mean on each photograph, at `mean_places`
    fixed: Range | None = None  # TFLite's own rule for this operator's output
    swish: str = ""  # name of x * sigmoid(x), where this is x


def observe(float_path: str | Path, pixels: Pixels, seed: int = 0) -> dict[str, Observed]:
    """Every activation of a float .tflite by tensor name, over uint8 pictures [N, R, R, 3].

    Raises ConversionError when a value is not finite.
    """
    flat = FlatModel.read(float_path)
    start = flat.graph.inputs[0]
    tensors = [start, *(t for operator in flat.graph.operators for t in operator.outputs)]
    interpreter = open_interpreter(Path(float_path), keep_tensors=True)
    chance = np.random.default_rng(seed)
    low, high = dict.fromkeys(tensors, np.inf), dict.fromkeys(tensors, -np.inf)
    kept: dict[int, list[npt.NDArray[np.float32]]] = {t: [] for t in tensors}
    channels: dict[int, list[npt.NDArray[np.float32]]] = {t: [] for t in tensors}
    for picture in pixels:
        interpreter.set_tensor(start, (picture[None].astype(np.float32) - PIXEL_MEAN) / PIXEL_STD)
        interpreter.invoke()
        for tensor in tensors:
            whole = interpreter.tensor(tensor)()  # a view: copy nothing but the sample
            channels[tensor].append(_channel_means(whole))
            values = whole.ravel()
            low[tensor] = min(low[tensor], float(values.min()))
            high[tensor] = max(high[tensor], float(values.max()))
            kept[tensor].append(values[chance.integers(0, values.size, min(SAMPLES, values.size))])
            del whole, values  # a view that outlives the loop blocks the next invoke
    for tensor in tensors:
        if not (np.isfinite(low[tensor]) and np.isfinite(high[tensor])):
            raise ConversionError(f"the float model computes values that are not finite in {flat.name(tensor)}")
    sigmoids = {o.outputs[0]: o.inputs[0] for o in flat.graph.operators if flat.kind(o) == "LOGISTIC"}
    swishes = {
        o.inputs[0]: flat.name(o.outputs[0])
        for o in flat.graph.operators
        if flat.kind(o) == "MUL" and sigmoids.get(o.inputs[1]) == o.inputs[0]
    }
    return {
        flat.name(t): Observed(
            low[t],
            high[t],
            np.concatenate(kept[t]),
            np.stack(channels[t]),
            SIGMOID_RANGE if t in sigmoids else None,
            swishes.get(t, ""),
        )
        for t in tensors
    }


def means(observed: dict[str, Observed]) -> dict[str, npt.NDArray[np.float32]]:
    """Of every activation's channels, on each photograph: [N, C]."""
    return {name: what.means for name, what in observed.items()}


def mean_places(size: int) -> slice:
    """The rows (or columns) of a feature map that a channel's mean is taken from: paired with another network's at the
    same places on many photographs they tell it as well as all do. The border, where padding weighs, is none of them.
    """
    step = max(1, size // MEAN_POSITIONS)
    return slice(step // 2, None, step)


def _channel_means(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[1, H, W, C] or [1, C] -> [C]."""
    if values.ndim == 4:
        values = values[:, mean_places(values.shape[1]), mean_places(values.shape[2])]
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(0), np.float32)


def choose_ranges(observed: dict[str, Observed], pick: Callable[[Observed], Range]) -> dict[str, Range]:
    """One range per activation; the input's is always exactly [-127/128, 1], so that raw bytes are the input."""
    ranges = {name: what.fixed or pick(what) for name, what in observed.items()}
    for name, what in observed.items():
        if what.swish:
            low, high = ranges[name]
            ranges[name] = max(low, _swish_is_flat_below(scale_of(ranges[what.swish]) / 2)), high
    ranges["image"] = INPUT_RANGE
    return ranges


def _swish_is_flat_below(error: float) -> float:
    """The x below which x * sigmoid(x) is zero but for `error`; no range of x need reach further down.

    Swish has its minimum at -1.278 and rises towards zero below it.
    """
    low, high = -30.0, -1.278
    for _ in range(40):
        middle = (low + high) / 2
        if -middle / (1 + math.exp(-middle)) < error:
            low = middle
        else:
            high = middle
    return low


def scale_of(limits: Range) -> float:
    """The int8 scale that a range gets. Zero is always inside."""
    return max(max(limits[1], 0.0) - min(limits[0], 0.0), 1e-9) / LEVELS


def min_max(what: Observed) -> Range:
    """As wide as what was seen."""
    return what.low, what.high


def least_squares(what: Observed) -> Range:
    """The range with the smallest mean squared error of rounding and clipping, each end moved in turn."""
    low, high = min(what.low, 0.0), max(what.high, 0.0)
    best = (low, high)
    values = what.values[:: max(1, len(what.values) // LEAST_SQUARES_VALUES)]
    for _ in range(2):
        best = min(((low * share, best[1]) for share in SHARES), key=lambda limits: _error(values, limits))
        best = min(((best[0], high * share) for share in SHARES), key=lambda limits: _error(values, limits))
    return best


def _error(values: npt.NDArray[np.float32], limits: Range) -> float:
    scale = scale_of(limits)
    zero_point = np.rint(-limits[0] / scale)
    stored = np.clip(np.rint(values / scale) + zero_point, 0, LEVELS)
    return float(np.square((stored - zero_point) * scale - values).mean())
