"""What migration files print, line by line."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer


class Printed(io.TextIOBase):
    """Stands in for stdout and stderr while migration files run, and calls `tell` with each whole line they print.

    A carriage return ends a line too: bars of progress write nothing else. With `has_descriptor`, what is written to
    descriptor 1 comes here too, so that a file may pass its sys.stdout on to a child process.
    """

    encoding = "utf-8"
    errors = "backslashreplace"
    has_descriptor = False

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._begun: dict[int, str] = {}
        self.buffer = _Bytes(self)

    def fileno(self) -> int:
        return 1 if self.has_descriptor else super().fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        thread = threading.get_ident()  # services run side by side; each line is one service's
        whole = self._begun.get(thread, "") + text
        *lines, self._begun[thread] = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            self._tell(line)
        return len(text)

    def finish(self) -> None:
        """Pass on the lines that were begun and never ended."""
        for thread in list(self._begun):
            if line := self._begun.pop(thread):
                self._tell(line)


class _Bytes(io.RawIOBase):
    """What `sys.stdout.buffer` is in a migration file."""

    def __init__(self, printed: Printed) -> None:
        self._printed = printed

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        self._printed.write(bytes(data).decode(errors="backslashreplace"))
        return len(bytes(data))


__all__ = ["Printed"]
