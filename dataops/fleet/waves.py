"""In which waves the databases of a fleet are changed. Pure: the sizes are handed in.

The waves are those of all databases that a command means, also of those in which there is nothing to do: so they are
the same when the command is repeated, and for every process that shares the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dataops.errors import UsageError
from dataops.fleet.selection import fits
from dataops.model import Direction, Member, Service, Wave
from dataops.text import near

Sizes = Callable[[Sequence[Service]], Mapping[str, int]]
"""The sizes of databases of one fleet in bytes, by the names of their services, as far as they are known."""


@dataclass(frozen=True)
class Course:
    """The waves of one unit of a run: the names of services, one wave after the other.

    `rules` say what has to be true before each wave begins. After `halt_after` failures nothing more begins. A service
    that is no fleet has one wave, itself. `after` are the units that come first. `service` is any of the unit's.
    """

    unit: str
    service: Service
    waves: tuple[tuple[str, ...], ...]
    rules: tuple[Wave, ...]
    halt_after: int = 1
    after: tuple[str, ...] = ()

    def part(self, index: int, of: int) -> Course:
        """What one of `of` processes does: of every wave, the databases whose position in it leaves `index`."""
        return replace(self, waves=tuple(wave[index::of] for wave in self.waves))


def courses(
    services: Sequence[Service],
    direction: Direction,
    *,
    sizes: Sizes,
    chosen: bool = False,
    halt_after: int | None = None,
) -> dict[str, Course]:
    """The waves of each unit of a run over these services, by its name.

    A rollback goes through the waves of the apply backwards, and nothing has to be true before one of them. `chosen`
    says that these are not all databases of their fleets, so that a wave may have none. `halt_after` replaces what the
    configuration says. Raises UsageError for a wave of which no database is.
    """
    by_unit: dict[str, list[Service]] = {}
    for service in services:
        by_unit.setdefault(service.unit, []).append(service)
    found: dict[str, Course] = {}
    for unit, ones in by_unit.items():
        rollout = ones[0].rollout
        if ones[0].member is None:
            waves: list[tuple[Wave, tuple[str, ...]]] = [(Wave(), (unit,))]
            most = 1
        else:
            waves = list(_waves(unit, ones, sizes=sizes, chosen=chosen))
            most = halt_after or rollout.halt_after
        if direction is Direction.ROLLBACK:
            waves = [(Wave(), names) for _, names in reversed(waves)]
        found[unit] = Course(
            unit,
            ones[0],
            tuple(names for _, names in waves),
            tuple(rule for rule, _ in waves),
            most,
            _after(unit, by_unit, direction),
        )
    return found


def _after(unit: str, by_unit: Mapping[str, Sequence[Service]], direction: Direction) -> tuple[str, ...]:
    """The units that have to end first: those that this one depends on, or, in a rollback, the dependents."""
    if direction is Direction.APPLY:
        return tuple(name for name in by_unit[unit][0].depends_on if name in by_unit)
    return tuple(name for name, ones in by_unit.items() if unit in ones[0].depends_on)


def _waves(
    unit: str, services: Sequence[Service], *, sizes: Sizes, chosen: bool
) -> Iterable[tuple[Wave, tuple[str, ...]]]:
    """Each wave that has a database, with its rule."""
    rules = services[0].rollout.waves
    left = sorted(services, key=lambda one: one.name)
    known = sizes(services) if any(rule.smallest for rule in rules) else {}
    for number, rule in enumerate(rules, 1):
        if rule.databases or rule.labels:
            fitting = [one for one in services if _is_meant(rule, one.member)]
            if not fitting and not chosen:
                raise _nothing(unit, number, rule, services)
            taken = {one.name for one in fitting}
        elif rule.smallest:
            by_size = sorted(left, key=lambda one: (known.get(one.name, math.inf), one.name))
            taken = {one.name for one in by_size[: rule.smallest]}
        elif rule.share:
            # Rounded up, but not where a share such as 0.1 is a little more in binary than it says.
            taken = {one.name for one in left[: max(1, math.ceil(round(rule.share * len(services), 6)))]}
        else:
            taken = {one.name for one in left}
        names = tuple(one.name for one in left if one.name in taken)
        left = [one for one in left if one.name not in taken]
        if names:
            yield rule, names


def _is_meant(rule: Wave, member: Member | None) -> bool:
    assert member is not None
    if rule.databases:
        return any(fits(member, pattern) for pattern in rule.databases)
    return all(member.labels.get(key) == value for key, value in rule.labels.items())


def _nothing(unit: str, number: int, rule: Wave, services: Sequence[Service]) -> UsageError:
    if rule.databases:
        which = f"databases = {', '.join(rule.databases)}"
        hint = near(rule.databases[0], [one.member.database for one in services if one.member is not None])
    else:
        which = f"labels {', '.join(f'{key} = {value}' for key, value in rule.labels.items())}"
        known = {label for one in services if one.member is not None for label in one.member.labels.items()}
        hint = near(next(iter(rule.labels.values())), sorted(f"{key} = {value}" for key, value in known))
    return UsageError(
        f"wave {number} selects nothing: no database has {which}"
        if rule.labels
        else f"wave {number} selects nothing: no database fits {which}",
        service=unit,
        hint=f"nothing was done; {hint}" if hint else "nothing was done; see dataops docs fleets",
    )


__all__ = ["Course", "Sizes", "courses"]
