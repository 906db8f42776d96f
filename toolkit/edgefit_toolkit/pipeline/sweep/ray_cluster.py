"""Networks made by a Ray cluster: each task is the same process as on this machine, on whatever node has room.

Where the sweep's folder is shared by the nodes the work is done in place, and one that was broken off goes on after
its last epoch; elsewhere the run directory comes back through Ray's object store.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgefit_toolkit.errors import InputError
from edgefit_toolkit.host import python_module
from edgefit_toolkit.pipeline.sweep.pool import CORES_EACH, FAULT, answered, started
from edgefit_toolkit.pipeline.sweep.ray_phones import ClusterPhones
from edgefit_toolkit.pipeline.sweep.work import Failure, Work

MAJOR = "2"  # of Ray's version
CONNECT_S, ANSWER_S = 5.0, 60.0
RETRIES = 3  # of a piece of work whose node died
TOKEN = "set RAY_AUTH_MODE=token, with the head's ~/.ray/auth_token or RAY_AUTH_TOKEN, here and on every node"
INSTALL = "pip install 'edgefit-toolkit[ray]', on every node"


@dataclass(frozen=True)
class Sender:
    """What a node must know of the sweep that sends it work."""

    edition: str
    threads: int  # of torch: their number decides the last bits of a training
    folder: str  # the current one, on which relative paths rest
    logs: str
    mark: str  # a file that exists where the sweep's folder is shared


class Cluster:
    """A pool of the nodes at `address` ("auto": the one that runs on this machine). Close it.

    `out` is the sweep's folder. Raises InputError where there is no Ray, another Ray, or no answer.
    """

    def __init__(self, address: str, out: Path) -> None:
        self.ray, self.out = _ray(), out.absolute()
        _reach(self.ray, address)
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        self.cpus = min(CORES_EACH, max(int(node.get("CPU", 0)) for node in nodes))
        self.gpus = 1 if any(node.get("GPU") for node in nodes) else 0
        self.phones = ClusterPhones(self.ray)
        self.summary = (
            f"Ray {self.ray.__version__}: {len(nodes)} nodes, {sum(n.get('CPU', 0) for n in nodes):g} CPUs, "
            f"{len(self.phones.places)} phones and boards"
        )

    def __call__(self, works: Sequence[Work]) -> Iterator[tuple[Work, Failure | None]]:
        """As each is finished."""
        import torch

        from edgefit_toolkit.pipeline.sweep.worker import edition

        logs, mark = self.out / "logs", self.out / f".shared-{secrets.token_hex(8)}"
        logs.mkdir(parents=True, exist_ok=True)
        mark.touch()
        sender = Sender(edition(), torch.get_num_threads(), os.getcwd(), str(logs), str(mark))
        task = self.ray.remote(num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES)(made_on_a_node)
        waiting = {task.remote(work, sender): work for work in works}
        try:
            while waiting:
                (ready,), _ = self.ray.wait(list(waiting), num_returns=1)
                work = waiting.pop(ready)
                yield work, self._result(ready, work)
        finally:
            mark.unlink(missing_ok=True)
            for left in waiting:
                self.ray.cancel(left, force=True)

    def close(self) -> None:
        """Leave the cluster."""
        self.ray.shutdown()

    def _result(self, ready: Any, work: Work) -> Failure | None:
        try:
            failure, packed = self.ray.get(ready)
        except self.ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            problem = f"{work.name} was not made by the cluster: {type(error).__name__}: {first}"
            return Failure(problem, f"every node needs the same edgefit and the pictures at the same place; {INSTALL}",
                           FAULT)  # fmt: skip
        if packed is not None:
            unpack(packed, Path(work.run_dir), self.out / "logs")
        found: Failure | None = failure
        return found


def made_on_a_node(work: Work, sender: Sender) -> tuple[Failure | None, bytes | None]:
    """The task: the same work in the same kind of process as on one machine, with as many threads; with the run
    directory and the log as a tar where the sweep's folder is not shared."""
    if Path(sender.mark).exists():
        return _made(work, sender, Path(sender.logs)), None
    with tempfile.TemporaryDirectory(prefix="edgefit-sweep-") as place:
        run, logs = Path(place) / "run", Path(place) / "logs"
        logs.mkdir()
        failure = _made(replace(work, run_dir=str(run)), sender, logs)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for folder in (run, logs):
                if folder.is_dir():
                    tar.add(folder, folder.name)
        return failure, packed.getvalue()


def _made(work: Work, sender: Sender, logs: Path) -> Failure | None:
    here = sender.folder if Path(sender.folder).is_dir() else None
    with (logs / f"{work.name}.txt").open("ab") as log:
        return answered(started(log.fileno(), here, OMP_NUM_THREADS=str(sender.threads)), work, sender.edition)


def unpack(packed: bytes, run_dir: Path, logs: Path) -> None:
    """In the place of what an earlier attempt left; whole or not at all."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=run_dir.parent, prefix=".unpacked-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="data")
        for log in (Path(folder) / "logs").iterdir():
            os.replace(log, logs / log.name)
        if (Path(folder) / "run").is_dir():  # else it was refused before anything
            shutil.rmtree(run_dir, ignore_errors=True)
            os.replace(Path(folder) / "run", run_dir)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise InputError("--ray needs Ray, which is not installed", INSTALL) from error
    if ray.__version__.partition(".")[0] != MAJOR:
        raise InputError(f"Ray {ray.__version__} is installed; edgefit speaks to Ray {MAJOR}.*", INSTALL)
    return ray


def _reach(ray: Any, address: str) -> None:
    hint = "start one with `ray start --head`, or name the HOST:PORT that it printed"
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise InputError(f"{address!r} is no address of a Ray cluster", "valid: auto, HOST:PORT")
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        except OSError as error:
            raise InputError(f"no Ray cluster answers at {address}: {error}", hint) from error
    try:  # in a process that can be ended: where something else answers, Ray goes on asking for many minutes
        asked = subprocess.run(
            [*python_module(__spec__.name), address], capture_output=True, timeout=ANSWER_S, check=False
        )  # fmt: skip
        if any(word in asked.stderr for word in (b"InvalidAuthToken", b"AuthenticationError")):
            raise InputError(f"the Ray cluster at {address} wants its token", TOKEN)
        with contextlib.redirect_stderr(io.StringIO()):
            _join(ray, address)
    except (ConnectionError, subprocess.TimeoutExpired) as error:
        raise InputError(f"no Ray cluster answers at {address}", hint) from error
    except RuntimeError as error:  # how Ray says that the cluster has another Ray or another Python
        said = " ".join(str(error).split())
        raise InputError(f"the Ray cluster at {address} does not go with this one: {said}", INSTALL) from error


def _join(ray: Any, address: str) -> None:
    ray.init(address=address, log_to_driver=False, configure_logging=False)


if __name__ == "__main__":
    _join(_ray(), sys.argv[1])
