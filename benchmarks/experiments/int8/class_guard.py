"""Does the guard see one lost class under a good mean, and how often does it see one in a healthy model?

    python -m experiments.int8.class_guard FOLDER [--seeds 40] [--classes 10]

FOLDER holds photographs, a class each; Lite0's ImageNet weights answer five crops of each. Healthy: its int8 files from
another 60 crops to calibrate on for each seed, judged on the crops of a random half of the photographs. Damaged: one
int8 file with one class's part of it spoiled. Printed: what the floors of the means say, and what the groups say.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.judge import groups, guard
from edgefit_converters.judge.parity import compare_answers
from edgefit_converters.recipe import Floors
from edgefit_converters.routes import litert
from edgefit_converters.tflite import flatfile
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_toolkit.data.decoding import decode
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.interpreter import Pixels, TFLite
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.network.weights import load_network

CROPS = 5
CALIBRATION = 60
FLOORS = Floors()

Damage = Callable[[FlatModel, int], None]


def crops(folder: Path, resolution_px: int) -> Pixels:
    """uint8 [5 * photographs, R, R, 3]: random squares of 70 to 100% of the shorter side, some of them mirrored."""
    chance, found = np.random.default_rng(0), []
    for file in sorted(folder.iterdir()):
        picture = decode(file_picture(file))
        for _ in range(CROPS):
            side = int(min(picture.size) * chance.uniform(0.7, 1.0))
            left, top = (int(chance.integers(0, extent - side + 1)) for extent in picture.size)
            box = (left, top, left + side, top + side)
            cut = picture.resize((resolution_px, resolution_px), Image.Resampling.BICUBIC, box)
            found.append(np.asarray(cut)[:, :: chance.choice((1, -1))])
    return np.ascontiguousarray(np.stack(found))


class Bench:
    """Lite0 with its float answers to the crops."""

    def __init__(self, photographs: Path, folder: Path) -> None:
        variant = released("lite0")
        self.float_path, self.pixels = folder / "float.tflite", crops(photographs, variant.resolution_px)
        litert.export_float(load_network(variant, allow_download=False)[0], self.float_path)
        self.reference = TFLite(self.float_path).answers(self.pixels)
        self.names = [f"{label}" for label in range(self.reference[0].shape[1])]

    def int8(self, seed: int, path: Path) -> Path:
        """One int8 file, calibrated on crops of the seed's choice."""
        chosen = np.random.default_rng(seed).choice(len(self.pixels), CALIBRATION, replace=False)
        quantize_int8(self.float_path, self.pixels[chosen], path)
        return path

    def changed(self, path: Path, label: int) -> int:
        """How many crops that float takes for a class the int8 file takes for another."""
        own = self.pixels[self.reference[0].argmax(1) == label]
        return int((TFLite(path).answers(own)[0].argmax(1) != label).sum())

    def judge(self, path: Path, kept: npt.NDArray[np.int64]) -> tuple[float, tuple[str, ...], tuple[str, ...]]:
        """Agreement; what the means and what the groups say of an int8 file on the crops `kept`."""
        other = TFLite(path).answers(self.pixels[kept])
        reference = (self.reference[0][kept], self.reference[1][kept])
        parity = compare_answers(reference, other)
        kinds = groups.kinds_of(self.pixels[kept])
        judged = groups.groups(reference, other, self.names, 1 - FLOORS.top1, kinds=kinds)
        return parity.top1, guard.shortfalls(parity, FLOORS), groups.shortfalls(judged, FLOORS.false_alarms)


def damages() -> Iterator[tuple[str, Damage]]:
    """What is done to an int8 file so that it loses a class."""

    def rows(flat: FlatModel) -> tuple[int, npt.NDArray[np.int8]]:
        operator = next(op for op, kind in flat.weighted() if kind == "FULLY_CONNECTED")
        return operator.inputs[1], flat.constant(operator.inputs[1]).copy()

    def row(flat: FlatModel, label: int) -> None:
        tensor, weight = rows(flat)
        weight[label] = 0
        flat.set_constant(tensor, weight)

    def channels(flat: FlatModel, label: int, count: int) -> None:
        tensor, weight = rows(flat)
        needed = np.argsort(weight[label])[-count:]  # of 1,280; what they say of the other classes stays
        weight[label, needed] = -weight[label, needed]
        flat.set_constant(tensor, weight)

    def scale(flat: FlatModel, label: int) -> None:
        record = flat.graph.tensors[rows(flat)[0]].quantization
        record.scale = [s * (0.5 if i == label else 1) for i, s in enumerate(record.scale)]

    yield "its classifier row is zero", row
    for count in (64, 8):
        yield f"the {count} channels that it needs most change their sign in its row", partial(channels, count=count)
    yield "its row is calibrated to half of its scale", scale


def main() -> None:
    """Prints what was counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--classes", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bench, out = Bench(chosen.folder, Path(scratch)), Path(scratch) / "int8.tflite"
        everything = np.arange(len(bench.pixels))
        per_photograph = bench.reference[0].argmax(1).reshape(-1, CROPS)
        known = [int(row[0]) for row in per_photograph if (row == row[0]).all()][: chosen.classes]
        healthy_file = bench.int8(0, out).read_bytes()
        for words, damage in damages():
            said, lost = [], []
            for label in known:
                flat = FlatModel(healthy_file)
                damage(flat, label)
                flatfile.write(out, flat.to_bytes())
                said.append((label, *bench.judge(out, everything)))
                lost.append(f"{label}: {bench.changed(out, label)}")
            passing = [one for one in said if not one[2]]
            named = sum(any(f"class {label}:" in line for line in found) for label, _, _, found in passing)
            print(
                f"{words}: of {len(said)} files the means pass {len(passing)}, and of these the groups refuse {named} "
                f"by name (agreement {min(agreement for _, agreement, *_ in said):.3f} and more)"
            )
            print("  " + "\n  ".join(f"{label}: {'; '.join(found) or 'passes'}" for label, _, _, found in said[:3]))
            print(f"  crops that get another answer, class by class: {', '.join(lost)}")
        alarms = 0
        for seed in range(1, chosen.seeds + 1):
            half = np.random.default_rng(seed).permutation(len(per_photograph))[: len(per_photograph) // 2]
            kept = (half[:, None] * CROPS + np.arange(CROPS)).ravel()
            agreement, means, found = bench.judge(bench.int8(seed, out), kept)
            alarms += bool(found)
            print(f"seed {seed}: agreement {agreement:.3f}, {'; '.join((*means, *found)) or 'passes'}", flush=True)
        print(f"healthy: the groups refuse {alarms} of {chosen.seeds}")


if __name__ == "__main__":
    main()
