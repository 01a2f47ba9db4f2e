"""Tables for people: of status, of runs, of the steps of one run, and of the stash."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dataops.catalogue import Differs
from dataops.checkup import Check, Level
from dataops.durations import clock
from dataops.errors import DataopsError, RecordMoved
from dataops.files import imports
from dataops.inspection import Inspection, Place
from dataops.model import Direction, Doing, Entry, JournalEvent, State
from dataops.othertools import drift, watch
from dataops.planning import background, native, readiness, recovery
from dataops.planning.evidence import Link
from dataops.planning.story import Story, short_ids
from dataops.redaction import redact
from dataops.show.grid import ALWAYS, Cell, Column, Table, comma_separated, moment
from dataops.show.reports import Look
from dataops.stash.entry import StashEntry
from dataops.text import counted, size_text

if TYPE_CHECKING:
    from dataops.drift import Drift

_STATUS = (
    Column("service", ALWAYS),
    Column("revision", ALWAYS),
    Column("applied", 60, number=True),
    Column("pending", 80, number=True),
    Column("last run", 40),
    Column("who", 30),
    Column("when", 50),
    Column("state", ALWAYS, folds=True),
)
_RUNS = (
    Column("run", ALWAYS),
    Column("when", 90),
    Column("who", 50),
    Column("what", ALWAYS, folds=True),
    Column("took", 60, number=True),
    Column("outcome", ALWAYS),
)
_STEPS = (
    Column("migration", ALWAYS),
    Column("service", 90),
    Column("when", 40),
    Column("outcome", ALWAYS),
    Column("took", 60, number=True),
    Column("note", ALWAYS, folds=True),
)
_CHECKS = (
    Column("where", ALWAYS),
    Column("what", ALWAYS),
    Column("found", ALWAYS, folds=True),
)
_DRIFT = (
    Column("service", ALWAYS),
    Column("object", ALWAYS),
    Column("expected", ALWAYS, folds=True),
    Column("here", ALWAYS, folds=True),
)
_PLACES = (
    Column("name", ALWAYS),
    Column("kind", 80),
    Column("about rows", 90, number=True),
    Column("size", 85, number=True),
    Column("indexes", 60, number=True),
    Column("their size", 50, number=True),
)
_PARTS = (
    Column("name", ALWAYS),
    Column("kind", 90),
    Column("what it is", ALWAYS, folds=True),
    Column("has a value", 80, number=True),
    Column("size", 60, number=True),
    Column("named in", 70),
)
_STASH = (
    Column("service", ALWAYS),
    Column("migration", ALWAYS),
    Column("of", 80),
    Column("kept in", 60),
    Column("about", 50, number=True),
    Column("size", 70, number=True),
    Column("since", 40),
)


def status(looks: Sequence[Look], now: datetime) -> Table:
    """Where every service stands, one row each."""
    runs = short_ids(look.state.last.run for look in looks if isinstance(look.state, State) and look.state.last)
    drawn = [_status_row(look, runs, now) for look in looks]
    return Table(_STATUS, [row for row, _ in drawn], [style for _, style in drawn])


def _status_row(look: Look, runs: dict[str, str], now: datetime) -> tuple[list[str | Cell], str]:
    name, state = look.service.name, look.state
    if isinstance(state, DataopsError):
        return [name, "?", "?", "?", "", "", "", f"✗ {state.message}"], "red"
    if state.service.observe:
        return _observed_row(name, state, now)
    revision = state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else "none")
    last = state.last
    words, style = condition(state, look.problem, look.doing, now)
    if look.drift is not None:
        words, style = _with_drift(words, style, look.drift, look.problem)
    return [
        name,
        revision,
        str(len(state.applied)),
        str(len(state.pending)),
        Cell(last.run, runs.get(last.run, last.run)) if last else "",
        f"{last.actor}@{last.host}" if last else "",
        moment(last.at if last else None, now),
        words,
    ], style


def _with_drift(words: str, style: str, drift: Drift, problem: DataopsError | None) -> tuple[str, str]:
    """The condition of a database that was compared with its history."""
    if problem is not None:  # then this is what keeps us from comparing, or is worse than what was found
        return words, style
    if drift.problem is None:
        return f"{words}, as its history", style
    more = drift.problem.message if drift.error is None else f"not compared: {drift.problem.message}"
    return f"✗ {words.removeprefix('✗ ').removeprefix('! ')}, {more}", "bold red"


def _observed_row(name: str, state: State, now: datetime) -> tuple[list[str | Cell], str]:
    watched = watch.watch(state)
    record, newest = watched.record, watched.newest
    at = newest.at if newest else None
    words = watched.problem.message if watched.problem else watched.waiting or "up to date"
    mark = "✗ " if watched.problem else ("! " if watched.waiting else "")
    tool = f"by {state.service.observe}"
    return [
        name,
        newest.name if newest else "none",
        str(len(record.rows)) if record else "0",
        "",
        tool,
        "",
        moment(at, now),
        mark + words + (f", {_age(at)} old" if at else ""),
    ], "bold yellow" if watched.problem else ("yellow" if watched.waiting else "green")


def _age(at: datetime) -> str:
    days = (datetime.now(UTC) - at).days
    return counted(days, "day") if days else "less than a day"


def condition(state: State, problem: DataopsError | None, doing: Doing | None, now: datetime) -> tuple[str, str]:
    """What a person has to know of this database, with a mark where something is wrong, and its style."""
    words, mark, style = [], "", "green"
    if state.holder:
        running = recovery.running_step(state)
        words.append(f"running: {running.direction.value} {running.migration}" if running else "locked")
        if running and running.at:
            words[-1] += f" for {clock(max(0.0, (now - running.at).total_seconds()))}"
        far = [one.running_words for one in state.backfills] or ([doing.words] if doing else [])
        words[-1] += f" ({'; '.join(far)})" if running and far else ""
        words[-1] += f" by {state.holder}"
        style = "bold yellow"
    if state.ahead:
        words.append("ahead")
    words += [
        f"{record.tool} is {len(behind)} behind"
        for record in state.tool_records
        if record.tool == state.service.mirror and (behind := drift.find_drift(state, record).behind)
    ]
    if state.pause and not (state.holder and any(one.paused for one in state.backfills)):  # which says it
        words.append(str(state.pause))
    half, leaves = recovery.half_step(state), background.left(state)
    if half:
        what = "interrupted" if half.ended_by == "resolve" else "half done"
        how_far = "".join(f" ({one.words})" for one in state.backfills)
        words.append(f"{what}: {half.entry.direction.value} {half.entry.migration}{how_far}")
    elif (problem is None or isinstance(problem, RecordMoved)) and (moved := native.moved(state)):
        words.append(str(moved))
    elif problem and not state.ahead:
        words.append(problem.message)
    elif state.last and state.last.was_stopped and state.pending:
        words.append(f"stopped: {state.last.direction.value} {state.last.migration}")
    elif state.last and state.last.event is JournalEvent.FAILED and state.pending:
        words.append(f"failed: {state.last.direction.value} {state.last.migration}")
        mark, style = "✗ ", "bold red"
    if (half and leaves is None) or problem:
        mark, style = "✗ ", "bold red"
    elif state.warnings or len(words) > bool(state.holder):
        mark = mark or "! "
        style = "bold yellow" if mark == "! " else style
    if number := readiness.to_do(state):
        words.append(f"{number} pending")
    if leaves is not None:
        words.append(leaves.words)
    if state.pending:
        style = "yellow" if style == "green" else style
    text = ", ".join(words) or "up to date"
    text += f", recorded in {state.elsewhere}" if state.elsewhere else ""
    return mark + text + "".join(f"; warning: {warning}" for warning in state.warnings), style


def imports_lines(looks: Iterable[Look]) -> Iterator[str]:
    """For each service: which of the project's own files are other ones than its migrations imported when applied."""
    for one in looks:
        found = imports.changed(one.state) if isinstance(one.state, State) else {}
        files = [f"{name} ({counted(len(ids), 'migration')})" for name, ids in found.items()]
        if files:
            more = f" and {len(files) - _FILES} more" if len(files) > _FILES else ""
            yield f"{one.service.name}: imports changed since: {', '.join(files[:_FILES])}{more}"


_FILES = 8


def runs(stories: Sequence[Story], now: datetime) -> Table:
    """One row for each run, in the given order."""
    short = short_ids(story.id for story in stories)
    return Table(
        _RUNS,
        [
            [
                Cell(story.id, short[story.id]),
                moment(story.began, now),
                story.who,
                story.what,
                "" if story.seconds is None else clock(story.seconds),
                story.outcome if story.well else f"✗ {story.outcome}",
            ]
            for story in stories
        ],
        ["bold red" if not story.well else ("yellow" if story.outcome != "ok" else "green") for story in stories],
    )


def steps(story: Story, now: datetime) -> Table:
    """One row for each thing that a run did, in the order in which it did it."""
    rows: list[list[str | Cell]] = []
    styles: list[str] = []
    begun: dict[tuple[str, str], Entry] = {}
    for service, entry in story.entries:
        key = (service, entry.migration)
        if entry.event is JournalEvent.STARTED:
            begun.setdefault(key, entry)
            continue
        first = begun.pop(key, entry)
        rows.append(_step_row(service, first, entry, now))
        bad = "yellow" if entry.was_stopped else "bold red" if entry.event is JournalEvent.FAILED else ""
        styles.append(bad)
    for (service, _), entry in begun.items():
        runs_now = f"{service}/{entry.migration}" in story.running
        row = _step_row(service, entry, entry, now)
        rows.append([*row[:3], f"{entry.direction.value} is running", *row[4:]] if runs_now else row)
        styles.append("yellow" if runs_now else "bold red")
    return Table(_STEPS, rows, styles)


def _step_row(service: str, began: Entry, ended: Entry, now: datetime) -> list[str | Cell]:
    done = "applied" if ended.direction is Direction.APPLY else "rolled back"
    outcome = {
        JournalEvent.SUCCEEDED: done,
        JournalEvent.FAILED: f"{ended.direction.value} stopped"
        if ended.was_stopped
        else f"✗ {ended.direction.value} failed",
        JournalEvent.STARTED: f"✗ {ended.direction.value} has no end",
        JournalEvent.RESOLVED: f"resolved as {done}",
        JournalEvent.ADOPTED: "adopted" if ended.direction is Direction.APPLY else "struck",
        JournalEvent.PRUNED: "pruned",
        JournalEvent.APPROVED: "approved",
        JournalEvent.PAUSED: "paused",
        JournalEvent.RESUMED: "resumed",
    }[ended.event]
    took = "" if ended.seconds is None else f"{ended.seconds:.2f} s"
    return [ended.migration or "(plan)", service, moment(began.at, now), outcome, took, ended.error or ended.reason]


def statement_lines(story: Story) -> list[tuple[str, str]]:
    """The slowest statements of each step of a run, as lines of text with their style."""
    lines: list[tuple[str, str]] = []
    for service, entry in story.entries:
        if entry.statements:
            lines += [("", ""), (f"{service}/{entry.migration}, its slowest statements:", "bold")]
            lines += [(f"  {one.seconds:9.2f} s  {_times(one.count)}{one.text}", "") for one in entry.statements]
    return lines


def _times(count: int) -> str:
    return f"{count:,} times: " if count > 1 else ""


_ENTRIES = ("service", "seq", "at", "run", "migration", "direction", "event", "seconds", "actor", "host", "version")
_MORE = ("checksum", "error", "reason", "previous", "hash")


def entries_as_csv(entries: Iterable[tuple[str, Entry, Link | None]]) -> str:
    """Journal entries as CSV, each with its service and its hash, in the given order."""
    rows = []
    for service, entry, link in entries:
        row = {
            **vars(entry),
            "service": service,
            "at": f"{entry.at:%Y-%m-%dT%H:%M:%S.%fZ}" if entry.at else "",
            "direction": entry.direction.value,
            "event": entry.event.value,
            "seconds": "" if entry.seconds is None else entry.seconds,
            "previous": link.previous if link else "",
            "hash": link.hash if link else "",
        }
        rows.append([str(row[name]) for name in (*_ENTRIES, *_MORE)])
    return comma_separated(Table([Column(name, ALWAYS) for name in (*_ENTRIES, *_MORE)], rows))


def checkup(found: Iterable[tuple[str, Check]]) -> Table:
    """A row for each thing that `dataops doctor` looked at, in the given order."""
    found = list(found)
    marks = {Level.OK: "", Level.NOTE: "! ", Level.FAILED: "✗ "}
    styles = {Level.OK: "", Level.NOTE: "yellow", Level.FAILED: "bold red"}
    return Table(
        _CHECKS,
        [[where, check.subject, marks[check.level] + check.found] for where, check in found],
        [styles[check.level] for _, check in found],
    )


def pages(found: Iterable[tuple[str, str]]) -> Table:
    """The pages of the documentation, each with what it is about."""
    return Table([Column("page", ALWAYS), Column("about", ALWAYS, folds=True)], [list(one) for one in found])


def drifted(found: Iterable[Drift]) -> Table:
    """A row for each object that differs: what it should be, and what it is."""
    rows = [
        [
            one.service.name,
            f"{of.kind} {redact(of.name)}",
            _NOTHING if of.how is Differs.UNEXPECTED else redact(of.expected) or _PLAIN[of.how],
            _NOTHING if of.how is Differs.MISSING else redact(of.found) or _PLAIN[of.how],
        ]
        for one in found
        for of in one.differences
    ]
    return Table(_DRIFT, rows)


_NOTHING = "-"
_PLAIN = {Differs.MISSING: "there", Differs.UNEXPECTED: "there", Differs.DIFFERENT: "plain"}
"""What is shown of an object that has no definition of its own, such as a table."""


def places(found: Iterable[Place]) -> Table:
    """A row for each table, collection or view of a database."""
    return Table(
        _PLACES,
        [
            [
                place.name,
                place.kind,
                "" if place.rows is None else f"{place.rows:,}",
                size_text(place.size) if place.size else "",
                str(place.indexes or ""),
                size_text(place.index_size) if place.index_size else "",
            ]
            for place in found
        ],
    )


def parts(found: Inspection, named: Sequence[Sequence[str]]) -> Table:
    """A row for each part of a place; `named` has the migrations that name each of them."""
    return Table(
        _PARTS,
        [
            [
                part.name,
                part.kind,
                part.definition,
                "" if part.share is None else percent(part.share),
                "" if part.size is None else size_text(part.size),
                Cell(", ".join(ids), ids[0] + (f" +{len(ids) - 1}" if len(ids) > 1 else "")) if ids else "",
            ]
            for part, ids in zip(found.parts, named, strict=True)
        ],
    )


def percent(share: float) -> str:
    """A share as a person reads it. Only what is so of all is called 100 %, and only what is so of none 0 %."""
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{share:.0%}".replace("%", " %")


def stash(found: Iterable[tuple[str, StashEntry]], now: datetime) -> Table:
    """A row for each service and stash entry, in the given order."""
    return Table(
        _STASH,
        [
            [
                service,
                entry.migration,
                entry.source,
                entry.place,
                f"{entry.count:,}",
                size_text(entry.bytes),
                moment(entry.at, now) if entry.at else "unknown",
            ]
            for service, entry in found
        ],
    )
