"""A plan in a file: exactly what was shown to a person, for which databases, and no secret.

The idea is Terraform's `-out`. The format is JSON, version 1, and docs/json.md describes it. A digest over the content
shows when the file was cut or edited.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataops import __version__, outfile
from dataops.errors import StalePlan, UsageError
from dataops.model import Direction, Identity, Plan, State, Step
from dataops.planning import checks, planner

FORMAT = 1


@dataclass(frozen=True)
class SavedPlan:
    """A plan as it was read from a file, before it is compared with the databases.

    `sha256` is that of the bytes of the file, which is what people approve.
    """

    path: Path
    direction: Direction
    services: dict[str, dict[str, Any]]
    steps: tuple[tuple[str, str], ...]
    allowed: tuple[str, ...] = ()
    sha256: str = ""

    def services_with_steps(self) -> tuple[str, ...]:
        """The services in whose databases it has steps, in the order of the first step of each."""
        return tuple(dict.fromkeys(service for service, _ in self.steps))


def save(plan: Plan, path: Path, allowed: Sequence[str] = ()) -> None:
    """Write the plan, and which hazards a person has allowed for it. Raises CannotWrite.

    The file is readable by its owner only.
    """
    text = written(plan, allowed)
    outfile.write_private(path, text, hint="nothing was written; name another file with --out")


def written(plan: Plan, allowed: Sequence[str] = ()) -> str:
    """The text of the file in which the plan would be saved: always the same for the same plan."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "dataops": __version__,
        "direction": plan.direction.value,
        "services": {state.service.name: _service(state) for state in plan.states},
        "steps": [[step.service, step.migration.id] for step in plan.steps],
        "allowed": sorted(set(allowed)),
    }
    content["digest"] = _digest(content)
    return json.dumps(content, indent=2) + "\n"


def sha256_of(text: str) -> str:
    """The SHA-256 of the bytes of a plan file with this text."""
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> SavedPlan:
    """Read a plan file. Raises UsageError for a file that is no plan, StalePlan for a plan that was changed."""
    try:
        read = path.read_bytes()
        content = json.loads(read)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="make one: dataops plan --out FILE") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a plan file", hint="make one: dataops plan --out FILE") from error
    if not isinstance(content, dict) or "digest" not in content:
        raise UsageError(f"{path} is not a plan file", hint="make one: dataops plan --out FILE")
    if content.pop("digest") != _digest(content) or content.get("format") != FORMAT:
        raise StalePlan(f"{path} was changed after it had been written, or comes from another version of dataops")
    return SavedPlan(
        path=path,
        direction=Direction(content["direction"]),
        services=content["services"],
        steps=tuple((service, migration) for service, migration in content["steps"]),
        allowed=tuple(content.get("allowed", ())),
        sha256=hashlib.sha256(read).hexdigest(),
    )


def verify(saved: SavedPlan, states: Sequence[State]) -> Plan:
    """The saved plan, if everything on which it relies is as it was.

    Raises StalePlan with what has changed, and HistoryError, DatabaseAhead and InterruptedStep like a new plan.
    """
    changes = [change for state in states for change in _changes(saved.services[state.service.name], state)]
    if changes:
        raise StalePlan(f"{saved.path} is stale: " + "; ".join(changes))
    states = [_as_planned(state, saved.services[state.service.name]) for state in states]
    checks.refuse_same_database(states)
    by_name = {state.service.name: state for state in states}
    steps = tuple(
        Step(service, by_name[service].service.by_id[migration], saved.direction) for service, migration in saved.steps
    )
    plan = Plan(saved.direction, steps, tuple(states), saved=True)
    for state in states:
        planner.confirm(plan, state)
    return plan


def fingerprint(state: State) -> str:
    """A digest of everything that a saved plan relies on in one service, except the database's identity."""
    digest = hashlib.sha256()
    for migration in state.service.migrations:
        digest.update(f"{migration.id} {checks.checksum_of(state.service, migration)}\n".encode())
    for applied in state.applied:
        digest.update(f"applied {applied.id}\n".encode())
    for id_ in state.unknown:
        digest.update(f"unknown {id_}\n".encode())
    for one in state.replaced:
        digest.update(f"replaced {one.id}\n".encode())
    return digest.hexdigest()


def _service(state: State) -> dict[str, Any]:
    return {
        "identity": {
            "server": state.identity.server,
            "database": state.identity.database,
            "address": state.identity.address,
            "marks": sorted(state.identity.marks),
        },
        "applied": [applied.id for applied in state.applied],
        "files": {m.id: checks.checksum_of(state.service, m) for m in state.service.migrations},
        "fingerprint": fingerprint(state),
        "onto_existing": state.service.onto_existing,
    }


def _as_planned(state: State, saved: dict[str, Any]) -> State:
    """The state for a plan with --onto-existing, which is saved with it."""
    if not saved.get("onto_existing"):
        return state
    return replace(state, service=replace(state.service, onto_existing=True))


def _changes(saved: dict[str, Any], state: State) -> list[str]:
    name = state.service.name
    was = Identity(**{**saved["identity"], "marks": frozenset(saved["identity"]["marks"])})
    if state.identity.name != was.name:
        return [f"{name}: planned for {_where(was)}, this is {_where(state.identity)}"]
    same_marks = state.identity.still(was)
    if same_marks and saved["fingerprint"] == fingerprint(state):
        return []
    now = {m.id: checks.checksum_of(state.service, m) for m in state.service.migrations}
    told = [
        f"{name}: {id_} has been edited" for id_ in now if id_ in saved["files"] and now[id_] != saved["files"][id_]
    ]
    told += [f"{name}: {id_} is a new file" for id_ in now if id_ not in saved["files"]]
    told += [f"{name}: {id_} has no file any more" for id_ in saved["files"] if id_ not in now]
    applied = [a.id for a in state.applied] + list(state.unknown)
    told += [f"{name}: {id_} has been applied" for id_ in applied if id_ not in saved["applied"]]
    told += [f"{name}: {id_} has been rolled back" for id_ in saved["applied"] if id_ not in applied]
    if not told and not same_marks:
        return [f"{name}: planned for a database of this name with other collections, {_where(was)}"]
    return told or [f"{name}: the order of its migrations has changed"]


def _where(identity: Identity) -> str:
    return f"{identity.database} on {identity.address} ({identity.server})"


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
