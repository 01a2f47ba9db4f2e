"""What making and dropping tables, views and indexes does to a live database."""

from __future__ import annotations

from itertools import zip_longest

from dataops.backends.postgres.foresight import costs, partitions
from dataops.backends.postgres.foresight.facts import Table
from dataops.backends.postgres.foresight.grammar import Action, Name, columns_in, tables_in
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE
from dataops.backends.postgres.foresight.scene import Draft, Scene, rows_text
from dataops.backends.postgres.sql import quoted
from dataops.model import Span, Verb, Work
from dataops.text import listed


def create(scene: Scene, action: Action, draft: Draft) -> None:
    """A table or a view that is new."""
    assert action.on is not None
    schema, name = scene.placed(action.on)
    temporary = "TEMPORARY" in action.words
    if action.on.schema and not scene.has_schema(schema) and not scene.unsure:
        draft.risk("will-fail", f"the schema {schema} is not there")
    is_there = scene.is_there(Name(schema, name))
    if is_there and not {"IF NOT EXISTS", "OR REPLACE", "TEMPORARY"} & action.words and not scene.unsure:
        draft.risk("will-fail", f"{action.on} exists")
    if not is_there or temporary:
        scene.make(schema, name, temporary=temporary)
        if "WHOLE" in action.words:
            scene.made_columns[schema, name] = set(action.columns)


def follow_made(scene: Scene, action: Action, draft: Draft) -> None:
    """What is done to a table that the plan has made: the columns that it names, and names that are taken."""
    assert action.on is not None
    place = scene.placed(action.on)
    if action.kind.startswith("create an index") and action.name and "IF NOT EXISTS" not in action.words:
        index = Name(place[0], action.name)
        if scene.is_there(index) and not scene.unsure:
            draft.risk("will-fail", f"{index} exists")
        scene.make(*index)
        scene.made_indexes[index] = place
    if action.kind in _RENAMES and action.name:
        _rename_made(scene, action, place, draft)
        return
    if action.kind.startswith("drop a") and action.kind != "drop a constraint":
        scene.remove(*place)
        scene.made_columns.pop(place, None)
        for index in [index for index, table in scene.made_indexes.items() if place in (index, table)]:
            del scene.made_indexes[index]
            scene.remove(*index)
        return
    columns = scene.made_columns.get(place)
    if columns is None:
        return
    if action.kind == "add column":
        if action.column in columns and "IF NOT EXISTS" not in action.words and not scene.unsure:
            draft.risk("will-fail", f"{action.on} has a column {action.column} already")
        columns.add(action.column)
        return
    named = [name for name in (action.column, *action.columns) if name] if action.kind in _NAMING_COLUMNS else []
    missing = [name for name in named if name not in columns]
    if missing and not scene.unsure and "PART IF EXISTS" not in action.words:
        draft.risk("will-fail", f"{action.on} has no column {listed(missing)}")
    if action.kind == "drop column":
        columns.discard(action.column)
    elif action.kind == "rename a column":
        columns.discard(action.column)
        columns.add(action.name)
    elif action.kind == "inherit":
        del scene.made_columns[place]


_RENAMES = ("rename a table", "move a table to a schema", "rename an index", "alter a view or sequence")


def _rename_made(scene: Scene, action: Action, place: tuple[str, str], draft: Draft) -> None:
    moves = action.kind == "move a table to a schema"
    new = (action.name, place[1]) if moves else (place[0], action.name)
    if scene.is_there(Name(*new)) and not scene.unsure:
        draft.risk("will-fail", f"{Name(*new)} exists")
    scene.remove(*place)
    scene.make(*new)
    if place in scene.made_columns:
        scene.made_columns[new] = scene.made_columns.pop(place)
    for index, table in list(scene.made_indexes.items()):
        if table == place and moves:
            scene.remove(*index)
            del scene.made_indexes[index]
        elif table == place:
            scene.made_indexes[index] = new
        elif index == place:
            scene.made_indexes[Name(*new)] = scene.made_indexes.pop(index)


_NAMING_COLUMNS = frozenset(
    {
        "drop column", "rename a column", "alter the type", "set NOT NULL", "drop NOT NULL", "set or drop a default",
        "comment", "insert", "update", "create an index", "create an index concurrently", "add a foreign key",
        "add a primary key", "add a unique constraint",
    }
)  # fmt: skip


def replace_view(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """CREATE OR REPLACE adds columns at the end, and changes none of those that are there."""
    if not action.expression or table.kind != "v" or not scene.as_written(tables_in(action.expression)):
        return
    before = scene.questions.columns_of(f"SELECT * FROM {quoted(table.schema)}.{quoted(table.name)}")
    then = scene.questions.columns_of(action.expression)
    if before is None or then is None or scene.has_other_columns(table):
        return
    what = ""
    for (name, type_), (new, new_type) in zip_longest(before, then[: len(before)], fillvalue=("", 0)):
        if not new:
            what = f"loses its column {name}"
        elif new != name:
            what = f"has {new} in the place of its column {name}"
        elif new_type != type_:
            what = f"has another type of its column {name}"
        if what:
            draft.risk("will-fail", f"{table.title} {what} then, which REPLACE cannot do")
            return


def create_schema(scene: Scene, action: Action, draft: Draft) -> None:
    if scene.has_schema(action.name) and "IF NOT EXISTS" not in action.words and not scene.unsure:
        draft.risk("will-fail", f"the schema {action.name} exists")
    scene.make_schema(action.name)


def drop_schema(scene: Scene, action: Action, draft: Draft) -> None:
    """Its tables go with it, where it says CASCADE; what else is in it is not looked at."""
    if not scene.has_schema(action.name):
        if "IF EXISTS" not in action.words and not scene.unsure:
            draft.risk("will-fail", f"the schema {action.name} is not there")
        return
    tables = [scene.facts.table(oid) for oid in scene.facts.in_schema(action.name)]
    left = [table for table in tables if not scene.is_gone(Name(table.schema, table.name))]
    if left and "CASCADE" not in action.words and not scene.unsure:
        draft.risk("will-fail", f"{left[0].title} is in the schema {action.name}")
    if "CASCADE" in action.words:
        for table in left:
            scene.lock(table, ACCESS_EXCLUSIVE, action, draft)
            scene.destroy(table, draft, rows_text(table))
            scene.leave(table)


def create_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    index = Name(table.schema, action.name)
    if action.name and scene.is_there(index):
        if "IF NOT EXISTS" in action.words:
            return
        if not scene.unsure:
            draft.risk("will-fail", f"{index} exists")
    if action.name:
        scene.make(*index)
    _refuse_method(scene, action, table, draft)
    if "UNIQUE" in action.words:
        scene.add_key(table)
        partitions.refuse_partial_key(scene, action, table, draft)
    if table.kind == "p" and "concurrently" in action.kind and not scene.unsure:
        draft.risk("will-fail", f"{table.title} is partitioned: its indexes are not built concurrently")
    if not table.is_empty:
        build_index(scene, action, table, draft)


def _refuse_method(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """The method of an index that is not there, or not for this key."""
    if scene.unsure or scene.extended:
        return
    name = action.type or "btree"
    method = scene.facts.index_method(name)
    if method is None:
        draft.risk("will-fail", f"there is no index method {name}")
        return
    if table.kind == "v":
        draft.risk("will-fail", f"{table.title} is a view, which has no index")
    if "UNIQUE" in action.words and not method["can_unique"]:
        draft.risk("will-fail", f"an index of the method {name} cannot be unique")
    if len(action.given) > 1 and not method["can_have_many"]:
        draft.risk("will-fail", f"an index of the method {name} has one column")
    for column in action.other_columns:
        found = table.columns.get(column)
        if found is None or not scene.keeps_column(table, column, of_default=False):
            continue
        if not scene.facts.is_indexed_by(method["oid"], found.type):
            what = f"{column} of {table.title} is {found.written}"
            draft.risk("will-fail", f"{what}, for which an index of the method {name} needs an operator class")


def build_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """An index is built over the live rows, and if it is unique they are asked for duplicates."""
    span = costs.index(table.rows, table.heap, action.type or "btree")
    if "concurrently" in action.kind:  # it passes over the table twice
        span = Span(2 * span.low, 2 * span.high, span.basis)
    name = action.name or f"an index of {', '.join(action.columns) or action.expression.partition(' WHERE ')[0]}"
    draft.work.append(Work(Verb.BUILDS, f"{name} on {table.title}", table.rows, table.heap))
    draft.spans.append(span)
    are_there = [scene.column(action, table, draft, column) for column in action.columns]
    is_key = "UNIQUE" in action.words or action.kind in ("add a primary key", "add a unique constraint")
    is_expression = action.kind.startswith("create an index") and not action.columns
    if is_key and (is_expression or (action.columns and all(are_there))):
        keys, _, where = action.expression.partition(" WHERE ")
        named = columns_in(keys) if is_expression else action.columns
        if is_expression and not all(scene.column(action, table, draft, column) for column in named):
            return
        keys = keys if is_expression else ""
        where = action.expression.partition(" WHERE ")[2] if "WHERE" in action.words else ""
        equal = "NULLS NOT DISTINCT" in action.words
        scene.ask(
            f"whether {table.title} has rows of the same {keys or ', '.join(action.columns)}",
            table,
            named,
            draft,
            lambda: scene.questions.duplicates(table, action.columns, where, nulls_equal=equal, keys=keys),
        )


def drop_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    assert action.on is not None
    if not scene.facts.is_index(action.on):
        draft.risk("will-fail", f"{action.on} is not an index")
        return
    if scene.has_constraint(table, action.on.name) and not scene.unsure:
        draft.risk("will-fail", f"the constraint {action.on.name} of {table.title} needs it")
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
    if table.whole:  # a partition: nobody can use the whole table meanwhile
        whole = scene.facts.table(table.whole)
        draft.hold(whole, ACCESS_EXCLUSIVE)
        if whole.rest and whole.rest != table.oid:
            draft.hold(scene.facts.table(whole.rest), ACCESS_EXCLUSIVE)
    _refuse_referred(scene, action, table, draft)
    if "CASCADE" in action.words:
        for one in scene.references_to(table):
            scene.lock(scene.facts.table(one["oid"]), ACCESS_EXCLUSIVE, action, draft)
    elif table.inherited and not scene.unsure:
        beside = {scene.placed(name) for name in action.beside}
        children = [Name(*title.split(".", 1)) for title in scene.facts.children(table)]
        if left := [str(name) for name in children if not scene.is_gone(name) and scene.placed(name) not in beside]:
            draft.risk("will-fail", f"{listed(left)} inherits from {table.title}")
    scene.refuse_used(action, table, draft)
    if "CASCADE" in action.words:
        scene.remove_views(table)
    scene.remove(table.schema, table.name)
    scene.leave(table)
    draft.risk("breaks-application", f"code that uses {table.title} fails")
    if action.kind == "drop a table":  # the rows of a foreign table stay where they are
        scene.destroy(table, draft, rows_text(table))
        scene.tell_replication(table, draft, "it")


def take_rights(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """REVOKE."""
    draft.risk("breaks-application", f"{listed(action.columns)} may do less with {table.title} then")


def drop_sequence(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """With CASCADE, the defaults go that take their values from it."""
    if "CASCADE" in action.words:
        draft.risk("breaks-application", f"columns whose default is {table.title} have none then")
    scene.remove(table.schema, table.name)


def truncate(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    scene.destroy(table, draft, rows_text(table))
    _refuse_referred(scene, action, table, draft)
    scene.remove_rows(table)
    if "CASCADE" in action.words:
        _truncate_referring(scene, action, table, draft, {table.oid})


def _truncate_referring(scene: Scene, action: Action, table: Table, draft: Draft, done: set[int]) -> None:
    """CASCADE empties the tables that refer to it too, and those that refer to them."""
    for one in scene.references_to(table):
        if one["oid"] not in done:
            done.add(one["oid"])
            other = scene.facts.table(one["oid"])
            scene.lock(other, ACCESS_EXCLUSIVE, action, draft)
            scene.destroy(other, draft, rows_text(other))
            scene.remove_rows(other)
            _truncate_referring(scene, action, other, draft, done)


def _refuse_referred(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if "CASCADE" in action.words or scene.unsure:
        return
    beside = {scene.placed(name) for name in action.beside}
    titles = dict.fromkeys(one["table"] for one in scene.references_to(table))
    if others := [title for title in titles if scene.placed(Name(*title.split(".", 1))) not in beside]:
        draft.risk("will-fail", f"{', '.join(others)} refers to {table.title}")
