"""adopt: takes over databases that other tools have migrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from dataops.backends import opened
from dataops.cli.errors import code_of
from dataops.cli.options import accepted_because, adoption_options
from dataops.cli.session import Session, command
from dataops.cli.signals import signals
from dataops.errors import DataopsError, ExitCode
from dataops.model import Service, State
from dataops.othertools import examine, match
from dataops.othertools.examine import Adoption
from dataops.planning import native
from dataops.planning.native import Moved
from dataops.planning.target import BASE
from dataops.run import adopting
from dataops.run.reading import look
from dataops.run.stop import StopSignal
from dataops.show import json, paragraphs
from dataops.text import counted

if TYPE_CHECKING:
    from dataops.scratch import Scratch


@dataclass
class _Outcome:
    """A service, and what is known and done about it so far."""

    service: Service
    moved: Moved | None = None
    place: str = ""
    found: Adoption | None = None
    differences: tuple[str, ...] | None = None
    written: bool = False
    error: DataopsError | None = None

    @property
    def only_told(self) -> bool:
        """Whether there is something to record that was not recorded."""
        found = self.moved is not None or (self.found is not None and not self.found.nothing_to_do)
        return found and self.error is None and not self.written


@command("adopt")
@click.option(
    "--from", "tool", type=click.Choice(match.TOOLS), help="The tool whose record counts, if there are several."
)
@adoption_options
def adopt_command(
    session: Session, tool: str | None, write: bool, accept: bool, reason: str, bodies: bool, server: tuple[str, ...]
) -> ExitCode:
    """Take over databases from sqlx, knex, migrate-mongo and others, by their own records.

    Says what would be recorded and how the database differs from our history. Without --write, nothing is written.
    The other tool's record is never changed, so a service that still runs that tool when it starts goes on working.

    Where Alembic or pymongo-migrate has moved its record by itself since we came, that is written into our journal.

    \b
    Example:
      dataops adopt
      dataops adopt --service shop --write
      dataops adopt --service docs --from migrate-mongo --write --accept-differences --reason "index made by hand"
    """
    from dataops.scratch import Scratch

    accepted = accepted_because(accept=accept, reason=reason)
    services = session.config().services
    everyone = session.config(with_urls=False, selected=()).services
    outcomes = [_Outcome(service) for service in services]
    told: list[tuple[str, list[examine.Line]]] = []
    with signals(session) as stop, Scratch(session.author, servers=server, stop=stop, bodies=bodies) as scratch:
        for outcome, state in zip(outcomes, look(services, emit=session.sink()), strict=True):
            try:
                if isinstance(state, DataopsError):
                    raise state
                others = any(record.tool not in outcome.service.coexist for record in state.tool_records)
                moved = native.moved(state)
                if others or tool is not None or not moved:
                    outcome.found = adopting.survey(state, tool)
                if moved and (outcome.found is None or outcome.found.nothing_to_do):
                    outcome.moved = adopting.survey_moved(state)
                    outcome.place = state.elsewhere or state.service.record or f"the record of {moved.tool}"
                    _catch_up(session, outcome, state, scratch, write=write, accepted=accepted, stop=stop)
                elif outcome.found is not None:
                    lines = [replace(line, at=None) for line in outcome.found.lines]
                    same = (outcome.service.unit, lines)
                    if not session.as_json and same not in told:
                        session.console.data(paragraphs.adoption_lines(outcome.found))
                    if outcome.service.member is not None:
                        told.append(same)  # for the databases of a fleet it is said once
                    examine.refuse_unfit(outcome.found, everyone)
                    _adopt(session, outcome, scratch, write=write, accepted=accepted, stop=stop)
            except DataopsError as error:
                error.service = error.service or outcome.service.name
                outcome.error = error
            if not session.as_json:
                _tell(session, outcome)
    return _end(session, outcomes)


def _catch_up(
    session: Session,
    outcome: _Outcome,
    state: State,
    scratch: Scratch,
    *,
    write: bool,
    accepted: str,
    stop: StopSignal,
) -> None:
    """Take over what the record's own tool has done by itself."""
    assert outcome.moved is not None
    service, moved = outcome.service, outcome.moved
    if not session.as_json:
        session.console.data(paragraphs.moved_lines(service.name, state.identity.address, moved))
    head = service.by_id[state.applied[-1].id] if state.applied else None
    with opened(service) as backend:
        with session.running_files(on_scratch=True):
            expected = adopting.expect(lambda: scratch.catalogue(service, head, backend), accepted=accepted)
        say_open(session, adopting.only_told(backend, expected))
        if write:
            outcome.differences = adopting.catch_up(
                backend, session.author, moved, expected, accepted=accepted, emit=session.sink(), stop=stop
            )
            outcome.written = outcome.differences is not None
            return
        outcome.differences = adopting.check(backend, expected)
        if not accepted:
            adopting.refuse_differences(backend, outcome.differences, adopting.newest(state), expected)


def _adopt(
    session: Session, outcome: _Outcome, scratch: Scratch, *, write: bool, accepted: str, stop: StopSignal
) -> None:
    found = outcome.found
    if found is None or found.nothing_to_do:
        return
    service = outcome.service
    with opened(service) as backend:
        with session.running_files(on_scratch=True):
            expected = adopting.expect(lambda: scratch.catalogue(service, found.head, backend), accepted=accepted)
        say_open(session, adopting.only_told(backend, expected))
        if write:
            outcome.differences = adopting.take_over(
                backend, session.author, found, expected, accepted=accepted, emit=session.sink(), stop=stop
            )
            outcome.written = outcome.differences is not None
            if not outcome.written:  # another run did it meanwhile
                outcome.found = adopting.survey(backend.read(), found.record.tool)
            return
        outcome.differences = adopting.check(backend, expected, found.differences)
        if not accepted:
            adopting.refuse_differences(backend, outcome.differences, found.head.id if found.head else BASE, expected)


def _tell(session: Session, outcome: _Outcome) -> None:
    name = outcome.service.name
    if outcome.error is not None:
        session.console.error(outcome.error)
    elif outcome.moved is not None:
        say_accepted(session, outcome.differences or ())
        say_written(session, outcome.service, len(outcome.moved.lines), written=outcome.written)
    elif outcome.found is None:
        session.console.say(f"{name}: is ours already; no other tool has a record there")
    elif outcome.found.nothing_to_do:
        session.console.data([(f"{name}: nothing to adopt", "")])
    else:
        say_accepted(session, outcome.differences or ())
        count = len(outcome.found.to_record) + len(outcome.found.to_remove)
        say_written(session, outcome.service, count, written=outcome.written)


def say_accepted(session: Session, differences: Sequence[str]) -> None:
    """Say which differences are recorded as accepted."""
    session.console.messages([(f"  accepted: {difference}", "yellow") for difference in differences])


def say_open(session: Session, differences: Sequence[str]) -> None:
    """Say what differs and refuses nothing."""
    session.console.messages([(f"  {difference} (refuses nothing)", "") for difference in differences])


def say_written(session: Session, service: Service, count: int, *, written: bool) -> None:
    """Say how many migrations are recorded, or would be recorded with --write."""
    what = counted(count, "migration")
    if written:
        session.console.data([(f"{service.name}: {what} recorded (run {session.author.run})", "green")])
    else:
        session.console.data([(f"{service.name}: {what} to record", "")])


def say_nothing_written(session: Session) -> None:
    """Say that so far all of it was only looked at."""
    session.console.say("Nothing was written. Record it with --write.")


def _end(session: Session, outcomes: Sequence[_Outcome]) -> ExitCode:
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    code = code_of(errors)
    if session.as_json:
        rows = [
            json.caught_up(o.service.name, o.moved, o.place, o.differences, o.error, written=o.written)
            if o.moved is not None
            else json.adoption(o.service.name, o.found, o.differences, o.error, written=o.written)
            for o in outcomes
        ]
        session.answer({"run": session.author.run, "services": rows}, code)
    elif any(outcome.only_told for outcome in outcomes):
        say_nothing_written(session)
    return code
