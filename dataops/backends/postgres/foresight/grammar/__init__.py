"""What the statements of a file are, as PostgreSQL's own parser reads them (libpg_query, through postgast). Pure.

A statement becomes *actions*: each is one thing that is done to one table or another object, such as "add column".
`locks` says which lock each kind of action takes. The grammar is that of the newest PostgreSQL that the library knows,
which reads what older ones read. `altering`, `definitions` and `rows` read the statements of their kind, with `parts`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import postgast
from postgast import pg_query_pb2 as tree

from dataops.backends.postgres.foresight.grammar import altering, definitions, rows
from dataops.backends.postgres.foresight.grammar.parts import Action, Name, Reader, Unparsable, strings


def actions(text: str) -> tuple[Action, ...]:
    """What a text of one or more statements does, in its order. Raises Unparsable."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise Unparsable(str(error)) from error
    return tuple(action for raw in parsed.stmts for action in _statement(raw.stmt))


def _statement(node: Any) -> Iterator[Action]:
    which = node.WhichOneof("node")
    statement = getattr(node, which)
    reader = _READERS.get(which)
    if reader is not None:
        yield from reader(statement)
    elif which in _HARMLESS:
        yield Action(_HARMLESS[which])
    else:
        yield Action("something else", name=which.removesuffix("_stmt").replace("_", " "))


def tables_in(query: str) -> list[Name]:
    """The tables that a query names."""
    return rows.tables_of(postgast.parse(query))


def functions_in(expression: str) -> list[str]:
    """The functions that an expression calls, as it is written. Those that compute with a clock or a session too."""
    if not expression:
        return []
    found = postgast.find_nodes(postgast.parse(f"SELECT {expression}"), tree.FuncCall)
    return [".".join(strings(one.funcname)) for one in found]


def functions_in_query(query: str) -> list[str]:
    """The functions that a text of statements calls."""
    return [".".join(strings(one.funcname)) for one in postgast.find_nodes(postgast.parse(query), tree.FuncCall)]


def columns_in(expression: str) -> list[str]:
    """The columns that an expression names; [] for none."""
    if not expression:
        return []
    found = postgast.find_nodes(postgast.parse(f"SELECT {expression}"), tree.ColumnRef)
    return list(dict.fromkeys(names[-1] for one in found if (names := strings(one.fields))))


_READERS: dict[str, Reader] = {**altering.READERS, **definitions.READERS, **rows.READERS}

_DEFINES = (
    "alter_function "
    "create_cast create_op_class create_op_family alter_op_family "
    "create_conversion create_transform alter_default_privileges grant_role create_role alter_role "
    "alter_role_set "
    "alter_collation alter_operator alter_type alter_stats alter_tsdictionary alter_tsconfiguration create_event_trig "
    "alter_event_trig create_fdw create_foreign_server create_user_mapping alter_fdw alter_foreign_server "
    "alter_user_mapping constraints_set create_subscription alter_subscription drop_role create_plang sec_label "
    "alter_object_depends notify listen unlisten create_am alter_database alter_database_set alter_system discard "
    "transaction variable_show deallocate prepare "
)
_HARMLESS = {f"{name}_stmt": "define something" for name in _DEFINES.split()}
"""Statements that lock no table of the application and read none."""

__all__ = [
    "Action", "Name", "Unparsable", "actions", "columns_in", "functions_in", "functions_in_query", "tables_in",
]  # fmt: skip
