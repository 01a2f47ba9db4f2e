"""What UPDATE, DELETE and INSERT do to a live table."""

from __future__ import annotations

from dataops.backends.postgres.foresight import costs
from dataops.backends.postgres.foresight.breaking import refuse_broken
from dataops.backends.postgres.foresight.facts import Table
from dataops.backends.postgres.foresight.grammar import Action, tables_in
from dataops.backends.postgres.foresight.locks import TAKEN
from dataops.backends.postgres.foresight.scene import Draft, Scene
from dataops.hazards import MANY
from dataops.model import Span, Verb, Work

_FEW = 1000
_OFTEN_WRONG = 10
"""An estimate of the server may be wrong by so much: it guesses where a condition computes with a column."""


def change(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """An UPDATE or a DELETE."""
    for column in action.columns:
        scene.column(action, table, draft, column)
    rows, changing = _matched(scene, action, table, draft)
    refuse_broken(scene, action, table, draft)
    deletes = action.kind == "delete"
    if rows != 0 and not table.is_empty:
        size = table.heap if "WHERE" not in action.words else None
        draft.work.append(Work(Verb.DELETES if deletes else Verb.CHANGES, table.title, rows, size))
        finding = costs.read(table.rows, table.heap) if rows is None or rows > _FEW else costs.read(rows, 0)
        draft.spans.append(Span(finding.low + changing.low, finding.high + changing.high, changing.basis))
        if deletes:
            scene.destroy(table, draft, f"about {rows:,} rows" if rows else "rows")
    if rows is not None and rows > MANY:
        draft.risk("changes-many", f"about {rows:,} rows of {table.title} in one transaction")
    if deletes:
        if rows != 0 and not table.is_empty and not scene.triggers_are_off(table):
            _cascade(scene, action, table, draft, {table.oid})
        scene.remove_rows(table)
    else:
        for name in action.other_columns:
            if rows != 0 and scene.has_live_column(table, name) and not scene.has_set(table, [name]):
                scene.destroy(table, draft, f"{name} of about {rows:,} rows" if rows else f"{name} of rows")
        scene.set_columns(table, action.columns)


def _cascade(scene: Scene, action: Action, table: Table, draft: Draft, done: set[int]) -> None:
    """What foreign keys do to the rows of other tables that refer to those that are deleted."""
    for one in scene.references_to(table):
        other = scene.facts.table(one["oid"])
        if one["on_delete"] not in ("c", "n", "d") or other.is_empty or scene.triggers_are_off(other):
            continue
        scene.lock(other, TAKEN["delete"].on, action, draft)
        if one["on_delete"] != "c":
            scene.set_columns(other, one["columns"])
            _lose(scene, other, draft, f"loses its {', '.join(one['columns'])}, where that refers to one of them")
        elif other.oid not in done:
            done.add(other.oid)
            _lose(scene, other, draft, "loses the rows that refer to them")
            _cascade(scene, action, other, draft, done)
            scene.remove_rows(other)


def _lose(scene: Scene, table: Table, draft: Draft, what: str) -> None:
    if table.name not in scene.aside:
        draft.risk("destroys-data", f"{table.title} {what}, and nothing keeps that")


def _matched(scene: Scene, action: Action, table: Table, draft: Draft) -> tuple[int | None, Span]:
    """How many rows it finds, and how long it takes to change them.

    Without a condition it is all of them, whatever the server estimates. With one, it may be none of them where nothing
    is known, and ten times as many as the server estimates.
    """
    estimated = None
    if table.readable and not scene.unsure:
        estimated = _estimate(scene, action.expression, draft)
    most = costs.change(table.rows, len(table.indexes))
    if "WHERE" not in action.words:
        return table.rows, most
    if estimated is None or not scene.rows_as_now(table):
        return table.rows, Span(0.0, most.high, most.basis)
    estimated = min(estimated, table.rows) if table.rows else estimated
    least = costs.change(estimated, len(table.indexes))
    many = costs.change(_OFTEN_WRONG * estimated, len(table.indexes))
    return estimated, Span(least.low, min(many.high, most.high) if table.rows else many.high, most.basis)


def _estimate(scene: Scene, query: str, draft: Draft) -> int | None:
    """How many rows a query finds. Where it names a column that is not there, that is told."""
    rows, problem = scene.questions.rows_of(query)
    if problem and scene.as_written(tables_in(query)):
        draft.risk("will-fail", problem)
    return rows


def read(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A query that is read, kept as a view, or whose rows go into a new table, `other`.

    It is told once, whichever of its tables comes first.
    """
    if action.expression in ("", "LIKE") or scene.unsure:
        return
    rows = _estimate(scene, action.expression, draft)
    if action.other is not None and not draft.work:
        draft.work.append(Work(Verb.ADDS, str(action.other), rows))
        span, finding = costs.change(rows, 0), costs.read(table.rows, table.heap)
        draft.spans.append(Span(span.low + finding.low, span.high + finding.high, span.basis))


def insert(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    for column in action.columns:
        scene.column(action, table, draft, column)
    refuse_broken(scene, action, table, draft)
    if action.expression:
        rows = _estimate(scene, action.expression, draft)
        draft.work.append(Work(Verb.ADDS, table.title, rows))
        draft.spans.append(costs.change(rows, len(table.indexes)))
        if rows is not None and rows > MANY:
            draft.risk("changes-many", f"about {rows:,} rows are added to {table.title} in one transaction")
    scene.add_rows(table)


def merge(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A MERGE may do all three: how many rows is not known."""
    draft.work.append(Work(Verb.CHANGES, table.title))
    if "DELETE" in action.words:
        scene.destroy(table, draft, "rows")
    scene.remove_rows(table)
    scene.add_rows(table)
