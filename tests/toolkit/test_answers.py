"""One answer in three languages: Python, the web app's JavaScript and the Android app's Kotlin, by one answer.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import report_fixture
from support.kotlin import run_kotlin
from support.small_run import make_run
from toolkit.test_app import WEB, fake_runtime, node

from edgefit_toolkit.api.model import Model, load
from edgefit_toolkit.app import bundle
from edgefit_toolkit.app.source import read_source
from edgefit_toolkit.data.answers.answering import Answering, answer_doc
from edgefit_toolkit.data.answers.places import LOWERED, Places, parse_places
from edgefit_toolkit.data.answers.taxonomy_table import parse_taxonomy
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.report import rollup

CLASSES = report_fixture.CLASSES
TABLE = """class,genus,family,name:de,family:de
daisy,Bellis,Asteraceae,Gänseblümchen,Korbblütler
dandelion,Taraxacum,Asteraceae,,Korbblütler
rose,Rosa,Rosaceae,,
sunflower,,Asteraceae,,
tulip,,,,
"""
TREE = parse_taxonomy(TABLE, CLASSES, "taxonomy.csv")
KOTLIN = WEB.parent / "android/app/src/main/kotlin/org/edgefit/nameit/Answer.kt"


Case = tuple[Answering, str | None, int | None, np.ndarray]  # how, region, month, scores of 30 pictures


def run_with_taxonomy(folder: Path, thresholds: dict[str, float], **choices: Any) -> Path:
    """A finished run with a taxonomy."""
    judged = (np.eye(5, dtype=np.float32)[:4], np.arange(4))
    how = Answering(TREE, thresholds, **choices)
    run = make_run(folder, taxonomy=rollup.taxonomy_doc(how, judged, judged, 0.95))
    (run / "answer.json").write_text(json.dumps(answer_doc(how)))
    return run


def cases(n: int) -> list[Case]:
    """Random trees with gaps, thresholds on and off, other things and places with and without, and 30 pictures each:
    quantized, equal and overfull scores too."""
    chance = np.random.default_rng(11)
    found: list[Case] = []
    for i in range(n):
        size = int(chance.integers(2, 40))
        genera = {f"g{i}": str(chance.choice(["", "f0", "f1", "f2"])) for i in range(size // 2 + 1)}
        lines = ["class,genus,family"]
        for c in range(size):
            genus = str(chance.choice(["", *genera]))
            lines.append(f"c{c},{genus},{genera.get(genus, str(chance.choice(['', 'f0', 'f3'])))}")
        tree = parse_taxonomy("\n".join(lines), [f"c{c}" for c in range(size)], "t")
        other = -1
        if i % 2:
            tree, other, size = tree.with_class("none of these"), size, size + 1
        scores = chance.dirichlet(np.full(size, 0.3), 30).astype(np.float32)
        scores[10:20] = np.rint(scores[10:20] * 256) / 256
        scores[20:25] *= np.float32(1.01)
        scores[25:] = np.float32(1 / size)
        rows = [
            (int(c), int(chance.integers(2)), int(chance.integers(1, 4096))) for c in chance.integers(0, size, size)
        ]
        places = Places(("A", "B"), tuple(rows)) if i % 3 else None
        alike = tuple(tuple(chance.permutation(size)[: chance.integers(3)].tolist()) for _ in range(size))
        how = Answering(tree, {}, float(chance.choice([0.0, 0.3, 0.6])), other, places, alike, 1 + i // 2 % 2)
        sums = tree.sums(how.weighed(scores))
        thresholds = {rank: float(chance.choice(sums.ravel())) for rank in tree.ranks if chance.random() < 0.8}
        region, month = (None, "A", "B", "C")[i % 4], (None, 1, 7, 12)[i // 4 % 4]
        found.append((replace(how, thresholds=thresholds), region, month, scores))
    return found


def in_python(how: Answering, region: str | None, month: int | None, scores: np.ndarray) -> list[list[Any]]:
    """Of each picture [other, rank, name, sum, seldom, alike, the three likeliest classes and their scores]."""
    count = scores.shape[1]
    seldom = how.places.seldom(count, region, month) if how.places else np.zeros(count, bool)
    weighed, found = how.weighed(scores, seldom), []
    sums, others = how.tree.sums(weighed), how.is_other(scores)
    for i, at in enumerate(how.answers(scores, seldom).tolist()):
        top = sorted(how.known, key=lambda label: (-weighed[i, label], label))[:3]
        guesses = [[label, float(weighed[i, label]), bool(seldom[label])] for label in top]
        if at < 0:
            found.append([bool(others[i]), "", "", 0.0, False, [], guesses])
            continue
        node, is_class = how.tree.nodes[at], at < count
        alike = list(how.alike[at]) if is_class else []
        said = [how.tree.ranks[node.rank], node.name, float(sums[i, at]), is_class and bool(seldom[at]), alike]
        found.append([bool(others[i]), *said, guesses])
    return found


def test_javascript_answers_alike_to_the_bit() -> None:
    given = cases(60)
    sent = [
        {"how": answer_doc(how), "region": region, "month": month, "scores": scores.astype(float).tolist()}
        for how, region, month, scores in given
    ]
    script = f"""
    import {{ judge }} from "{(WEB / "answer.js").as_uri()}";
    import {{ readFileSync }} from "node:fs";
    const said = JSON.parse(readFileSync(0, "utf8")).map(({{ how, region, month, scores }}) => scores.map((row) => {{
      const labels = row.map((_, at) => ({{ at }}));
      const {{ other, answer, seldom, alike, top }} = judge(Float32Array.from(row), labels, how, {{ region, month }});
      const {{ rank = "", name = "", probability = 0 }} = answer ?? {{}};
      return [other, rank, name, probability, seldom, alike.map(({{ at }}) => at),
        top.map(({{ at, score, seldom }}) => [at, score, seldom])];
    }}));
    process.stdout.write(JSON.stringify(said));
    """
    expected = [in_python(*case) for case in given]
    assert json.loads(node(script, json.dumps(sent))) == expected
    answers = [answer for answers in expected for answer in answers]
    by_class = [bool(largest < how.floor) for how, _, _, scores in given for largest in how.weighed(scores).max(1)]
    assert by_class != [answer[0] for answer in answers]  # whoever looks at the classes alone is caught
    assert {answer[1] for answer in answers} == {"", "class", "genus", "family"}
    assert {answer[0] for answer in answers} == {False, True}
    assert {answer[4] for answer in answers} == {False, True}


MAIN = """
package org.edgefit.nameit
fun words() = readLine()!!.split(" ").filter { it.isNotEmpty() }
fun main() {
    while (true) {
        val ranks = (readLine() ?: return).split(" ")
        val thresholds = words().associate { it.substringBefore('=') to it.substringAfter('=').toDouble() }
        val nodes = words().map { it.split(",") }.map { Node(it[0].replace('_', ' '), it[1], it[2].toInt()) }
        val (floor, other, lowered, power) = words().map { it.toDouble() }
        val rows = words().map { row -> row.split(",").map { it.toInt() }.toIntArray() }
        val alike = readLine()!!.split(";").map { row -> row.split(",").filter { it.isNotEmpty() }.map { it.toInt() } }
        val places = if (lowered > 0) Places(listOf("A", "B"), lowered, rows) else null
        val tree = Tree(ranks, thresholds, nodes, other.toInt(), floor, places, alike, power.toInt())
        val (region, month) = readLine()!!.split(" ")
        repeat(30) {
            val scores = readLine()!!.split(" ").map { it.toFloat() }.toFloatArray()
            val labels = scores.indices.map { Label(it.toString(), "", "") }
            val said = Answers.judge(scores, labels, tree, region.takeIf { it != "-" }, month.toInt())
            val name = said.named?.let { "${it.rank}|${nodes[it.node].name}|${it.probability}" } ?: "||0.0"
            val top = said.top.joinToString(";") { "${it.label.label},${it.score},${it.seldom}" }
            println("${said.other}|$name|${said.seldom}|${said.alike.joinToString(",") { it.label }}|$top")
        }
    }
}
"""


def as_kotlin_says(answer: list[Any]) -> list[Any]:
    """One of `in_python`, from the line that MAIN prints of it."""
    other, rank, name, total, seldom, alike, top = answer
    guesses = [guess.split(",") for guess in top.split(";")]
    return [
        other == "true", rank, name, float(total), seldom == "true", [int(at) for at in alike.split(",") if at],
        [[int(at), float(score), rare == "true"] for at, score, rare in guesses],
    ]  # fmt: skip


def test_kotlin_answers_alike_to_the_bit(tmp_path: Path) -> None:
    given, lines = cases(24), []
    for how, region, month, scores in given:
        tree, places = how.tree, how.places
        lines.append(" ".join(tree.ranks))
        lines.append(" ".join(f"{rank}={at!r}" for rank, at in how.thresholds.items()))
        lines.append(" ".join(f"{n.name.replace(' ', '_')},{tree.ranks[n.rank]},{n.parent}" for n in tree.nodes))
        lines.append(f"{how.floor!r} {how.other} {LOWERED if places else 0.0} {how.power}")
        lines.append(" ".join(",".join(map(str, row)) for row in places.rows) if places else "")
        lines.append(";".join(",".join(map(str, row)) for row in how.alike))
        lines.append(f"{region or '-'} {month or 0}")
        lines += [" ".join(map(str, row)) for row in scores]
    out = run_kotlin([KOTLIN], MAIN, "\n".join(lines).encode() + b"\n", tmp_path).decode()
    said = [as_kotlin_says(line.split("|")) for line in out.splitlines()]
    assert said == [answer for case in given for answer in in_python(*case)]


def test_names_are_in_the_readers_language() -> None:
    script = f"""
    import {{ called }} from "{(WEB / "answer.js").as_uri()}";
    const node = {{ names: {{ de: "Rose", "pt-BR": "rosa brava" }} }};
    process.stdout.write(JSON.stringify([["de-AT"], ["pt-BR", "de"], ["pt"], ["fr", "de"], []].map(
      (languages) => called(node, languages, "rosa"))));
    """
    assert json.loads(node(script, "")) == ["Rose", "rosa brava", "rosa", "Rose", "rosa"]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return load(run_with_taxonomy(tmp_path / "run", {"class": 0.8, "family": 0.6}))


def test_predict_names_the_deepest_sure_rank(model: Model) -> None:
    cases = {
        (0.9, 0.1, 0, 0, 0): ("daisy", "class", 0.9, True, "daisy"),
        (0.4, 0.3, 0, 0.2, 0.1): ("Asteraceae", "family", 0.9, True, "family Asteraceae"),
        (0.5, 0.0, 0, 0, 0.5): ("daisy", "class", 0.5, False, "not sure"),
    }
    for scores, expected in cases.items():
        answer = model.answer(np.array(scores, np.float32), "p.jpg")
        assert (answer.name, answer.rank, answer.probability, answer.sure, answer.words) == expected
        assert not answer.other
        doc = answer.as_json()
        assert doc.keys() == {"picture", "name", "rank", "probability", "sure", "other", "seldom", "classes"}
        assert doc["classes"][0] == {"name": "daisy", "probability": answer.classes[0].probability}


def test_predict_says_none_of_these_and_seldom_seen_here(tmp_path: Path) -> None:
    places = parse_places("class,region,months\ndaisy,North,5-9\nrose,South,11-2\n", CLASSES, "places.csv")
    model = load(run_with_taxonomy(tmp_path / "run", {"class": 0.8, "family": 0.6}, floor=0.4, places=places, other=4))
    lost = model.answer(np.array([0.3, 0.3, 0, 0, 0.4], np.float32), "dog.jpg")
    assert (lost.words, lost.sure, lost.other, lost.name) == ("none of these", False, True, "daisy")
    assert [guess.name for guess in lost.classes] == ["daisy", "dandelion", "rose", "sunflower"]  # not the fifth
    scores = np.array([0.9, 0.08, 0.02, 0, 0], np.float32)
    for region, month, name, seldom in (
        (None, None, "daisy", False), ("North", 6, "daisy", False), ("North", None, "daisy", False),
        (None, 12, "Asteraceae", True), ("South", 6, "Asteraceae", True),
    ):  # fmt: skip
        answer = model.answer(scores, "p.jpg", region=region, month=month)
        assert answer.name == name
        assert answer.classes[0].name == "daisy"  # lowered, not hidden
        assert answer.classes[0].seldom == seldom
        assert sum(guess.probability for guess in answer.classes) == pytest.approx(1, abs=1e-5)
    for wrong, words in (({"region": "East"}, "no region 'East'"), ({"month": 13}, "13 is no month")):
        with pytest.raises(InputError, match=words):
            model.answer(scores, **wrong)
    with pytest.raises(InputError, match="knows no places"):
        load(run_with_taxonomy(tmp_path / "without", {"class": 0.8})).answer(scores, month=5)


def test_a_bundle_carries_the_tree_to_both_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    run = run_with_taxonomy(tmp_path / "run", {"class": 0.8, "family": 0.6})
    out = bundle(run, tmp_path / "out", "all", cache_dir=cache).path
    doc = json.loads((out / "answer.json").read_text())
    assert doc == answer_doc(Answering(TREE, {"class": 0.8, "family": 0.6}))
    for folder in ("web", "android/app/src/main/assets"):
        assert (out / folder / "answer.json").read_bytes() == (out / "answer.json").read_bytes()
        app = json.loads((out / folder / "app.json").read_text())
        assert "names the genus or family, or says that it is not sure" in app["about"]
    assert '"answer.json"' in (out / "web" / "sw.js").read_text()
    assert "`answer.json`" in (out / "README.md").read_text()
    assert "name its genus or family" in (out / "MODEL_CARD.md").read_text()
    plain = bundle(make_run(tmp_path / "plain"), tmp_path / "out2", "web", cache_dir=cache)
    flat = json.loads((plain.path / "web" / "answer.json").read_text())
    assert (flat["ranks"], flat["thresholds"], flat["other"]) == (["class"], {"class": 0.45}, {"class": -1, "floor": 0})


def test_a_run_whose_tree_is_damaged_is_refused(tmp_path: Path) -> None:
    run = run_with_taxonomy(tmp_path / "run", {"class": 0.8})
    (run / "answer.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        read_source(run)
    (run / "answer.json").unlink()
    with pytest.raises(InputError, match=r"'answer\.json' is no file of"):
        read_source(run)
    stale = make_run(tmp_path / "stale")
    (stale / "answer.json").write_text("of an earlier run that had a taxonomy")
    assert read_source(stale).answering.tree.ranks == ("class",)
