"""experiments/int8/peers.py: halves of the photographs, the table, other tools' workers where they are installed."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.models import drawn_pixels

from edgefit_benchmarks.sessions.host import HostSession
from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_converters.routes import deploy
from edgefit_converters.routes.environments import ensure, is_made
from edgefit_toolkit.errors import InputError
from edgefit_toolkit.network.efficientnet import EfficientNet
from edgefit_toolkit.records import Parity, Preprocessing
from experiments.int8 import peer_table
from experiments.int8.halves import Half, join, read_halves, split_others

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "experiments" / "int8" / "peers.py"
LADDER = {
    "photographs": "6 drawn",
    "rows": [
        {"network": network, "step": step, "top1_agreement": 0.5, "n": 6, "seconds": 3.0, "sqnr_db": 21.0,
         "sqnr_db_halves": [20.0, 22.25]}
        for network in ("lite0", "lite1") for step in ("min-max PTQ", "bias correction")
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def peers() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("benchmarks_peers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Seven pictures, each of one grey, listed in another order than their names'."""
    names = [f"{level}.png" for level in (70, 10, 60, 20, 50, 30, 40)]
    for name in names:
        Image.new("RGB", (40, 40), (int(name.removesuffix(".png")),) * 3).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},x\n" for name in names))
    return tmp_path


def greys(pixels: np.ndarray) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pixels]


def test_every_photograph_is_held_out_once_and_never_calibrated_on_by_its_judge(photographs: Path) -> None:
    first, second = read_halves(photographs, Preprocessing(32))
    assert (greys(first.calibration), greys(first.holdout)) == ([70, 60, 50, 40], [10, 20, 30])
    assert (greys(second.calibration), greys(second.holdout)) == ([10, 20, 30], [70, 60, 50, 40])


def test_other_photographs_calibrate_and_are_never_judged(photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "others" / "roses"
    folder.mkdir(parents=True)
    for level in range(205):
        Image.new("RGB", (40, 40), (level,) * 3).save(folder / f"{level:03}.jpg", quality=100)
    joining, rest = split_others(tmp_path / "others")
    assert [path.stem for path in joining] == [f"{level:03}" for level in range(0, 205, 2)]
    assert sorted([*joining, *rest]) == sorted(folder.iterdir())
    first, second = read_halves(photographs, Preprocessing(32), joining[:2])
    assert (greys(first.calibration), greys(first.holdout)) == ([70, 60, 50, 40, 0, 2], [10, 20, 30])
    assert (greys(second.calibration), greys(second.holdout)) == ([10, 20, 30, 0, 2], [70, 60, 50, 40])
    assert split_others(None) == ([], [])


@pytest.mark.parametrize("listing", [None, "photo\na.png\n", "file\n70.png\n"], ids=["none", "no column", "one"])
def test_a_folder_without_a_usable_list_is_refused(photographs: Path, listing: str | None) -> None:
    (photographs / "labels.csv").unlink()
    if listing is not None:
        (photographs / "labels.csv").write_text(listing)
    with pytest.raises(InputError, match=r"labels\.csv"):
        read_halves(photographs, Preprocessing(32))


halves_of = st.lists(
    st.tuples(st.lists(st.booleans(), min_size=1, max_size=30), st.floats(-20, 120)), min_size=1, max_size=4
)


@given(halves_of)
def test_a_good_half_hides_no_bad_one(parts: list[tuple[list[bool], float]]) -> None:
    parities = [Parity(np.mean(same).item(), 1.0, db, len(same), tuple(same)) for same, db in parts]
    said: dict[str, Any] = join(parities)
    worst, mean = min(db for _, db in parts), sum(db for _, db in parts) / len(parts)
    assert worst - 0.01 <= said["sqnr_db"] <= mean + 0.01
    assert said["sqnr_db"] <= worst + 10 * math.log10(len(parts)) + 0.01
    answers = [same for part, _ in parts for same in part]
    assert said["n"] == len(answers)
    assert said["top1_agreement"] == pytest.approx(sum(answers) / len(answers))


def document(*networks: str, **other: Any) -> dict[str, Any]:
    """peers.json of one tool."""
    row = {"tool": "Other tool", "setting": "as it comes", "top1_agreement": 0.75, "n": 6, "seconds": 2.0}
    row |= {"sqnr_db": 18.0, "sqnr_db_halves": [17.5, 18.5]}
    return {
        "photographs": "6 drawn",
        "hardware": "a fixture",
        "versions": {"Other tool": {"other": "1.2"}},
        "rows": [{"network": name, **row} for name in networks],
        "floats": [{"network": name, **row, "setting": "float32", "sqnr_db": 117.4} for name in networks],
        **other,
    }


def test_the_page_has_edgefits_steps_beside_the_peers() -> None:
    page = peer_table.markdown(document("lite0"), LADDER)
    rows = [line.split(" | ")[:3] for line in page.splitlines() if line.startswith("| lite")]
    assert rows == [
        ["| lite0", "edgefit", "min-max PTQ"],
        ["| lite0", "edgefit", "bias correction"],
        ["| lite0", "Other tool", "as it comes"],
    ]
    assert "0.750 (n 6) | 18.0 dB (17.5 / 18.5)" in page
    assert "Other tool: other 1.2" in page
    assert "repeats torch's logits to 117 dB" in page
    assert "Latency" not in page


def test_latencies_are_ratios_to_the_same_network_and_threads() -> None:
    times = [("edgefit", 1, [4.0, 4.0, 5.0]), ("edgefit", 2, [2.5]), ("Other tool", 1, [2.0, 3.0, 4.0])]
    times.append(("Other tool", 2, [5.0]))
    rows = [{"network": "lite0", "tool": tool, "threads": n, "p50_ms": ms} for tool, n, ms in times]
    found = peer_table.ratios(rows, "edgefit")
    assert [row["ratio"] for row in found] == [1.0, 1.0, 0.75, 2.0]
    assert found[2]["ratios"] == [0.5, 0.75, 0.8]
    latency = {"base": "edgefit", "hardware": "a fixture", "rows": found}
    page = peer_table.markdown(document("lite0", latency=latency), LADDER)
    assert "| lite0 | Other tool | 0.75 (0.50 to 0.80) | 2.00 (2.00 to 2.00) |" in page


def test_networks_judged_before_stay_unless_something_changed() -> None:
    before, now = document("lite0", "lite1", latency={"rows": []}), document("lite1")
    assert [row["network"] for row in peer_table.merged(before, now)["rows"]] == ["lite0", "lite1"]
    assert [row["network"] for row in peer_table.merged(before, now)["floats"]] == ["lite0", "lite1"]
    assert peer_table.merged(before, now)["latency"] == {"rows": []}
    other = peer_table.merged(before, now | {"photographs": "7 drawn"})
    assert (other["rows"], other["latency"]) == (now["rows"], {"rows": []})
    assert peer_table.merged(before, now | {"hardware": "another"}) == now | {"hardware": "another"}
    assert peer_table.merged({}, now) == now


@pytest.mark.parametrize("tool", ["ONNX Runtime", "OpenVINO"])
def test_a_worker_quantizes_and_times_a_small_network(
    peers: ModuleType, tool: str, small_network: EfficientNet, tmp_path: Path
) -> None:
    if not is_made(peers.LOCK):
        pytest.skip("the environment of benchmarks/experiments/int8/peers.py is not made here")
    python, worker = ensure(peers.LOCK), peers.WORKERS[tool]
    network = deploy.deploy(small_network)
    half = Half(drawn_pixels(20, seed=1)[0], drawn_pixels(30, seed=2)[0])
    how = Preprocessing(network.variant.resolution_px)
    logits = peers.reference(network, half, tmp_path, how)
    peers.export_onnx(network, tmp_path / "float.onnx")
    files = ["--onnx", tmp_path / "float.onnx", "--calibration", tmp_path / "calibration.npy"]
    files += ["--holdout", tmp_path / "holdout.npy", "--out", tmp_path, "--threads", 1]
    found = {}
    for setting in json.loads(peers._run(python, worker, "settings"))[:2]:
        said = json.loads(peers._run(python, worker, "quantize", setting, *files).splitlines()[-1])
        found[setting] = peers.compare(logits, np.load(tmp_path / "logits.npy"))
    assert found.pop("float32").sqnr_db > 80
    [int8] = found.values()
    assert 5 < int8.sqnr_db < 60
    session = HostSession(Path(said["model"]), TimingOptions(threads=1), worker=(str(python), str(worker), "time"))
    try:
        block = session.block(5, 2)
    finally:
        session.close()
    assert (len(block.samples_ms), len(block.warmups_ms)) == (5, 2)
    assert min(block.samples_ms) > 0
