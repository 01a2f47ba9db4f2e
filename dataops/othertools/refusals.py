"""What is refused for the same reason in several places, and how each tool mends its own record. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dataops.errors import HistoryError, InterruptedStep, LockNotObtained, PermissionDenied
from dataops.model import Service, State
from dataops.othertools.match import GOLANG_MIGRATE, KNEX, MIGRATE_MONGO, SQLX, by_migration
from dataops.toolrecords import Lookalike, Outcome, ToolRecord

_REPAIR = {
    SQLX: "mend the database and its row in _sqlx_migrations as sqlx asks for, then run this again",
    "flyway": "mend it, then: flyway repair",
    "prisma": "mend it, then: prisma migrate resolve",
    GOLANG_MIGRATE: "mend it, then: migrate force VERSION",
}
"""How a person repairs a failed migration of a tool, where that is not just running the tool."""
_UNLOCK = {
    KNEX: "wait for it; if no knex process runs any more: knex migrate:unlock",
    "liquibase": "wait for it; if no process runs any more: liquibase release-locks",
    MIGRATE_MONGO: "wait for it; if no process runs any more: db.changelog_lock.deleteMany({}) in mongosh",
}
"""How a person removes the lock that a killed tool left."""


def refuse_unreadable(service: Service, record: ToolRecord) -> None:
    """Raise PermissionDenied for a record that is there, but hidden from this user."""
    if not record.readable:
        raise PermissionDenied(
            f"this user may not read {record.place}, the record of {record.tool}",
            service=service.name,
            hint=f"GRANT SELECT ON {record.place} TO the user in the URL",
        )


def refuse_locked(service: Service, record: ToolRecord) -> None:
    """Raise LockNotObtained while another tool is migrating, or looks as if it were because it was killed."""
    if record.locked:
        raise LockNotObtained(
            f"{record.tool} is migrating this database now, or was killed while it did: {record.locked}",
            service=service.name,
            hint=_UNLOCK.get(record.tool, f"wait for it, or unlock it with {record.tool}"),
        )


def refuse_running(state: State) -> None:
    """Raise LockNotObtained while another tool is migrating this database, by its own lock."""
    for record in state.tool_records:
        if record.tool not in state.service.coexist:
            refuse_locked(state.service, record)


def unfinished(service: Service, record: ToolRecord, migration: str, outcome: Outcome) -> InterruptedStep:
    """The error for a migration that has failed there, or was left half-done."""
    return InterruptedStep(
        f"{record.tool} says of {migration}: {outcome.value}; nobody knows how far it came",
        service=service.name,
        migration=migration,
        hint=_REPAIR.get(record.tool, f"repair it with {record.tool} first"),
    )


def not_ours(service: Service, record: ToolRecord, others: Iterable[Service] = ()) -> HistoryError:
    """The error for a record that has no migration of ours. `others` are services that it may belong to."""
    fits = [other.name for other in others if other.name != service.unit and by_migration(other, record)[0]]
    hint = (
        f"it is the record of {' or '.join(fits)}: are two URLs swapped?"
        if fits
        else f'is the URL right? If that record is about something else: coexist = ["{record.tool}"] '
        f"under [services.{service.unit}]"
    )
    return HistoryError(
        f"this database has a record of {record.tool} ({record.place}) with {len(record.rows)} migrations, "
        "none of which is ours",
        service=service.name,
        hint=hint,
    )


def not_named(service: Service, found: Sequence[Lookalike]) -> HistoryError:
    """The error for a database that has no record under its usual name, and tables that look like one."""
    first = next((one for one in found if one.readable), found[0])
    if first.readable:
        hint = (
            f'say so in {service.folder / "adopt.toml"}: [{first.tool}] with record = "{first.place}" below it; '
            f"then: dataops adopt --service {service.name}"
        )
    elif first.tool == "Alembic":
        hint = (
            f'if it is that of this history, say version_table="{first.place.rpartition(".")[2]}" in '
            f"context.configure() of {service.folder / 'env.py'}; if it is that of another application, name it in "
            f"`ignore` under [services.{service.unit}]"
        )
    else:
        hint = (
            f"dataops cannot read it: name {first.place} in `ignore` under [services.{service.unit}], and find the "
            f"migration of ours that its newest one is; then: dataops baseline {service.name} --to REV"
        )
    told = "; ".join(str(one) for one in found)
    return HistoryError(
        f"no record of another tool is in this database under its usual name; {told}", service=service.name, hint=hint
    )


__all__ = ["not_named", "not_ours", "refuse_locked", "refuse_running", "refuse_unreadable", "unfinished"]
