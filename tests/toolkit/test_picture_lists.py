"""The same pictures from every kind of source are the same data set; and every way in which a list can be wrong."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import pickle
import re
import shutil
import sys
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.picture_lists import AS_LISTS, add, as_csv, as_hub_parquet, as_shards
from support.pictures import picture
from support.training_parts import CLASSES, draw, fresh_network, variant

from edgefit_toolkit.data import decoding
from edgefit_toolkit.data.checks import check
from edgefit_toolkit.data.dataset import Dataset, Seen
from edgefit_toolkit.data.pixels import load_pixels
from edgefit_toolkit.data.preprocessing import preprocessing_for
from edgefit_toolkit.data.readers import coco, shards
from edgefit_toolkit.data.sources import load_dataset
from edgefit_toolkit.errors import DataError
from edgefit_toolkit.pipeline.run_directory.place import place_of
from edgefit_toolkit.pipeline.settings import FitSettings, default_out
from edgefit_toolkit.training.fine_tune import fine_tune
from edgefit_toolkit.training.settings import TrainSettings

pytest.importorskip("pyarrow", reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 drawn pictures of each class."""
    folder = tmp_path_factory.mktemp("drawn") / "plants"
    random = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            draw(label, random).save(folder / name / f"{number:02d}.png")
    return folder


def load(data: str, tmp_path: Path, seed: int = 3) -> Dataset:
    return load_dataset(data, seed=seed, cache_dir=tmp_path / "cache")


def same_set(mine: Dataset, other: Dataset) -> None:
    assert mine.sha256 == other.sha256
    assert mine.classes == other.classes
    for split in ("train", "val", "test"):
        assert [(p.name, p.label, p.sha256) for p in mine.split(split)] == [
            (p.name, p.label, p.sha256) for p in other.split(split)
        ]


def same_pixels(mine: Dataset, other: Dataset) -> None:
    how = preprocessing_for(variant())
    for split in ("train", "val", "test"):
        assert np.array_equal(load_pixels(mine.split(split), how), load_pixels(other.split(split), how))


@pytest.mark.parametrize("kind", AS_LISTS)
def test_every_source_gives_the_folder_s_data_set(kind: str, plants: Path, tmp_path: Path) -> None:
    folder, listed = load(str(plants), tmp_path), load(AS_LISTS[kind](plants, tmp_path), tmp_path)
    same_set(listed, folder)
    same_pixels(listed, folder)
    assert not listed.skipped
    assert listed.notes == folder.notes
    photo = listed.train[0]
    with photo.open() as stream:
        assert hashlib.sha256(stream.read()).hexdigest() == photo.sha256


@pytest.fixture(scope="module")
def flowers(flowers_dir: Path) -> Dataset:
    return load_dataset(str(flowers_dir), seed=3)


@pytest.mark.parametrize("kind", AS_LISTS)
def test_every_source_gives_the_same_flowers_with_their_own_split(
    kind: str, flowers_dir: Path, flowers: Dataset, tmp_path: Path
) -> None:
    assert len(flowers.train) + len(flowers.val) + len(flowers.test) == 400
    same_set(load(AS_LISTS[kind](flowers_dir, tmp_path), tmp_path), flowers)


@pytest.mark.slow
def test_training_on_shards_gives_the_folder_s_checkpoint(plants: Path, tmp_path: Path) -> None:
    weights = []
    for data in (str(plants), as_shards(plants, tmp_path)):
        settings = TrainSettings(epochs=1, views=1, unfreeze_from=6, lr=1e-3, batch=16)
        network = fine_tune(fresh_network(), load(data, tmp_path), settings).network
        weights.append({name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()})
    assert weights[0] == weights[1]


def test_the_second_start_reads_the_pictures_unpacked_before(
    plants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = as_hub_parquet(plants, tmp_path)
    first = load(data, tmp_path)
    (unpacked,) = (tmp_path / "cache" / "data").iterdir()
    written = unpacked.stat().st_mtime_ns
    monkeypatch.setattr(check, "CATALOGUED", 1)
    same_set(load(data, tmp_path), first)
    assert unpacked.stat().st_mtime_ns == written
    monkeypatch.setattr(decoding, "check", None)  # nothing is left to be decoded
    same_set(load(data, tmp_path), first)


@pytest.mark.parametrize("kind", AS_LISTS)
def test_another_process_is_told_where_the_pictures_are(kind: str, plants: Path, tmp_path: Path) -> None:
    dataset = load(AS_LISTS[kind](plants, tmp_path), tmp_path)
    sent = pickle.dumps(dataset)
    assert len(sent) < sum(path.stat().st_size for path in plants.glob("*/*.png")) / 10
    same_pixels(pickle.loads(sent), dataset)


@pytest.mark.parametrize("inside", [False, True], ids=["files", "inside the library's files"])
def test_the_datasets_library_gives_the_folder_s_data_set_and_a_second_start_decodes_nothing(
    inside: bool, plants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through `datasets.load_dataset`, as a data set of the hub goes: here of a folder that it understands."""
    library = pytest.importorskip("datasets", reason="datasets is not installed")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(check, "CATALOGUED", 1)
    data = as_arrow(as_hub_parquet(plants, tmp_path)) if inside else f"hf:{plants}"
    folder, listed = load(str(plants), tmp_path), load(data, tmp_path)
    same_set(listed, folder)
    same_pixels(pickle.loads(pickle.dumps(listed)), folder)
    judge = decoding.check
    monkeypatch.setattr(decoding, "check", None)
    same_set(load(data, tmp_path), folder)
    if inside:  # what the library made anew is looked at anew
        shutil.rmtree(tmp_path / "hub")
        looked_at: list[object] = []
        monkeypatch.setattr(decoding, "check", lambda picture: looked_at.append(picture) or judge(picture))
        same_set(load(data, tmp_path), folder)
        assert len(looked_at) == 36


def as_arrow(parquet: str) -> str:
    """The same folder's files as Arrow, which the library reads and edgefit does not."""
    import pyarrow.ipc
    import pyarrow.parquet

    for file in Path(parquet.removeprefix("hf:")).rglob("*.parquet"):
        table = pyarrow.parquet.read_table(file)
        with pyarrow.ipc.new_stream(str(file.with_suffix(".arrow")), table.schema) as out:
            out.write_table(table)
        file.unlink()
    return parquet


def test_a_list_takes_less_than_300_bytes_a_picture_while_it_is_read(tmp_path: Path) -> None:
    count = 2000
    ids = [hashlib.md5(str(number).encode()).hexdigest() for number in range(count)]
    photographed = {"width": 2048, "height": 1536, "date_captured": "2013-10-04 13:31:53", "location": "26"}
    document = {
        "images": [{"id": one, "file_name": f"26/{one}.jpg"} | photographed for one in ids],
        "annotations": [
            {"id": f"of {one}", "image_id": one, "category_id": number % 9} for number, one in enumerate(ids)
        ],
        "categories": [{"id": number, "name": f"plant {number}"} for number in range(9)],
    }
    (tmp_path / "c.json").write_text(json.dumps(document))
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for one in ids:
            add(tar, f"{one}.jpg", b"picture")
            add(tar, f"{one}.cls", b"plant")
    del document

    def of_coco() -> object:
        return coco._listed(tmp_path / "c.json")

    def of_a_tar() -> object:
        found = shards.ShardPictures([tmp_path / "s.tar"])
        shards._add(tmp_path / "s.tar", 0, found)
        return found

    for read in (of_coco, of_a_tar):
        read()  # what is imported and made once
        tracemalloc.start()
        try:
            held = read()
            assert held
            assert tracemalloc.get_traced_memory()[1] / count < 300
        finally:
            tracemalloc.stop()


def write_csv(to: Path, *rows: tuple[object, ...]) -> str:
    with to.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return str(to)


@pytest.fixture
def some(tmp_path: Path) -> list[tuple[str, str]]:
    """Paths and labels, relative to tmp_path, of five pictures of each of two classes."""
    rows = [(f"{label}/{number}.jpg", label) for label in ("ivy", "moss") for number in range(5)]
    for number, (path, _) in enumerate(rows):
        picture(tmp_path / path, number)
    return rows


def refused(data: str, tmp_path: Path) -> str:
    with pytest.raises(DataError) as fault:
        load(data, tmp_path)
    assert fault.value.exit_code == 2
    assert fault.value.hint
    return f"{fault.value.message}\n{fault.value.hint}"


def test_paths_are_relative_to_the_manifest_and_may_lead_out_of_its_folder(
    some: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    rows = [(f"../{path}", label) for path, label in some[1:]]
    outside = write_csv(tmp_path / "lists" / "l.csv", ("path", "label"), (tmp_path / some[0][0], some[0][1]), *rows)
    beside = write_csv(tmp_path / "l.csv", ("path", "label"), *some)
    same_set(load(outside, tmp_path), load(beside, tmp_path))


def test_a_missing_file_is_named_and_left_out(some: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / some[0][0]).unlink()
    dataset = load(write_csv(tmp_path / "l.csv", ("path", "label"), *some), tmp_path)
    (skipped,) = dataset.skipped
    assert skipped.place == str(tmp_path / some[0][0])
    assert "No such file" in skipped.reason


def test_other_columns_are_named(some: list[tuple[str, str]], tmp_path: Path) -> None:
    rows = [(*row, "x", "y") for row in some]
    dataset = load(write_csv(tmp_path / "l.csv", ("path", "label", "spilt", "day"), *rows), tmp_path)
    assert "columns of l.csv that were not used: spilt, day" in dataset.notes


def test_a_manifest_says_where_and_when(some: list[tuple[str, str]], tmp_path: Path) -> None:
    where = [("North", "5"), ("", "12"), *[("", "")] * (len(some) - 2)]
    table = [(*row, *more) for row, more in zip(some, where, strict=True)]
    dataset = load(write_csv(tmp_path / "l.csv", ("path", "label", "region", "month"), *table), tmp_path)
    seen = {photo.place: photo.seen for photo in (*dataset.train, *dataset.val, *dataset.test)}
    assert seen[str(tmp_path / some[0][0])] == Seen("North", 5)
    assert seen[str(tmp_path / some[1][0])] == Seen("", 12)
    assert seen[str(tmp_path / some[2][0])] == Seen()
    assert not [note for note in dataset.notes if "not used" in note]
    same_set(dataset, load(write_csv(tmp_path / "m.csv", ("path", "label"), *some), tmp_path))
    table[0] = (*some[0], "North", "13")
    assert "row 1 of" in refused(write_csv(tmp_path / "l.csv", ("path", "label", "region", "month"), *table), tmp_path)


def test_repeated_rows_count_once(some: list[tuple[str, str]], tmp_path: Path) -> None:
    once = load(write_csv(tmp_path / "l.csv", ("path", "label"), *some), tmp_path)
    twice = load(write_csv(tmp_path / "l.csv", ("path", "label"), *some, ("./" + some[0][0], "ivy")), tmp_path)
    same_set(twice, once)
    assert "1 rows repeat another and were read once" in twice.notes
    assert not twice.skipped


BAD_TABLES: dict[str, tuple[Callable[[list[tuple[str, str]]], list[tuple[object, ...]]], str]] = {
    "no rows": (lambda some: [("path", "label")], "lists no pictures"),
    "nothing": (lambda some: [], "has no column path and no column label; it has nothing"),
    "no label column": (lambda some: [("path", "species"), *some], "has no column label; it has path, species"),
    "an empty label": (lambda some: [("path", "label"), *some, ("a.jpg", " ")], "row 11 of .* has no label"),
    "a short row": (lambda some: [("path", "label"), *some, ("a.jpg",)], "row 11 of .* has no label"),
    "a long row": (lambda some: [("path", "label"), ("a, b.jpg", "ivy", "x")], "row 1 of .* more cells .* header's 2"),
    "no path": (lambda some: [("path", "label"), ("", "ivy")], "row 1 of .* names no picture"),
    "two labels": (
        lambda some: [("path", "label"), *some, (some[0][0], "moss")],
        r"says two things of 0.jpg: ivy \(row 1\) and moss \(row 11\)",
    ),
    "two splits": (
        lambda some: [("path", "label", "split"), *[(*row, "train") for row in some], (*some[0], "test")],
        r"says two things of 0.jpg: ivy in train \(row 1\) and ivy in test \(row 11\)",
    ),
    "an unknown split": (
        lambda some: [("path", "label", "split"), (*some[0], "dev"), *[(*row, "train") for row in some[1:]]],
        "row 1 of .* has the split 'dev'",
    ),
    "some without a split": (
        lambda some: [("path", "label", "split"), (*some[0], ""), *[(*row, "train") for row in some[1:]]],
        "gives some pictures a split and others none",
    ),
    "nothing to train": (
        lambda some: [("path", "label", "split"), *[(*row, "Test") for row in some]],
        "has pictures to test and none to train",
    ),
    "a class name of two lines": (lambda some: [("path", "label"), (some[0][0], "i\nvy"), *some[1:]], "rename it"),
    "no picture there": (
        lambda some: [("path", "label"), *[("x/" + path, label) for path, label in some]],
        "none of the 10 pictures .* is there: the first would be .*x/ivy/0.jpg",
    ),
}


@pytest.mark.parametrize("what", BAD_TABLES)
def test_a_bad_table_has_one_clear_message(what: str, some: list[tuple[str, str]], tmp_path: Path) -> None:
    rows, message = BAD_TABLES[what]
    said = refused(write_csv(tmp_path / "l.csv", *rows(some)), tmp_path)
    assert re.search(message, said), said


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    assert "there is no file" in refused(str(tmp_path / "none.csv"), tmp_path)
    assert "there is no file" in refused(str(tmp_path / "none.json"), tmp_path)
    (tmp_path / "latin.csv").write_bytes("path,label\nä.jpg,Löwenzahn\n".encode("latin-1"))
    assert "is not UTF-8" in refused(str(tmp_path / "latin.csv"), tmp_path)
    (tmp_path / "l.parquet").write_bytes(b"path,label\n")
    assert "cannot read" in refused(str(tmp_path / "l.parquet"), tmp_path)


def test_coco_that_is_not(some: list[tuple[str, str]], tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    whole = {
        "images": [{"id": n, "file_name": path} for n, (path, _) in enumerate(some)],
        "annotations": [{"image_id": n, "category_id": int(label == "moss")} for n, (_, label) in enumerate(some)],
        "categories": [{"id": 0, "name": "ivy"}, {"id": 1, "name": "moss"}],
    }

    def refused_with(**changed: object) -> str:
        file.write_text(json.dumps(whole | changed))
        return refused(str(file), tmp_path)

    file.write_text("[")
    assert "is not COCO JSON" in refused(str(file), tmp_path)
    file.write_text("{}")
    assert "missing required field `images`" in refused(str(file), tmp_path)
    assert "category 1, which is none of its 1" in refused_with(categories=[{"id": 0, "name": "ivy"}])
    assert "has no label" in refused_with(categories=[{"id": 0, "name": ""}, {"id": 1, "name": "moss"}])
    assert "lists no pictures" in refused_with(annotations=[])
    more = [*whole["annotations"], {"image_id": 0, "category_id": 1}]
    file.write_text(
        json.dumps(whole | {"annotations": more, "images": [*whole["images"], {"id": 99, "file_name": "x"}]})
    )
    notes = load(str(file), tmp_path).notes
    assert "1 images with no annotation were not used" in notes
    assert "1 images with annotations of several categories were not used" in notes


def test_shards_that_are_not(plants: Path, tmp_path: Path) -> None:
    as_shards(plants, tmp_path)
    whole = (tmp_path / "000.tar").read_bytes()
    one = tmp_path / "one.tar"
    for kept in (len(whole) // 2, len(whole) // 512 * 512 // 3, tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + 5):
        one.write_bytes(whole[:kept])
        assert "truncated" in refused(f"wds:{one}", tmp_path), kept
    with tarfile.open(tmp_path / "000.tar") as tar:
        end = max(member.offset_data + -(-member.size // 512) * 512 for member in tar)
    for kept in (end, end + 5):  # between two members: nothing but the end mark is missing
        one.write_bytes(whole[:kept])
        assert "truncated" in refused(f"wds:{one}", tmp_path), kept
    one.write_bytes(gzip.compress(whole))
    assert "is not an uncompressed tar file" in refused(f"wds:{one}", tmp_path)
    assert "there is no file" in refused(f"wds:{tmp_path}/{{000..003}}.tar", tmp_path)
    assert "names no shard" in refused(f"wds:{tmp_path}/x*.tar", tmp_path)
    assert "is no range" in refused(f"wds:{tmp_path}/{{3..1}}.tar", tmp_path)
    for members, message in (
        ({}, "holds no pictures"),
        ({"a.cls": b"ivy"}, "holds no pictures: 1 samples of other kinds"),
        ({"a.jpg": b"x"}, "has no label"),
        ({"a.jpg": b"x", "a.cls": b" "}, "has no label"),
        ({"a.jpg": b"x", "a.json": b"{"}, "the .json of a of .* cannot be read"),
        ({"a.jpg": b"x", "a.json": b"[]"}, "is no object"),
    ):
        with tarfile.open(one, "w") as tar:
            for name, content in members.items():
                add(tar, name, content)
        said = refused(f"wds:{one}", tmp_path)
        assert re.search(message, said), said
    with tarfile.open(one, "w") as tar:
        add(tar, "a.jpg", b"x")
        add(tar, "a.jpg", b"y")
    assert "holds a.jpg twice" in refused(f"wds:{one}", tmp_path)


def test_the_files_of_a_sample_may_lie_apart(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, raw in (
            ("./b/1.cls", b"ivy"),
            ("a/1.jpg", b"one"),
            ("./b/1.JPG", b"other"),
            ("a/1.json", b'{"label": 7}'),
        ):
            add(tar, name, raw)
    found = shards.ShardPictures([tmp_path / "s.tar"])
    assert shards._add(tmp_path / "s.tar", 0, found) == 0
    pictures = [found(row) for row in range(2)]
    assert [(picture.place.rpartition(": ")[2], picture.open().read()) for picture in pictures] == [
        ("b/1.jpg", b"other"),
        ("a/1.jpg", b"one"),
    ]
    assert list(found.labels) == ["ivy", "7"]


def test_patterns_of_shards(tmp_path: Path) -> None:
    (tmp_path / "b-1.tar").touch()
    names = [path.name for path in shards.expand(f"{tmp_path}/{{train,val}}-{{08..10}}.tar")]
    assert names == [f"{split}-{number}.tar" for split in ("train", "val") for number in ("08", "09", "10")]
    assert [path.name for path in shards.expand(f"{tmp_path}/*.tar")] == ["b-1.tar"]


def test_a_run_names_its_pictures_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    assert place_of("wds:set/{0..3}.tar") == f"wds:{tmp_path}/set/{{0..3}}.tar"
    assert place_of("hf:set") == f"hf:{tmp_path}/set"
    assert place_of("hf:set:north") == f"hf:{tmp_path}/set:north"
    assert place_of("hf:owner/name:north") == "hf:owner/name:north"
    assert place_of("list.csv") == f"{tmp_path}/list.csv"
    assert "/" not in default_out(FitSettings(budget_ms=5, device="pixel7", data="hf:owner/name:north")).name


def test_a_shard_or_a_folder_of_shards_may_name_the_split(plants: Path, tmp_path: Path) -> None:
    for shard, split in enumerate(("train", "val", "test")):
        with tarfile.open(tmp_path / f"{split}-0.tar", "w") as tar:
            for path in sorted(plants.glob("*/*.png"))[shard::3]:
                add(tar, f"{path.parent.name}-{path.stem}.png", path.read_bytes())
                add(tar, f"{path.parent.name}-{path.stem}.cls", path.parent.name.encode())
    dataset = load(f"wds:{tmp_path}/{{train,val,test}}-0.tar", tmp_path)
    assert [len(dataset.split(split)) for split in ("train", "val", "test")] == [12, 12, 12]


def test_parquet_without_pictures_or_labels(plants: Path, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    to = tmp_path / "set"
    to.mkdir()
    parquet.write_table(pyarrow.table({"text": ["a"], "label": [0]}), to / "a.parquet")
    assert "has no columns of images; its columns are text (Value), label (Value)" in refused(f"hf:{to}", tmp_path)
    parquet.write_table(pyarrow.table({"image": [b"a"], "kind": [0]}), to / "a.parquet")
    assert "has no columns of labels" in refused(f"hf:{to}", tmp_path)
    parquet.write_table(pyarrow.table({"image": [b"a"], "label": [[0, 1]]}), to / "a.parquet")
    assert "one class a picture" in refused(f"hf:{to}", tmp_path)
    parquet.write_table(pyarrow.table({"image": [b"a"], "label": [None]}), to / "a.parquet")
    assert "a.parquet: row 1 of hf:" in refused(f"hf:{to}", tmp_path)
    (to / "a.parquet").write_bytes(b"PAR1 and no more PAR1")
    assert "cannot read" in refused(f"hf:{to}", tmp_path)
    for config in ("north", "south"):
        (to / config).mkdir()
        parquet.write_table(pyarrow.table({"image": [b"a"], "label": [config]}), to / config / "train-0.parquet")
    (to / "a.parquet").unlink()
    assert "has the configurations north, south" in refused(f"hf:{to}", tmp_path)
    assert "has no configuration 'west'" in refused(f"hf:{to}:west", tmp_path)
    assert "the single class 'north'" in refused(f"hf:{to}:north", tmp_path)


@pytest.mark.parametrize(
    ("data", "package", "extra"),
    [("l.parquet", "pyarrow", "parquet"), ("hf:owner/name", "datasets", "hf")],
)
def test_a_missing_library_is_named(
    data: str, package: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    said = refused(data, tmp_path)
    assert f"needs the package {package}, which is not installed\npip install 'edgefit-toolkit[{extra}]'" in said


def test_a_csv_needs_no_library(plants: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pyarrow", "datasets", "pandas"):
        monkeypatch.setitem(sys.modules, package, None)
    assert len(load(as_csv(plants, tmp_path), tmp_path).classes) == 3
