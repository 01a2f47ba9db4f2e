"""Rows for people: of status, of the history and of the stash, each with its headers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from dataops.errors import DataopsError, RecordMoved
from dataops.model import Entry, JournalEvent, State
from dataops.othertools import drift, watch
from dataops.planning import native, recovery
from dataops.stash.entry import StashEntry
from dataops.text import counted

STATUS_HEADERS = ("service", "revision", "applied", "pending", "last run", "who", "when", "state")
HISTORY_HEADERS = ("when", "service", "migration", "direction", "event", "seconds", "run", "who", "note")
STASH_HEADERS = ("service", "migration", "of", "kept in", "about", "size", "since")


def status_row(name: str, state: State | DataopsError, problem: DataopsError | None) -> tuple[list[str], str]:
    """One row under STATUS_HEADERS, and its style. `problem` is what would refuse an apply now."""
    if isinstance(state, DataopsError):
        return [name, "?", "?", "?", "", "", "", state.message], "red"
    if state.service.observe:
        return _observed_row(name, state)
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "none")
    last = state.last
    condition = _condition(state, problem)
    return [
        name,
        revision,
        str(len(state.applied)),
        str(len(state.pending)),
        last.run if last else "",
        f"{last.actor}@{last.host}" if last else "",
        f"{last.at:%Y-%m-%d %H:%M:%S}" if last and last.at else "",
        condition,
    ], _condition_style(condition)


def _observed_row(name: str, state: State) -> tuple[list[str], str]:
    watched = watch.watch(state)
    record, newest = watched.record, watched.newest
    at = newest.at if newest else None
    words = watched.problem.message if watched.problem else watched.waiting or "up to date"
    tool = f"by {state.service.observe}"
    return [
        name,
        newest.name if newest else "none",
        str(len(record.rows)) if record else "0",
        "",
        tool,
        "",
        f"{at:%Y-%m-%d %H:%M:%S}" if at else "",
        words + (f", {_age(at)} old" if at else ""),
    ], "bold yellow" if watched.problem else ("yellow" if watched.waiting else "green")


def _age(at: datetime) -> str:
    days = (datetime.now(UTC) - at).days
    return counted(days, "day") if days else "less than a day"


def _condition(state: State, problem: DataopsError | None) -> str:
    words = []
    if state.holder:
        words.append(f"locked by {state.holder}")
    if state.ahead:
        words.append("ahead")
    words += [
        f"{record.tool} is {len(behind)} behind"
        for record in state.tool_records
        if record.tool == state.service.mirror and (behind := drift.find_drift(state, record).behind)
    ]
    half = recovery.half_step(state)
    if half:
        what = "interrupted" if half.ended_by == "resolve" else "half done"
        words.append(f"{what}: {half.entry.direction.value} {half.entry.migration}")
    elif (problem is None or isinstance(problem, RecordMoved)) and (moved := native.moved(state)):
        words.append(str(moved))
    elif problem and not state.ahead:
        words.append(problem.message)
    elif state.last and state.last.event is JournalEvent.FAILED and state.pending:
        words.append(f"failed: {state.last.direction.value} {state.last.migration}")
    if state.pending:
        words.append(f"{len(state.pending)} pending")
    text = ", ".join(words) or "up to date"
    text += f" ({state.elsewhere})" if state.elsewhere else ""
    return text + "".join(f"; warning: {warning}" for warning in state.warnings)


def _condition_style(text: str) -> str:
    if text.startswith("up to date") and ";" not in text:
        return "green"
    return "yellow" if text.endswith("pending") and "," not in text else "bold yellow"


def history_rows(entries: Iterable[tuple[str, Entry]]) -> list[list[str]]:
    """A row under HISTORY_HEADERS for each service and entry, in the given order."""
    return [
        [
            f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "",
            service,
            entry.migration,
            entry.direction.value,
            entry.event.value,
            "" if entry.seconds is None else f"{entry.seconds:.2f}",
            entry.run,
            f"{entry.actor}@{entry.host}",
            entry.error or entry.reason,
        ]
        for service, entry in entries
    ]


def stash_rows(found: Iterable[tuple[str, StashEntry]]) -> list[list[str]]:
    """A row under STASH_HEADERS for each service and stash entry, in the given order."""
    return [
        [
            service,
            entry.migration,
            entry.source,
            entry.place,
            f"{entry.count:,}",
            _size(entry.bytes),
            f"{entry.at:%Y-%m-%d %H:%M:%S}" if entry.at else "unknown",
        ]
        for service, entry in found
    ]


def _size(amount: float) -> str:
    for unit in ("B", "kB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"
