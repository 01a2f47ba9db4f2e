"""Which migration `--to` means. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from dataops.errors import (
    UsageError,
)
from dataops.files import chain
from dataops.model import Migration, Service
from dataops.text import near

BASE = "base"


def find_target(services: Sequence[Service], wanted: str) -> tuple[Service, Migration | None]:
    """The service and migration that `--to` means: an id, its beginning, SERVICE/ID, or `base` (None: before all).

    Raises UsageError.
    """
    name, slash, rest = wanted.partition("/")
    if slash:
        chosen = [service for service in services if service.name == name]
        if not chosen:
            raise UsageError(
                f"there is no service {name} among the chosen ones", hint=near(name, [s.name for s in services])
            )
        return chosen[0], None if rest == BASE else chain.find(name, chosen[0].migrations, rest)
    if wanted == BASE:
        if len(services) == 1:
            return services[0], None
        raise UsageError(f"{BASE} of which service?", hint=f"write SERVICE/{BASE}, or choose one with --service")
    hits = [(service, m) for service in services for m in service.migrations if m.id == wanted] or [
        (service, m) for service in services for m in service.migrations if m.id.startswith(wanted)
    ]
    if len(hits) == 1:
        return hits[0]
    if not hits:
        ids = [m.id for service in services for m in service.migrations]
        raise UsageError(f"there is no migration {wanted}", hint=near(wanted, ids))
    raise UsageError(
        f"{wanted} could be any of {', '.join(f'{s.name}/{m.id}' for s, m in hits[:5])}", hint="write more of the id"
    )


def find_migration(
    services: Sequence[Service], wanted: str, *, not_base: str, hint: str = ""
) -> tuple[Service, Migration]:
    """Like `find_target`, where base is no answer: raises UsageError, which says `not_base` and `hint`."""
    service, migration = find_target(services, wanted)
    if migration is None:
        raise UsageError(not_base, hint=hint)
    return service, migration
