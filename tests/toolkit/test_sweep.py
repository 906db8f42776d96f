"""The grid, its distinct networks, and a whole sweep that is killed and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import farm
from support.farm import FarmSession
from support.small_job import draw

from edgefit_benchmarks.sessions.session import Block
from edgefit_benchmarks.targets import table
from edgefit_toolkit.cli.main import cli
from edgefit_toolkit.errors import DeviceUnknown, InputError
from edgefit_toolkit.network.scaling import variant_from_phi
from edgefit_toolkit.picker.search import candidates
from edgefit_toolkit.pipeline.fit import predict
from edgefit_toolkit.pipeline.settings import FitSettings
from edgefit_toolkit.pipeline.sweep.grid import cells_of, networks_of
from edgefit_toolkit.pipeline.sweep.plan import Site, plan_sweep
from edgefit_toolkit.progress import Silent
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check
from experiments.runs.same_report import differences

COMMON = FitSettings(0.0, "", data="plants", measure=False)
EDGEFIT = Path(sys.executable).with_name("edgefit")
FLAGS = ("--epochs", "1", "--threads", "1", "--predict-only", "--offline")


def test_the_grid() -> None:
    cells = cells_of(replace(COMMON, seed=3), (8.0, 4.0, 8.0), ("Pixel 4", "rpi5", "pixel4"), 2)
    at = [(cell.settings.device, cell.settings.budget_ms, cell.settings.seed) for cell in cells]
    assert at == [(device, ms, seed) for device in ("pixel4", "rpi5") for ms in (4.0, 8.0) for seed in (3, 4)]
    assert len({cell.name for cell in cells}) == len(cells)


def test_where_a_device_is() -> None:
    cells = cells_of(COMMON, (8.0,), ("pixel4:serial=127.0.0.1:5555", "rpi5:host=pi@board", "pixel7"), 1)
    assert {cell.settings.device: cell.settings.where for cell in cells} == {
        "pixel4": {"serial": "127.0.0.1:5555"}, "rpi5": {"host": "pi@board"}, "pixel7": {},
    }  # fmt: skip
    assert networks_of([(cells[0], predict(cells[0].settings))])[0].settings.where == {}
    for wrong in ("rpi5:", "rpi5:pi@board", "rpi5:host=", "rpi5:hots=pi@board", "rpi5:=x"):
        with pytest.raises(InputError, match="says no place"):
            cells_of(COMMON, (8.0,), (wrong,), 1)
    with pytest.raises(InputError, match="pixel4 is given at two places"):
        cells_of(COMMON, (8.0,), ("pixel4:serial=A", "pixel4:serial=B"), 1)


class SlowSession(FarmSession):
    def block(self, samples: int, warmups: int) -> Block:
        found = super().block(samples, warmups)
        return replace(found, samples_ms=tuple(1000.0 + ms for ms in found.samples_ms))


def test_a_cell_is_picked_on_its_own_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The farm's phone is slower than predicted: what is measured there decides; another one is not there."""
    monkeypatch.setattr(table, "KINDS", [*table.KINDS, farm.KIND])
    monkeypatch.setattr(farm, "FarmSession", SlowSession)
    devices = ("pixel4:farm=pixel-9", "pixel5:farm=pixel-10", "pixel7")
    cells = cells_of(replace(COMMON, data=None, threads=1, measure=True), (2.5,), devices, 1)
    plan = plan_sweep(cells, Site(tmp_path, Silent(), "edgefit sweep"), prove=True)
    slow, absent, predicted = (cell.name for cell in cells)
    assert plan.attached == {"pixel4"}
    assert set(plan.picks) == {predicted}
    assert "no network was measured within 2.5 ms" in plan.failed[slow].message
    assert (plan.failed[absent].message, plan.failed[absent].exit_code) == ("the farm has no pixel-10", 3)


def test_a_wrong_grid_is_refused_before_anything() -> None:
    with pytest.raises(DeviceUnknown, match="pixle4"):
        cells_of(COMMON, (8.0,), ("pixle4",), 1)
    with pytest.raises(InputError, match="budget"):
        cells_of(COMMON, (8.0, -1.0), ("pixel4",), 1)
    with pytest.raises(InputError):
        cells_of(COMMON, (), ("pixel4",), 1)


def test_distinct_networks() -> None:
    cells = cells_of(replace(COMMON, scaling="released"), (9.0, 9.5, 13.5), ("pixel4", "pixel5"), 2)
    picks = [(cell, predict(cell.settings)) for cell in cells]
    found = networks_of(picks)
    assert len(found) < len(cells)
    assert sorted(name for network in found for name in network.cells) == sorted(cell.name for cell in cells)
    assert len({network.name for network in found}) == len(found)
    for network in found:  # what its own run would make is what each of its cells picked
        assert predict(network.settings).pick.variant == network.variant
        assert not network.settings.measure
        for cell, plan in picks:
            shares = plan.pick.variant == network.variant and cell.settings.seed == network.settings.seed
            assert shares == (cell.name in network.cells)


@pytest.mark.parametrize("family", ["lite"])
def test_phi_alone_names_every_network_of_the_search(family: str) -> None:
    for variant in candidates(family):
        if variant.released is None:
            assert variant_from_phi(variant.phi, family) == variant


def test_what_it_would_cost(tmp_path: Path) -> None:
    flags = ["--data", str(draw(tmp_path / "pictures")), "--out", str(tmp_path / "sweep"), *FLAGS]
    asked = ["sweep", "--budgets-ms", "1,2.5,2.505", "--devices", "pixel4", "--dry-run", "-q", *flags]
    told = CliRunner().invoke(cli, [*asked, "--json"])
    assert told.exit_code == 1  # nothing fits into 1 ms
    doc = json.loads(told.stdout)
    (network,) = doc["networks"]
    assert network["cells"] == 2
    assert network["images"] == 18 * (8 + 1) + 9 + 18  # the cached views, the validation pictures, one epoch
    assert network["seconds"] > 0
    assert "no network answers within 1 ms" in doc["cells"][0]["reason"]
    lines = CliRunner().invoke(cli, asked).stdout
    assert "3 cells on pixel4: 1 distinct networks, 0 made before" in lines
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("budgets", ["", "8,x", ","])
def test_no_list_of_budgets(budgets: str) -> None:
    told = CliRunner().invoke(cli, ["sweep", "--budgets-ms", budgets, "--devices", "pixel4"])
    assert told.exit_code == 2
    assert "separate them by commas" in told.output


def start(out: Path, pictures: Path, *flags: str) -> subprocess.Popen[str]:
    command = [EDGEFIT, "sweep", "--budgets-ms", "1,2.5,2.505", "--devices", "pixel4", "--data", pictures, *FLAGS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, "--out", out, "--json", *flags], text=True, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def entries(run: Path) -> Any:
    """What a run's manifest holds of its stages."""
    return json.loads((run / "manifest.json").read_text())["stages"]


@pytest.mark.slow  # two whole trainings of the smallest network
def test_killed_it_goes_on_and_its_cells_are_single_runs(tmp_path: Path) -> None:
    pictures, out = draw(tmp_path / "pictures"), tmp_path / "sweep"
    first = start(out, pictures)
    assert first.stderr is not None
    said = ""
    for line in first.stderr:
        said += line
        if "quantize to int8" in line:
            first.send_signal(signal.SIGKILL)
            break
    first.communicate()
    assert first.returncode == -signal.SIGKILL, said
    (network,) = (out / "networks").iterdir()
    kept = entries(network)
    assert set(kept) == {"train", "convert"}
    assert check(json.loads((out / "sweep.json").read_text()), SweepDoc)["cells"][1]["status"] == "waiting"

    again = start(out, pictures)
    told, said = again.communicate(timeout=900)
    assert again.returncode == 1, said  # nothing fits into 1 ms
    assert {name: entries(network)[name] for name in kept} == kept
    doc = json.loads(told)
    assert check(doc, SweepDoc) == json.loads((out / "sweep.json").read_text())
    none, cell, other = doc["cells"]
    assert (none["status"], none["network"], none["exit_code"]) == ("failed", None, 1)
    assert "no network answers within 1 ms" in none["reason"]
    assert cell["network"] == other["network"]
    assert [step["kind"] for step in doc["steps"]] == ["same network"]
    for row in (cell, other):
        assert row["status"] == "fits"
        stages = entries(out / row["run"])
        assert {name: stages[name] for name in kept} == kept
        assert (out / row["run"] / "checkpoint.safetensors").samefile(network / "checkpoint.safetensors")
    assert cell["run"] in (out / "sweep.html").read_text()

    single = tmp_path / "single"
    fitted = [EDGEFIT, "fit", "--budget-ms", "2.5", "--device", "pixel4", "--data", pictures, "--out", single, *FLAGS]
    subprocess.run(fitted, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=900)
    assert differences(out / cell["run"], single) == []
