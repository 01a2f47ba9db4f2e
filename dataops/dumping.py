"""Makes the schema files of a service from its history, on a scratch database: `dataops schema dump`.

It also shows how a database will change by a plan, where the schema files say what the plan leads to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataops import schemafile
from dataops.backends import Database, WritesSchema, opened
from dataops.errors import DataopsError
from dataops.model import Direction, Plan, Service
from dataops.schema import Schema
from dataops.schemafile import SchemaFile
from dataops.scratch import Scratch


@dataclass(frozen=True)
class Change:
    """How the schema of a service changes by a plan, as a unified diff, or why nobody can say: `problem`."""

    service: str
    diff: str = ""
    problem: str = ""


def dump(service: Service, scratch: Scratch) -> SchemaFile | DataopsError:
    """What the whole history of a service makes, or the error that keeps us from knowing. No database is needed."""
    head = service.migrations[-1] if service.migrations else None
    try:
        catalogue, text = scratch.made(service, head, None, structure)
        return schemafile.made(service, head.id if head else None, catalogue, text)
    except DataopsError as error:
        error.service = error.service or service.name
        return error


def structure(database: Database) -> Schema | None:
    """What makes the database again, without rows and rights; None for a kind of database that has no SQL."""
    if database.service.kind.language != "sql" or not isinstance(database, WritesSchema):
        return None
    return database.schema(most_rows=None)


def changes(plan: Plan, folder: Path) -> tuple[Change, ...]:
    """What each service of a plan will be like, against what its database is now. Only reads.

    A service without schema files is left out. What a MongoDB has beside the file is its application's own, and of
    that only what a migration of the plan drops by its name is shown.
    """
    if plan.direction is not Direction.APPLY:
        return ()
    return tuple(_changes(plan, folder))


def _changes(plan: Plan, folder: Path) -> Iterator[Change]:
    for state in plan.states:
        service, steps = state.service, plan.of(state.service.name)
        if not steps or not schemafile.is_there(folder, service):
            continue
        to = steps[-1].migration.id
        try:
            file = schemafile.load(folder, service)
            if file.head != to:
                problem = f"the schema files are of {file.head}: run dataops schema dump {service.unit}"
                yield Change(service.name, problem=problem)
                continue
            with opened(service) as database:
                now = schemafile.made(service, to, database.catalogue(), structure(database))
            planned = {step.migration.id for step in steps}
        except DataopsError as error:
            yield Change(service.name, problem=error.message)
        else:
            yield Change(service.name, file.changed_from(now, planned))


__all__ = ["Change", "changes", "dump", "structure"]
