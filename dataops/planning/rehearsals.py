"""What rehearsals have measured, kept beside dataops.toml, and carried over to the live sizes in a plan.

The file has names, sizes and seconds, and no value of a row or document. What it says of a step counts as long as the
step's file and the database are the same, and it is not too old.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dataops import outfile
from dataops.errors import CannotWrite
from dataops.hazards import LONG_SECONDS
from dataops.model import (
    Direction,
    Effect,
    Identity,
    Measured,
    Observed,
    Plan,
    Rehearsed,
    Rendering,
    Risk,
    Sampled,
    Span,
    Step,
    StepMeasured,
    Verb,
    Work,
    recognized,
)
from dataops.model.effect import MEASURED, together
from dataops.statements import comparable, without_values

FILE = Path(".dataops", "rehearsal.json")
MOST_DAYS = 30
_VERSION = 1
_LOW, _HIGH = 0.3, 3.0
"""A live server has other disks, and less of a big table in memory than of a sample."""
_CLOCK = 0.001
_ONCE, _ONCE_FOR_MONGODB_INDEX = 0.004, 0.15
"""Seconds that a statement may take however many rows there are: the least counts without them, the most with them."""


def database_of(identity: Identity) -> str:
    """What recognizes a live database without saying where it is."""
    return hashlib.sha256(f"{identity.server}\0{identity.database}".encode()).hexdigest()[:16]


def save(top: Path, new: Sequence[Rehearsed]) -> None:
    """Keep these rehearsals in the folder of dataops.toml, in the place of older ones of the same databases.

    The file can be read by its owner only, and git does not see it. Raises CannotWrite.
    """
    told = {(one.service, one.database) for one in new}
    kept = [*new, *(one for one in load(top) if (one.service, one.database) not in told)]
    path = top / FILE
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        ignore = path.parent / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise CannotWrite(f"{path.parent}: {error.strerror}", hint="plan would not know of the rehearsal") from error
    text = json.dumps({"version": _VERSION, "rehearsals": [_written(one) for one in kept]}, indent=1)
    outfile.write_private(path, text + "\n", hint="plan would not know of the rehearsal")


def load(top: Path) -> list[Rehearsed]:
    """The rehearsals that are kept in a folder; none where there is no file, or one that is not as we write it."""
    try:
        content = json.loads((top / FILE).read_text(encoding="utf-8"))
        return [_read(one) for one in content["rehearsals"]] if content["version"] == _VERSION else []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def measured(
    plan: Plan, renderings: Mapping[str, Rendering], known: Sequence[Rehearsed], now: datetime
) -> dict[str, Rendering]:
    """The renderings with the times that rehearsals of the same files on the same databases have measured."""
    return {
        id_: _step(step, renderings[id_], plan, known, now) for step in plan.steps if (id_ := step.id) in renderings
    }


def paired(commands: Sequence[str], statements: Sequence[Measured]) -> dict[int, tuple[int, Measured]]:
    """Which of the commands of a plan ran as which statement, with the position of that.

    They are recognized by their order, and by their text without values, or by name and collection. Where a file sends
    one command of the plan several times, as in batches, all of them together are its statement.
    """
    found: dict[int, tuple[int, Measured]] = {}
    names = [_names(command) for command in commands]
    often = Counter(name for both in names for name in both)
    at = 0
    for position, both in enumerate(names):
        same = next((there for there in range(at, len(statements)) if statements[there].digest in both), None)
        if same is None:
            continue
        digest = statements[same].digest
        all_ = [one for one in statements[same:] if one.digest == digest]
        found[position] = same, (_together(all_) if often[digest] == 1 else statements[same])
        at = same + 1
    return found


def _names(command: str) -> tuple[str, str]:
    return recognized(comparable(without_values(command))), recognized(" ".join(command.split(" ")[:2]))


def _together(statements: Sequence[Measured]) -> Measured:
    changed = [one.changed for one in statements if one.changed is not None]
    seconds = sum(one.seconds for one in statements)
    return replace(statements[0], seconds=seconds, changed=sum(changed) if changed else None)


def effects_of(step: StepMeasured, rendering: Rendering | None) -> dict[int, Effect]:
    """What the plan says of each statement that ran, by its position. Only what is applied has been planned."""
    if rendering is None or step.direction is Direction.ROLLBACK:
        return {}
    foreseen = {effect.command: effect for effect in rendering.effects}
    ran = paired(rendering.commands, step.statements)
    return {at: foreseen[command] for command, (at, _) in ran.items() if command in foreseen}


def carried(statement: Measured, effect: Effect | None, tables: Mapping[str, Sampled]) -> Span | None:
    """How long a statement may take live. None where the sample says nothing of that.

    Time grows with the rows, and with rows times their logarithm where an index is built. Of a change it may also grow
    with the rows that are changed only. What the plan estimates from sizes bounds it, where the two agree at all.
    """
    factors = list(_factors(statement, effect, tables))
    if not factors or any(not sampled.rows for _, _, sampled in factors):
        return None
    one_in = max(sampled.one_in for _, _, sampled in factors)
    seconds = max(0.0, statement.seconds - _fixed(effect))
    low = _CLOCK + seconds * max(least for least, _, _ in factors) * _LOW
    high = _CLOCK + statement.seconds * max(most for _, most, _ in factors) * _HIGH
    if effect is not None and effect.span is not None and effect.span.low <= high and low <= effect.span.high:
        low, high = max(low, effect.span.low), min(high, effect.span.high)
    return Span(low, high, f"{MEASURED}1 in {one_in:.0f}")


def _fixed(effect: Effect | None) -> float:
    builds = [work for work in effect.work if work.verb is Verb.BUILDS] if effect else []
    return _ONCE_FOR_MONGODB_INDEX if any(work.unit == "documents" for work in builds) else _ONCE


def _factors(
    statement: Measured, effect: Effect | None, tables: Mapping[str, Sampled]
) -> Iterator[tuple[float, float, Sampled]]:
    """How many times longer it may take live, at least and at most, for each table that it goes through."""
    works = [work for work in effect.work if work.place in tables] if effect else []
    for work in works:
        sampled = tables[work.place]
        yield *_factor(work, sampled, statement), sampled
    for work in effect.work if effect and not works else ():
        if work.verb is Verb.ADDS and work.rows and statement.changed:  # into a table that the plan makes
            sampled = Sampled(statement.changed, work.rows)
            yield sampled.one_in, sampled.one_in, sampled
    if not works and effect is not None and any(risk.hazard == "unknown" for risk in effect.risks):
        for name in {name for name, _ in statement.observed.locks} & tables.keys():
            yield 1.0, tables[name].one_in, tables[name]


def _factor(work: Work, sampled: Sampled, statement: Measured) -> tuple[float, float]:
    linear = sampled.one_in
    if work.verb is Verb.BUILDS:
        both = linear * math.log2(max(2, sampled.live)) / math.log2(max(2, sampled.rows))
        return both, both
    if work.verb in (Verb.CHANGES, Verb.DELETES, Verb.ADDS) and work.rows is not None:
        of_changes = work.rows / statement.changed if statement.changed else 1.0
        return max(1.0, min(linear, of_changes)), max(linear if work.verb is not Verb.ADDS else 1.0, of_changes)
    return linear, linear


def _step(step: Step, rendering: Rendering, plan: Plan, known: Sequence[Rehearsed], now: datetime) -> Rendering:
    database = database_of(plan.state(step.service).identity)
    for one in sorted(known, key=lambda one: one.at, reverse=True):
        if (one.service, one.database) != (step.service, database) or now - one.at > timedelta(days=MOST_DAYS):
            continue
        for of in one.steps:
            if (of.migration, of.checksum, of.direction) == (
                step.migration.id,
                step.migration.checksum,
                step.direction,
            ):
                return _rendering(rendering, of, one.tables)
    return rendering


def _rendering(rendering: Rendering, step: StepMeasured, tables: Mapping[str, Sampled]) -> Rendering:
    ran = paired(rendering.commands, step.statements)
    effects = []
    for effect in rendering.effects:
        span = carried(ran[effect.command][1], effect, tables) if effect.command in ran else None
        effects.append(_with(effect, span) if span is not None else effect)
    return replace(rendering, effects=tuple(_with_rest(at, rendering.effects, effects) for at in range(len(effects))))


def _with_rest(at: int, before: Sequence[Effect], now: Sequence[Effect]) -> Effect:
    """An effect that is named with the time of what comes after it in the step, with that time as it is now."""
    was, is_ = (together(one.span for one in effects[at + 1 :]) for effects in (before, now))
    told, new = f"after it run, {was}", f"after it run, {is_}"
    return replace(now[at], risks=tuple(replace(one, text=one.text.replace(told, new)) for one in now[at].risks))


def _with(effect: Effect, span: Span) -> Effect:
    """The effect with another time, also where its risks name it."""
    before = effect.span
    risks = [
        replace(risk, text=risk.text.replace(f"for {before}", f"for {span}")) if before is not None else risk
        for risk in effect.risks
        if risk.hazard != "takes-long"
    ]
    if span.high >= LONG_SECONDS:
        risks.append(Risk("takes-long", span.told))
    return replace(effect, span=span, risks=tuple(risks))


def _written(one: Rehearsed) -> dict[str, Any]:
    return {
        "service": one.service,
        "database": one.database,
        "at": one.at.isoformat(),
        "tables": {name: [sampled.rows, sampled.live] for name, sampled in one.tables.items()},
        "steps": [
            {
                "migration": step.migration,
                "checksum": step.checksum,
                "direction": step.direction.value,
                "seconds": step.seconds,
                "statements": [
                    {
                        "digest": statement.digest,
                        "seconds": round(statement.seconds, 6),
                        "changed": statement.changed,
                        "locks": [list(lock) for lock in statement.observed.locks],
                    }
                    for statement in step.statements
                ],
            }
            for step in one.steps
        ],
    }


def _read(one: Mapping[str, Any]) -> Rehearsed:
    return Rehearsed(
        one["service"],
        one["database"],
        datetime.fromisoformat(one["at"]),
        {name: Sampled(*sizes) for name, sizes in one["tables"].items()},
        [
            StepMeasured(
                step["migration"],
                step["checksum"],
                Direction(step["direction"]),
                step["seconds"],
                tuple(
                    Measured(
                        "",
                        statement["seconds"],
                        statement["digest"],
                        statement["changed"],
                        Observed(tuple((name, mode) for name, mode in statement["locks"])),
                    )
                    for statement in step["statements"]
                ),
            )
            for step in one["steps"]
        ],
    )


__all__ = ["FILE", "MOST_DAYS", "carried", "database_of", "effects_of", "load", "measured", "paired", "save"]
