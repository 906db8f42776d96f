"""The report's renderings: each says what the document says."""

from __future__ import annotations

import copy
import csv
import io
import itertools
import json
import re
from pathlib import Path
from typing import Any, NotRequired, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import report_fixture
from support.html_page import read_page

from edgefit_toolkit.data.readers.attribution import Attributions
from edgefit_toolkit.errors import InputError, OutputError
from edgefit_toolkit.report import derive, pictures, schema, words
from edgefit_toolkit.report.csv_table import render_csv
from edgefit_toolkit.report.documents import read_report, write_report
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.schema import validate
from edgefit_toolkit.report.side_by_side import render_comparison
from edgefit_toolkit.report.tables import Column, figures


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return report_fixture.document()


def test_an_emulator_is_no_device_and_no_latency(document: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    row = copy.deepcopy(changed["measurements"][0]) | {"emulated": True, "target": "emulated arm64", "p50_ms": 777.7}
    changed["measurements"].append(row)
    for text in (render_html(changed), render_markdown(changed)):
        assert "emulated arm64" in text
        assert "not a latency" in text
        assert "778" not in text
    assert "777" not in render_csv(changed)
    row["origin"] = "measured on device"
    with pytest.raises(InputError, match="of an emulator"):
        validate(changed)


def test_html_is_whole_accessible_and_alone(document: dict[str, Any]) -> None:
    html = render_html(document)
    page = read_page(html)
    assert len(html.encode()) < 3_000_000
    assert not re.search(r"https?://|//[a-z]+\.|@import|url\(|<script|<link|<iframe", html)
    sources = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    assert len(sources) == len(document["predictions"]) + len(document["worst_mistakes"]) + 1
    assert all(source and source.startswith("data:image/jpeg;base64,") for source in sources)
    assert all(attrs.get("alt") for tag, attrs in page.tags if tag == "img")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        if tag == "a":
            assert (attrs["href"] or "").removeprefix("#") in ids
        if tag == "svg" and attrs.get("role") == "img":
            assert set((attrs["aria-labelledby"] or "").split()) <= set(ids)
        if tag == "th":
            assert attrs.get("scope") in ("row", "col")
    tables = sum(tag == "table" for tag, _ in page.tags)
    assert tables == sum(tag == "caption" for tag, _ in page.tags) > 5
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_both_renderings_say_the_documents_numbers(document: dict[str, Any]) -> None:
    html = " ".join("".join(read_page(render_html(document)).words).split())
    markdown = " ".join(render_markdown(document).split())
    figures = [document["verdict"]["sentence"], document["command"], "2026-01-02 03:04 UTC"]
    figures += [words.ms(document["verdict"]["latency_ms"]), words.percent(document["agreement"]["top1"])]
    figures += [words.percent(score["top1"]) for score in document["accuracy"].values()]
    for row in document["measurements"]:
        figures += [words.ms(row[key]) for key in ("p50_ms", "p90_ms", "p99_ms")]
    figures += [words.ms(document["reference"]["p50_ms"]), document["reference"]["hardware"]]
    for model in document["models"].values():
        figures += [words.size(model["size_bytes"]), model["sha256"]]
    figures += [words.percent(row["recall"]) for row in document["per_class"]]
    figures += [f"{epoch['val_loss']:.3f}" for epoch in document["training"]["trace"]]
    figures += [f"Teacher: {document['training']['teacher']}."]
    figures += [f"{step['sqnr_db']:.1f} dB" for step in document["quantization"]["ladder"]]
    guarded = document["quantization"]["ladder"][1]
    accuracy = guarded["accuracy"]
    figures += [f"{guarded['gain_db']:+.1f} dB", words.percent(guarded["agreement_top5"]), "a fixture's shortfall"]
    figures += [words.points(accuracy["low"]), words.points(accuracy["high"]), "n = 50", "SQNR 15 dB"]
    figures += [words.interval(s["low"], s["high"]) for s in (accuracy["int8_top1"], accuracy["float_top1"])]
    figures += ["a fixture's note about the pick", "0.5703", "9 × 9 × 1280", "200, 127, 31"]
    for figure in figures:
        assert figure in html
        assert figure in markdown


def test_a_column_of_the_latency_table_is_one_entry(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(figure: figures.Figure) -> str:
        row = figure.measured.get("int8")
        return f"{row['p99_ms'] / row['p50_ms']:.2f} times" if row else ""

    monkeypatch.setattr(figures, "COLUMNS", (*figures.COLUMNS, Column("Spread of int8", spread, "num")))
    int8 = document["measurements"][0]
    shown = f"{int8['p99_ms'] / int8['p50_ms']:.2f} times"
    for text in (render_html(document), render_markdown(document), render_comparison([document, document])):
        assert "Spread of int8" in text
        assert shown in text


def test_every_latency_carries_its_origin(document: dict[str, Any]) -> None:
    rows = [line for line in render_markdown(document).splitlines() if line.startswith("| Latency on")]
    assert len(rows) == 3
    for row in rows:
        for cell in row.strip("|").split("|")[1:]:
            if " ms" in cell:
                assert "**predicted**" in cell or "**measured on host**" in cell


def test_a_tight_prediction_is_said(document: dict[str, Any]) -> None:
    assert document["plan"]["pick"]["latency_ms"]["high"] > document["verdict"]["budget_ms"]
    assert "measure on the device before relying on it" in render_markdown(document)
    assert "measure on the device before relying on it" in render_html(document)


def test_measured_networks_are_not_called_predicted(document: dict[str, Any]) -> None:
    measured = copy.deepcopy(document)
    for candidate in (measured["plan"]["pick"], measured["plan"]["next"]):
        candidate["latency_ms"]["origin"] = "measured on device"
        measured["plan"]["frontier"].append(
            {"phi": candidate["phi"], "latency_ms": candidate["latency_ms"]["p90"], "low_ms": 15.0, "high_ms": 17.0,
             "origin": "measured on device"}
        )  # fmt: skip
    measured["verdict"]["origin"] = "measured on device"
    html, markdown = render_html(measured), render_markdown(measured)
    assert "the curve predicted, pick and next measured on device" in html
    assert html.count('class="m4"') == 3  # two marks and the key
    assert "95% interval 14.3–17.8 ms" in html
    assert "95% interval 14.3–17.8 ms" in markdown
    assert "80% interval 14.3" not in html + markdown
    assert "all of it predicted" in render_html(document)


def test_on_the_host_itself_the_host_decides(document: dict[str, Any]) -> None:
    local = copy.deepcopy(document)
    local["plan"]["device"] = "host"
    local["verdict"] = derive.verdict(4.45, 16.1, "measured on host", "host", 90)
    assert "answered on this computer within 4.45 ms" in local["verdict"]["sentence"]
    assert "says nothing about" not in render_html(local) + render_markdown(local)


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_drawn_pictures_are_said(document: dict[str, Any], render: Any) -> None:
    assert "Drawn pictures, not photographs." in render(report_fixture.document("drawn"))
    assert "Drawn pictures" not in render(document)


OPTIONAL = [name for name, kind in get_type_hints(schema.ReportDoc, include_extras=True).items()
            if get_origin(kind) is NotRequired]  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(kept=st.sets(st.sampled_from(OPTIONAL)))
def test_optional_fields_drop_their_sections(kept: set[str]) -> None:
    document = {k: v for k, v in BASE.items() if k not in OPTIONAL or k in kept}
    html = render_html(document)
    page = read_page(html)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    for field, anchor in (("training", "training"), ("confusion", "confusion"), ("pipeline_trace", "pipeline"),
                          ("prediction_trace", "prediction"), ("reliability", "reliability")):  # fmt: skip
        assert (anchor in ids) == (field in kept)
    assert all((a["href"] or "")[1:] in ids for tag, a in page.tags if tag == "a")
    assert "Undefined" not in html + render_markdown(document)


BASE = report_fixture.document()


def test_nested_optional_fields_may_be_missing(document: dict[str, Any]) -> None:
    bare = prune(document, schema.ReportDoc)
    validate(bare)
    text = render_html(bare) + render_markdown(bare) + render_csv(bare)
    assert "Undefined" not in text


def prune(value: Any, kind: Any) -> Any:
    """The value without the optional fields of nested objects (the report's own sections stay)."""
    if get_origin(kind) is NotRequired:
        kind = kind.__args__[0]
    if value is None:
        return None
    if hasattr(kind, "__required_keys__"):
        hints = get_type_hints(kind, include_extras=True)
        top = kind is schema.ReportDoc
        kept = [k for k, h in hints.items() if (top and k in value) or get_origin(h) is not NotRequired]
        return {k: prune(value[k], hints[k]) for k in kept}
    nested = next((t for t in getattr(kind, "__args__", ()) if hasattr(t, "__required_keys__")), None)
    if nested is not None:
        return [prune(v, nested) for v in value] if isinstance(value, list) else prune(value, nested)
    return value


def test_a_miss_without_a_pick_renders(document: dict[str, Any]) -> None:
    missed = copy.deepcopy(document)
    missed["plan"]["pick"] = None
    missed["verdict"] = derive.verdict(20.0, 16.0, "measured on host", "fixture-phone", 90)
    html = render_html(missed)
    assert "Does not fit: 4.0 ms over budget (25%)" in html
    assert "measured on host" in html
    assert "not on fixture-phone" in html


def test_names_are_escaped(document: dict[str, Any]) -> None:
    evil = json.loads(json.dumps(document).replace("tulip", "<b onload='x'>|tulip"))
    html = render_html(evil)
    assert "<b onload" not in html
    read_page(html)
    widths = [row.replace("\\|", "").count("|") for row in render_markdown(evil).splitlines() if "tulip" in row]
    assert "<b onload" not in render_markdown(evil)
    assert widths


def test_many_classes_stay_small(document: dict[str, Any]) -> None:
    many = copy.deepcopy(document)
    labels = [f"class {i}" for i in range(1000)]
    truth = list(range(1000)) * 2
    answers = [t if t % 7 else (t + 1) % 1000 for t in truth]
    table = derive.confusion(truth, answers, labels)
    many["data"]["classes"] = labels
    many["confusion"] = table
    many["per_class"] = derive.per_class(truth, answers, labels)
    html = render_html(many)
    assert len(html.encode()) < 3_000_000
    assert "976 stronger classes not shown" in html
    assert "most frequent mistakes" in html


def test_rendering_is_deterministic() -> None:
    first, second = report_fixture.document(), report_fixture.document()
    assert render_html(first) == render_html(second)
    assert render_markdown(first) == render_markdown(second)


def test_write_and_read_back(document: dict[str, Any], tmp_path: Path) -> None:
    paths = write_report(document, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(paths) == ["report.html", "report.json", "report.md"]
    assert read_report(tmp_path) == json.loads(json.dumps(document))
    assert render_html(dict(read_report(tmp_path))) == paths["report.html"].read_text()
    with pytest.raises(OutputError, match="cannot be written"):
        write_report(document, tmp_path / "absent")
    with pytest.raises(InputError, match="does not exist"):
        read_report(tmp_path / "absent")
    paths["report.json"].write_text("{")
    with pytest.raises(InputError, match="is not a report"):
        read_report(tmp_path)


def test_an_invalid_document_leaves_the_old_files(document: dict[str, Any], tmp_path: Path) -> None:
    write_report(document, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(InputError):
        write_report({**document, "models": {}}, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_comparison(document: dict[str, Any]) -> None:
    drawn = report_fixture.document("drawn")
    drawn["plan"]["device"] = "other-phone"
    text = render_comparison([document, drawn], ["run one", "run <two>"])
    assert "| run one | run &lt;two> |" in text
    assert "made for different devices" in text
    assert "drawn pictures, others photographs" in text
    width = len(document["models"]) + 1
    assert all(line.count("|") == width + 1 for line in text.splitlines() if line.startswith("|"))
    read_page(render_comparison([document, drawn, document], html=True))
    with pytest.raises(InputError, match="at least two"):
        render_comparison([document])


def test_csv_has_every_figure_in_fixed_units(document: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(render_csv(document))))
    assert {r["origin"] for r in rows if r["kind"] == "latency"} == {"predicted", "measured on host"}
    assert all(r["unit"] == "ms" for r in rows if r["kind"] == "latency")
    found = {(r["kind"], r["model"], r["what"]): float(r["value"]) for r in rows}
    for m in document["measurements"]:
        assert found["latency", m["model"], "p99"] == m["p99_ms"]
    assert found["accuracy", "int8_tflite", "top1"] == document["accuracy"]["int8_tflite"]["top1"]
    assert found["size", "int8", "file"] == document["models"]["int8"]["size_bytes"]


def test_photographs_are_credited(flowers_dir: Path, document: dict[str, Any]) -> None:
    photo = flowers_dir / "train" / "daisy" / "1342002397_9503c97b49.jpg"
    credit = pictures.credit_doc(Attributions().credit_of(photo))
    assert credit is not None
    assert (credit["author"], credit["license"]) == ("Audrey", "CC BY 2.0")
    assert pictures.credit_doc(Attributions().credit_of(Path(__file__))) is None
    shown = copy.deepcopy(document)
    chances = np.array([0.9, 0.1, 0, 0, 0], dtype=np.float32)
    shown["predictions"] = [derive.prediction(photo.name, 0, chances, report_fixture.CLASSES, None, credit)]
    html = render_html(shown)
    assert "Photo: Audrey, CC BY 2.0" in html
    assert "flickr" not in html  # nothing on the page points out of it
