"""Our own SQL for PostgreSQL: for the journal, for the lock, and for what `state` reads."""

from __future__ import annotations

LOCK_KEY = int.from_bytes(b"dataops\0", "big")
"""The key of our session advisory lock. It never changes, so that all versions of dataops exclude each other."""

ABOUT = """
SELECT current_database() AS database, d.oid AS database_oid,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS may_see_system,
       to_regclass('alembic_version') IS NOT NULL AS has_record,
       to_regclass('dataops_journal') IS NOT NULL AS has_journal,
       -- Schemas of the search_path that hold our tables and may not be used: they look as if there were none.
       (SELECT string_agg(DISTINCT n.nspname, ', ')
          FROM pg_namespace n
          JOIN pg_class c ON c.relnamespace = n.oid AND c.relname IN ('alembic_version', 'dataops_journal')
         WHERE NOT has_schema_privilege(n.oid, 'USAGE')
           AND replace(n.nspname, current_user, '$user') = ANY
               (string_to_array(regexp_replace(current_setting('search_path'), '["[:space:]]', '', 'g'), ','))
       ) AS hidden
  FROM pg_database d
 WHERE d.datname = current_database()
"""

SYSTEM = "SELECT system_identifier::text AS identifier FROM pg_control_system()"

TABLE_HOLDERS = """
SELECT a.usename AS who, a.application_name AS name, l.pid, string_agg(DISTINCT c.relname, ', ') AS tables
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relname IN ('alembic_version', 'dataops_journal')
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.database = (
       SELECT oid FROM pg_database WHERE datname = current_database())
 GROUP BY 1, 2, 3
"""

RECORD = "SELECT version_num FROM alembic_version ORDER BY version_num"

_ENTRY = (
    "seq, run, migration, direction, event, at, seconds, actor, host, version, checksum, raw_checksum, error, reason"
)

LAST = f"SELECT {_ENTRY} FROM dataops_journal ORDER BY seq DESC LIMIT 1"

ENDED_WELL = f"""
SELECT DISTINCT ON (migration) {_ENTRY}
  FROM dataops_journal
 WHERE event IN ('succeeded', 'resolved', 'adopted')
 ORDER BY migration, seq DESC
"""

HISTORY = f"SELECT {_ENTRY} FROM dataops_journal ORDER BY seq DESC LIMIT %s"

HOLDER = """
SELECT a.application_name, a.pid, host(a.client_addr) AS client, a.backend_start AS since
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
 LIMIT 1
"""

_MINE = """
       locktype = 'advisory' AND granted AND pid = pg_backend_pid()
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_INT4 = "({0}::int8 - CASE WHEN {0}::int8 > 2147483647 THEN 4294967296 ELSE 0 END)::int4"
"""pg_locks shows the two int4 keys of a lock as unsigned oids. This makes them signed again."""

SESSION = f"""
SELECT EXISTS (SELECT FROM pg_locks
                WHERE {_MINE} AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s) AS has_lock,
       pg_current_xact_id_if_assigned()::text AS transaction
"""

RELEASE_OTHER_LOCKS = f"""
SELECT CASE objsubid WHEN 1 THEN
           CASE mode WHEN 'ShareLock' THEN pg_advisory_unlock_shared((classid::bigint << 32) | objid::bigint)
                     ELSE pg_advisory_unlock((classid::bigint << 32) | objid::bigint) END
       ELSE
           CASE mode WHEN 'ShareLock' THEN pg_advisory_unlock_shared({_INT4.format("classid")}, {_INT4.format("objid")})
                     ELSE pg_advisory_unlock({_INT4.format("classid")}, {_INT4.format("objid")}) END
       END AS released
  FROM pg_locks
 WHERE {_MINE} AND NOT (objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s)
"""

WRITE = """
INSERT INTO dataops_journal
       (run, migration, direction, event, seconds, actor, host, version, checksum, raw_checksum, error, reason)
VALUES (%(run)s, %(migration)s, %(direction)s, %(event)s, %(seconds)s, %(actor)s, %(host)s, %(version)s,
        %(checksum)s, %(raw_checksum)s, %(error)s, %(reason)s)
"""

DELETE_MARK = """
DELETE FROM dataops_journal
 WHERE run = %(run)s AND migration = %(migration)s AND direction = %(direction)s AND event = %(event)s
   AND reason = %(reason)s
"""

INVALID_INDEXES = """
SELECT i.indexrelid::regclass::text
  FROM pg_index i
 WHERE NOT i.indisvalid
   AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
"""

SIZES = """
SELECT c.relname AS name, greatest(c.reltuples, s.n_live_tup)::bigint AS rows,
       pg_size_pretty(pg_table_size(c.oid)) AS size
  FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE greatest(c.reltuples, s.n_live_tup) >= 1000
"""

STASH_ENTRIES = """
SELECT n.nspname AS schema, c.relname AS name, greatest(c.reltuples, s.n_live_tup, 0)::bigint AS rows,
       pg_table_size(c.oid) AS bytes, obj_description(n.oid, 'pg_namespace') AS comment
  FROM pg_namespace n
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
  LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
 WHERE starts_with(n.nspname, %s)
 ORDER BY 1, 2
"""

CREATE_JOURNAL = """
CREATE TABLE dataops_journal (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run          text NOT NULL,
    migration    text NOT NULL,
    direction    text NOT NULL CHECK (direction IN ('apply', 'rollback')),
    event        text NOT NULL
                 CHECK (event IN ('started', 'succeeded', 'failed', 'resolved', 'adopted', 'pruned')),
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    seconds      double precision,
    actor        text NOT NULL,
    host         text NOT NULL,
    version      text NOT NULL,
    checksum     text NOT NULL,
    raw_checksum text NOT NULL,
    error        text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT ''
);
COMMENT ON TABLE dataops_journal IS
    'What dataops runs did here, append-only. Whether a migration is applied is said by alembic_version, not by this.';
COMMENT ON COLUMN dataops_journal.seq IS 'Order of writing in this database';
COMMENT ON COLUMN dataops_journal.run IS 'One invocation; the same id in every database it touched and in its logs';
COMMENT ON COLUMN dataops_journal.migration IS 'Revision id, as in alembic_version';
COMMENT ON COLUMN dataops_journal.direction IS 'apply or rollback';
COMMENT ON COLUMN dataops_journal.event IS
    'started, then succeeded or failed; resolved: a person decided; adopted: taken over from another tool; '
    'pruned: what it had put aside was dropped. '
    'A newest entry that says started: that step is running now, or its process died';
COMMENT ON COLUMN dataops_journal.at IS 'This server''s clock';
COMMENT ON COLUMN dataops_journal.seconds IS 'How long the step took';
COMMENT ON COLUMN dataops_journal.actor IS 'User name of the process, or DATAOPS_ACTOR';
COMMENT ON COLUMN dataops_journal.host IS 'Host or pod name';
COMMENT ON COLUMN dataops_journal.version IS 'Version of dataops';
COMMENT ON COLUMN dataops_journal.checksum IS 'SHA-256 of the migration''s code, without comments and formatting';
COMMENT ON COLUMN dataops_journal.raw_checksum IS 'SHA-256 of the migration file''s bytes';
COMMENT ON COLUMN dataops_journal.error IS 'What the server said when the step failed';
COMMENT ON COLUMN dataops_journal.reason IS 'Why a person resolved or adopted';
"""
