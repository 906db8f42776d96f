"""What people read on a terminal: the pipeline's events on stderr (bars only on a TTY, colours not under NO_COLOR), and
the console that every table is printed on."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

from edgefit_toolkit.progress import plain_lines


class PlainConsole(Console):
    """Prints what it is given and no more: no markup (a path may hold `[x]`), no escapes from other people's names."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Every piece of text on its way out; the console's own colours and cursor moves are no text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(plain_lines(segment.text), segment.style)


class Terminal:
    """A Ui for people. `verbosity`: 0 says errors and warnings only, 1 stages and notes, 2 the details too."""

    def __init__(self, verbosity: int = 1) -> None:
        self.console = PlainConsole(stderr=True)
        self.verbosity = verbosity
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""
        self._started = time.monotonic()

    def stage(self, number: int, total: int, title: str, *, resumed: bool = False) -> None:
        """One line per stage, with the time since the start."""
        self.close()
        if self.verbosity >= 1:
            elapsed_s = time.monotonic() - self._started
            line = Text.assemble((f"[{number}/{total}]", "bold"), f" {title}")
            if resumed:
                line.append("  (done before)", "dim")
            elif number > 1:
                line.append(f"  at {elapsed_s:.0f} s", "dim")
            self.console.print(line)

    def progress(self, label: str, done: int, total: int, detail: str = "") -> None:
        """A bar that goes away when it is full."""
        if self.verbosity < 1 or not self.console.is_terminal:
            return
        if self._bar is None or label != self._label:
            self.close()
            self._bar = Progress(
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
            self._label = label
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, detail=detail)
        if done >= total:
            self.close()

    def note(self, text: str) -> None:
        """An indented line under the stage."""
        if self.verbosity >= 1:
            self.console.print(Text("      " + text), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Always shown."""
        self.console.print(Text.assemble(("warning: ", "yellow bold"), text), soft_wrap=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar, self._task, self._label = None, None, ""
