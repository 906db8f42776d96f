"""Boards over ssh: Debian's real sshd in a private network, this system's real ssh."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tiny_model import tiny_tflite

from edgefit_benchmarks.targets.ssh import SshTarget
from edgefit_toolkit.errors import DeviceError, InputError
from phone.world import Board, World, descendants

Blob = Callable[..., Path]
MB = 1 << 20

pytestmark = pytest.mark.usefixtures("needs_sshd")


@pytest.fixture
def board(world: World) -> Board:
    return world.board()


@pytest.fixture
def target(world: World, board: Board) -> Iterator[SshTarget]:
    made = target_of(world, board)
    yield made
    made.cleanup()


def target_of(world: World, board: Board) -> SshTarget:
    return SshTarget(board.host, program=str(world.ssh), options=["-F", str(board.config)])


def remote_files(board: Board) -> set[str]:
    """Every file that lies in the board's home."""
    return {str(p.relative_to(board.files / "data")) for p in (board.files / "data").rglob("*") if p.is_file()}


def cut_the_line(board: Board) -> None:
    """The connection breaks: sshd lives on, what it started for this session does not."""
    for pid in descendants(board.process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def when_it_arrives(board: Board, act: Callable[[], None]) -> threading.Thread:
    """Call `act` as soon as a file begins to arrive on the board."""

    def watch() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if any(p.stat().st_size > 0 for p in (board.files / "data").rglob("*.part")):
                    break
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_push_run_pull_and_cleanup(board: Board, target: SshTarget, tmp_path: Path) -> None:
    facts = target.facts()
    assert facts.kind == "ssh"
    assert facts.name
    assert facts.label == f"{facts.name} (ssh board@127.0.0.1)"
    assert not facts.emulated
    condition = target.condition()
    assert condition.free_bytes is not None
    assert condition.load_1min is not None
    model = tiny_tflite(tmp_path / "int8.tflite")
    remote = target.push(model)
    assert (board.files / "data/home" / remote).read_bytes() == model.read_bytes()
    ran = target.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (ran.exit_code, ran.stdout, ran.stderr) == (7, b"out\n", b"err\n")
    target.pull(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == model.read_bytes()
    target.cleanup()
    assert remote_files(board) == set()


def test_any_argument_and_any_name_survive_the_shells(
    board: Board, target: SshTarget, blob: Blob, tmp_path: Path
) -> None:
    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=4)
    )
    def arguments(args: list[str]) -> None:
        ran = target.run(["printf", "%s\\0", *args])
        assert ran.stdout.decode().split("\0")[:-1] == (args or [""])

    arguments()
    for name in ("two words.tflite", "it's $(reboot) `x`; rm -rf *.tflite", "-rf", "é\\n\n.tflite"):
        local = blob(name, 5000, seed=len(name))
        target.pull(target.push(local), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == local.read_bytes()


def test_equal_content_is_not_sent_again_and_a_same_size_model_is(
    board: Board, target: SshTarget, tmp_path: Path
) -> None:
    path = tmp_path / "int8.tflite"
    tiny_tflite(path, seed=1)
    remote = board.files / "data/home" / target.push(path, folder="model")
    written = remote.stat().st_ino
    target.push(path, folder="model")
    assert remote.stat().st_ino == written
    second = tiny_tflite(path, seed=2).read_bytes()
    assert len(second) == remote.stat().st_size
    target.push(path, folder="model")
    assert remote.read_bytes() == second


def test_key_refused(world: World, board: Board, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    board.config.write_text(board.config.read_text().replace(str(board.system / "user_key"), str(tmp_path / "other")))
    with pytest.raises(DeviceError, match=r"board@127\.0\.0\.1 refused the ssh key") as fault:
        target_of(world, board).facts()
    assert "ssh-copy-id board@127.0.0.1" in fault.value.hint


def test_host_key_changed(world: World, board: Board) -> None:
    known = board.system / "known_hosts"
    other = (board.system / "user_key.pub").read_text()  # a key, and not the host's
    right = known.read_text()
    known.write_text(f"[127.0.0.1]:{board.port} {other}")
    with pytest.raises(DeviceError, match=r"host key of board@127\.0\.0\.1 has changed") as fault:
        target_of(world, board).facts()
    assert "ssh-keygen -R" in fault.value.hint
    known.write_text(right)
    assert target_of(world, board).facts().name


def test_host_key_unknown_is_not_accepted_silently(world: World, board: Board) -> None:
    (board.system / "known_hosts").write_text("")
    with pytest.raises(DeviceError, match=r"host key of .* is not known here"):
        target_of(world, board).facts()
    assert (board.system / "known_hosts").read_text() == ""


def test_nobody_answers(world: World, board: Board) -> None:
    board.kill()
    with pytest.raises(DeviceError, match="does not answer ssh"):
        target_of(world, board).facts()


def test_line_lost_during_a_push_and_the_next_push_works(board: Board, target: SshTarget, blob: Blob) -> None:
    assert target.run(["true"]).exit_code == 0
    cutting = when_it_arrives(board, lambda: cut_the_line(board))
    with pytest.raises(DeviceError) as fault:
        target.push(blob("big.tflite", 200 * MB))
    cutting.join()
    assert fault.value.exit_code == 3
    assert "copying big.tflite" in fault.value.message
    assert {name for name in remote_files(board) if not name.endswith(".part")} == set()
    local = blob("big.tflite", 2 * MB)
    assert (board.files / "data/home" / target.push(local)).read_bytes() == local.read_bytes()


def test_line_lost_during_a_run_is_no_result(board: Board, target: SshTarget) -> None:
    threading.Timer(0.7, cut_the_line, [board]).start()
    with pytest.raises(DeviceError, match=r"connection to .* broke \(running sh\)"):
        target.run(["sh", "-c", "echo half a result; sleep 30; echo whole"])
    assert target.run(["echo", "back"]).text == "back\n"


def test_storage_full_and_then_room(world: World, blob: Blob) -> None:
    board = world.board(storage="4m")
    target = target_of(world, board)
    with pytest.raises(DeviceError, match=r"storage of .* is full"):
        target.push(blob("big.tflite", 8 * MB))
    assert remote_files(board) == set()
    assert target.push(blob("small.tflite", 1 * MB)).endswith("small.tflite")
    target.cleanup()


@pytest.mark.parametrize("host", ["", "-oProxyCommand=reboot", "a b"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="is no host"):
        SshTarget(host)
