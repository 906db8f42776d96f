"""How near reading pictures comes to bare JPEG decoding.

    python -m experiments.data.reading_speed PHOTOGRAPHS [--write]

Each file in turns: bare decoding by libjpeg-turbo (through Pillow, at the scale that edgefit decodes it at); reading,
as edgefit does: opening, its checks, decoding, turning upright; what a training does to have its pixels: that,
cropping, resizing; and of this Pillow's cropping and resizing alone, of a picture that is decoded already. Where that
takes a share s of bare decoding, 1 / (1 + s) of its speed is the most that any reading with these very pixels can
reach. In processor time of one thread, which other programs on the machine change little; the ratios carry over, the
rates do not.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, features

from edgefit_toolkit.data.augmentation import least_side_px
from edgefit_toolkit.data.decoding import decode
from edgefit_toolkit.data.decoding_cost import REDUCTIONS
from edgefit_toolkit.data.preprocessing import apply, crop_box
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.records import Preprocessing

PAGE = Path(__file__).parents[2] / "results" / "reading_speed.md"
TURNS = 3


def bare(path: Path, least_px: int) -> None:
    """The pixels of a file at the scale that `decode` takes, and nothing done to them."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        reduction = max(r for r in REDUCTIONS if r == 1 or min(image.size) // r >= least_px)
        image.draft("RGB", (image.width // reduction, image.height // reduction))
        image.load()


def read(path: Path, least_px: int, how: Preprocessing) -> None:
    """What a network takes."""
    apply(decode(file_picture(path), least_px), how)


def resize(image: Image.Image, how: Preprocessing) -> None:
    """Pillow's part of `apply`."""
    left, top, side = crop_box(image.width, image.height, how)
    crop = image.crop((left, top, left + side, top + side))
    crop.resize((how.resolution_px, how.resolution_px), Image.Resampling.BICUBIC)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of this thread."""
    before = time.thread_time()
    work()
    return time.thread_time() - before


def rates(paths: list[Path], resolution_px: int) -> str:
    """A row: pictures per second of one core, bare and by edgefit, from the least time of each; ratios of the turns."""
    how = Preprocessing(resolution_px=resolution_px)
    least_px = least_side_px(how)
    turns = np.array([[one(path, least_px, how) for path in paths] for _ in range(TURNS)])
    plain, decoding, ours, resizing = turns.min(0).mean(0)
    shares = turns.sum(1)[:, 0] / turns.sum(1)[:, 2]
    return (
        f"{resolution_px} | {1 / plain:.0f} | {plain / decoding:.2f} | {1 / ours:.0f} | {plain / ours:.2f} | "
        f"{shares.min():.2f} to "
        f"{shares.max():.2f} | {resizing / plain:.2f} | {plain / (plain + resizing):.2f} |"
    )


def one(path: Path, least_px: int, how: Preprocessing) -> list[float]:
    """Seconds of bare decoding, of reading, of reading to a network's pixels, and of cropping and resizing alone."""
    image, picture = decode(file_picture(path), least_px), file_picture(path)
    works = (
        partial(bare, path, least_px), partial(decode, picture, least_px), partial(read, path, least_px, how),
        partial(resize, image, how),
    )  # fmt: skip
    return [seconds(work) for work in works]


def enlarged(paths: list[Path], folder: Path) -> list[Path]:
    """The photographs at the size that phones take, about ten megapixels."""
    found = []
    for path in paths:
        with Image.open(path) as image:
            factor = (10e6 / (image.width * image.height)) ** 0.5
            size = (round(image.width * factor), round(image.height * factor))
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(folder / path.name, quality=90)
        found.append(folder / path.name)
    return found


def main() -> None:
    """Prints the table, or writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    paths = sorted(p for p in a.photographs.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})[:100]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what, some in (("as they are", paths), ("enlarged", enlarged(paths[:10], Path(folder)))):
            size = statistics.median(width * height for width, height in (Image.open(path).size for path in some)) / 1e6
            for resolution_px in (128, 224, 300):
                rows.append(f"| {len(some)} {what}, {size:.1f} MP | {rates(some, resolution_px)}")
                print(rows[-1], flush=True)
    text = "\n".join(
        [
            "# Reading pictures against bare decoding",
            "",
            f"JPEG photographs; Pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}; "
            f"one core of {cpu_name()}; processor time, measured on this host beside other work, the two in turns, "
            f"{TURNS} times. Both decode at the same scale, that of a training view read from disk. Reading: what "
            "edgefit does until it has the upright picture, its checks among it. To pixels: it then crops "
            "and resizes to the pixels that the app's preprocessing gives. The last two columns: what Pillow's crop "
            "and resize alone take of bare decoding, and the most that pixels / bare can be with them, were all else "
            "free. Written by `python -m experiments.data.reading_speed`.",
            "",
            "| photographs | input, px | bare, images/s | reading / bare | pixels, images/s | pixels / bare "
            "| in single turns | resizing / bare | at most |",
            "|---|---:|---:|---:|---:|---:|---|---:|---:|",
            *rows,
            "",
        ]
    )
    if a.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
