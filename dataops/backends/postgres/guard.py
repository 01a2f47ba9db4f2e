"""Finds statements of a migration that change what is ours: journal, record, and the stash of another migration.

It reads text, so it can only find what is written there. What a file does in another way is found when it has run: see
`locked`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from dataops.backends.postgres.environment import RECORD_NAME
from dataops.backends.postgres.tables import JOURNAL_NAME, OWN_SCHEMA
from dataops.stash.postgres import SCHEMA_PREFIX

_TEXTS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\$\w*\$", re.DOTALL)
_NAME = r'(?:"(?:[^"]|"")+"|[^\W\d][\w$]*)'
_FULL_NAME = rf"{_NAME}(?:\s*\.\s*{_NAME})?"
_CHANGE = re.compile(
    r"\b(?P<verb>(?:DROP|ALTER|CREATE|TRUNCATE)\s+TABLE|TRUNCATE|(?:DROP|ALTER)\s+SCHEMA|DELETE\s+FROM|INSERT\s+INTO"
    r"|MERGE\s+INTO|UPDATE)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?(?:ONLY\s+)?"
    rf"(?P<names>{_FULL_NAME}(?:\s*,\s*(?:ONLY\s+)?{_FULL_NAME})*)(?P<rest>[^;]*)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"\s*(?:OWNER\s+TO|ADD|ALTER\s+COLUMN)\b", re.IGNORECASE)
"""What an ALTER may do to the record: a dump says who owns it, and a project may make its column wider."""


def harm(statement: str, version: str, schemas: Collection[str] = ()) -> str:
    """What a statement of the migration `version` does to something of ours, in a few words; "" when it does nothing.

    `schemas` are those where our tables are, if that is known: a table in any other schema is not ours.
    """
    for change in _CHANGE.finditer(_TEXTS.sub(" ", statement)):
        verb = " ".join(change["verb"].upper().split())
        for parts in _names(change["names"]):
            if _is_ours(verb, parts, change["rest"], version, schemas):
                return f"{verb} {'.'.join(parts)}"
    return ""


def _names(text: str) -> Iterator[list[str]]:
    for full in re.findall(_FULL_NAME, text):
        parts = [part for part in re.findall(_NAME, full) if part.upper() != "ONLY"]
        if parts:
            yield [part[1:-1].replace('""', '"') if part.startswith('"') else part.lower() for part in parts]


def _is_ours(verb: str, parts: list[str], rest: str, version: str, schemas: Collection[str]) -> bool:
    *qualifier, name = parts
    if verb.endswith(" SCHEMA"):
        return not _HARMLESS.match(rest) and (name.startswith(OWN_SCHEMA) or _is_foreign_stash(name, version))
    if any(_is_foreign_stash(schema, version) for schema in qualifier):
        return True
    if qualifier and schemas and qualifier[0] not in schemas:
        return False
    if name == JOURNAL_NAME:
        return not (verb == "ALTER TABLE" and _HARMLESS.match(rest))
    if name == RECORD_NAME:
        return verb != "CREATE TABLE" and not (verb == "ALTER TABLE" and _HARMLESS.match(rest))
    return False


def _is_foreign_stash(schema: str, version: str) -> bool:
    return schema.startswith(SCHEMA_PREFIX) and schema != f"{SCHEMA_PREFIX}{version}".lower()


__all__ = ["harm"]
