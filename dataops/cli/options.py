"""Options that several commands share, and what turns their text into values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dataops.cli.backup import MAX_AGE, Backup
from dataops.durations import parse_duration
from dataops.errors import ConfigError, UsageError
from dataops.hazards import HAZARDS
from dataops.redaction import redact
from dataops.show import writers


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A Click callback that turns `60s` or `2m` into seconds."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ConfigError as error:
        raise click.BadParameter(f"{value!r} is not a duration: write 500ms, 60s, 2m or 1h") from error


def labels(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """A Click callback that splits each `NAME=VALUE`."""
    for value in values:
        if "=" not in value or value.startswith("="):
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as region=eu")
    found: dict[str, str] = {}
    for name, _, value in (one.partition("=") for one in values):
        if found.setdefault(name, value) != value:
            raise click.BadParameter(f"{name} cannot be both {found[name]} and {value} in one database")
    return tuple(found.items())


def scratch_option(function: click.decorators.FC) -> click.decorators.FC:
    """The option for the servers on which scratch databases are built."""
    return click.option(
        "--scratch",
        "server",
        metavar="URL",
        envvar="DATAOPS_SCRATCH",
        multiple=True,
        help="A server for scratch databases; give one for each engine. By default dataops starts it.",
    )(function)


def jobs_option(function: click.decorators.FC) -> click.decorators.FC:
    """The option that limits how many databases are connected to at once."""
    return click.option("--jobs", type=click.IntRange(min=1), help="How many databases at once; by default 16.")(
        function
    )


TABLES = ("table", "wide", "csv", "name")
"""The formats of a table: for a terminal, in full, for a program, and only the names of its rows."""


def tabled(function: click.decorators.FC) -> click.decorators.FC:
    """Add --format to a command that answers with a table or JSON."""
    return click.option(
        "-o",
        "--format",
        "form",
        type=click.Choice([*TABLES, "json"]),
        default="table",
        help="The format of the answer: fitted to the terminal, in full, for programs, or only names.",
    )(function)


def reported(answer: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Add --format and --report to a command. `answer` is what it reports: status, plan or proof."""

    def decorate(function: click.decorators.FC) -> click.decorators.FC:
        tables = TABLES if answer in ("status", "drifted") else TABLES[:1]
        form = click.option(
            "-o",
            "--format",
            "form",
            type=click.Choice([*tables, *writers(answer)]),
            default="table",
            help="The format of the answer: for people, programs, GitHub, test reports or pull requests.",
        )
        return form(
            click.option(
                "--report",
                "report_path",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE",
                help="Write the output of --format to FILE instead of stdout, which then shows the table.",
            )(function)
        )

    return decorate


def onto_existing_option(function: click.decorators.FC) -> click.decorators.FC:
    """The option with which a first apply goes onto a database that is not empty."""
    return click.option(
        "--onto-existing",
        is_flag=True,
        help="The first apply is meant for a database that is not empty, although nothing says what was applied there.",
    )(function)


def background_option(function: click.decorators.FC) -> click.decorators.FC:
    """The option for what a deployment does not wait for."""
    return click.option(
        "--background",
        is_flag=True,
        help="Also what is for the background (background = True in its file), and what comes after it.",
    )(function)


def metrics_option(function: click.decorators.FC) -> click.decorators.FC:
    """The option that names the file for metrics."""
    return click.option(
        "--metrics-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write metrics to FILE, for Prometheus' node exporter (dataops docs monitoring).",
    )(function)


def policy_name_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """The option that names the policy. Its name goes into the session."""

    @functools.wraps(function)
    def run(session: Any, *, policy: str | None, **others: Any) -> Any:
        session.policy = policy
        return function(session, **others)

    return click.option(
        "--policy",
        envvar="DATAOPS_POLICY",
        metavar="NAME",
        help="Take the policy of [policy.environments.NAME]; by default that of --env.",
    )(run)


def policy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a plan may do. The command gets `allow`; the policy's name goes into the session."""
    return click.option(
        "--allow",
        multiple=True,
        type=click.Choice(list(HAZARDS)),
        metavar="HAZARD",
        help="Allow a hazard for which the policy asks; may be repeated (dataops docs hazards).",
    )(policy_name_option(function))


@dataclass(frozen=True)
class RunOptions:
    """How apply and rollback run their plan. None means that the configuration or the default decides."""

    yes: bool = False
    jobs: int | None = None
    lock_timeout: float | None = None  # seconds
    backup: Backup | None = None
    allowed: tuple[str, ...] = ()
    halt_after: int | None = None
    shard: str = ""
    wave_timeout: float = 3600.0  # seconds


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that runs steps. The command gets them as `options`, a RunOptions."""

    @functools.wraps(function)
    def run(
        session: Any,
        *,
        yes: bool,
        jobs: int | None,
        lock_timeout: float | None,
        backup_marker: Path | None,
        backup_max_age: float | None,
        allow: tuple[str, ...],
        halt_after: int | None,
        shard: str,
        wave_timeout: float,
        **others: Any,
    ) -> Any:
        backup = _backup_of(backup_marker, backup_max_age)
        options = RunOptions(yes, jobs, lock_timeout, backup, allow, halt_after, shard, wave_timeout)
        return function(session, options=options, **others)

    decorated: Callable[..., Any] = run
    for option in (
        policy_options,
        metrics_option,
        click.option(
            "--backup-max-age", callback=duration, metavar="1h", help="How old that file may be; by default 1h."
        ),
        click.option(
            "--require-backup-marker",
            "backup_marker",
            type=click.Path(path_type=Path),
            help="Refuse to change anything unless this file, which a backup writes, is new.",
        ),
        click.option(
            "--wave-timeout",
            callback=duration,
            default="1h",
            metavar="1h",
            help="With --shard, how long to wait for the others between two waves.",
        ),
        click.option(
            "--shard",
            metavar="I/N",
            default="",
            help="Share the run with others: this is process I of N, from 0/N on. By default JOB_COMPLETION_INDEX and "
            "DATAOPS_SHARDS say I and N, as in an indexed Job of Kubernetes.",
        ),
        click.option(
            "--halt-after",
            type=click.IntRange(min=1),
            metavar="N",
            help="Of a service with many databases, begin no more when N have failed; by default as configured, or 1.",
        ),
        jobs_option,
        click.option(
            "--lock-timeout", callback=duration, metavar="2m", help="How long to wait for another run's lock."
        ),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    ):
        decorated = option(decorated)
    return decorated


def _backup_of(marker: Path | None, max_age: float | None) -> Backup | None:
    if marker is None:
        only_with(max_age is not None, "--backup-max-age", "--require-backup-marker")
        return None
    return Backup(marker, MAX_AGE if max_age is None else max_age)


def only_with(given: object, option: str, other: str) -> None:
    if given:
        raise UsageError(f"{option} goes only with {other}", hint="see --help")


def adoption_options(function: click.decorators.FC) -> click.decorators.FC:
    """The options that adopt and baseline share."""
    for option in (
        scratch_option,
        click.option("--bodies", is_flag=True, help="Comments and the bodies of functions are compared, too."),
        click.option("--reason", default="", help="Why you accept the differences; it is recorded."),
        click.option("--accept-differences", "accept", is_flag=True, help="Record it although the database differs."),
        click.option("--write", is_flag=True, help="Record it. Without this option, only look."),
    ):
        function = option(function)
    return function


def accepted_because(*, accept: bool, reason: str) -> str:
    """The reason why differences are accepted, or "" if they are not. Raises UsageError if there is no reason."""
    if accept and not reason.strip():
        raise UsageError("--accept-differences wants to know why", hint='--reason "..."; it is recorded')
    return redact(reason) if accept else ""
