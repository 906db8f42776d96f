"""The processes that train together, as torchrun starts them: gloo between CPUs, NCCL between GPUs.

Row i of the pictures belongs to process i % size: it alone reads it, runs it through the frozen layers and keeps what
they gave. One process is a world of its own, in which all of this does nothing.

A process that waits for another one's work (checking pictures, features, the probe, converting) waits as long as that
gives signs of life; one that waits for an answer in the middle of a step, ANSWER_S.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from edgefit_toolkit.errors import PeerLost
from edgefit_toolkit.training.heartbeat import GOES_ON, Heartbeat

ANSWER_S = 300.0
T = TypeVar("T")


class World:
    """`rank` of `size` processes; the first one, 0, writes and talks."""

    def __init__(self, rank: int = 0, size: int = 1, heartbeat: Heartbeat | None = None) -> None:
        self.rank, self.size, self._heartbeat = rank, size, heartbeat

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """In which the main thread of each process works or waits for others: where it does not, it hangs."""
        if self._heartbeat is None:
            yield
            return
        before, self._heartbeat.trains = self._heartbeat.trains, True
        try:
            yield
        finally:
            self._heartbeat.trains = before

    def check(self) -> None:
        """Raises PeerLost for a process that hangs: for long work in which no other takes part."""
        if self._heartbeat is not None:
            self._heartbeat.check()

    def share(self, rows: Sequence[T]) -> Sequence[T]:
        """Those of this process."""
        return rows[self.rank :: self.size] if self.size > 1 else rows

    def by_first(self, work: Callable[[], T]) -> T:
        """What `work` gave in the first process, however long it took; the others do not call it. Pickled."""
        if self.size == 1:
            return work()
        result = [work()] if self.first else [cast(T, None)]
        self._meet()
        with self.answers():
            dist.broadcast_object_list(result, src=0)
        return result[0]

    def all_rows(self, own: Tensor, total: int) -> Tensor:
        """[total, ...] in every process, from each one's own rows, on the CPU."""
        if self.size == 1:
            return own
        padded = self._padded(own, total)
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        self._meet()
        with self.answers():
            dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:total]

    def rows_of_all(self, own: Tensor, total: int) -> Tensor:
        """[total, ...] in the first process, from each one's own rows, on the CPU; elsewhere the own ones."""
        if self.size == 1:
            return own
        padded = self._padded(own, total)
        parts = [torch.empty_like(padded) for _ in range(self.size)] if self.first else None
        self._meet()
        with self.answers():
            dist.gather(padded, parts)
        return own if parts is None else torch.stack(parts, 1).flatten(0, 1)[:total]

    def sums(self, *numbers: float) -> list[float]:
        """Each number, added over all processes."""
        if self.size == 1:
            return list(numbers)
        added = torch.tensor(numbers, dtype=torch.float64)
        with self.answers():
            dist.all_reduce(added)
        return [float(number) for number in added]

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Puts the first process's values into these, in place."""
        if self.size > 1:
            self._meet()
            with self.answers(), torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward averages gradients over the processes."""
        if self.size == 1:
            return module
        self._meet()
        with self.answers():
            return DistributedDataParallel(module, forward_sync_buffers=False)

    @contextlib.contextmanager
    def answers(self) -> Iterator[None]:
        """Something in which other processes take part, such as both ways through a wrapped module: their loss becomes
        PeerLost."""
        if self._heartbeat is None:
            yield
            return
        with _peers(self._heartbeat), self._heartbeat.waiting():
            yield

    def _padded(self, own: Tensor, total: int) -> Tensor:
        padded = own.new_zeros((-(-total // self.size), *own.shape[1:]))
        padded[: len(own)] = own
        return padded

    def _meet(self) -> None:
        """Until all processes are here, however long their work takes."""
        assert self._heartbeat is not None
        self._heartbeat.meet()


ALONE = World()


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun's environment tells of. Raises PeerLost where the others do not come."""
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    limit_s = float(os.environ.get("EDGEFIT_ANSWER_S", ANSWER_S))
    with _peers():
        store, rank, size = next(iter(rendezvous("env://")))
        heartbeat = Heartbeat(PrefixStore("edgefit", store), rank, size, limit_s)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpus else "gloo", store=PrefixStore("group", store), rank=rank,
            world_size=size, timeout=timedelta(seconds=limit_s),
        )  # fmt: skip
    try:
        with heartbeat.beating():
            yield World(rank, size, heartbeat)
    finally:
        with contextlib.suppress(RuntimeError):  # the others may be gone
            dist.destroy_process_group()


@contextlib.contextmanager
def _peers(heartbeat: Heartbeat | None = None) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error) for word in ("gloo", "NCCL", "peer")):
            raise
        why = "" if heartbeat is None else heartbeat.suspect()
        said = f"another process of this training is gone, or gave no answer: {str(error).splitlines()[0]}"
        raise PeerLost(why or said, GOES_ON) from error
