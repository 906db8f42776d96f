"""A .tflite with a damaged byte, word or end is read or refused, whatever the runtime makes of it."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny_model import tiny_tflite

from edgefit_converters.tflite import inspect

EDGEFIT = Path(sys.executable).with_name("edgefit")
MANY = 300  # in processes that go on where one died
WHOLE = 6  # through the command line, from a process to its exit code
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1)

READ_ALL = """
import sys
from edgefit_converters.tflite.inspect import read_model
from edgefit_toolkit.errors import InputError
for path in sys.argv[1:]:
    print(path, flush=True)
    try:
        read_model(path)
    except InputError as error:
        assert error.message
print("all", flush=True)
"""


def damaged(content: bytes, seed: int) -> bytes:
    """A bit, some bytes or a word changed, or bytes cut out or off."""
    rng, found = random.Random(seed), bytearray(content)
    at = rng.randrange(len(found) - 8)
    how = seed % 5
    if how == 0:
        found[at] ^= 1 << rng.randrange(8)
    elif how == 1:
        for _ in range(rng.randrange(1, 9)):
            found[rng.randrange(len(found))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif how == 2:
        word = rng.choice((*WORDS, rng.randrange(64), rng.randrange(2**32)))
        found[at // 4 * 4 : at // 4 * 4 + 4] = word.to_bytes(4, "little")
    elif how == 3:
        del found[at:]
    else:
        del found[at : at + rng.randrange(1, 64)]
    return bytes(found)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("healthy") / "model.tflite"
    tiny_tflite(path, resolution_px=64)
    return path.read_bytes()


def test_reading_raises_one_kind_of_error_or_dies_apart(healthy: bytes, tmp_path: Path) -> None:
    """A Python exception of another kind ends the process with 1, which is a loss; a native death is read_foreign's."""
    waiting = [tmp_path / f"{seed}.tflite" for seed in range(MANY)]
    for seed, path in enumerate(waiting):
        path.write_bytes(damaged(healthy, seed))
    killers = []
    while waiting:
        done = subprocess.run(
            [sys.executable, "-I", "-c", READ_ALL, *waiting], capture_output=True, text=True, timeout=300
        )
        assert done.returncode <= 0, done.stderr
        *_, last = done.stdout.splitlines()
        if last == "all":
            break
        killers.append(Path(last))
        waiting = waiting[waiting.index(killers[-1]) + 1 :]
    assert len(killers) < MANY / 20  # the runtime's own verifier catches nearly all
    for killer in killers[:3]:
        with pytest.raises(inspect.InputError, match="LiteRT dies of SIG"):
            inspect.read_foreign(killer)


def test_commands_end_with_a_word_and_their_own_exit_code(healthy: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    for seed in range(WHOLE):
        path.write_bytes(damaged(healthy, 1000 + seed))
        for command in (("inspect", "--no-time"), ("bench", "--min-samples", "10", "--threads", "1")):
            done = subprocess.run([EDGEFIT, *command, path], capture_output=True, text=True, timeout=300)
            assert done.returncode in (0, 2), (seed, command, done.returncode, done.stderr)
            assert "Traceback" not in done.stderr + done.stdout, (seed, command)
