"""Five flowers under their families: answers given and their precision, by the class alone and up the tree.

    python -m experiments.answers.flower_families ANSWERS.npz

ANSWERS.npz is what `python -m experiments.answers.none_of_these FLOWERS OTHERS --answers` wrote: here the int8 files
of roots that know all five flowers, without and with 50 examples of other things. Thresholds and the floor of "none
of these" are chosen on val (with 50 other things more where there are examples) and judged on test and 100 further
other things.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgefit_toolkit.data.answers.answering import Answering, floor_keeping
from edgefit_toolkit.data.answers.taxonomy import Indices, Taxonomy
from edgefit_toolkit.interpreter import Floats
from experiments.answers.none_of_these import FAMILIES, up_the_families

Judged = tuple[Floats, Indices]


def row(how: Answering, turned: Answering, val: Judged, test: Judged, others: Floats, wanted: float) -> list[str]:
    """What `how` answers, where `turned` decides what is none of these."""
    turned = replace(turned, floor=floor_keeping(turned.certainty(val[0][val[1] != turned.other])))
    weighed = np.where(turned.is_other(val[0])[:, None], 0.0, how.weighed(val[0]))
    thresholds = how.tree.thresholds(how.tree.sums(weighed), val[1], wanted)

    def answers(probabilities: Floats) -> Indices:
        nodes = how.tree.answers(how.tree.sums(how.weighed(probabilities)), thresholds)
        return np.where(turned.is_other(probabilities), -1, nodes)

    nodes = answers(test[0])
    counts = ((nodes >= 0).sum(), how.tree.right(nodes, test[1]).sum(), (nodes >= how.tree.spans[0].stop).sum())
    named = (answers(others) >= 0).sum()
    return [*map(str, counts), f"{turned.is_other(test[0]).sum()}", f"{named} of {len(others)}"]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path)
    with np.load(parser.parse_args().answers) as file:
        said = {name.removeprefix("None/None/"): file[name] for name in file if name.startswith("None/")}
    known = sorted(FAMILIES)
    columns = ("answered", "right", "by the family", "none of these", "other things named")
    print("| examples | wanted | looks at | " + " | ".join(columns) + " |\n|---|--:|---|" + "--:|" * 5)
    for examples in (False, True):
        start = f"{examples}/int8"
        sets = {}
        for split in ("val", "test"):
            parts = [said[f"{start}/{split}/{name}"] for name in known]
            sets[split] = np.concatenate(parts), np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        if examples:
            more = said[f"{start}/others1"]
            sets["val"] = np.concatenate((sets["val"][0], more)), np.append(sets["val"][1], [len(known)] * len(more))
        tree = replace(up_the_families(known, examples), power=2)
        flat = replace(tree, tree=Taxonomy.of_classes([node.name for node in tree.tree.nodes if node.rank == 0]))
        ways = {"class alone": (flat, flat), "tree; none of these by the class": (tree, flat), "tree": (tree, tree)}
        for wanted in (0.95, 0.98, 0.99):
            for what, (how, turned) in ways.items():
                cells = row(how, turned, sets["val"], sets["test"], said[f"{start}/others2"], wanted)
                print(f"| {'50' if examples else 'none'} | {wanted} | {what} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
