"""Where a fleet stands, for people: what is the same for many databases once, what is wrong first and by name."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime

from dataops.errors import DataopsError
from dataops.model import JournalEvent, State
from dataops.planning.grouping import Group, groups
from dataops.show.reports import Look
from dataops.show.tables import condition


def looks(found: Sequence[Look], now: datetime) -> list[Look]:
    """One look for each service, and for each group of databases of a fleet that stand at the same place.

    It has the state of one of them, under the label of the group. In a fleet, groups with which something is wrong come
    first, and then the biggest.
    """
    by_name = {look.service.name: look for look in found}
    made = groups({name: (look.service.unit, _key(look, now)) for name, look in by_name.items()}, {})
    order = {unit: at for at, unit in enumerate(dict.fromkeys(look.service.unit for look in found))}
    made.sort(key=lambda group: (order[group.unit], by_name[group.names[0]].wrong is None, -len(group.names)))
    return [_as_one(group, [by_name[name] for name in group.names]) for group in made]


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


def wrong(found: Sequence[Look]) -> list[DataopsError]:
    """What is wrong with these, each under the label of its group."""
    errors = []
    for look in found:
        if look.wrong is not None:
            error = copy(look.wrong)
            error.service = look.service.name if error.service else error.service
            errors.append(error)
    return errors


def _anybodys(look: Look, text: str) -> str:
    """The text without what is in it of this database alone."""
    member = look.service.member
    return text.replace(member.name, "…").replace(member.database, "…") if member else text


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


__all__ = ["looks", "wrong"]
