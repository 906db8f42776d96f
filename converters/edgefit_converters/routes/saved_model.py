"""Behind the SavedModel: TensorFlow's own TFLiteConverter, in a pinned side environment (locks/tf215.txt).

Two routes end here. Both give the operators of the default route and nothing else, so that their tensors get the same
layer names, every int8 step done in torch before conversion reaches their files, and one guard judges all.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgefit_converters.int8 import grid
from edgefit_converters.int8.quantize import OUTSIDE
from edgefit_converters.judge import faults
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes import deploy, environments, litert
from edgefit_converters.routes.environments import TENSORFLOW, is_made
from edgefit_converters.routes.route import Draft
from edgefit_converters.routes.side_worker import SideWorker
from edgefit_converters.tflite import flatfile, inspect
from edgefit_converters.tflite.flatfile import FlatModel
from edgefit_converters.tflite.names import copy_names
from edgefit_toolkit.errors import ConversionError
from edgefit_toolkit.interpreter import Pixels
from edgefit_toolkit.progress import Progress
from edgefit_toolkit.records import TFLiteModel

WORKER = Path(__file__).with_name("tensorflow_worker.py")
PACKAGES = ("tensorflow-cpu", "keras", "numpy")  # of the lock file, for the report


class SavedModelRoute:
    """What both routes share."""

    name: str
    stack: str
    packages: tuple[str, ...]  # of the side environment, for the report

    def __init__(self, on_progress: Progress | None = None, *, offline: bool = False) -> None:
        self.worker = SideWorker(TENSORFLOW, WORKER, on_progress, offline=offline)

    def versions(self) -> dict[str, str]:
        """Of the packages that convert."""
        pins = self.worker.lock.pins
        return {"torch": version("torch")} | {package: pins[package] for package in self.packages}

    def check(self) -> None:
        """Whether the side environment is there or can be made."""
        environments.check(self.worker.lock, offline=self.worker.offline)

    def to_make(self) -> str:
        """The side environment, where it is missing."""
        lock = self.worker.lock
        if is_made(lock):
            return ""
        fetched, minutes = lock.header["download_mb"], lock.header["minutes"]
        return f"--converter {self.name} makes its own environment first, once: {fetched} MB, about {minutes} minutes"

    def declines(self, own_ranges: bool) -> str:
        """Ranges of edgefit's own: the TFLiteConverter takes none."""
        return "TensorFlow's converter takes its ranges from pictures, as min-max" if own_ranges else ""

    def write_float(self, entry: dict[str, Any], network: deploy.Deployed, folder: Path, path: str | Path) -> None:
        """The worker's request `entry`, which ends in a SavedModel in `folder` -> float .tflite with layer names."""
        out = folder / "float.tflite"
        self.worker.run(entry | {"saved_model": str(folder / "saved_model"), "float": str(out)})
        flatfile.write(path, litert.name_tensors(out.read_bytes(), network))

    def write_int8(
        self, entry: dict[str, Any], draft: Draft, folder: Path, path: str | Path, recipe: Recipe
    ) -> TFLiteModel:
        """The same -> int8 .tflite, read back and checked."""
        out, calibration = folder / "int8.tflite", folder / "calibration.npy"
        np.save(calibration, with_full_range(draft.pixels))
        request = {"saved_model": str(folder / "saved_model"), "int8": str(out), "calibration": str(calibration)}
        self.worker.run(entry | request | {"io_dtype": recipe.io_dtype})
        source, flat = FlatModel.read(draft.float_path), FlatModel.read(out)
        copy_names(source, flat)
        flat.model.description = source.model.description
        scales = draft.scales or {}
        grid.put_on_grid(source, flat, scales)
        moved = grid.off_grid(source, flat, scales)
        if moved:
            raise ConversionError(
                f"TensorFlow's converter moved weights off the grid that they were rounded to, in {len(moved)} layers, "
                f"{next(iter(moved))} first",
                "use --converter litert, and please report it",
            )
        part = Path(path).with_name(f".{Path(path).name}.unchecked")
        flatfile.write(part, flat.to_bytes())
        try:
            notes = self._check(part, recipe)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return inspect.read_model(path).as_model(recipe.name, notes)

    def _check(self, path: Path, recipe: Recipe) -> tuple[str, ...]:
        """What is worth a note; raises ConversionError when the file is not full integer with the ordered ends."""
        facts = inspect.read_model(path)
        wrong = faults.io_quantization(facts, recipe.io_dtype)
        if not facts.full_integer:
            wrong.append(f"computes in float: {', '.join(facts.float_islands[:3]) or 'every operator'}")
        if wrong:
            raise ConversionError(f"the int8 file of --converter {self.name} {'; it '.join(wrong)}")
        left = [f"{facts.ops[kind]} {kind}" for kind in inspect.FORBIDDEN if facts.ops.get(kind)]
        outside = sorted(set(facts.fallback) - set(OUTSIDE))
        notes = [f"the converter left {', '.join(left)} operators in the graph"] if left else []
        if facts.partitions != 1 or outside:
            notes.append(
                f"runs in {facts.partitions} XNNPACK partitions, with {', '.join(outside) or 'nothing'} outside"
            )
        return tuple(notes)


def with_full_range(pixels: Pixels) -> Pixels:
    """The same pictures, the first once more with a black and a white pixel: min-max then gives the input exactly the
    range of all bytes, scale 1/128, so that raw bytes are the input. uint8 [N, R, R, 3] -> [N + 1, R, R, 3]."""
    corner = pixels[:1].copy()
    corner[0, 0, 0], corner[0, 0, 1] = 0, 255
    whole: Pixels = np.concatenate((pixels, corner))
    return whole
