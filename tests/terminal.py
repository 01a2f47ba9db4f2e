"""The installed command on a terminal of its own."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.projects import Project


class Terminal:
    """`with Terminal(project, "apply") as terminal:` read, type, and see how it ends."""

    def __init__(
        self, project: Project, *args: str, env: Mapping[str, str] | None = None, columns: int | None = None
    ) -> None:
        """`columns` is the width of the terminal; without it, the width is what `project` says in COLUMNS."""
        self._mine, theirs = pty.openpty()
        if columns is not None:
            termios.tcsetwinsize(theirs, (24, columns))
            env = {"COLUMNS": "", **(env or {})}
        self.process = project.start(
            *args,
            env={"TERM": "xterm-256color", **(env or {})},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_control_terminal,
        )
        os.close(theirs)
        self.raw = ""

    @property
    def text(self) -> str:
        """What was written, without colours and movements."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.raw)

    @property
    def lines(self) -> list[str]:
        """The lines that stand there: of one that was written several times, the last one."""
        return [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in self.text.split("\n")]

    def read_until(self, words: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert self._read(deadline), f"it never said {words!r}: {self.text!r}"

    def press(self, keys: str) -> None:
        os.write(self._mine, keys.encode())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def hang_up(self) -> None:
        """The window is closed."""
        os.close(self._mine)
        self._mine = -1

    def ended(self, seconds: float = 60) -> int:
        """Its exit code; by then `text` is all that it said."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self._mine >= 0:
            os.close(self._mine)

    def _read(self, deadline: float) -> bool:
        """A little more of what it writes. False at its end, or at the deadline."""
        if not select.select([self._mine], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            piece = os.read(self._mine, 65536)
        except OSError:  # Linux says so when the other side has closed
            return False
        self.raw += piece.decode(errors="replace")
        return bool(piece)


def _control_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
