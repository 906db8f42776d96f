"""What every recorded stage is: a key, work that is done once for it, and a typed result."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from edgefit_toolkit.pipeline.run_directory.key import Key
from edgefit_toolkit.pipeline.run_directory.source_digest import sources_of
from edgefit_toolkit.pipeline.stages.job import Job

R = TypeVar("R")


class Stage(ABC, Generic[R]):
    """One stage of one network. `result` is a frozen dataclass that msgspec reads back from the manifest."""

    number: ClassVar[int]
    name: ClassVar[str]  # in the manifest
    result: type[R]

    def __init__(self, job: Job, after: Stage[Any] | None = None) -> None:
        self.job, self.after = job, after

    @property
    @abstractmethod
    def title(self) -> str:
        """For the screen."""

    @abstractmethod
    def depends_on(self) -> dict[str, Any]:
        """What decides the result beside the stage's sources and the stages before it; JSON-able."""

    @abstractmethod
    def work(self) -> tuple[R, list[Path]]:
        """The result and the files, inside the run, that hold the rest of it."""

    @cached_property
    def key(self) -> Key:
        """Everything that decides the result."""
        after = {self.after.name: self.after.key.hash} if self.after else {}
        return Key(self.depends_on() | {"sources": sources_of(type(self).__module__), "after": after})

    def tidy(self, *, resumed: bool) -> None:
        """Removes what `work` left to go on from; the manifest has the result, `resumed` for longer than this run."""

    def run(self) -> R:
        """The result: from the manifest when the stage ran with this very key, else by working now."""
        run, ui = self.job.run, self.job.ui
        before = run.done(self.name, self.key, self.result)
        ui.stage(self.number, self.job.last, self.title, resumed=before is not None)
        if before is not None:
            self.tidy(resumed=True)
            return before
        if why := run.why_again(self.name, self.key):
            ui.note(f"{self.name} again: {why}")
            run.forget_report()
        started = time.monotonic()
        result, files = self.work()
        run.finish(self.name, self.key, result, files, time.monotonic() - started)
        self.tidy(resumed=False)
        return result
