"""Boards, through the system's `ssh`: your keys, your known_hosts, your ~/.ssh/config; never a question.

Files travel through `cat` at the other end, so a board needs sh, cat and sha256sum, and no sftp server.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

from edgefit_benchmarks.abi import ABIS, is_foreign
from edgefit_benchmarks.sessions.shell import Ran
from edgefit_benchmarks.targets.kind import TargetKind
from edgefit_benchmarks.targets.remote import RemoteTarget, key_values, last_line
from edgefit_benchmarks.targets.target import Condition, Facts
from edgefit_toolkit.errors import DeviceError, InputError

# Never ask; notice a dead line within 15 s; one connection for all calls of a session.
OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "ControlMaster=auto",
    "ControlPersist=60",
    "LogLevel=ERROR",
)

# What ssh says -> what it means. First match wins.
MEANINGS: tuple[tuple[str, str, str], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|host key for .* has changed|Offending .* key",
        "the host key of {who} has changed: another machine answers, or it was installed anew",
        "make sure that it is yours, then `ssh-keygen -R {host}` and `ssh {who}` once",
    ),
    (
        r"Host key verification failed|No .* host key is known",
        "the host key of {who} is not known here",
        "`ssh {who}` once and accept its key",
    ),
    (
        r"Permission denied \(|Too many authentication failures|no such identity",
        "{who} refused the ssh key",
        "`ssh-copy-id {who}`, then run it again",
    ),
    (r"Could not resolve hostname", "there is no host of the name {host}", "check --host user@board"),
    (
        r"Connection refused|No route to host|Network is unreachable|Operation timed out|Connection timed out",
        "{who} does not answer ssh",
        "is it switched on, and does sshd run there?",
    ),
    (r"No space left on device", "the storage of {who} is full ({doing})", "free some space on it and run it again"),
    (
        r"Permission denied|Read-only file system",
        "{who} does not let you write there ({doing})",
        "use an account with a home folder that it may write to",
    ),
    (
        r"Connection (?:to .* )?(?:closed|reset)|Broken pipe|client_loop|Timeout, server|kex_exchange_identification",
        "the connection to {who} broke ({doing})",
        "run the same command again",
    ),
)

FACTS_SCRIPT = """
echo "machine=$(uname -m)"
echo "system=$(uname -s) $(uname -r)"
echo "kernel_arch=$(cat /proc/sys/kernel/arch 2>/dev/null)"
echo "model=$(cat /proc/device-tree/model 2>/dev/null | tr -d '\\000')"
echo "cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)"
echo "home=$HOME"
for c in /sys/devices/system/cpu/cpu[0-9]*; do
  echo "mhz.${c##*cpu}=$(cat $c/cpufreq/cpuinfo_max_freq 2>/dev/null)"
done
"""

CONDITION_SCRIPT = """
echo "load=$(cat /proc/loadavg 2>/dev/null)"
echo "governors=$(cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null | sort -u | tr '\\n' ' ')"
echo "milli_c=$(cat /sys/class/thermal/thermal_zone*/temp 2>/dev/null | sort -n | tail -n 1)"
echo "free_kb=$(df -k . 2>/dev/null | tail -n 1)"
"""


class SshTarget(RemoteTarget):
    """A board, as `user@board`: whatever `ssh user@board` reaches."""

    home = ".cache/edgefit/remote"  # below the home folder, where a command starts

    def __init__(self, host: str, *, program: str = "ssh", options: Sequence[str] = ()) -> None:
        """`options` go to ssh as they are, such as ("-F", "config")."""
        if not host or host.startswith("-") or re.search(r"\s", host):
            raise InputError(f"{host!r} is no host", "--host user@board")
        if shutil.which(program) is None:
            raise DeviceError(
                "there is no ssh on this computer", "install OpenSSH's client (Debian: apt install openssh-client)"
            )
        self.host = host
        sockets = Path(tempfile.mkdtemp(prefix="edgefit-ssh-"))
        self._command = [program, *(arg for option in OPTIONS for arg in ("-o", option))]
        self._command += ["-o", f"ControlPath={sockets}/%C", *options]
        # the shared connection must not outlive this object, nor this process
        self._end_connection = weakref.finalize(self, _end_connection, (*self._command, "-O", "exit", host), sockets)

    @property
    def address(self) -> str:
        """user@board."""
        return self.host

    def condition(self) -> Condition:
        """Load, governors, free storage and the hottest sensor, as far as the board tells."""
        values = key_values(self.shell(CONDITION_SCRIPT, doing="reading its condition").text)
        load, free = values.get("load", "").split(), re.search(r"\s(\d+)\s+\d+%", values.get("free_kb", ""))
        return Condition(
            cores=max(1, len(self.facts().cores_max_mhz)),
            load_1min=float(load[0]) if load else None,
            governors=tuple(sorted(values.get("governors", "").split())),
            free_bytes=int(free.group(1)) * 1024 if free else None,
        )

    def cleanup(self) -> None:
        """Remove what was pushed and end the shared connection."""
        super().cleanup()
        self._end_connection()

    def _read_facts(self) -> Facts:
        values = key_values(self.shell(FACTS_SCRIPT, doing="asking what it is").text)
        machine = values.get("machine", "")
        abi = ABIS.get(machine, machine)
        clocks = {int(k[4:]): int(v) // 1000 if v.isdigit() else 0 for k, v in values.items() if k.startswith("mhz.")}
        name = values.get("model") or values.get("cpu") or machine
        return Facts(
            kind="ssh",
            label=f"{name} (ssh {self.host})",
            origin="measured on device",
            name=name,
            address=self.host,
            abi=abi,
            system=values.get("system", ""),
            cores_max_mhz=tuple(clocks[i] for i in sorted(clocks)),
            emulated=is_foreign(abi, values.get("kernel_arch", "")),
        )

    def _transport(self, script: str, timeout_s: float) -> Ran:
        return self._ssh(script, timeout_s, stdin=None, stdout=None)

    def _send(self, local: Path, remote: str, timeout_s: float) -> None:
        doing = f"copying {local.name} to it"
        with local.open("rb") as file:
            done = self._ssh(f"cat > {shlex.quote(remote)}", timeout_s, stdin=file, stdout=None)
        if done.exit_code != 0:
            self._fail(_text(done.stderr), doing)

    def _fetch(self, remote: str, local: Path, timeout_s: float) -> None:
        with local.open("wb") as file:
            done = self._ssh(f"cat {shlex.quote(remote)}", timeout_s, stdin=None, stdout=file)
        if done.exit_code != 0:
            self._fail(_text(done.stderr), f"copying {Path(remote).name} from it")

    def _ssh(self, script: str, timeout_s: float, stdin: IO[bytes] | None, stdout: IO[bytes] | None) -> Ran:
        # sh -c, because the login shell of a board may be anything
        command = [*self._command, "--", self.host, f"sh -c {shlex.quote(script)}"]
        try:
            done = subprocess.run(
                command,
                stdin=stdin or subprocess.DEVNULL,
                stdout=stdout or subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"{self.host} gave no answer within {timeout_s:.0f} s", "is it busy, or the line broken? run it again"
            ) from error
        return Ran(done.returncode, done.stdout or b"", done.stderr)

    def _fail(self, said: str, doing: str) -> NoReturn:
        for pattern, message, hint in MEANINGS:
            if re.search(pattern, said, re.IGNORECASE):
                names = {"who": self.host, "host": self.host.rpartition("@")[2], "doing": doing}
                raise DeviceError(message.format(**names), hint.format(**names))
        raise DeviceError(
            f"the connection to {self.host} broke ({doing})" + last_line(said),
            "run the same command again",
        )


def open_board(host: str) -> SshTarget:
    """The board; an unreachable one is said now, not after an hour of work."""
    target = SshTarget(host)
    target.facts()
    return target


def _end_connection(command: Sequence[str], sockets: Path) -> None:
    if any(sockets.iterdir()):
        subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree(sockets, ignore_errors=True)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").strip()


KIND = TargetKind(
    name="ssh",
    noun="a board",
    open=lambda _, host: open_board(host or ""),
    connect=open_board,
    flag="host",
    metavar="USER@BOARD",
    help="Measure on this board over ssh.",
)
