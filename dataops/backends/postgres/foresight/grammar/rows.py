"""Statements about rows: UPDATE, DELETE, INSERT, MERGE, COPY and SELECT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import postgast
from postgast import pg_query_pb2 as tree

from dataops.backends.postgres.foresight.grammar.parts import (
    Action,
    Name,
    Reader,
    name_of,
    spelled,
    statement_text,
    strings,
)


def _matched(statement: Any, others: Iterable[Any]) -> str:
    """A SELECT of the rows that an UPDATE or a DELETE finds: whoever may only read may ask about that."""
    select = tree.SelectStmt()
    select.from_clause.add().range_var.CopyFrom(statement.relation)
    for other in others:
        select.from_clause.add().CopyFrom(other)
    select.where_clause.CopyFrom(statement.where_clause)
    for node in getattr(statement, "target_list", ()):  # what an UPDATE sets
        if node.res_target.val.WhichOneof("node") not in ("set_to_default", "multi_assign_ref", None):
            select.target_list.add().res_target.val.CopyFrom(node.res_target.val)
    if statement.HasField("with_clause"):
        select.with_clause.CopyFrom(statement.with_clause)
    return statement_text("select_stmt", select)


def _update(statement: Any) -> Iterator[Action]:
    where = _matched(statement, statement.from_clause)
    targets = [node.res_target for node in statement.target_list]
    columns = tuple(target.name for target in targets)
    words = spelled(
        WHERE=statement.where_clause.WhichOneof("node"),
        ONLY=not statement.relation.inh,
        DEFAULT=any(target.val.WhichOneof("node") == "multi_assign_ref" or target.indirection for target in targets),
    )
    given = tuple(at for at, target in enumerate(targets) if target.val.WhichOneof("node") != "set_to_default")
    values = "" if "DEFAULT" in words else _changed(statement, statement.from_clause, {at: targets[at] for at in given})
    yield Action(
        "update",
        name_of(statement.relation),
        columns=columns,
        expression=where,
        words=words - {"DEFAULT"},
        values=values,
        given=given,
        other_columns=tuple(target.name for target in targets if target.val.a_const.isnull),
    )
    yield from _others(statement, name_of(statement.relation))


def _delete(statement: Any) -> Iterator[Action]:
    words = spelled(WHERE=statement.where_clause.WhichOneof("node"), ONLY=not statement.relation.inh)
    where = _matched(statement, statement.using_clause)
    values = _changed(statement, statement.using_clause, {})
    yield Action("delete", name_of(statement.relation), expression=where, words=words, values=values)
    yield from _others(statement, name_of(statement.relation))


def _insert(statement: Any) -> Iterator[Action]:
    select = statement.select_stmt.select_stmt
    rows = len(select.values_lists)
    columns = tuple(node.res_target.name for node in statement.cols)
    query = "" if rows or not statement.HasField("select_stmt") else statement_text("select_stmt", select)
    words = spelled(
        VALUES=rows or not query,
        ON_CONFLICT=statement.HasField("on_conflict_clause"),
        OVERRIDING=tree.OverridingKind.Name(statement.override)
        not in ("OVERRIDING_NOT_SET", "OVERRIDING_KIND_UNDEFINED"),
    )
    values, given = _added(statement, select)
    yield Action(
        "insert",
        name_of(statement.relation),
        columns=columns,
        expression=query,
        words=words,
        values=values,
        given=given,
    )
    yield from _others(statement, name_of(statement.relation))


def _changed(statement: Any, others: Iterable[Any], targets: Mapping[int, Any]) -> str:
    """The rows that a statement finds, as `r` with its place, and the values that it sets, n0, n1 and so on.

    "" where something else is changed first.
    """
    if any(_changes_in(statement.with_clause)):
        return ""
    select = tree.SelectStmt()
    select.from_clause.add().range_var.CopyFrom(statement.relation)
    for other in others:
        select.from_clause.add().CopyFrom(other)
    select.where_clause.CopyFrom(statement.where_clause)
    if statement.HasField("with_clause"):
        select.with_clause.CopyFrom(statement.with_clause)
    row = statement.relation.alias.aliasname or statement.relation.relname
    for name, parts in (("r", [row]), ("place", [row, "ctid"]), ("part", [row, "tableoid"])):
        target = select.target_list.add().res_target
        target.name = name
        for part in parts:
            target.val.column_ref.fields.add().string.sval = part
    for at, given in targets.items():
        target = select.target_list.add().res_target
        target.name = f"n{at}"
        target.val.CopyFrom(given.val)
    return statement_text("select_stmt", select)


def _added(statement: Any, select: Any) -> tuple[str, tuple[int, ...]]:
    """The rows that an INSERT adds, and which of its columns are given; "" where that cannot be said."""
    if not statement.HasField("select_stmt") or any(_changes_in(statement.with_clause)):
        return "", ()
    if not select.values_lists:
        names = [f"n{at}" for at in range(len(statement.cols) or len(select.target_list))]
        query = statement_text("select_stmt", select)
        if statement.HasField("with_clause"):
            outer = tree.SelectStmt()
            outer.CopyFrom(select)
            outer.with_clause.CopyFrom(statement.with_clause)
            query = statement_text("select_stmt", outer)
        return f"SELECT * FROM ({query}) rows ({', '.join(names)})", tuple(range(len(names)))
    lists = [list(node.list.items) for node in select.values_lists]
    default = {at for items in lists for at, item in enumerate(items) if item.WhichOneof("node") == "set_to_default"}
    if any(at >= len(items) or items[at].WhichOneof("node") != "set_to_default" for items in lists for at in default):
        return "", ()
    given = tuple(at for at in range(len(lists[0])) if at not in default)
    if not given:
        return "", ()
    kept = tree.SelectStmt()
    for items in lists:
        row = kept.values_lists.add().list
        for at in given:
            row.items.add().CopyFrom(items[at])
    names = [f"n{at}" for at in given]
    return f"SELECT * FROM ({statement_text('select_stmt', kept)}) rows ({', '.join(names)})", given


def _merge(statement: Any) -> Iterator[Action]:
    kinds = {tree.CmdType.Name(node.merge_when_clause.command_type) for node in statement.merge_when_clauses}
    yield Action("merge", name_of(statement.relation), words=spelled(DELETE="CMD_DELETE" in kinds))
    yield from _others(statement, name_of(statement.relation))


def _copy(statement: Any) -> Iterator[Action]:
    if statement.is_from:
        yield Action("insert", name_of(statement.relation), words=spelled(COPY=True))
    elif statement.relation.relname:
        yield Action("read", name_of(statement.relation))


def _others(statement: Any, target: Name) -> Iterator[Action]:
    yield from (Action("read", table) for table in tables_of(statement) if table != target)
    if statement.HasField("with_clause"):
        yield from _changes_in(statement.with_clause)


def _changes_in(node: Any) -> Iterator[Action]:
    """WITH ... AS (UPDATE ...)."""
    for kind, reader in ((tree.UpdateStmt, _update), (tree.DeleteStmt, _delete), (tree.InsertStmt, _insert)):
        for one in postgast.find_nodes(node, kind):
            yield from reader(one)


def reads(statement: Any, made: Name | None = None) -> Iterator[Action]:
    calls = _calls(statement)
    if calls and made is None:
        yield Action("call", name=", ".join(calls))
    if statement.into_clause.rel.relname:
        yield Action("create a table", name_of(statement.into_clause.rel))
    kind = "read rows to lock them" if statement.locking_clause else "read"
    query = statement_text("select_stmt", statement)
    yield from (Action(kind, table, made, expression=query) for table in tables_of(statement))
    yield from _changes_in(statement)


def tables_of(node: Any) -> list[Name]:
    """The tables that are named in a statement, without its common table expressions."""
    own = {one.ctename for one in postgast.find_nodes(node, tree.CommonTableExpr)}
    found = (name_of(one) for one in postgast.find_nodes(node, tree.RangeVar))
    return list(dict.fromkeys(name for name in found if name.name and not (not name.schema and name.name in own)))


_PURE = {"now", "count", "sum", "min", "max", "avg", "coalesce", "lower", "upper", "length", "gen_random_uuid"}


def _calls(node: Any) -> list[str]:
    """The functions that a statement calls, but those of which everybody knows that they only compute."""
    found = (".".join(strings(one.funcname)) for one in postgast.find_nodes(node, tree.FuncCall))
    return list(dict.fromkeys(name for name in found if name.removeprefix("pg_catalog.") not in _PURE))


READERS: dict[str, Reader] = {
    "update_stmt": _update,
    "delete_stmt": _delete,
    "insert_stmt": _insert,
    "merge_stmt": _merge,
    "copy_stmt": _copy,
    "select_stmt": reads,
}
