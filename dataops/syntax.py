"""Python's syntax trees, made in many threads at once.

All threads of CPython up to 3.11 count the depth of the trees that they make in one variable. When another thread makes
one meanwhile, as a collection of garbage lets it, the sum is wrong and a SystemError says so (python/cpython#106905).
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from traceback import TracebackException

_Made = TypeVar("_Made")

_TRIES = 100
_one_at_a_time = threading.RLock()  # the collection of garbage may come back to us in the same thread


def tree_of(source: bytes | str) -> ast.Module:
    """The syntax tree of a module, as `ast.parse` makes it and with the errors that it raises."""
    return _made(lambda: ast.parse(source))


def value_of(literal: str) -> object:
    """The value of a literal, as `ast.literal_eval` reads it and with the errors that it raises."""
    return _made(lambda: ast.literal_eval(literal))


def text_of(error: TracebackException) -> str:
    """An error as Python prints it. It reads the lines again, to mark the part of each that failed."""
    return _made(lambda: "".join(error.format()))


def _made(make: Callable[[], _Made]) -> _Made:
    """What is made, while ours wait for each other. Other libraries do not wait: then it is tried again."""
    with _one_at_a_time:
        for _ in range(_TRIES - 1):
            with suppress(SystemError):
                return make()
        return make()
