"""Answers up WordNet over ImageNet's classes: more answers than one threshold on the class, at the same precision?

    python -m experiments.answers.imagenet_tree SAMPLES FLOWERS SYNSETS DATA_NOUN

SAMPLES holds photographs with a labels.csv (file,class_index,wnid,...), FLOWERS photographs of roses and tulips, which
are none of ImageNet's classes. SYNSETS is the list of ImageNet's 1,000 wnids in the order of the classes
(timm/data/_info/imagenet_synsets.txt in timm's wheel), DATA_NOUN that file of WordNet 3.0 (Debian's package
wordnet-base). Lite0's ImageNet weights, int8 by min-max; thresholds are chosen on every second photograph and judged on
the others, and the other way round. A name that holds more than half of the classes (entity, artifact) is no answer.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.routes import litert
from edgefit_toolkit.data.answers.answering import Answering, floor_keeping
from edgefit_toolkit.data.answers.power import best_power, to_power
from edgefit_toolkit.data.answers.taxonomy import Doubles, Indices, Taxonomy
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.interpreter import Pixels, TFLite
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.report.derive import auroc, kept_at_95
from edgefit_toolkit.training.evaluation import logits
from experiments.answers import wordnet

SHARES = (0.02, 0.1, 0.5)  # of the classes: the most that a name of each rank holds
OTHERS = ("rose", "tulip")


def main() -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("samples", "flowers", "synsets", "data_noun"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    rows = list(csv.DictReader((chosen.samples / "labels.csv").read_text(encoding="utf-8").splitlines()))
    truth = np.array([int(row["class_index"]) for row in rows])
    synsets = chosen.synsets.read_text().split()
    assert all(synsets[int(row["class_index"])] == row["wnid"] for row in rows), "another order of classes"
    tree = wordnet.tree(synsets, *wordnet.read_nouns(chosen.data_noun), SHARES)
    pictures = [chosen.samples / row["file"] for row in rows]
    flowers = [file for kind in OTHERS for file in sorted(chosen.flowers.glob(f"*/{kind}/*.jpg"))]
    scores = _scores(_pixels(pictures), _pixels(flowers))
    trees = {"classes alone": Taxonomy.of_classes(synsets), "the tree": tree}
    print("| wanted | looks at | answered | right | by class | by a name of up to 2% | 10% | 50% | none of these |")
    print("|--:|---|--:|--:|--:|--:|--:|--:|--:|")
    for wanted in (0.8, 0.9, 0.95, 0.98):
        for what, names in trees.items():
            answered, right, *by, none = _answers(names, scores["int8"][0], truth, wanted)
            cells = [f"{answered}", f"{right / max(answered, 1):.3f}", *map(str, by), f"{none}"]
            print(f"| {wanted} | {what} | " + " | ".join(cells) + " |")
    sure = np.argsort(-scores["int8"][0].max(1), kind="stable")
    right = (scores["int8"][0].argmax(1) == truth)[sure].cumsum() / np.arange(1, len(truth) + 1)
    most = ", ".join(f"{np.flatnonzero(right >= goal).max() + 1} at {goal}" for goal in (0.93, 0.94, 0.95, 0.96))
    print(f"\nclasses alone, the threshold chosen afterwards, none turned away: {most}")
    print("\n| looks at | float AUROC | FPR95 | int8 AUROC | FPR95 |\n|---|--:|--:|--:|--:|")
    for what, names in trees.items():
        how, cells = Answering(names, {}), []
        for ours, theirs in scores.values():
            kept, away = how.certainty(ours), how.certainty(theirs)
            cells += [f"{auroc(kept, away):.3f}", f"{kept_at_95(kept, away):.3f}"]
        print(f"| {what} | " + " | ".join(cells) + " |")


def _pixels(files: list[Path]) -> Pixels:
    return load_pixels([file_picture(file) for file in files], preprocessing_for(released("lite0")))


def _scores(pixels: Pixels, others: Pixels) -> dict[str, tuple[Doubles, Doubles]]:
    """What float and int8 say of the photographs and of other things."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {kind: Path(scratch) / f"{kind}.tflite" for kind in ("float", "int8")}
        network = load_network(released("lite0"), allow_download=False)[0]
        power = best_power(logits(network, pixels[::3]))
        litert.export_float(network, files["float"], float(power))
        quantize_int8(files["float"], pixels[::3], files["int8"])
        models = {kind: TFLite(file) for kind, file in files.items()}
        print(f"power of the outputs: {power}\n")
        return {k: (to_power(m.predict(pixels), power), to_power(m.predict(others), power)) for k, m in models.items()}


def _answers(tree: Taxonomy, scores: Doubles, truth: Indices, wanted: float) -> tuple[int, ...]:
    """Of all photographs, both halves together: answered, rightly so, at each rank; none of these."""
    ranks, found = np.array([node.rank for node in tree.nodes]), np.zeros(4 + len(SHARES), int)
    for half in (0, 1):
        val, test = slice(half, None, 2), slice(1 - half, None, 2)
        how = Answering(tree, {})
        how = replace(how, floor=floor_keeping(how.certainty(scores[val])))
        how = replace(how, thresholds=tree.thresholds(tree.sums(how.admitted(scores[val])), truth[val], wanted))
        nodes = how.answers(scores[test])
        by_rank = np.bincount(ranks[nodes[nodes >= 0]], minlength=1 + len(SHARES))
        right = tree.right(nodes, truth[test])
        found += [(nodes >= 0).sum(), right.sum(), *by_rank, how.is_other(scores[test]).sum()]
    return tuple(found.tolist())


if __name__ == "__main__":
    main()
