"""A signal ends a command as a signal, wherever in Python it comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dataops.cli.errors import AtOnce, guarded
from dataops.cli.session import Invocation
from dataops.errors import ExitCode


class _Late:
    """As a descriptor of a class that is being made when the signal comes: Python wraps what it raises."""

    def __set_name__(self, owner: type, name: str) -> None:
        raise AtOnce


def in_a_class() -> int:
    type("Made", (), {"late": _Late()})
    return 0


def while_it_cleans_up() -> int:
    try:
        raise AtOnce
    finally:
        raise ValueError("the connection is closed")


@pytest.mark.parametrize("command", [in_a_class, while_it_cleans_up])
def test_a_signal_is_no_bug_where_python_wraps_it(
    command: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(command, Invocation()) is ExitCode.STOPPED
    assert capsys.readouterr().err == "error: interrupted; nothing was done\n"


def test_other_errors_are_bugs(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> int:
        raise RuntimeError("no")

    assert guarded(command, Invocation()) is ExitCode.FAILED
    assert "this is a bug in dataops" in capsys.readouterr().err
