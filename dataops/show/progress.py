"""What a person sees while a run works: a line for each event, or, on a terminal, what runs now under the lines."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataops import events
from dataops.durations import Stopwatch, clock
from dataops.model import Doing, fleet
from dataops.text import on_one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

Line = tuple[str, str]
"""A line of text and the style of the whole line, "" for none."""

Say = Callable[[Sequence[Line]], None]

_SILENT = (events.LockTaken, events.StepProgressed, events.ServerBusy, events.RunFinished)
_OF_EACH = (events.StepStarted, events.StepFinished, events.NothingLeft)
"""What is not told of each database of a fleet."""
_EVERY_SECONDS = 10.0
_WORTH_SECONDS = 2.0
_BAR_WIDTH = 16
_STYLES: dict[type[events.Event], str] = {
    events.RunStarted: "dim",
    events.ServerAwaited: "yellow",
    events.LockAwaited: "yellow",
    events.NothingLeft: "dim",
    events.BackfillPaused: "yellow",
    events.StepRetried: "yellow",
    events.WaveAwaited: "yellow",
    events.WaveStarted: "bold",
    events.WaveFinished: "bold",
    events.StepFinished: "green",
    events.StepFailed: "red",
    events.Warned: "yellow",
    events.StopRequested: "yellow",
}


def event_line(event: events.Event) -> Line | None:
    """An event as a line; None for those that are only for machines or are drawn."""
    return None if isinstance(event, _SILENT) else (events.sentence(event), _STYLES.get(type(event), ""))


class PlainProgress:
    """A sink for events that says one line for each, for a pipe or a log collector.

    Of the databases of a fleet it says what went wrong, and now and then how many steps are done.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps = self._ended = 0
        self._said = Stopwatch()

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.RunStarted):
            self._steps, self._ended = event.steps, 0
        self._ended += isinstance(event, events.StepFinished)
        if isinstance(event, _OF_EACH) and fleet.is_member(event.service):
            if self._said.seconds >= _EVERY_SECONDS:
                self._said = Stopwatch()
                self._say([(f"{self._ended} of {self._steps} steps done", "dim")])
            return
        line = event_line(event)
        if line is not None:
            self._say([line])


@dataclass(frozen=True)
class _Row:
    """A running step on a terminal. `since` is when it began."""

    text: str
    since: Stopwatch = field(default_factory=Stopwatch)
    pace: events.Pace = field(default_factory=events.Pace)


class LiveProgress:
    """A sink for events that draws under the lines, on a terminal: a line for the run, and one for each longer step."""

    def __init__(self, say: Say, console: Console) -> None:
        """`say` writes lines to the same terminal as `console`, which draws."""
        self._plain = PlainProgress(say)
        self._console = console
        self._live: Live | None = None
        self._rows: dict[str, _Row] = {}
        self._steps = self._ended = 0
        self._began = Stopwatch()
        self._mutex = threading.RLock()

    def __call__(self, event: events.Event) -> None:
        with self._mutex:
            self._draw(event)
            if not self._is_drawn(event):
                self._plain(event)

    def _is_drawn(self, event: events.Event) -> bool:
        started = isinstance(event, events.StepStarted) and event.service in self._rows
        return started or isinstance(event, events.StillRunning)

    def _draw(self, event: events.Event) -> None:
        row = self._rows.get(event.service)
        if isinstance(event, events.RunStarted):
            self._begin(event.steps)
        elif self._live is None:
            return
        elif isinstance(event, events.StepStarted) and event.step:
            self._rows[event.service] = _Row(on_one_line(f"{event.service} {event.step.migration.id}"))
        elif isinstance(event, events.StepProgressed) and row:
            row.pace.set(Doing("", event.done, event.total, event.unit))
        elif isinstance(event, events.ServerBusy) and row:
            row.pace.set(event.doing)
        elif isinstance(event, events.StepFinished | events.StepFailed):
            self._ended += isinstance(event, events.StepFinished)
            self._rows.pop(event.service, None)
        elif isinstance(event, events.RunFinished):
            self._live.stop()
            self._live = None

    def _begin(self, steps: int) -> None:
        from rich.live import Live

        self._steps, self._ended, self._began = steps, 0, Stopwatch()
        self._live = Live(
            console=self._console,
            get_renderable=self._view,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,  # what a migration prints is caught by Printed
            redirect_stderr=False,
        )
        self._live.start()

    def _view(self) -> Table:
        """What is drawn now. Rich calls it in a thread of its own, which must not wait for an event to be told."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        view = Table.grid(padding=(0, 1))
        rows = list(self._rows.values())
        for row in rows:
            seconds, doing, left = row.since.seconds, row.pace.doing, row.pace.left
            if seconds >= _WORTH_SECONDS or doing.done:
                line = Table.grid(padding=(0, 1))
                bar = (
                    [ProgressBar(total=doing.total, completed=min(doing.done, doing.total), width=_BAR_WIDTH)]
                    if doing.total
                    else []
                )
                words = [clock(seconds), "" if left is None else f"{clock(left)} left", on_one_line(str(doing))]
                told = ", ".join([row.text, *(word for word in words if word)])
                line.add_row(*bar, Text(told))
                view.add_row(line)
        running = f"{len(rows)} running, " if rows else ""
        view.add_row(Text(f"{self._ended} of {self._steps}, {running}{clock(self._began.seconds)}", style="bold"))
        return view


__all__ = ["Line", "LiveProgress", "PlainProgress", "Say", "event_line"]
