"""Where a database stands that a new dataops.toml names, and which command comes next. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from dataops.model import State
from dataops.othertools import watch
from dataops.text import counted


@dataclass(frozen=True)
class Standing:
    """What is said about one database, and the next command, "" where there is nothing to do."""

    text: str
    command: str = ""


def standing(state: State) -> Standing:
    """By the record of its own tool, or else by that of another tool, or else by whether it is empty."""
    service = state.service
    name, tool = service.name, service.kind.format.tool
    if service.observe:
        seen = watch.watch(state)
        newest = f"{service.observe} has applied {seen.newest.name} last" if seen.newest else ""
        problem = str(seen.problem) if seen.problem else ""
        return Standing(problem or seen.waiting or newest, f"dataops wait --service {name}")
    if state.unknown:
        return Standing(
            f"its record names {state.unknown[-1]}, for which there is no file: it is ahead of this code, or another "
            "project's",
            f"dataops status --service {name}",
        )
    if state.applied:
        done = (
            f"{len(state.applied)} of {counted(len(service.migrations), 'migration')} applied, by the record of {tool}"
        )
        return Standing(done, f"dataops plan --service {name}" if state.pending else "")
    others = [record.tool for record in state.tool_records if record.tool not in service.coexist]
    if others:
        return Standing(f"no record of {tool}, but one of {' and '.join(others)}", f"dataops adopt --service {name}")
    if state.unexplained:
        there = counted(len(state.unexplained), "collection" if service.kind.application_creates else "object")
        newest = service.migrations[-1].id if service.migrations else "ID"
        return Standing(
            f"no record, and not empty: {there} such as {state.unexplained[0]}",
            f"dataops baseline {name} --to {newest}",
        )
    return Standing("empty", f"dataops plan --service {name}")


__all__ = ["Standing", "standing"]
