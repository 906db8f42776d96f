"""The processes that train together, as torchrun starts them: gloo between CPUs, NCCL between GPUs.

Row i of the pictures belongs to process i % size: it alone reads it, runs it through the frozen layers and keeps what
they gave. One process is a world of its own, in which all of this does nothing.

A process that waits for the first one to do its own work (checking pictures, the probe, converting) waits as long as
that takes; one that waits for an answer in the middle of a step, ANSWER_S.
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
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from edgefit_toolkit.errors import PeerLost

ANSWER_S = 300.0
PATIENT = timedelta(days=30)
T = TypeVar("T")


class World:
    """`rank` of `size` processes; the first one, 0, writes and talks."""

    def __init__(self, rank: int = 0, size: int = 1, store: Store | None = None) -> None:
        self.rank, self.size, self._store = rank, size, store
        self._meetings = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def share(self, rows: Sequence[T]) -> Sequence[T]:
        """Those of this process."""
        return rows[self.rank :: self.size] if self.size > 1 else rows

    def by_first(self, work: Callable[[], T]) -> T:
        """What `work` gave in the first process, however long it took; the others do not call it. Pickled."""
        if self.size == 1:
            return work()
        result = [work()] if self.first else [cast(T, None)]
        self._meet()
        with answers_of_others():
            dist.broadcast_object_list(result, src=0)
        return result[0]

    def all_rows(self, own: Tensor, total: int) -> Tensor:
        """[total, ...] in every process, from each one's own rows, on the CPU."""
        if self.size == 1:
            return own
        padded = self._padded(own, total)
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        self._meet()
        with answers_of_others():
            dist.all_gather(parts, padded)
        return torch.stack(parts, 1).flatten(0, 1)[:total]

    def rows_of_all(self, own: Tensor, total: int) -> Tensor:
        """[total, ...] in the first process, from each one's own rows, on the CPU; elsewhere the own ones."""
        if self.size == 1:
            return own
        padded = self._padded(own, total)
        parts = [torch.empty_like(padded) for _ in range(self.size)] if self.first else None
        self._meet()
        with answers_of_others():
            dist.gather(padded, parts)
        return own if parts is None else torch.stack(parts, 1).flatten(0, 1)[:total]

    def sums(self, *numbers: float) -> list[float]:
        """Each number, added over all processes."""
        if self.size == 1:
            return list(numbers)
        added = torch.tensor(numbers, dtype=torch.float64)
        with answers_of_others():
            dist.all_reduce(added)
        return [float(number) for number in added]

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Puts the first process's values into these, in place."""
        if self.size > 1:
            with answers_of_others(), torch.no_grad():
                for tensor in tensors:
                    dist.broadcast(tensor, src=0)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose backward averages gradients over the processes."""
        if self.size == 1:
            return module
        with answers_of_others():
            return DistributedDataParallel(module, forward_sync_buffers=False)

    def _padded(self, own: Tensor, total: int) -> Tensor:
        padded = own.new_zeros((-(-total // self.size), *own.shape[1:]))
        padded[: len(own)] = own
        return padded

    def _meet(self) -> None:
        """Until all processes are here, however long their work takes."""
        assert self._store is not None
        self._meetings += 1
        name = f"meeting {self._meetings}"
        with answers_of_others():
            if self._store.add(f"{name}: how many", 1) == self.size:
                self._store.set(name, "all")
            self._store.wait([name], PATIENT)


ALONE = World()


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """The world that torchrun's environment tells of. Raises PeerLost where the others do not come."""
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    limit_s = float(os.environ.get("EDGEFIT_ANSWER_S", ANSWER_S))
    with answers_of_others():
        store, rank, size = next(iter(rendezvous("env://")))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpus else "gloo", store=PrefixStore("group", store), rank=rank,
            world_size=size, timeout=timedelta(seconds=limit_s),
        )  # fmt: skip
    try:
        yield World(rank, size, PrefixStore("edgefit", store))
    finally:
        with contextlib.suppress(RuntimeError):  # the others may be gone
            dist.destroy_process_group()


@contextlib.contextmanager
def answers_of_others() -> Iterator[None]:
    """Something in which other processes take part, such as both ways through a wrapped module: their loss becomes
    PeerLost."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(word in str(error) for word in ("gloo", "NCCL", "peer")):
            raise
        raise PeerLost(
            f"another process of this training is gone, or gave no answer: {str(error).splitlines()[0]}",
            "the same command goes on from the last state that was kept",
        ) from error
