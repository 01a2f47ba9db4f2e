"""Which files a squash replaces, or why they cannot be replaced. Pure."""

from __future__ import annotations

from dataops import source
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
        inner = [id_ for id_ in ids - {to.id} if other.id not in ids and _names(other, id_)]
        if inner:
            raise UsageError(
                f"{other.id} names {inner[0]} as what comes before it, and the new file would replace that",
                service=service.name,
                hint=f"squash up to a later one, which has both behind it: {_joined(service, to, other)}",
            )
    if service.mirror:
        raise UsageError(
            f"{service.mirror} has a file for each of these migrations, and its record is to have all of them",
            service=service.name,
            hint=f"stop mirroring first: remove mirror under [services.{service.unit}]; more: dataops docs adopting",
        )
    return chosen


def _names(other: Migration, id_: str) -> bool:
    """Whether a file names the other one. The label of a branch is no such name, because the new file has it too."""
    return id_ in other.parents or any(id_.startswith(name) for name in source.needs(other.text))


def _joined(service: Service, to: Migration, other: Migration) -> str:
    both = {to.id, other.id}
    found = (one.id for one in service.migrations if both <= {before.id for before in service.up_to([one.id])})
    return f"--to {next(found, service.migrations[-1].id)}"


__all__ = ["choose"]
