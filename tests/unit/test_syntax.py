"""Syntax trees that many threads make at once, while garbage is collected in the middle of them."""

from __future__ import annotations

import ast
import gc
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dataops import syntax

THREADS, ROUNDS = 4, 60
MODULE = b"def f(a):\n    if a:\n        return [x for x in (1, 2, 3)]\n" * 40
LITERAL = "[" + "{'a': (1, 2, [3])}," * 100 + "]"


class Garbage:
    """It is in a circle, and takes a while to be collected, so that another thread comes to its turn."""

    def __init__(self) -> None:
        self.circle = self

    def __del__(self) -> None:
        for _ in range(200):
            pass


@pytest.fixture(autouse=True)
def hurried() -> Iterator[None]:
    """Threads take turns, and garbage is collected, as often as Python can."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


def failures(work: Callable[[], Any]) -> list[SystemError]:
    """What goes wrong when a few threads do the work many times, each for itself."""
    found = []

    def repeat() -> None:
        for _ in range(ROUNDS):
            for _ in range(10):
                Garbage()
            try:
                work()
            except SystemError as error:
                found.append(error)

    threads = [threading.Thread(target=repeat) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def an_error() -> traceback.TracebackException:
    try:
        raise ValueError(1 + int("1"))
    except ValueError as error:
        return traceback.TracebackException.from_exception(error)


@pytest.mark.parametrize(
    "work",
    [lambda: syntax.tree_of(MODULE), lambda: syntax.value_of(LITERAL), lambda: syntax.text_of(an_error())],
    ids=["tree", "value", "traceback"],
)
def test_ours_never_fails(work: Callable[[], Any]) -> None:
    assert failures(work) == []


def test_ours_are_tried_again_while_another_library_makes_trees_too() -> None:
    busy = threading.Event()

    def other() -> None:
        while not busy.is_set():
            Garbage()
            try:
                ast.parse(MODULE)
            except SystemError:  # its own affair
                continue

    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert failures(lambda: syntax.tree_of(MODULE)) == []
    finally:
        busy.set()
        thread.join()


def test_errors_of_the_text_are_those_of_python() -> None:
    with pytest.raises(SyntaxError):
        syntax.tree_of("def")
    with pytest.raises(ValueError, match="malformed"):
        syntax.value_of("a + 1")
