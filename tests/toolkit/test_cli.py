"""The program as a user meets it: real processes, their exit codes, and what they print where."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EDGEFIT = Path(sys.executable).with_name("edgefit")


def run(*args: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """edgefit with these arguments, and nothing on a terminal."""
    return subprocess.run(
        [EDGEFIT, *args], capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=300
    )


def one_message(done: subprocess.CompletedProcess[str]) -> str:
    """stderr of a refusal: one error, a hint, no traceback; nothing on stdout."""
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert done.stderr.count("rror: ") == 1, done.stderr
    return done.stderr


def pictures(folder: Path, n: int = 12) -> None:
    """A class folder of n small pictures that differ."""
    folder.mkdir(parents=True)
    for i in range(n):
        Image.new("RGB", (48, 40), (i * 20, 200 - i * 10, 90)).save(folder / f"{i}.jpg")


def test_help_names_the_commands_and_exit_codes_and_loads_nothing_heavy() -> None:
    done = run("--help")
    assert done.returncode == 0
    for word in ("fit", "plan", "report", "it fits", "device is unavailable", "130"):
        assert word in done.stdout
    heavy = "('torch', 'numpy', 'rich')"
    probe = f"import sys; from edgefit_toolkit.cli import main; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_predicted_plan_loads_nothing_heavy() -> None:
    probe = "import sys; from edgefit_toolkit.cli.plan import command; command(sys.argv[1:], standalone_mode=False); "
    probe += "print([m for m in ('torch', 'numpy', 'ai_edge_litert') if m in sys.modules], file=sys.stderr)"
    flags = ["--device", "pixel7", "--budget-ms", "30"]
    done = subprocess.run([sys.executable, "-c", probe, *flags], capture_output=True, text=True, check=True)
    assert "multiply-adds" in done.stdout
    assert done.stderr.strip() == "[]"


def test_plan_prints_one_json_document_on_stdout() -> None:
    done = run("plan", "--device", "pixel4", "--budget-ms", "13.5", "--percentile", "p50", "--json")
    assert done.returncode == 0
    assert done.stderr == ""
    doc = json.loads(done.stdout)
    assert doc["schema"] == "edgefit.plan/1"
    assert (doc["device"], doc["budget_ms"], doc["percentile"]) == ("pixel4", 13.5, 50)
    for candidate in (doc["pick"], doc["next"]):
        assert set(candidate) >= {"phi", "family", "width", "depth", "resolution_px", "madds", "params", "latency_ms"}
        assert set(candidate["latency_ms"]) >= {"p50", "p90", "low", "high", "origin", "basis"}
        assert candidate["latency_ms"]["origin"] == "predicted"
    assert doc["pick"]["latency_ms"]["p50"] <= 13.5 < doc["next"]["latency_ms"]["p50"]


def test_flags_alone_mean_fit() -> None:
    done = run("--budget-ms", "30")
    assert done.returncode == 2
    assert "edgefit fit" in done.stderr
    assert "--device" in done.stderr


@pytest.mark.parametrize(("budget", "code"), [("0", 2), ("-3", 2), ("nan", 2), ("inf", 2), ("0.01", 1), ("soon", 2)])
@pytest.mark.parametrize("command", ["plan", "fit"])
def test_a_budget_that_cannot_be_met_leaves_one_message_and_no_files(
    command: str, budget: str, code: int, tmp_path: Path
) -> None:
    done = run(command, "--device", "pixel7", "--budget-ms", budget, cwd=tmp_path)
    message = one_message(done)
    assert done.returncode == code
    assert "budget" in message or "0.01 ms" in message
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_device_lists_the_near_names() -> None:
    done = run("--device", "pixle7", "--budget-ms", "30")
    assert done.returncode == 2
    assert "pixel7" in one_message(done)


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "data" / "rose")
    done = run("--device", "pixel7", "--budget-ms", "5", "--data", "data", cwd=tmp_path)
    assert done.returncode == 2
    assert "single class" in one_message(done)


def test_a_missing_data_folder_is_named(tmp_path: Path) -> None:
    done = run("--device", "pixel7", "--budget-ms", "5", "--data", "plants", cwd=tmp_path)
    assert done.returncode == 2
    assert "plants" in one_message(done)


def test_an_output_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    done = run("--device", "pixel7", "--budget-ms", "5", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "out" in one_message(done)
    assert (tmp_path / "out").read_text() == "mine"


def test_a_directory_of_something_else_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    done = run("--device", "pixel7", "--budget-ms", "5", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "thesis.tex" in one_message(done)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def in_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """A shell script as root of its own user and mount namespace."""
    if not shutil.which("unshare"):
        pytest.skip("unshare (util-linux) is missing")
    if subprocess.run(["unshare", "-r", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine does not allow user namespaces")
    return subprocess.run(["unshare", "-r", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=300)


def test_a_nearly_full_disk_is_said_before_any_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o size=2m none '{out}' && exec '{EDGEFIT}' --device pixel7 --budget-ms 5 --out '{out}'"
    )
    assert done.returncode == 2
    assert "MB free" in one_message(done)


def test_a_read_only_disk_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o ro none '{out}' && exec '{EDGEFIT}' --device pixel7 --budget-ms 5 --out '{out}/run'"
    )
    assert done.returncode == 2
    assert "cannot write" in one_message(done)


def test_no_colour_codes_reach_a_pipe_or_no_color() -> None:
    done = run("plan", "--device", "pixel7", "--budget-ms", "30", NO_COLOR="1")
    assert done.returncode == 0
    assert "\x1b[" not in done.stdout + done.stderr
