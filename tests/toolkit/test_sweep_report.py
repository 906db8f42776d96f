"""What each millisecond buys: the sentences, the Pareto line, the pages."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from support.chromium import chromium
from support.html_page import read_page
from support.sweep_fixture import answers, cell, document

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check
from edgefit_toolkit.report.sweep import sentence, steps, sweep_html, sweep_markdown
from edgefit_toolkit.report.sweep.chart import Point, pareto


def step(before: list[bool], after: list[bool], **changes: Any) -> Any:
    cells = [cell("pixel4", 8, before), cell("pixel4", 16, after, **changes)]
    right = {cells[0]["run"]: before, cells[1]["run"]: after}
    (found,) = steps(cells, right, "pixel4", "photograph")
    return found, sentence(cells, [found], "pixel4", "Google Pixel 4")


def test_better() -> None:
    found, said = step(answers(range(20)), answers(range(5)))
    assert (found["kind"], round(found["difference"], 9)) == ("better", 0.15)
    assert 0 < found["low"] < 0.15 < found["high"]
    assert said == (
        "On Google Pixel 4, 8 ms buys 80.0% top-1; 16 ms 95.0%, better by 15.0 points "
        f"(95% interval +{100 * found['low']:.1f} to +{100 * found['high']:.1f} points)."
    )


def test_not_shown() -> None:
    found, said = step(answers(range(7)), answers(range(6)))
    assert found["kind"] == "not shown"
    assert found["low"] < 0 < found["high"]
    assert "8 ms buys 93.0% top-1; 16 ms 94.0%, a difference that these 100 photographs cannot show" in said


def test_worse() -> None:
    found, said = step(answers(range(5)), answers(range(20)))
    assert found["kind"] == "worse"
    assert "16 ms 80.0%, worse by 15.0 points" in said


def test_in_pairs() -> None:
    """Twice the same two shares: what tells is whether the same pictures were lost."""
    nested, _ = step(answers(range(10)), answers(range(4)))
    elsewhere, _ = step(answers(range(10)), answers(range(90, 94)))
    assert nested["difference"] == elsewhere["difference"]
    assert (nested["kind"], elsewhere["kind"]) == ("better", "not shown")


def test_the_same_network() -> None:
    found, said = step(answers(range(5)), answers(range(5)), network="lite phi=8")
    assert found["kind"] == "same network"
    assert said.endswith("16 ms 95.0%, the same network.")


def test_seeds_add_no_pictures() -> None:
    """Three trainings on the same test pictures know no more than one: the interval is no narrower."""
    chance = random.Random(0)
    cells, right = [], {}
    for seed in range(3):
        for budget_ms, wrong in ((8, 20), (16, 12)):
            lost = set(chance.sample(range(100), wrong))
            row = cell("pixel4", budget_ms, [i not in lost for i in range(100)], seed=seed)
            cells.append(row)
            right[row["run"]] = [i not in lost for i in range(100)]
    (all_seeds,) = steps(cells, right, "pixel4", "photograph")
    (first,) = steps([row for row in cells if row["seed"] == 0], right, "pixel4", "photograph")
    assert all_seeds["n"] == first["n"] == 100
    assert all_seeds["difference"] == pytest.approx(0.08)
    assert all_seeds["high"] - all_seeds["low"] == pytest.approx(first["high"] - first["low"], rel=0.15)
    lacking = [row for row in cells if (row["seed"], row["budget_ms"]) != (1, 8)]
    (two,) = steps(lacking, right, "pixel4", "photograph")
    assert two["difference"] == pytest.approx(0.08)


def test_a_budget_that_bought_nothing() -> None:
    rows = [cell("pixel4", 2, None), cell("pixel4", 8, answers(range(5)))]
    assert steps(rows, {rows[1]["run"]: answers(range(5))}, "pixel4", "photograph") == []
    assert sentence(rows, [], "pixel4", "Google Pixel 4") == ("On Google Pixel 4, 2 ms buys nothing; 8 ms 95.0% top-1.")
    assert sentence(rows[:1], [], "pixel4", "This computer") == "On this computer, 2 ms buys nothing."


def test_pareto() -> None:
    at = [(4.0, 0.7), (8.0, 0.93), (9.0, 0.93), (16.0, 0.91), (3.0, 0.65), (30.0, 0.95), (8.0, 0.9)]
    line = pareto([Point(1.0, ms, top1, 0.0, 1.0, released=False, fits=True) for ms, top1 in at])
    assert [(p.latency_ms, p.top1) for p in line] == [(3.0, 0.65), (4.0, 0.7), (8.0, 0.93), (30.0, 0.95)]


def test_the_document_is_checked() -> None:
    check(document(), SweepDoc)
    broken: Any = copy.deepcopy(document())
    broken["cells"][2]["status"] = "maybe"
    with pytest.raises(InputError, match=r"cells\[2\]"):
        check(broken, SweepDoc)


def test_both_pages_say_the_same() -> None:
    doc = document()
    html, markdown = sweep_html(doc), sweep_markdown(doc)
    read_page(html)
    for device in doc["devices"]:
        assert device["sentence"] in html
        assert device["sentence"] in markdown
    kinds = {step["kind"] for step in doc["steps"]}
    assert kinds == {"better", "worse", "not shown", "same network"}
    for row in doc["cells"]:
        line = next(line for line in markdown.splitlines() if f"{row['device']}, {row['budget_ms']:g} ms" in line[:60])
        if row["status"] == "failed":
            assert row["reason"] in html
            assert f"failed; {row['reason']}" in line
        else:
            assert f"[{row['device']}, {row['budget_ms']:g} ms]({row['run']}/report.html)" in line
            assert f'<a href="{row["run"]}/report.html">' in html


def test_what_other_people_named_is_text() -> None:
    doc = document()
    doc["data"]["name"] = "<b>|plants"
    doc["cells"][0]["reason"] = "<script>alert(1)</script> | no"
    assert "<script>" not in sweep_html(doc)
    assert "<b>" not in sweep_html(doc)
    assert "&lt;b>\\|plants" in sweep_markdown(doc)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_a_desk(tmp_path: Path, width: int, scheme: str) -> None:
    (tmp_path / "sweep.html").write_text(sweep_html(document()), encoding="utf-8")
    with chromium(tmp_path / "profile") as browser:
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=media)
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.goto((tmp_path / "sweep.html").as_uri())
        browser.wait("document.readyState === 'complete'")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("document.querySelectorAll('svg.chart').length") == 3
        # nor is a column to be scrolled to
        assert browser.evaluate("[...document.querySelectorAll('.scroll')].every(s => s.scrollWidth <= s.clientWidth)")
        # no words in a chart reach beyond it
        beyond = browser.evaluate(
            "[...document.querySelectorAll('svg.chart text')].filter(t => { const b = t.getBoundingClientRect(), "
            "c = t.closest('svg').getBoundingClientRect(); return b.left < c.left - 1 || b.right > c.right + 1 })"
            ".map(t => t.textContent)"
        )
        assert beyond == []
        assert browser.log == []
        background = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
