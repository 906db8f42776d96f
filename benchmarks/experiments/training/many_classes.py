"""Ten thousand classes: the full classifier against factorized ones: `python -m experiments.training.many_classes`.

Drawn pictures, each class a pattern of colours of its own; Lite0's ImageNet weights, frozen, at 32 px; a linear
classifier fitted in a stream to --train pictures of each class. It is factorized at every rank that a training would
try, and the first that a training would take is marked. Full and taken go through the default converter to int8 files,
whose answers are compared with the full float classifier's. Latencies are those of untrained int8 files of the same
graphs at the networks' own resolutions, in turns, on one thread. Written to many_classes.md.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.stats import summarise
from edgefit_benchmarks.targets.local import LocalTarget
from edgefit_benchmarks.timing import measure_interleaved
from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.judge.parity import sqnr_db
from edgefit_converters.routes.litert import export_float
from edgefit_converters.tflite.skeleton import write_skeleton
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.data.preprocessing import to_network_input
from edgefit_toolkit.files import write_atomic
from edgefit_toolkit.host import cpu_name
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.head import Classifier, Factors, output_layer
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.training.factorized import ranks_of, smallest
from edgefit_toolkit.training.probe.linear_probe import best_probe
from edgefit_toolkit.training.probe.streamed_probe import fit_streamed

RESULT = Path(__file__).parents[2] / "results" / "many_classes.md"
SIZE_PX, NOISE, BATCH = 32, 40, 32
L2 = (1e-4,)
JUDGED = 1000  # pictures that go through the int8 files
ROUNDS = 3
NEXT = "\n"


def pictures(classes: int, each: int, first: int) -> Iterator[Pixels]:
    """uint8 [each, 32, 32, 3] of every class: those of number `first` on."""
    for label in range(classes):
        pattern = np.random.default_rng([label, 0]).integers(0, 256, (4, 4, 3))
        made = []
        for number in range(first, first + each):
            noise = np.random.default_rng([label, 1 + number]).integers(-NOISE, NOISE + 1, pattern.shape)
            values = Image.fromarray((pattern + noise).clip(0, 255).astype(np.uint8))
            made.append(np.asarray(values.resize((SIZE_PX, SIZE_PX), Image.Resampling.BICUBIC)))
        yield np.stack(made)


@torch.no_grad()
def features(network: EfficientNet, pixels: Pixels) -> Tensor:
    """[N, 1280]."""
    return torch.cat([network.features(x) for x in torch.split(to_network_input(pixels), BATCH)])


@torch.no_grad()
def answers(classifier: Classifier, rows: Tensor) -> Tensor:
    """The first answer of each row of features."""
    return torch.cat([classifier(part).argmax(1) for part in torch.split(rows, 1024)])


def table(full: Classifier, factors: Factors, ranks: list[int], val: Tensor, truth: Tensor) -> list[str]:
    """A row a rank: weights of the classifier, val top-1, answers kept."""
    before = answers(full, val)
    count = sum(weight.numel() for weight in full.parameters())
    lines = [f"| full | {count / 1e6:.2f} | {(before == truth).double().mean():.4f} | |"]
    taken, _ = smallest(full, (factors.of_rank(rank) for rank in ranks), val, truth)
    for rank in ranks:
        made = factors.of_rank(rank)
        now = answers(made, val)
        mark = " **taken**" if taken is not None and rank == taken.rank else ""
        count = sum(weight.numel() for weight in made.parameters())
        lines.append(
            f"| {rank}{mark} | {count / 1e6:.2f} | {(now == truth).double().mean():.4f} | "
            f"{(now == before).double().mean():.4f} |"
        )
    return lines


def int8_row(name: str, network: EfficientNet, reference: Tensor, calibration: Pixels, judged: Pixels) -> str:
    """Size of the int8 file and how well it repeats the full float classifier's logits [N, classes]."""
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = Path(folder) / "float.tflite", Path(folder) / "int8.tflite"
        export_float(network, float_file)
        made = quantize_int8(float_file, calibration, int8_file)
        logits = TFLite(int8_file).logits(judged)
    kept = float((logits.argmax(1) == reference.argmax(1).numpy()).mean())
    return (
        f"| {name} | {made.size_bytes / 1e6:.2f} | {made.ops['FULLY_CONNECTED']} | {kept:.3f} | "
        f"{sqnr_db(reference.numpy(), logits):.1f} |"
    )


def latencies(classes: int, rank: int) -> list[str]:
    """A row a released network: host int8 latency with a full and with a factorized classifier, in turns."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("lite0", "lite2"):
            full = scaling.released(name, classes)
            made = {"full": full, "factorized": scaling.with_head_rank(full, rank)}
            files = {what: write_skeleton(variant, Path(folder) / f"{what}.tflite") for what, variant in made.items()}
            rounds = [
                measure_interleaved(LocalTarget(), files, TimingOptions(threads=1, max_seconds=2.0, seed=seed))
                for seed in range(ROUNDS)
            ]
            p50 = {what: [summarise(found[what].samples_ms).p50_ms for found in rounds] for what in files}
            ratios = [b / a for a, b in zip(p50["full"], p50["factorized"], strict=True)]
            sizes = " | ".join(f"{variant.params / 1e6:.2f}" for variant in made.values())
            times = " | ".join(f"{np.median(p50[what]):.2f}" for what in made)
            lines.append(f"| {full.label} | {sizes} | {times} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return lines


def write_section(title: str, text: str) -> None:
    """Into the page, in place of the section of that title."""
    before, _, after = RESULT.read_text().partition(f"{title}\n")
    _, mark, after = after.partition("\n## ")
    write_atomic(RESULT, f"{before.rstrip()}\n\n{title}\n\n{text.strip()}\n{mark}{after}")


def main() -> None:
    """Fits, factorizes, converts, times and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--classes", type=int, default=10_000)
    parser.add_argument("--train", type=int, default=2, help="pictures of each class")
    parser.add_argument("--out", type=Path, default=RESULT)
    a = parser.parse_args()
    torch.set_num_threads(1)
    variant = scaling.variant_from_factors(1.0, 1.0, SIZE_PX, "lite", a.classes)
    network = load_network(variant, allow_download=False)[0]
    shown = np.concatenate(list(pictures(a.classes, 1, a.train)))
    train = torch.cat([features(network, some) for some in pictures(a.classes, a.train, 0)])
    val, truth = features(network, shown), torch.arange(a.classes)
    labels = truth.repeat_interleave(a.train)
    probe = best_probe(fit_streamed(train, labels, val, truth, a.classes, L2))
    probe.into(output_layer(network.classifier))
    full, ranks = output_layer(network.classifier), ranks_of(variant, train.shape[1])
    factors = Factors(full, train, ranks[-1])
    rows = table(full, factors, ranks, val, truth)
    taken, said = smallest(full, (factors.of_rank(rank) for rank in ranks), val, truth)
    assert taken is not None, said
    factorized = copy.deepcopy(network)
    factorized.classifier, factorized.variant = taken, scaling.with_head_rank(variant, taken.rank)
    some = np.linspace(0, a.classes - 1, JUDGED).round().astype(int)
    with torch.no_grad():
        reference = full(val[torch.from_numpy(some)])
    calibration = np.concatenate([one for one, _ in zip(pictures(a.classes, 1, 0), range(200), strict=False)])
    named = (("full", network), (f"rank {taken.rank}", factorized))
    files = [int8_row(name, which, reference, calibration, shown[some]) for name, which in named]
    timed = latencies(a.classes, taken.rank)
    write_atomic(a.out, f"""# {a.classes:,} classes

Written by `python -m experiments.training.many_classes`. Drawn pictures (each class a 4 x 4 pattern of colours of its
own; {a.train} noisy pictures of each to train on, one of val), Lite0's ImageNet weights, frozen, at {SIZE_PX} px, and a
linear classifier fitted in a stream (L2 {probe.l2:g}; val top-1 {probe.val_top1:.3f}).

## Rank

Factorized to keep the logits of the training pictures, and not yet taught the full one's answers, as a training does.
Taken: the smallest rank at which the lower end of the 95%
interval of the difference in val top-1 is no more than a point below the full classifier: {said}.

| rank | classifier, M weights | val top-1 | answers of the full one kept |
|---|---:|---:|---:|
{NEXT.join(rows)}

## int8

By the default converter, min-max ranges of {len(calibration)} training pictures; against the full float classifier, on
{JUDGED:,} val pictures.

| classifier | file, MB | FULLY_CONNECTED | answers kept | SQNR of the logits, dB |
|---|---:|---:|---:|---:|
{NEXT.join(files)}

## Latency

Measured on this host ({cpu_name()}, LiteRT with XNNPACK, one thread, beside other work, so that only the ratios count):
untrained int8 files of the same graphs, full and at rank {taken.rank}, p50 in turns, the median of {ROUNDS} rounds.

| network | full, M weights | factorized, M weights | full, ms | factorized, ms | factorized / full, each round |
|---|---:|---:|---:|---:|---|
{NEXT.join(timed)}
""")  # fmt: skip


if __name__ == "__main__":
    main()
