"""wait: blocks until every service is ready."""

from __future__ import annotations

import time

import click

from dataops.cli.errors import worst
from dataops.cli.options import duration
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.errors import ExitCode, Stopped
from dataops.planning.readiness import waiting_for
from dataops.run.reading import look
from dataops.show import grouped, json

_PAUSE = 1.0  # seconds between two looks


@command("wait")
@click.option(
    "--timeout", callback=duration, default="10m", show_default=True, metavar="10m", help="Give up after this time."
)
@click.option("--allow-ahead", is_flag=True, help="A database that is ahead of this code counts as ready.")
def wait_command(session: Session, timeout: float, allow_ahead: bool) -> ExitCode:
    """Block until every service has all migrations that this code knows. For an application's init container.

    Only reads. Services that are only observed count if --service names them. A database that is ahead ends the wait
    at once: with exit code 0 if that is allowed, with 9 if not.

    \b
    Example:
      dataops wait --service shop --timeout 5m
      dataops wait --service docs
    """
    with signals(session) as stop:
        services = session.config(observed=bool(session.selected)).services
        deadline = time.monotonic() + timeout
        told: dict[str, str] = {}
        while True:
            states = look(services, emit=lambda event: None)
            problems = [waiting_for(state, allow_ahead=allow_ahead) for state in states]
            for name, problem in grouped.waits(list(zip(services, problems, strict=True))):
                text = str(problem) if problem else f"{name}: ready"
                if told.get(name) != text:
                    told[name] = text
                    session.console.say(text if problem is None else f"waiting: {text}")
                    if session.logs_lines:
                        session.log.line("info", "waiting" if problem else "ready", name, text, {})
            waiting = [problem for problem in problems if problem is not None]
            if not waiting:
                break
            if stop():
                raise Stopped("stopped while waiting")
            if time.monotonic() >= deadline:
                raise worst(waiting)
            stop.pause(_PAUSE)
        if session.as_json:
            rows = [json.status_of(s.name, state, None) for s, state in zip(services, states, strict=True)]
            session.answer({"services": rows}, ExitCode.OK)
    return ExitCode.OK
