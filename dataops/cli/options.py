"""Options that several commands share, and what turns their text into values."""

from __future__ import annotations

from pathlib import Path

import click

from dataops.durations import parse_duration
from dataops.errors import ConfigError, UsageError
from dataops.show import pipeline


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A Click callback: `60s`, `2m`."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except ConfigError as error:
        raise click.BadParameter(f"{value!r} is not a duration: write 500ms, 60s, 2m or 1h") from error


def scratch_option(function: click.decorators.FC) -> click.decorators.FC:
    """Where to build databases of our own (dataops.scratch)."""
    return click.option(
        "--scratch",
        "server",
        metavar="URL",
        envvar="DATAOPS_SCRATCH",
        multiple=True,
        help="A server for databases of our own; one for each engine. By default one is started here.",
    )(function)


def reported(function: click.decorators.FC) -> click.decorators.FC:
    """The options of a command that answers in what a pipeline reads (dataops.ci)."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["table", "json", *pipeline.FORMATS]),
        default="table",
        help="How to answer: for people, programs, GitHub, test reports, pull requests.",
    )
    return form(
        click.option(
            "--report",
            "report_path",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write that there, and the table to stdout.",
        )(function)
    )


def metrics_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--metrics-file",
        type=click.Path(path_type=Path),
        help="Write metrics there, for Prometheus' node exporter (docs/monitoring.md).",
    )(function)


def backup_options(function: click.decorators.FC) -> click.decorators.FC:
    """--require-backup-marker and --backup-max-age; the command gets `backup_marker` and `backup_max_age`."""
    for option in (
        click.option("--backup-max-age", callback=duration, metavar="1h", help="How old it may be; by default 1h."),
        click.option(
            "--require-backup-marker",
            "backup_marker",
            type=click.Path(path_type=Path),
            help="Refuse to change anything unless this file of a backup is new.",
        ),
    ):
        function = option(function)
    return function


def of_a_run(function: click.decorators.FC) -> click.decorators.FC:
    """The options of a command that runs steps."""
    for option in (
        metrics_option,
        backup_options,
        click.option("--jobs", type=click.IntRange(min=1), help="How many services at once; by default all."),
        click.option(
            "--lock-timeout", callback=duration, metavar="2m", help="How long to wait for another run's lock."
        ),
    ):
        function = option(function)
    return function


def only_with(given: object, option: str, other: str) -> None:
    if given:
        raise UsageError(f"{option} goes only with {other}", hint="see --help")
