"""Statements about rows: UPDATE, DELETE, INSERT, MERGE, COPY and SELECT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    columns = tuple(node.res_target.name for node in statement.target_list)
    words = spelled(WHERE=statement.where_clause.WhichOneof("node"), ONLY=not statement.relation.inh)
    yield Action("update", name_of(statement.relation), columns=columns, expression=where, words=words)
    yield from _others(statement, name_of(statement.relation))


def _delete(statement: Any) -> Iterator[Action]:
    words = spelled(WHERE=statement.where_clause.WhichOneof("node"), ONLY=not statement.relation.inh)
    yield Action(
        "delete", name_of(statement.relation), expression=_matched(statement, statement.using_clause), words=words
    )
    yield from _others(statement, name_of(statement.relation))


def _insert(statement: Any) -> Iterator[Action]:
    select = statement.select_stmt.select_stmt
    rows = len(select.values_lists)
    columns = tuple(node.res_target.name for node in statement.cols)
    query = "" if rows or not statement.HasField("select_stmt") else statement_text("select_stmt", select)
    words = spelled(VALUES=rows or not query)
    yield Action("insert", name_of(statement.relation), columns=columns, expression=query, words=words)
    yield from _others(statement, name_of(statement.relation))


def _merge(statement: Any) -> Iterator[Action]:
    yield Action("merge", name_of(statement.relation))
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
