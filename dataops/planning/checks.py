"""What has to be true about files and records before anything is planned, or a refusal with its remedy. Pure.

Each function raises an error, or returns because everything is as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataops.errors import (
    Blocked,
    BrokenFile,
    ConfigError,
    DatabaseAhead,
    DataopsError,
    EditedAfterApply,
    NotEmpty,
    OutOfOrder,
    RecordMoved,
)
from dataops.model import Ahead, AppliedMigration, Direction, Migration, Service, State
from dataops.othertools import drift
from dataops.planning import native, squashed
from dataops.redaction import redact
from dataops.toolrecords import Lookalike, is_called_like_a_record

_SHOWN = 5


def check(state: State, direction: Direction = Direction.APPLY) -> None:
    """Refuse files and records that do not make one history, for a plan in this direction.

    Raises HistoryError and DatabaseAhead; because of another tool's record also InterruptedStep and PermissionDenied.
    """
    drift.refuse_moved_on(state, direction)
    _refuse_not_empty(state)
    squashed.check(state)
    _refuse_ahead(state)
    refuse_gap(state)
    _refuse_disagreement(state)
    for migration in state.service.migrations:
        _refuse_unpinned(state.service, migration)
    for applied in state.applied:
        refuse_edited(state.service, applied)
    _refuse_long_id(state)


def _refuse_not_empty(state: State) -> None:
    """The first apply looks around: history that runs over somebody's tables may do anything to them."""
    found = state.unexplained
    if not found or state.service.onto_existing:
        return
    name = state.service.name
    records = [one for one in found if is_called_like_a_record(one.rpartition(".")[2])]
    shown = list(dict.fromkeys((*records[:_SHOWN], *found[:_SHOWN])))[:_SHOWN]
    more = f" and {len(found) - len(shown)} more" if len(found) > len(shown) else ""
    alike = [str(one) for one in state.lookalikes] or [str(Lookalike(one)) for one in records[:1]]
    like = "".join(f"; {one}" for one in alike)
    raise NotEmpty(
        f"the database is not empty, and nothing says what was applied here: it has {', '.join(shown)}{more}{like}",
        service=name,
        hint=f"if another tool has migrated it: dataops adopt --service {name}; if it is as our history makes it: "
        f"dataops baseline {name} --to REV; if our history is meant to run onto it: apply with --onto-existing, or set "
        f"onto_existing = true under [services.{state.service.unit}]; more: dataops docs operations the-first-apply",
    )


def _refuse_ahead(state: State) -> None:
    if not state.unknown:
        return
    service, newest = state.service, state.unknown[-1]
    if state.pending:
        raise OutOfOrder(
            f"{newest} is applied but has no file here, while {state.pending[0].id} is pending",
            service=service.name,
            migration=newest,
            hint="the file was removed, or this code and the database come from different branches: use the code that "
            f"knows both; or, if {state.pending[0].id} replaces what has no file, and the database has all that it "
            f'makes: dataops resolve {service.name}/{state.pending[0].id} --applied --reason "..."',
        )
    if service.ahead is Ahead.REFUSE:
        more = f" and {len(state.unknown) - 1} more" if len(state.unknown) > 1 else ""
        raise DatabaseAhead(
            f"the database is ahead of this code: it has {newest}{more}, which no file here describes",
            service=service.name,
            migration=newest,
        )


def refuse_unknown(state: State) -> None:
    """Raise DatabaseAhead where something is applied that no file here describes, whatever `ahead` allows."""
    if state.unknown:
        raise DatabaseAhead(
            f"the database is ahead of this code: it has {state.unknown[-1]}, which no file here describes",
            service=state.service.name,
            migration=state.unknown[-1],
        )


def refuse_gap(state: State) -> None:
    service = state.service
    for migration, applied in zip(service.migrations, state.applied, strict=False):
        if migration.id != applied.id and service.forked:
            raise _in_a_fork(state)
        if migration.id != applied.id:
            raise OutOfOrder(
                f"{applied.id} is applied, but {migration.id}, which comes before it, is not",
                service=service.name,
                migration=migration.id,
                hint="if it was run by hand: "
                f'dataops resolve {service.name}/{migration.id} --applied --reason "..."; '
                "if the file is new, give it a parent after the last applied one",
            )


def _in_a_fork(state: State) -> OutOfOrder:
    """The error for a database that has a part of one branch of a history, but none or not all of those before it."""
    service, applied = state.service, state.applied_ids
    heads = service.heads(applied)
    ids = [migration.id for migration in service.migrations]
    end = next(
        id_ for at, id_ in enumerate(ids) if applied <= set(ids[: at + 1]) and service.heads(ids[: at + 1]) == (id_,)
    )
    return OutOfOrder(
        f"the database stands in the middle of a fork: {' and '.join(heads)} applied, "
        f"and a branch that comes before in this history is not",
        service=service.name,
        migration=heads[-1],
        hint=f"end the fork first: {service.kind.format.go_to.format(id=end)}",
    )


def _refuse_long_id(state: State) -> None:
    room = state.id_room
    too_long = next((m for m in state.pending if room is not None and len(m.id) > room), None)
    if too_long is not None:
        raise BrokenFile(
            f"{too_long.path}: the id {too_long.id} has {len(too_long.id)} characters: the record has room for {room}",
            service=state.service.name,
            migration=too_long.id,
            hint="give it a shorter id, or let an earlier migration make the column wider; dataops explain H016",
        )


def _refuse_unpinned(service: Service, migration: Migration) -> None:
    missing = [pinned.name for pinned in migration.pinned if pinned.digest is None]
    if missing:
        raise BrokenFile(
            f"{migration.path}: depends names {redact(missing[0])}, and there is no such file in {service.top}",
            service=service.name,
            migration=migration.id,
            hint="put that file back, or correct the path: it begins at the folder of dataops.toml",
        )


def refuse_edited(service: Service, applied: AppliedMigration) -> None:
    """Raise EditedAfterApply when the file's code is not the code that was applied."""
    migration = service.by_id[applied.id]
    if applied.checksum is None or applied.raw_checksum == migration.raw_checksum:
        return
    if applied.checksum in migration.replaces.get(applied.id, ()):
        return
    if checksum_of(service, migration) != applied.checksum:
        also = f" (or {', '.join(redact(one.name) for one in migration.pinned)}, which it depends on)"
        raise EditedAfterApply(
            f"{migration.path}{also if migration.pinned else ''} was edited after it had been applied",
            service=service.name,
            migration=migration.id,
        )


def checksum_of(service: Service, migration: Migration) -> str:
    """The semantic checksum. Raises BrokenFile for a file that does not parse."""
    try:
        return migration.checksum
    except BrokenFile as error:
        error.service = service.name
        raise


def refuse_same_database(states: Sequence[State]) -> None:
    """Refuse two services in one database, because they would share one record. Raises ConfigError."""
    for one, other in _in_one_database(states):
        raise ConfigError(
            f"{other.service.name} and {one.service.name} are the same database ({one.identity.address})",
            hint="two histories cannot share one record: correct one of the two URLs",
        )


def same_databases(states: Sequence[State]) -> dict[str, DataopsError]:
    """What is wrong with the services that share a database, by their names; the first of each database names another.

    A service that is only observed may share one.
    """
    found: dict[str, DataopsError] = {}
    for one, other in _in_one_database([state for state in states if not state.service.observe]):
        for here, there in ((one, other), (other, one)):
            error = ConfigError(
                f"this is the same database as that of {there.service.name} ({here.identity.address})",
                service=here.service.name,
                hint="nothing can be planned: correct one of the two URLs, or leave out one of the two names",
            )
            found.setdefault(here.service.name, error)
    return found


def _in_one_database(states: Sequence[State]) -> Iterator[tuple[State, State]]:
    """Each state whose database is that of an earlier one, with that one."""
    seen: dict[object, State] = {}
    for state in states:
        one = state.identity
        others = [seen.setdefault(mark, state) for mark in ((one.server, one.database), *one.marks)]
        other = next((other for other in others if other is not state), None)
        if other is not None:
            yield state, other


def refuse_lossy(state: State, chosen: Sequence[AppliedMigration]) -> None:
    """Refuse to undo a migration that another tool applied, if it threw something away that nobody put aside.

    Raises Blocked, and HistoryError where the other tool's record would still list a migration.
    """
    service = state.service
    for applied in chosen:
        # A file of ours puts aside what it throws away, whoever runs it.
        by_its_file = applied.adopted == service.kind.format.tool
        if applied.adopted and not by_its_file and service.by_id[applied.id].facts.puts_aside:
            raise Blocked(
                f"{applied.id} was applied by {applied.adopted}, not by dataops: what it threw away was not put aside "
                "and cannot be given back",
                service=service.name,
                migration=applied.id,
                hint=f"nothing was rolled back; stop there: --to {applied.id}, or restore a backup",
            )
    refuse_undone_elsewhere(state, [service.by_id[applied.id] for applied in chosen])


def refuse_undone_elsewhere(state: State, migrations: Sequence[Migration]) -> None:
    """Refuse to undo what another tool has undone already, or would go on listing. Raises HistoryError."""
    drift.refuse_taken_back(state, migrations)
    drift.refuse_unmirrored_rollback(state, migrations)


def _refuse_disagreement(state: State) -> None:
    for id_, applied in state.claims.items():
        if applied is (id_ in state.recorded_ids):
            continue
        said, recorded = ("applied", "not applied") if applied else ("rolled back", "applied")
        answer = "--not-applied" if applied else "--applied"
        name, moved = state.service.name, native.moved(state)
        resolve = f'dataops resolve {name}/{id_} {answer} --reason "..."'
        raise RecordMoved(
            f"the journal says that {id_} is {said}, the native record says it is {recorded}",
            service=name,
            migration=id_,
            hint=f"{moved}; to write that into the journal: dataops adopt --service {name}; if somebody "
            f"else changed the record, and it is right: {resolve}"
            if moved
            else f"somebody changed the record with another tool; if the native record is right: {resolve}",
        )
