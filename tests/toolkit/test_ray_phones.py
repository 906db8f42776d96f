"""Phones that the nodes of a Ray cluster declare; Ray itself is a stand-in here (tests/faults has the real one)."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support import farm
from support.sweep_fixture import document
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.targets import table
from edgefit_toolkit.cli.main import cli
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.pipeline.sweep import ray_phones
from edgefit_toolkit.pipeline.sweep.fleet import Everywhere, Fleet, Timing
from edgefit_toolkit.pipeline.sweep.ray_phones import ClusterPhones, declared, resources, timed_on_a_node
from edgefit_toolkit.report.schema.sweep import SweepDoc
from edgefit_toolkit.report.schema.validation import check


def node(alive: bool = True, **declares: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": 4.0, "node:10.0.0.1": 1.0, **declares}}


class ToyRay:
    """Does each task when its result is asked for; those that ask for what no node has wait for ever."""

    class RayError(Exception):
        pass

    exceptions = types.SimpleNamespace(RayError=RayError)

    def __init__(self, *nodes: dict[str, Any]) -> None:
        self.there = list(nodes)
        self.asked: list[dict[str, float]] = []
        self.cancelled = 0

    def nodes(self) -> list[dict[str, Any]]:
        return self.there

    def remote(self, **_: Any) -> Callable[..., Any]:
        def with_resources(function: Callable[..., Any]) -> Any:
            def options(resources: dict[str, float]) -> Any:
                def submit(*arguments: Any) -> Any:
                    self.asked.append(resources)
                    return tuple(resources), lambda: function(*arguments)

                return types.SimpleNamespace(remote=submit)

            return types.SimpleNamespace(options=options)

        return with_resources

    def wait(self, tasks: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        have = {name for each in self.there if each["Alive"] for name in each["Resources"]}
        return [task for task in tasks if have.issuperset(task[0])][:1], []

    def get(self, task: Any) -> Any:
        return task[1]()

    def cancel(self, task: Any, *, force: bool) -> None:
        self.cancelled += force


def timing(model: Path, name: str) -> Timing:
    return Timing("lite phi=8", 0, str(model), ("farm", name), 1, accept_cost=False)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(table, "KINDS", [*table.KINDS, farm.KIND])
    return tiny_tflite(tmp_path / "tiny.tflite", resolution_px=64)


def test_what_a_node_declares_is_what_is_read() -> None:
    asked = [("serial", "127.0.0.1:5555"), ("host", "pi@board"), ("ai-hub", "Pixel 4 (Family)")]
    told = resources(asked)
    assert told == {
        "edgefit:serial:127.0.0.1:5555": 1,
        "edgefit:host:pi@board": 1,
        "edgefit:ai-hub:Pixel 4 (Family)": 1,
    }
    found = dict(declared([node(**told), node(), node(alive=False, **{"edgefit:serial:gone": 1.0})]))
    assert list(found) == asked
    printed = CliRunner().invoke(cli, ["devices", "ray", "--host", "pi@board", "--host", "pi@other"])
    assert {"edgefit:host:pi@board": 1, "edgefit:host:pi@other": 1}.items() <= json.loads(printed.stdout).items()


def test_one_phone_is_on_one_node() -> None:
    twice = [node(**{"edgefit:serial:1A2B": 1.0})] * 2
    with pytest.raises(InputError, match="2 nodes of the cluster declare serial 1A2B"):
        ClusterPhones(ToyRay(*twice))


def test_each_task_asks_for_all_of_its_phone(model: Path) -> None:
    ray = ToyRay(node(**{"edgefit:farm:pixel-9": 2.0}), node(**{"edgefit:farm:pixel-10": 1.0}))
    rows = dict(ClusterPhones(ray).timed([timing(model, "pixel-9"), timing(model, "pixel-10")]))
    assert ray.asked == [{"edgefit:farm:pixel-9": 2.0}, {"edgefit:farm:pixel-10": 1.0}]
    kept, lost = rows.values()
    assert (kept["target"], kept["measurement"]["origin"]) == ("pixel-9 (farm)", "measured on device")
    assert kept["measurement"]["model_sha256"] == sha256_of(model)
    assert (lost["reason"], lost["next"]) == ("the farm has no pixel-10", "it has: pixel-9")


def test_what_no_node_has_any_more_is_a_row(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_phones, "GONE_S", 0.05)
    ray = ToyRay(node(**{"edgefit:farm:pixel-9": 1.0}), node(**{"edgefit:farm:pixel-8": 1.0}))
    phones = ClusterPhones(ray)
    ray.there[1]["Alive"] = False
    rows = {each.place: row for each, row in phones.timed([timing(model, "pixel-8"), timing(model, "pixel-9")])}
    assert "measurement" in rows["farm", "pixel-9"]
    lost = rows["farm", "pixel-8"]
    assert lost["reason"] == "no node of the cluster has farm pixel-8 any more"
    assert "'{\"edgefit:farm:pixel-8\": 1}'" in lost["next"]
    assert ray.cancelled == 1


def test_a_fault_of_the_cluster_is_a_row(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ToyRay.RayError("the worker died\nof something")

    monkeypatch.setattr(ray_phones, "timed_on_a_node", broken)
    ((_, row),) = ClusterPhones(ToyRay(node(**{"edgefit:farm:pixel-9": 1.0}))).timed([timing(model, "pixel-9")])
    assert row["reason"] == "the cluster did not time it: RayError: the worker died"


def test_another_edgefit_does_not_measure(model: Path) -> None:
    row = timed_on_a_node(timing(model, "pixel-9"), model.read_bytes(), "another")
    assert row["reason"] == "its node has another edgefit than the sweep has"


def test_the_cluster_and_this_machine_side_by_side(model: Path, tmp_path: Path) -> None:
    """What a node declares is measured there, what is named here beside it by this machine."""
    ray = ToyRay(node(**{"edgefit:farm:pixel-9": 1.0}))
    doc = document()
    model.rename(tmp_path / "model_int8.tflite")
    doc["networks"][0]["run"] = "."
    fleet = Fleet(Everywhere({"farm": ("pixel-9", "pixel-10")}, threads=1), ClusterPhones(ray))
    assert fleet.places[0] == ("farm", "pixel-9")
    *_, doc["fleet"] = fleet.measured(doc, tmp_path, [])
    rows = {row["name"]: row for row in check(doc, SweepDoc)["fleet"] if row["flag"] == "farm"}
    assert "measurement" in rows["pixel-9"]
    assert rows["pixel-10"]["reason"] == "the farm has no pixel-10"
    assert len(ray.asked) == 1
