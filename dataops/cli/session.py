"""What every command shares: its options, its session, the question for consent, and how errors are reported."""

from __future__ import annotations

import functools
import importlib
import inspect
import keyword
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from dataops import __version__, config, outfile
from dataops.cli import completing, termination
from dataops.cli.options import labels
from dataops.cli.streams import diverted
from dataops.errors import Bug, DataopsError, ExitCode, Stopped, UsageError
from dataops.events import Broadcast, Emit, Event
from dataops.fleet import Selection, expand, split
from dataops.model import Policy, Service, fleet
from dataops.redaction import describe, redact, traceback_of
from dataops.show import json as answers
from dataops.show import log, terminal, writers
from dataops.show.log import JsonLog
from dataops.show.printed import Printed
from dataops.text import counted, on_one_line, visible

if TYPE_CHECKING:
    from dataops.backends.sandbox import Sandbox


@dataclass
class Session:
    """What every command has: the options that all commands share, the streams, and who we are."""

    as_json: bool
    verbose: bool
    log_format: str
    config_path: Path | None
    environment: str | None
    selected: tuple[str, ...]
    databases: Selection = field(default_factory=Selection)
    """Which databases of fleets are meant."""
    policy: str | None = None
    """The environment whose policy counts, where it is not that of `environment`."""

    def __post_init__(self) -> None:
        self.author = config.author()
        self.console = terminal.Console(quiet=self.logs_lines)
        self.log = JsonLog(
            sys.stderr, self.author.run, words=self.log_format == "tracing", trace=log.parent(os.environ)
        )
        self.sinks: list[Emit] = []
        self._variables: frozenset[str] = frozenset()
        self.rules = Policy()
        self.top: Path | None = None
        """The folder of the configuration, once that is read."""

    def take_run(self, run: str) -> None:
        """Go on under the id of a run that other processes have begun."""
        self.author = replace(self.author, run=run)
        self.log.run = run

    @property
    def logs_lines(self) -> bool:
        """Whether JSON lines take the place of messages on stderr."""
        return self.log_format != "text"

    def config(
        self,
        *,
        with_urls: bool = True,
        with_files: bool = True,
        selected: Sequence[str] | None = None,
        observed: bool = False,
    ) -> config.Config:
        """Read the configuration. With URLs, each fleet is there as its databases that are meant; else as itself."""
        names, in_fleets = split(self.selected if selected is None else selected)
        loaded = config.load(
            self.config_path,
            environment=self.environment,
            selected=names,
            with_urls=with_urls,
            with_files=with_files,
            observed=observed,
            policy=self.policy,
        )
        self._variables = loaded.variables
        self.rules = loaded.policy
        self.top = loaded.path.parent
        if not with_urls:
            return loaded
        chosen = replace(self.databases, services=in_fleets)
        if not chosen and not in_fleets and not any(one.databases is not None for one in loaded.services):
            return loaded
        return replace(loaded, services=expand(loaded.services, chosen))

    @property
    def chooses(self) -> bool:
        """Whether the options choose some of the databases of fleets."""
        return bool(self.databases) or any(fleet.is_member(name) for name in self.selected)

    def service(self, name: str, *, with_files: bool = True) -> Service:
        """The one service, or the one database of a fleet, that a person has named. Raises UsageError for a fleet."""
        services = self.config(selected=[name], with_files=with_files).services
        if services[0].name != name:
            raise UsageError(
                f"{redact(name)} has {counted(len(services), 'database')}: which of them?",
                hint=f"for example {services[0].name}",
            )
        return services[0]

    def sandbox(self) -> Sandbox:
        """Where migration files run that are only looked at; databases that the configuration names are hidden."""
        from dataops.backends.sandbox import Sandbox

        return Sandbox(self._variables)

    def sink(self) -> Emit:
        """The sink for the events of a run."""
        if self.logs_lines:
            return Broadcast(self.log, self._hear)
        return Broadcast(
            self.console.progress(), self._hear, report=lambda text: click.echo(on_one_line(text), err=True)
        )

    def _hear(self, event: Event) -> None:
        for sink in self.sinks:
            sink(event)

    def answer(self, content: dict[str, Any], code: ExitCode) -> None:
        """Write the one object of `--json`."""
        self.console.answer(answers.document(content, code))

    def form(self, chosen: str) -> str:
        """The format that `--format` and `--json` mean together. Raises UsageError where they contradict each other."""
        if self.as_json and chosen not in ("table", "json"):
            raise UsageError(f"--json and --format {chosen} exclude each other", hint="--json is --format json")
        self.as_json = self.as_json or chosen == "json"
        return "json" if self.as_json else chosen

    def deliver(self, form: str, answer: str, report: object, path: Path | None) -> bool:
        """Write a report in that format, to the file if there is one, else to stdout.

        `answer` is what is reported: status, plan or proof. Returns False if the text for people still has to be
        written to stdout: the report went to a file, or no format was asked for.
        """
        writer = writers(answer).get(form)
        if writer is None:
            if path is not None:
                raise UsageError("--report goes only with --format", hint="for example --format github")
            return False
        return self.deliver_text(writer(report), path)

    def deliver_text(self, text: str, path: Path | None) -> bool:
        """Write a finished report to the file if there is one, else to stdout. True if it went to stdout."""
        if path is None:
            self.console.answer(text)
        else:
            outfile.write(path, text, hint="name a file that can be written")
        return path is None

    def report_error(self, error: DataopsError) -> None:
        """Report the error that ends the command, in every form that was asked for."""
        _note(error)
        if self.as_json:
            self.answer(answers.error(error), error.exit_code)
        if self.logs_lines:
            self.log.error(error)
        self.console.error(error, verbose=self.verbose)

    def report_bug(self, error: BaseException, trace: str) -> None:
        """Write the traceback of an error that dataops does not expect, which is a bug."""
        if self.logs_lines:
            with suppress(OSError):
                self.log.line("error", "bug", "", f"a bug: {type(error).__name__}", {"traceback": trace})
        else:
            self.console.messages([(line, "") for line in trace.split("\n")])

    @contextmanager
    def running_files(self, *, on_scratch: bool = False) -> Iterator[None]:
        """The scope in which migration files run. What they and their children print goes to stderr, line by line.

        With `on_scratch` it is dropped, because it reports effects on a scratch database as if they were real.
        """
        printed = Printed((lambda line: None) if on_scratch else self._printed)
        try:
            with (
                diverted(printed.write) as printed.has_descriptor,
                redirect_stdout(printed),
                redirect_stderr(printed),
                _no_way_out(),
            ):
                yield
        finally:
            printed.finish()

    def _printed(self, line: str) -> None:
        line = redact(line)
        if self.logs_lines:
            with suppress(OSError):
                self.log.line("info", "printed", "", line, {})
        else:
            self.console.say(line)


@contextmanager
def _no_way_out() -> Iterator[None]:
    """While migration files run, `os._exit` in one of them is a failure of that file, not our quiet end with 0."""
    real, ours = os._exit, os.getpid()

    def refuse(status: int = 0) -> NoReturn:
        if os.getpid() != ours:  # a child process that the file has forked may end as it likes
            real(status)
        raise SystemExit(f"os._exit({status}) in a migration file")

    os._exit = refuse
    try:
        yield
    finally:
        os._exit = real


def checkout(folder: Path) -> Path:
    """The git checkout that holds the folder; without one, the folder itself. Paths in CI are relative to it."""
    folder = folder.absolute()
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


class _Worked(click.Command):
    """A command whose help ends in an example: the docstring's part after "Example:" is printed after the options."""

    def __init__(self, name: str | None, *, help: str | None = None, **settings: Any) -> None:  # noqa: A002
        text, _, example = inspect.cleandoc(help or "").partition("\b\nExample:\n")
        super().__init__(name, help=text, epilog=f"\b\nExample:\n{example}", **settings)


_FLAGS = frozenset(("--json", "-v", "--verbose"))
_WITH_VALUE = frozenset(("--config", "--env", "--log-format", "-s", "--service", "--database", "--label", "--sample"))


def _shared_at_the_beginning(args: Sequence[str]) -> int:
    """How many of the arguments are options that all commands share, with their values, before anything else."""
    at = 0
    while at < len(args):
        if args[at] in _FLAGS or (args[at].partition("=")[0] in _WITH_VALUE and "=" in args[at]):
            at += 1
        elif args[at] in _WITH_VALUE and at + 1 < len(args):
            at += 2
        else:
            break
    return at


class _Group(_Worked, click.Group):
    command_class = _Worked
    group_class: type[click.Group] | type[type] | None = type

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Let options of a command stand before its name too. Without a command, write the help and end with 64."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(ExitCode.USAGE)
        before = _shared_at_the_beginning(args)
        if before == len(args):
            if ctx.resilient_parsing:  # a shell asks what may come next
                return super().parse_args(ctx, [])
            raise click.UsageError("the command is missing", ctx)
        return super().parse_args(ctx, [args[before], *args[:before], *args[before + 1 :]])


COMMANDS = (
    "adopt", "apply", "approve", "baseline", "completion", "dev", "docs", "doctor", "drift", "explain", "help",
    "history", "import", "init", "inspect", "lint", "new", "pause", "plan", "prove", "rebase", "rehearse", "report",
    "resolve", "resume", "rollback", "schema", "squash", "stash", "status", "wait",
)  # fmt: skip
"""Every command; each is in the module of its name, and adds itself to `main_group` when that is imported.

A name that is a keyword of Python has a `_` behind it as a module.
"""


class _MainGroup(_Group):
    """Imports the module of a command only when it is called: `status` need not load what `apply` needs."""

    group_class = _Group

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        wanted = [cmd_name] if cmd_name in COMMANDS else COMMANDS  # all, so that Click can suggest a similar name
        for name in wanted:
            importlib.import_module(f"dataops.cli.{name}{'_' if keyword.iskeyword(name) else ''}")
        return super().get_command(ctx, cmd_name)


def command(
    name: str, *, services: bool = True, databases: bool = True, group: click.Group | None = None
) -> Callable[[Callable[..., ExitCode | None]], click.Command]:
    """A command with the options that all commands share; the function gets a Session first and returns a code.

    Where it has `services`, they can be chosen, and with `databases` also some databases of a fleet.
    """

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
                databases=Selection(options.pop("databases"), dict(options.pop("labels")), options.pop("sample"))
                if services and databases
                else Selection(),
            )
            click.get_current_context().ensure_object(Invocation).session = session
            return int(function(session, **options) or ExitCode.OK)

        shared = [
            click.option("--config", "config_path", type=click.Path(path_type=Path), envvar="DATAOPS_CONFIG",
                         help="The configuration; by default dataops.toml, here or in a folder above."),
            click.option("--env", "environment", envvar="DATAOPS_ENV", metavar="NAME",
                         shell_complete=completing.environments,
                         help="Take the URLs from [environments.NAME] of the configuration."),
            click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object (dataops docs json)."),
            click.option("--log-format", type=click.Choice(["text", "json", "tracing"]), default="text",
                         envvar="DATAOPS_LOG_FORMAT", help="The format of the messages on stderr."),
            click.option("-v", "--verbose", is_flag=True, help="Show everything."),
        ]  # fmt: skip
        if services:
            shared.insert(0, click.option("-s", "--service", "selected", multiple=True, metavar="NAME",
                                          shell_complete=completing.services,
                                          help="Only this service; may be repeated. By default all."))  # fmt: skip
        if services and databases:
            shared[1:1] = [
                click.option("--database", "databases", multiple=True, metavar="NAME",
                             help="Of a service with many databases, only this one (or eu-*; !NAME: not that)."),
                click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=labels,
                             help="Of a service with many databases, only those with this label."),
                click.option("--sample", type=click.IntRange(min=1), metavar="N",
                             help="Of a service with many databases, only N, always the same."),
            ]  # fmt: skip
        decorated: Any = run
        for option in reversed(shared):
            decorated = option(decorated)
        return (group or main_group).command(name)(decorated)

    return decorate


@click.group(
    name="dataops", cls=_MainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
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


def has_terminal() -> bool:
    """Whether there is a person to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


LOOK_FIRST = "look at the plan, then: --yes, or save it with dataops plan --out FILE and apply that"


def consent(question: str, hint: str = LOOK_FIRST) -> None:
    """Ask a person. Raises UsageError where there is no terminal, and Stopped where the answer is no."""
    if not has_terminal():
        raise UsageError("there is no terminal to ask for consent; nothing was done", hint=hint)
    if not click.confirm(question, err=True):
        raise Stopped("not confirmed; nothing was done", hint="")


@dataclass
class Invocation:
    """One call of the command line, which Click carries in its context. `session` is None until options are read."""

    given: Sequence[str] = ()
    session: Session | None = None

    def report_error(self, error: DataopsError) -> None:
        """Report the error that ends the command, also where there is no session yet."""
        if self.session is not None:
            self.session.report_error(error)
            return
        _note(error)
        self.answer_error(error)
        terminal.Console().error(error)

    def answer_error(self, error: DataopsError) -> None:
        """Before there is a session: write the error as a JSON object, if the command line asks for JSON."""
        if "--json" in self.given:
            terminal.Console().answer(answers.document(answers.error(error), error.exit_code))

    def report_bug(self, error: BaseException) -> None:
        """Report an error that dataops does not expect: its traceback, without secrets, and what to do."""
        trace = traceback_of(error)
        if self.session is not None:
            self.session.report_bug(error, trace)
        else:
            with suppress(OSError):
                click.echo(visible(trace), nl=False, err=True)
        self.report_error(Bug(f"this is a bug in dataops: {describe(error)}"))


def _note(error: DataopsError) -> None:
    termination.note(f"error: {error}", f"hint: {error.hint}" if error.hint else "")
