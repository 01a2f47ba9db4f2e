"""What is the same for many databases of a fleet, told once. Pure.

A plan or a look at a fleet is told of one database for each group, under a name such as `tenants (198 databases)`. The
largest stands for its group, because what takes long or locks for long does so there the longest.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace

from dataops.model import Plan, Rendering, State, Step, fleet
from dataops.text import counted, size_text

_NAMED = 3
"""A group of so few databases is told by their names."""


@dataclass(frozen=True)
class Group:
    """Databases of which the same is told. The first of them, the largest if that is known, stands for all."""

    unit: str
    names: tuple[str, ...]
    largest: int = 0

    @property
    def label(self) -> str:
        """How a person reads it: its name, or that of the fleet with a few names of databases or with their number."""
        if len(self.names) == 1:
            return self.names[0]
        databases = sorted(fleet.database_of(name) for name in self.names)
        few = ", ".join(databases) if len(databases) <= _NAMED else counted(len(databases), "database")
        return f"{self.unit} ({few})"


def groups(keys: Mapping[str, tuple[str, Hashable]], sizes: Mapping[str, int]) -> list[Group]:
    """The groups of these names, in the order of the first name of each.

    `keys` has for each name that of its unit, and what has to be equal in a group. `sizes` are in bytes.
    """
    found: dict[tuple[str, Hashable], list[str]] = {}
    for name, key in keys.items():
        found.setdefault(key, []).append(name)
    made = []
    for (unit, _), names in found.items():
        names.sort(key=lambda name: -sizes.get(name, 0))  # stable: by name where the sizes are the same
        made.append(Group(unit, tuple(names), sizes.get(names[0], 0)))
    return made


def labels(names: Iterable[str]) -> list[str]:
    """How a person reads these services, of which the same is told: databases of one fleet under one label."""
    return [group.label for group in groups({name: (fleet.unit_of(name), None) for name in names}, {})]


def groups_of(plan: Plan) -> list[Group]:
    """The groups of a plan: databases of one fleet for which it has the same steps, and that stand at the same place.

    Each service that is no fleet, and each database of which something is told that is its own, is a group of one.
    """
    return groups({state.service.name: _key(plan, state) for state in plan.states}, plan.sizes)


def _key(plan: Plan, state: State) -> tuple[str, Hashable]:
    service = state.service
    if service.member is None or state.holder or state.backfills or state.pause or state.unknown or state.replaced:
        return service.unit, service.name
    steps = tuple((step.migration.id, step.half) for step in plan.of(service.name))
    applied = tuple(one.id for one in state.applied)
    return service.unit, (steps, applied, state.warnings, state.elsewhere, state.server)


def representatives(plan: Plan) -> Plan:
    """The plan for the first database of each group alone."""
    names = [group.names[0] for group in groups_of(plan)]
    steps = tuple(step for name in names for step in plan.of(name))
    return replace(plan, steps=steps, states=tuple(plan.state(name) for name in names))


def spread(plan: Plan, renderings: Mapping[str, Rendering]) -> dict[str, Rendering]:
    """The renderings of all steps, where those of one database of each group are known."""
    found = dict(renderings)
    for group in groups_of(plan):
        known = {step.migration.id: renderings.get(step.id) for step in plan.of(group.names[0])}
        for name in group.names[1:]:
            for step in plan.of(name):
                rendering = known.get(step.migration.id)
                if rendering is not None:
                    found.setdefault(step.id, rendering)
    return found


def told(plan: Plan, renderings: Mapping[str, Rendering]) -> tuple[Plan, dict[str, Rendering]]:
    """The plan as it is told to a person: of one database for each group, under the label of the group."""
    steps: list[Step] = []
    states: list[State] = []
    known: dict[str, Rendering] = {}
    for group in groups_of(plan):
        state = plan.state(group.names[0])
        service = state.service
        if len(group.names) > 1:
            size = f", the largest with {size_text(group.largest)}" if group.largest else ""
            where = replace(state.identity, address=f"looked at in {state.identity.address}{size}")
            state = replace(state, service=replace(service, name=group.label), identity=where)
        states.append(state)
        for step in plan.of(group.names[0]):
            shown = replace(step, service=group.label) if len(group.names) > 1 else step
            steps.append(shown)
            if step.id in renderings:
                known[shown.id] = renderings[step.id]
    return replace(plan, steps=tuple(steps), states=tuple(states)), known


__all__ = ["Group", "groups", "groups_of", "representatives", "spread", "told"]
