"""The cost of operators: against simulations of real kernels' machine code, committed with the project."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.latency.kernels import graph_cycles, operator_cycles, tables
from edgefit_toolkit.latency.least_squares import solve
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import released, variant_from_phi
from experiments.latency.core_cycles.fit import needed
from experiments.latency.core_cycles.pipeline import IN_ORDER

SIMULATED = Path(__file__).parents[2] / "benchmarks/results/core_cycles.csv"
NAMES = ["-".join(name) for name in needed()]


def _rows(name: str) -> list[dict[str, str]]:
    with SIMULATED.open(newline="") as file:
        return [row for row in csv.DictReader(file) if f"{row['precision']}-{row['kernels']}-{row['pipeline']}" == name]


@pytest.mark.parametrize("name", NAMES)
def test_operators_add_up_to_the_simulated_networks(name: str) -> None:
    networks = {row["kind"].removeprefix("network:"): float(row["cycles"]) for row in _rows(name) if ":" in row["kind"]}
    assert networks
    share = 0.08 if name.endswith(IN_ORDER) else 0.04  # an operator alone waits at other places there
    for network, cycles in networks.items():
        assert sum(graph_cycles(operators(released(network)), name)) * 1e6 == pytest.approx(cycles, rel=share), network


@pytest.mark.parametrize("name", NAMES)
def test_single_operators(name: str) -> None:
    errors = []
    for row in _rows(name):
        if ":" in row["kind"]:
            continue
        shapes = [(int(row[f"{end}_px"]),) * 2 + (int(row[f"{end}_channels"]),) for end in ("in", "out")]
        ends = (*shapes, int(row["kernel"]), int(row["stride"]), int(row["madds"]), 0)
        layer = Operator("", row["kind"], 0, *ends)  # type: ignore[arg-type]
        errors.append(abs(operator_cycles(layer, name) * 1e6 / float(row["cycles"]) - 1))
    assert len(errors) >= 30
    assert sorted(errors)[len(errors) // 2] < 0.03
    assert sorted(errors)[int(0.9 * len(errors))] < 0.12


def test_an_x1_does_an_a76s_work_in_half_the_cycles() -> None:
    lite2 = operators(released("lite2"))
    a76, x1 = (sum(graph_cycles(lite2, f"int8-a76-{pipeline}")) for pipeline in ("neoverse-n1", "neoverse-v1"))
    assert a76 == pytest.approx(2 * x1, rel=0.05)


def test_better_instructions_need_fewer_cycles() -> None:
    lite2 = operators(released("lite2"))
    sdot, smmla = (sum(graph_cycles(lite2, f"int8-{kernels}-neoverse-v2")) for kernels in ("a76", "x3"))
    assert sdot > 1.1 * smmla


@given(st.floats(-4, 6), st.sampled_from(["lite", "b"]), st.sampled_from([*NAMES, "int8-x86", "float32-x86"]))
def test_work_of_any_network(phi: float, family: str, name: str) -> None:
    variant = variant_from_phi(phi, family)  # type: ignore[arg-type]
    layers = operators(variant)
    matmul, other = graph_cycles(layers, name)
    assert matmul > 0
    assert other > 0
    assert matmul + other == pytest.approx(sum(operator_cycles(layer, name) for layer in layers))


def test_every_table_has_every_kernel() -> None:
    for name in NAMES:
        assert set(tables(name)) == {"matmul", "conv", "depthwise", "elementwise", "pool"}


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_least_squares_finds_what_made_the_equations(truth: list[float]) -> None:
    coefficients = [(1.0, 2.0, 1.0), (3.0, 1.0, 1.0), (1.0, 5.0, 1.0), (2.0, 2.0, 3.0)]
    equations = [(row, sum(a * x for a, x in zip(row, truth, strict=True))) for row in coefficients]
    assert solve(equations) == pytest.approx(truth, rel=1e-6)


def test_least_squares_has_no_negative_answer() -> None:
    assert solve([((1.0, 0.0), 2.0), ((0.0, 1.0), -1.0)]) == (2.0, 0.0)
