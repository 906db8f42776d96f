"""What answering up a taxonomy gives: more answers than one threshold on the class, at the same precision. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgefit_toolkit.data.answers.answering import Answering
from edgefit_toolkit.data.answers.taxonomy import CLASS, Taxonomy
from edgefit_toolkit.data.dataset import Seen
from edgefit_toolkit.report import derive, words
from edgefit_toolkit.report.schema.results import AnsweredDoc, OtherDoc, PlacesDoc, RankDoc, TaxonomyDoc, TurnedAwayDoc

OTHERS = (0.8, 0.9, 0.95, 0.98, 0.99)  # wanted precisions of the curve

Judged = tuple[NDArray[np.float32], NDArray[np.int64]]  # int8's probabilities [N, classes], true classes [N]


def taxonomy_doc(how: Answering, val: Judged, test: Judged, wanted: float) -> TaxonomyDoc:
    """Thresholds are chosen on `val` alone; every figure is of `test`, without pictures of other things."""
    tree, own = how.tree, test[1] != how.other
    truth, every = test[1][own], tree.sums(how.weighed(test[0][own]))
    val_sums = tree.sums(how.admitted(val[0]))
    sums = tree.sums(how.admitted(test[0][own]))
    thresholds = {one: tree.thresholds(val_sums, val[1], one) for one in sorted({*OTHERS, wanted})}
    chosen = thresholds[wanted]
    answers = tree.answers(sums, chosen)
    right, ranks = tree.right(answers, truth), np.array([node.rank for node in tree.nodes])[answers]
    by_rank: list[RankDoc] = []
    for rank, name in enumerate(tree.ranks):
        here = (answers >= 0) & (ranks == rank)
        answered = _answered(here, right)
        row: RankDoc = {
            "rank": name,
            "names": tree.spans[rank].stop - tree.spans[rank].start - (rank == 0 <= how.other),
            "accuracy": float(tree.right(tree.likeliest(every, rank)[0], truth).mean()),
            "answered": answered["answered"],
            "precision": answered["precision"],
        }
        if name in chosen:
            row["threshold"] = chosen[name]
        by_rank.append(row)
    return {
        "precision_wanted": wanted,
        "n": len(truth),
        "n_val": len(val[1]),
        "flat": _of(tree, sums, truth, _flat(chosen)),
        "tree": {**_answered(answers >= 0, right), "by_rank": by_rank},
        "curve": [
            {"precision_wanted": one, "flat": _of(tree, sums, truth, _flat(own)), "tree": _of(tree, sums, truth, own)}
            for one, own in thresholds.items()
        ],
    }


def sentence(doc: TaxonomyDoc) -> str:
    """The gain in one line, for the screen."""
    flat, tree = doc["flat"], doc["tree"]
    return (
        f"up the taxonomy {words.percent(tree['answered'])} of the test pictures are answered, "
        f"{share(tree['precision'])} of them rightly; by the class alone {words.percent(flat['answered'])}, "
        f"{share(flat['precision'])} rightly"
    )


def share(precision: float | None) -> str:
    """A precision in words; a dash where nothing was answered."""
    return "–" if precision is None else words.percent(precision)


def other_doc(how: Answering, test: Judged, float_test: NDArray[np.float32], n_val: int) -> OtherDoc:
    """What "none of these" keeps and turns away of test pictures; `float_test` is what the float file says of them."""
    int8_test, truth = test
    own, away = truth != how.other, truth == how.other
    turned = how.is_other(int8_test)
    doc: OtherDoc = {
        "floor": how.floor,
        "n_val": n_val,
        "examples": how.other >= 0,
        "kept": float(1 - turned[own].mean()),
        "n": int(own.sum()),
        "n_other": int(away.sum()),
    }
    if away.any():
        doc["turned_away"] = float(turned[away].mean())
        doc["float"], doc["int8"] = (_turned_away(how.certainty(p), own) for p in (float_test, int8_test))
    return doc


def other_sentence(doc: OtherDoc) -> str:
    """The same in one line, for the screen."""
    if "turned_away" in doc and "int8" in doc:
        share_away, auroc = words.percent(doc["turned_away"]), doc["int8"]["auroc"]
        away = f"and {share_away} of other things are turned away (AUROC {auroc:.3f})"
    else:
        away = "how many of other things are turned away is not known without --other"
    return (
        f"none of these: below {words.percent(doc['floor'], 0)}, chosen on validation pictures; "
        f"{words.percent(doc['kept'])} of the test pictures are kept, {away}"
    )


def places_doc(how: Answering, test: Judged, seen: Sequence[Seen]) -> PlacesDoc | None:
    """What int8 says of the test pictures whose region or month is known, with and without it; None where none is."""
    if how.places is None:
        return None
    known = [
        i for i, one in enumerate(seen) if (one.region in how.places.regions or one.month) and test[1][i] != how.other
    ]
    if not known:
        return None
    probabilities, truth = test[0][known], test[1][known]
    weighed, answers = how.weighed(probabilities), how.answers(probabilities)
    lowered, placed = weighed.copy(), answers.copy()
    for where in {seen[i] for i in known}:
        own = np.array([seen[i] == where for i in known])
        seldom = how.places.seldom(probabilities.shape[1], where.region or None, where.month or None)
        lowered[own], placed[own] = how.weighed(probabilities[own], seldom), how.answers(probabilities[own], seldom)
    before, after = weighed.argmax(1) == truth, lowered.argmax(1) == truth
    return {
        "n": len(known),
        "regions": sorted({seen[i].region for i in known} & set(how.places.regions)),
        "without": {**_answered(answers >= 0, how.tree.right(answers, truth)), "top1": float(before.mean())},
        "lowered": {**_answered(placed >= 0, how.tree.right(placed, truth)), "top1": float(after.mean())},
        "mended": int((after & ~before).sum()),
        "spoiled": int((before & ~after).sum()),
    }


def places_sentence(doc: PlacesDoc) -> str:
    """The same in words, for the screen and the report."""
    without, lowered = doc["without"], doc["lowered"]
    return (
        f"Where region or month of a test picture is known ({doc['n']:,}), lowering what does not occur there moves "
        f"the first answer's accuracy from {words.percent(without['top1'])} to {words.percent(lowered['top1'])} "
        f"({doc['mended']:,} mended, {doc['spoiled']:,} spoiled); answered are {words.percent(without['answered'])}, "
        f"{share(without['precision'])} of them rightly, and with the place {words.percent(lowered['answered'])}, "
        f"{share(lowered['precision'])} rightly"
    )


def _turned_away(certainty: NDArray[np.float64], own: NDArray[np.bool_]) -> TurnedAwayDoc:
    return {
        "auroc": derive.auroc(certainty[own], certainty[~own]),
        "fpr95": derive.kept_at_95(certainty[own], certainty[~own]),
    }


def _flat(thresholds: Mapping[str, float]) -> dict[str, float]:
    return {rank: at for rank, at in thresholds.items() if rank == CLASS}


def _of(tree: Taxonomy, sums: NDArray[np.float64], truth: NDArray[np.int64], at: Mapping[str, float]) -> AnsweredDoc:
    answers = tree.answers(sums, at)
    return _answered(answers >= 0, tree.right(answers, truth))


def _answered(answered: NDArray[Any], right: NDArray[Any]) -> AnsweredDoc:
    n = int(answered.sum())
    return {
        "answered": n / len(answered),
        "precision": int((answered & right).sum()) / n if n else None,
    }
