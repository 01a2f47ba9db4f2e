"""Which files a squash replaces, or why they cannot be replaced. Pure."""

from __future__ import annotations

from dataops.errors import UsageError
from dataops.model import Migration, Service


def choose(service: Service, to: Migration) -> tuple[Migration, ...]:
    """The migrations up to `to`, in the order of the history. Raises UsageError where one file cannot replace them."""
    chosen = service.up_to([to.id])
    ids = {migration.id for migration in chosen}
    if len(chosen) < 2:
        raise UsageError(
            f"{to.id} is the first migration: there is nothing to squash",
            service=service.name,
            hint="name a later one with --to",
        )
    for other in service.migrations:
        inner = [id_ for id_ in (*other.parents, *other.needs) if id_ in ids and id_ != to.id]
        if other.id not in ids and inner:
            raise UsageError(
                f"{other.id} comes after {inner[0]}, which the new file would replace, and not after {to.id}",
                service=service.name,
                hint=f"squash up to a migration that has both behind it: {_joined(service, to, other)}",
            )
    if service.mirror:
        raise UsageError(
            f"{service.mirror} has a file for each of these migrations, and its record is to have all of them",
            service=service.name,
            hint=f"stop mirroring first: remove mirror under [services.{service.name}]; docs/adopting.md",
        )
    return chosen


def _joined(service: Service, to: Migration, other: Migration) -> str:
    both = {to.id, other.id}
    found = (one.id for one in service.migrations if both <= {before.id for before in service.up_to([one.id])})
    return f"--to {next(found, service.migrations[-1].id)}"


__all__ = ["choose"]
