"""What the live database already answers about a statement that would fail: asked read-only, and within a budget.

A table is only read as far as the budget goes: a small one whole, of a bigger one a sample. What is found is certain,
and what is not found is only certain of a table that was read whole. No answer holds a value of the data, but for the
keys of duplicates that are numbers, and no name of a person's field is looked at.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from dataops.backends.postgres.foresight.facts import Facts, Table

_LENGTH = re.compile(r"(?:varchar|char|bpchar|character(?: varying)?)\((\d+)\)")
MOST_BYTES = 192 * 1024 * 1024
"""Tables up to this size are read whole, of bigger ones as many pages as make this size."""
_SAMPLED_BYTES = 32 * 1024 * 1024
_MILLISECONDS = 500
_SECONDS = 1.5
"""For all questions about one database together."""

_WRONG = (
    psycopg.errors.UndefinedColumn,
    psycopg.errors.AmbiguousColumn,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.GroupingError,
    psycopg.errors.DatatypeMismatch,
    psycopg.errors.WindowingError,
)
"""What is wrong with a query whatever is in the tables. Their messages have names, and no values."""


class Answer(NamedTuple):
    """What was found: `found` is a sentence, "" for nothing. `unknown` says why nobody knows whether there is any."""

    found: str = ""
    unknown: str = ""


class Questions:
    """Questions about rows. `left` seconds may still be spent."""

    def __init__(self, facts: Facts, seconds: float = _SECONDS) -> None:
        self._facts = facts
        self._left = seconds

    def any_row(self, table: Table) -> Answer:
        """Whether there is a row."""
        rows, problem = self._ask(table, sql.SQL("SELECT FROM {} LIMIT 1").format(self._named(table)))
        return Answer(f"{table.title} has rows" if rows else "", problem)

    def nulls(self, table: Table, column: str, *, only: bool = False) -> Answer:
        """Whether the column has nulls. `only`: the rows of children do not count."""
        known = table.columns[column].nulls
        if known is not None and known > 0 and not self._can_read(table):
            return Answer(f"by the statistics, {known:.0%} of {column} are null")
        where = sql.SQL("{} IS NULL").format(sql.Identifier(column))
        return self._violation(table, where, f"rows where {column} is null", only=only)

    def against(self, table: Table, condition: str, *, only: bool = False) -> Answer:
        """Whether a row breaks a check. `only`: the rows of children do not count."""
        where = sql.SQL("({}) IS FALSE").format(sql.SQL(condition))  # NOT would let the planner change the order in it
        refused = f"rows of which {condition} cannot be computed"
        return self._violation(table, where, f"rows against {condition}", only=only, refused=refused)

    def where(self, table: Table, condition: str, what: str) -> Answer:
        """Whether there is a row of this condition; `what` says which ones these are."""
        return self._violation(table, sql.SQL("({})").format(sql.SQL(condition)), what)

    def duplicates(
        self, table: Table, columns: Sequence[str], where: str = "", *, nulls_equal: bool = False, keys: str = ""
    ) -> Answer:
        """Whether two rows have the same key; `keys` is SQL, for one that is not only made of columns."""
        if keys:
            return self._same_expressions(table, keys, where, nulls_equal=nulls_equal)
        key = sql.SQL(", ").join(map(sql.Identifier, columns))
        parts = [sql.SQL("({})").format(sql.SQL(where))] if where else []
        if not nulls_equal:
            parts += [sql.SQL("{} IS NOT NULL").format(sql.Identifier(column)) for column in columns]
        condition = sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(parts)) if parts else sql.SQL("")
        names = ", ".join(columns)
        if table.heap > MOST_BYTES:
            return Answer(unknown=f"{table.title} is too big to be looked at")
        query = sql.SQL(
            "SELECT {key}, count(*) AS dataops_count FROM {table}{where} GROUP BY {key} HAVING count(*) > 1 LIMIT 1"
        ).format(key=key, table=self._named(table, only=table.inherited), where=condition)  # an index is of one table
        rows, problem = self._ask(table, query)
        if problem:
            return Answer(unknown=problem)
        if not rows:
            return Answer()
        shown = [f"{column} = {rows[0][column]}" for column in columns if isinstance(rows[0][column], int)]
        example = f", with {', '.join(shown)}" if shown else ""
        return Answer(f"e.g. {rows[0]['dataops_count']:,} rows of {table.title} have the same {names}{example}")

    def _same_expressions(self, table: Table, keys: str, where: str, *, nulls_equal: bool) -> Answer:
        if table.heap > MOST_BYTES:
            return Answer(unknown=f"{table.title} is too big to be looked at")
        no_null = "" if nulls_equal else f" AND ({keys}) IS NOT NULL"
        query = sql.SQL(
            "SELECT count(*) AS dataops_count FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1"
        ).format(self._named(table, only=table.inherited), sql.SQL(f"({where or 'true'}){no_null}"), sql.SQL(keys))
        rows, problem = self._ask(table, query)
        found = f"e.g. {rows[0]['dataops_count']:,} rows of {table.title} have the same {keys}" if rows else ""
        return Answer(found, problem)

    def orphans(self, table: Table, columns: Sequence[str], other: Table, keys: Sequence[str]) -> Answer:
        """Whether a row refers to a row that is not there."""
        if table.heap + other.heap > MOST_BYTES or not other.readable:
            return Answer(unknown="the tables are too big" if other.readable else f"{other.title} is not readable")
        pairs = zip(columns, keys, strict=True)
        same = sql.SQL(" AND ").join(
            sql.SQL("t.{} = o.{}").format(sql.Identifier(mine), sql.Identifier(key)) for mine, key in pairs
        )
        given = sql.SQL(" AND ").join(sql.SQL("t.{} IS NOT NULL").format(sql.Identifier(mine)) for mine in columns)
        query = sql.SQL(
            "SELECT FROM {table} t WHERE {given} AND NOT EXISTS (SELECT FROM {other} o WHERE {same}) LIMIT 1"
        ).format(table=self._named(table), given=given, other=self._named(other), same=same)
        rows, problem = self._ask(table, query)
        if problem:
            return Answer(unknown=problem)
        return Answer(f"rows of {table.title} have a {', '.join(columns)} that is not in {other.title}" if rows else "")

    def casts(self, table: Table, column: str, expression: str, type_: str) -> Answer:
        """Whether a value cannot be made one of another type."""
        length = _LENGTH.fullmatch(type_)
        if length and not expression:  # an assignment does not cut, as a cast does
            text = sql.SQL("char_length(rtrim({}::text, ' ')) > {}")
            where = text.format(sql.Identifier(column), sql.Literal(int(length[1])))
            found = self._violation(table, where, "")
            return Answer(f"a {column} of {table.title} cannot be made {type_}" if found.found else "", found.unknown)
        value = expression or f"{sql.Identifier(column).as_string(None)}::{type_}"
        query = sql.SQL("SELECT count({}) FROM {}{}").format(
            sql.SQL(value),
            self._named(table),
            self._sampled(table),
        )
        refused = f"a {column} of {table.title} cannot be made {type_}"
        _, problem = self._ask(table, query, refused)
        return Answer(problem) if problem == refused else Answer(unknown=problem)

    def broken(
        self, table: Table, query: sql.Composed, others: Sequence[Table], values: sql.Composed | None, refused: str
    ) -> Answer:
        """Whether a row that is written breaks a constraint: the first sentence that the query finds.

        `values` is the same query without the constraints, and `refused` the sentence where the server cannot even
        compute that.
        """
        if table.heap + sum(other.heap for other in others) > MOST_BYTES:
            return Answer(unknown="the tables are too big")
        rows, problem = self._ask(table, query, refused)
        if problem == refused and values is not None:
            rows, problem = self._ask(table, values, refused)
            if problem == refused:
                return Answer(refused)
            problem = problem or ("" if rows else "the condition fails")
        elif problem == refused:
            problem = "the condition fails"
        return Answer(str(rows[0]["found"]) if rows else "", problem)

    def refuses(self, expression: str, type_: str) -> bool:
        """Whether a value cannot be made one of a type."""
        try:
            self._limited(sql.SQL("SELECT CAST(({}) AS {}) AS made").format(sql.SQL(expression), sql.SQL(type_)))
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError):
            return True
        except psycopg.Error:
            pass
        return False

    def is_so(self, condition: str) -> bool:
        """Whether a condition without rows is true; False also where the server does not say."""
        try:
            return bool(self._limited(sql.SQL("SELECT {} AS is_so").format(sql.SQL(condition)))[0]["is_so"])
        except psycopg.Error:
            return False

    def columns_of(self, query: str) -> list[tuple[str, int]] | None:
        """The names and types of the columns of a query, which computes no row; None where the server does not say."""
        connection = self._facts.connection
        began = time.monotonic()
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL statement_timeout = {_MILLISECONDS}")
                cursor = connection.execute(sql.SQL("SELECT * FROM ({}) q LIMIT 0").format(sql.SQL(query)))
                return [(one.name, one.type_code) for one in cursor.description or ()]
        except psycopg.Error:
            return None
        finally:
            self._left -= time.monotonic() - began

    def rows_of(self, query: str) -> tuple[int | None, str]:
        """How many rows a query finds, as the server estimates; None where it does not say.

        The second value says why the server refuses the query, "" for nothing that is certain.
        """
        try:
            rows = self._limited(sql.SQL("EXPLAIN (FORMAT JSON) {}").format(sql.SQL(query)))
        except _WRONG as error:
            return None, str(error.diag.message_primary or "the server refuses it")
        except psycopg.errors.DivisionByZero:
            return None, "it divides by zero"
        except psycopg.errors.DataError:
            return None, "a value in it is none of its type"
        except psycopg.Error:
            return None, ""
        return int(rows[0]["QUERY PLAN"][0]["Plan"]["Plan Rows"]), ""

    # ---- how it is asked

    def _violation(
        self, table: Table, where: sql.Composed, what: str, *, only: bool = False, refused: str = ""
    ) -> Answer:
        named = self._named(table, only=only and table.kind == "r")
        query = sql.SQL("SELECT FROM {}{} WHERE {} LIMIT 1").format(named, self._sampled(table), where)
        rows, problem = self._ask(table, query, refused)
        if rows or (refused and problem == refused):
            return Answer(f"{table.title} has {what if rows else refused}")
        if not problem and table.heap > MOST_BYTES:
            problem = f"a sample of {table.title} has none"
        return Answer(unknown=problem)

    def _named(self, table: Table, *, only: bool = False) -> sql.Composed:
        return sql.Composed([sql.SQL("ONLY " if only else ""), sql.Identifier(table.schema, table.name)])

    def _sampled(self, table: Table) -> sql.Composed:
        if table.heap <= MOST_BYTES or table.kind not in ("r", "p", "m"):
            return sql.Composed([])
        return sql.SQL(" TABLESAMPLE SYSTEM ({})").format(sql.Literal(round(100 * _SAMPLED_BYTES / table.heap, 4)))

    def _can_read(self, table: Table) -> bool:
        return table.readable and not table.hidden and self._left > 0

    def _ask(self, table: Table, query: sql.Composed, refused: str = "") -> tuple[list[dict[str, Any]], str]:
        """The rows, or why there are none."""
        if not table.readable:
            return [], f"{table.title} is not readable for this user"
        if table.hidden:
            return [], f"row security hides rows of {table.title} from this user"
        if self._left <= 0:
            return [], "the time for questions is over"
        try:
            return self._limited(query), ""
        except (psycopg.errors.DataError, psycopg.errors.IntegrityError):  # the latter of a domain
            return [], refused or "the condition fails"
        except psycopg.errors.QueryCanceled:
            return [], "it takes too long to look"
        except psycopg.Error as error:
            return [], f"{type(error).__name__}"

    def _limited(self, query: sql.Composed) -> list[dict[str, Any]]:
        connection = self._facts.connection
        began = time.monotonic()
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL statement_timeout = {_MILLISECONDS}")
                cursor = connection.execute(query)
                return cursor.fetchall() if cursor.description is not None else []
        finally:
            self._left -= time.monotonic() - began
