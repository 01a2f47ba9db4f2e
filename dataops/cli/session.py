"""What every command shares: its options, its session, how it asks for consent and tells what is wrong."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from dataops import __version__, config
from dataops.errors import CannotWrite, ExitCode, Stopped, UsageError
from dataops.events import Broadcast, Emit, Event
from dataops.redaction import redact
from dataops.show import log, pipeline, terminal
from dataops.show.log import JsonLog


@dataclass
class Session:
    """What every command has: the options that all share, the streams, and who we are."""

    as_json: bool
    verbose: bool
    log_format: str
    config_path: Path | None
    environment: str | None
    selected: tuple[str, ...]

    def __post_init__(self) -> None:
        self.author = config.author()
        self.console = terminal.Console(quiet=self.logs_lines)
        self.log = JsonLog(
            sys.stderr, self.author.run, words=self.log_format == "tracing", trace=log.parent(os.environ)
        )
        self.sinks: list[Emit] = []

    @property
    def logs_lines(self) -> bool:
        """JSON lines take the place of talk."""
        return self.log_format != "text"

    def config(
        self,
        *,
        with_urls: bool = True,
        with_files: bool = True,
        selected: Sequence[str] | None = None,
        observed: bool = False,
    ) -> config.Config:
        return config.load(
            self.config_path,
            environment=self.environment,
            selected=self.selected if selected is None else selected,
            with_urls=with_urls,
            with_files=with_files,
            observed=observed,
        )

    def sink(self) -> Emit:
        """Where a run's events go."""
        if self.logs_lines:
            return Broadcast(self.log, self._hear)
        return Broadcast(self.console.progress(), self._hear, report=lambda text: click.echo(text, err=True))

    def _hear(self, event: Event) -> None:
        for sink in self.sinks:
            sink(event)

    def answer(self, content: dict[str, Any], code: ExitCode) -> None:
        """The one object of `--json`."""
        self.console.answer(document(content, code))

    def form(self, chosen: str) -> str:
        """What `--format` and `--json` come to. Raises UsageError where they contradict each other."""
        if self.as_json and chosen not in ("table", "json"):
            raise UsageError(f"--json and --format {chosen} exclude each other", hint="--json is --format json")
        return "json" if self.as_json else chosen

    def deliver(self, form: str, text: Callable[[], str], path: Path | None) -> bool:
        """Answer in that form. False when people are still to be told: it went to a file, or is none of these."""
        if form == "table":
            if path is not None:
                raise UsageError("--report goes only with --format", hint=f"for example --format {pipeline.FORMATS[0]}")
            return False
        if path is None:
            self.console.answer(text())
            return True
        write_report(path, text())
        return False

    @contextmanager
    def running_files(self, *, only_planned: bool = False) -> Iterator[None]:
        """While migration files run: what they print is talk and never part of an answer.

        Of files that are `only_planned` it is dropped: they tell of effects that they did not have.
        """
        printed = terminal.Printed((lambda line: None) if only_planned else self._printed)
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                yield
        finally:
            printed.finish()

    def _printed(self, line: str) -> None:
        if self.logs_lines:
            with suppress(OSError):
                self.log.line("info", "printed", "", line, {})
        else:
            self.console.say(line)


def checkout(folder: Path) -> Path:
    """The git checkout, to which CI's paths are relative; without one, the folder."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def write_report(path: Path, text: str) -> None:
    """Raises CannotWrite."""
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror or error}", hint="name a file that can be written") from error


def document(content: dict[str, Any], code: int) -> str:
    document = redact.within({**content, "exit_code": int(code)})
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


class _Worked(click.Command):
    """Help that ends in a worked example: what the docstring says from "Example:" on stands after the options."""

    def __init__(self, name: str | None, *, help: str | None = None, **settings: Any) -> None:  # noqa: A002
        text, _, example = inspect.cleandoc(help or "").partition("\b\nExample:\n")
        super().__init__(name, help=text, epilog=f"\b\nExample:\n{example}", **settings)


class _Group(_Worked, click.Group):
    command_class = _Worked
    group_class = type

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without a command there is nothing to do: help, to stderr, as a usage error."""
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)


def command(
    name: str, *, services: bool = True, group: click.Group | None = None
) -> Callable[[Callable[..., ExitCode | None]], click.Command]:
    """A command with the options that all commands share; the function gets a Session first and returns a code."""

    def decorate(function: Callable[..., ExitCode | None]) -> click.Command:
        @functools.wraps(function)
        def run(**options: Any) -> int:
            session = Session(
                as_json=options.pop("as_json"),
                verbose=options.pop("verbose"),
                log_format=options.pop("log_format"),
                config_path=options.pop("config_path"),
                environment=options.pop("environment"),
                selected=options.pop("selected", ()),
            )
            sessions.append(session)
            return int(function(session, **options) or ExitCode.OK)

        shared = [
            click.option("--config", "config_path", type=click.Path(path_type=Path), envvar="DATAOPS_CONFIG",
                         help="The configuration; by default the nearest dataops.toml upwards."),
            click.option("--env", "environment", envvar="DATAOPS_ENV", metavar="NAME",
                         help="Take the URLs from [environments.NAME] of the configuration."),
            click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object (docs/json.md)."),
            click.option("--log-format", type=click.Choice(["text", "json", "tracing"]), default="text",
                         envvar="DATAOPS_LOG_FORMAT", help="How to tell on stderr what happens."),
            click.option("-v", "--verbose", is_flag=True, help="Show everything."),
        ]  # fmt: skip
        if services:
            shared.insert(0, click.option("--service", "selected", multiple=True, metavar="NAME",
                                          help="Only this service; may be repeated. By default all."))  # fmt: skip
        decorated: Any = run
        for option in reversed(shared):
            decorated = option(decorated)
        return (group or main_group).command(name)(decorated)

    return decorate


@click.group(
    name="dataops", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="dataops")
def main_group() -> None:
    """Plan, apply and roll back migrations over MongoDB and PostgreSQL, together.

    \b
    Example:
      dataops plan                      what would happen, to which database
      dataops apply --yes               do it
      dataops status                    where every service stands
      dataops rollback                  undo the newest run, everywhere
    """


def consent(question: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask for consent; nothing was done",
            hint="look at the plan, then: --yes, or save it with dataops plan --out FILE and apply that",
        )
    if not click.confirm(question, err=True):
        raise Stopped("not confirmed; nothing was done", hint="")


sessions: list[Session] = []
