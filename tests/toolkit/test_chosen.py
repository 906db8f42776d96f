"""A network that was asked for instead of picked: --network and --phi."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.errors import InputError, ScalingError
from edgefit_toolkit.network.scaling import released, variant_from_phi
from edgefit_toolkit.picker.search import chosen_variant, make_plan
from edgefit_toolkit.pipeline.settings import FitSettings, default_out
from edgefit_toolkit.records import Budget

EDGEFIT = Path(sys.executable).with_name("edgefit")


@given(st.floats(-3.9, 5.9), st.floats(2, 60))
def test_the_plan_is_about_that_network(phi: float, budget_ms: float) -> None:
    plan = make_plan(Budget(budget_ms), "pixel4", chosen=chosen_variant(None, phi))
    assert plan.pick.variant == variant_from_phi(phi)
    assert ("it fits" in plan.notes[0]) == plan.pick.fits(plan.budget) == (plan.pick.latency.p90 <= budget_ms)
    if plan.next is not None:
        assert plan.next.phi > phi
        assert plan.next.latency.p90 > budget_ms


def test_a_name_brings_its_family() -> None:
    plan = make_plan(Budget(30), "pixel4", chosen=chosen_variant("B0", None))
    assert plan.pick.variant == released("b0")
    assert plan.family == "b"
    assert {candidate.variant.family for candidate in plan.frontier} == {"b"}


def test_what_names_no_network() -> None:
    assert chosen_variant(None, None) is None
    with pytest.raises(InputError, match="both a network"):
        chosen_variant("lite0", 1.0)
    with pytest.raises(ScalingError, match="released are lite0, lite1"):
        chosen_variant("lite9", None)


def test_it_has_a_run_directory_of_its_own() -> None:
    settings = FitSettings(30, "pixel7")
    folders = {default_out(s) for s in (settings, replace(settings, network="lite2"), replace(settings, phi=1.5))}
    assert len(folders) == 3
    assert not settings.chosen
    assert replace(settings, phi=0.0).chosen


@pytest.mark.parametrize(("flags", "code"), [(["--network", "lite2"], 1), (["--phi", "0"], 0)])
def test_plan_says_whether_it_fits(flags: list[str], code: int) -> None:
    command = [EDGEFIT, "plan", "--budget-ms", "10", "--device", "pixel4", *flags]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    doc = json.loads(done.stdout)
    assert "was asked for, not picked" in doc["notes"][0]
    assert (doc["pick"]["latency_ms"]["p90"] <= 10) == (code == 0)
