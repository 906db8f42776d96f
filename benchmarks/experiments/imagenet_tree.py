"""Answers up a tree of ImageNet's classes: more answers than one threshold on the class, at the same precision?

    python -m experiments.imagenet_tree FOLDER

FOLDER holds photographs with a labels.csv (file,class_index,...). Lite0's ImageNet weights, int8 by min-max; the
thresholds are chosen on every second photograph and judged on the others, and the other way round. WordNet's files are
not at hand: the tree is made by hand from the order of ImageNet's classes, which follows WordNet.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np

from edgefit_converters.int8.quantize import quantize_int8
from edgefit_converters.routes import litert
from edgefit_toolkit.data.answers.answering import Answering, floor_keeping
from edgefit_toolkit.data.answers.taxonomy import CLASS, Node, Taxonomy
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.readers.folder import file_picture
from edgefit_toolkit.interpreter import TFLite
from edgefit_toolkit.network.scaling import released
from edgefit_toolkit.network.weights import load_network
from edgefit_toolkit.report import rollup

CLASSES = 1000
# group, kingdom, its classes from .. to: ILSVRC-2012's order
GROUPS = (
    ("fish", "animal", 0, 6), ("bird", "animal", 7, 24), ("amphibian", "animal", 25, 32), ("reptile", "animal", 33, 68),
    ("arachnid", "animal", 70, 78), ("bird", "animal", 80, 100), ("marsupial", "animal", 102, 106),
    ("mollusc", "animal", 111, 117), ("crustacean", "animal", 118, 126), ("bird", "animal", 127, 146),
    ("sea mammal", "animal", 147, 150), ("dog", "animal", 151, 268), ("wild dog", "animal", 269, 280),
    ("cat", "animal", 281, 293), ("bear", "animal", 294, 297), ("insect", "animal", 300, 326),
    ("rodent or hare", "animal", 330, 338), ("hoofed animal", "animal", 339, 355), ("weasel", "animal", 356, 362),
    ("ape or monkey", "animal", 365, 384), ("elephant", "animal", 385, 386), ("fish", "animal", 389, 397),
    ("", "thing", 398, 923), ("food", "food", 924, 969), ("landscape", "landscape", 970, 980),
    ("person", "person", 981, 983), ("plant", "plant", 984, 990), ("fungus", "fungus", 991, 997),
)  # fmt: skip


def tree() -> Taxonomy:
    """Classes, groups, kingdoms."""
    groups = sorted({(group, above) for group, above, *_ in GROUPS if group})
    kingdoms = sorted({above for _, above, *_ in GROUPS})
    at_kingdom = {name: CLASSES + len(groups) + i for i, name in enumerate(kingdoms)}
    at_group = {name: CLASSES + i for i, (name, _) in enumerate(groups)}
    parents = dict.fromkeys(range(CLASSES), -1)
    for group, above, low, high in GROUPS:
        parents |= dict.fromkeys(range(low, high + 1), at_group[group] if group else at_kingdom[above])
    nodes = [Node(f"{label}", 0, parent) for label, parent in parents.items()]
    nodes += [Node(name, 1, at_kingdom[above]) for name, above in groups]
    nodes += [Node(name, 2) for name in kingdoms]
    return Taxonomy((CLASS, "group", "kingdom"), tuple(nodes))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    with (folder / "labels.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    variant = released("lite0")
    pixels = load_pixels([file_picture(folder / row["file"]) for row in rows], preprocessing_for(variant))
    truth = np.array([int(row["class_index"]) for row in rows])
    with tempfile.TemporaryDirectory() as scratch:
        float_path, int8_path = Path(scratch) / "float.tflite", Path(scratch) / "int8.tflite"
        litert.export_float(load_network(variant, allow_download=False)[0], float_path)
        quantize_int8(float_path, pixels[::3], int8_path)
        scores = TFLite(int8_path).predict(pixels)
    print("| wanted | class alone: answered | right | tree: answered | right | by group | by kingdom |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    for wanted in (0.8, 0.9, 0.95, 0.98):
        docs = []
        for half in (0, 1):
            val, test = slice(half, None, 2), slice(1 - half, None, 2)
            how = Answering(tree(), {}, floor_keeping(scores[val].max(1)))
            docs.append(rollup.taxonomy_doc(how, (scores[val], truth[val]), (scores[test], truth[test]), wanted))
        cells = []
        for name in ("flat", "tree"):
            answered = sum(doc[name]["answered"] * doc["n"] for doc in docs)
            right = sum((doc[name]["precision"] or 0) * doc[name]["answered"] * doc["n"] for doc in docs)
            cells += [f"{answered:.0f}", f"{right / max(answered, 1):.3f}"]
        for rank in (1, 2):
            cells.append(f"{sum(doc['tree']['by_rank'][rank]['answered'] * doc['n'] for doc in docs):.0f}")
        print(f"| {wanted} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
