"""JSON: the answers of `--json` and `--format json`. Stable, one object a command, documented in docs/json.md.

The name hides Python's own module where it is imported bare: write `from dataops.show import json as answers`, or take
it from FORMATS.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dataops.checkup import Check
from dataops.errors import DataopsError
from dataops.files import imports
from dataops.hazards import HAZARDS
from dataops.inspection import Inspection, Place
from dataops.model import (
    Backfill,
    Direction,
    Doing,
    Effect,
    Entry,
    Measured,
    Migration,
    Pause,
    Plan,
    Rendering,
    Result,
    Risk,
    Sampled,
    Service,
    Span,
    State,
    Step,
)
from dataops.othertools import drift, examine, mirror, watch
from dataops.planning import background, grouping, native, planner, recovery, risks
from dataops.planning.evidence import Link, Verdict
from dataops.planning.native import Moved
from dataops.planning.rehearsals import carried, effects_of
from dataops.planning.story import Story
from dataops.redaction import message_of, redact
from dataops.show.log import details_of
from dataops.show.reports import (
    DriftReport,
    LintReport,
    PlanReport,
    ProofReport,
    RehearsalReport,
    StatusReport,
    below,
)
from dataops.stash.entry import StashEntry
from dataops.text import json_text
from dataops.toolrecords import ToolRecord

if TYPE_CHECKING:
    from pathlib import Path

    from dataops.drift import Drift
    from dataops.lint.rules import Finding
    from dataops.planning.approvals import Approvals
    from dataops.proof import Proof
    from dataops.rehearsal import Rehearsal

Json = dict[str, Any]


def status(report: StatusReport) -> str:
    """Where every service stands."""
    return document(
        {
            "services": [
                {**status_of(one.service.name, one.state, one.problem, one.doing, one.drift), **_member(one.service)}
                for one in report.looks
            ]
        },
        report.code,
    )


def plan(report: PlanReport) -> str:
    """What would be done."""
    saved = str(report.saved) if report.saved else None
    forbidden = [
        {"rule": one.rule, "step": one.step or None, "text": one.text, "allow": one.hazard or None}
        for one in report.forbidden
    ]
    of_plan, approvals = plan_of(report.plan, report.renderings), approvals_of(report.approvals)
    return document({**of_plan, "saved": saved, "forbidden": forbidden, "approvals": approvals}, report.code)


def proof(report: ProofReport) -> str:
    """What `dataops prove` found."""
    return document({"services": [proof_of(one) for one in report.proofs]}, report.code)


def drifted(report: DriftReport) -> str:
    """What `dataops drift` found."""
    return document({"services": [{"service": one.service.name, **drift_of(one)} for one in report.found]}, report.code)


def lint(report: LintReport) -> str:
    """What `dataops lint` found."""
    return document(lint_of(report), report.code)


def document(content: Json, code: int) -> str:
    """The text of an answer. Every answer has the exit code."""
    return json_text({**content, "exit_code": int(code)}, indent=2) + "\n"


def approvals_of(approvals: Approvals | None) -> Json | None:
    """Who has approved a plan, and how many have to."""
    if approvals is None:
        return None
    by = {name: list(people) for name, people in approvals.by.items()}
    void = {person: why for person, why in approvals.void.items() if person not in approvals.people}
    people = list(approvals.people)
    return {"sha256": approvals.sha256 or None, "wanted": approvals.wanted, "people": people, "by": by, "void": void}


def lint_of(report: LintReport) -> Json:
    """What `dataops lint` found, and what a comment ignores."""
    found, root = report.found, report.root
    return {
        "files": len(found.files),
        "errors": found.errors,
        "warnings": found.warnings,
        "left_out": found.left_out,
        "findings": [_finding(finding, root) for finding in found.findings],
        "ignored": [_finding(finding, root) | {"reason": ignore.reason} for finding, ignore in found.ignored],
    }


def error(problem: DataopsError) -> Json:
    """Why a command failed."""
    return {
        "error": {
            "kind": type(problem).__name__,
            "message": problem.message,
            "hint": problem.hint,
            "service": problem.service,
            "migration": problem.migration,
        },
        "exit_code": int(problem.exit_code),
    }


def troubles(errors: Iterable[DataopsError]) -> list[Json]:
    """Why some of many databases could not be asked; each error knows its service."""
    return [error(one)["error"] for one in errors]


def plan_of(planned: Plan, renderings: Mapping[str, Rendering]) -> Json:
    """A plan, with the commands of each step by the step's id, as far as they are known.

    Of databases of a fleet for which the plan is the same, the commands are told once.
    """
    stands = {name: group.names[0] for group in grouping.groups_of(planned) for name in group.names}
    return {
        "direction": planned.direction.value,
        "services": [
            {
                **_database(state),
                "applied": [_applied(state, at) for at in range(len(state.applied))],
                "pending": len(state.pending),
                "unknown": list(state.unknown),
                "same_as": other if (other := stands[state.service.name]) != state.service.name else None,
                "steps": [
                    _step(step, renderings.get(step.id) if stands[step.service] == step.service else None)
                    for step in planned.of(state.service.name)
                ],
                "deploy_first": _to_deploy(planned, state) or None,
            }
            for state in planned.states
        ],
        "troubles": troubles(planned.troubles.values()),
        "order": [step.id for step in planned.steps],
        "irreversible": sum(not step.migration.reversible for step in planned.steps),
        "summary": planner.summary(planned),
    }


def _to_deploy(planned: Plan, state: State) -> str:
    steps = planned.of(state.service.name)
    return mirror.to_deploy(state.service, [step.migration for step in steps], planned.direction)


def result(done: Result, renderings: Mapping[str, Rendering]) -> Json:
    """The result of a run, and its plan."""
    return {
        "run": done.run,
        "direction": done.plan.direction.value,
        "done": [step.id for step in done.done],
        "failed": [
            {
                "step": failure.step.id if failure.step else None,
                **error(_known(failure.error))["error"],
                **details_of(failure.details),
            }
            for failure in done.failures
        ],
        "left": [step.id for step in done.left],
        "stopped": done.stopped,
        "seconds": round(done.seconds, 3),
        "plan": plan_of(done.plan, renderings),
    }


def status_of(
    name: str,
    state: State | DataopsError,
    problem: DataopsError | None,
    doing: Doing | None = None,
    compared: Drift | None = None,
) -> Json:
    """Where one service stands; the rest is as in `dataops.show.reports.Look`."""
    if isinstance(state, DataopsError):
        return {"service": name, "reachable": False, **error(state)}
    if state.service.observe:
        return _watched(state)
    half, running = recovery.half_step(state), recovery.running_step(state)
    moved, leaves = native.moved(state), background.left(state)
    return {
        **_database(state),
        "reachable": True,
        "revision": state.unknown[-1] if state.unknown else (state.applied[-1].id if state.applied else None),
        "applied": len(state.applied),
        "pending": [migration.id for migration in state.pending],
        "ahead": list(state.unknown),
        "interrupted": {**entry_of(name, half.entry), "ended_by": half.ended_by} if half else None,
        "last": entry_of(name, state.last) if state.last else None,
        "locked_by": str(state.holder) if state.holder else None,
        "running": {**entry_of(name, running), "doing": _doing(doing) if doing else None} if running else None,
        "backfills": [backfill_of(one) for one in state.backfills],
        "paused": _pause(state.pause) if state.pause else None,
        "background": _left(leaves) if leaves is not None else None,
        "record": state.elsewhere or None,
        "moved": {
            "applied": [migration.id for migration in moved.applied],
            "rolled_back": [migration.id for migration in moved.rolled_back],
        },
        "warnings": list(state.warnings),
        "imports_changed": {file: list(ids) for file, ids in imports.changed(state).items()},
        "problem": error(problem)["error"] if problem else None,
        "drift": drift_of(compared) if compared else None,
        "foreign": [_foreign(state, record) for record in state.tool_records],
    }


def backfill_of(one: Backfill) -> Json:
    """How far a backfill is."""
    return {
        "place": one.place,
        "direction": one.direction.value,
        "key": one.key or None,
        "looked": one.looked,
        "total": one.total,
        "changed": one.changed,
        "unit": one.unit,
        "rate": None if one.rate is None else round(one.rate, 3),
        "left": None if one.left is None else round(one.left, 3),
        "paused": one.paused or None,
        "at": _time(one.at),
    }


def _pause(pause: Pause) -> Json:
    return {"who": pause.who, "at": _time(pause.at), "reason": pause.reason or None}


def _left(leaves: background.Left) -> Json:
    waiting = [migration.id for migration in leaves.waiting]
    return {
        "migration": leaves.first.id,
        "waiting": waiting,
        "half_done": leaves.half_done,
        "running": leaves.running,
    }


def _doing(doing: Doing) -> Json:
    times = {"rate": doing.rate, "left": doing.left}
    return {**vars(doing), **{name: None if value is None else round(value, 3) for name, value in times.items()}}


def _watched(state: State) -> Json:
    watched = watch.watch(state)
    return {
        **_database(state),
        "reachable": True,
        "observed": state.service.observe,
        "revision": watched.newest.name if watched.newest else None,
        "at": _time(watched.newest.at) if watched.newest else None,
        "applied": len(watched.record.rows) if watched.record else 0,
        "waiting": watched.waiting or None,
        "problem": error(watched.problem)["error"] if watched.problem else None,
    }


def _foreign(state: State, record: ToolRecord) -> Json:
    found = drift.find_drift(state, record)
    return {
        "tool": record.tool,
        "place": record.place,
        "applied": len(record.rows),
        "moved_on": [*found.moved_on, *found.unknown],
        "taken_back": list(found.taken_back),
        "behind": list(found.behind),
        "locked": record.locked or None,
    }


def adoption(
    name: str,
    found: examine.Adoption | None,
    differences: Sequence[str] | None,
    problem: DataopsError | None,
    *,
    written: bool,
) -> Json:
    """One service of `dataops adopt`. `differences` is null where none were looked for."""
    return {
        "service": name,
        "tool": found.record.tool if found else None,
        "place": found.record.place if found else None,
        "migrations": [
            {"migration": line.name, "finding": line.finding.value, "at": _time(line.at), "note": line.note or None}
            for line in (found.lines if found else ())
        ],
        "to_record": [line.name for line in (found.to_record if found else ())],
        "to_strike": [line.name for line in (found.to_remove if found else ())],
        "differences": list(differences) if differences is not None else None,
        "written": written,
        "problem": error(problem)["error"] if problem else None,
    }


def caught_up(
    name: str,
    moved: Moved,
    place: str,
    differences: Sequence[str] | None,
    problem: DataopsError | None,
    *,
    written: bool,
) -> Json:
    """One service of `dataops adopt`, whose own tool has moved the record by itself."""
    words = {Direction.APPLY: "applied by itself", Direction.ROLLBACK: "rolled back by itself"}
    return {
        "service": name,
        "tool": moved.tool,
        "place": place,
        "migrations": [
            {"migration": migration.id, "finding": words[direction], "at": None, "note": None}
            for migration, direction in moved.lines
        ],
        "to_record": [migration.id for migration in moved.applied],
        "to_strike": [migration.id for migration in reversed(moved.rolled_back)],
        "differences": list(differences) if differences is not None else None,
        "written": written,
        "problem": error(problem)["error"] if problem else None,
    }


def drift_of(found: Drift) -> Json:
    """How one service differs from what its record says."""
    return {
        "head": found.head,
        "differences": [
            {
                "how": of.how.value,
                "open": of.open,
                "kind": of.kind,
                "name": redact(of.name),
                "expected": redact(of.expected) or None,
                "here": redact(of.found) or None,
            }
            for of in found.differences
        ],
        "problem": error(found.error)["error"] if found.error is not None else None,
    }


def rehearsal(report: RehearsalReport) -> str:
    """What `dataops rehearse` found."""
    found = [_rehearsal_of(one, report.renderings) for one in report.found]
    return document({"sample": report.sample, "services": found}, report.code)


def _rehearsal_of(one: Rehearsal, renderings: Mapping[str, Rendering]) -> Json:
    """The rehearsal of one service, without a value of a row or document."""
    failed = one.failed
    return {
        "service": one.service.name,
        "pending": [step.migration.id for step in one.pending],
        "tables": {redact(name): {"rows": of.rows, "live": of.live} for name, of in one.tables.items()},
        "notes": list(one.remarks),
        "steps": [
            {
                "migration": step.migration,
                "direction": step.direction.value,
                "seconds": step.seconds,
                "statements": [
                    _measured(statement, effects.get(at), one.tables) for at, statement in enumerate(step.statements)
                ],
            }
            for step in one.steps
            for effects in [effects_of(step, renderings.get(f"{one.service.name}/{step.migration}"))]
        ],
        "not_rolled_back": list(one.kept),
        "differences": [{"when": when, "difference": text} for when, text in one.different],
        "failed": {
            "migration": failed.step.migration.id,
            "direction": failed.step.direction.value,
            "statement": failed.statement or None,
            "problem": error(failed.error)["error"],
        }
        if failed
        else None,
    }


def _measured(statement: Measured, effect: Effect | None, tables: Mapping[str, Sampled]) -> Json:
    span = carried(statement, effect, tables)
    return {
        "statement": statement.text,
        "seconds": round(statement.seconds, 6),
        "changed": statement.changed,
        "locks": [{"object": name, "mode": mode} for name, mode in statement.observed.locks],
        "rewritten": list(statement.observed.rewritten),
        "live": _span(span),
        "foreseen": _span(effect.span if effect else None),
        "error": statement.error or None,
    }


def _span(span: Span | None) -> Json | None:
    return {"low": round(span.low, 3), "high": round(span.high, 3), "basis": span.basis} if span else None


def proof_of(found: Proof) -> Json:
    """What `dataops prove` found of one service."""
    return {
        "service": found.service.name,
        "migrations": [migration.id for migration in found.migrations],
        "seeded": found.seeded,
        "differences": [
            {"migration": one.migration or None, "when": one.when, "difference": one.difference}
            for one in found.disproved
        ],
        "problem": error(found.error)["error"] if found.error else None,
    }


def baseline(
    run: str, name: str, upto: Iterable[Migration], differences: Sequence[str] | None, *, written: bool
) -> Json:
    """The answer of `dataops baseline`."""
    return {
        "run": run,
        "service": name,
        "to_record": [migration.id for migration in upto],
        "differences": list(differences or ()),
        "written": written,
    }


def entry_of(service: str, entry: Entry) -> Json:
    """One journal entry."""
    return {
        "service": service,
        "run": entry.run,
        "seq": entry.seq,
        "migration": entry.migration,
        "direction": entry.direction.value,
        "event": entry.event.value,
        "at": _time(entry.at),
        "seconds": entry.seconds,
        "actor": entry.actor,
        "host": entry.host,
        "version": entry.version,
        "error": entry.error or None,
        "reason": entry.reason or None,
        "statements": [vars(one) for one in entry.statements],
    }


def history(stories: Sequence[Story]) -> Json:
    """Runs, in the given order, and the entries of each, newest first."""
    return {
        "runs": [
            {
                "run": story.id,
                "began": _time(story.began),
                "ended": _time(story.ended),
                "seconds": story.seconds,
                "who": story.who,
                "services": list(story.services),
                "done": dict(story.done),
                "standing": story.standing,
                "failed": list(story.failed),
                "open": list(story.open),
                "running": list(story.running),
                "stopped": list(story.stopped),
            }
            for story in stories
        ],
        "entries": [entry_of(service, entry) for story in stories for service, entry in reversed(story.entries)],
    }


def entry_lines(entries: Iterable[tuple[str, Entry, Link | None]]) -> str:
    """Journal entries as lines of JSON, each with its service and its hash, in the given order."""
    return "".join(f"{json_text({**entry_of(service, entry), **_link(link)})}\n" for service, entry, link in entries)


_FOREIGN = ("error", "reason", "statements")


def _link(link: Link | None) -> Json:
    """What binds an entry to the one before. `sealed` is null where a secret in it had to be taken out."""
    if link is None or not link.hash:
        return {"previous": None, "hash": None, "sealed": None}
    said = json.loads(link.sealed)
    whole = all(redact(text) == text for text in (said.get(name, "") for name in _FOREIGN))
    return {"previous": link.previous or None, "hash": link.hash, "sealed": link.sealed if whole else None}


def places(service: str, found: Iterable[Place]) -> Json:
    """What `dataops inspect SERVICE` found."""
    return {"service": service, "places": [_place(place) for place in found]}


def inspection(service: str, found: Inspection, named: Iterable[Sequence[str]]) -> Json:
    """What `dataops inspect SERVICE NAME` found; `named` has the migrations that name each part."""
    return {
        "service": service,
        "place": _place(found.place),
        "sampled": found.sampled,
        "notes": list(found.notes),
        "parts": [
            {
                "kind": part.kind,
                "name": part.name,
                "definition": part.definition,
                "share": part.share,
                "bytes": part.size,
                "named_in": list(ids),
            }
            for part, ids in zip(found.parts, named, strict=True)
        ],
    }


def _place(place: Place) -> Json:
    return {
        "name": place.name,
        "kind": place.kind,
        "rows": place.rows,
        "bytes": place.size,
        "indexes": place.indexes,
        "index_bytes": place.index_size,
    }


def verification(verdicts: Mapping[str, Verdict], gone: Sequence[str]) -> Json:
    """Whether the journals are as they were written, for each service; `gone` are hashes that no entry has."""
    return {
        "services": [
            {
                "service": name,
                "with_hash": verdict.chained,
                "earlier": verdict.earlier,
                "between": [
                    {"seq": one.seq, "migration": one.migration, "version": one.version} for one in verdict.between
                ],
                "damages": [
                    {"seq": one.seq or None, "migration": one.migration, "what": one.what} for one in verdict.damages
                ],
                "newest": {"seq": verdict.newest.seq, "hash": verdict.newest.hash} if verdict.newest else None,
            }
            for name, verdict in verdicts.items()
        ],
        "gone": list(gone),
    }


def check_of(where: str, check: Check) -> Json:
    """What `dataops doctor` found of one thing."""
    return {
        "where": where,
        "subject": check.subject,
        "level": check.level.value,
        "found": check.found,
        "remedy": check.remedy or None,
    }


def stash_entries(service: str, found: StashEntry) -> Json:
    """One stash entry."""
    return {
        "service": service,
        "migration": found.migration,
        "of": found.source,
        "kept_in": found.place,
        "count": found.count,
        "bytes": found.bytes,
        "since": _time(found.at),
    }


def _known(problem: Exception) -> DataopsError:
    return problem if isinstance(problem, DataopsError) else DataopsError(message_of(problem))


def _database(state: State) -> Json:
    return {
        "service": state.service.name,
        "engine": state.service.kind.name,
        "server": state.server,
        "address": state.identity.address,
        **_member(state.service),
    }


def _member(service: Service) -> Json:
    """Which database of which fleet it is; null where it is none."""
    member = service.member
    return {
        "fleet": member.fleet if member else None,
        "database": member.database if member else None,
        "labels": dict(member.labels) if member else None,
    }


def _applied(state: State, at: int) -> Json:
    applied = state.applied[at]
    return {"migration": applied.id, "at": _time(applied.at), "run": applied.run}


def _step(step: Step, rendering: Rendering | None) -> Json:
    migration: Migration = step.migration
    return {
        "migration": migration.id,
        "title": migration.title,
        "file": migration.path.name,
        "direction": step.direction.value,
        "checksum": migration.checksum,
        "transactional": migration.atomic,
        "repeatable": migration.repeatable,
        "reversible": migration.reversible,
        "irreversible_because": migration.facts.irreversible_because or None,
        "commands": list(rendering.commands) if rendering else None,
        "opaque": (rendering.opaque or None) if rendering else None,
        "fails": (rendering.fails or None) if rendering else None,
        "notes": list(rendering.notes) if rendering else None,
        "puts_aside": list(rendering.puts_aside) if rendering else None,
        "risks": [_risk(risk) for risk in risks.of_step(step, rendering)],
        "effects": [_effect(effect) for effect in rendering.effects] if rendering else None,
        "unforeseen": list(rendering.unforeseen) if rendering else None,
        "findings": [
            {"code": one.code, "severity": one.severity, "line": one.line, "message": one.message}
            for one in rendering.remarks
        ]
        if rendering
        else None,
    }


def _risk(risk: Risk) -> Json:
    return {"hazard": risk.hazard, "text": risk.text, "decides": HAZARDS[risk.hazard].decides}


def _effect(effect: Effect) -> Json:
    return {
        "command": effect.command,
        "locks": [{"object": one.object, "mode": one.mode, "waits": list(one.waits)} for one in effect.held],
        "work": [
            {
                "verb": work.verb.value,
                "object": work.object,
                "rows": work.rows,
                "bytes": work.bytes,
                "exact": work.exact,
                "unit": work.unit,
            }
            for work in effect.work
        ],
        "seconds": _span(effect.span),
        "risks": [_risk(risk) for risk in effect.risks],
    }


def _finding(finding: Finding, root: Path) -> Json:
    return {
        "service": finding.service,
        "file": below(finding.path, root),
        "line": finding.line,
        "code": finding.rule.code,
        "severity": finding.rule.severity.value,
        "message": finding.message,
        "hint": finding.fix,
        "sql": finding.sql or None,
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
