"""Which migration a person means: an id, the beginning of one, SERVICE/ID, or `base`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataops.errors import Blocked, UsageError
from dataops.model import Migration, Service, State
from dataops.redaction import redact
from dataops.text import near

BASE = "base"


def of_history(services: Sequence[Service], meant: Service) -> list[Service]:
    """Those of the services that `find_target` means: for a database that stands for its fleet, all that are chosen."""
    return [one for one in services if one.unit == meant.name] or [meant]


def find_target(services: Sequence[Service], wanted: str) -> tuple[Service, Migration | None]:
    """The service and the migration that are meant; without a migration for `base`, which comes before the first one.

    Databases of a fleet have one history, for which the first of them stands, under the name of the fleet; where a
    person has named a database, that one is found. A whole id counts more than the beginning of another one. Raises
    UsageError, with the names that look alike, and Blocked for one that is squashed.
    """
    name, slash, rest = wanted.partition("/")
    named = next((service for service in services if service.name == name), None) if slash else None
    if named is not None:
        return _find([named], rest, named=True)
    services = _histories(services)
    if not slash:
        return _find(services, wanted)
    service = next((service for service in services if service.name == name), None)
    if service is None:
        raise UsageError(
            f"there is no service {redact(name)} among the chosen ones", hint=near(name, [one.name for one in services])
        )
    return _find([service], rest, named=True)


def _histories(services: Sequence[Service]) -> list[Service]:
    """One service for each history: that of a fleet is one of its databases, with the fleet's name."""
    found: dict[str, Service] = {}
    for service in services:
        if service.unit not in found:
            found[service.unit] = service if service.member is None else replace(service, name=service.unit)
    return list(found.values())


def _find(services: Sequence[Service], wanted: str, *, named: bool = False) -> tuple[Service, Migration | None]:
    """`named`: a person has named the service, so that errors need not repeat it before each id."""
    if wanted == BASE:
        if len(services) == 1:
            return services[0], None
        raise UsageError(f"{BASE} of which service?", hint=f"write SERVICE/{BASE}, or choose one with --service")
    every = [(service, migration) for service in services for migration in service.migrations]
    exact = [one for one in every if one[1].id == wanted]
    hits = exact or [one for one in every if one[1].id.startswith(wanted)]
    if len(hits) == 1:
        return hits[0]
    of = services[0].name if named else None
    if not hits:
        _refuse_squashed(services, wanted)
        raise UsageError(
            f"there is no migration {redact(wanted)}",
            service=of,
            hint=near(wanted, [migration.id for _, migration in every]),
        )
    ids = [migration.id if named else f"{service.name}/{migration.id}" for service, migration in hits[:5]]
    same = not named and len({migration.id for _, migration in hits}) == 1
    hint = f"name the service too, for example {ids[0]}" if same else "write more of the id"
    raise UsageError(f"{wanted} could be any of {', '.join(ids)}", service=of, hint=hint)


def _refuse_squashed(services: Sequence[Service], wanted: str) -> None:
    """Raise Blocked where a squashed file took the place of the wanted migration: there is no stopping inside of it."""
    for service in services:
        replaced = service.replaced_by
        found = [wanted] if wanted in replaced else [id_ for id_ in replaced if id_.startswith(wanted)]
        if wanted and found:
            squashed = replaced[found[0]]
            raise Blocked(
                f"{found[0]} has no file any more: {squashed.path.name} took its place, and is done as a whole or not",
                service=service.name,
                migration=found[0],
                hint=f"name {squashed.id} or a later one; or use the files from before the squash",
            )


def find_recorded(state: State, wanted: str) -> str | None:
    """The id that the record or the journal has, without a file here, and that is meant; None if there is none."""
    last = [state.last.migration] if state.last is not None else []
    ids = [id_ for id_ in dict.fromkeys((*state.unknown, *state.claims, *last)) if id_ not in state.service.by_id]
    hits = [id_ for id_ in ids if id_ == wanted] or [id_ for id_ in ids if wanted and id_.startswith(wanted)]
    return hits[0] if len(hits) == 1 else None


def find_migration(
    services: Sequence[Service], wanted: str, *, not_base: str, hint: str = ""
) -> tuple[Service, Migration]:
    """Like `find_target`, where base is no answer: raises UsageError, which says `not_base` and `hint`."""
    service, migration = find_target(services, wanted)
    if migration is None:
        raise UsageError(not_base, hint=hint)
    return service, migration


__all__ = ["BASE", "find_migration", "find_recorded", "find_target", "of_history"]
