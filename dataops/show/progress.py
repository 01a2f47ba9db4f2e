"""What a person sees while a run works: a line for each event, or, on a terminal, bars under the lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dataops import events
from dataops.text import on_one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

Line = tuple[str, str]
"""A line of text and the style of the whole line, "" for none."""

Say = Callable[[Sequence[Line]], None]

_SILENT = (events.LockTaken, events.StepProgressed, events.RunFinished)
_STYLES: dict[type[events.Event], str] = {
    events.RunStarted: "dim",
    events.ServerAwaited: "yellow",
    events.LockAwaited: "yellow",
    events.NothingLeft: "dim",
    events.StepRetried: "yellow",
    events.StepFinished: "green",
    events.StepFailed: "red",
    events.Warned: "yellow",
    events.StopRequested: "yellow",
}


def event_line(event: events.Event) -> Line | None:
    """An event as a line; None for those that are only for machines or bars."""
    return None if isinstance(event, _SILENT) else (events.sentence(event), _STYLES.get(type(event), ""))


class PlainProgress:
    """A sink for events that says one line for each, for a pipe or a log collector."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def __call__(self, event: events.Event) -> None:
        line = event_line(event)
        if line is not None:
            self._say([line])


class LiveProgress:
    """A sink for events that draws a bar for each running step under the lines, for a terminal."""

    def __init__(self, say: Say, console: Console) -> None:
        """`say` writes lines to the same terminal as `console`, which draws the bars."""
        self._plain = PlainProgress(say)
        self._console = console
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._mutex = threading.RLock()

    def __call__(self, event: events.Event) -> None:
        with self._mutex:
            self._draw(event)
            if not self._is_in_bar(event):
                self._plain(event)

    def _is_in_bar(self, event: events.Event) -> bool:
        started = isinstance(event, events.StepStarted) and event.service in self._tasks
        return started or isinstance(event, events.StillRunning)

    def _draw(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            self._progress = self._started()
        elif self._progress is None:
            return
        elif isinstance(event, events.StepStarted) and event.step:
            text = f"{event.service} {event.step.migration.id}"
            self._tasks[event.service] = self._progress.add_task(on_one_line(text), total=None, amount="")
        elif isinstance(event, events.StepProgressed) and event.service in self._tasks:
            amount = on_one_line(events.amount(event.done, event.total, event.unit))
            self._progress.update(self._tasks[event.service], completed=event.done, total=event.total, amount=amount)
        elif isinstance(event, events.StepFinished | events.StepFailed) and event.service in self._tasks:
            self._progress.remove_task(self._tasks.pop(event.service))
        elif isinstance(event, events.RunFinished):
            self._progress.stop()
            self._progress = None

    def _started(self) -> Progress:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,  # what a migration prints is caught by terminal.Printed
            redirect_stderr=False,
        )
        progress.start()
        return progress


__all__ = ["Line", "LiveProgress", "PlainProgress", "Say", "event_line"]
