"""A rehearsal as lines for a person: what each statement took there and may take live, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dataops.hazards import HAZARDS
from dataops.model import Direction, Effect, Measured, Rendering, Sampled, StepMeasured
from dataops.planning.rehearsals import carried, effects_of
from dataops.show.paragraphs import fitted, paragraph, traceback_lines
from dataops.show.progress import Line
from dataops.show.reports import RehearsalReport
from dataops.text import counted, shortened

if TYPE_CHECKING:
    from dataops.backends import Example
    from dataops.rehearsal import Rehearsal

_HARMLESS_SECONDS = 0.1
"""A statement that takes less here, writes nothing anew and is no hazard is folded away."""
STRONG = ("AccessExclusiveLock", "ExclusiveLock", "ShareRowExclusiveLock", "ShareLock")
_HEADS = {Direction.APPLY: "+", Direction.ROLLBACK: "-"}


def lines(report: RehearsalReport, *, verbose: bool, width: int | None = None) -> list[Line]:
    """Service by service. With `verbose`, every statement, every lock, and rows before and after.

    `width` is that of the terminal, None for a pipe.
    """
    if not report.found:
        return [("nothing is pending: there is nothing to rehearse", "green")]
    found = (line for one in report.found for line in _service(one, report.renderings, verbose=verbose))
    return fitted(found, width, whole=verbose)


def _service(one: Rehearsal, renderings: Mapping[str, Rendering], *, verbose: bool) -> Iterator[Line]:
    rows = sum(table.rows for table in one.tables.values())
    live = sum(table.live for table in one.tables.values())
    unit = "documents" if one.service.kind.application_creates else "rows"
    size = f"{rows:,} of about {live:,} {unit}" if rows else "no data"
    yield f"{one.service.name}: {counted(len(one.pending), 'step')} rehearsed, with {size}", "bold"
    for remark in one.remarks:
        yield f"  note: {remark}", "yellow"
    for step in one.steps:
        if step.direction is Direction.APPLY or verbose:
            yield from _step(step, renderings.get(f"{one.service.name}/{step.migration}"), one.tables, verbose=verbose)
    if verbose:
        yield from (line for example in one.examples for line in _example(example))
    if one.failed is not None:
        yield from paragraph(f"  FAILED: {one.failed.error.message}", "bold red")
        if one.failed.statement not in one.failed.error.message:
            yield f"  in: {shortened(one.failed.statement, 300)}", "red"
        yield from traceback_lines(one.failed.error.traceback) if verbose else []
        return
    for when, difference in one.different:
        yield f"  {when}: {difference}", "bold red"
    if one.kept:
        yield f"  not rolled back, because {one.kept[-1]} cannot be", "yellow"
    elif not one.different:
        yield "  rolled back, compared, and applied again: no difference", "green"


def _step(
    step: StepMeasured, rendering: Rendering | None, tables: Mapping[str, Sampled], *, verbose: bool
) -> Iterator[Line]:
    yield f"  {_HEADS[step.direction]} {step.migration}  {step.seconds:.2f} s here", ""
    effects = effects_of(step, rendering)
    shown = list(enumerate(step.statements))
    if not verbose:
        shown = [(at, one) for at, one in shown if not _is_harmless(one, effects.get(at), tables)]
    for at, statement in shown:
        yield from _statement(statement, effects.get(at), tables, verbose=verbose)
        yield from _held(step, at, verbose=verbose)
    if more := len(step.statements) - len(shown):
        yield f"      … and {more} more, which {'is' if more == 1 else 'are'} short and harmless (-v shows all)", "dim"


def _is_harmless(statement: Measured, effect: Effect | None, tables: Mapping[str, Sampled]) -> bool:
    live = carried(statement, effect, tables)
    hazards = [HAZARDS[risk.hazard].decides for risk in effect.risks] if effect is not None else []
    is_short = statement.seconds < _HARMLESS_SECONDS and (live is None or live.high < 1)
    return is_short and not any(hazards) and not statement.observed.rewritten and not statement.error


def _statement(
    statement: Measured, effect: Effect | None, tables: Mapping[str, Sampled], *, verbose: bool
) -> Iterator[Line]:
    yield f"      > {statement.text}", ""
    parts = [f"{statement.seconds:.3f} s here"]
    parts += [f"{statement.changed:,} changed"] if statement.changed else []
    if (span := carried(statement, effect, tables)) is not None:
        parts.append(f"live {span.told}")
    yield f"        {'; '.join(parts)}", "dim"
    if effect is not None and effect.span is not None and verbose:
        yield f"        foreseen: {effect.span.told}", "dim"
    if statement.observed.rewritten:
        yield f"        wrote anew: {', '.join(statement.observed.rewritten)}", "yellow"


def _held(step: StepMeasured, at: int, *, verbose: bool) -> Iterator[Line]:
    """The locks that a statement has taken, and how long they were held: to the end of the transaction."""
    before = step.statements[at - 1].observed.locks if at else ()
    new = [lock for lock in step.statements[at].observed.locks if lock not in before]
    told = [f"{name} ({mode})" for name, mode in new if verbose or mode in STRONG]
    if told:
        seconds = sum(one.seconds for one in step.statements[at:] if set(new) & set(one.observed.locks))
        yield f"        held for {seconds:.3f} s: {', '.join(told)}", "dim"


def _example(example: Example) -> Iterator[Line]:
    yield f"    {example.table} {example.key}", ""
    for head, row in (("-", example.before), ("+", example.after)):
        if row is not None:
            told = ", ".join(f"{name}: {shortened(value, 60)}" for name, value in row.items())
            yield f"      {head} {told}", "red" if head == "-" else "green"


__all__ = ["STRONG", "lines"]
