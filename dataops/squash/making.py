"""Runs the old files in a scratch database, writes the new one, and proves in a second one that it makes the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from dataops import catalogue, contents, source, statements
from dataops.backends import Lent, WritesSchema, opened
from dataops.catalogue import Catalogue
from dataops.contents import Contents
from dataops.errors import DifferencesFound, MigrationFailed, UsageError
from dataops.files import chain
from dataops.model import Migration, Service
from dataops.schema import Schema
from dataops.scratch import Scratch
from dataops.squash import writer
from dataops.squash.choosing import choose
from dataops.squash.data import carried
from dataops.squash.writer import Carrier
from dataops.statements import Statement

Report = Callable[[Migration, int, int], None]
"""Called before each old migration is run: the migration, its number, of how many."""
_NAMED = 10


@dataclass(frozen=True)
class Squashed:
    """A squashed file that was proved to make what the old ones make: nothing is written yet.

    It has the path of the newest of the old files, so that what knows that file by its name still finds it. `replaced`
    are the old files. `carriers` are those of them that carry data. `anew` names columns or fields of rows in it that
    the old files give another value each time.
    """

    path: Path
    text: str
    replaced: tuple[Migration, ...]
    carriers: tuple[Carrier, ...]
    schema: Schema
    anew: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Made:
    """What is in a scratch database in the end."""

    schema: Schema
    catalogue: Catalogue
    contents: Contents


def make(service: Service, to: Migration, scratch: Scratch, *, most_rows: int, report: Report) -> Squashed:
    """The file that makes what the files up to `to` make, with at most so many rows or documents.

    Raises UsageError where these files cannot be replaced, DifferencesFound, naming it, where something of what they
    make cannot be written, MigrationFailed, ServerUnavailable and Stopped.
    """
    chosen = choose(service, to)
    carriers: list[Carrier] = []
    lent = scratch.needs(service, to)
    with scratch.database(service) as empty:
        for number, migration in enumerate(chosen, 1):
            report(migration, number, len(chosen))
            sent: list[Statement] = []
            with statements.listening(sent.append):
                scratch.migrate(empty, migration, lent)
            if does := carried(migration, sent):
                carriers.append(Carrier(migration, does))
        before = _look(empty, most_rows)
    anew = _made_anew(scratch, service, to, lent, before) if before.schema.data else ()
    if before.schema.unwritten:
        raise _cannot(service, "cannot be written", list(before.schema.unwritten))
    text = writer.text_of(service, chosen, before.schema, carriers)
    new = Migration(to.id, (), to.path, service.kind, text.encode(), replaces=writer.replaces_of(chosen))
    # What they need may be named by the label of a branch, which the new file has now.
    kept = [replace(one, needs=source.needs(one.text)) for one in service.migrations if one not in chosen]
    history = replace(service, migrations=chain.ordered(service.name, [new, *kept]))
    with scratch.database(history) as empty:
        try:
            scratch.migrate(empty, new)
        except MigrationFailed as error:
            raise DifferencesFound(
                f"the new file does not run in an empty database, so nothing was written: {error.message}",
                service=service.name,
                hint="please report it; dataops docs migrations squash says how to write such a file by hand",
                traceback=error.traceback,
            ) from error
        after = _look(empty, most_rows)
    if different := _differences(before, after):
        raise _cannot(service, "would be different", different)
    return Squashed(to.path, text, chosen, tuple(carriers), before.schema, anew)


def _made_anew(
    scratch: Scratch, service: Service, to: Migration, lent: Mapping[str, Lent], before: _Made
) -> tuple[str, ...]:
    """Where the old files write other values each time, such as random ids and the time of day: they are run again."""
    with scratch.database(service) as empty:
        scratch.migrate(empty, to, lent)
        with opened(empty) as database:
            changes = contents.compare(_only(before.contents, before.schema.data), database.contents())
    return tuple(dict.fromkeys(f"{one.name}.{one.field}" if one.field else one.name for one in changes))


def _look(service: Service, most_rows: int) -> _Made:
    with opened(service) as database:
        if not isinstance(database, WritesSchema):
            raise UsageError(f"squash cannot write what is in a {service.kind.title} database", service=service.name)
        return _Made(database.schema(most_rows=most_rows), database.catalogue(), database.contents())


def _differences(before: _Made, after: _Made) -> list[str]:
    """What the new file makes otherwise: by the catalogue, by the rows, and by what would be written of it again."""
    strict = [replace(one.catalogue, open=frozenset()) for one in (before, after)]
    found = [str(one) for one in catalogue.compare(*strict, details=True)]
    left_out = before.schema.left_out
    found += map(str, contents.compare(_without(before.contents, left_out), _without(after.contents, left_out)))
    found += [_first_line(one) for one in before.schema.verbatim if one not in set(after.schema.verbatim)]
    if not found:
        found = [_first_line(one) for one in before.schema.statements if one not in set(after.schema.statements)]
        found += [_first_line(one) for one in after.schema.statements if one not in set(before.schema.statements)]
    return found


def _only(all_of_it: Contents, names: Mapping[str, int]) -> Contents:
    return {name: digest for name, digest in all_of_it.items() if name in names}


def _without(all_of_it: Contents, left_out: Mapping[str, int]) -> Contents:
    return {name: digest for name, digest in all_of_it.items() if name not in left_out}


def _first_line(statement: str) -> str:
    return statement.strip().split("\n")[0]


def _cannot(service: Service, what: str, names: list[str]) -> DifferencesFound:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return DifferencesFound(
        f"a squashed file would not make all that the old files make, so nothing was written; {what}: "
        f"{'; '.join(names[:_NAMED])}{more}",
        service=service.name,
        hint="squash up to a migration before it, or write such a file by hand: dataops docs migrations squash",
    )


__all__ = ["Report", "Squashed", "make"]
