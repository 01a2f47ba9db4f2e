"""The commands: parse, ask, call, show. The only place that knows Click, and the one `except` for users' errors."""

from __future__ import annotations

import functools
import inspect
import io
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from dataops import __version__, config, console, planfile, planner, report
from dataops.backends import Backend, connect
from dataops.errors import (
    Bug,
    CannotWrite,
    ConfigError,
    DatabaseAhead,
    DataopsError,
    EditedAfterApply,
    ExitCode,
    StalePlan,
    Stopped,
    UsageError,
    WaitTimedOut,
)
from dataops.events import Broadcast, Emit, StopRequested
from dataops.executor import StopSignal, execute, look, prune, read_all, resolve, side_by_side
from dataops.logs import JsonLog
from dataops.model import Ahead, Direction, Kept, Migration, Plan, Rendering, Result, Service, State, Step

_WAIT_PAUSE = 1.0
_LEAVE_SECONDS = 2.0  # from a signal with nothing to finish until we leave, whatever the main thread does
_ABORT_SECONDS = 5.0  # from the second signal until we leave, whatever still runs


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
        self.console = console.Console(quiet=self.log_format == "json")
        self.log = JsonLog(sys.stderr, self.author.run)

    def config(self, *, with_urls: bool = True, selected: Sequence[str] | None = None) -> config.Config:
        return config.load(
            self.config_path,
            environment=self.environment,
            selected=self.selected if selected is None else selected,
            with_urls=with_urls,
        )

    def sink(self) -> Emit:
        """Where a run's events go."""
        if self.log_format == "json":
            return Broadcast(self.log)
        return Broadcast(self.console.progress(), report=lambda text: click.echo(text, err=True))

    def answer(self, content: dict[str, Any], code: ExitCode) -> None:
        """The one object of `--json`."""
        self.console.answer(_document(content, code))

    @contextmanager
    def running_files(self, *, only_planned: bool = False) -> Iterator[None]:
        """While migration files run: what they print is talk and never part of an answer.

        Of files that are `only_planned` it is dropped: they tell of effects that they did not have.
        """
        printed = console.Printed((lambda line: None) if only_planned else self._printed)
        try:
            with redirect_stdout(printed), redirect_stderr(printed):
                yield
        finally:
            printed.finish()

    def _printed(self, line: str) -> None:
        if self.log_format == "json":
            with suppress(OSError):
                self.log.line("info", "printed", "", {"message": line})
        else:
            self.console.say(line)


def _document(content: dict[str, Any], code: int) -> str:
    document = config.redact.within({**content, "exit_code": int(code)})
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def duration(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """A Click callback: `60s`, `2m`."""
    if value is None:
        return None
    try:
        return config.seconds(value)
    except ConfigError as error:
        raise click.BadParameter(f"{value!r} is not a duration: write 500ms, 60s, 2m or 1h") from error


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
            _sessions.append(session)
            return int(function(session, **options) or ExitCode.OK)

        shared = [
            click.option("--config", "config_path", type=click.Path(path_type=Path), envvar="DATAOPS_CONFIG",
                         help="The configuration; by default the nearest dataops.toml upwards."),
            click.option("--env", "environment", envvar="DATAOPS_ENV", metavar="NAME",
                         help="Take the URLs from [environments.NAME] of the configuration."),
            click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object (docs/json.md)."),
            click.option("--log-format", type=click.Choice(["text", "json"]), default="text",
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


# plan


@command("plan")
@click.option("--to", metavar="REV", help="Stop at this migration: an id, its beginning, or SERVICE/ID.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many steps in all.")
@click.option("--direction", type=click.Choice(["apply", "rollback"]), default="apply", show_default=True)
@click.option("--run", "run_id", metavar="ID", help="With --direction rollback: undo this run.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for dataops apply FILE.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when there is something to do.")
def plan_command(
    session: Session,
    to: str | None,
    steps: int | None,
    direction: str,
    run_id: str | None,
    out: Path | None,
    detailed_exitcode: bool,
) -> ExitCode:
    """Show what would run, where and in which order. Writes nothing and takes no lock.

    Works with read-only credentials, also on a database that has never seen dataops.

    \b
    Example:
      dataops plan --service notifications -v
      dataops plan --out today.plan && dataops apply today.plan
      dataops plan --direction rollback --to voucher/20240520210910
    """
    services = session.config().services
    if direction == Direction.ROLLBACK.value:
        planned = _plan_rollback(services, session, run=run_id, to=to, steps=steps)
    else:
        _only_with(run_id, "--run", "--direction rollback")
        planned = _plan_apply(services, session, to=to, steps=steps)
    renderings = _render(planned, session)
    if out is not None:
        planfile.save(planned, out)
    code = ExitCode.PENDING if detailed_exitcode and planned.steps else ExitCode.OK
    if session.as_json:
        session.answer({**report.plan(planned, renderings), "saved": str(out) if out else None}, code)
    else:
        session.console.data(console.plan_lines(planned, renderings, verbose=session.verbose))
        if out is not None:
            session.console.say(f"Saved to {out}; apply exactly this with: dataops apply {out}")
    return code


# apply


@command("apply")
@click.argument("planned", metavar="[PLANFILE]", required=False, type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--to", metavar="REV", help="Stop at this migration: an id, its beginning, or SERVICE/ID.")
@click.option("--steps", type=click.IntRange(min=1), help="At most so many steps in all.")
@click.option(
    "--wait", "wait_seconds", callback=duration, metavar="60s", help="Wait for servers that do not answer yet."
)
@click.option("--lock-timeout", callback=duration, metavar="2m", help="How long to wait for another run's lock.")
@click.option("--jobs", type=click.IntRange(min=1), help="How many services at once; by default all.")
def apply_command(
    session: Session,
    planned: Path | None,
    yes: bool,
    to: str | None,
    steps: int | None,
    wait_seconds: float | None,
    lock_timeout: float | None,
    jobs: int | None,
) -> ExitCode:
    """Show the plan, ask, and run it. With PLANFILE: exactly that plan, without a question, or nothing.

    \b
    Example:
      dataops apply --service notifications
      dataops apply --yes --wait 60s
      dataops apply today.plan
    """
    with _signals(session) as stop:
        if planned is not None:
            for given, name in ((to, "--to"), (steps, "--steps"), (session.selected, "--service")):
                _only_with(given, name, "no PLANFILE: a saved plan says already what to do", negative=True)
            saved = planfile.load(planned)
            services = _services_of(saved, session)
            states = read_all(services, emit=session.sink(), wait_seconds=wait_seconds or 0, stop=stop)
            plan = planfile.hold(saved, states)
        else:
            services = session.config().services
            plan = _plan_apply(services, session, to=to, steps=steps, wait_seconds=wait_seconds or 0, stop=stop)
        return _carry_out(session, plan, stop, yes=yes or planned is not None, lock_timeout=lock_timeout, jobs=jobs)


# rollback


@command("rollback")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--run", "run_id", metavar="ID", help="Undo this run, on every service it touched; see dataops history.")
@click.option("--to", metavar="REV", help="Undo everything after this migration; SERVICE/base for everything.")
@click.option("--steps", type=click.IntRange(min=1), help="Undo the newest so many migrations.")
@click.option("--lock-timeout", callback=duration, metavar="2m", help="How long to wait for another run's lock.")
@click.option("--jobs", type=click.IntRange(min=1), help="How many services at once; by default all.")
def rollback_command(
    session: Session,
    yes: bool,
    run_id: str | None,
    to: str | None,
    steps: int | None,
    lock_timeout: float | None,
    jobs: int | None,
) -> ExitCode:
    """Undo the newest run, on every service it touched, newest step first.

    First it is proved that every step can be undone and that every file is the one that was applied.

    \b
    Example:
      dataops rollback
      dataops rollback --run 20261124T093000-1f2e3d --yes
      dataops rollback --service voucher --to 20240520210910
    """
    with _signals(session) as stop:
        services = session.config().services
        plan = _plan_rollback(services, session, run=run_id, to=to, steps=steps)
        return _carry_out(session, plan, stop, yes=yes, lock_timeout=lock_timeout, jobs=jobs)


# status, history, wait


@command("status")
@click.option("--check", is_flag=True, help="Exit 2 if anything is pending; also 4, 6, 9 or 10 if something is wrong.")
def status_command(session: Session, check: bool) -> ExitCode:
    """Show where every service stands: one row each. Takes no lock and writes nothing.

    \b
    Example:
      dataops status
      dataops status --check --service api --json
    """
    services = session.config().services
    states = look(services, emit=session.sink())
    problems = [None if isinstance(state, DataopsError) else _problem(state) for state in states]
    code = _status_code(states, problems, check=check)
    if session.as_json:
        rows = [report.status(s.name, state, p) for s, state, p in zip(services, states, problems, strict=True)]
        session.answer({"services": rows}, code)
        return code
    drawn = [console.status_row(s.name, state, p) for s, state, p in zip(services, states, problems, strict=True)]
    session.console.table(console.STATUS_HEADERS, [row for row, _ in drawn], [style for _, style in drawn])
    for state, problem in zip(states, problems, strict=True):
        wrong = state if isinstance(state, DataopsError) else problem
        if wrong is not None:
            session.console.error(wrong)
    return code


@command("history")
@click.option("--run", "run_id", metavar="ID", help="Only this run.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many entries.")
def history_command(session: Session, run_id: str | None, limit: int) -> None:
    """Show what runs did, over all services, newest first.

    \b
    Example:
      dataops history --service api --limit 10
      dataops history --run 20261124T093000-1f2e3d
    """
    services = session.config().services

    def ask(service: Service) -> list[tuple[str, Any]]:
        with _backend(service) as backend:
            entries = backend.history(None if run_id else limit)
        return [(service.name, entry) for entry in entries if run_id in (None, entry.run)]

    found = [pair for pairs in side_by_side(ask, services) for pair in pairs]
    found.sort(key=lambda pair: (pair[1].at.timestamp() if pair[1].at else 0.0, pair[1].seq), reverse=True)
    shown = found if run_id else found[:limit]
    if run_id and not shown:
        raise UsageError(f"no entry of run {run_id}", hint="see dataops history")
    if session.as_json:
        session.answer(report.history(shown), ExitCode.OK)
    elif shown:
        session.console.table(console.HISTORY_HEADERS, console.history_rows(shown))
    else:
        session.console.say("nothing yet")


@command("wait")
@click.option(
    "--timeout", callback=duration, default="10m", show_default=True, metavar="10m", help="Give up after this."
)
@click.option("--allow-ahead", is_flag=True, help="A database that is ahead of this code is good enough.")
def wait_command(session: Session, timeout: float, allow_ahead: bool) -> ExitCode:
    """Block until every service has all migrations that this code knows: for an application's init container.

    Only reads. A database that is ahead ends the wait at once: with 0 where that is allowed, with 9 where not.

    \b
    Example:
      dataops wait --service notifications --timeout 5m
    """
    with _signals(session) as stop:
        services = session.config().services
        deadline = time.monotonic() + timeout
        told: dict[str, str] = {}
        while True:
            states = look(services, emit=lambda event: None)
            problems = [_waiting_for(state, allow_ahead=allow_ahead) for state in states]
            for service, problem in zip(services, problems, strict=True):
                text = str(problem) if problem else f"{service.name}: ready"
                if told.get(service.name) != text:
                    told[service.name] = text
                    session.console.say(text if problem is None else f"waiting: {text}")
                    if session.log_format == "json":
                        session.log.line("info", "waiting" if problem else "ready", service.name, {"message": text})
            waiting = [problem for problem in problems if problem is not None]
            if not waiting:
                break
            if stop():
                raise Stopped("stopped while waiting")
            if time.monotonic() >= deadline:
                raise _worst(waiting)
            stop.pause(_WAIT_PAUSE)
        if session.as_json:
            rows = [report.status(s.name, state, None) for s, state in zip(services, states, strict=True)]
            session.answer({"services": rows}, ExitCode.OK)
    return ExitCode.OK


# resolve, new


@command("resolve", services=False)
@click.argument("step", metavar="SERVICE/REV")
@click.option("--applied/--not-applied", default=None, help="What is true of the database now.")
@click.option("--reason", required=True, help="Why you say so; it is recorded.")
def resolve_command(session: Session, step: str, applied: bool | None, reason: str) -> None:
    """Decide an interrupted step, or a record that another tool changed. The answer is recorded in the journal.

    \b
    Example:
      dataops resolve api/20220310000000-add-kratos-user-id --applied --reason "index is there, checked by hand"
    """
    if applied is None:
        raise UsageError("say which: --applied or --not-applied", hint="docs/operations.md#an-interrupted-step")
    if not reason.strip():
        raise UsageError("the reason is empty", hint="the next person will want to know")
    name, slash, rest = step.partition("/")
    if not slash:
        raise UsageError(f"{step} is not SERVICE/REV", hint="for example api-keys/20231103084227")
    service = session.config(selected=[name]).services[0]
    _, migration = planner.target([service], f"{name}/{rest}")
    if migration is None:
        raise UsageError(f"{rest} is not a migration")
    with _signals(session) as stop, _backend(service) as backend:
        decided = Step(name, migration, Direction.APPLY if applied else Direction.ROLLBACK)
        resolve(backend, session.author, decided, applied=applied, reason=reason, emit=session.sink(), stop=stop)
    answer = "applied" if applied else "not applied"
    if session.as_json:
        session.answer({"run": session.author.run, "step": decided.id, "applied": applied}, ExitCode.OK)
    else:
        session.console.data([(f"{decided.id} is recorded as {answer}", "")])


@command("new", services=False)
@click.argument("service_name", metavar="SERVICE")
@click.argument("message")
def new_command(session: Session, service_name: str, message: str) -> None:
    """Write a migration file with the right name and parent. Reaches no database.

    \b
    Example:
      dataops new api-keys "add last_used_by"
    """
    from dataops import scaffold

    service = session.config(with_urls=False, selected=[service_name]).services[0]
    path = scaffold.new(service, message, datetime.now(UTC))
    if session.as_json:
        session.answer({"file": str(path)}, ExitCode.OK)
    else:
        session.console.data([(str(path), "")])


# stash


@main_group.group("stash")
def stash_group() -> None:
    """What migrations have put aside, so that a rollback loses nothing.

    \b
    Example:
      dataops stash list
      dataops stash prune --older-than 30d
    """


@command("list", group=stash_group)
def stash_list_command(session: Session) -> None:
    """Show what is put aside, by which migration, how much and since when. Writes nothing.

    \b
    Example:
      dataops stash list --service api
    """
    found = _kept(session.config().services)
    if session.as_json:
        session.answer({"kept": [report.kept(service.name, kept) for service, kept in found]}, ExitCode.OK)
    elif found:
        session.console.table(
            console.STASH_HEADERS, console.stash_rows((service.name, kept) for service, kept in found)
        )
    else:
        session.console.say("nothing is put aside")


@command("prune", group=stash_group)
@click.option("--older-than", callback=duration, required=True, metavar="30d", help="Only what was put aside before.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def stash_prune_command(session: Session, older_than: float, yes: bool) -> None:
    """Drop what was put aside long ago. What needs it can then not be rolled back any more.

    \b
    Example:
      dataops stash prune --older-than 30d
    """
    limit = datetime.now(UTC).timestamp() - older_than
    found = [
        (service, kept)
        for service, kept in _kept(session.config().services)
        if kept.at is not None and kept.at.timestamp() < limit
    ]
    if not session.as_json:
        rows = console.stash_rows((service.name, kept) for service, kept in found)
        session.console.talk([("  ".join(row), "") for row in rows] or [("nothing is that old", "")])
    if found and not yes:
        _consent(f"Drop these {len(found)}? They cannot be brought back.")
    with _signals(session) as stop:
        for service in dict.fromkeys(service for service, _ in found):
            migrations = list(dict.fromkeys(kept.migration for owner, kept in found if owner is service))
            with _backend(service) as backend:
                prune(backend, session.author, migrations, emit=session.sink(), stop=stop)
    if session.as_json:
        session.answer({"pruned": [report.kept(service.name, kept) for service, kept in found]}, ExitCode.OK)
    elif found:
        session.console.data([(f"{len(found)} dropped", "")])


def _kept(services: Sequence[Service]) -> list[tuple[Service, Kept]]:
    def ask(service: Service) -> list[tuple[Service, Kept]]:
        with _backend(service) as backend:
            return [(service, kept) for kept in backend.kept()]

    return [pair for pairs in side_by_side(ask, services) for pair in pairs]


# dev


@main_group.group("dev")
def dev_group() -> None:
    """Real servers for development: a MongoDB and a PostgreSQL on free ports of this machine.

    \b
    Example:
      dataops dev up && eval "$(dataops dev url)" && dataops plan
      dataops dev down
    """


def _dev_options(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")(function)
    return click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Where they live.")(function)


@dev_group.command("up")
@click.option("--standalone", is_flag=True, help="MongoDB without a replica set, so without transactions.")
@_dev_options
def dev_up(folder: Path | None, standalone: bool, as_json: bool) -> int:
    """Start the servers in the background. Where they run already, say so.

    \b
    Example:
      dataops dev up
    """
    from dataops import dev

    running = dev.up(folder, standalone=standalone)
    if as_json:
        _print_json({"started": running.fresh, "urls": dict(running.urls), "notes": list(running.notes)})
    else:
        for line in running.notes:
            click.echo(line, err=True)
        click.echo("started" if running.fresh else "they run already")
        click.echo('now: eval "$(dataops dev url)"')
    return 0


@dev_group.command("url")
@_dev_options
def dev_url(folder: Path | None, as_json: bool) -> int:
    """Print the variables that lead to the servers, for a shell to evaluate.

    \b
    Example:
      eval "$(dataops dev url)"
    """
    import shlex

    from dataops import dev

    urls = dev.urls(folder)
    if as_json:
        _print_json({"urls": dict(urls)})
    else:
        for name, url in urls.items():
            click.echo(f"export {name}={shlex.quote(url)}")
    return 0


@dev_group.command("down")
@_dev_options
def dev_down(folder: Path | None, as_json: bool) -> int:
    """Stop the servers and remove their data. Where none run, that is fine.

    \b
    Example:
      dataops dev down
    """
    from dataops import dev

    stopped = dev.down(folder)
    if as_json:
        _print_json({"stopped": stopped})
    else:
        click.echo("stopped" if stopped else "none were running")
    return 0


def _print_json(content: dict[str, Any]) -> None:
    click.echo(json.dumps({**content, "exit_code": 0}, indent=2))


# What the commands share


def _services_of(saved: planfile.SavedPlan, session: Session) -> tuple[Service, ...]:
    """The services that a saved plan is for. Raises StalePlan when one is not configured any more."""
    gone = set(saved.services) - set(session.config(with_urls=False).names)
    if gone:
        raise StalePlan(f"{saved.path} is stale: {', '.join(sorted(gone))}: no such service is configured any more")
    return session.config(selected=tuple(saved.services)).services


def _plan_apply(
    services: Sequence[Service],
    session: Session,
    *,
    to: str | None,
    steps: int | None,
    wait_seconds: float = 0.0,
    stop: StopSignal | None = None,
) -> Plan:
    target: Migration | None = None
    if to is not None:
        service, target = planner.target(services, to)
        if target is None:
            raise UsageError("nothing is applied up to base", hint="to undo: dataops rollback --to base")
        services = [service]
    states = read_all(services, emit=session.sink(), wait_seconds=wait_seconds, stop=stop)
    return planner.plan_apply(states, to=target, steps=steps)


def _plan_rollback(
    services: Sequence[Service], session: Session, *, run: str | None, to: str | None, steps: int | None
) -> Plan:
    if sum(given is not None for given in (run, to, steps)) > 1:
        raise UsageError("--run, --to and --steps exclude each other", hint="say how far in one way")
    target: Migration | None = None
    if to is not None:
        service, target = planner.target(services, to)
        services = [service]
    states = read_all(services, emit=session.sink())
    return planner.plan_rollback(states, run=run, to=target, to_base=to is not None and target is None, steps=steps)


def _render(plan: Plan, session: Session) -> dict[str, Rendering]:
    """The commands of every step, services side by side; of a very long plan only the first ones, unless asked.

    Of a rollback always all: a step whose stash was pruned refuses here, before anything is undone.
    """
    everything = session.verbose or session.as_json or plan.direction is Direction.ROLLBACK
    limit = None if everything else console.SHOWN_STEPS
    states = [state for state in plan.states if plan.of(state.service.name)]

    def render(state: State) -> dict[str, Rendering]:
        with _backend(state.service) as backend:
            return {step.id: backend.render(step) for step in plan.of(state.service.name)[:limit]}

    with session.running_files(only_planned=True):
        return {id_: rendering for made in side_by_side(render, states) for id_, rendering in made.items()}


def _carry_out(
    session: Session, plan: Plan, stop: StopSignal, *, yes: bool, lock_timeout: float | None, jobs: int | None
) -> ExitCode:
    renderings = _render(plan, session)
    session.console.talk(console.plan_lines(plan, renderings, verbose=session.verbose))
    if stop():
        raise Stopped("stopped before the first step; nothing was done")
    if plan.steps and not yes:
        _ask(plan)
    if plan.steps:
        with session.running_files():
            result = execute(plan, session.author, emit=session.sink(), stop=stop, lock_timeout=lock_timeout, jobs=jobs)
    else:
        result = Result(run=session.author.run, plan=plan)
    code = _result_code(result)
    if session.as_json:
        session.answer(report.result(result, renderings), code)
    elif plan.steps:
        lines = console.result_lines(result)
        session.console.talk(lines[:-1])
        session.console.data(lines[-1:])
        if result.stopped:
            where = "in the middle of a step" if result.failures else "at a safe point"
            session.console.say(f"Stopped {where}. Run again to go on from here.", "yellow")
    for failure in result.failures:
        if session.log_format == "json" and isinstance(failure.error, DataopsError):
            session.log.error(failure.error)
    return code


def _ask(plan: Plan) -> None:
    verb = "Apply" if plan.direction is Direction.APPLY else "Roll back"
    _consent(f"{verb} {console.counted(len(plan.steps), 'migration')}?")


def _consent(question: str) -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "there is no terminal to ask for consent; nothing was done",
            hint="look at the plan, then: --yes, or save it with dataops plan --out FILE and apply that",
        )
    if not click.confirm(question, err=True):
        raise Stopped("not confirmed; nothing was done", hint="")


def _result_code(result: Result) -> ExitCode:
    if result.stopped:
        return ExitCode.STOPPED
    for failure in result.failures:
        return failure.error.exit_code if isinstance(failure.error, DataopsError) else ExitCode.FAILED
    return ExitCode.OK


def _problem(state: State) -> DataopsError | None:
    """What would refuse an apply now."""
    try:
        planner.check(state)
        planner.refuse_interrupted(state)
    except DataopsError as error:
        return error
    return None


def _status_code(
    states: Sequence[State | DataopsError], problems: Sequence[DataopsError | None], *, check: bool
) -> ExitCode:
    errors = [state for state in states if isinstance(state, DataopsError)]
    if check:
        errors += [problem for problem in problems if problem is not None]
    if errors:
        return _worst(errors).exit_code
    pending = any(isinstance(state, State) and state.pending for state in states)
    return ExitCode.PENDING if check and pending else ExitCode.OK


_SEVERITY = (
    ExitCode.INTERRUPTED,
    ExitCode.INVALID,
    ExitCode.AHEAD,
    ExitCode.UNREACHABLE,
    ExitCode.LOCKED,
)


def _worst(errors: Sequence[DataopsError]) -> DataopsError:
    """The one whose remedy needs a person most."""
    return min(errors, key=lambda e: _SEVERITY.index(e.exit_code) if e.exit_code in _SEVERITY else len(_SEVERITY))


def _waiting_for(state: State | DataopsError, *, allow_ahead: bool) -> DataopsError | None:
    """Why this service is not ready yet; None when it is. Raises what no waiting can mend."""
    if isinstance(state, DataopsError):
        if state.exit_code is not ExitCode.UNREACHABLE:
            raise state
        return state
    if state.ahead and not state.pending and (allow_ahead or state.service.ahead is Ahead.ALLOW):
        return None
    try:
        planner.check(state)
        planner.refuse_interrupted(state)
    except (DatabaseAhead, EditedAfterApply):
        raise
    except DataopsError as error:
        return error
    if state.pending:
        return WaitTimedOut(f"{console.counted(len(state.pending), 'migration')} pending", service=state.service.name)
    return None


@contextmanager
def _backend(service: Service) -> Iterator[Backend]:
    backend = connect(service)
    try:
        yield backend
    finally:
        backend.close()


def _only_with(given: object, option: str, other: str, *, negative: bool = False) -> None:
    if given:
        raise UsageError(f"{option} goes only with {other}", hint="see --help")


@contextmanager
def _signals(session: Session) -> Iterator[StopSignal]:
    """SIGTERM and Ctrl-C: the first asks for a safe point, the second stops now. Before any work, the first does.

    The main thread may be in any lock, half-written line or blocking read. So a handler of Python's, which runs there
    and may come late, only leaves where there is nothing to finish; a thread that Python's C handler wakes answers.
    """
    stop = StopSignal()
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)

    def handle(number: int, frame: FrameType | None) -> None:
        if not stop.working:
            raise _AtOnce

    threading.Thread(target=_answer_signals, args=[ours, stop, session.sink()], daemon=True).start()
    woken = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(woken)
        os.close(theirs)  # ends the thread


class _AtOnce(BaseException):
    """A signal while there is nothing to finish. No migration file that is planned just now can catch it by mistake."""


def _answer_signals(pipe: int, stop: StopSignal, emit: Emit) -> None:
    def heard() -> str | None:
        number = os.read(pipe, 1)
        return signal.Signals(number[0]).name if number else None

    with open(pipe, "rb", buffering=0):
        first = heard()
        if first is None:
            return
        stop.stop()
        if not stop.working:
            if select.select([pipe], [], [], _LEAVE_SECONDS)[0] and heard() is None:
                return  # the main thread has left by itself
            _leave(Stopped("interrupted; nothing was done", hint=""))
        emit(StopRequested(signal=first))
        second = heard()
        if second is None:
            return
        emit(StopRequested(signal=second, now=True))
        threading.Thread(target=stop.abort, daemon=True).start()
        # What does not come to its end even then, Python code of a migration for example, is left as by a crash.
        time.sleep(_ABORT_SECONDS)
        hint = "as after a crash: dataops status says what is true"
        _leave(Stopped("stopped now, in the middle of a step", hint=hint))


def _leave(error: Stopped) -> NoReturn:
    _tell(error)
    os._exit(error.exit_code)


# The way in and out

_sessions: list[Session] = []


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; the only place where errors become text and numbers."""
    _sessions.clear()
    given = sys.argv[1:] if arguments is None else list(arguments)
    code = _run(given)
    lost = _sessions[-1].console.lost if _sessions else None
    if lost is not None and not isinstance(lost, BrokenPipeError):
        _tell(_unwritable(lost))
        code = code or ExitCode.UNREACHABLE
    return code


def _run(given: list[str]) -> int:
    try:
        return int(main_group.main(args=given, standalone_mode=False) or 0)
    except click.ClickException as error:
        with suppress(OSError):
            error.show()
        if "--json" in given:  # as long as there is no session
            wrong = UsageError(error.format_message(), hint="see --help")
            console.Console().answer(_document(report.error(wrong), wrong.exit_code))
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt, _AtOnce):
        _tell(Stopped("interrupted; nothing was done", hint=""))
        return ExitCode.STOPPED
    except DataopsError as error:
        _tell(error, given)
        return error.exit_code
    except OSError as error:
        problem = _unwritable(error)
        _tell(problem, given)
        return problem.exit_code
    except Exception as error:  # noqa: BLE001
        _tell_bug(error)
        return ExitCode.FAILED


def _unwritable(error: OSError) -> CannotWrite:
    return CannotWrite(
        f"{error.filename or 'output'}: {error.strerror or error}",
        hint="what the command did stands; is the disk full, or the output closed?",
    )


def _tell(error: DataopsError, given: Sequence[str] = ()) -> None:
    """In every form that was asked for. `given` is the command line, for those that have no session."""
    session = _sessions[-1] if _sessions else None
    shown = session.console if session else console.Console()
    if session.as_json if session else "--json" in given:
        shown.answer(_document(report.error(error), error.exit_code))
    if session is not None and session.log_format == "json":
        session.log.error(error)
    shown.error(error)


def _tell_bug(error: Exception) -> None:
    text = config.redact("".join(traceback.format_exception(error)))
    if _sessions and _sessions[-1].log_format == "json":
        with suppress(OSError):
            _sessions[-1].log.line("error", "bug", "", {"traceback": text})
    else:
        with suppress(OSError):
            click.echo(text, nl=False, err=True)
    _tell(Bug(f"this is a bug in dataops: {type(error).__name__}: {config.redact(str(error))}"))


def _standard_streams() -> None:
    """Open a closed one again, on nothing: else its number would be that of a database connection.

    Writing to a closed stdout still fails, and what cannot be spelled in its encoding is escaped.
    """
    for number, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> NoReturn:
    """The installed command. Leaves without the half second for which pymongo would hold the interpreter."""
    _standard_streams()
    code = run()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # told already
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
