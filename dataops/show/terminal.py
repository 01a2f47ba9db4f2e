"""The two streams that a person reads.

A terminal gets colours and tables by Rich, everything else gets the same text, plain. Rich is imported only for a
terminal, because the commands that pods and pipelines run all day have none. What is written is made elsewhere: plans
and results in `paragraphs`, rows of tables in `tables`, what changes while a run works in `progress`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from dataops import events
from dataops.errors import DataopsError
from dataops.show import grid
from dataops.show.grid import Table
from dataops.show.paragraphs import paragraph, traceback_lines
from dataops.show.progress import Line, LiveProgress, PlainProgress
from dataops.text import listed, on_one_line

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


class Console:
    """Two streams: data goes to stdout, messages go to stderr. `quiet` drops the messages: JSON logs take their place.

    A stream that cannot be written never stops what the command does. For stdout, `lost` says why. If stderr is closed,
    there is nowhere to report that.

    Each line is written as one line, with escapes for what a terminal would obey or hide. Secrets were taken out of the
    text where it entered. An answer is a whole document, in which its format has escaped whatever has to be.
    """

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None, *, quiet: bool = False) -> None:
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self.lost: OSError | None = None
        self._quiet = quiet
        self._rich: dict[int, RichConsole] = {}

    def data(self, lines: Iterable[Line]) -> None:
        """Write to stdout."""
        self._put(lambda: self._write(self.out, lines))

    def answer(self, text: str) -> None:
        """Write to stdout a text that is a whole document."""
        self._put(lambda: self.out.write(text))

    def messages(self, lines: Iterable[Line]) -> None:
        """Write to stderr."""
        if not self._quiet:
            with suppress(OSError):
                self._write(self.err, lines)

    def say(self, text: str, style: str = "") -> None:
        """Write one message to stderr."""
        self.messages([(text, style)])

    def table(self, table: Table, form: str = "table") -> None:
        """Write a table to stdout: on a terminal fitted to its width, elsewhere, and as `wide`, in full.

        `csv` and `name` are for programs: everything with commas between, and only the names of the rows.
        """
        if form in ("csv", "name"):
            self.answer(grid.comma_separated(table) if form == "csv" else grid.names(table))
        elif form == "wide" or not self._terminal(self.out):
            self.data(grid.whole(table))
        else:
            self.data(grid.fitted(table, self._console(self.out).width))

    @property
    def width(self) -> int | None:
        """How many columns stdout has, None if it is no terminal."""
        return self._console(self.out).width if self._terminal(self.out) else None

    @property
    def width_of_messages(self) -> int | None:
        """How many columns stderr has, None if it is no terminal."""
        return self._console(self.err).width if self._terminal(self.err) else None

    @property
    def draws(self) -> bool:
        """Whether stdout is a terminal that can draw something again."""
        return self._terminal(self.out)

    @contextmanager
    def redrawing(self) -> Iterator[Callable[[Table, str], None]]:
        """While this scope lasts, draw a table and a line below it in the place of the last ones, on the terminal."""
        from rich.live import Live
        from rich.text import Text

        console = self._console(self.out)

        def draw(table: Table, below: str) -> None:
            drawn = Text()
            for text, style in [*grid.fitted(table, console.width), ("", ""), (below, "dim")]:
                drawn.append(f"{on_one_line(text)}\n", style=style or None)
            drawn.rstrip()
            live.update(drawn, refresh=True)

        with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
            yield draw

    def page(self, markdown: str, plain: str) -> None:
        """Write a page of the documentation to stdout: drawn on a terminal, elsewhere its plain text."""
        if self._terminal(self.out):
            self._put(lambda: self._draw_page(markdown))
        else:
            self.answer(f"{plain}\n")

    def error(self, error: DataopsError, *, verbose: bool = False) -> None:
        """Write an error and its hint to stderr; `verbose` adds the traceback of a migration file."""
        lines = paragraph(f"error: {error}", "bold red")
        if verbose:
            lines += traceback_lines(error.traceback)
        if error.hint:
            lines += paragraph(f"hint: {error.hint}", "yellow")
        self.messages(lines)

    def errors(self, errors: Iterable[DataopsError]) -> None:
        """Write what is wrong with many services to stderr. What is the same for several of them is written once."""
        by_hint: dict[str, dict[str, list[str]]] = {}
        for error in errors:
            by_hint.setdefault(error.hint, {}).setdefault(error.message, []).append(error.service or "")
        for hint, messages in by_hint.items():
            for message, services in messages.items():
                names = listed([name for name in services if name])
                self.messages(paragraph(f"error: {names}: {message}" if names else f"error: {message}", "bold red"))
            self.messages(paragraph(f"hint: {hint}", "yellow") if hint else [])

    def progress(self) -> events.Emit:
        """A sink for the events of a run, which shows them on stderr."""
        if self._quiet:
            return lambda event: None
        if self._terminal(self.err):
            return LiveProgress(self.messages, self._console(self.err))
        return PlainProgress(self.messages)

    def _put(self, write: Callable[[], object]) -> None:
        if self.lost is None:
            try:
                write()
                self.out.flush()
            except OSError as error:
                self.lost = error

    def _write(self, stream: IO[str], lines: Iterable[Line]) -> None:
        lines = [(on_one_line(text), style) for text, style in lines]
        if self._terminal(stream) or _colour_is_forced():
            console = self._console(stream)
            for text, style in lines:
                console.print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)
        else:
            stream.write("".join(f"{text}\n" for text, _ in lines))
            stream.flush()

    def _terminal(self, stream: IO[str]) -> bool:
        try:
            return stream.isatty() and os.environ.get("TERM") != "dumb"
        except ValueError:  # closed
            return False

    def _console(self, stream: IO[str]) -> RichConsole:
        from rich.console import Console as RichConsole

        if id(stream) not in self._rich:
            # Rich honours NO_COLOR, also before FORCE_COLOR; it finds no colours where TERM is not set
            colours: Any = "standard" if _colour_is_forced() and not self._terminal(stream) else "auto"
            self._rich[id(stream)] = RichConsole(file=stream, emoji=False, color_system=colours)
        return self._rich[id(stream)]

    def _draw_page(self, markdown: str) -> None:
        from rich.markdown import Markdown

        self._console(self.out).print(Markdown(markdown, hyperlinks=False, code_theme="ansi_dark"))


def _colour_is_forced() -> bool:
    """Whether colours are wanted also where no terminal is: FORCE_COLOR with any value, unless NO_COLOR has one."""
    return bool(os.environ.get("FORCE_COLOR")) and not os.environ.get("NO_COLOR")
