"""What ALTER TABLE does to a live table, command by command."""

from __future__ import annotations

from collections.abc import Sequence

from dataops.backends.postgres.foresight import costs, partitions
from dataops.backends.postgres.foresight.facts import Column, Table
from dataops.backends.postgres.foresight.grammar import Action, Name, columns_in, functions_in
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE, ROW_SHARE
from dataops.backends.postgres.foresight.objects import build_index
from dataops.backends.postgres.foresight.questions import Answer
from dataops.backends.postgres.foresight.scene import Draft, Scene, rows_text
from dataops.backends.postgres.foresight.types import change
from dataops.model import Verb


def add_column(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if scene.has_column(table, action.column):
        if "IF NOT EXISTS" in action.words:
            return
        if not scene.unsure:
            draft.risk("will-fail", f"{table.title} has a column {action.column} already")
    if not scene.unsure and table.whole and not scene.has_left_parents(table):
        draft.risk("will-fail", f"{table.title} is a partition: its columns are those of the whole table")
    elif not scene.unsure and table.kind == "v":
        draft.risk("will-fail", f"{table.title} is a view")
    scene.add_column(table, action.column)
    called = functions_in(action.expression)
    varies = scene.facts.volatility(called) if called else False
    generated = {"SERIAL", "IDENTITY", "STORED"} & action.words
    checked, not_null = scene.facts.domain(action.type) if not generated else (False, False)
    varies = varies or checked or varies  # the server checks every value of a domain, also of a default
    if generated or varies is not False:
        scene.rewrite(table, draft)
        if varies is None and called:
            scene.tell_unknown(f"whether {', '.join(called)}() gives every row a value of its own")
    if not generated and "VIRTUAL" not in action.words:
        _refuse_default(scene, action, action.type, draft)
    filled = generated or "VIRTUAL" in action.words or action.expression not in ("", "NULL")
    if ("NOT NULL" in action.words or not_null) and not filled:
        if not table.is_empty:
            because = f"{action.column} is NOT NULL and has no default"
            scene.ask(
                f"whether {table.title} has rows", table, (), draft, lambda: _because(_has_rows(scene, table), because)
            )
        draft.risk("breaks-application", f"code that inserts into {table.title} without {action.column} fails")


def _refuse_default(scene: Scene, action: Action, type_: str, draft: Draft) -> None:
    """A default that is no value of its type."""
    if not action.expression or scene.unsure or scene.changed_types:
        return
    computes = scene.facts.volatility(functions_in(action.expression)) is False
    if computes and scene.questions.refuses(action.expression, type_):
        draft.risk("will-fail", f"the default of {action.column} cannot be made {type_}")


def _has_rows(scene: Scene, table: Table) -> Answer:
    return Answer(f"{table.title} has rows") if table.rows else scene.questions.any_row(table)


def _because(answer: Answer, why: str) -> Answer:
    return Answer(f"{answer.found}, and {why}" if answer.found else "", answer.unknown)


def drop_column(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if scene.column(action, table, draft, action.column) is None:
        scene.drop_column(table, action.column)  # that of the plan, if it has made one
        return
    scene.refuse_used(action, table, draft, action.column)
    partitions.refuse_key_column(scene, action, table, draft)
    _refuse_generated(scene, action, table, draft)
    _lock_referring(scene, action, table, draft, [action.column])
    if "CASCADE" in action.words:
        scene.remove_views(table, action.column)
    scene.drop_column(table, action.column)
    draft.risk("breaks-application", f"code that names {table.title}.{action.column} fails")
    scene.destroy(table, draft, f"{action.column} of {rows_text(table)}")
    scene.tell_replication(table, draft, f"its column {action.column}")
    scene.set_columns(table, [action.column])


def _refuse_generated(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    made = [name for name in scene.facts.generated_from(table, action.column) if scene.has_column(table, name)]
    if action.kind == "drop column" and ("CASCADE" in action.words or scene.facts.major < 15):  # then they go with it
        for name in made:
            scene.drop_column(table, name)
        return
    if made and not scene.unsure:
        draft.risk("will-fail", f"{', '.join(made)} of {table.title} is generated from {action.column}")


def _lock_referring(scene: Scene, action: Action, table: Table, draft: Draft, keys: Sequence[str]) -> None:
    """The foreign keys to these columns: CASCADE drops them, and without it they are in the way of a DROP."""
    for one in scene.references_to(table):
        if set(one["keys"]) & set(keys):
            if action.kind == "alter the type" or "CASCADE" in action.words:
                scene.lock(scene.facts.table(one["oid"]), ACCESS_EXCLUSIVE, action, draft)
            elif not scene.unsure:
                draft.risk("will-fail", f"{one['table']} refers to {', '.join(one['keys'])} of {table.title}")


def touch_column(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """What needs the column, and does nothing to its values."""
    if action.column:
        found = scene.column(action, table, draft, action.column)
        if found is not None and not scene.unsure and not scene.has_other_nature(table, action.column):
            _refuse_nature(action, table, found, draft)
        if action.kind in _NATURE:
            scene.change_nature(table, action.column)
    if action.kind == "drop NOT NULL":
        scene.allow_nulls(table, action.column)
    if action.kind == "set or drop a default":
        scene.set_default(table, action.column, action.expression or "NULL")
        column = table.columns.get(action.column)
        if column is not None and scene.keeps_column(table, action.column, of_default=False):
            _refuse_default(scene, action, column.written, draft)
    elif action.kind == "change an identity column":
        scene.set_default(table, action.column, None)


_NATURE = ("change an identity column", "drop the expression of a column", "drop NOT NULL")


def _refuse_nature(action: Action, table: Table, column: Column, draft: Draft) -> None:
    """What is done only to a column that the server fills, or only to one that it does not."""
    name = f"{column.name} of {table.title}"
    if action.kind == "change an identity column" and "ADD" in action.words:
        if column.identity:
            draft.risk("will-fail", f"{name} is an identity column already")
        elif column.default is not None:
            draft.risk("will-fail", f"{name} has a default, which an identity column cannot have")
        elif not column.not_null:
            draft.risk("will-fail", f"{name} may be null, which an identity column may not")
        elif column.base not in ("smallint", "integer", "bigint"):
            draft.risk("will-fail", f"{name} is {column.written}: an identity column is smallint, integer or bigint")
    elif action.kind == "change an identity column":
        if not column.identity and "PART IF EXISTS" not in action.words:
            draft.risk("will-fail", f"{name} is no identity column")
    elif action.kind == "drop the expression of a column":
        if not column.generated and "PART IF EXISTS" not in action.words:
            draft.risk("will-fail", f"{name} is no generated column")
    elif action.kind == "set or drop a default":
        if column.identity or (column.generated and action.expression):
            draft.risk("will-fail", f"{name} has no default: the server fills it")
    elif action.kind == "drop NOT NULL" and column.identity:
        draft.risk("will-fail", f"{name} is an identity column, which may not be null")


def rename_column(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if scene.has_column(table, action.name) and not scene.unsure:
        draft.risk("will-fail", f"{table.title} has a column {action.name} already")
    if scene.column(action, table, draft, action.column) is not None:
        changed = f"{table.title}.{action.column} is {action.name} then"
        draft.risk("breaks-application", f"{changed}: code that names it fails")
        scene.tell_replication(table, draft, f"its column {action.column}")
    scene.rename_column(table, action.column, action.name)
    scene.set_columns(table, [action.column, action.name])


def alter_type(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    column = scene.column(action, table, draft, action.column)
    if column is None:
        return
    new = change(scene.facts, column, action.type, action.expression)
    if new.nothing and "COLLATE" not in action.words:
        return
    scene.refuse_used(action, table, draft, action.column)
    partitions.refuse_key_column(scene, action, table, draft)
    _refuse_generated(scene, action, table, draft)
    _lock_referring(scene, action, table, draft, [action.column])
    for constraint in table.constraints:
        if constraint.kind == "f" and action.column in constraint.columns:
            scene.lock(scene.facts.table(constraint.other), ACCESS_EXCLUSIVE, action, draft)
    if new.nothing:
        return
    if not new.casts and not action.expression:
        draft.risk("will-fail", f"{column.written} is not made {action.type} without USING")
    elif new.rewrites and not table.is_empty:
        needed = columns_in(action.expression) or [action.column]
        scene.ask(
            f"whether every {action.column} of {table.title} can be made {action.type}",
            table,
            needed,
            draft,
            lambda: scene.questions.casts(table, action.column, action.expression, action.type),
        )
    if new.rewrites is not False:
        scene.rewrite(table, draft)
    scene.tell_replication(table, draft, f"its column {action.column}")
    scene.set_columns(table, [action.column])
    scene.change_type(table, action.column)


def set_not_null(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if "NOT VALID" in action.words:
        return
    column = scene.column(action, table, draft, action.column)
    if column is None:
        if scene.has_column(table, action.column):
            scene.read(table, draft)
            if not table.is_empty:
                scene.tell_unknown(f"whether {action.column} of {table.title} has nulls: the plan makes this column")
        return
    scene.change_nature(table, action.column)
    if column.not_null:
        return
    if not table.proves_not_null(action.column):
        scene.read(table, draft)
    if not table.is_empty:
        _refuse_nulls(scene, table, action.column, draft, only=bool({"ONLY", "NO INHERIT"} & action.words))
    draft.risk("breaks-application", f"code that writes no {action.column} into {table.title} fails")


def _refuse_nulls(scene: Scene, table: Table, column: str, draft: Draft, *, only: bool = False) -> None:
    about = f"whether {column} of {table.title} has nulls"
    scene.ask(about, table, [column], draft, lambda: scene.questions.nulls(table, column, only=only))


def add_check(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    _add_constraint(scene, action, table, draft, "check")
    if "NOT VALID" in action.words or table.is_empty:
        return
    scene.read(table, draft)
    if "OF A NEW COLUMN" not in action.words:
        _refuse_unchecked(scene, action, table, draft)


def _refuse_unchecked(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    columns = columns_in(action.expression)
    if all(scene.column(action, table, draft, column) for column in columns):
        about = f"whether all rows of {table.title} keep {action.expression}"
        only = bool({"ONLY", "NO INHERIT"} & action.words)
        question = scene.questions.against
        scene.ask(about, table, columns, draft, lambda: question(table, action.expression, only=only))


def add_key(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A primary key, a unique or an exclusion constraint."""
    _refuse_same_name(scene, action, table, draft)
    scene.add_key(table)
    partitions.refuse_partial_key(scene, action, table, draft)
    if action.kind == "add a primary key":
        if any(one.kind == "p" and not scene.has_lost(table, one) for one in table.constraints) and not scene.unsure:
            draft.risk("will-fail", f"{table.title} has a primary key already")
        if any(not table.columns[name].not_null for name in action.columns if name in table.columns):
            scene.read(table, draft)
            for name in action.columns:
                _refuse_nulls(scene, table, name, draft)
    if "USING INDEX" not in action.words and not table.is_empty:
        build_index(scene, action, table, draft)


def add_foreign_key(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    _add_constraint(scene, action, table, draft, "fkey")
    target = scene.live(action.other) if action.other else None
    if target is not None:
        refuse_no_key(scene, action, target, draft)
    if {"NOT VALID", "OF A NEW COLUMN"} & action.words or table.is_empty or action.other is None:
        return
    _hold_against(scene, action, table, draft)


def refuse_no_key(scene: Scene, action: Action, other: Table, draft: Draft) -> None:
    """The columns to which a foreign key refers have to be a unique key, of as many columns."""
    keys = action.other_columns or next((one.columns for one in other.constraints if one.kind == "p"), ())
    if scene.unsure or scene.has_other_columns(other) or scene.has_new_key(other):
        return
    if not keys:
        draft.risk("will-fail", f"{other.title} has no primary key to refer to")
    elif len(keys) != len(action.columns) and action.columns:
        draft.risk("will-fail", f"the foreign key has {len(action.columns)} columns, and refers to {len(keys)}")
    elif not any(one.is_unique and one.keys and set(one.columns[: one.keys]) == set(keys) for one in other.indexes):
        draft.risk("will-fail", f"{', '.join(keys)} of {other.title} is no unique key")


def _hold_against(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """The rows are held against the table to which the foreign key refers."""
    other = scene.live(action.other) if action.other else None
    draft.do(Verb.READS, table, costs.check_keys(table.rows, table.heap + (other.heap if other else 0)))
    columns = [scene.column(action, table, draft, name) for name in action.columns]
    if other is None or not all(columns):
        return
    keys = action.other_columns or next((one.columns for one in other.constraints if one.kind == "p"), ())
    if len(keys) == len(columns) and all(scene.column(action, other, draft, key) for key in keys):
        scene.ask(
            f"whether every {', '.join(action.columns)} of {table.title} is in {other.title}",
            table,
            action.columns,
            draft,
            lambda: scene.questions.orphans(table, action.columns, other, keys),
            other,
        )


def _refuse_same_name(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if action.name and "USING INDEX" not in action.words:
        if scene.has_constraint(table, action.name) and not scene.unsure:
            draft.risk("will-fail", f"{table.title} has a constraint {action.name} already")
        scene.add_constraint(table, action.name, action)


def _add_constraint(scene: Scene, action: Action, table: Table, draft: Draft, kind: str) -> None:
    """A check or a foreign key; where it has no name, remember that which the server gives to the first one."""
    _refuse_same_name(scene, action, table, draft)
    if not action.name:
        columns = action.columns if kind == "fkey" else columns_in(action.expression)
        between = "_".join(columns) if kind == "fkey" or len(columns) == 1 else ""
        scene.add_constraint(table, "_".join(part for part in (table.name, between, kind) if part), action)


def validate(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    constraint = next((one for one in table.constraints if one.name == action.name), None)
    added = scene.added_as(table, action.name)
    if not scene.has_constraint(table, action.name) and not scene.unsure:
        draft.risk("will-fail", f"{table.title} has no constraint {action.name}")
    if table.is_empty or (added is None and constraint is not None and constraint.valid):
        return
    if added is not None and added.kind == "add a foreign key":
        other = scene.live(added.other) if added.other else None
        if other is not None:
            draft.hold(other, ROW_SHARE)
        _hold_against(scene, added, table, draft)
        return
    draft.do(Verb.READS, table, costs.check_keys(table.rows, table.heap))
    if added is not None and added.kind == "add a check":
        _refuse_unchecked(scene, added, table, draft)
    if constraint is None or added is not None:
        return
    if constraint.other:
        other = scene.facts.table(constraint.other)
        draft.hold(other, ROW_SHARE)
        keys = scene.facts.keys_of(table, constraint.name)
        scene.ask(
            f"whether every {', '.join(constraint.columns)} of {table.title} is in {other.title}",
            table,
            constraint.columns,
            draft,
            lambda: scene.questions.orphans(table, constraint.columns, other, keys),
            other,
        )
    if constraint.kind == "c" and not constraint.expression:
        scene.tell_unknown(
            f"whether all rows of {table.title} keep {constraint.name}: somebody has the table for himself"
        )
    if constraint.expression:
        condition = constraint.expression
        about = f"whether all rows of {table.title} keep {condition}"
        scene.ask(about, table, constraint.columns, draft, lambda: scene.questions.against(table, condition))


def drop_constraint(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    constraint = next((one for one in table.constraints if one.name == action.name), None)
    if not scene.has_constraint(table, action.name):
        if not scene.unsure and "PART IF EXISTS" not in action.words:
            draft.risk("will-fail", f"{table.title} has no constraint {action.name}")
        return
    if constraint is not None and constraint.other:
        scene.lock(scene.facts.table(constraint.other), ACCESS_EXCLUSIVE, action, draft)
    if constraint is not None and constraint.kind in ("p", "u"):
        for one in scene.references_to(table):
            if one["index"] == constraint.name and "CASCADE" in action.words:
                scene.lock(scene.facts.table(one["oid"]), ACCESS_EXCLUSIVE, action, draft)
            elif one["index"] == constraint.name and not scene.unsure:
                draft.risk("will-fail", f"{one['table']} refers to {', '.join(one['keys'])} of {table.title}")
    if constraint is not None and constraint.kind == "n":
        scene.allow_nulls(table, constraint.columns[0])
    scene.drop_constraint(table, action.name)


def rename_constraint(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if not scene.has_constraint(table, action.column) and not scene.unsure:
        draft.risk("will-fail", f"{table.title} has no constraint {action.column}")
    scene.drop_constraint(table, action.column)
    scene.add_constraint(table, action.name)


def rename_other(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A view or a sequence gets another name."""
    if action.name:
        _refuse_taken(scene, Name(table.schema, action.name), draft)
        scene.remove(table.schema, table.name)
        scene.make(table.schema, action.name)
        draft.risk("breaks-application", f"{table.title} is {action.name} then: code that names it fails")


def rename_index(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    assert action.on is not None
    _refuse_taken(scene, Name(table.schema, action.name), draft)
    scene.remove(table.schema, action.on.name)
    scene.make(table.schema, action.name)


def _refuse_taken(scene: Scene, name: Name, draft: Draft) -> None:
    if scene.is_there(name) and not scene.unsure:
        draft.risk("will-fail", f"{name} exists")


def stop_to_inherit(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    scene.leave_parents(table)


def switch_trigger(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """Foreign keys are triggers too."""
    scene.switch_triggers(table)


def switch_row_security(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """Whoever is not its owner sees only what a policy says, or everything again."""
    draft.risk("breaks-application", f"who sees which rows of {table.title} is decided anew")


def set_persistence(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    if table.persistence != ("u" if action.kind == "set unlogged" else "p"):
        scene.rewrite(table, draft)


def rewrite(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """What writes the table anew, whatever is in it."""
    scene.rewrite(table, draft)


def rename_table(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    moves = action.kind == "move a table to a schema"
    schema, name = (action.name, table.name) if moves else (table.schema, action.name)
    if moves and not scene.has_schema(schema):
        draft.risk("will-fail", f"the schema {schema} is not there")
    _refuse_taken(scene, Name(schema, name), draft)
    scene.remove(table.schema, table.name)
    scene.make(schema, name)
    if moves:
        scene.leave(table)
    what = f"moves to the schema {schema}" if moves else f"is {name} then"
    draft.risk("breaks-application", f"{table.title} {what}: code that names it as it is now fails")
