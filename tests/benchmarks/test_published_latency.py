"""The predictor against latencies that others published, each without what it is compared with."""

from __future__ import annotations

import statistics
import tomllib
from typing import Any

import pytest

from edgefit_toolkit.devices import SHIPPED_DIR, read_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.predict import CORES_FILE
from experiments.core_fit import Options, fit_cores, leave_one_device_out
from experiments.networks import network
from experiments.published import read_rows
from experiments.validate_latency import Held, cores_toml, covered, interval_share, leave_one_out

ROWS = read_rows()


@pytest.mark.parametrize(
    ("name", "input_px", "mmadds"),
    [
        ("mobilenet_v1", 224, 569),  # the papers' own counts
        ("mobilenet_v1_0.5", 160, 76),
        ("mobilenet_v2", 224, 300),
        ("mobilenet_v2_1.4", 224, 582),
        ("mobilenet_v3_large", 224, 219),
        ("mobilenet_v3_small", 224, 56),
        ("mnasnet_a1", 224, 315),
        ("mnasnet_a1_1.4", 96, 110),
        ("efficientnet_b0", 224, 390),
    ],
)
def test_operators_of_published_networks(name: str, input_px: int, mmadds: int) -> None:
    layers = network(name, input_px)
    assert sum(layer.madds for layer in layers) / 1e6 == pytest.approx(mmadds, rel=0.02)


def test_unknown_network() -> None:
    with pytest.raises(InputError, match="resnet50"):
        network("resnet50", 224)


def test_every_row_has_a_source_and_a_size_that_the_picker_considers() -> None:
    assert len(ROWS) > 400
    assert all(row.source.startswith("github ") for row in ROWS)
    assert all(row.madds >= 50e6 and 1 <= row.threads <= 4 for row in ROWS)


def test_leave_one_out() -> None:
    pixel4 = read_profile(SHIPPED_DIR / "pixel4.toml")
    for precision, worst in (("int8", 0.03), ("float32", 0.06)):
        found = leave_one_out(pixel4, precision)  # type: ignore[arg-type]
        assert len(found) == 5
        assert max(abs(predicted / published - 1) for _, published, predicted in found) <= worst


@pytest.fixture(scope="module")
def held() -> Held:
    """Every phone predicted without itself."""
    return leave_one_device_out(ROWS)


def test_leave_one_device_out(held: Held) -> None:
    plain = leave_one_device_out(ROWS, Options(plain_madds=True))
    ours, by_madds = (
        statistics.median(abs(ms / row.latency_ms - 1) for pairs in some.values() for row, ms in pairs)
        for some in (held, plain)
    )
    assert len(held) >= 15
    assert ours <= 0.15
    assert ours < by_madds
    inside = [hit for hits in covered(held).values() for hit in hits]
    assert statistics.mean(inside) >= 0.8


def test_shipped_cores_are_what_the_rows_give(held: Held) -> None:
    fresh = _numbers(tomllib.loads(cores_toml(fit_cores(ROWS), interval_share(held))))
    shipped = _numbers(tomllib.loads(CORES_FILE.read_text(encoding="utf-8")))
    assert fresh.keys() == shipped.keys()
    assert shipped == pytest.approx(fresh, rel=0.01, abs=0.01)  # another BLAS rounds otherwise


def _numbers(tables: Any, name: str = "") -> dict[str, float]:
    if isinstance(tables, (int, float)):
        return {name: float(tables)}
    if isinstance(tables, (dict, list)):
        pairs = tables.items() if isinstance(tables, dict) else enumerate(tables)
        return {path: value for key, part in pairs for path, value in _numbers(part, f"{name}/{key}").items()}
    return {}
