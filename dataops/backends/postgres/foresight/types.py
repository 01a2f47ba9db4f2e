"""Whether a column can get another type without writing the table anew.

PostgreSQL rewrites a table unless the values are stored alike and need no check: see ATColumnChangeRequiresRewrite and
the support functions of varchar, numeric, varbit, timestamp and interval in its source.
"""

from __future__ import annotations

import re

from dataops.backends.postgres.foresight.facts import Column, Facts

_NEW_TYPE = """
SELECT t.oid AS type, t.typtype::text AS kind, t.typbasetype AS base, t.typname AS name,
       t.typtype = 'd' AND (t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)) AS checks,
       old.oid AS old, old.typname AS old_name, t.typcategory = 'S' AS is_text,
       EXISTS (SELECT FROM pg_cast c WHERE c.castsource = old.oid AND c.casttarget = t.oid
                AND c.castmethod = 'b') AS alike,
       EXISTS (SELECT FROM pg_cast c WHERE c.castsource = old.oid AND c.casttarget = t.oid
                AND c.castcontext IN ('a', 'i')) AS casts,
       current_setting('TimeZone') IN ('UTC', 'Etc/UTC', 'GMT', 'Etc/GMT') AS utc
  FROM pg_type t, (SELECT coalesce(nullif(o.typbasetype, 0), o.oid) AS oid FROM pg_type o WHERE o.oid = %(old)s) base
  JOIN pg_type old ON old.oid = base.oid
 WHERE t.oid = to_regtype(%(new)s)
"""
_LENGTHENED = {"varchar", "varbit"}
_TIMES = {"timestamp", "timestamptz", "time", "timetz", "interval"}


class Change:
    """What a change of type means. `rewrites` is None where the type does not exist yet."""

    def __init__(
        self, rewrites: bool | None, *, scans: bool = False, nothing: bool = False, casts: bool = True
    ) -> None:
        self.rewrites = rewrites
        self.scans = scans
        self.nothing = nothing
        self.casts = casts


def change(facts: Facts, column: Column, new: str, using: str) -> Change:
    """What it takes to give the column the new type, as it is written in the statement."""
    rows = facts.ask(_NEW_TYPE, old=column.type, new=new)
    if not rows:
        return Change(None)
    row = rows[0]
    # arrays are converted element by element: what they need is not looked up
    casts = bool(row["casts"] or row["is_text"] or row["type"] == row["old"] or row["kind"] == "d" or "[]" in new)
    if using and not _plain(using, column.name, new):
        return Change(rewrites=True)
    modifiers = [int(part) for part in re.findall(r"\d+", new.partition("(")[2].partition(")")[0])]
    if row["kind"] == "d" and row["base"] == row["old"]:
        return Change(rewrites=bool(row["checks"]))
    if row["type"] == row["old"]:
        same = _modifiers(column) == modifiers
        return Change(not same and not _wider(row["name"], _modifiers(column), modifiers), nothing=same)
    if {row["name"], row["old_name"]} == {"timestamp", "timestamptz"}:
        return Change(not row["utc"] or bool(modifiers))
    # a length has to be checked, also of what is stored alike
    return Change(not row["alike"] or bool(modifiers), casts=casts)


def _plain(using: str, column: str, new: str) -> bool:
    """Whether USING says no more than the server would do by itself."""
    bare = using.replace('"', "").replace(" ", "").lower()
    return bare in (column.lower(), f"{column.lower()}::{new.lower().replace(' ', '')}")


def _modifiers(column: Column) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", column.written.partition("(")[2].partition(")")[0])]


def _wider(name: str, old: list[int], new: list[int]) -> bool:
    """Whether every value of the old length or precision is one of the new, as it is stored."""
    if name in _LENGTHENED:
        return not new or (bool(old) and new[0] >= old[0])
    if name == "numeric":
        if not new or not old:
            return not new
        return [*old, 0][1] == [*new, 0][1] and new[0] >= old[0]
    if name in _TIMES:
        return not new or new[0] >= 6 or (bool(old) and new[0] >= old[0])
    return False
