"""What a phone and a board have in common: a shell, a folder, files checked by SHA-256.

AdbTarget and SshTarget give four primitives (run a script, send a file, fetch a file, explain a failure); everything
that must be right for both is here, once:

    push   to NAME.part, hash computed over there, then renamed: a file under its own name is always whole
    run    the script ends by printing its exit code behind a random token: no token, no result, whatever the transport
           program exits with
    pull   to NAME.part here, hash compared, then renamed
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shlex
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edgefit_benchmarks.sessions.options import TimingOptions
from edgefit_benchmarks.sessions.session import Session
from edgefit_benchmarks.sessions.shell import Ran
from edgefit_benchmarks.targets import run_lock
from edgefit_benchmarks.targets.affinity import cpu_mask
from edgefit_benchmarks.targets.run_lock import RunLock
from edgefit_benchmarks.targets.target import Capabilities, Facts, Target
from edgefit_toolkit.errors import DeviceError, InputError
from edgefit_toolkit.files import sha256_of
from edgefit_toolkit.progress import plain

# Slower than any USB 2 cable or board network that is worth measuring on
SLOWEST_BYTES_PER_S = 500_000
CLEANUP_S = 3.0  # a run that is interrupted must end; what stays is removed by the next one
DEAD_AFTER_MIN = 24 * 60  # without a push, for a folder of a run that this host knows nothing of


class RemoteTarget(Target):
    """A target that is reached through a program on this host (a sessions.shell.Shell)."""

    capabilities = Capabilities(can_pin_cores=True, can_answer=True)
    home: str  # the folder over there in which each run has one of its own
    runs_android_programs = False  # those that are linked against Android's libc
    _facts: Facts | None = None
    _lock: RunLock | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """How messages name it: a serial, user@host."""

    @abstractmethod
    def _transport(self, script: str, timeout_s: float) -> Ran:
        """Run a shell script over there; what the transport program ended with. DeviceError on a timeout."""

    @abstractmethod
    def _send(self, local: Path, remote: str, timeout_s: float) -> None:
        """Copy a file there; DeviceError when it did not go through."""

    @abstractmethod
    def _fetch(self, remote: str, local: Path, timeout_s: float) -> None:
        """Copy a file here; DeviceError when it did not go through."""

    @abstractmethod
    def _fail(self, said: str, doing: str) -> NoReturn:
        """Raise the DeviceError that fits what the transport said (perhaps nothing) while `doing` something."""

    @abstractmethod
    def _read_facts(self) -> Facts: ...

    def facts(self) -> Facts:
        """What it is; asked once."""
        if self._facts is None:
            self._facts = self._read_facts()
        return self._facts

    @property
    def abi(self) -> str:
        """Which programs run there."""
        return self.facts().abi

    @property
    def root(self) -> str:
        """This run's folder over there; it is removed however the process ends, but for a kill."""
        if self._lock is None:
            self._lock = RunLock()
            atexit.register(self.cleanup)
        return f"{self.home}/{self._lock.name}"

    def open_session(self, model_path: Path, options: TimingOptions) -> Session:
        """With benchmark_model or our own runner; see programs.open_session."""
        from edgefit_benchmarks import programs  # with all that may fetch one: not for a list of flags

        return programs.open_session(self, model_path, options, android=self.runs_android_programs)

    def answers(self, model_path: Path, inputs: bytes, *, threads: int = 1) -> bytes:
        """By our own runner."""
        from edgefit_benchmarks.sessions.device import DeviceSession

        return DeviceSession(self, model_path, TimingOptions(threads=threads)).answers(inputs)

    def run(self, argv: Sequence[str], *, timeout_s: float = 120.0, cpus: Sequence[int] = ()) -> Ran:
        """Run a program there and return its own exit code; DeviceError when the connection does not outlive it."""
        command = shlex.join(argv)
        if cpus:
            command = (
                f"taskset {cpu_mask(cpus)} {command}"  # a hexadecimal mask: the form that toybox and util-linux share
            )
        return self.shell(command, timeout_s=timeout_s, doing=f"running {Path(argv[0]).name}")

    def shell(self, script: str, *, timeout_s: float = 30.0, doing: str = "talking to it") -> Ran:
        """Run a shell script there. Everything in it must be quoted already."""
        token = secrets.token_hex(8)
        done = self._transport(f"( {script}\n); printf '\\n{token}:%d\\n' $?", timeout_s)
        end = re.search(rb"\n" + token.encode() + rb":(\d+)\r?\n\Z", done.stdout)
        if end is None:
            self._fail((done.stderr or done.stdout).decode("utf-8", "replace").strip(), doing)
        return Ran(int(end.group(1)), done.stdout[: end.start()], done.stderr)

    def push(
        self, local: Path, sha256: str | None = None, *, executable: bool = False, folder: str | None = None
    ) -> str:
        """Put a file into `folder` (by default one named after its hash) under its own name; its path there.

        What is there already with the same SHA-256 is not sent again; size and time say nothing. InputError when the
        local file is not the one that `sha256` means.
        """
        if self._lock is None:
            self._remove_dead_runs()
        found = sha256_of(local)
        if sha256 is not None and found != sha256:
            raise InputError(f"{local} has SHA-256 {found[:12]}..., not {sha256[:12]}...", "convert it again")
        directory = f"{self.root}/{folder or found[:16]}"
        remote = f"{directory}/{local.name}"
        doing = f"copying {local.name} to it"
        if self.remote_sha256(remote) != found:
            part = f"{remote}.part"
            try:
                self._must(f"mkdir -p {shlex.quote(directory)} && touch {shlex.quote(self.root)}", doing)
                self._send(local, part, 60.0 + local.stat().st_size / SLOWEST_BYTES_PER_S)
                arrived = self.remote_sha256(part)
                if arrived != found:
                    raise DeviceError(
                        f"{local.name} arrived on {self.address} as SHA-256 {(arrived or 'nothing')[:12]}, "
                        f"sent was {found[:12]}",
                        "run it again; check the cable when it happens twice",
                    )
                self._must(f"mv -f {shlex.quote(part)} {shlex.quote(remote)}", doing)
            except DeviceError:
                with contextlib.suppress(DeviceError):  # gone perhaps: then there is nothing to clear away
                    self.shell(f"rm -f {shlex.quote(part)}", timeout_s=5)
                raise
        if executable:
            self._must(f"chmod 755 {shlex.quote(remote)}", doing)
        return remote

    def pull(self, remote: str, local: Path) -> None:
        """Bring a file back; `local` appears only when its hash is the one over there."""
        expected = self.remote_sha256(remote)
        if expected is None:
            raise DeviceError(f"{remote} is not on {self.address}")
        part = local.with_name(local.name + ".part")
        try:
            self._fetch(remote, part, 600.0)
            if sha256_of(part) != expected:
                raise DeviceError(f"{remote} did not come back whole from {self.address}", "run it again")
            os.replace(part, local)
        finally:
            part.unlink(missing_ok=True)

    def remote_sha256(self, remote: str) -> str | None:
        """The hash of a file over there, None where there is no file."""
        # by stdin, because GNU's sha256sum escapes odd names in its output
        path = shlex.quote(remote)
        ran = self.shell(f"if [ -f {path} ]; then sha256sum < {path}; fi", timeout_s=60, doing="checking a file on it")
        if ran.exit_code != 0:
            raise DeviceError(
                f"{self.address} cannot compute a SHA-256: {ran.complaint}", "it needs the program sha256sum"
            )
        words = ran.text.split()
        return words[0].lower() if words else None

    def cleanup(self) -> None:
        """Remove what this run pushed. Quiet when the target is gone."""
        if self._lock is None:
            return
        with contextlib.suppress(DeviceError):
            self.shell(f"rm -rf {shlex.quote(self.root)}", timeout_s=CLEANUP_S)
        self._lock.release()
        self._lock = None
        atexit.unregister(self.cleanup)

    def _remove_dead_runs(self) -> None:
        """What killed runs left over there; see run_lock. Quiet: it must not end this run."""
        with contextlib.suppress(DeviceError):
            listed = self.shell(
                f"cd {shlex.quote(self.home)} 2>/dev/null || exit 0\n"
                f"ls; echo /; find . -mindepth 1 -maxdepth 1 -mmin +{DEAD_AFTER_MIN} 2>/dev/null"
            )
            names, _, old = listed.text.partition("/\n")
            gone = run_lock.dead(names.splitlines(), (line.removeprefix("./") for line in old.splitlines()))
            if gone:
                paths = " ".join(shlex.quote(f"{self.home}/{name}") for name in gone)
                if self.shell(f"rm -rf {paths}").exit_code == 0:
                    run_lock.forget(gone)

    def _must(self, script: str, doing: str) -> Ran:
        """A script that has no reason to fail but the device's own state."""
        ran = self.shell(script, doing=doing)
        if ran.exit_code != 0:
            self._fail(ran.complaint, doing)
        return ran


def key_values(text: str) -> dict[str, str]:
    """Lines `key=value`, as the fact scripts print them."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): plain(value.strip()) for key, _, value in pairs}


def last_line(text: str) -> str:
    """The end of what a program said, with a colon in front; empty when it said nothing."""
    lines = text.strip().splitlines()
    return f": {plain(lines[-1].strip())}" if lines else ""
