"""What is running now and would make a statement wait, or would suffer from it."""

from __future__ import annotations

from collections.abc import Sequence

from dataops.backends.postgres.foresight.facts import Facts, Table
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE, MODES
from dataops.hazards import LAG_SECONDS
from dataops.model import Risk
from dataops.redaction import redact

_LONG_SECONDS = 5

_HOLDERS = """
SELECT a.pid, a.state, coalesce(a.application_name, '') AS name, coalesce(a.usename, '') AS who,
       max(extract(epoch FROM now() - a.xact_start))::int AS seconds
  FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.relation = %(oid)s AND l.granted AND l.mode = ANY (%(modes)s) AND l.pid <> pg_backend_pid()
   AND a.xact_start < now() - make_interval(secs => %(long)s)
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY 1, 2, 3, 4 ORDER BY seconds DESC LIMIT 3
"""
_OLDEST = """
SELECT a.pid, coalesce(a.application_name, '') AS name, coalesce(a.usename, '') AS who,
       extract(epoch FROM now() - a.xact_start)::int AS seconds
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND a.xact_start < now() - make_interval(secs => %(long)s)
 ORDER BY a.xact_start LIMIT 1
"""
_BUILDS = """
SELECT p.pid, p.command FROM pg_stat_progress_create_index p
 WHERE p.relid = %(oid)s AND p.datname = current_database() LIMIT 1
"""
_REPLICAS = """
SELECT coalesce(application_name, '') AS name, extract(epoch FROM replay_lag)::int AS seconds
  FROM pg_stat_replication WHERE replay_lag > make_interval(secs => %(lag)s)
"""
_PUBLISHED = """
SELECT string_agg(pubname, ', ' ORDER BY pubname) AS names FROM pg_publication_tables
 WHERE schemaname = %(schema)s AND tablename = %(name)s
"""


def holders(facts: Facts, table: Table, mode: str) -> list[Risk]:
    """Transactions that have lasted for some seconds and keep a lock waiting, and an index that is being built."""
    found = [
        Risk(
            "blocked-now",
            f"{_who(row)} holds {table.title} for {row['seconds']:,} s now ({row['state'] or 'its state is hidden'})",
        )
        for row in facts.ask(_HOLDERS, oid=table.oid, modes=list(conflicting(mode)), long=_LONG_SECONDS)
    ]
    builds = facts.ask(_BUILDS, oid=table.oid) if MODES.index(mode) >= 3 else []
    found += [
        Risk("blocked-now", f"process {row['pid']} builds an index on {table.title} now ({row['command']})")
        for row in builds
    ]
    return found


def oldest(facts: Facts) -> list[Risk]:
    """The oldest transaction of the database: CONCURRENTLY waits for all that began before it."""
    return [
        Risk("blocked-now", f"CONCURRENTLY waits for {_who(row)}, whose transaction has lasted {row['seconds']:,} s")
        for row in facts.ask(_OLDEST, long=_LONG_SECONDS)
    ]


def replicas(facts: Facts) -> list[Risk]:
    """Replicas that are behind, as far as this user may see them."""
    return [
        Risk("replica-behind", f"the replica {redact(row['name'])} is {row['seconds']:,} s behind")
        for row in facts.ask(_REPLICAS, lag=LAG_SECONDS)
    ]


def published(facts: Facts, table: Table) -> str:
    """The publications that send this table; "" for none."""
    return str(facts.ask(_PUBLISHED, schema=table.schema, name=table.name)[0]["names"] or "")


def conflicting(mode: str) -> Sequence[str]:
    """The lock modes that cannot be held beside this one, by another session."""
    return [other for other in MODES if _conflict(mode, other)]


_CONFLICTS = {
    "AccessShareLock": {"AccessExclusiveLock"},
    "RowShareLock": {"ExclusiveLock", "AccessExclusiveLock"},
    "RowExclusiveLock": {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"},
    "ShareUpdateExclusiveLock": {
        "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
    },
    "ShareLock": {
        "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock",
    },
    "ShareRowExclusiveLock": set(MODES) - {"AccessShareLock", "RowShareLock"},
    "ExclusiveLock": set(MODES) - {"AccessShareLock"},
    ACCESS_EXCLUSIVE: set(MODES),
}  # fmt: skip


def _conflict(one: str, other: str) -> bool:
    return other in _CONFLICTS[one]


def _who(row: dict[str, object]) -> str:
    name = redact(str(row["name"])) or "without a name"
    return f"process {row['pid']} ({name}, user {redact(str(row['who']))})"
