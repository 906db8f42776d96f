"""Run directories: what counts as done, what a crash leaves, who may use one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.files import key_of, write_atomic
from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.run import MANIFEST, open_run

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x), max_leaves=5)


@given(st.dictionaries(st.text(min_size=1).filter(str.isidentifier), JSON, min_size=1))
def test_a_key_depends_on_the_values_and_not_on_their_order(values: dict[str, object]) -> None:
    assert key_of(**values) == key_of(**dict(reversed(values.items())))
    name = next(iter(values))
    assert key_of(**values) != key_of(**{**values, name: [values[name], "changed"]})


@dataclass(frozen=True)
class Result:
    top1: float


def key(value: str = "k") -> Key:
    return Key({"settings": {"lr": value}, "sources": {"toolkit/data/splits.py": value}})


def finish(path: Path, content: str = "weights") -> None:
    with open_run(path, settings={}, environment={}) as run:
        file = path / "model.bin"
        write_atomic(file, content)
        run.finish("train", key(), Result(0.5), [file], 1.0)


def test_a_finished_stage_is_found_again(tmp_path: Path) -> None:
    finish(tmp_path)
    with open_run(tmp_path, settings={}, environment={}) as run:
        assert run.done("train", key(), Result) == Result(0.5)
        assert run.why_again("train", key()) == ""


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        ("key", "settings.lr k -> other, toolkit/data/splits.py changed"),
        ("content", "model.bin is not the file that it made"),
        ("gone", "model.bin is gone"),
        ("stage", ""),
    ],
)
def test_a_stage_runs_again_when_its_inputs_or_files_changed(tmp_path: Path, spoil: str, why: str) -> None:
    finish(tmp_path)
    if spoil == "content":
        (tmp_path / "model.bin").write_text("other")
    if spoil == "gone":
        (tmp_path / "model.bin").unlink()
    with open_run(tmp_path, settings={}, environment={}) as run:
        stage, now = "convert" if spoil == "stage" else "train", key("other" if spoil == "key" else "k")
        assert run.done(stage, now, Result) is None
        assert run.why_again(stage, now) == why


def test_a_donors_stage_is_taken_over(tmp_path: Path) -> None:
    donor, ours = tmp_path / "donor", tmp_path / "ours"
    finish(donor)
    with open_run(ours, settings={}, environment={}, donor=donor) as run:
        assert run.done("train", key(), Result) == Result(0.5)
        write_atomic(ours / "model.bin", "other weights")  # as every stage writes
    assert (donor / "model.bin").read_text() == "weights"
    with open_run(ours, settings={}, environment={}, donor=donor) as run:  # ours is broken: it is taken over again
        assert run.done("train", key(), Result) == Result(0.5)
    with open_run(ours, settings={}, environment={}) as run:  # and is ours from then on
        assert run.done("train", key(), Result) == Result(0.5)
    assert (ours / "model.bin").read_text() == "weights"
    assert {path.name for path in ours.iterdir()} == {MANIFEST, ".lock", "model.bin"}


@pytest.mark.parametrize("spoil", ["key", "content", "gone", "manifest", "name", "entry"])
def test_a_donor_that_has_something_else_gives_nothing(tmp_path: Path, spoil: str) -> None:
    donor, ours = tmp_path / "donor", tmp_path / "ours"
    finish(donor)
    manifest = json.loads((donor / MANIFEST).read_text())
    if spoil == "content":
        (donor / "model.bin").write_text("other")
    if spoil == "gone":
        (donor / "model.bin").unlink()
    if spoil == "manifest":
        (donor / MANIFEST).write_text("{")
    if spoil == "name":
        (tmp_path / "model.bin").write_text("weights")
        manifest["stages"]["train"]["files"] = {"../model.bin": manifest["stages"]["train"]["files"]["model.bin"]}
        (donor / MANIFEST).write_text(json.dumps(manifest))
    if spoil == "entry":
        manifest["stages"]["train"] = 7
        (donor / MANIFEST).write_text(json.dumps(manifest))
    before = (donor / MANIFEST).read_bytes()
    with open_run(ours, settings={}, environment={}, donor=donor) as run:
        assert run.done("train", key("other" if spoil == "key" else "k"), Result) is None
    assert (donor / MANIFEST).read_bytes() == before
    assert not (ours / "model.bin").exists()


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, settings={}, environment={}),
        pytest.raises(OutputError, match="another edgefit"),
        open_run(tmp_path, settings={}, environment={}),
    ):
        pass
    with open_run(tmp_path, settings={}, environment={}):
        pass  # the lock went with its holder


BROKEN = ["", "{", "[]", '{"schema": "edgefit.run/0", "stages": {}}', '{"schema": 1}', "[" * 100_000, "\0", "null"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_manifest_is_named_kept_and_made_again(tmp_path: Path, text: str) -> None:
    finish(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    said: list[str] = []
    with open_run(tmp_path, settings={}, environment={}, warn=said.append) as run:
        assert run.done("train", key(), Result) is None
    assert "manifest.json cannot be read" in said[0]
    assert "kept as manifest.broken-1.json" in said[0]
    assert (tmp_path / "manifest.broken-1.json").read_text() == text
    finish(tmp_path)
    with open_run(tmp_path, settings={}, environment={}, warn=said.append) as run:
        assert run.done("train", key(), Result) == Result(0.5)
    assert len(said) == 1


def test_a_broken_manifest_of_a_killed_rescue(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / MANIFEST).rename(tmp_path / "manifest.broken-1.json")
    finish(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with open_run(tmp_path, settings={}, environment={}):
        pass
    assert {p.name for p in tmp_path.glob("manifest*")} == {
        MANIFEST,
        "manifest.broken-1.json",
        "manifest.broken-2.json",
    }


@pytest.mark.parametrize(
    "entry",
    [7, [], {}, None, {"key": 1}, {"key": "k", "files": []}, {"key": "k", "files": {"a": 1}, "value": 0}, "text"],
)
def test_a_broken_stage_is_named_kept_and_done_again(tmp_path: Path, entry: object) -> None:
    finish(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["stages"]["convert"] = entry
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    said: list[str] = []
    with open_run(tmp_path, settings={}, environment={}, warn=said.append) as run:
        assert run.done("convert", key(), Result) is None
        assert run.why_again("convert", key()) == ""
        assert run.done("train", key(), Result) == Result(0.5)
    assert "stage convert cannot be read" in said[0]
    assert json.loads((tmp_path / "manifest.broken-1.json").read_text()) == manifest


def test_a_result_that_cannot_be_read_is_made_again(tmp_path: Path) -> None:
    finish(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["stages"]["train"]["value"] = {"top1": "high"}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    said: list[str] = []
    with open_run(tmp_path, settings={}, environment={}, warn=said.append) as run:
        assert run.done("train", key(), Result) is None
        assert "train" not in run.manifest["stages"]
    assert "stage train cannot be read" in said[0]
    assert (tmp_path / "manifest.broken-1.json").exists()


def test_a_manifest_is_read_under_the_lock(tmp_path: Path) -> None:
    """Nobody sets aside what another edgefit is writing."""
    with open_run(tmp_path, settings={}, environment={}):
        (tmp_path / MANIFEST).write_text("{")
        with pytest.raises(OutputError, match="another edgefit"), open_run(tmp_path, settings={}, environment={}):
            pass
        assert (tmp_path / MANIFEST).read_text() == "{"


def test_what_killed_runs_left_behind_goes(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / ".ladder-x1").mkdir()
    (tmp_path / ".ladder-x1" / "0.tflite").write_text("half")
    for name in (".manifest.json.ab12_x9z", ".model_int8.tflite.unchecked", "weights.part", ".gitignore", "notes.txt"):
        (tmp_path / name).write_text("half")
    with open_run(tmp_path, settings={}, environment={}):
        pass
    assert {p.name for p in tmp_path.iterdir()} == {
        MANIFEST, "model.bin", ".lock", ".gitignore", "notes.txt",
    }  # fmt: skip


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    write_atomic(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(file, "\ud800")  # cannot be encoded
    with pytest.raises(TypeError):
        write_atomic(file, 7)  # type: ignore[arg-type]
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_the_manifest_names_settings_and_environment(tmp_path: Path) -> None:
    with open_run(tmp_path, settings={"budget_ms": 30}, environment={"cpu": "x"}):
        pass
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    assert manifest["settings"] == {"budget_ms": 30}
    assert manifest["environment"] == {"cpu": "x"}
    assert manifest["schema"] == "edgefit.run/1"
