"""Photographs of other things: a class that is turned away, split like one, without copies; places.csv."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import report_fixture

from edgefit_toolkit.data.answers.answering import Answering, floor_keeping, look_alikes
from edgefit_toolkit.data.answers.places import ALL_YEAR, Places, find_places, parse_places
from edgefit_toolkit.data.answers.taxonomy import Node, Taxonomy
from edgefit_toolkit.data.dataset import Dataset, Seen
from edgefit_toolkit.data.others import OTHER, with_others
from edgefit_toolkit.data.readers.folder import load_folder
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.stages import data
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.report import derive, rollup
from edgefit_toolkit.report.html import render_html
from edgefit_toolkit.report.markdown import render_markdown


def draw(folder: Path, n: int, seed: int) -> Path:
    chance = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(n):
        Image.fromarray(chance.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    """Two classes of 30."""
    for seed, name in enumerate("ab"):
        draw(tmp_path / "plants" / name, 30, seed)
    return tmp_path / "plants"


@pytest.fixture
def dataset(plants: Path) -> Dataset:
    return load_folder(plants, seed=0)


def test_others_are_a_last_class_in_every_split(plants: Path, dataset: Dataset, tmp_path: Path) -> None:
    folder = draw(tmp_path / "others", 40, 9) / "deeper"
    folder.mkdir()
    shutil.copy(plants / "a" / "00.png", folder / "own.png")  # one of the data set's own
    shutil.copy(tmp_path / "others" / "00.png", folder / "twice.png")
    (folder / "text.jpg").write_text("no picture")
    found = with_others(dataset, tmp_path / "others", seed=0)
    assert found.classes == ("a", "b", OTHER)
    assert found.other == 2
    per_split = [[photo for photo in found.split(split) if photo.label == 2] for split in ("train", "val", "test")]
    assert [len(photos) for photos in per_split] == [28, 6, 6]
    assert len({photo.sha256 for photos in per_split for photo in photos}) == 40
    assert [photo for photo in found.train if photo.label < 2] == list(dataset.train)
    assert found.sha256 != dataset.sha256
    assert found == with_others(dataset, tmp_path / "others", seed=0)
    assert "text.jpg" in {skipped.name for skipped in found.skipped}
    assert "2 classes" in found.summary
    many = with_others(dataset, draw(tmp_path / "many", 90, 5), seed=0)
    assert sum(photo.label == 2 for split in ("train", "val", "test") for photo in many.split(split)) == 60


def test_what_cannot_be_others_is_said(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        with_others(dataset, tmp_path / "none", seed=0)
    with pytest.raises(DataError, match="holds 3 usable photographs"):
        with_others(dataset, draw(tmp_path / "few", 3, 4), seed=0)
    again = with_others(dataset, draw(tmp_path / "others", 30, 4), seed=0)
    with pytest.raises(DataError, match="has a class 'none of these' already"):
        with_others(again, tmp_path / "others", seed=0)


def test_a_run_keeps_its_taxonomy_and_places_to_the_classes(plants: Path, tmp_path: Path) -> None:
    (plants / "taxonomy.csv").write_text("class,genus\na,G\nb,G\n")
    (plants / "places.csv").write_text("class,region,months\na,North,5-9\n")
    draw(tmp_path / "others", 30, 4)
    settings = FitSettings(30, "pixel7", data=str(plants), other=str(tmp_path / "others"))
    dataset = data.load(settings, Silent(), 8)
    assert not [note for note in dataset.notes if "beside" in note]
    tree = data.taxonomy(settings, dataset, Silent())
    assert tree is not None
    assert [(node.name, node.parent) for node in tree.nodes] == [("a", 3), ("b", 3), (OTHER, -1), ("G", -1)]
    assert data.places(settings, dataset, Silent()) == Places(("North",), ((0, 0, 0b111110000),))


def test_the_class_of_others_is_never_named_and_keeps_its_share() -> None:
    tree = Taxonomy(("class", "genus"), (Node("a", 0, 3), Node("b", 0, 3), Node(OTHER, 0), Node("G", 1)))
    how = Answering(tree, {"class": 0.5, "genus": 0.5}, floor=0.2, other=2)
    given = np.array([[0.1, 0.1, 0.8], [0.3, 0.3, 0.4], [0.6, 0.1, 0.3], [0.25, 0.05, 0.7]], np.float32)
    assert how.is_other(given).tolist() == [True, False, False, False]
    assert how.answers(given).tolist() == [-1, 3, 0, -1]
    assert how.known == [0, 1]
    assert how.admitted(given)[0].tolist() == [0, 0, 0]


def test_what_is_split_below_a_sure_name_is_not_turned_away() -> None:
    tree = Taxonomy(
        ("class", "family", "kingdom"),
        (Node("daisy", 0, 5), Node("dandelion", 0, 5), Node("sunflower", 0, 5), Node("rose", 0, 6), Node("tulip", 0, 6),
         Node("Asteraceae", 1, 6), Node("plant", 2)),
    )  # fmt: skip
    split = np.array([[0.37, 0.39, 0.23, 0, 0.01]], np.float32)
    how = Answering(tree, {"class": 0.8, "family": 0.9}, floor=0.6)
    assert not how.is_other(split)[0]
    assert how.answers(split)[0] == 5
    assert replace(how, tree=Taxonomy.of_classes(list("abcde"))).is_other(split)[0]
    nothing = np.full((1, 5), 0.2, np.float32)  # three fifths of it lie in the family, all of it among plants
    assert how.certainty(nothing)[0] == pytest.approx(0.2)
    with_other = replace(how, tree=tree.with_class(OTHER), other=5)
    dog = np.array([[0.1, 0.1, 0.1, 0, 0, 0.7]], np.float32)
    assert with_other.certainty(dog)[0] == pytest.approx(0.1)
    assert with_other.certainty(np.eye(6, dtype=np.float32)).tolist() == [1, 1, 1, 1, 1, 0]


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=9).filter(any), st.booleans())
def test_certainty_is_the_largest_probability_of_a_class_and_no_less_on_a_tree(values: list[float], deep: bool) -> None:
    shares = np.array([values], np.float32) / np.float32(sum(values))
    n = len(values)
    parents = [n + i % 2 if deep else -1 for i in range(n)]
    above = [Node(f"G{i}", 1) for i in range(2 * deep)]
    ranks = ("class", "genus") if deep else ("class",)
    tree = Taxonomy(ranks, (*(Node(f"c{i}", 0, at) for i, at in enumerate(parents)), *above))
    certain, largest = float(Answering(tree, {}).certainty(shares)[0]), float(shares.max())
    assert certain == pytest.approx(largest, abs=1e-6) if not deep else largest - 1e-6 <= certain <= 1


def test_the_floor_keeps_what_was_wanted() -> None:
    chance = np.random.default_rng(0)
    for n in (1, 7, 19, 20, 100, 333):
        largest = np.rint(chance.random(n) * 256) / 256
        floor = floor_keeping(largest)
        assert (largest >= floor).mean() >= 0.95
        if n >= 20:
            assert (largest > floor).mean() < 0.95 + 1 / n
    assert floor_keeping(np.empty(0)) == 0


def test_look_alikes_are_what_gets_the_probability() -> None:
    shares = np.array([[0.7, 0.2, 0.01, 0.09], [0.6, 0.3, 0.05, 0.05], [0.1, 0.9, 0, 0]])
    assert look_alikes(shares, np.array([0, 0, 1]), [0, 1, 2]) == ((1, 2), (0,), (), ())


def test_separation_is_counted_with_ties() -> None:
    assert derive.auroc(np.array([0.9, 0.8]), np.array([0.1, 0.8])) == pytest.approx(3.5 / 4)
    assert derive.auroc(np.array([0.5]), np.array([0.5])) == 0.5
    kept = np.arange(100) / 100
    assert derive.kept_at_95(kept, np.array([0.01, 0.049, 0.05, 0.9])) == 0.5


def test_the_report_says_what_is_turned_away() -> None:
    how = Answering(Taxonomy.of_classes(["a", "b", OTHER]), {"class": 0.5}, floor=0.3, other=2)
    test = np.array([[0.9, 0.1, 0], [0.2, 0.1, 0.7], [0, 0.1, 0.9], [0.4, 0, 0.6]], np.float32)
    doc = rollup.other_doc(how, (test, np.array([0, 1, 2, 2])), test, 30)
    assert (doc["kept"], doc["n"], doc["turned_away"], doc["n_other"]) == (0.5, 2, 0.5, 2)
    assert doc["int8"] == doc["float"] == {"auroc": 0.75, "fpr95": 0.5}
    pages = [render(report_fixture.document() | {"other": doc}) for render in (render_markdown, render_html)]
    assert all("50.0% of 2 pictures of other things are turned away" in page for page in pages)
    blind = rollup.other_doc(Answering(how.tree, {}, floor=0.3), (test[:2], np.array([0, 1])), test[:2], 30)
    assert "turned_away" not in blind
    assert "is not known without --other" in rollup.other_sentence(blind)
    assert "what they get is not measured" in render_markdown(report_fixture.document() | {"other": blind})


CLASSES = ["rose", "oxeye", "ivy"]


def test_the_report_says_what_places_gain() -> None:
    places = parse_places("class,region,months\nrose,South,5-7\noxeye,North,5-9\nivy,North,\n", CLASSES, "places.csv")
    how = Answering(Taxonomy.of_classes(CLASSES), {"class": 0.6}, places=places)
    says = np.array([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.6, 0.1, 0.3], [0.9, 0.1, 0]], np.float32)
    seen = [Seen("North", 6), Seen("South", 6), Seen("", 12), Seen("North"), Seen("East")]
    doc = rollup.places_doc(how, (says, np.array([1, 0, 1, 0, 0])), seen)
    assert doc is not None
    assert (doc["n"], doc["regions"], doc["mended"], doc["spoiled"]) == (4, ["North", "South"], 1, 2)
    assert doc["without"] == {"top1": 0.75, "answered": 0.5, "precision": 1.0}
    assert doc["lowered"] == {"top1": 0.5, "answered": 0.75, "precision": 2 / 3}
    pages = [render(report_fixture.document() | {"places": doc}) for render in (render_markdown, render_html)]
    assert all("(1 mended, 2 spoiled)" in page for page in pages)
    assert rollup.places_doc(how, (says, np.zeros(5, int)), [Seen("East")] * 5) is None
    assert rollup.places_doc(replace(how, places=None), (says, np.zeros(5, int)), seen) is None


def test_months_and_regions_are_read() -> None:
    text = "\ufeff"[1:] + 'class,region,months\nrose,South,5-7\nrose,North,6\noxeye,North,"11-2, 4"\noxeye,South,\n'
    places = parse_places(text, CLASSES, "places.csv")
    assert places.regions == ("North", "South")
    assert places.rows == ((0, 1, 0b1110000), (0, 0, 0b100000), (1, 0, 0b110000001011), (1, 1, ALL_YEAR))
    seldom = {
        (None, None): [False, False, False], ("South", 5): [False, False, False], ("North", 5): [True, True, False],
        (None, 12): [True, False, False], ("North", None): [False, False, False],
        ("Elsewhere", 9): [True, False, False],
    }  # fmt: skip
    for (region, month), expected in seldom.items():
        assert places.seldom(3, region, month).tolist() == expected, (region, month)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has the columns none"),
        ("class,months,region\n", "has the columns class, months, region"),
        ("class,region,months\nrose,South\n", "line 2: 2 cells under 3"),
        ("class,region,months\nelm,South,\n", "line 2: 'elm' is no class"),
        ("class,region,months\nrose,,\n", "line 2: the region is empty"),
        ("class,region,months\nrose,South,13\n", "line 2: '13' are no months"),
        ("class,region,months\nrose,South,May\n", "line 2: 'May' are no months"),
        ("class,region,months\nrose,South,5-\n", "line 2: '5-' are no months"),
        ('class,region,months\n"rose\n', "is no CSV table"),
    ],
)
def test_what_is_wrong_with_places_is_said(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        parse_places(text, CLASSES, "places.csv")


def test_places_lie_in_the_data_folder_or_are_named(tmp_path: Path) -> None:
    assert find_places(None, str(tmp_path), CLASSES) is None
    (tmp_path / "places.csv").write_text("class,region,months\nivy,South,\n")
    assert find_places(None, str(tmp_path), CLASSES) == Places(("South",), ((2, 0, ALL_YEAR),))
    with pytest.raises(DataError, match="cannot be read: No such file"):
        find_places(str(tmp_path / "none.csv"), None, CLASSES)
    (tmp_path / "latin.csv").write_bytes(b"class,region,months\nivy,\xff,\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        find_places(str(tmp_path / "latin.csv"), None, CLASSES)
