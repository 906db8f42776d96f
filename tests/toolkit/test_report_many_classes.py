"""The report of a run on 1,081 classes in a long tail: small, readable, searchable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import report_fixture
from support.chromium import chromium
from support.html_page import read_page

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report import derive, words
from edgefit_toolkit.report.csv_table import render_csv
from edgefit_toolkit.report.documents import write_report
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.schema import validate

MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return report_fixture.long_tail()


@pytest.mark.parametrize("classes", [1081, 10_000])
def test_every_file_is_below_2_mb(classes: int, tmp_path: Path) -> None:
    paths = write_report(report_fixture.long_tail(classes), tmp_path)
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    assert max(sizes.values()) < MOST_BYTES, sizes


def test_mistakes_stand_in_the_place_of_the_matrix(document: dict[str, Any]) -> None:
    table = document["confusion"]
    assert "matrix" not in table
    scores = document["accuracy"]["int8_tflite"]
    wrong = round(scores["n"] * (1 - scores["top1"]))
    assert sum(count for *_, count in table["mistakes"]) + table["left_out"] == wrong
    assert [count for *_, count in table["mistakes"]] == sorted((c for *_, c in table["mistakes"]), reverse=True)
    html = render_html(document)
    truth, answer, count = table["mistakes"][0]
    first = [table["labels"][truth], table["labels"][answer], str(count)]
    assert f'<th scope="row">{first[0]}</th><td>{first[1]}</td><td class="num">{first[2]}</td>' in html
    assert f"| {' | '.join(first)} |" in render_markdown(document)
    assert html.count("<tr>") < 1081 + 300
    for i, said in ((-1, "expected `int` >= 0"), (1081, "names a class beyond")):
        broken = document | {"confusion": table | {"mistakes": [(0, i, 1)]}}
        with pytest.raises(InputError, match=rf"confusion\.mistakes\[0\].*{said}"):
            validate(broken)


def test_every_class_counts_once_beside_every_picture(document: dict[str, Any]) -> None:
    rows, balance = document["per_class"], document["balance"]
    assert balance["mean_recall"] == pytest.approx(sum(row["recall"] for row in rows) / len(rows))
    assert balance["mean_recall"] < document["accuracy"]["int8_tflite"]["top1"]
    by_name = {group["name"]: group for group in balance["shots"]}
    for name, low, high in (("many", 101, 10**9), ("medium", 20, 100), ("few", 0, 19)):
        own = [row for row in rows if low <= row["train"] <= high]
        assert by_name[name]["classes"] == len(own)
        assert by_name[name]["top1"]["n"] == sum(row["n"] for row in own)
        assert by_name[name]["mean_recall"] == pytest.approx(sum(row["recall"] for row in own) / len(own))
    html = " ".join("".join(read_page(render_html(document)).words).split())
    for text in (html, render_markdown(document)):
        assert "Top-1, mean over classes" in text
        for figure in (balance["mean_recall"], *(group["mean_recall"] for group in balance["shots"])):
            assert words.percent(figure) in text
        assert "many: over 100" in text
        assert "Not tested, for want of test pictures" in text
    assert "top1 mean over few-shot classes" in render_csv(document)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1),
    st.lists(st.integers(0, 300), min_size=7, max_size=7),
)
def test_balance_loses_no_picture_and_no_class(pairs: list[tuple[int, int]], train: list[int]) -> None:
    truth, answers = [t for t, _ in pairs], [a for _, a in pairs]
    rows = derive.per_class(truth, answers, [f"class {i}" for i in range(7)], train)
    found = derive.balance(rows)
    assert found["classes"] == len(set(truth))
    assert sum(group["classes"] for group in found["shots"]) == found["classes"]
    assert sum(group["top1"]["n"] for group in found["shots"]) == len(pairs)
    right = sum(round(group["top1"]["top1"] * group["top1"]["n"]) for group in found["shots"])
    assert right == sum(t == a for t, a in pairs)
    assert 0 <= found["mean_recall"] <= 1


def test_the_weakest_classes_come_first_in_markdown(document: dict[str, Any]) -> None:
    text = render_markdown(document)
    assert f"{len(document['per_class']) - 24} stronger classes are in report.json" in text
    assert len(text) < 60_000


def test_a_name_is_found_in_a_browser(document: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_html(document))
    wanted = document["per_class"][500]["label"]
    with chromium(tmp_path / "profile") as browser:
        for width, theme in ((360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")):
            browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
                         mobile=False)  # fmt: skip
            browser.goto(page.as_uri())
            browser.wait("document.readyState === 'complete'")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width  # tables scroll by themselves
            assert browser.evaluate("document.querySelector('.find').hidden") is False
            browser.evaluate(
                f"const find = document.querySelector('.find input'); find.value = {json.dumps(wanted.upper())}; "
                "find.dispatchEvent(new Event('input'))"
            )
            shown = browser.evaluate(
                "[...document.querySelectorAll('.long tbody tr')].filter((r) => r.checkVisibility()).map((r) => "
                "r.cells[0].textContent)"
            )
            assert shown == [wanted]
            said = browser.evaluate("document.querySelector('.find output').value")
            assert said == f"1 of {len(document['per_class'])}"
        assert not [line for line in browser.log if line.startswith("uncaught")]


def test_a_few_classes_need_no_script() -> None:
    html = render_html(report_fixture.document())
    assert "<script" not in html
    assert 'type="search"' not in html
