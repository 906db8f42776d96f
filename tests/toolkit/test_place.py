"""Which directory a run gets, and what it may replace."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from edgefit_toolkit.data.dataset import Dataset
from edgefit_toolkit.errors import OutputError
from edgefit_toolkit.pipeline.fit import opened
from edgefit_toolkit.pipeline.run_directory.run import open_run
from edgefit_toolkit.pipeline.settings import FitSettings, default_out, saved_settings
from edgefit_toolkit.pipeline.stages import data
from edgefit_toolkit.progress import Silent

PHOTOS = FitSettings(30.0, "pixel7", data="A/photos")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(settings: FitSettings, out: Path | None = None, *, finished: bool = True) -> Path:
    """The directory of a run."""
    path = out or default_out(settings)
    with open_run(path, settings=asdict(settings), environment={}):
        if finished:
            plan = {"device": settings.device, "budget_ms": settings.budget_ms, "percentile": settings.percentile}
            (path / "report.json").write_text(json.dumps({"plan": plan, "models": {"int8": {}}}))
    return path


@pytest.mark.parametrize("finished", [True, False])
def test_data_of_one_name_has_a_directory_each(finished: bool) -> None:
    first, second = made(PHOTOS, finished=finished), made(replace(PHOTOS, data="B/photos"), finished=finished)
    assert (first.name, second.name) == ("pixel7-30ms-photos-seed0", "pixel7-30ms-photos-seed0-2")
    for named in ("A/photos", "./A/../A/photos/", str(Path("A/photos").absolute())):
        assert default_out(replace(PHOTOS, data=named)) == first
    assert default_out(replace(PHOTOS, data="B/photos")) == second
    assert default_out(replace(PHOTOS, data="C/photos")).name.endswith("-3")


def test_choices_that_make_another_model_have_one_too() -> None:
    others = {"budget_ms": 31.0, "device": "pixel4", "percentile": 50, "epochs": 3, "seed": 1, "family": "b"}
    taken = {made(PHOTOS)}
    for name, value in others.items():
        path = made(replace(PHOTOS, **{name: value}))
        assert path not in taken
        assert default_out(replace(PHOTOS, **{name: value})) == path
        taken.add(path)
    for name, value in {"threads": 2, "offline": True, "measure": False}.items():
        assert default_out(replace(PHOTOS, **{name: value})) == default_out(PHOTOS)


def test_budgets_that_print_alike_do_not_share_one() -> None:
    assert made(replace(PHOTOS, budget_ms=30.00000001)) != made(PHOTOS)


@pytest.mark.parametrize(
    ("name", "value"), [("data", "B/photos"), ("device", "pixel4"), ("budget_ms", 20.0), ("percentile", 50)]
)
def test_a_finished_run_of_something_else_is_kept(tmp_path: Path, name: str, value: object) -> None:
    out = made(PHOTOS, tmp_path / "run")
    before = {file: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(OutputError, match=f"holds a finished run with {name} ") as refused:
        made(replace(PHOTOS, **{name: value}), out)  # type: ignore[arg-type]
    assert "--out" in refused.value.hint
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_an_unfinished_one_and_other_training_go_on_in_place(tmp_path: Path) -> None:
    out = made(PHOTOS, tmp_path / "run", finished=False)
    assert made(replace(PHOTOS, budget_ms=20.0), out) == out
    assert made(replace(PHOTOS, budget_ms=20.0, epochs=7, threads=1), out) == out


def test_a_finished_run_without_its_manifest_is_kept_by_its_report(tmp_path: Path) -> None:
    out = made(PHOTOS, tmp_path / "run")
    (out / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="budget_ms"):
        made(replace(PHOTOS, budget_ms=20.0), out)


def test_a_default_directory_whose_manifest_is_broken() -> None:
    unfinished = made(PHOTOS, finished=False)
    (unfinished / "manifest.json").write_text("{")
    assert default_out(PHOTOS) == unfinished
    finished = made(PHOTOS)
    (finished / "manifest.json").write_text("{")
    assert default_out(PHOTOS).name.endswith("-2")  # whose it was, nobody knows


def test_a_default_directory_that_is_something_else() -> None:
    default_out(PHOTOS).mkdir(parents=True)
    (default_out(PHOTOS) / "thesis.tex").write_text("mine")
    assert default_out(PHOTOS).name.endswith("-2")


def test_the_files_of_a_run_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("data", "other", "elsewhere", "teacher"):
        (tmp_path / folder).mkdir()
    (tmp_path / "tree.csv").write_text("class,genus\nrose,Rosa\nivy,Hedera\n")
    (tmp_path / "where.csv").write_text("class,region,months\nivy,South,\n")
    named = {"data": "data", "other": "./other", "taxonomy": "tree.csv", "places": "where.csv", "teacher": "teacher"}
    settings = replace(PHOTOS, **named)
    with opened(settings, tmp_path / "run", Silent(), command="edgefit fit"):
        pass
    assert default_out(settings) == made(settings)
    monkeypatch.chdir(tmp_path / "elsewhere")
    saved, _ = saved_settings(tmp_path / "run")
    dataset = Dataset(name="photos", kind="photographs", classes=("rose", "ivy"), train=(), val=(), test=())
    tree, where = data.taxonomy(saved, dataset, Silent()), data.places(saved, dataset, Silent())
    assert tree is not None
    assert where is not None
    assert (tree.nodes[2].name, where.regions) == ("Rosa", ("South",))
    for name, folder in named.items():
        assert Path(getattr(saved, name)) == (tmp_path / folder).absolute()
    monkeypatch.chdir(tmp_path)
    assert default_out(saved) == default_out(settings)


@pytest.mark.parametrize("name", ["lite2", "auto"])
def test_a_teacher_by_name_is_no_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    with opened(replace(PHOTOS, teacher=name), tmp_path / "run", Silent(), command="edgefit fit"):
        pass
    assert saved_settings(tmp_path / "run")[0].teacher == name
