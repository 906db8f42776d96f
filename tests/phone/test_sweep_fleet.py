"""`edgefit sweep --measure`: every network of a sweep on a phone that stays and on one that is unplugged."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.sweep_fixture import document
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.targets.adb import Adb
from edgefit_toolkit.api.sweep import Sweep
from edgefit_toolkit.cli.main import cli
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.pipeline.sweep.fleet import Everywhere, Fleet, known_rows
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check
from edgefit_toolkit.report.sweep import sweep_html, sweep_markdown
from phone.test_fleet import unplug_when_files_arrive
from phone.world import World


@pytest.fixture
def there(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("PATH", f"{world.folder}{os.pathsep}{os.environ['PATH']}")
    return world


@pytest.mark.usefixtures("host_package")
def test_every_network_on_what_is_attached(there: World, adb: Adb, tmp_path: Path) -> None:
    stays, goes = there.phone(port=15601), there.phone(port=15602, codename="flame", model="Pixel 4")
    doc = document()
    doc["networks"] *= 2
    doc["networks"] = [row | {"run": f"networks/{name}"} for row, name in zip(doc["networks"], "ab", strict=True)]
    doc["networks"].append(doc["networks"][0] | {"run": "networks/refused"})
    for name, px in (("a", 64), ("b", 96)):
        (tmp_path / "networks" / name).mkdir(parents=True)
        tiny_tflite(tmp_path / "networks" / name / "model_int8.tflite", resolution_px=px)
    doc["networks"].pop(1)  # one that a cell stepped down to
    doc["cells"][1]["run"] = "networks/b"
    unplugging = unplug_when_files_arrive(goes)
    *_, doc["fleet"] = Fleet(Everywhere(threads=1)).measured(doc, tmp_path, [])
    unplugging.join()
    rows = check(doc, SweepDoc)["fleet"]
    assert len(rows) == 4  # the refused network has no model
    kept = [row for row in rows if "measurement" in row]
    lost = [row for row in rows if "reason" in row]
    assert {row["target"] for row in kept} == {f"Pixel 7 (serial {stays.serial})"}
    assert len(kept) == len(lost) == 2
    for row in kept:
        assert row["measurement"]["origin"] == "measured on device"
        assert len(row["measurement"]["samples_ms"]) >= 50
    assert all(goes.serial in row["reason"] and row["next"] for row in lost)
    assert Sweep(tmp_path, doc).exit_code == DeviceError.exit_code
    page, text = sweep_html(doc), sweep_markdown(doc)
    for row in lost:
        assert f"not timed: {row['reason']}" in text
    assert "On what is attached" in page

    # again: what was timed is not timed again, what was lost is tried
    (tmp_path / "sweep.json").write_text(json.dumps(doc))
    first, *_ = Fleet(Everywhere(threads=1)).measured(doc, tmp_path, known_rows(tmp_path / "sweep.json"))
    assert first == kept


def test_nothing_is_attached(there: World, adb: Adb, tmp_path: Path) -> None:
    flags = ["--budgets-ms", "8", "--devices", "pixel4", "--out", str(tmp_path / "sweep")]
    told = CliRunner().invoke(cli, ["sweep", *flags, "--measure"])
    assert isinstance(told.exception, DeviceError)
    assert not (tmp_path / "sweep").exists()
    told = CliRunner().invoke(cli, ["sweep", *flags, "--host", "user@board"])
    assert isinstance(told.exception, InputError)
    assert told.exception.hint == "add --measure; for one device of the grid: NAME:host=user@board"
