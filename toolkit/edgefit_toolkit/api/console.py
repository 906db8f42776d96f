"""What people read while edgefit works: its events on stderr (bars only on a terminal, a line every half minute anyway,
colours not under NO_COLOR), and the console that every table is printed on."""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.text import Text

from edgefit_toolkit.progress import Progress, Silent, Ui, duration, plain_lines, speed

EVERY_S = 30.0  # long work says something at least this often, with or without a terminal


class PlainConsole(Console):
    """Prints what it is given and no more: no markup (a path may hold `[x]`), no escapes from other people's names."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False, force_jupyter=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Every piece of text on its way out; the console's own colours and cursor moves are no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_lines(segment.text), segment.style)


@dataclass
class _Work:
    """A piece of work under way, and since when."""

    label: str
    started_s: float
    first: int  # done when it was first heard of
    done: int = 0
    total: int = 0
    detail: str = ""

    def line(self, now_s: float) -> str:
        """How far, how quick and how long still, as far as is known."""
        seconds, moved = now_s - self.started_s, self.done - self.first
        said = (
            f"{self.label}: {self.done} of {self.total}" if self.total else f"{self.label}: {duration(seconds)} so far"
        )
        if self.detail:
            return f"{said}, {self.detail}"
        if self.total and moved > 0 and seconds > 0:
            rate = moved / seconds
            said += f", {speed(rate)}, {duration((self.total - self.done) / rate)} left"
        return said


class Terminal:
    """A Ui for people. `verbosity`: 0 says errors and warnings only, 1 stages and notes, 2 the details too.

    It is open for a `with`: a thread of its own speaks where the work is silent for long.
    """

    def __init__(self, verbosity: int = 1, every_s: float = EVERY_S) -> None:
        self.console = PlainConsole(stderr=True)
        self.verbosity = verbosity
        self._every_s = every_s
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._stage: _Work | None = None
        self._work: _Work | None = None  # what is under way: a part of the stage that has a count, else the stage
        self._started = self._said_s = time.monotonic()
        self._ended = threading.Event()
        self._speaker: threading.Thread | None = None

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """One line per stage, with the time since the start."""
        self._take_bar_away()
        self._stage = self._work = _Work(title, time.monotonic(), 0)
        if self.verbosity < 1:
            return
        if self._speaker is None:
            self._speaker = threading.Thread(target=self._speak, daemon=True)
            self._speaker.start()
        line = Text.assemble((f"[{number}/{total}]", "bold"), f" {title}")
        if resumed:
            line.append("  (done before)", "dim")
        elif number > 1:
            line.append(f"  at {duration(time.monotonic() - self._started)}", "dim")
        self._say(line)

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """A bar that goes away when it is full; without a terminal, a line now and then."""
        if self.verbosity < 1:
            return
        if self._work is None or self._work.label != label:
            self._take_bar_away()
            self._work = _Work(label, time.monotonic(), done)
        self._work.done, self._work.total, self._work.detail = done, total, detail
        if self.console.is_terminal:
            self._move_bar(label, done, total, detail)
        if done >= total:
            self._take_bar_away()
            self._work = self._stage

    def note(self, text: str) -> None:
        """An indented line under the stage."""
        if self.verbosity >= 1:
            self._say(Text("      " + text))

    def warn(self, text: str) -> None:
        """Always shown."""
        self._say(Text.assemble(("warning: ", "yellow bold"), text))

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_raised: object) -> None:
        """Take the bar away and fall silent."""
        self._ended.set()
        self._take_bar_away()

    def _say(self, line: Text) -> None:
        self._said_s = time.monotonic()
        self.console.print(line, soft_wrap=True)

    def _speak(self) -> None:
        """Until closed: a line about the work under way when nothing was shown for long."""
        while not self._ended.wait(min(1.0, self._every_s / 2)):
            now_s, work = time.monotonic(), self._work
            if work is not None and self._bar is None and now_s - self._said_s >= self._every_s:
                self._say(Text("      ... " + work.line(now_s), "dim"))

    def _move_bar(self, label: str, done: int, total: int, detail: str) -> None:
        if self._bar is None:
            self._bar = Bar(
                TextColumn("      {task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[detail]}", markup=False),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(label, total=total, detail=detail)
        assert self._task is not None
        self._bar.update(self._task, completed=done, total=total, detail=detail)

    def _take_bar_away(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar, self._task = None, None


class _Hears(Silent):
    """A Ui of one callback: stages and steps are progress, notes are not told, warnings are Python's."""

    def __init__(self, on_progress: Progress) -> None:
        self._on_progress = on_progress

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """A stage is a step of the whole job."""
        self._on_progress(title, number, total, "done before" if resumed else "")

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """Passed on."""
        self._on_progress(label, done, total, detail)

    def warn(self, text: str) -> None:
        """A Python warning."""
        warnings.warn(text, stacklevel=2)


@contextlib.contextmanager
def listener(told: Progress | Ui | None) -> Iterator[Ui]:
    """The Ui that stands for what a caller gave: a Ui, one callback, or nothing (lines on stderr)."""
    if told is None:
        with Terminal() as terminal:
            yield terminal
    elif isinstance(told, Ui):
        yield told
    else:
        yield _Hears(told)
