"""From a model's outputs to what an app says. answer.json carries it; answer.js and Answer.kt do the same.

1. The outputs to the file's power, brought to a sum of 1, are the probabilities: see power.py.
2. No name's certainty reaches the floor: it is none of these. A class is as certain as it is probable; of a coarser
   name, which chance alone would fill as far as it holds classes, that much is taken off. The class of other things,
   where the model has one, is no class that could be named.
3. Where a place or a month is given, classes that do not occur there are lowered, and all are brought to the sum that
   they had.
4. Probabilities are summed up the tree; the likeliest node of the finest rank whose threshold it meets is the answer.

All in 64-bit floats, in the order of classes and nodes, so that three languages agree to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.answers.places import LOWERED, Places
from edgefit_toolkit.data.answers.power import POWERS, to_power
from edgefit_toolkit.data.answers.taxonomy import CLASS, Doubles, Indices, Node, Taxonomy
from edgefit_toolkit.errors import InputError

SCHEMA = "edgefit.answer/1"
KEPT = 0.95  # of validation pictures of the classes are not called none of these
ALIKE = 0.02  # of the probability: what the pictures of a class give to another one that looks like it
MOST_ALIKE = 3


@dataclass(frozen=True)
class Answering:
    """How answers are made."""

    tree: Taxonomy
    thresholds: Mapping[str, float]  # rank -> from which sum on it answers
    floor: float = 0.0  # below this certainty it is none of these
    other: int = -1  # the class that stands for other things; -1: there is none
    places: Places | None = None
    alike: tuple[tuple[int, ...], ...] = ()  # of each class those that look like it
    power: int = 1  # of the model's outputs

    @property
    def known(self) -> list[int]:
        """The classes that can be named."""
        return [label for label in range(self.tree.spans[0].stop) if label != self.other]

    def certainty(self, outputs: NDArray[Any]) -> Doubles:
        """float64 [N], at most 1: how far the surest name of the tree rises above chance; outputs [N, classes].

        What lies outside a name of k of n classes is weighed by (n - 1) / (n - k): a class keeps its probability, and
        a name that holds them all says nothing.
        """
        held, n = self.tree.held(self.known), self.tree.spans[0].stop
        telling = (held > 0) & (held < n)
        outside = 1.0 - self.tree.sums(self._nameable(outputs))[:, telling]
        found: Doubles = (1.0 - outside * ((n - 1) / (n - held[telling]))).max(1)
        return found

    def is_other(self, outputs: NDArray[Any]) -> NDArray[np.bool_]:
        """bool [N]: none of these. Outputs are [N, classes], as the model gives them."""
        found: NDArray[np.bool_] = self.certainty(outputs) < self.floor
        return found

    def weighed(self, outputs: NDArray[Any], seldom: NDArray[np.bool_] | None = None) -> Doubles:
        """Probabilities float64 [N, classes]: that of other things 0, those `seldom` seen here [classes] lowered."""
        given = self._nameable(outputs)
        if seldom is None or not seldom.any():
            return given
        lowered = given * np.where(seldom, LOWERED, 1.0)
        before, after = (np.cumsum(values, axis=1)[:, -1:] for values in (given, lowered))  # added one by one
        return lowered * np.divide(before, after, out=np.ones_like(after), where=after > 0)

    def admitted(self, outputs: NDArray[Any]) -> Doubles:
        """As `weighed`, and nothing of a picture that is none of these: what may be answered, rightly or wrongly."""
        return np.where(self.is_other(outputs)[:, None], 0.0, self.weighed(outputs))

    def answers(self, outputs: NDArray[Any], seldom: NDArray[np.bool_] | None = None) -> Indices:
        """The node that answers each picture; -1: not sure, or none of these."""
        found = self.tree.answers(self.tree.sums(self.weighed(outputs, seldom)), self.thresholds)
        return np.where(self.is_other(outputs), -1, found)

    def _nameable(self, outputs: NDArray[Any]) -> Doubles:
        found = to_power(outputs, self.power)
        if self.other >= 0:
            found[:, self.other] = 0.0
        return found


def floor_keeping(certainty: Doubles, share: float = KEPT) -> float:
    """The highest floor that keeps at least this share of pictures [N]; 0 of none."""
    ranked = np.sort(certainty)
    return float(ranked[int((1 - share) * len(ranked) + 1e-9)]) if len(ranked) else 0.0


def look_alikes(probabilities: NDArray[Any], truth: Indices, known: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Of each class the MOST_ALIKE ones that its pictures give the most probability to [N, classes], ALIKE or more."""
    found: list[tuple[int, ...]] = []
    for label in range(probabilities.shape[1]):
        own = truth == label
        mean = probabilities[own].mean(0) if own.any() else np.zeros(probabilities.shape[1])
        ranked = sorted((other for other in known if other != label), key=lambda other: (-mean[other], other))
        found.append(tuple(other for other in ranked[:MOST_ALIKE] if mean[other] >= ALIKE))
    return tuple(found)


def answer_doc(how: Answering) -> dict[str, Any]:
    """answer.json."""
    tree = how.tree
    doc: dict[str, Any] = {
        "schema": SCHEMA,
        "power": how.power,
        "ranks": list(tree.ranks),
        "thresholds": dict(how.thresholds),
        "other": {"class": how.other, "floor": how.floor},
        "nodes": [asdict(node) | {"rank": tree.ranks[node.rank]} for node in tree.nodes],
        "alike": [list(others) for others in how.alike],
    }
    if how.places is not None:
        rows = [list(row) for row in how.places.rows]
        doc["places"] = {"regions": list(how.places.regions), "lowered": LOWERED, "rows": rows}
    return doc


def read_answer_doc(doc: Any, classes: Sequence[str]) -> Answering:
    """What answer.json holds. Raises InputError unless it is a tree over these very classes."""
    try:
        if doc["schema"] != SCHEMA:
            raise ValueError(f"its schema is {doc['schema']!r}, not {SCHEMA!r}")
        tree = _tree(doc)
        thresholds = {str(name): float(value) for name, value in doc["thresholds"].items()}
        if not thresholds.keys() <= set(tree.ranks):
            raise ValueError("a threshold has no rank")
        count = tree.spans[0].stop
        other = doc.get("other", {"class": -1, "floor": 0.0})
        alike = tuple(tuple(_index(label, count) for label in row) for row in doc.get("alike", []))
        if alike and len(alike) != count:
            raise ValueError(f"it says of {len(alike)} classes what looks like them")
        power = doc.get("power", 1)
        if power not in POWERS:
            raise ValueError(f"its power is {power!r}, not one of {', '.join(map(str, POWERS))}")
        how = Answering(
            tree,
            thresholds,
            float(other["floor"]),
            _index(other["class"], count, -1),
            _places(doc, count),
            alike,
            power,
        )
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"answer.json is not the run's tree of answers: {error}", "run `edgefit fit` again") from error
    found = [node.name for node in tree.nodes if node.rank == 0]
    if found != list(classes):
        raise InputError(
            f"answer.json names {len(found)} classes that are not the run's {len(classes)} in their order",
            "run `edgefit fit` again",
        )
    return how


def _tree(doc: Any) -> Taxonomy:
    ranks = tuple(str(name) for name in doc["ranks"])
    nodes = tuple(
        Node(str(n["name"]), ranks.index(n["rank"]), int(n["parent"]), {k: str(v) for k, v in n["names"].items()})
        for n in doc["nodes"]
    )
    for at, node in enumerate(nodes):
        later = at < node.parent < len(nodes) and nodes[node.parent].rank > node.rank
        if node.parent != -1 and not later:
            raise ValueError(f"the parent of node {at} ({node.name}) is {node.parent}")
    if [node.rank for node in nodes] != sorted(node.rank for node in nodes) or ranks[0] != CLASS:
        raise ValueError("its nodes do not stand by rank, classes first")
    if len({node.rank for node in nodes}) != len(ranks):
        raise ValueError("a rank has no nodes")
    return Taxonomy(ranks, nodes)


def _places(doc: Any, classes: int) -> Places | None:
    found = doc.get("places")
    if found is None:
        return None
    if found["lowered"] != LOWERED:
        raise ValueError(f"it lowers by {found['lowered']!r}, this edgefit by {LOWERED}")
    regions = tuple(str(name) for name in found["regions"])
    rows = tuple((_index(a, classes), _index(b, len(regions)), int(c)) for a, b, c in found["rows"])
    return Places(regions, rows)


def _index(value: Any, count: int, least: int = 0) -> int:
    if not least <= int(value) < count:
        raise ValueError(f"{value} is none of {count}")
    return int(value)
