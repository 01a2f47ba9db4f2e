"""What can go wrong, as a tree, and the exit code of each branch.

DataopsError
├── UsageError            64  the command line asks for something that does not exist
├── ConfigError            4  dataops.toml or the environment is wrong
├── HistoryError           4  the files, or the files against the database, do not make one history
│   ├── BrokenFile            a file that cannot be read as a migration
│   ├── EditedAfterApply      a file whose code is not the code that was applied
│   ├── ChangedMeanwhile      a backfill whose file was changed after a part of it was done
│   ├── OutOfOrder            a gap: something older is pending, or a file is missing
│   ├── RecordMoved           the native record says something else than the journal
│   └── NotEmpty              nothing says what was applied to a database that is not empty
├── LockNotObtained        3  somebody else is migrating, for longer than we may wait
├── WaitTimedOut           3  `dataops wait` waited for too long
├── LockLost               3  somebody else has our lock, or may have it
├── StalePlan              5  a plan no longer fits the database
├── InterruptedStep        6  a step died half-way and a person has to decide
├── DifferencesFound       8  the database is not as its record says
├── NotUpToDate            2  something is pending that has to be applied first
├── Blocked                7  a hazard or a policy forbids it (an irreversible step, for example)
├── DatabaseAhead          9  the database knows migrations that this code does not
├── Unreachable           10  no connection
│   ├── PermissionDenied      a connection, but not the rights
│   ├── Refused               a connection, but the server does not do what we ask, or answers what we cannot read
│   └── ServerUnavailable     the programs of an embedded server are not installed here
├── NoSandbox             10  no process for looking at migration files can be started
├── CannotWrite           10  a local file or stream that cannot be written
├── MigrationFailed        1  the migration itself raised
│   ├── NotBuilt              a history cannot be run in a scratch database
│   └── BackfillRefused       a backfill that cannot be run as it is written
├── Bug                    1  dataops has a bug
└── Stopped               75  a signal stopped it at a safe point

A class's docstring is its default message, and `hint` is the remedy. Data is in attributes, so that callers and tests
need not search the text. The idea comes from pip's `exceptions` and `status_codes`.
"""

from __future__ import annotations

import enum
import inspect


class ExitCode(enum.IntEnum):
    """The exit code of the process, also in `--json`. It never changes its meaning. See docs/commands.md."""

    OK = 0
    FAILED = 1
    PENDING = 2
    LOCKED = 3
    INVALID = 4
    STALE = 5
    INTERRUPTED = 6
    BLOCKED = 7
    DRIFT = 8
    AHEAD = 9
    UNREACHABLE = 10
    USAGE = 64
    STOPPED = 75

    @property
    def meaning(self) -> str:
        """What the code means, in a few words, for somebody who sees only the number."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done, or nothing to do",
    ExitCode.FAILED: "a migration failed; what was done before it stands and is recorded",
    ExitCode.PENDING: "something is pending",
    ExitCode.LOCKED: "the lock was not obtained in time, or was lost; or the wait was too long",
    ExitCode.INVALID: "the history or the configuration is not valid",
    ExitCode.STALE: "the saved plan is stale",
    ExitCode.INTERRUPTED: "a step is half done, and has to be brought to an end first",
    ExitCode.BLOCKED: "blocked by a policy",
    ExitCode.DRIFT: "the database is not what it should be",
    ExitCode.AHEAD: "the database is ahead of this code",
    ExitCode.UNREACHABLE: "no connection, no permission, or a file that cannot be written",
    ExitCode.USAGE: "the command line asks for something that does not exist",
    ExitCode.STOPPED: "stopped by a signal, or not confirmed; run again to go on",
}


class DataopsError(Exception):
    """Something is wrong."""

    exit_code: ExitCode = ExitCode.FAILED
    default_hint = ""

    def __init__(
        self,
        message: str | None = None,
        *,
        hint: str | None = None,
        service: str | None = None,
        migration: str | None = None,
        traceback: str = "",
    ) -> None:
        """`traceback` is that of a migration file, without secrets, for somebody who asks for everything."""
        self.message = message or inspect.cleandoc(type(self).__doc__ or "").split("\n\n")[0]
        self.hint = self.default_hint if hint is None else hint
        self.service = service
        self.migration = migration
        self.traceback = traceback
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.service}: {self.message}" if self.service else self.message


class UsageError(DataopsError):
    """The command line asks for something that does not exist."""

    exit_code = ExitCode.USAGE


class ConfigError(DataopsError):
    """The configuration is not usable."""

    exit_code = ExitCode.INVALID


class HistoryError(DataopsError):
    """The migration files do not make one history."""

    exit_code = ExitCode.INVALID


class BrokenFile(HistoryError):
    """A migration file cannot be read."""


class EditedAfterApply(HistoryError):
    """A migration was edited after it had been applied."""

    default_hint = (
        "put the applied text back and write a new migration for the change; "
        "comments, docstrings and formatting may change freely"
    )


class ChangedMeanwhile(HistoryError):
    """The file of a backfill was changed after a part of it was done."""

    default_hint = (
        "put the text back with which it began, and let it end, or take it back with that text: dataops rollback; "
        "comments, docstrings and formatting may change"
    )


class OutOfOrder(HistoryError):
    """The applied migrations are not the first ones of the history."""


class RecordMoved(HistoryError):
    """The native record says something else than the journal."""


class NotEmpty(HistoryError):
    """The database is not empty, and nothing says what was applied to it."""


class LockNotObtained(DataopsError):
    """Another run holds the migration lock."""

    held_by = ""
    """The id of the run that holds it, as far as it is known."""
    exit_code = ExitCode.LOCKED
    default_hint = "run again, or wait longer with --lock-timeout; more: dataops docs operations a-held-lock"


class WaitTimedOut(DataopsError):
    """The migrations waited for did not come in time."""

    exit_code = ExitCode.LOCKED
    default_hint = "see `dataops status`; wait longer with --timeout"


class LockLost(DataopsError):
    """The migration lock is no longer ours."""

    exit_code = ExitCode.LOCKED
    default_hint = "run again: recorded steps stay done, and the recovery table decides about the others"


class StalePlan(DataopsError):
    """The plan no longer fits."""

    exit_code = ExitCode.STALE
    default_hint = "make a new plan: dataops plan --out FILE"


class InterruptedStep(DataopsError):
    """A step was interrupted and nobody knows how far it came."""

    exit_code = ExitCode.INTERRUPTED


class NotUpToDate(DataopsError):
    """Something is pending that has to be applied first."""

    exit_code = ExitCode.PENDING


class Blocked(DataopsError):
    """A policy forbids this."""

    exit_code = ExitCode.BLOCKED


class DifferencesFound(DataopsError):
    """The database is not what the record says."""

    exit_code = ExitCode.DRIFT


class DatabaseAhead(DataopsError):
    """The database knows migrations that this code does not."""

    exit_code = ExitCode.AHEAD
    default_hint = (
        "this is an older image than the one that migrated the database: deploy the newer one, or, if the older "
        'code can live with the newer schema, set ahead = "allow" for the service'
    )


class Unreachable(DataopsError):
    """The database cannot be reached."""

    exit_code = ExitCode.UNREACHABLE


class PermissionDenied(Unreachable):
    """The database refuses this user."""


class Refused(Unreachable):
    """The database refuses what we ask of it."""

    default_hint = (
        "a trigger, a policy, a limit or the version of this server forbids it; "
        "more: dataops docs operations a-server-that-refuses"
    )


class ServerUnavailable(Unreachable):
    """A server program is not installed here."""


class NoSandbox(DataopsError):
    """The process in which migration files are looked at cannot be started."""

    exit_code = ExitCode.UNREACHABLE
    default_hint = (
        "may this user start processes, and is there memory for one? dataops docs operations looking-at-files"
    )


class CannotWrite(DataopsError):
    """A file or stream cannot be written."""

    exit_code = ExitCode.UNREACHABLE


class MigrationFailed(DataopsError):
    """A migration failed."""

    exit_code = ExitCode.FAILED


class NotBuilt(MigrationFailed):
    """A history cannot be run in a scratch database. `place` is what the last statement was about that failed."""

    place: str = ""


class BackfillRefused(MigrationFailed):
    """A backfill cannot be run as it is written."""

    default_hint = "how to write it: dataops docs backfills"


class Bug(DataopsError):
    """This is a bug in dataops."""

    default_hint = "please report it with the text above"


class Stopped(DataopsError):
    """Stopped by a signal at a safe point."""

    exit_code = ExitCode.STOPPED
    default_hint = "run again to go on from here"
