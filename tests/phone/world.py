"""A private network in which phones and boards live: an unprivileged user and network namespace.

    with World(tmp_path) as world:
        phone = world.phone(codename="panther", model="Pixel 7")
        Adb(str(world.adb)).devices()

Everything in it is a real program (adb, adbd, sshd, ssh); only `getprop` and `dumpsys`, which exist on Android alone,
are small scripts. Nothing listens outside the namespace, and everything in it ends with it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from phone import parts

BOOT = Path(__file__).with_name("boot.sh")
# Brings the loopback device up and lives until its standard input ends, that is, at most as long as the tests do
HOLDER = """
import fcntl, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
print("up", flush=True)
sys.stdin.read()
"""
GETPROP = '#!/bin/sh\nsed -n "s/^$1=//p" /system/build.prop\n'
DUMPSYS = '#!/bin/sh\ncat "/system/dumpsys/$1" 2>/dev/null\n'

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  level: {level}
  scale: 100
  voltage: 4312
  temperature: 254
"""


class NoNamespacesError(Exception):
    """Why this machine cannot hold a world, in one line."""


@dataclass
class Device:
    """A running daemon with its own root folder in memory."""

    process: subprocess.Popen[bytes]
    system: Path  # what it sees as /system

    @property
    def files(self) -> Path:
        """Its root folder, seen from here, while it runs."""
        return Path(f"/proc/{self.process.pid}/root")

    def kill(self) -> None:
        """The cable is pulled out: the daemon and all that it started end at once."""
        for pid in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@dataclass
class Phone(Device):
    """adbd with a phone's properties."""

    serial: str = ""
    properties: dict[str, str] = field(default_factory=dict)

    def set_properties(self, **changed: str) -> None:
        """Write build.prop; `ro_product_device="panther"` sets ro.product.device."""
        self.properties |= {name.replace("_", "."): value for name, value in changed.items()}
        (self.system / "build.prop").write_text("".join(f"{k}={v}\n" for k, v in self.properties.items()))

    def set_dumpsys(self, **services: str) -> None:
        """What `dumpsys SERVICE` prints."""
        for name, text in services.items():
            (self.system / "dumpsys" / name).write_text(text)


@dataclass
class Board(Device):
    """sshd with one account, `board`, and one key that may log in."""

    config: Path = Path()  # for ssh -F: key, known_hosts, port
    port: int = 0

    host = "board@127.0.0.1"


class World:
    """The namespace. NoNamespacesError when this machine does not let its user make one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for program in ("unshare", "nsenter", "setpriv"):
            if shutil.which(program) is None:
                raise NoNamespacesError(f"no {program} (util-linux)")
        self._devices: list[Device] = []
        self._holder = subprocess.Popen(
            ["unshare", "-U", "-r", "-n", sys.executable, "-c", HOLDER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            _, complaint = self._holder.communicate()
            said = complaint.decode("utf-8", "replace").strip().splitlines()
            raise NoNamespacesError(f"user namespaces are closed here: {said[-1] if said else 'no reason given'}")
        self._enter = ["nsenter", "-t", str(self._holder.pid), "-U", "-n", "--preserve-credentials"]

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything that runs in the namespace."""
        for device in self._devices:
            device.kill()
        for pid in self._inhabitants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._holder.communicate()

    def script(self, name: str, command: list[str], **environment: str) -> Path:
        """A program on this side that runs `command` with its arguments on the other side."""
        path = self.folder / name
        settings = [f"{key}={value}" for key, value in environment.items()]
        path.write_text(f'#!/bin/sh\nexec {shlex.join([*self._enter, "env", *settings, *command])} "$@"\n')
        path.chmod(0o755)
        return path

    @property
    def adb(self) -> Path:
        """The adb client of this world, with a home and a server of its own."""
        adb = parts.adb_parts()
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return self.script("adb", [str(adb.adb)], HOME=str(home), LD_LIBRARY_PATH=adb.library_path())

    def kill_adb_server(self) -> None:
        """As when the server crashes: no goodbye."""
        for pid in self._inhabitants():
            with contextlib.suppress(OSError):  # a process that has just ended
                if b"fork-server" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    os.kill(pid, signal.SIGKILL)

    def phone(
        self, *, port: int = 15555, codename: str = "panther", model: str = "Pixel 7", abi: str = "x86_64",
        storage: str = "256m",
    ) -> Phone:  # fmt: skip
        """Start an adbd and connect adb's server to it."""
        adb = parts.adb_parts()
        system = self._system(f"phone-{port}")
        command = [
            f"/parts/{adb.loader}", "--library-path", adb.library_path("/parts"), f"/parts/{adb.adbd}",
        ]  # fmt: skip
        process = self._boot(f"phone-{port}", storage, adb.root, command, ADBD_PORT=str(port))
        phone = Phone(process, system, serial=f"127.0.0.1:{port}")
        self._devices.append(phone)
        self._pose(phone, codename, model, abi)
        self.connect(phone)
        return phone

    def _pose(self, phone: Phone, codename: str, model: str, abi: str) -> None:
        phone.set_properties(
            ro_product_device=codename, ro_product_model=model, ro_product_cpu_abi=abi,
            ro_build_version_release="14", ro_build_version_sdk="34",
        )  # fmt: skip
        phone.set_dumpsys(
            battery=BATTERY.format(level=83), thermalservice="Thermal Status: 0\n", power="  mWakefulness=Asleep\n"
        )

    def arm_phone(self, *, port: int = 15555, storage: str = "512m") -> Phone:
        """A whole arm64 phone, adbd and shell included, under qemu-user; it says truthfully that it is arm64."""
        userland, qemu = parts.arm_userland(), parts.qemu()
        system = self._system(f"arm-{port}")
        process = self._boot(
            f"arm-{port}", storage, userland, [f"/{parts.AdbParts.adbd}"], ADBD_PORT=str(port),
            USERLAND=str(userland), QEMU=str(qemu), BOARD_LIBRARY_PATH="/usr/lib/aarch64-linux-gnu/android",
        )  # fmt: skip
        phone = Phone(process, system, serial=f"127.0.0.1:{port}")
        self._devices.append(phone)
        self._pose(phone, "panther", "Pixel 7", "arm64-v8a")
        self.connect(phone)
        return phone

    def connect(self, phone: Phone) -> None:
        """`adb connect`, until the phone is usable."""
        adb = str(self.adb)
        for _ in range(100):
            subprocess.run([adb, "connect", phone.serial], capture_output=True, check=False)
            state = subprocess.run([adb, "-s", phone.serial, "get-state"], capture_output=True, check=False)
            if state.stdout.strip() == b"device":
                return
            time.sleep(0.05)
        raise AssertionError(f"{phone.serial} never became usable: {state.stderr.decode()}")

    def board(self, *, port: int = 15022, storage: str = "256m") -> Board:
        """Start an sshd with a fresh host key and a fresh key that may log in."""
        root, folder = parts.sshd_root(), self._system(f"board-{port}")
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
            )
        libexec = root / "usr/lib/openssh"
        server = ["Port " + str(port), "ListenAddress 127.0.0.1", "HostKey /system/host_key", "UsePAM no",
                  "AuthorizedKeysFile /system/user_key.pub", "StrictModes no", "PasswordAuthentication no",
                  "PidFile none"]  # fmt: skip
        # OpenSSH 9.8 and later split sshd into several programs
        server += [f"Sshd{w.title()}Path /parts/usr/lib/openssh/sshd-{w}" for w in ("session", "auth")
                   if (libexec / f"sshd-{w}").exists()]  # fmt: skip
        (folder / "sshd_config").write_text("\n".join(server) + "\n")
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
        config = folder / "ssh_config"
        config.write_text(
            f"Host *\n  Port {port}\n  IdentityFile {folder}/user_key\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        )
        # sshd as a plain user needs no privileges; that user is this one under another number
        command = ["unshare", "-U", "--map-user=1000", "--map-group=1000", "/parts/usr/sbin/sshd", "-D", "-e",
                   "-f", "/system/sshd_config"]  # fmt: skip
        library_path = ":".join(f"/parts/usr/lib/{p.name}" for p in (root / "usr/lib").glob("*-linux-gnu*"))
        process = self._boot(f"board-{port}", storage, root, command, BOARD_LIBRARY_PATH=library_path)
        board = Board(process, folder, config=config, port=port)
        self._devices.append(board)
        for _ in range(100):
            if (
                subprocess.run([str(self.ssh), "-F", str(config), Board.host, "true"], capture_output=True).returncode
                == 0
            ):
                return board
            time.sleep(0.05)
        raise AssertionError(f"sshd did not come up: {(self.folder / f'board-{port}.log').read_text()}")

    @property
    def ssh(self) -> Path:
        """The system's ssh, in this world."""
        return self.script("ssh", ["ssh"])

    def _system(self, name: str) -> Path:
        """The folder that becomes /system, with Android's two programs."""
        system = self.folder / f"{name}.system"
        (system / "bin").mkdir(parents=True)
        (system / "dumpsys").mkdir()
        for program, text in (("getprop", GETPROP), ("dumpsys", DUMPSYS)):
            (system / "bin" / program).write_text(text)
            (system / "bin" / program).chmod(0o755)
        return system

    def _boot(
        self, name: str, storage: str, root: Path, command: list[str], **environment: str
    ) -> subprocess.Popen[bytes]:
        (self.folder / name).mkdir()
        boot = ["unshare", "-m", "sh", str(BOOT), str(self.folder / name), storage, str(root), *command]
        settings = [f"{key}={value}" for key, value in environment.items()]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*self._enter, "env", *settings, *boot], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _inhabitants(self) -> list[int]:
        """Every process in this namespace but its holder."""
        here = os.readlink(f"/proc/{self._holder.pid}/ns/net")
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(entry / "ns/net") == here:
                    found.append(int(entry.name))
        return [pid for pid in found if pid != self._holder.pid]


def descendants(pid: int) -> list[int]:
    """The children of a process and theirs."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found
