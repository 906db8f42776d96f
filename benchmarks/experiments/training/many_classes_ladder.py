"""The int8 ladder's later steps where classes are many and hard, with a full and with a factorized classifier.

    python -m experiments.training.many_classes_ladder [--classes N] [--write]

Pictures and network as of many_classes, but at SIZE_PX: at 32 px the last map is one pixel, which the later steps
cannot mend. Every step but the last makes an int8 file of each, whatever the step before gave. Writes the section of
many_classes.md that stands under TITLE.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from edgefit_converters.judge.parity import sqnr_db
from edgefit_converters.ladder.material import Evidence, Material
from edgefit_converters.ladder.steps import STEPS
from edgefit_converters.recipe import Recipe
from edgefit_converters.routes.deploy import deploy
from edgefit_converters.routes.litert import LiteRT
from edgefit_toolkit.data.decoding import Pixels
from edgefit_toolkit.interpreter import Floats, TFLite
from edgefit_toolkit.network import scaling
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.network.head import Factors, output_layer
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.training.factorized import taught
from edgefit_toolkit.training.probe.streamed_probe import fit_streamed
from experiments.training import many_classes
from experiments.training.many_classes import JUDGED, L2, features, pictures, write_section

TITLE = "## Later steps of the ladder"
SIZE_PX, RANK, EACH, CALIBRATION = 64, 192, 2, 100


def steps(name: str, network: EfficientNet, calibration: Pixels, judged: Pixels, full: Floats) -> Iterator[str]:
    """A row a step; `full` [N, classes]: the float logits of the full classifier."""
    with tempfile.TemporaryDirectory() as folder:
        float_file, int8_file = Path(folder) / "float.tflite", Path(folder) / "int8.tflite"
        LiteRT().export_float(deploy(network), float_file)
        own = TFLite(float_file).logits(judged)
        material = Material(Evidence(float_file, calibration, judged), Path(folder))
        for step in STEPS[:-1]:
            made = LiteRT().quantize(step.draft(material), int8_file, Recipe())
            logits = TFLite(int8_file).logits(judged)
            kept = [float((logits.argmax(1) == other.argmax(1)).mean()) for other in (own, full)]
            yield (
                f"| {name} | {step.name} | {made.size_bytes / 1e6:.2f} | {kept[0]:.3f} | {sqnr_db(own, logits):.1f} | "
                f"{kept[1]:.3f} |"
            )


def main() -> None:
    """Fits, factorizes, converts, compares, and prints or writes the section."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--classes", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(1)
    many_classes.SIZE_PX = SIZE_PX
    variant = scaling.variant_from_factors(1.0, 1.0, SIZE_PX, "lite", a.classes)
    network = load_network(variant, allow_download=False)[0].eval()
    shown, truth = np.concatenate(list(pictures(a.classes, 1, EACH))), torch.arange(a.classes)
    train = torch.cat([features(network, some) for some in pictures(a.classes, EACH, 0)])
    val = features(network, shown)
    (probe,) = fit_streamed(train, truth.repeat_interleave(EACH), val, truth, a.classes, L2)
    full = output_layer(network.classifier)
    probe.into(full)
    factorized = copy.deepcopy(network)
    factorized.classifier = taught(Factors(full, train, RANK).of_rank(RANK), full, train)
    factorized.variant = scaling.with_head_rank(variant, RANK)
    some = np.linspace(0, a.classes - 1, JUDGED).round().astype(int)
    with torch.no_grad():
        reference = full(val).numpy()[some]
        top1 = [float((made(val).argmax(1) == truth).double().mean()) for made in (full, factorized.classifier)]
    calibration = np.concatenate([one for one, _ in zip(pictures(a.classes, 1, 0), range(CALIBRATION), strict=False)])
    lines = [
        f"`python -m experiments.training.many_classes_ladder`: the same with {a.classes:,} classes at {SIZE_PX} px, "
        f"val top-1 in float {top1[0]:.3f}, at rank {RANK}, taught the full one's answers, {top1[1]:.3f}. "
        f"{CALIBRATION} calibration pictures, {JUDGED:,} val pictures, the converter as a run uses it.",
        "",
        "| classifier | step | file, MB | own float answers kept | SQNR, dB | answers of the full float one kept |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for name, one in (("full", network), (f"rank {RANK}", factorized)):
        for row in steps(name, one, calibration, shown[some], reference):
            print(row, flush=True)
            lines.append(row)
    if a.write:
        write_section(TITLE, "\n".join(lines))


if __name__ == "__main__":
    main()
