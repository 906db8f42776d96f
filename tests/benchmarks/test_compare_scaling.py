"""How the scaling strategies are compared: the folds, and the rule that names the winner."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.training_parts import CLASSES, drawn_dataset

from experiments.training import compare_scaling as script


def rows(right: int, n: int = 200) -> list[script.Row]:
    """Five folds that together tell the first `right` of n photographs."""
    told = [{f"{i}.jpg": i < right for i in range(fold, n, 5)} for fold in range(5)]
    net = {"label": f"net{right}", "how": "grown", "grown_from": "lite1", "predicted_p90_ms": 1.0}
    return [net | {"right": part} for part in told]


def test_every_photograph_is_tested_once_and_never_trained_on_there(tmp_path: Path) -> None:
    dataset = drawn_dataset(tmp_path, train=6, val=2, test=2)
    splits = script.folds(dataset)
    tested = Counter(photo.place for split in splits for photo in split.test)
    assert tested == Counter(photo.place for photo in (*dataset.train, *dataset.val, *dataset.test))
    for split in splits:
        assert not {p.place for p in split.test} & {p.place for p in (*split.train, *split.val)}
        assert set(Counter(p.label for p in split.test).values()) == {10 // script.FOLDS}
        assert {p.label for p in split.train} == set(range(len(CLASSES)))


@pytest.mark.parametrize("winner", script.STRATEGIES)
def test_who_tells_more_wins_where_the_difference_shows(winner: str) -> None:
    loser = next(name for name in script.STRATEGIES if name != winner)
    alone = [{"continuous": rows(150)}] * 3  # coverage must not decide against accuracy
    found = script.verdict([{winner: rows(190), loser: rows(150)}, {winner: rows(192), loser: rows(155)}, *alone])
    assert found["winner"] == winner
    assert found["low"] * found["high"] > 0
    assert abs(found["difference"]) == pytest.approx((40 + 37) / 2 / 200)
    assert (found["shared"], found["budgets"]) == (2, 5)


def test_where_none_shows_the_one_with_more_answers_wins() -> None:
    shared = {"continuous": rows(180), "released": rows(181)}
    found = script.verdict([shared, {"continuous": rows(150)}])
    assert found["winner"] == "continuous"
    assert found["difference"] < 0 < found["high"]
    assert found["answered"] == {"continuous": 2, "released": 1}
    assert script.verdict([shared])["winner"] is None
    assert script.verdict([{"released": rows(1)}])["winner"] == "released"


def test_table_names_what_neither_can_answer_and_what_is_the_same_network() -> None:
    budgets = {4.0: {"continuous": rows(150)}, 8.0: {"continuous": rows(180), "released": rows(180)}}
    lines = [script.compared(budget, "default", found) for budget, found in budgets.items()]
    doc = {
        "device": "pixel4", "photographs": 200, "classes": 5, "cpu": "a CPU", "cores": 2, "date": "2026-01-01",
        "verdicts": {"default": script.verdict(list(budgets.values()))}, "comparisons": lines,
    }  # fmt: skip
    table = script.markdown(doc)
    assert "| 4 ms | default | net150 (grown), 1.0 ms | 0.7500 | none fits |" in table
    assert "the same network" in table
    assert "**any phi** wins" in table


def test_paired_counts_agree_with_the_answers() -> None:
    found = script.paired(rows(180), rows(170))
    assert (found["first"], found["second"]) == (0.9, 0.85)
    assert (found["only_first"], found["only_second"]) == (10, 0)
    assert found["mcnemar_p"] == pytest.approx(2 / 2**10)
    assert found["low"] > 0
    with pytest.raises(ValueError, match="different photographs"):
        script.paired(rows(180), rows(180, n=100))
