"""Photographs in two halves: each is judged by models calibrated on the other, so all are held out once, none is both.

Every script that compares ways to int8 takes its photographs from here, so that all of them see the same ones.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgefit_toolkit.data import preprocessing
from edgefit_toolkit.data.decoding import decode
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.records import Parity, Preprocessing

OTHERS = 100


@dataclass(frozen=True)
class Half:
    """One turn, both uint8 [N, R, R, 3]."""

    calibration: npt.NDArray[np.uint8]
    holdout: npt.NDArray[np.uint8]


def read_halves(folder: Path, how: Preprocessing, joining: Sequence[Path] = ()) -> tuple[Half, Half]:
    """The photographs that FOLDER/labels.csv lists (column `file`), every other one in each half.

    `joining` are photographs of other things (see `split_others`): they join both halves' calibration and are never
    judged. Raises InputError when there is no such list or it names fewer than two.
    """
    pixels, others = read(listed(folder), how), read(joining, how)
    even, odd = pixels[0::2], pixels[1::2]
    return Half(np.concatenate((even, others)), odd), Half(np.concatenate((odd, others)), even)


def split_others(folder: Path | None) -> tuple[list[Path], list[Path]]:
    """Photographs of other things, at any depth below the folder: about OTHERS that join the calibration, evenly over
    their names, and the rest, for a step that trains. Both empty without a folder."""
    paths = sorted(folder.rglob("*.jpg")) if folder else []
    every = max(1, len(paths) // OTHERS)
    return paths[::every], [path for i, path in enumerate(paths) if i % every]


def read(paths: Sequence[Path], how: Preprocessing) -> npt.NDArray[np.uint8]:
    """The photographs as the network takes them: uint8 [N, R, R, 3]."""
    pixels = np.empty((len(paths), how.resolution_px, how.resolution_px, 3), np.uint8)
    for picture, path in zip(pixels, paths, strict=True):
        picture[:] = preprocessing.apply(decode(file_picture(path)), how)
    return pixels


def listed(folder: Path) -> list[Path]:
    """The photographs of FOLDER/labels.csv in its order."""
    try:
        with open(folder / "labels.csv", newline="") as file:
            paths = [folder / row["file"] for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        raise InputError(
            f"{folder} has no labels.csv with a column `file`", "hand over ../shared/data/imagenet-samples"
        ) from error
    if len(paths) < 2:
        raise InputError(f"{folder}/labels.csv names {len(paths)} photographs; two halves need at least 2")
    return paths


def described(folder: Path, joining: Sequence[Path] = ()) -> str:
    """The choice in words, for the results."""
    words = f"{len(listed(folder))} of {folder.name}, two halves, each judged by the other's model"
    return words + (f"; {len(joining)} photographs of other things join each half's calibration" if joining else "")


def join(halves: Sequence[Parity]) -> dict[str, object]:
    """What the halves say together. Noise powers are averaged, not decibels: a good half hides no bad one."""
    n = sum(half.n for half in halves)
    noise = [10 ** (-half.sqnr_db / 10) for half in halves]
    mean = sum(noise) / len(noise)
    return {
        "top1_agreement": sum(sum(half.per_image) for half in halves) / n,
        "n": n,
        "sqnr_db": round(-10 * math.log10(mean), 2) if mean > 0 else math.inf,
        "sqnr_db_halves": [round(half.sqnr_db, 2) for half in halves],
    }
