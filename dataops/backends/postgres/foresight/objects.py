"""What making and dropping tables, views and indexes does to a live database."""

from __future__ import annotations

from dataops.backends.postgres.foresight import costs
from dataops.backends.postgres.foresight.facts import Table
from dataops.backends.postgres.foresight.grammar import Action, Name
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE
from dataops.backends.postgres.foresight.scene import Draft, Scene, rows_text
from dataops.model import Span, Verb, Work


def create(scene: Scene, action: Action, draft: Draft) -> None:
    """A table or a view that is new."""
    assert action.on is not None
    schema, name = scene.placed(action.on)
    is_there = scene.is_there(Name(schema, name))
    if is_there and not {"IF NOT EXISTS", "OR REPLACE", "TEMPORARY"} & action.words and not scene.unsure:
        draft.risk("will-fail", f"{action.on} exists")
    if not is_there or "TEMPORARY" in action.words:
        scene.make(schema, name)


def create_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    index = Name(table.schema, action.name)
    if action.name and scene.is_there(index):
        if "IF NOT EXISTS" in action.words:
            return
        if not scene.unsure:
            draft.risk("will-fail", f"{index} exists")
    if action.name:
        scene.make(*index)
    if not table.is_empty:
        build_index(scene, action, table, draft)


def build_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """An index is built over the live rows, and if it is unique they are asked for duplicates."""
    span = costs.index(table.rows, table.heap, action.type or "btree")
    if "concurrently" in action.kind:  # it passes over the table twice
        span = Span(2 * span.low, 2 * span.high, span.basis)
    name = action.name or f"an index of {', '.join(action.columns)}"
    draft.work.append(Work(Verb.BUILDS, f"{name} on {table.title}", table.rows, table.heap))
    draft.spans.append(span)
    are_there = [scene.column(action, table, draft, column) for column in action.columns]
    is_key = "UNIQUE" in action.words or action.kind in ("add a primary key", "add a unique constraint")
    if is_key and action.columns and all(are_there):
        where = action.expression.partition(" WHERE ")[2] if "WHERE" in action.words else ""
        equal = "NULLS NOT DISTINCT" in action.words
        scene.ask(
            f"whether {table.title} has rows of the same {', '.join(action.columns)}",
            table,
            action.columns,
            draft,
            lambda: scene.questions.duplicates(table, action.columns, where, nulls_equal=equal),
        )


def drop_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    assert action.on is not None
    scene.remove(table.schema, action.on.name)


def reindex(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if not table.is_empty:
        span = costs.index(table.rows, table.heap)
        count = len(table.indexes) if "table" in action.kind else 1
        draft.do(Verb.BUILDS, table, Span(count * span.low, count * span.high, span.basis))


def drop_table(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A table, a view or a materialized view goes."""
    for oid in table.refers_to:
        scene.lock(scene.facts.table(oid), ACCESS_EXCLUSIVE, action, draft)
    _refuse_referred(scene, action, table, draft)
    scene.refuse_used(action, table, draft)
    scene.remove(table.schema, table.name)
    draft.risk("breaks-application", f"code that uses {table.title} fails")
    if action.kind == "drop a table":
        scene.destroy(table, draft, rows_text(table))
        scene.tell_replication(table, draft, "it")


def truncate(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    scene.destroy(table, draft, rows_text(table))
    _refuse_referred(scene, action, table, draft)
    scene.remove_rows(table)


def _refuse_referred(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if "CASCADE" in action.words or scene.unsure:
        return
    titles = scene.facts.titles(table.referred_by)
    if others := [title for title in titles if not scene.is_gone(Name(*title.split(".", 1)))]:
        draft.risk("will-fail", f"{', '.join(others)} refers to {table.title}")
