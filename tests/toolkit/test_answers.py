"""One answer in three languages: Python, the web app's JavaScript and the Android app's Kotlin, by one answer.json."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import report_fixture
from support.small_run import make_run
from toolkit.test_app import WEB, fake_runtime, node

from edgefit_toolkit.api.model import Model, load
from edgefit_toolkit.app import bundle
from edgefit_toolkit.app.source import read_source
from edgefit_toolkit.data.taxonomy import Taxonomy, answer_doc
from edgefit_toolkit.data.taxonomy_table import parse_taxonomy
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


def run_with_taxonomy(folder: Path, thresholds: dict[str, float]) -> Path:
    """A finished run with a taxonomy."""
    judged = (np.eye(5, dtype=np.float32)[:4], np.arange(4))
    run = make_run(folder, taxonomy=rollup.taxonomy_doc(TREE, judged, judged, 0.95))
    (run / "answer.json").write_text(json.dumps(answer_doc(TREE, thresholds)))
    return run


def cases(n: int) -> list[tuple[Taxonomy, dict[str, float], np.ndarray]]:
    """Random trees with gaps, thresholds on and off, and 30 pictures each: quantized, equal and overfull scores too."""
    chance = np.random.default_rng(11)
    found = []
    for _ in range(n):
        size = int(chance.integers(2, 40))
        genera = {f"g{i}": str(chance.choice(["", "f0", "f1", "f2"])) for i in range(size // 2 + 1)}
        lines = ["class,genus,family"]
        for i in range(size):
            genus = str(chance.choice(["", *genera]))
            lines.append(f"c{i},{genus},{genera.get(genus, str(chance.choice(['', 'f0', 'f3'])))}")
        tree = parse_taxonomy("\n".join(lines), [f"c{i}" for i in range(size)], "t")
        scores = chance.dirichlet(np.full(size, 0.3), 30).astype(np.float32)
        scores[10:20] = np.rint(scores[10:20] * 256) / 256
        scores[20:25] *= np.float32(1.01)
        scores[25:] = np.float32(1 / size)
        sums = tree.sums(scores)
        thresholds = {rank: float(chance.choice(sums.ravel())) for rank in tree.ranks if chance.random() < 0.8}
        found.append((tree, thresholds, scores))
    return found


def in_python(tree: Taxonomy, thresholds: dict[str, float], scores: np.ndarray) -> list[list[Any]]:
    """[rank, name, sum] of each picture; nothing where none is sure."""
    sums = tree.sums(scores)
    return [
        [] if at < 0 else [tree.ranks[tree.nodes[at].rank], tree.nodes[at].name, float(sums[i, at])]
        for i, at in enumerate(tree.answers(sums, thresholds))
    ]


def test_javascript_answers_alike_to_the_bit() -> None:
    given = cases(60)
    sent = [
        {"tree": answer_doc(tree, thresholds), "scores": scores.astype(float).tolist()}
        for tree, thresholds, scores in given
    ]
    script = f"""
    import {{ rollUp }} from "{(WEB / "answer.js").as_uri()}";
    import {{ readFileSync }} from "node:fs";
    const said = JSON.parse(readFileSync(0, "utf8")).map(({{ tree, scores }}) => scores.map((row) => {{
      const found = rollUp(Float32Array.from(row), tree);
      return found ? [found.rank, found.name, found.probability] : [];
    }}));
    process.stdout.write(JSON.stringify(said));
    """
    expected = [in_python(*case) for case in given]
    assert json.loads(node(script, json.dumps(sent))) == expected
    said = {answer[0] if answer else "" for answers in expected for answer in answers}
    assert said == {"", "class", "genus", "family"}


MAIN = """
package org.edgefit.nameit
fun main() {
    while (true) {
        val ranks = (readLine() ?: return).split(" ")
        val thresholds = readLine()!!.split(" ").filter { it.isNotEmpty() }.associate {
            it.substringBefore('=') to it.substringAfter('=').toDouble()
        }
        val nodes = readLine()!!.split(" ").map { it.split(",") }.map { Node(it[0], it[1], it[2].toInt()) }
        val tree = Tree(ranks, thresholds, nodes)
        repeat(30) {
            val scores = readLine()!!.split(" ").map { it.toFloat() }.toFloatArray()
            val named = Answers.rollUp(scores, tree)
            println(if (named == null) "" else "${named.rank} ${nodes[named.node].name} ${named.probability}")
        }
    }
}
"""


def test_kotlin_answers_alike_to_the_bit(tmp_path: Path) -> None:
    compiler, java = shutil.which("kotlinc"), shutil.which("java")
    if compiler is None or java is None:
        pytest.skip("no Kotlin compiler: the app's answers cannot run here")
    main, jar = tmp_path / "Main.kt", tmp_path / "main.jar"
    main.write_text(MAIN)
    done = subprocess.run([compiler, str(KOTLIN), str(main), "-include-runtime", "-d", str(jar)], capture_output=True,
                          text=True, timeout=500, check=False)  # fmt: skip
    assert jar.is_file(), done.stderr
    given, lines = cases(20), []
    for tree, thresholds, scores in given:
        lines.append(" ".join(tree.ranks))
        lines.append(" ".join(f"{rank}={at!r}" for rank, at in thresholds.items()))
        lines.append(" ".join(f"{n.name},{tree.ranks[n.rank]},{n.parent}" for n in tree.nodes))
        lines += [" ".join(map(str, row)) for row in scores]
    out = subprocess.run([java, "-cp", str(jar), "org.edgefit.nameit.MainKt"], input="\n".join(lines) + "\n",
                         capture_output=True, text=True, timeout=120, check=True).stdout  # fmt: skip
    rows = [line.split() for line in out.splitlines()]
    said = [[row[0], row[1], float(row[2])] if row else [] for row in rows]
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
        assert doc.keys() == {"picture", "name", "rank", "probability", "sure", "other", "classes"}
        assert doc["classes"][0] == {"name": "daisy", "probability": answer.classes[0].probability}


def test_a_bundle_carries_the_tree_to_both_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    fake_runtime(cache, monkeypatch)
    run = run_with_taxonomy(tmp_path / "run", {"class": 0.8, "family": 0.6})
    out = bundle(run, tmp_path / "out", "all", cache_dir=cache).path
    doc = json.loads((out / "answer.json").read_text())
    assert doc == answer_doc(TREE, {"class": 0.8, "family": 0.6})
    for folder in ("web", "android/app/src/main/assets"):
        assert (out / folder / "answer.json").read_bytes() == (out / "answer.json").read_bytes()
        app = json.loads((out / folder / "app.json").read_text())
        assert app["answer"] == "answer.json"
        assert "names the genus or family, or says that it is not sure" in app["about"]
    assert '"answer.json"' in (out / "web" / "sw.js").read_text()
    assert "`answer.json`" in (out / "README.md").read_text()
    assert "name its genus or family" in (out / "MODEL_CARD.md").read_text()
    plain = bundle(make_run(tmp_path / "plain"), tmp_path / "out2", "web", cache_dir=cache)
    assert not [name for name in plain.files if name.endswith("answer.json")]
    assert "answer" not in json.loads((plain.path / "web" / "app.json").read_text())


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
    assert read_source(stale).taxonomy is None
