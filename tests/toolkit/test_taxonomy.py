"""Answers up a taxonomy: its table, sums, the deepest sure node, thresholds; and what the report says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import report_fixture

from edgefit_toolkit.data.answers.answering import Answering, answer_doc, read_answer_doc
from edgefit_toolkit.data.answers.taxonomy import Node, Taxonomy, lowest_confidence
from edgefit_toolkit.data.answers.taxonomy_table import find_taxonomy, parse_taxonomy
from edgefit_toolkit.data.readers.folder import load_folder
from edgefit_toolkit.errors import DataError, InputError
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import data
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.report import rollup
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown
from edgefit_toolkit.report.schema import validate

FLOWERS = """class,genus,family,name:de,family:de
daisy,Bellis,Asteraceae,Gänseblümchen,Korbblütler
dandelion,Taraxacum,Asteraceae,,Korbblütler
rose,Rosa,Rosaceae,,
sunflower,,Asteraceae,,
tulip,,,,
"""
CLASSES = report_fixture.CLASSES


def parse(text: str, classes: list[str] = CLASSES) -> Taxonomy:
    return parse_taxonomy(text, classes, "taxonomy.csv")


@st.composite
def trees(draw: st.DrawFn) -> Taxonomy:
    """A random taxonomy of up to 9 classes and 3 coarser ranks, with gaps."""
    classes = [f"c{i}" for i in range(draw(st.integers(2, 9)))]
    levels = [[f"{rank}{i}" for i in range(draw(st.integers(1, 4)))] for rank in ("s", "g", "f")]
    parents = {name: draw(st.sampled_from(["", *levels[2]])) for name in levels[1]}
    over = {name: draw(st.sampled_from(["", *levels[1]])) for name in levels[0]}
    direct = {name: draw(st.sampled_from(["", *levels[2]])) for name in levels[0]}
    lines = ["class,species,genus,family"]
    for name in classes:
        species = draw(st.sampled_from(["", *levels[0]]))
        genus = over[species] if species else draw(st.sampled_from(["", *levels[1]]))
        family = parents[genus] if genus else direct[species] if species else draw(st.sampled_from(["", *levels[2]]))
        lines.append(f"{name},{species},{genus},{family}")
    return parse("\n".join(lines), classes)


def probabilities(tree: Taxonomy, n: int, seed: int) -> np.ndarray:
    """float32 [n, classes] as a uint8 output has them: multiples of 1/256, many of them equal."""
    chance = np.random.default_rng(seed)
    shares = chance.dirichlet(np.full(tree.spans[0].stop, 0.4), n)
    return (np.rint(256 * shares) / 256).clip(0, 255 / 256).astype(np.float32)


@given(trees(), st.integers(0, 2**31))
def test_sums_are_those_of_the_classes_below_and_grow_with_the_rank(tree: Taxonomy, seed: int) -> None:
    given_ = probabilities(tree, 20, seed)
    sums = tree.sums(given_)
    for at, node in enumerate(tree.nodes):
        below = [label for label in range(given_.shape[1]) if at in tree.above[label]]
        assert below
        np.testing.assert_allclose(sums[:, at], np.minimum(given_[:, below].sum(1), 1), atol=1e-6)
        if node.parent >= 0:
            assert (sums[:, node.parent] >= sums[:, at]).all()
            assert tree.nodes[node.parent].rank > node.rank


@given(trees(), st.integers(0, 2**31), st.sampled_from([0.8, 0.95, 1.0]))
def test_chosen_thresholds_keep_what_was_wanted_where_they_were_chosen(
    tree: Taxonomy, seed: int, wanted: float
) -> None:
    given_ = probabilities(tree, 80, seed)
    chance = np.random.default_rng(seed + 1)
    truth = np.where(chance.random(80) < 0.7, given_.argmax(1), chance.integers(0, given_.shape[1], 80))
    sums = tree.sums(given_)
    thresholds = tree.thresholds(sums, truth, wanted)
    assert all(at >= 0.5 for at in thresholds.values())
    answers = tree.answers(sums, thresholds)
    right = tree.right(answers, truth)
    for rank in range(len(tree.ranks)):
        here = np.array([answer >= 0 and tree.nodes[answer].rank == rank for answer in answers])
        assert right[here].sum() >= wanted * here.sum()
    by_class = tree.answers(sums, {rank: at for rank, at in thresholds.items() if rank == "class"})
    assert (answers[by_class >= 0] == by_class[by_class >= 0]).all()  # the tree only adds answers
    for answer, share in zip(answers, sums, strict=True):  # the deepest node that passes
        passing = [i for i, n in enumerate(tree.nodes) if share[i] >= thresholds.get(tree.ranks[n.rank], 2)]
        assert (answer == -1) == (not passing)
        if passing:
            assert tree.nodes[answer].rank == min(tree.nodes[i].rank for i in passing)


@given(trees(), st.lists(st.floats(0, 1), max_size=3))
def test_the_document_is_the_tree(tree: Taxonomy, values: list[float]) -> None:
    thresholds = dict(zip(tree.ranks, values, strict=False))
    classes = [node.name for node in tree.nodes[tree.spans[0]]]
    how = Answering(tree, thresholds)
    assert read_answer_doc(json.loads(json.dumps(answer_doc(how))), classes) == how


def test_an_answer_rolls_up_as_far_as_it_must() -> None:
    tree = parse(FLOWERS)
    thresholds = {"class": 0.8, "genus": 0.7, "family": 0.6}
    cases = {
        (0.9, 0.1, 0, 0, 0): "daisy",
        (0.75, 0.25, 0, 0, 0): "Bellis",
        (0.375, 0.375, 0, 0.25, 0): "Asteraceae",
        (0.25, 0, 0.25, 0.25, 0.25): None,
        (0, 0, 0.1, 0.1, 0.8): "tulip",
        (0, 0, 0.2, 0.05, 0.75): None,  # a tulip has neither genus nor family
    }
    answers = tree.answers(tree.sums(np.array(list(cases), np.float64)), thresholds)
    assert [tree.nodes[a].name if a >= 0 else None for a in answers] == list(cases.values())
    assert tree.right(answers, np.array([1, 0, 3, 0, 4, 4])).tolist() == [False, True, True, False, True, False]
    assert tree.nodes[5].name == "Bellis"
    assert tree.nodes[0].names == {"de": "Gänseblümchen"}
    assert tree.nodes[tree.nodes[3].parent] == Node("Asteraceae", 2, -1, {"de": "Korbblütler"})


def test_lowest_confidence_takes_equal_ones_together() -> None:
    assert lowest_confidence([0.9, 0.8, 0.8, 0.7], [True, True, False, True], 0.75) == 0.7
    assert lowest_confidence([0.9, 0.8, 0.8], [True, True, False], 0.95) == 0.9
    assert lowest_confidence([0.9], [False], 0.5) is None
    assert lowest_confidence([], [], 0.5) is None
    assert lowest_confidence([0.3], [True], 0.95) == 0.3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the columns none; `class` and a rank are needed"),
        ("species,class\n", "the columns species, class; `class`"),
        ("class,name:en\n", "the columns class, name:en; `class` and a rank"),
        ("class,genus,genus\n", "the column genus twice"),
        ("class,genus,tribe:en\n", "the column 'tribe:en', which names nothing"),
        ("class,genus\ndaisy\n", "line 2: 1 cells under 2 columns"),
        ("class,genus\n,Rosa\n", "line 2: the class is empty"),
        ("class,genus\ndaisy,a\x07b\n", "line 2: a name holds characters"),
        (FLOWERS + "rose,Rosa,Rosaceae,,\n", "line 7: class 'rose' stands in line 4 already"),
        (FLOWERS + "oak,Quercus,Fagaceae,,\n", r"oak \(line 7\) is no class of the data"),
        (FLOWERS.replace("tulip", "tulips"), r"it lacks tulip; tulips \(line 6\) is no class"),
        (FLOWERS.replace("rose,Rosa", "rose,Bellis"), "genus 'Bellis' is in the family 'Asteraceae' in line 2 and"),
        ("class,species,genus\ndaisy,a,G\nrose,a,H\n", "in the genus 'G' in line 2 and in the genus 'H' in line 3"),
        ("class,species,genus\ndaisy,a,G\nrose,a,\n", "'a' is in the genus 'G' in line 2 and in nothing in line 3"),
        (FLOWERS.replace(",,Korbblütler", ",,Körbe"), "family:de of 'Asteraceae' is 'Körbe', and 'Korbblütler' before"),
        ('class,genus\n"daisy,Bellis\n', "is no CSV table"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_said(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse(text)


def test_a_column_without_names_is_no_rank_and_blank_lines_are_none() -> None:
    tree = parse("class,species,genus\n\nb,,G\na , ,G\n", ["a", "b"])
    assert (tree.ranks, [node.name for node in tree.nodes]) == (("class", "genus"), ["a", "b", "G"])


def test_a_damaged_document_is_named() -> None:
    doc = answer_doc(Answering(parse(FLOWERS), {"class": 0.5}))
    changes: list[dict[str, Any]] = [
        {"schema": "edgefit.answer/2"},
        {"nodes": [*doc["nodes"][:-1], doc["nodes"][-1] | {"parent": 0}]},
        {"nodes": doc["nodes"][::-1]},
        {"thresholds": {"order": 0.5}},
        {"ranks": "class"},
        {"ranks": [*doc["ranks"], "order"]},
        {"other": {"class": 5, "floor": 0.1}},
        {"other": {"class": 1}},
        {"alike": [[1]]},
        {"alike": [[9], [], [], [], []]},
        {"places": {"regions": ["A"], "lowered": 0.1, "rows": [[0, 1, 4095]]}},
        {"places": {"regions": ["A"], "lowered": 0.5, "rows": []}},
    ]
    for change in changes:
        with pytest.raises(InputError, match="not the run's tree"):
            read_answer_doc(doc | change, CLASSES)
    with pytest.raises(InputError, match="not the run's 5 in their order"):
        read_answer_doc(doc, CLASSES[::-1])


def test_the_data_folder_has_one_and_a_flag_names_another(tmp_path: Path, tiny_photos: Path) -> None:
    assert find_taxonomy(None, str(tiny_photos), ["a", "b"]) is None
    (tiny_photos / "taxonomy.csv").write_text("\ufeffclass,genus\nb,G\na,G\n")
    dataset = load_folder(tiny_photos, seed=0)
    assert not [note for note in dataset.notes if "beside" in note]
    settings = FitSettings(30, "pixel7", data=str(tiny_photos))
    found = data.taxonomy(settings, dataset, Silent())
    assert found is not None
    assert found.ranks == ("class", "genus")
    other = tmp_path / "other.csv"
    other.write_bytes(b"class,family\na,F\nb,\n")
    found = find_taxonomy(str(other), str(tiny_photos), ["a", "b"])
    assert found is not None
    assert found.ranks == ("class", "family")
    other.write_bytes(b"class,family\na,\xff\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        find_taxonomy(str(other), None, ["a", "b"])
    with pytest.raises(DataError, match="cannot be read: No such file"):
        find_taxonomy(str(tmp_path / "none.csv"), None, ["a", "b"])
    with pytest.raises(InputError, match="a precision of 95 is no share"):
        data.taxonomy(FitSettings(30, "pixel7", precision=95), dataset, Silent())


@pytest.fixture
def tiny_photos(tmp_path: Path) -> Path:
    """Two classes of six pictures."""
    from PIL import Image

    chance = np.random.default_rng(0)
    for name in "ab":
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for i in range(6):
            Image.fromarray(chance.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "photos"


def test_nested_folders_are_a_taxonomy(tmp_path: Path, tiny_photos: Path) -> None:
    assert (
        data.taxonomy(FitSettings(30, "pixel7", data=str(tiny_photos)), load_folder(tiny_photos, seed=0), Silent())
        is None
    )
    flat = load_folder(tiny_photos, seed=0)
    nested = tmp_path / "nested"
    (nested / "daisies" / "white").mkdir(parents=True)
    (tiny_photos / "a").rename(nested / "daisies" / "white" / "a")
    (tiny_photos / "b").rename(nested / "b")
    dataset = load_folder(nested, seed=0)
    assert dataset.classes == ("a", "b")
    assert [photo.sha256 for photo in dataset.train] == [photo.sha256 for photo in flat.train]
    tree = data.taxonomy(FitSettings(30, "pixel7", data=str(nested)), dataset, Silent())
    assert tree is not None
    assert tree.ranks == ("class", "group", "group 2")
    assert [(node.name, node.parent) for node in tree.nodes] == [("a", 2), ("b", -1), ("white", 3), ("daisies", -1)]
    (nested / "b" / "deeper").mkdir()  # beside pictures it is no group
    assert load_folder(nested, seed=0).classes == ("a", "b")
    (nested / "roses").mkdir()
    with pytest.raises(DataError, match="roses holds nothing"):
        load_folder(nested, seed=0)
    shutil.copytree(nested / "b", nested / "roses" / "b")
    with pytest.raises(DataError, match=r"class 'b' lies in .*b and in .*roses"):
        load_folder(nested, seed=0)


def judged(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities in which the three Asteraceae are often mistaken for each other, and the truth."""
    chance = np.random.default_rng(seed)
    truth = chance.integers(0, 5, 120)
    confused = np.where(np.isin(truth, [0, 1, 3]), chance.choice([0, 1, 3], 120), truth)
    shares = 0.5 * np.eye(5)[confused] + 0.45 * np.eye(5)[truth] + 0.01
    return np.rint(shares * 256).astype(np.float32) / 256, truth


def test_the_report_shows_that_the_tree_answers_more() -> None:
    doc = rollup.taxonomy_doc(Answering(parse(FLOWERS), {}), judged(1), judged(2), 0.95)
    assert doc["tree"]["answered"] > doc["flat"]["answered"] + 0.2
    assert doc["tree"]["precision"] == 1
    by_rank = doc["tree"]["by_rank"]
    assert [row["rank"] for row in by_rank] == ["class", "genus", "family"]
    assert sum(row["answered"] for row in by_rank) == pytest.approx(doc["tree"]["answered"])
    assert by_rank[0]["answered"] == doc["flat"]["answered"]
    assert [point["precision_wanted"] for point in doc["curve"]] == [0.8, 0.9, 0.95, 0.98, 0.99]
    assert doc["curve"][2]["tree"] == {key: doc["tree"][key] for key in ("answered", "precision")}
    report = report_fixture.document() | {"taxonomy": doc}
    assert validate(json.loads(json.dumps(report)))["taxonomy"] == doc
    for page in (render_html(report), render_markdown(report)):
        assert "Answers up the taxonomy" in page
        assert "with coarser names where it is unsure of the class 100.0%" in page
        assert "Asteraceae" not in page  # ranks, not names
    for page in (render_html(report_fixture.document()), render_markdown(report_fixture.document())):
        assert "taxonomy" not in page.lower()


def test_nothing_answered_has_no_precision() -> None:
    flat = np.full((10, 5), 0.2, np.float32)
    doc = rollup.taxonomy_doc(Answering(parse(FLOWERS), {}), (flat, np.zeros(10, int)), (flat, np.ones(10, int)), 0.95)
    assert doc["flat"] == {"answered": 0, "precision": None}
    assert "–" in rollup.sentence(doc)
    assert "–" in render_markdown(report_fixture.document() | {"taxonomy": doc})
