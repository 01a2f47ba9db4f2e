"""Databases that only another tool migrates: where they stand by that tool's record. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dataops.errors import DataopsError, PermissionDenied
from dataops.model import State
from dataops.othertools.match import GOLANG_MIGRATE, bare_name, leading_number, significant
from dataops.othertools.refusals import refuse_unreadable, unfinished
from dataops.toolrecords import Outcome, ToolRecord, ToolRow


@dataclass(frozen=True)
class Observation:
    """Where a service stands that we only observe.

    `waiting` says what is still missing; it is empty when nothing is. `problem` is what no waiting will mend.
    """

    record: ToolRecord | None
    newest: ToolRow | None = None
    waiting: str = ""
    problem: DataopsError | None = None


def watch(state: State) -> Observation:
    """Say where the service stands, by the record of the tool that migrates it. Raises nothing."""
    service = state.service
    record = next((found for found in state.tool_records if found.tool == service.observe), None)
    if record is None:
        return Observation(None, waiting=f"{service.observe} has no record here yet")
    try:
        refuse_unreadable(service, record)
    except PermissionDenied as error:
        return Observation(record, problem=error)
    newest = next((row for row in reversed(record.rows) if not row.repeatable), None)
    for row in record.rows:
        if row.outcome is not Outcome.APPLIED:
            return Observation(record, newest, problem=unfinished(service, record, row.name, row.outcome))
    if record.locked:
        return Observation(record, newest, waiting=f"{record.tool} is migrating, or was killed: {record.locked}")
    if not record.rows:
        return Observation(record, waiting=f"{record.tool} has applied nothing yet")
    if service.expect and not any(_reaches(record, row, service.expect) for row in record.rows):
        return Observation(record, newest, waiting=f"{service.expect} is not applied yet")
    return Observation(record, newest)


def _reaches(record: ToolRecord, row: ToolRow, expected: str) -> bool:
    names = {bare_name(name) for name in row.names}
    numbers = {significant(leading_number(name)) for name in names}
    if record.tool == GOLANG_MIGRATE and row.name.isdigit() and expected.isdigit():
        return int(row.name) >= int(expected)
    return bare_name(expected) in names or (expected.isdigit() and significant(expected) in numbers)
