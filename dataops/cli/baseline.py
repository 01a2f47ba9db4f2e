"""baseline: says at which migration a database without a record stands."""

from __future__ import annotations

import click

from dataops.backends import opened
from dataops.cli import completing
from dataops.cli.adopt import say_accepted, say_nothing_written, say_open, say_written
from dataops.cli.options import accepted_because, adoption_options
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.errors import ExitCode
from dataops.planning.target import find_migration
from dataops.redaction import redact
from dataops.run import adopting
from dataops.show import json


@command("baseline", services=False)
@click.argument("service_name", metavar="SERVICE", shell_complete=completing.services)
@click.option(
    "--to",
    required=True,
    metavar="REV",
    shell_complete=completing.migrations,
    help="The newest migration that the database has.",
)
@adoption_options
def baseline_command(
    session: Session,
    service_name: str,
    to: str,
    write: bool,
    accept: bool,
    reason: str,
    bodies: bool,
    server: tuple[str, ...],
) -> ExitCode:
    """Record that a database without any record has all migrations up to --to. It is checked as by adopt.

    \b
    Example:
      dataops baseline shop --to 20240530124319
      dataops baseline shop --to 20240530124319 --write
    """
    from dataops.scratch import Scratch

    accepted = accepted_because(accept=accept, reason=reason)
    service = session.service(service_name)
    _, target = find_migration(
        [service], f"{service_name}/{to}", not_base="a database at base needs no baseline", hint="dataops apply"
    )
    with (
        signals(session) as stop,
        Scratch(session.author, servers=server, stop=stop, bodies=bodies) as scratch,
        opened(service) as backend,
    ):
        adopting.refuse_baseline(backend.read(), target)
        with session.running_files(on_scratch=True):
            expected = adopting.expect(lambda: scratch.catalogue(service, target, backend), accepted=accepted)
        say_open(session, adopting.only_told(backend, expected))
        if write:
            differences = adopting.baseline(
                backend,
                session.author,
                target,
                expected,
                reason=redact(reason),
                accepted=accepted,
                emit=session.sink(),
                stop=stop,
            )
        else:
            differences = adopting.check(backend, expected)
            if not accepted:
                adopting.refuse_differences(backend, differences, target.id, expected)
    upto = service.migrations[: service.position[target.id] + 1]
    if session.as_json:
        answer = json.baseline(session.author.run, service.name, upto, differences, written=write)
        session.answer(answer, ExitCode.OK)
        return ExitCode.OK
    say_accepted(session, differences)
    say_written(session, service, len(upto), written=write)
    if not write:
        say_nothing_written(session)
    return ExitCode.OK
