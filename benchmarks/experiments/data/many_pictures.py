"""What pictures cost as they grow in number.

    python -m experiments.data.many_pictures 2500 10000 30000 --untrained 300000

Each number is a process of its own: small drawn pictures of a long tail of classes are checked (first start), found in
the catalogue (second start), go through a tiny network (features) and the streamed linear probe; those of --untrained
end after the second start. Times are of the processor, in all threads, which other programs on the machine change
little. Memory is that of the process itself (RssAnon), the most beyond what it held before: pages of mapped files are
the system's, which takes them back when it needs them. Every row is added to many_pictures.csv as it is measured,
many_pictures.md and .svg are made anew from all of them.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.scaling import variant_from_factors, with_classes
from edgefit_toolkit.report.charts.svg import Chart
from edgefit_toolkit.training.compute import choose_compute
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.probe import streamed_probe
from edgefit_toolkit.training.settings import TrainSettings

RESULTS = Path(__file__).parents[2] / "results"
SIDE_PX, RESOLUTION_PX = 48, 32
STYLE = (
    "<style>.t{font:12px sans-serif;fill:#444}.grid{stroke:#ddd}.l1,.l2{fill:none;stroke-width:2}"
    ".l1{stroke:#06c}.l2{stroke:#c50}.m1{fill:#06c}.m2{fill:#c50}</style>"
)
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One number of pictures; nan where nothing was trained."""

    pictures: int
    classes: int
    first_start_s: float
    second_start_s: float
    start_mb: float  # the most of both, with the data set itself
    catalogue_bytes_a_picture: float
    features_s: float = float("nan")
    probe_s: float = float("nan")
    training_mb: float = float("nan")


class Watched:
    """Processor seconds and the most memory of a block, looked at every 50 ms."""

    def __enter__(self) -> Watched:
        self.most_mb, self._ended = anonymous_mb(), threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        self._before = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self.so_far_s
        self._ended.set()
        self._watcher.join()

    @property
    def so_far_s(self) -> float:
        """Since the block began."""
        return time.process_time() - self._before

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.most_mb = max(self.most_mb, anonymous_mb())


def anonymous_mb() -> float:
    """Memory of this process that is no file's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1]) / 1e3


def draw(folder: Path, count: int, classes: int) -> None:
    """About `count` pictures, fewer of each class than of the one before it: patches of the class' own colours."""
    shares = 1 / (np.arange(classes) + 8)
    random = np.random.default_rng(0)
    for label, share in enumerate(shares / shares.sum()):
        own = np.random.default_rng(label + 1).integers(0, 256, (4, 4, 3))
        (folder / f"class {label:04d}").mkdir(parents=True)
        for number in range(max(4, round(share * count))):
            values = (own + random.integers(-60, 61, own.shape)).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(values).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
            picture.save(folder / f"class {label:04d}" / f"{number:06d}.jpg", quality=85)


def tiny(dataset: Dataset) -> EfficientNet:
    """The smallest network of the family, with random weights: what is measured does not hang on them."""
    torch.manual_seed(0)
    return EfficientNet.from_variant(with_classes(variant_from_factors(0.25, 0.5, RESOLUTION_PX), len(dataset.classes)))


def measured(count: int, classes: int, trained: bool) -> Row:
    """All figures of one number of pictures."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        pictures, cache = Path(place) / "pictures", Path(place) / "cache"
        draw(pictures, count, classes)
        base_mb = anonymous_mb()
        with Watched() as first:
            dataset = load_dataset(str(pictures), seed=0, cache_dir=cache)
        found = dataset.sha256
        del dataset
        with Watched() as second:
            dataset = load_dataset(str(pictures), seed=0, cache_dir=cache)
        assert dataset.sha256 == found
        n = sum(len(dataset.split(split)) for split in ("train", "val", "test"))
        kept = sum(file.stat().st_size for file in cache.rglob("*.sqlite*"))
        start_mb = max(first.most_mb, second.most_mb) - base_mb
        row = Row(n, len(dataset.classes), first.seconds, second.seconds, start_mb, kept / n)
        return with_training(row, dataset, Path(place) / "state", base_mb) if trained else row


def with_training(row: Row, dataset: Dataset, state_dir: Path, base_mb: float) -> Row:
    """Two views of each picture through the network, and the probe."""
    streamed_probe.FULL_ROWS = 0  # in a stream whatever their number, so that they compare
    settings = TrainSettings(epochs=0, views=1, unfreeze_from=7)
    features_s: list[float] = []

    def on_progress(label: str, done: int, total: int, detail: str = "") -> None:
        if label.startswith("linear probe") and not features_s:
            features_s.append(training.so_far_s)

    with Watched() as training:
        fine_tune(tiny(dataset), dataset, settings, on_progress, state_dir=state_dir, compute=choose_compute("cpu"))
    figures = asdict(row) | {"features_s": features_s[0], "probe_s": training.seconds - features_s[0]}
    return Row(**figures | {"training_mb": training.most_mb - base_mb})


def read(path: Path) -> list[Row]:
    """The rows so far, by their number of pictures."""
    with path.open(encoding="utf-8", newline="") as file:
        found = [{name: float(value) for name, value in line.items()} for line in csv.DictReader(file)]
    whole = {"pictures", "classes"}
    rows = [Row(**{name: int(v) if name in whole else v for name, v in line.items()}) for line in found]  # type: ignore[arg-type]
    return sorted(rows, key=lambda row: (row.pictures, row.classes))


def add(path: Path, row: Row) -> None:
    """Puts a row into the table, in place of one of as many pictures and classes, whose training it keeps."""
    rows = {(one.pictures, one.classes): one for one in read(path)} if path.exists() else {}
    before = rows.get((row.pictures, row.classes), row)
    measured_now = {name: value for name, value in asdict(row).items() if value == value}
    rows[row.pictures, row.classes] = Row(**asdict(before) | measured_now)
    names = [field.name for field in fields(Row)]
    lines = [",".join(names)]
    for _, one in sorted(rows.items()):
        lines.append(",".join(f"{value:.6g}" for value in asdict(one).values()))
    write_atomic(path, "\n".join([*lines, ""]))


def page(rows: Sequence[Row]) -> str:
    """The committed table."""
    lines = [
        "# Many pictures",
        "",
        f"Drawn pictures of {SIDE_PX} px in a long tail of classes; {cpu_name()}, torch {torch.__version__}; processor "
        "seconds, measured on this host beside other work. MB: the most that the process itself held, beyond what it "
        "held before; pages of mapped files are the system's. Features: two views of each training picture and one of "
        f"each val picture through a tiny network at {RESOLUTION_PX} px. The probe is the streamed one, whatever their "
        "number. Val and test hold at most 10,000 pictures each. Written by "
        "`python -m experiments.data.many_pictures`.",
        "",
        "![seconds and memory over the number of pictures](many_pictures.svg)",
        "",
        "| pictures | classes | first start, s | second start, s | MB | catalogue, bytes/picture "
        "| features, s | probe, s | MB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        trained = "not run | not run | not run"
        if row.training_mb == row.training_mb:
            trained = f"{row.features_s:.0f} | {row.probe_s:.0f} | {row.training_mb:.0f}"
        lines.append(
            f"| {row.pictures:,} | {row.classes:,} | {row.first_start_s:.1f} | {row.second_start_s:.1f} | "
            f"{row.start_mb:.0f} | {row.catalogue_bytes_a_picture:.0f} | {trained} |"
        )
    return "\n".join([*lines, ""])


def plot(rows: Sequence[Row]) -> str:
    """Seconds of a first start, features and probe, and memory, over thousands of pictures; one number of classes."""
    classes = max((row.classes for row in rows), key=[row.classes for row in rows].count)
    rows = [row for row in rows if row.classes == classes]
    trained = [row for row in rows if row.training_mb == row.training_mb]
    most = rows[-1].pictures / 1e3 * 1.05
    panels = []
    for what, lines in (
        ("s", [("first start", [(r.pictures / 1e3, r.first_start_s) for r in rows]),
               ("features and probe", [(r.pictures / 1e3, r.features_s + r.probe_s) for r in trained])]),
        ("MB", [("starts", [(r.pictures / 1e3, r.start_mb) for r in rows]),
                ("features and probe", [(r.pictures / 1e3, r.training_mb) for r in trained])]),
    ):  # fmt: skip
        roof = max(y for _, points in lines for _, y in points) * 1.15
        chart = Chart(
            what, what, f"{what} over thousands of pictures", (0.0, most), (0.0, roof), "1,000 pictures", what
        )
        chart.axes()
        for number, (name, points) in enumerate(lines, 1):
            chart.line(points, f"l{number}")
            for x, y in points:
                chart.dot(x, y, f"m{number}", f"{y:.0f} {what}")
            chart.text(0, roof, name, f"t m{number}", dx=8, dy=14 * number)
        panels.append(chart)
    width, height = panels[0].width, panels[0].height
    inner = "".join(f'<g transform="translate({i * width:g})">{"".join(c.parts)}</g>' for i, c in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width:g} {height:g}">'
        f"<title>Seconds and memory over the number of pictures</title>{STYLE}"
        f'<rect width="100%" height="100%" fill="#fff"/>{inner}</svg>\n'
    )


def main() -> None:
    """Measures each number in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("counts", type=int, nargs="*")
    parser.add_argument("--untrained", type=int, nargs="*", default=[])
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--out", type=Path, default=RESULTS)
    a = parser.parse_args()
    table = a.out / "many_pictures.csv"
    if len(a.counts) + len(a.untrained) == 1:
        row = measured([*a.counts, *a.untrained][0], a.classes, bool(a.counts))
        add(table, row)
        write_atomic(a.out / "many_pictures.md", page(read(table)))
        write_atomic(a.out / "many_pictures.svg", plot(read(table)))
        print(row)
        return
    for flag, counts in (("", a.counts), ("--untrained", a.untrained)):
        for count in counts:
            command = [*filter(None, [flag]), str(count), "--classes", str(a.classes), "--out", str(a.out)]
            subprocess.run([sys.executable, "-m", "experiments.data.many_pictures", *command], check=True)


if __name__ == "__main__":
    main()
