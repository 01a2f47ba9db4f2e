"""What UPDATE, DELETE and INSERT do to a live table."""

from __future__ import annotations

from dataops.backends.postgres.foresight import costs
from dataops.backends.postgres.foresight.facts import Table
from dataops.backends.postgres.foresight.grammar import Action
from dataops.backends.postgres.foresight.scene import Draft, Scene
from dataops.model import Span, Verb, Work

MANY = 100_000
"""A statement that changes more rows than this should be done in batches."""
_FEW = 1000


def change(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """An UPDATE or a DELETE."""
    for column in action.columns:
        scene.column(action, table, draft, column)
    rows = _matched(scene, action, table)
    deletes = action.kind == "delete"
    if rows != 0 and not table.is_empty:
        draft.work.append(Work(Verb.DELETES if deletes else Verb.CHANGES, table.title, rows))
        span = costs.change(rows, len(table.indexes))
        finding = costs.read(table.rows, table.heap) if rows is None or rows > _FEW else costs.read(rows, 0)
        draft.spans.append(Span(span.low + finding.low, span.high + finding.high, span.basis))
        if deletes:
            scene.destroy(table, draft, f"about {rows:,} rows" if rows else "rows")
    if rows is not None and rows > MANY:
        draft.risk("changes-many", f"about {rows:,} rows of {table.title} in one transaction")
    if deletes:
        scene.remove_rows(table)
    else:
        scene.set_columns(table, action.columns)


def _matched(scene: Scene, action: Action, table: Table) -> int | None:
    """How many rows it finds. Without a condition it is all of them, whatever the server estimates."""
    if "WHERE" not in action.words or not table.readable or not scene.rows_as_now(table):
        return table.rows
    estimated = scene.questions.rows_of(action.expression)
    return table.rows if estimated is None else estimated


def insert(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    for column in action.columns:
        scene.column(action, table, draft, column)
    if action.expression:
        rows = scene.questions.rows_of(action.expression)
        draft.work.append(Work(Verb.ADDS, table.title, rows))
        draft.spans.append(costs.change(rows, len(table.indexes)))
        if rows is not None and rows > MANY:
            draft.risk("changes-many", f"about {rows:,} rows are added to {table.title} in one transaction")
    scene.add_rows(table)


def merge(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A MERGE may do all three: how many rows is not known."""
    draft.work.append(Work(Verb.CHANGES, table.title))
    scene.remove_rows(table)
    scene.add_rows(table)
