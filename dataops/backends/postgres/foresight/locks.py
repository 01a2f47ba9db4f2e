"""Which lock each kind of action takes, as a table. tests/contract/test_foresight.py holds it against each server.

The names are those of pg_locks. Source: the chapter "Explicit Locking" and the page of each command in PostgreSQL's
documentation, and what the servers of 14 to 18 do.
"""

from __future__ import annotations

from typing import NamedTuple

ACCESS_SHARE = "AccessShareLock"
ROW_SHARE = "RowShareLock"
ROW_EXCLUSIVE = "RowExclusiveLock"
SHARE_UPDATE_EXCLUSIVE = "ShareUpdateExclusiveLock"
SHARE = "ShareLock"
SHARE_ROW_EXCLUSIVE = "ShareRowExclusiveLock"
EXCLUSIVE = "ExclusiveLock"
ACCESS_EXCLUSIVE = "AccessExclusiveLock"
MODES = (
    ACCESS_SHARE, ROW_SHARE, ROW_EXCLUSIVE, SHARE_UPDATE_EXCLUSIVE, SHARE, SHARE_ROW_EXCLUSIVE, EXCLUSIVE,
    ACCESS_EXCLUSIVE,
)  # fmt: skip
"""Weakest first."""


class Locks(NamedTuple):
    """The lock on the object of the action, and the one on the `other` object; "" for none.

    An action on an index also locks its table, with `table`.
    """

    on: str
    other: str = ""
    table: str = ""


TAKEN: dict[str, Locks] = {
    "add column": Locks(ACCESS_EXCLUSIVE),
    "set or drop a default": Locks(ACCESS_EXCLUSIVE),
    "drop NOT NULL": Locks(ACCESS_EXCLUSIVE),
    "set NOT NULL": Locks(ACCESS_EXCLUSIVE),
    "set the statistics of a column": Locks(SHARE_UPDATE_EXCLUSIVE),
    "set options of a column": Locks(SHARE_UPDATE_EXCLUSIVE),
    "set the storage of a column": Locks(ACCESS_EXCLUSIVE),
    "set the compression of a column": Locks(ACCESS_EXCLUSIVE),
    "drop column": Locks(ACCESS_EXCLUSIVE),
    "alter the type": Locks(ACCESS_EXCLUSIVE),
    "add a check": Locks(ACCESS_EXCLUSIVE),
    "add a primary key": Locks(ACCESS_EXCLUSIVE),
    "add a unique constraint": Locks(ACCESS_EXCLUSIVE),
    "add an exclusion constraint": Locks(ACCESS_EXCLUSIVE),
    "add a foreign key": Locks(SHARE_ROW_EXCLUSIVE, other=SHARE_ROW_EXCLUSIVE),
    "create a table that refers to it": Locks("", other=SHARE_ROW_EXCLUSIVE),
    "validate a constraint": Locks(SHARE_UPDATE_EXCLUSIVE),
    "drop a constraint": Locks(ACCESS_EXCLUSIVE),
    "alter a constraint": Locks(ACCESS_EXCLUSIVE),
    "change the owner": Locks(ACCESS_EXCLUSIVE),
    "mark for CLUSTER": Locks(SHARE_UPDATE_EXCLUSIVE),
    "set logged": Locks(ACCESS_EXCLUSIVE),
    "set unlogged": Locks(ACCESS_EXCLUSIVE),
    "set the access method": Locks(ACCESS_EXCLUSIVE),
    "move to a tablespace": Locks(ACCESS_EXCLUSIVE),
    "set storage options": Locks(SHARE_UPDATE_EXCLUSIVE),
    "inherit": Locks(ACCESS_EXCLUSIVE, other=SHARE_UPDATE_EXCLUSIVE),
    "stop to inherit": Locks(ACCESS_EXCLUSIVE, other=ACCESS_SHARE),
    "set the replica identity": Locks(ACCESS_EXCLUSIVE),
    "switch row security": Locks(ACCESS_EXCLUSIVE),
    "change an identity column": Locks(ACCESS_EXCLUSIVE),
    "drop the expression of a column": Locks(ACCESS_EXCLUSIVE),
    "set the expression of a column": Locks(ACCESS_EXCLUSIVE),
    "switch a trigger": Locks(SHARE_ROW_EXCLUSIVE),
    "switch a rule": Locks(ACCESS_EXCLUSIVE),
    "alter a table otherwise": Locks(ACCESS_EXCLUSIVE),
    "attach a partition": Locks(SHARE_UPDATE_EXCLUSIVE, other=ACCESS_EXCLUSIVE),
    "detach a partition": Locks(ACCESS_EXCLUSIVE, other=ACCESS_EXCLUSIVE),
    "detach a partition concurrently": Locks(SHARE_UPDATE_EXCLUSIVE, other=ACCESS_EXCLUSIVE),
    "rename a column": Locks(ACCESS_EXCLUSIVE),
    "rename a table": Locks(ACCESS_EXCLUSIVE),
    "rename a constraint": Locks(ACCESS_EXCLUSIVE),
    "rename a trigger, rule or policy": Locks(ACCESS_EXCLUSIVE),
    "move a table to a schema": Locks(ACCESS_EXCLUSIVE),
    "create an index": Locks("", table=SHARE),
    "create an index concurrently": Locks("", table=SHARE_UPDATE_EXCLUSIVE),
    "drop an index": Locks(ACCESS_EXCLUSIVE, table=ACCESS_EXCLUSIVE),
    "drop an index concurrently": Locks(SHARE_UPDATE_EXCLUSIVE, table=SHARE_UPDATE_EXCLUSIVE),
    "rename an index": Locks(SHARE_UPDATE_EXCLUSIVE),
    "set options of an index": Locks(SHARE_UPDATE_EXCLUSIVE),
    "attach an index": Locks(SHARE_UPDATE_EXCLUSIVE, other=ACCESS_EXCLUSIVE),
    "reindex a table": Locks(SHARE),
    "reindex an index": Locks(ACCESS_EXCLUSIVE, table=SHARE),
    "reindex a table concurrently": Locks(SHARE_UPDATE_EXCLUSIVE),
    "reindex an index concurrently": Locks(SHARE_UPDATE_EXCLUSIVE, table=SHARE_UPDATE_EXCLUSIVE),
    "drop a table": Locks(ACCESS_EXCLUSIVE),
    "drop a foreign table": Locks(ACCESS_EXCLUSIVE),
    "drop a view": Locks(ACCESS_EXCLUSIVE),
    "drop a materialized view": Locks(ACCESS_EXCLUSIVE),
    "drop a sequence": Locks(ACCESS_EXCLUSIVE),
    "drop a trigger": Locks(ACCESS_EXCLUSIVE),
    "drop a rule": Locks(ACCESS_EXCLUSIVE),
    "drop a policy": Locks(ACCESS_EXCLUSIVE),
    "truncate": Locks(ACCESS_EXCLUSIVE),
    "create a trigger": Locks(SHARE_ROW_EXCLUSIVE),
    "create a rule": Locks(ACCESS_EXCLUSIVE),
    "create a policy": Locks(ACCESS_EXCLUSIVE),
    "alter a policy": Locks(ACCESS_EXCLUSIVE),
    "create a view": Locks(""),
    "replace a view": Locks(ACCESS_EXCLUSIVE),
    "create a sequence": Locks(""),
    "name in a view": Locks(ACCESS_SHARE),
    "create a table": Locks(""),
    "create a partition": Locks(ACCESS_EXCLUSIVE),
    "create a child": Locks(SHARE_UPDATE_EXCLUSIVE),
    "comment": Locks(SHARE_UPDATE_EXCLUSIVE),
    "vacuum": Locks(SHARE_UPDATE_EXCLUSIVE),
    "analyze": Locks(SHARE_UPDATE_EXCLUSIVE),
    "vacuum full": Locks(ACCESS_EXCLUSIVE),
    "cluster": Locks(ACCESS_EXCLUSIVE),
    "refresh a materialized view": Locks(ACCESS_EXCLUSIVE),
    "refresh a materialized view concurrently": Locks(EXCLUSIVE),
    "create statistics": Locks(SHARE_UPDATE_EXCLUSIVE),
    "publish": Locks(SHARE_UPDATE_EXCLUSIVE),
    "alter a sequence": Locks(SHARE_ROW_EXCLUSIVE),
    "alter a view or sequence": Locks(ACCESS_EXCLUSIVE),
    "take rights": Locks(""),
    "update": Locks(ROW_EXCLUSIVE),
    "delete": Locks(ROW_EXCLUSIVE),
    "insert": Locks(ROW_EXCLUSIVE),
    "merge": Locks(ROW_EXCLUSIVE),
    "read": Locks(ACCESS_SHARE),
    "read rows to lock them": Locks(ROW_SHARE),
    **{f"lock as {mode}": Locks(mode) for mode in MODES},
}

WITHOUT = frozenset(
    {
        "define something",
        "define functions",
        "use a type",
        "use a trigger function",
        "create a type",
        "change an enum",
        "rename a type",
        "create a function",
        "drop a function",
        "create an extension",
        "create a schema",
        "set a parameter",
        "call",
        "something else",
        "check a domain",
        "alter a composite type",
        "drop a schema",
        "drop a type",
        "drop an extension",
        "drop something else",
    }
)
"""Kinds whose locks no table of the application is named for: their own, or those that only the server knows."""


def kept_waiting(mode: str) -> tuple[str, ...]:
    """Whom a lock keeps waiting: some of "reads", "writes", "schema changes"."""
    at = MODES.index(mode)
    reads = ("reads",) if mode == ACCESS_EXCLUSIVE else ()
    writes = ("writes",) if at >= MODES.index(SHARE) else ()
    changes = ("schema changes",) if at >= MODES.index(SHARE_UPDATE_EXCLUSIVE) else ()
    return (*reads, *writes, *changes)
