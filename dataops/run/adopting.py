"""Takes over a database that others have migrated.

`survey` finds out what adopting it would record. `check` compares the live catalogue with the one that our history
makes up to that migration. `take_over` and `baseline` read again under the lock, and then write. The other tool's
own record is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dataops.backends import Database
from dataops.backends.locking import begin_under_lock
from dataops.catalogue import Catalogue, Difference
from dataops.errors import DifferencesFound, HistoryError, MigrationFailed, StalePlan
from dataops.events import Emit
from dataops.model import Adopted, Author, Direction, JournalEvent, Migration, State
from dataops.othertools import examine, match
from dataops.othertools.examine import Adoption, Line
from dataops.planning import checks, native, recovery
from dataops.planning.native import Moved
from dataops.planning.target import BASE
from dataops.run import comparing
from dataops.run.stop import StopSignal
from dataops.run.under_lock import hold_lock
from dataops.text import counted
from dataops.toolrecords import ToolRecord


def survey(state: State, wanted: str | None) -> Adoption | None:
    """What adopting this database would record, or None when another tool has no record here and none is needed.

    `wanted` names the tool. Raises UsageError, HistoryError, DatabaseAhead, InterruptedStep.
    """
    recovery.refuse_half_done(state)
    checks.refuse_unknown(state)
    if wanted is None and state.applied and all(record.tool in state.service.coexist for record in state.tool_records):
        return None
    return examine.examine(state, examine.choose(state, wanted))


def refuse_baseline(state: State, to: Migration) -> None:
    """Raise HistoryError when the database has a record already, because a baseline is for one without.

    Raises InterruptedStep too.
    """
    service = state.service
    recovery.refuse_half_done(state)
    if state.applied or state.unknown:
        newest = state.unknown[-1] if state.unknown else state.applied[-1].id
        raise HistoryError(
            f"this database has a record already: {newest} is applied",
            service=service.name,
            hint=f"a baseline is for a database without one; to go on: dataops apply --to {service.name}/{to.id}",
        )
    for record in state.tool_records:
        if record.tool not in service.coexist and match.by_migration(service, record)[0]:
            raise HistoryError(
                f"{record.tool} has a record of this database ({record.place})",
                service=service.name,
                hint=f"adopt that: dataops adopt --service {service.name}",
            )


Expected = Catalogue | MigrationFailed
"""What a database should be like, or why the history cannot be built, so that nothing can be compared."""


def expect(build: Callable[[], Catalogue], *, accepted: str) -> Expected:
    """The catalogue that `build` makes. With `accepted`, the reason of a person, a history that fails is no obstacle.

    Raises what `build` raises.
    """
    try:
        return build()
    except MigrationFailed as error:
        if not accepted:
            error.hint = f'{error.hint}; or adopt without the comparison: --accept-differences --reason "..."'
            raise
        return error


def only_told(database: Database, expected: Expected) -> tuple[str, ...]:
    """The open differences, which refuse nothing: settings such as fillfactor, and versions of extensions."""
    return tuple(str(one) for one in _differences(database, expected) if one.open)


def check(database: Database, expected: Expected, changed: Sequence[str] = ()) -> tuple[str, ...]:
    """How the live database differs from what is `expected`. The differences in `changed` come first.

    Open differences are left out: see `only_told`.
    """
    if isinstance(expected, MigrationFailed):
        return (*changed, f"nothing was compared: {' '.join(expected.message.split())}")
    return (*changed, *(str(one) for one in _differences(database, expected) if not one.open))


def _differences(database: Database, expected: Expected) -> tuple[Difference, ...]:
    if isinstance(expected, MigrationFailed):
        return ()
    return comparing.differences(database, expected, database.catalogue())


def refuse_differences(database: Database, differences: Sequence[str], head: str, expected: Expected) -> None:
    """Raise DifferencesFound with all of them, if there are any. `expected` is what they differ from."""
    if not differences:
        return
    caution = ""
    if not isinstance(expected, MigrationFailed) and (other := expected.other_server(found := database.catalogue())):
        caution = f"our history was run on {other}, and the database is on {found.server}: "
        caution += "name a server of that version with --scratch URL; "
    listed = "\n".join(f"  {difference}" for difference in differences)
    raise DifferencesFound(
        f"{counted(len(differences), 'difference')} between the database and our history at {head}\n{listed}",
        service=database.service.name,
        migration=head,
        hint=caution + 'mend the database, or accept them as they are: --accept-differences --reason "..."; '
        "more: dataops docs adopting differences",
    )


def take_over(
    database: Database,
    author: Author,
    adoption: Adoption,
    expected: Expected,
    *,
    accepted: str,
    emit: Emit,
    stop: StopSignal,
) -> tuple[str, ...] | None:
    """Write what `adoption` says, all or nothing. Returns the differences, or None when another run has done it.

    With `accepted`, the reason of a person, differences are written into the journal instead of refused. Raises
    DifferencesFound, LockNotObtained, and StalePlan when anything has changed since `survey`.
    """
    service, record = database.service, adoption.record

    def examine_again(state: State) -> Adoption:
        recovery.refuse_half_done(state, locked=True)
        return examine.examine(state, examine.choose(state, record.tool))

    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        now = begin_under_lock(locked, examine_again)
        if now.record == record and now.nothing_to_do:
            return None
        if now.record != record or _recordable(now) != _recordable(adoption):
            raise StalePlan("the record changed since it was looked at", service=service.name, hint="look again")
        differences = check(database, expected, now.differences)
        if not accepted:
            refuse_differences(database, differences, now.head.id if now.head else BASE, expected)
        removed = [_adopted(author, record, line, Direction.ROLLBACK) for line in now.to_remove]
        recorded = [_adopted(author, record, line, Direction.APPLY) for line in now.to_record]
        locked.adopt(record, _accepting([*removed, *recorded], differences, accepted))
        return differences


def catch_up(
    database: Database,
    author: Author,
    moved: Moved,
    expected: Expected,
    *,
    accepted: str,
    emit: Emit,
    stop: StopSignal,
) -> tuple[str, ...] | None:
    """Write into the journal what the record's own tool has done by itself. The record stays as it is.

    Returns and raises what `take_over` does.
    """
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        state = begin_under_lock(locked, _to_catch_up)
        now = native.moved(state)
        if not now:
            return None
        if now != moved:
            raise StalePlan("the record changed since it was looked at", service=state.service.name, hint="look again")
        differences = check(database, expected)
        if not accepted:
            refuse_differences(database, differences, newest(state), expected)
        reason = f"{moved.tool}: it did this by itself; its record says so"
        entries = [
            Adopted(author.entry(migration, direction, JournalEvent.ADOPTED, reason=reason))
            for migration, direction in moved.lines
        ]
        for one in _accepting(entries, differences, accepted):
            locked.write(one.entry)
        return differences


def survey_moved(state: State) -> Moved:
    """What the record's own tool has done by itself, where a database can be brought to agree with its journal.

    Raises InterruptedStep, and OutOfOrder where the record has a gap.
    """
    recovery.refuse_half_done(state)
    moved = native.moved(state)
    if moved:
        checks.refuse_gap(state)
    return moved


def newest(state: State) -> str:
    """The newest applied migration, or the name of the state without one."""
    return state.applied[-1].id if state.applied else BASE


def _to_catch_up(state: State) -> State:
    recovery.refuse_half_done(state, locked=True)
    checks.refuse_gap(state)
    return state


def baseline(
    database: Database,
    author: Author,
    to: Migration,
    expected: Expected,
    *,
    reason: str,
    accepted: str,
    emit: Emit,
    stop: StopSignal,
) -> tuple[str, ...]:
    """Record every migration up to `to` as applied by somebody else, all or nothing. Returns the differences.

    `accepted` and the errors are those of `take_over`.
    """
    service = database.service
    with hold_lock(database, author, emit=emit, stop=stop) as locked:
        begin_under_lock(locked, lambda state: refuse_baseline(state, to))
        differences = check(database, expected)
        if not accepted:
            refuse_differences(database, differences, to.id, expected)
        text = f"{examine.BASELINE}: {reason or 'it was there before dataops'}"
        upto = service.migrations[: service.position[to.id] + 1]
        entries = [Adopted(author.entry(m, Direction.APPLY, JournalEvent.ADOPTED, reason=text)) for m in upto]
        locked.adopt(None, _accepting(entries, differences, accepted))
        return differences


def _recordable(adoption: Adoption) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    return adoption.to_record, adoption.to_remove


def _adopted(author: Author, record: ToolRecord, line: Line, direction: Direction) -> Adopted:
    assert line.migration is not None
    entry = author.entry(line.migration, direction, JournalEvent.ADOPTED, reason=examine.reason(record, line))
    return Adopted(entry, line.at)


def _accepting(entries: list[Adopted], differences: Sequence[str], accepted: str) -> list[Adopted]:
    """Add to the newest entry which differences a person accepted, and why."""
    if not entries or not differences:
        return entries
    newest = entries[-1].entry
    reason = f"{newest.reason}; accepted, because {accepted}: {'; '.join(differences)}"
    return [*entries[:-1], replace(entries[-1], entry=replace(newest, reason=reason))]


__all__ = [
    "baseline",
    "catch_up",
    "check",
    "expect",
    "newest",
    "only_told",
    "refuse_baseline",
    "refuse_differences",
    "survey",
    "survey_moved",
    "take_over",
]
