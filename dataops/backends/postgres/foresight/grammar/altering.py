"""ALTER TABLE, and the columns and constraints that a new table has too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as tree

from dataops.backends.postgres.foresight.grammar.parts import (
    Action,
    Name,
    Reader,
    bounds_of,
    name_of,
    spelled,
    strings,
    text_of,
    type_text,
)

_SERIAL = {"serial", "serial4", "serial8", "bigserial", "smallserial", "serial2"}

_COMMANDS = {
    "AT_ColumnDefault": "set or drop a default",
    "AT_DropNotNull": "drop NOT NULL",
    "AT_SetStatistics": "set the statistics of a column",
    "AT_SetOptions": "set options of a column",
    "AT_ResetOptions": "set options of a column",
    "AT_SetStorage": "set the storage of a column",
    "AT_SetCompression": "set the compression of a column",
    "AT_DropColumn": "drop column",
    "AT_SetNotNull": "set NOT NULL",
    "AT_ValidateConstraint": "validate a constraint",
    "AT_DropConstraint": "drop a constraint",
    "AT_AlterConstraint": "alter a constraint",
    "AT_ChangeOwner": "change the owner",
    "AT_ClusterOn": "mark for CLUSTER",
    "AT_DropCluster": "mark for CLUSTER",
    "AT_SetLogged": "set logged",
    "AT_SetUnLogged": "set unlogged",
    "AT_SetAccessMethod": "set the access method",
    "AT_SetTableSpace": "move to a tablespace",
    "AT_SetRelOptions": "set storage options",
    "AT_ResetRelOptions": "set storage options",
    "AT_AddInherit": "inherit",
    "AT_DropInherit": "stop to inherit",
    "AT_ReplicaIdentity": "set the replica identity",
    "AT_EnableRowSecurity": "switch row security",
    "AT_DisableRowSecurity": "switch row security",
    "AT_ForceRowSecurity": "switch row security",
    "AT_NoForceRowSecurity": "switch row security",
    "AT_AddIdentity": "change an identity column",
    "AT_SetIdentity": "change an identity column",
    "AT_DropIdentity": "change an identity column",
    "AT_DropExpression": "drop the expression of a column",
    "AT_SetExpression": "set the expression of a column",
    **{f"AT_{verb}Trig{which}": "switch a trigger"
       for verb in ("Enable", "Disable", "EnableAlways", "EnableReplica") for which in ("", "All", "User")},
    **{f"AT_{verb}Rule": "switch a rule" for verb in ("Enable", "Disable", "EnableAlways", "EnableReplica")},
}  # fmt: skip

_OF_INDEX = {"AT_SetRelOptions": "set options of an index", "AT_ResetRelOptions": "set options of an index"}


def _alter_table(statement: Any) -> Iterator[Action]:
    table = name_of(statement.relation)
    words = spelled(IF_EXISTS=statement.missing_ok, ONLY=not statement.relation.inh)
    kind_of_object = tree.ObjectType.Name(statement.objtype)
    if kind_of_object == "OBJECT_TYPE":
        yield Action("alter a composite type", table)
        return
    if kind_of_object not in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_INDEX"):
        yield Action("alter a view or sequence", table, words=words)
        return
    is_index = kind_of_object == "OBJECT_INDEX"
    found = (one for node in statement.cmds for one in _command(table, node.alter_table_cmd, words, is_index=is_index))
    yield from sorted(found, key=lambda one: _PASSES.get(one.kind, len(_PASSES)))


# What one ALTER TABLE does first, in whatever order it is written: ATPrepCmd in PostgreSQL's source.
_PASSES = {kind: at for at, kind in enumerate(("drop column", "drop a constraint", "alter the type", "add column"))}


def _command(table: Name, command: Any, words: frozenset[str], *, is_index: bool) -> Iterator[Action]:
    which = tree.AlterTableType.Name(command.subtype)
    part = getattr(command, "def")
    words |= spelled(CASCADE=command.behavior == tree.DROP_CASCADE, PART_IF_EXISTS=command.missing_ok)
    words |= spelled(ADD=which == "AT_AddIdentity")
    if which == "AT_AddColumn":
        more = spelled(IF_NOT_EXISTS=command.missing_ok)
        yield from read_column(table, part.column_def, words - {"PART IF EXISTS"} | more, added=True)
    elif which == "AT_AlterColumnType":
        using = text_of(part.column_def.raw_default)
        type_ = type_text(part.column_def.type_name)
        collation = spelled(COLLATE=part.column_def.HasField("coll_clause"))
        yield Action(
            "alter the type", table, column=command.name, type=type_, expression=using, words=words | collation
        )
    elif which == "AT_AddConstraint":
        yield from read_constraint(table, part.constraint, words)
    elif which == "AT_AttachPartition" and is_index:
        yield Action("attach an index", table, name_of(part.partition_cmd.name), words=words)
    elif which == "AT_AttachPartition":
        bounds = bounds_of(part.partition_cmd.bound)
        bounds["words"] |= words
        yield Action("attach a partition", table, name_of(part.partition_cmd.name), **bounds)
    elif which in ("AT_DetachPartition", "AT_DetachPartitionFinalize"):
        concurrently = spelled(CONCURRENTLY=part.partition_cmd.concurrent or which.endswith("Finalize"))
        kind = "detach a partition concurrently" if concurrently else "detach a partition"
        yield Action(kind, table, name_of(part.partition_cmd.name), words=words | concurrently)
    elif which == "AT_ColumnDefault":
        yield Action(_COMMANDS[which], table, column=command.name, expression=text_of(part), words=words)
    elif which in ("AT_AddInherit", "AT_DropInherit"):
        yield Action(_COMMANDS[which], table, name_of(part.range_var), words=words)
    elif is_index and which in _OF_INDEX:
        yield Action(_OF_INDEX[which], table, words=words)
    elif which in _COMMANDS:
        of_column = which in _NAMES_COLUMN
        yield Action(
            _COMMANDS[which],
            table,
            column=command.name if of_column else "",
            name="" if of_column else command.name,
            words=words,
        )
    else:
        yield Action("alter a table otherwise", table, words=words)


_NAMES_COLUMN = {
    "AT_DropNotNull", "AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions", "AT_SetStorage", "AT_SetCompression",
    "AT_DropColumn", "AT_SetNotNull", "AT_AddIdentity", "AT_SetIdentity", "AT_DropIdentity", "AT_DropExpression",
    "AT_SetExpression",
}  # fmt: skip


def read_column(table: Name, column: Any, words: frozenset[str], *, added: bool) -> Iterator[Action]:
    """A column that is added, or that a new table has, and its constraints."""
    given = {tree.ConstrType.Name(node.constraint.contype): node.constraint for node in column.constraints}
    names = strings(column.type_name.names)
    if names and names[0] != "pg_catalog" and names[-1] not in _SERIAL:
        yield Action("use a type", Name(names[-2] if len(names) > 1 else "", names[-1]))
    default = given.get("CONSTR_DEFAULT")
    generated = given.get("CONSTR_GENERATED")
    serial = [part for part in strings(column.type_name.names) if part in _SERIAL]
    if added:
        yield Action(
            "add column",
            table,
            column=column.colname,
            type=type_text(column.type_name) if not serial else serial[0],
            expression=text_of(default.raw_expr) if default is not None else "",
            words=words
            | spelled(
                NOT_NULL="CONSTR_NOTNULL" in given or "CONSTR_PRIMARY" in given or serial or "CONSTR_IDENTITY" in given,
                SERIAL=bool(serial),
                IDENTITY="CONSTR_IDENTITY" in given,
                STORED=generated is not None and generated.generated_kind != "v",
                VIRTUAL=generated is not None and generated.generated_kind == "v",
            ),
        )
    for name in ("CONSTR_CHECK", "CONSTR_PRIMARY", "CONSTR_UNIQUE", "CONSTR_FOREIGN"):
        if name in given:
            for action in read_constraint(table, given[name], words, of_new_table=not added):
                yield action if action.columns else _with_column(action, column.colname, is_new=added)


def _with_column(action: Action, column: str, *, is_new: bool) -> Action:
    words = action.words | spelled(OF_A_NEW_COLUMN=is_new)
    return Action(
        action.kind, action.on, action.other, action.column, (column,), action.other_columns, action.type,
        action.expression, action.name, words,
    )  # fmt: skip


_CONSTRAINTS = {
    "CONSTR_CHECK": "add a check",
    "CONSTR_PRIMARY": "add a primary key",
    "CONSTR_UNIQUE": "add a unique constraint",
    "CONSTR_FOREIGN": "add a foreign key",
    "CONSTR_EXCLUSION": "add an exclusion constraint",
    "CONSTR_NOTNULL": "set NOT NULL",
}


def read_constraint(table: Name, node: Any, words: frozenset[str], *, of_new_table: bool = False) -> Iterator[Action]:
    which = tree.ConstrType.Name(node.contype)
    kind = _CONSTRAINTS.get(which)
    if kind is None or (of_new_table and which != "CONSTR_FOREIGN"):
        return
    words |= spelled(
        NOT_VALID=node.skip_validation or (which == "CONSTR_CHECK" and not node.is_enforced),
        USING_INDEX=bool(node.indexname),
        NULLS_NOT_DISTINCT=node.nulls_not_distinct,
        NO_INHERIT=node.is_no_inherit,
    )
    if which == "CONSTR_FOREIGN":
        kind = "create a table that refers to it" if of_new_table else kind
        yield Action(
            kind,
            table,
            name_of(node.pktable),
            columns=tuple(strings(node.fk_attrs)),
            other_columns=tuple(strings(node.pk_attrs)),
            name=node.conname,
            words=words,
        )
    elif which == "CONSTR_NOTNULL":
        column = next(iter(strings(node.keys)), "")
        yield Action(kind, table, column=column, name=node.conname, words=words)
    else:
        name = node.indexname or node.conname
        keys = tuple(strings(node.keys))
        yield Action(kind, table, columns=keys, expression=text_of(node.raw_expr), name=name, words=words)


READERS: dict[str, Reader] = {
    "alter_table_stmt": _alter_table,
}
