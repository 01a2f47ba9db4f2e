"""Definitions in words that do not depend on the version of the server, and not on where an extension is installed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg.rows import tuple_row

_NAME = r'(?:\w+|"(?:[^"]|"")+")'
_QUOTED = re.compile(r""""(?:[^"]|"")*"|'(?:[^']|'')*'""")
_SPACES = re.compile(r"\s+")
_CLAUSE = re.compile(r"\n\s*(?:WHERE|GROUP BY|HAVING|WINDOW|ORDER BY|LIMIT|OFFSET|FETCH|FOR)\b")
_SET_OPERATION = re.compile(r"(?:UNION|INTERSECT|EXCEPT)\b")
_ONE_SOURCE = re.compile(
    rf"""(?: (?:ONLY[ ])? (?:{_NAME}\.)? (?P<table>{_NAME}) (?:[ ](?P<alias>{_NAME}))?
           | (?:(?:{_NAME}\.)?{_NAME}|ROWS[ ]FROM)? \(\) (?:[ ]WITH[ ]ORDINALITY)? [ ](?:AS[ ])?(?P<made>{_NAME}) )
         (?:\(\))?""",
    re.VERBOSE,
)
"""A table, or else a function, a list of values or a subquery, which have an alias; without what is in parentheses."""
_CAST_LIST = re.compile(r"\(ARRAY\[((?:'(?:[^']|'')*'::character varying(?:, )?)+)\]\)::text\[\]")
_ELEMENT = re.compile(r"'(?:[^']|'')*'::character varying")
_OF_BODY = re.compile(
    r"""
    (?P<kept> (?<![\w$])[eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
            | (?<![\w$]) (?P<tag>\$(?:[A-Za-z_]\w*)?\$) .*? (?P=tag) )
  | (?P<line> --[^\n]* )
  | (?P<open> /\* )
  | (?P<space> \s+ )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = frozenset("+-*/<>=~!@#%^&|?:")
_MARKS = frozenset("(),;[].")
_COMMENT_MARK = re.compile(r"/\*|\*/")
_MEMBERS = """
SELECT quote_ident(n.nspname), quote_ident(m.name)
  FROM pg_depend d
  JOIN (SELECT 'pg_type'::regclass AS catalog, oid, typname AS name, typnamespace AS namespace FROM pg_type
        UNION ALL SELECT 'pg_proc'::regclass, oid, proname, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_class'::regclass, oid, relname, relnamespace FROM pg_class
        UNION ALL SELECT 'pg_opclass'::regclass, oid, opcname, opcnamespace FROM pg_opclass
        UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfname, opfnamespace FROM pg_opfamily
        UNION ALL SELECT 'pg_collation'::regclass, oid, collname, collnamespace FROM pg_collation
        UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgname, cfgnamespace FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictname, dictnamespace FROM pg_ts_dict
        UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplname, tmplnamespace FROM pg_ts_template
       ) AS m ON m.catalog = d.classid AND m.oid = d.objid
  JOIN pg_namespace n ON n.oid = m.namespace
 WHERE d.deptype = 'e' AND n.nspname NOT IN ('pg_catalog', current_schema())
UNION
SELECT quote_ident(n.nspname), o.oprname
  FROM pg_depend d JOIN pg_operator o ON d.classid = 'pg_operator'::regclass AND o.oid = d.objid
  JOIN pg_namespace n ON n.oid = o.oprnamespace
 WHERE d.deptype = 'e' AND n.nspname NOT IN ('pg_catalog', current_schema())
UNION
SELECT quote_ident(n.nspname), '_' || t.typname
  FROM pg_depend d JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
  JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE d.deptype = 'e' AND n.nspname NOT IN ('pg_catalog', current_schema())
"""


class Members:
    """The objects of extensions that are installed in a schema which definitions have to name.

    An extension is used by its own names, wherever it is installed. So definitions are compared without its schema.
    """

    def __init__(self, members: Iterable[tuple[str, str]]) -> None:
        self._members = frozenset(members)
        schemas = "|".join(sorted({re.escape(schema) for schema, _ in self._members}))
        self._named = re.compile(rf'(?<![\w".$])({schemas})\.({_NAME})') if schemas else None
        self._operators = re.compile(rf"OPERATOR\(({schemas})\.([^)]+)\)") if schemas else None

    @classmethod
    def of(cls, connection: psycopg.Connection[Any]) -> Members:
        """Those of this database, as its current schema sees them."""
        with connection.cursor(row_factory=tuple_row) as cursor:
            return cls((str(schema), str(name)) for schema, name in cursor.execute(_MEMBERS))

    def unqualified(self, text: str) -> str:
        """The text, with the names of these objects alone."""
        if self._named is None or self._operators is None:
            return text
        for pattern in (self._operators, self._named):
            text = pattern.sub(lambda one: one[2] if (one[1], one[2]) in self._members else one[0], text)
        return text


def on_one_line(text: str) -> str:
    """A definition on one line, with one space for many, except in names and in values."""
    parts, at = [], 0
    for found in _QUOTED.finditer(text):
        parts += [_SPACES.sub(" ", text[at : found.start()]), found[0].replace("\n", "\\n")]
        at = found.end()
    return "".join([*parts, _SPACES.sub(" ", text[at:])]).strip()


def without_cast_list(text: str) -> str:
    """A list of texts as a restored dump has it: the server casts each element there, and not the whole array."""

    def each(found: re.Match[str]) -> str:
        return f"ARRAY[{', '.join(f'({one})::text' for one in _ELEMENT.findall(found[1]))}]"

    return _CAST_LIST.sub(each, text)


def as_newer_versions(query: str, version: int) -> str:
    """The query of a view on one table as PostgreSQL 16 and later write it: without its name before the columns.

    Subqueries keep the names there, and so does every query on several tables.
    """
    if version >= 160000:
        return query
    literals: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        if found[0].startswith('"'):
            return found[0]
        literals.append(found[0])
        return f"'{len(literals) - 1}'"

    bare = _QUOTED.sub(put_aside, query)
    outer = list(_outer(bare))
    name = _only_table("".join(text if is_outer else "?" for text, is_outer in outer))
    if name is None:
        return query
    column = re.compile(rf'(?<![\w."]){re.escape(name)}\.(?=[\w"])(?!{_NAME}\()')  # and no function of a schema
    bare = "".join(column.sub("", text) if is_outer else text for text, is_outer in outer)
    return _QUOTED.sub(lambda one: one[0] if one[0].startswith('"') else literals[int(one[0][1:-1])], bare)


def _outer(query: str) -> Iterator[tuple[str, bool]]:
    """The query in pieces, and whether each is outside of every subquery."""
    start, depth, subquery_at = 0, 0, 0
    for found in re.finditer(r'"(?:[^"]|"")*"|[()]', query):
        if found[0] == "(":
            depth += 1
            if not subquery_at and re.match(r"\s*(?:SELECT|WITH|VALUES)\b", query[found.end() :]):
                subquery_at = depth
                yield query[start : found.end()], True
                start = found.end()
        elif found[0] == ")":
            if depth == subquery_at:
                yield query[start : found.start()], False
                start, subquery_at = found.start(), 0
            depth -= 1
    yield query[start:], not subquery_at


def _only_table(outer: str) -> str | None:
    """By which name the columns of what a query reads are called, or None where it reads several tables."""
    sources = re.split(r"(?:^|\n)\s*FROM ", outer)
    if len(sources) != 2 or _SET_OPERATION.search(outer):
        return None
    one = _CLAUSE.split(sources[1])[0].partition(" TABLESAMPLE ")[0]
    found = _ONE_SOURCE.fullmatch(_without_insides(one.strip(" ;\n")))
    return (found["alias"] or found["table"] or found["made"]) if found else None


def _without_insides(source: str) -> str:
    """What is outside of parentheses, and these."""
    made, depth = "", 0
    for part in re.findall(r'"(?:[^"]|"")*"|[()]|[^"()]+', source):
        depth -= part == ")"
        made += part if depth == 0 else ""
        depth += part == "("
    return made


def body(text: str, language: str) -> str:
    """The body of a function on one line. Of SQL and PL/pgSQL, without comments, and with one space for many."""
    if language not in ("sql", "plpgsql"):  # in Python, spaces at the beginning of a line mean something
        return "\\n".join(line.rstrip() for line in text.strip().splitlines())
    parts, at = [], 0
    while found := _OF_BODY.search(text, at):
        parts.append(text[at : found.start()])
        at = found.end()
        if found["kept"]:
            parts.append(found["kept"].replace("\n", "\\n"))
        else:
            parts.append(" ")
        if found["open"]:
            at = _end_of_comment(text, at)
    return _joined(parts, text[at:])


def _joined(parts: list[str], rest: str) -> str:
    """The parts in one text. A space stays only where two words, or two operators, would become one without it."""
    made, space = "", False
    for part in (*parts, rest):
        if part == " ":
            space = True
        elif part:
            if (
                space
                and made
                and (made[-1] in _OPERATORS) == (part[0] in _OPERATORS)
                and not {made[-1], part[0]} & _MARKS
            ):
                made += " "
            made, space = made + part, False
    return made


def _end_of_comment(text: str, at: int) -> int:
    """Where the comment ends that began before `at`. Comments of SQL may be in each other."""
    depth = 1
    while depth and (mark := _COMMENT_MARK.search(text, at)):
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return len(text) if depth else at


__all__ = ["Members", "as_newer_versions", "body", "on_one_line", "without_cast_list"]
