"""What was found of fleets, for people: what is the same for many databases once, what is wrong first and by name."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from dataops.checkup import Check
from dataops.errors import DataopsError
from dataops.model import JournalEvent, Plan, Service, State, fleet
from dataops.planning.grouping import Group, groups
from dataops.show.reports import Look
from dataops.show.tables import condition

if TYPE_CHECKING:
    from dataops.drift import Drift

_SIZE = "size"
"""A check of `dataops doctor` that ends differently for every database."""


def looks(found: Sequence[Look], now: datetime) -> list[Look]:
    """One look for each service, and for each group of databases of a fleet that stand at the same place.

    It has the state of one of them, under the label of the group. In a fleet, groups with which something is wrong come
    first, what failed or was interrupted before all else, and then the biggest.
    """
    by_name = {look.service.name: look for look in found}
    made = groups({name: (look.service.unit, _key(look, now)) for name, look in by_name.items()}, {})
    order = {unit: at for at, unit in enumerate(dict.fromkeys(look.service.unit for look in found))}
    made.sort(key=lambda group: (order[group.unit], _rank(by_name[group.names[0]], now), -len(group.names)))
    return [_as_one(group, [by_name[name] for name in group.names]) for group in made]


def _rank(look: Look, now: datetime) -> int:
    """How soon a person should see it: what is red, what has a mark, and the rest."""
    if isinstance(look.state, DataopsError):
        return 1
    words, style = condition(look.state, look.problem, look.doing, now)
    if words.startswith("✗"):
        return 0
    return 1 if look.wrong is not None else 3 - ("bold" in style)


def _key(look: Look, now: datetime) -> Hashable:
    service, state = look.service, look.state
    if service.member is None:
        return service.name
    if isinstance(state, DataopsError):
        return type(state), _anybodys(look, state.message)
    words, style = condition(state, look.problem, look.doing, now)
    newest = state.unknown or state.applied[-1:]
    drift = look.drift.problem.message if look.drift is not None and look.drift.problem is not None else ""
    last = newest[-1] if newest else None
    revision = last if isinstance(last, str) or last is None else last.id
    return revision, len(state.applied), len(state.pending), _anybodys(look, words), style, _anybodys(look, drift)


def drifts(found: Sequence[Drift]) -> list[Drift]:
    """One for each service, and for each group of databases of a fleet that differ in the same way."""
    by_name = {one.service.name: one for one in found}
    keys = {}
    for name, one in by_name.items():
        error = (type(one.error), _without(name, one.error.message)) if one.error is not None else None
        same: Hashable = (one.head, one.differences, error, one.other_server) if one.service.member else name
        keys[name] = (one.service.unit, same)
    made = []
    for group in groups(keys, {}):
        first = by_name[group.names[0]]
        if len(group.names) > 1:
            first = replace(first, service=replace(first.service, name=group.label), error=_of(group, first.error))
        made.append(first)
    return sorted(made, key=lambda one: one.problem is None)


def checks(found: Sequence[tuple[Service, Sequence[Check]]]) -> list[tuple[str, Check]]:
    """What `dataops doctor` has found, each with its service, or with the group of databases that are all alike."""
    by_name = {service.name: one for service, one in found}
    keys: dict[str, tuple[str, Hashable]] = {}
    for service, one in found:
        name = service.name
        same = tuple(
            (of.subject, of.subject == _SIZE or _without(name, of.found), of.level, _without(name, of.remedy))
            for of in one
        )
        keys[service.name] = (service.unit, same if service.member else service.name)
    made = groups(keys, {})
    return [(group.label, check) for group in made for check in _checks(group, by_name)]


def _checks(group: Group, by_name: Mapping[str, Sequence[Check]]) -> Iterator[Check]:
    """The checks of the first one; where it says something else than another, with its name."""
    for at, check in enumerate(first := by_name[group.names[0]]):
        same = all(by_name[name][at].found == first[at].found for name in group.names)
        here = "" if same or check.subject != _SIZE else f"{group.names[0]}: "
        yield replace(check, found=f"{here}{check.found}")


def waits(found: Sequence[tuple[Service, DataopsError | None]]) -> list[tuple[str, DataopsError | None]]:
    """What keeps each service from being ready, None where nothing does; once for databases with the same reason."""
    by_name = {service.name: problem for service, problem in found}
    keys: dict[str, tuple[str, Hashable]] = {}
    for service, problem in found:
        same = _without(service.name, problem.message) if problem is not None else None
        keys[service.name] = (service.unit, same if service.member else service.name)
    return [(group.label, _of(group, by_name[group.names[0]])) for group in groups(keys, {})]


def troubles(plan: Plan) -> list[tuple[str, DataopsError]]:
    """Why databases of fleets have no plan, once for those with the same reason."""
    keys: dict[str, tuple[str, Hashable]] = {
        name: (fleet.unit_of(name), (type(error), _without(name, error.message)))
        for name, error in plan.troubles.items()
    }
    found = [(group, _of(group, plan.troubles[group.names[0]])) for group in groups(keys, {})]
    return [(group.label, error) for group, error in found if error is not None]


def _of(group: Group, error: DataopsError | None) -> DataopsError | None:
    """The error under the label of its group."""
    if error is None:
        return None
    again = copy(error)
    again.service = group.label
    if len(group.names) > 1:
        _of_each(group.names[0], again)
    return again


def _of_each(name: str, error: DataopsError) -> None:
    """Say that what the hint says of one database is meant for each of its group."""
    if name in error.hint:
        error.hint += f"; so for each of {error.service}"


def wrong(found: Sequence[Look]) -> list[DataopsError]:
    """What is wrong with these, each under the label of its group."""
    errors = []
    for look in found:
        if look.wrong is not None:
            error = copy(look.wrong)
            error.service = look.service.name if error.service else error.service
            member = look.service.member
            if member is not None and look.service.name != member.name:
                _of_each(member.name, error)
            errors.append(error)
    return errors


def _anybodys(look: Look, text: str) -> str:
    return _without(look.service.name, text)


def _without(service: str, text: str) -> str:
    """The text without what is in it of this database alone. Its name may be as short as a word of the text."""
    database = fleet.database_of(service)
    if not database or (database not in text and quote(database) not in text):
        return text
    written = "|".join(re.escape(one) for one in (service, database, quote(database)))
    return re.sub(rf"(?<![\w.-])(?:{written})(?![\w-]|\.\w)", "…", text)


def _as_one(group: Group, members: Sequence[Look]) -> Look:
    first = members[0]
    if len(members) == 1:
        return first
    state = first.state
    if isinstance(state, State):
        lasts = [one.state.last for one in members if isinstance(one.state, State)]
        runs = {last.run if last else None for last in lasts}
        failed = state.last is not None and state.last.event is JournalEvent.FAILED
        state = state if len(runs) == 1 or failed else replace(state, last=None)
    return replace(first, service=replace(first.service, name=group.label), state=state)


__all__ = ["checks", "drifts", "looks", "troubles", "waits", "wrong"]
