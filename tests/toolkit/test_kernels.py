"""The work of operators: against instruction counts of real kernels under an emulator, committed with the project."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgefit_toolkit.latency.kernels import engine, engine_name, graph_work, instructions, variant_work
from edgefit_toolkit.latency.least_squares import solve
from edgefit_toolkit.network.graph import Operator, operators
from edgefit_toolkit.network.scaling import released, variant_from_phi

COUNTS = Path(__file__).parents[2] / "benchmarks/results/instruction_counts.csv"
COUNTED = ("int8-neon", "int8-dotprod", "int8-i8mm", "float32-neon")


def _rows(engine_: str) -> list[dict[str, str]]:
    with COUNTS.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["engine"] == engine_]


@pytest.mark.parametrize("name", COUNTED)
def test_operators_add_up_to_the_counted_networks(name: str) -> None:
    networks = {row["kind"].removeprefix("network:"): int(row["total"]) for row in _rows(name) if ":" in row["kind"]}
    assert len(networks) == 5
    for network, total in networks.items():
        ours = sum(instructions(operator, engine(name)) for operator in operators(released(network)))
        assert ours * 1e6 == pytest.approx(total, rel=0.025), network


@pytest.mark.parametrize("name", COUNTED)
def test_single_operators(name: str) -> None:
    errors = []
    for row in _rows(name):
        if ":" in row["kind"]:
            continue
        shapes = [(int(row[f"{end}_px"]),) * 2 + (int(row[f"{end}_channels"]),) for end in ("in", "out")]
        operator = Operator("", row["kind"], 0, *shapes, int(row["kernel"]), int(row["stride"]), 0, 0)  # type: ignore[arg-type]
        errors.append(abs(instructions(operator, engine(name)) * 1e6 / int(row["total"]) - 1))
    assert len(errors) > 90
    assert sorted(errors)[len(errors) // 2] < 0.02
    assert sorted(errors)[int(0.9 * len(errors))] < 0.07


def test_better_instructions_need_fewer() -> None:
    lite2 = released("lite2")
    neon, dotprod, i8mm = (sum(variant_work(lite2, f"int8-{isa}")) for isa in ("neon", "dotprod", "i8mm"))
    assert neon > 1.5 * dotprod > 1.5 * i8mm


def test_engine_of_a_processor() -> None:
    assert engine_name("int8", "arm64", True, False) == "int8-dotprod"
    assert engine_name("int8", "arm64", True, True) == "int8-i8mm"
    assert engine_name("int8", "arm64", False, False) == "int8-neon"
    assert engine_name("float32", "arm64", True, True) == "float32-neon"
    assert engine_name("int8", "x86_64", True, False) == "int8-x86"
    assert engine_name("float16", "arm64", True, True) == "float16-gpu"


@given(st.floats(-4, 6), st.sampled_from(["lite", "b"]), st.sampled_from([*COUNTED, "int8-x86", "float16-gpu"]))
def test_work_of_any_network(phi: float, family: str, name: str) -> None:
    variant = variant_from_phi(phi, family)  # type: ignore[arg-type]
    matmul, other = variant_work(variant, name)
    assert matmul > 0
    assert other > 0
    assert graph_work(operators(variant), engine(name)) == (matmul, other)


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_least_squares_finds_what_made_the_equations(truth: list[float]) -> None:
    coefficients = [(1.0, 2.0, 1.0), (3.0, 1.0, 1.0), (1.0, 5.0, 1.0), (2.0, 2.0, 3.0)]
    equations = [(row, sum(a * x for a, x in zip(row, truth, strict=True))) for row in coefficients]
    assert solve(equations) == pytest.approx(truth, rel=1e-6)


def test_least_squares_has_no_negative_answer() -> None:
    assert solve([((1.0, 0.0), 2.0), ((0.0, 1.0), -1.0)]) == (2.0, 0.0)
