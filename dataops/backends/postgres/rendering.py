"""The statements of a PostgreSQL step, as the file sends them to Alembic's offline mode in the sandbox."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from dataops.backends.postgres import guard
from dataops.backends.postgres.backfilling.refusals import BATCH
from dataops.backends.postgres.environment import options_of
from dataops.backends.sandbox import Asked, Outcome, Sandbox
from dataops.backfill import Change
from dataops.backfill.wording import words_of
from dataops.model import Rendering, Service, Step
from dataops.redaction import redact

if TYPE_CHECKING:
    from dataops.backends.postgres.foresight import Foresight

_PART = "dataops.backends.postgres.offline"

_PUTS_ASIDE = re.compile(
    r"CREATE TABLE dataops_stash_\w+\.(\S+) AS|ALTER TABLE (?:IF EXISTS )?(\S+) SET SCHEMA dataops_stash_"
)

_SERVES_STASH = re.compile(r"(CREATE|DROP) SCHEMA (IF EXISTS )?dataops_stash_|DO \$\$.*dataops_stash_", re.DOTALL)


@dataclass(frozen=True)
class Written:
    """One statement of a rendered step.

    `line` is the line of the file that sent it, 0 when that is not known. `backfill` has the fields of a
    dataops.backfill.Change, where it is run in batches.
    """

    text: str
    line: int
    in_transaction: bool
    backfill: Mapping[str, Any] | None = None


def render(
    service: Service, step: Step, sandbox: Sandbox, schemas: Collection[str] = (), foresight: Foresight | None = None
) -> Rendering:
    """The statements of a step. Raises BrokenFile. `schemas` are those where our tables are.

    `foresight` follows the plan, and says what they do.
    """
    statements, outcome = written(service, step, sandbox)
    commands = tuple(statement.text for statement in statements)
    notes = tuple(redact(words_of(service.limits, one.backfill)) for one in statements if one.backfill)
    aside = dict.fromkeys(match for command in commands for match in _PUTS_ASIDE.findall(command))
    known = Rendering(
        tuple(map(redact, commands)),
        puts_aside=tuple(redact(what.strip('"')) for pair in aside for what in pair if what),
        stash=frozenset(at for at, command in enumerate(commands) if _SERVES_STASH.match(command)),
        notes=notes,
        harms=tuple(redact(harm) for command in commands if (harm := guard.harm(command, step.migration.id, schemas))),
    )
    if foresight is not None:
        backfills = {at: Change(**one.backfill) for at, one in enumerate(statements) if one.backfill}
        inside = [(BATCH.sub("true", one.text) if one.backfill else one.text, one.in_transaction) for one in statements]
        foreseen = foresight.follow(inside, aside=known.puts_aside, harmless=known.stash, backfills=backfills)
        known = replace(known, effects=foreseen.effects, unforeseen=foreseen.unknown)
    rendering = outcome.complete(known, Asked.NOTHING, "its statements depend on the database")
    if foresight is not None and rendering.opaque:
        foresight.lose_track(f"not all statements of {step.migration.id} are known")
    return rendering


def written(service: Service, step: Step, sandbox: Sandbox) -> tuple[tuple[Written, ...], Outcome]:
    """The statements of a step, and how the file ended.

    A step that asks the database something cannot be rendered without a database. That does not mean that the step is
    wrong: it may still be applied without any problem.
    """
    statements: list[Written] = []

    def heard(message: dict[str, Any]) -> None:
        statements.append(Written(**message))

    outcome = sandbox.run(_PART, service, step, asdict(options_of(service)), heard)
    return tuple(statements), outcome


__all__ = ["Written", "render", "written"]
