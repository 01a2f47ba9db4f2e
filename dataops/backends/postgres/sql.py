"""Our own SQL for PostgreSQL: for the journal, for the lock, and for what `state` reads."""

from __future__ import annotations

LOCK_KEY = int.from_bytes(b"dataops\0", "big")
"""The key of our session advisory lock. It never changes, so that all versions of dataops exclude each other."""

ONE_MAKES = f"SELECT pg_catalog.pg_advisory_xact_lock({int.from_bytes(b'dataops' + bytes([1]), 'big')})"
"""Until the end of the transaction, nobody else makes a table of ours that is made without that lock.

CREATE TABLE IF NOT EXISTS fails where two sessions come at the same moment.
"""


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


PATH = """
SELECT pg_catalog.current_schemas(false)::pg_catalog.text[] AS schemas,
       pg_catalog.current_setting('search_path') AS setting, current_user::pg_catalog.text AS me
"""

PATH_SOURCE = """
SELECT s.source FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'search_path'
"""
"""`source` is "client" when the URL sets the search_path."""

OUR_TABLES = """
SELECT (SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace) AS schema, c.relname AS name,
       has_schema_privilege(c.relnamespace, 'USAGE') AS usable, has_table_privilege(c.oid, 'SELECT') AS readable,
       (SELECT d.description FROM pg_description d
         WHERE d.objoid = c.oid AND d.classoid = 'pg_class'::regclass AND d.objsubid = 0) AS comment,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
  FROM pg_class c
 WHERE c.relname = ANY (%(names)s) AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
"""
"""In no order, and without a join: it is one of the first questions to a new session."""

IS_TAKEN = """
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s
"""

SCHEMA = """
SELECT n.oid IS NOT NULL AS there, EXISTS (SELECT FROM pg_roles r WHERE r.rolname = wanted.name) AS is_role,
       has_database_privilege(current_database(), 'CREATE') AS may_create,
       has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE')
       AND NOT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid)
       AND NOT EXISTS (SELECT FROM pg_type t WHERE t.typnamespace = n.oid) AS free
  FROM (SELECT %(name)s::text AS name) wanted LEFT JOIN pg_namespace n ON n.nspname = wanted.name
"""

READERS = """
SELECT DISTINCT r.rolname AS role
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN aclexplode(c.relacl) a
  LEFT JOIN pg_roles r ON r.oid = a.grantee
 WHERE c.oid = %(journal)s::regclass
   AND r.rolname IS DISTINCT FROM current_user AND (r.oid IS NOT NULL OR a.grantee = 0)
   AND CASE WHEN a.grantee = 0
            THEN EXISTS (SELECT FROM aclexplode(n.nspacl) s WHERE s.grantee = 0 AND s.privilege_type = 'USAGE')
            ELSE has_schema_privilege(a.grantee, n.oid, 'USAGE') END
 UNION
SELECT pg_get_userbyid(c.relowner) FROM pg_class c
 WHERE c.oid = %(journal)s::regclass AND pg_get_userbyid(c.relowner) <> current_user
"""
"""The roles, NULL for PUBLIC, that may do something with the journal where it is."""

OWNED = "SELECT pg_has_role(c.relowner, 'USAGE') AS owned FROM pg_class c WHERE c.oid = %s::regclass"

KNOWS = """
SELECT DISTINCT migration, checksum, raw_checksum FROM {journal}
 WHERE migration = ANY (%s) AND event IN ('succeeded', 'resolved', 'adopted')
"""

SHAPES = """
SELECT c.oid AS oid,
       pg_catalog.concat_ws(' ', c.relrowsecurity, c.relforcerowsecurity, (
           SELECT pg_catalog.string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND NOT a.attisdropped AND a.attname = ANY (%(columns)s)
       )) AS shape
  FROM (VALUES (1, %(record)s), (2, %(journal)s)) AS ours (number, name)
  LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(ours.name)
 ORDER BY ours.number
"""
"""Record and journal: which tables they are, whether their rows may be hidden, and which of our columns they have."""

HIDES_ROWS = "SELECT row_security_active(%s::regclass::oid) AS hidden"

ROWS = """
SELECT (SELECT pg_catalog.array_agg(version_num::pg_catalog.text ORDER BY version_num) FROM {record}) AS heads,
       (SELECT pg_catalog.count(*) FROM {journal} WHERE seq <= %(newest)s) AS entries,
       (SELECT pg_catalog.max(seq) FROM {journal}) AS newest
"""

ABOUT = """
SELECT current_database() AS database, d.oid AS database_oid,
       current_setting('server_version') AS version,
       current_setting('server_version_num')::int AS version_num,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS may_see_system,
       to_regclass(%(record)s) IS NOT NULL AS has_record,
       to_regclass(%(journal)s) IS NOT NULL AS has_journal,
       (SELECT nullif(a.atttypmod, -1) - 4 FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = to_regclass(%(record)s) AND a.attname = 'version_num'
           AND a.atttypid = 'pg_catalog.varchar'::regtype) AS id_room
  FROM pg_catalog.pg_database d
 WHERE d.datname = current_database()
"""

SYSTEM = "SELECT system_identifier::text AS identifier FROM pg_control_system()"

TABLE_HOLDERS = """
SELECT a.usename AS who, a.application_name AS name, l.pid, string_agg(DISTINCT c.relname, ', ') AS tables
  FROM pg_catalog.pg_locks l
  JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
   AND (c.relname = ANY (%(names)s) OR %(all)s)
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.database = (
       SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
 GROUP BY 1, 2, 3
"""

RECORD = "SELECT version_num FROM {record} ORDER BY version_num"

ENTRY = (
    "seq, run, migration, direction, event, at, seconds, actor, host, version, checksum, raw_checksum, error, reason"
)

LAST = f"SELECT {ENTRY} FROM {{journal}} WHERE event NOT IN ('approved', 'paused', 'resumed') ORDER BY seq DESC LIMIT 1"
"""The newest entry about a step: an approval is about none, and must not hide that one is half done."""

# A journal that an earlier version has made may not have the columns of COLUMNS, and is read all the same.
ENDED_WELL = f"""
SELECT DISTINCT ON (migration) {ENTRY}, pg_catalog.to_jsonb(entry) ->> 'imports' AS imports
  FROM {{journal}} AS entry
 WHERE event IN ('succeeded', 'resolved', 'adopted')
 ORDER BY migration, seq DESC
"""

STORED = "SELECT * FROM {journal} ORDER BY seq"

HISTORY = f"""
SELECT {ENTRY}, pg_catalog.to_jsonb(entry) ->> 'statements' AS statements
  FROM {{journal}} AS entry ORDER BY seq DESC LIMIT %s
"""

HOLDING = """
SELECT l.pid
  FROM pg_catalog.pg_locks l
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
 LIMIT 1
"""
HOLDER = """
SELECT application_name, host(client_addr) AS client, backend_start AS since
  FROM pg_catalog.pg_stat_activity WHERE pid = %s
"""
"""Asked only where the lock is held: in a new session, this view takes the server more time than most questions."""

DOING = """
SELECT p.relid::regclass::text AS name, p.phase, p.lockers_total, p.lockers_done, p.blocks_total, p.blocks_done,
       p.tuples_total, p.tuples_done
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %s AND p.phase IS NOT NULL
 LIMIT 1
"""
"""The index that the holder of our lock builds, as far as this user may see it."""

TELL = """
SELECT pg_catalog.set_config('application_name', 'dataops-at/' || l.pid || ' ' || %(text)s, false)
  FROM pg_catalog.pg_locks l
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %(key)s
"""
"""Give this session a name that says how far the session is that holds our lock. Everybody may see such names."""

TOLD = """
SELECT a.application_name AS name
  FROM pg_catalog.pg_locks l
  JOIN pg_catalog.pg_stat_activity a ON a.application_name LIKE 'dataops-at/' || l.pid || ' %%'
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
 LIMIT 1
"""

_MINE = """
       locktype = 'advisory' AND granted AND pid = pg_backend_pid()
   AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
"""

_INT4 = "({0}::int8 - CASE WHEN {0}::int8 > 2147483647 THEN 4294967296 ELSE 0 END)::int4"
"""pg_locks shows the two int4 keys of a lock as unsigned oids. This makes them signed again."""

SESSION = f"""
SELECT EXISTS (SELECT FROM pg_catalog.pg_locks
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
  FROM pg_catalog.pg_locks
 WHERE {_MINE} AND NOT (objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = %s)
"""

WRITE = (
    "INSERT INTO {journal} ("
    + ENTRY.replace("seq, ", "").replace("at, ", "")
    + """{fields})
VALUES (%(run)s, %(migration)s, %(direction)s, %(event)s, %(seconds)s, %(actor)s, %(host)s, %(version)s,
        %(checksum)s, %(raw_checksum)s, %(error)s, %(reason)s{values})
"""
)
"""`fields` and `values` are those of COLUMNS that the journal has."""

WRITTEN = """
RETURNING seq, pg_catalog.to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS at,
          (SELECT hash FROM {journal} WHERE hash <> '' ORDER BY seq DESC LIMIT 1) AS before
"""
"""`at` as text: the driver reads no time in the DateStyle that a database may have."""

SEAL = "UPDATE {journal} SET previous = %(previous)s, hash = %(hash)s WHERE seq = %(seq)s"

DELETE_MARK = """
DELETE FROM {journal}
 WHERE run = %(run)s AND migration = %(migration)s AND direction = %(direction)s AND event = %(event)s
   AND reason = %(reason)s
"""

INVALID_INDEXES = """
SELECT i.indexrelid::regclass::text
  FROM pg_catalog.pg_index i
 WHERE NOT i.indisvalid
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
"""

COUNTERS = """
SELECT format('%I.%I', schemaname, sequencename) AS name, last_value AS last
  FROM pg_catalog.pg_sequences
 WHERE NOT starts_with(schemaname, 'dataops_')
"""

TURN_BACK = """
SELECT setval(s.seqrelid::regclass, coalesce(%(last)s, s.seqstart), %(last)s::bigint IS NOT NULL)
  FROM pg_catalog.pg_sequence s WHERE s.seqrelid = to_regclass(%(name)s)
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

JOURNAL_COMMENT = (
    "What dataops runs did here, append-only. Whether a migration is applied is said by the record, not by this."
)

COLUMNS = {
    "imports": "The project's own files that the migration imports, each after the SHA-256 of its code",
    "statements": "The slowest statements of the step, without values, as JSON",
    "previous": "The hash of the entry before; empty for the first entry with a hash",
    "hash": "SHA-256 of all other fields of this entry; dataops history --verify",
}
"""What a journal of an earlier version may lack, and is read and written without; each with its comment."""

ADD_COLUMN = """
ALTER TABLE {{journal}} ADD COLUMN IF NOT EXISTS {column} text NOT NULL DEFAULT '';
COMMENT ON COLUMN {{journal}}.{column} IS '{comment}';
"""

WIDEN = {
    column: ADD_COLUMN.format(column=column, comment=comment.replace("'", "''")) for column, comment in COLUMNS.items()
}

EVENTS = (
    "started, then succeeded or failed; resolved: a person decided; adopted: taken over from another tool; "
    "pruned: what it had put aside was dropped; approved: a person approved a saved plan; "
    "paused, resumed: a backfill waited, and why. "
    "A newest entry of these but the last three that says started: that step is running now, or its process died"
)

NARROW = """
SELECT FROM pg_catalog.pg_attribute a
 WHERE a.attrelid = %s::regclass AND a.attname = 'event'
   AND coalesce(col_description(a.attrelid, a.attnum), '') NOT LIKE '%%paused, resumed:%%'
"""
"""Whether the journal is of an earlier version, which does not allow all events.

Its constraint cannot be read without a lock, so the comment of the column says what it is.
"""

EVENT_CHECKS = """
SELECT k.conname AS name
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
 WHERE a.attrelid = %s::regclass AND a.attname = 'event'
"""

WIDEN_EVENTS = """
ALTER TABLE {{journal}} DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name}
    CHECK (event IN ('started', 'succeeded', 'failed', 'resolved', 'adopted', 'pruned', 'approved', 'paused',
                     'resumed'));
COMMENT ON COLUMN {{journal}}.event IS '{events}';
"""

CREATE_JOURNAL = (
    """
CREATE TABLE {journal} (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run          text NOT NULL,
    migration    text NOT NULL,
    direction    text NOT NULL CHECK (direction IN ('apply', 'rollback')),
    event        text NOT NULL
                 CHECK (event IN ('started', 'succeeded', 'failed', 'resolved', 'adopted', 'pruned', 'approved',
                                  'paused', 'resumed')),
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
COMMENT ON COLUMN {journal}.seq IS 'Order of writing in this database';
COMMENT ON COLUMN {journal}.run IS 'One invocation; the same id in every database it touched and in its logs';
COMMENT ON COLUMN {journal}.migration IS 'Revision id, as in alembic_version';
COMMENT ON COLUMN {journal}.direction IS 'apply or rollback';
COMMENT ON COLUMN {journal}.event IS '"""
    + EVENTS
    + """';
COMMENT ON COLUMN {journal}.at IS 'This server''s clock';
COMMENT ON COLUMN {journal}.seconds IS 'How long the step took';
COMMENT ON COLUMN {journal}.actor IS 'User name of the process, or DATAOPS_ACTOR';
COMMENT ON COLUMN {journal}.host IS 'Host or pod name';
COMMENT ON COLUMN {journal}.version IS 'Version of dataops';
COMMENT ON COLUMN {journal}.checksum IS 'SHA-256 of the migration''s code, without comments and formatting';
COMMENT ON COLUMN {journal}.raw_checksum IS 'SHA-256 of the migration file''s bytes';
COMMENT ON COLUMN {journal}.error IS 'What the server said when the step failed';
COMMENT ON COLUMN {journal}.reason IS 'Why a person resolved or adopted';
"""
)
