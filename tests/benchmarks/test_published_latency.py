"""The predictor against latencies that others published, each without what it is compared with."""

from __future__ import annotations

import statistics
import tomllib
from typing import Any

import pytest

from edgefit_toolkit.devices import SHIPPED_DIR
from edgefit_toolkit.devices.schema import read_profile
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.latency.gpu import GPUS_FILE
from edgefit_toolkit.latency.kernels import KERNELS_FILE
from edgefit_toolkit.latency.speed import CORES_FILE
from experiments.latency.core_cycles.fit import kernels_toml, read_cycles
from experiments.latency.core_cycles.kernels import CORES
from experiments.latency.core_fit import Options, fit_cores, leave_one_device_out
from experiments.latency.cores_file import cores_toml
from experiments.latency.evidence import Errors, Setting, covered, left_out_errors, widths
from experiments.latency.gpu_fit import faster_named, gpus_toml, leave_one_out, read_gpu_rows
from experiments.latency.networks import network, sorted_scores
from experiments.latency.points_fit import leave_one_out as points_left_out
from experiments.latency.published import read_rows
from experiments.latency.validate_latency import NEW_CORE, Held, errors_of, without_core

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
        ("mobileone_s0", 224, 275),
        ("mobileone_s4", 224, 2978),
        ("mnasnet_a1", 224, 315),
        ("mnasnet_a1_1.4", 96, 110),
        ("efficientnet_b0", 224, 390),
    ],
)
def test_operators_of_published_networks(name: str, input_px: int, mmadds: int) -> None:
    layers = network(name, input_px)
    assert sum(layer.madds for layer in layers) / 1e6 == pytest.approx(mmadds, rel=0.02)


@pytest.mark.parametrize(
    ("name", "input_px", "mparams"),  # MobileNetV4 paper, table 6; timm's own counts of M and L
    [
        ("mobilenetv4_conv_small", 224, 3.8),
        ("mobilenetv4_conv_medium", 256, 9.7),
        ("mobilenetv4_conv_large", 384, 32.6),
        ("mobilenet_multihw_max_1.5", 224, 8.9),
        ("mobilenet_multihw_avg_1.5", 224, 10.0),
        ("mobilenet_v3_large_0.5", 224, 2.7),
    ],
)
def test_weights_of_published_networks(name: str, input_px: int, mparams: float) -> None:
    assert sum(layer.params for layer in network(name, input_px)) / 1e6 == pytest.approx(mparams, rel=0.02)


@pytest.mark.parametrize(
    ("name", "input_px", "anchors"), [("efficientdet_lite0", 320, 19206), ("mobilenet_v2", 224, 0)]
)
def test_what_a_detector_sorts(name: str, input_px: int, anchors: int) -> None:
    assert sorted_scores(name, input_px) == 90 * anchors


def test_unknown_network() -> None:
    with pytest.raises(InputError, match="resnet50"):
        network("resnet50", 224)


def test_every_row_has_a_source_and_a_size_that_the_picker_considers() -> None:
    assert len(ROWS) > 300
    assert all(row.source.startswith(("github ", "arXiv ")) for row in ROWS)
    assert all(row.madds >= 50e6 and 1 <= row.threads <= 4 for row in ROWS)


def test_leave_one_out() -> None:
    pixel4 = read_profile(SHIPPED_DIR / "pixel4.toml")
    for precision, worst in (("int8", 0.03), ("float32", 0.04)):
        found = points_left_out(pixel4, precision)  # type: ignore[arg-type]
        assert len(found) == 5
        assert max(abs(predicted / published - 1) for _, published, predicted in found) <= worst


@pytest.fixture(scope="module")
def held() -> Held:
    """Every device predicted without itself."""
    return leave_one_device_out(ROWS)


@pytest.fixture(scope="module")
def errors() -> dict[Setting, Errors]:
    """Errors by what the predictions rest on."""
    return left_out_errors(ROWS)


def test_leave_one_device_out(held: Held) -> None:
    plain = leave_one_device_out(ROWS, Options(plain_madds=True))
    every, xnnpack, by_madds = (
        statistics.median(error for pairs in some.values() for error in errors_of([p for p in pairs if keep(p[0])]))
        for some, keep in (
            (held, lambda row: True),
            (held, lambda row: row.by_xnnpack),
            (plain, lambda row: True),
        )
    )
    assert len(held) >= 15
    assert every <= 0.09
    assert xnnpack <= 0.085
    assert every < by_madds


def test_a_core_that_no_row_taught() -> None:
    device, core = NEW_CORE
    pairs = without_core(ROWS, device, core)
    assert len(pairs) == 13
    assert statistics.median(errors_of(pairs)) <= 0.12


def test_intervals_hold_what_they_promise(errors: dict[Setting, Errors]) -> None:
    inside = covered(errors)
    assert len(inside) > 150
    assert 0.75 <= statistics.mean(inside) <= 0.90


def test_gpus() -> None:
    named = []
    for name, rows in read_gpu_rows().items():
        predicted = leave_one_out(rows)
        missed = statistics.median(abs(ms / row.latency_ms - 1) for row, ms in zip(rows, predicted, strict=True))
        assert missed <= 0.15, name
        named += faster_named(rows, predicted)
    assert len(named) > 20
    assert statistics.mean(named) >= 0.75


def test_shipped_tables_are_what_the_rows_give(errors: dict[Setting, Errors]) -> None:
    fresh_files = {
        CORES_FILE: cores_toml(fit_cores(ROWS), ROWS, widths(errors)),
        GPUS_FILE: gpus_toml(),
        KERNELS_FILE: kernels_toml(read_cycles()),
    }
    for path, text in fresh_files.items():
        fresh, shipped = (_numbers(tomllib.loads(content)) for content in (text, path.read_text(encoding="utf-8")))
        assert fresh.keys() == shipped.keys()
        assert shipped == pytest.approx(fresh, rel=0.01, abs=0.01)  # another BLAS rounds otherwise
    assert set(CORES) < set(tomllib.loads(CORES_FILE.read_text(encoding="utf-8"))["cores"])


def _numbers(tables: Any, name: str = "") -> dict[str, float]:
    if isinstance(tables, (int, float)):
        return {name: float(tables)}
    if isinstance(tables, (dict, list)):
        pairs = tables.items() if isinstance(tables, dict) else enumerate(tables)
        return {path: value for key, part in pairs for path, value in _numbers(part, f"{name}/{key}").items()}
    return {}
