"""Phones and boards on the nodes of a Ray cluster: each is a resource of the node that it is attached to.

    ray start --address=HOST:6379 --resources "$(edgefit devices ray)"

A measurement is a task that asks for all of its device's resource: so one thing at a time is measured there, on that
node, while other devices measure theirs.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.files import key_of
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.pipeline.sweep.fleet import INT8, Place, Timing, not_timed, timed
from edgefit_toolkit.report.schema.sweep import FleetRowDoc

PREFIX = "edgefit"
RETRIES = 3  # of a measurement whose node died
GONE_S = 300.0  # a node that died has this long to come back with its phone
ASK_S = 5.0  # how often it is asked who is there
SAME = "install the same edgefit on every node"


def resources(places: Iterable[Place]) -> dict[str, int]:
    """What `ray start --resources` declares these places with: {"edgefit:serial:1A2B": 1}."""
    return {f"{PREFIX}:{flag}:{name}": 1 for flag, name in places}


def declared(nodes: Iterable[Mapping[str, Any]]) -> list[tuple[Place, dict[str, float]]]:
    """The places that the living ones of `ray.nodes()` declare, each with all that there is of its resource."""
    return [
        (_place(resource), {resource: amount})
        for node in nodes
        if node["Alive"]
        for resource, amount in node["Resources"].items()
        if resource.startswith(f"{PREFIX}:") and resource.count(":") > 1
    ]


class ClusterPhones:
    """What the nodes of a cluster that has been joined declare.

    Raises InputError for a place that two nodes declare: both would measure there at once.
    """

    def __init__(self, ray: Any) -> None:
        self.ray = ray
        found = declared(ray.nodes())
        self._resources = dict(found)
        for place, count in Counter(place for place, _ in found).items():
            if count > 1:
                raise InputError(f"{count} nodes of the cluster declare {' '.join(place)}", "leave it to one of them")
        self.places = tuple(self._resources)

    def timed(self, timings: Sequence[Timing]) -> Iterator[tuple[Timing, FleetRowDoc]]:
        """A row for each as it comes: devices at the same time, each one model after the other."""
        remote = self.ray.remote(num_cpus=0, max_retries=RETRIES)(timed_on_a_node)
        ours, waiting = edition(), {}
        for timing in timings:
            asks = remote.options(resources=self._resources[timing.place])
            waiting[asks.remote(timing, Path(timing.model).read_bytes(), ours)] = timing
        seen = dict.fromkeys((timing.place for timing in timings), time.monotonic())
        try:
            while waiting:
                ready, _ = self.ray.wait(list(waiting), num_returns=1, timeout=ASK_S)
                for task in ready:
                    timing = waiting.pop(task)
                    yield timing, self._row(task, timing)
                now = time.monotonic()
                seen |= dict.fromkeys((place for place, _ in declared(self.ray.nodes())), now)
                for lost in [each for each, timing in waiting.items() if now - seen[timing.place] > GONE_S]:
                    self.ray.cancel(lost, force=True)
                    timing = waiting.pop(lost)
                    yield timing, not_timed(timing, *_gone(timing.place))
        finally:
            for left in waiting:
                self.ray.cancel(left, force=True)

    def _row(self, ready: Any, timing: Timing) -> FleetRowDoc:
        try:
            row: FleetRowDoc = self.ray.get(ready)
        except self.ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            return not_timed(timing, f"the cluster did not time it: {type(error).__name__}: {first}", SAME)
        return row


def timed_on_a_node(timing: Timing, model: bytes, ours: str) -> FleetRowDoc:
    """The task: the same row as by a machine that has the device itself."""
    if edition() != ours:
        return not_timed(timing, "its node has another edgefit than the sweep has", SAME)
    with tempfile.TemporaryDirectory(prefix="edgefit-fleet-") as folder:
        path = Path(folder) / INT8
        path.write_bytes(model)
        return timed(replace(timing, model=str(path)))


def edition() -> str:
    """A hash of what measures."""
    return key_of(sources=sources_of(timed.__module__))


def _place(resource: str) -> Place:
    _, flag, name = resource.split(":", 2)
    return flag, name


def _gone(place: Place) -> tuple[str, str]:
    again = f"`ray start --address=HOST:PORT --resources '{json.dumps(resources([place]))}'` there"
    return f"no node of the cluster has {' '.join(place)} any more", f"{again}, then run the same command again"
