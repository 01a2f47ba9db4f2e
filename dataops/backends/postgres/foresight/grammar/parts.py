"""The values that statements become, and the parts of a tree: names, types and expressions as text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import postgast
from postgast import pg_query_pb2 as tree


class Unparsable(ValueError):
    """PostgreSQL's parser refuses the text. The message is the parser's own."""


class Name(NamedTuple):
    """The name of a table or another object, as it is written: `schema` is "" where the search_path decides."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class Action:
    """One thing that a statement does.

    `on` is the table that it is done to, or the index, view or sequence. `other` is the second one that it concerns:
    the referenced table of a foreign key, the partition that is attached, the table that a partition is made for.
    `expression` is SQL: a default, a condition, a conversion, or the whole query that is read. `name` is that of
    what is made, or the new one. `words` are the options that matter, as they are written in SQL; PART IF EXISTS is
    that of a column or a constraint. `beside` are all objects that the same DROP or TRUNCATE names. `values` is a
    query for the rows that an INSERT adds, or for those that an UPDATE changes: the row as `r`, and its new values.
    These are called n0, n1 and so on, for those of `columns` that are in `given`; the others become their default.
    """

    kind: str
    on: Name | None = None
    other: Name | None = None
    column: str = ""
    columns: tuple[str, ...] = ()
    other_columns: tuple[str, ...] = ()
    type: str = ""
    expression: str = ""
    name: str = ""
    words: frozenset[str] = frozenset()
    beside: tuple[Name, ...] = ()
    values: str = ""
    given: tuple[int, ...] = ()


def name_of(node: Any) -> Name:
    """A range variable."""
    return Name(node.schemaname, node.relname)


def listed_name(node: Any) -> Name:
    """A name as a list of its parts, as DROP and COMMENT have it."""
    parts = strings(node.list.items if node.WhichOneof("node") == "list" else [node])
    return Name(parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def strings(nodes: Iterable[Any]) -> list[str]:
    """The texts among these nodes, such as the parts of a name."""
    return [node.string.sval for node in nodes if node.WhichOneof("node") == "string"]


def bounds_of(node: Any) -> dict[str, Any]:
    """The bounds of a partition, as parts of an Action: LIST, RANGE, HASH or DEFAULT among its words.

    `columns` are the values of a list, or the lower ends of a range, whose upper ones are `other_columns`.
    """
    if node.is_default:
        return {"words": frozenset({"DEFAULT"})}
    if node.strategy == "h":
        return {"words": frozenset({"HASH"}), "columns": (str(node.modulus), str(node.remainder))}
    if node.strategy == "l":
        return {"words": frozenset({"LIST"}), "columns": tuple(text_of(one) for one in node.listdatums)}
    lower, upper = (tuple(text_of(one) for one in ends) for ends in (node.lowerdatums, node.upperdatums))
    return {"words": frozenset({"RANGE"}), "columns": lower, "other_columns": upper}


def columns_of(node: Any) -> list[str]:
    """The columns that a part of a statement names, each once."""
    found = (strings(one.fields) for one in postgast.find_nodes(node, tree.ColumnRef))
    return list(dict.fromkeys(names[-1] for names in found if names))


def text_of(expression: Any) -> str:
    """An expression as SQL; "" for none."""
    if expression.WhichOneof("node") is None:
        return ""
    wrapped = tree.ParseResult(version=_VERSION)
    target = wrapped.stmts.add().stmt.select_stmt.target_list.add().res_target
    target.val.CopyFrom(expression)
    return str(postgast.deparse(wrapped)).removeprefix("SELECT ")


def statement_text(which: str, statement: Any) -> str:
    """A statement as SQL."""
    wrapped = tree.ParseResult(version=_VERSION)
    getattr(wrapped.stmts.add().stmt, which).CopyFrom(statement)
    return str(postgast.deparse(wrapped))


def type_text(node: Any) -> str:
    """A type as SQL, with its length or precision."""
    wrapped = tree.Node()
    wrapped.type_cast.type_name.CopyFrom(node)
    wrapped.type_cast.arg.a_const.isnull = True
    return text_of(wrapped).removeprefix("NULL::")


def spelled(**words: object) -> frozenset[str]:
    """Those words that are true, as SQL spells them."""
    return frozenset(word.replace("_", " ") for word, is_given in words.items() if is_given)


_VERSION = postgast.parse("SELECT 1").version


Reader = Callable[[Any], Iterator[Action]]
"""Makes actions of one kind of statement."""
