"""Every error is a class, a sentence and an exit code that docs/commands.md knows."""

from __future__ import annotations

import inspect
import re

import pytest

from dataops import errors
from dataops.errors import DataopsError, ExitCode
from dataops.stash.mongo import StashPruned, StashRefused


def family(of: type[DataopsError] = DataopsError) -> list[type[DataopsError]]:
    return [of, *(one for child in of.__subclasses__() for one in family(child))]


EVERY = family()
assert {StashPruned, StashRefused} <= set(EVERY)  # lives where it is raised


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_its_docstring_is_a_sentence_and_its_message_where_none_is_given(error: type[DataopsError]) -> None:
    said = error()
    assert error.__doc__
    assert said.message == inspect.cleandoc(error.__doc__).split("\n\n")[0]
    assert re.fullmatch(r"[A-Z].*\.", said.message, re.DOTALL), said.message
    assert isinstance(error.exit_code, ExitCode)
    assert error.exit_code is not ExitCode.OK


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    """Name and, where it is not its parent's, exit code; in the drawing's order of depth."""
    assert errors.__doc__
    drawn = re.findall(r"^[│ ]*(?:[├└]── )?(\w+?)(?: +(\d+))?(?:  .*)?$", errors.__doc__, re.MULTILINE)
    names = {name: int(code) for name, code in drawn if code}
    mine = [error for error in EVERY if error.__module__ == errors.__name__]
    missing = [error.__name__ for error in mine if not re.search(rf"\b{error.__name__}\b", errors.__doc__)]
    assert missing == []
    for error in mine:
        if error.__name__ in names:
            assert names[error.__name__] == error.exit_code, error


def test_what_is_on_an_error_is_what_was_given() -> None:
    error = errors.OutOfOrder("b is missing", hint="write it", service="api", migration="b")
    assert (error.message, error.hint, error.service, error.migration) == ("b is missing", "write it", "api", "b")
    assert str(error) == "api: b is missing"
    assert str(errors.OutOfOrder("b is missing")) == "b is missing"


def test_the_default_hint_goes_only_when_another_is_given() -> None:
    assert errors.StalePlan().hint == errors.StalePlan.default_hint
    assert errors.StalePlan(hint="").hint == ""


def test_the_exit_codes_are_stable() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILED": 1,
        "PENDING": 2,
        "LOCKED": 3,
        "INVALID": 4,
        "STALE": 5,
        "INTERRUPTED": 6,
        "BLOCKED": 7,
        "DRIFT": 8,
        "AHEAD": 9,
        "UNREACHABLE": 10,
        "USAGE": 64,
        "STOPPED": 75,
    }


def test_every_error_has_its_exit_code() -> None:
    assert {error.__name__: error.exit_code.name for error in EVERY} == {
        "DataopsError": "FAILED",
        "UsageError": "USAGE",
        "ConfigError": "INVALID",
        "HistoryError": "INVALID",
        "BrokenFile": "INVALID",
        "EditedAfterApply": "INVALID",
        "OutOfOrder": "INVALID",
        "NotEmpty": "INVALID",
        "LockNotObtained": "LOCKED",
        "WaitTimedOut": "LOCKED",
        "LockLost": "LOCKED",
        "StalePlan": "STALE",
        "InterruptedStep": "INTERRUPTED",
        "Blocked": "BLOCKED",
        "DatabaseAhead": "AHEAD",
        "DifferencesFound": "DRIFT",
        "Unreachable": "UNREACHABLE",
        "PermissionDenied": "UNREACHABLE",
        "Refused": "UNREACHABLE",
        "ServerUnavailable": "UNREACHABLE",
        "NoSandbox": "UNREACHABLE",
        "NotUpToDate": "PENDING",
        "RecordMoved": "INVALID",
        "CannotWrite": "UNREACHABLE",
        "MigrationFailed": "FAILED",
        "NotBuilt": "FAILED",
        "Bug": "FAILED",
        "Stopped": "STOPPED",
        "StashPruned": "BLOCKED",
        "StashRefused": "BLOCKED",
    }
