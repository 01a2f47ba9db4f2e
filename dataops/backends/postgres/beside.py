"""Tables of ours beside the journal, made when they are first needed. Whoever may read the journal may read them."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row

from dataops.backends.postgres.sql import ONE_MAKES, quoted
from dataops.backends.postgres.tables import JOURNAL_NAME

_GRANTS = """
SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(r.rolname) END AS role
  FROM pg_catalog.pg_class c CROSS JOIN pg_catalog.aclexplode(c.relacl) a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE c.oid = pg_catalog.to_regclass(%s) AND a.privilege_type = 'SELECT' AND (a.grantee = 0 OR r.oid IS NOT NULL)
"""

_READABLE = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE c.oid = pg_catalog.to_regclass(%s)
                  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                  AND pg_catalog.has_table_privilege(c.oid, 'SELECT')) AS readable
"""

_THERE = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass(%s)) AS there"
"""In a transaction, to_regclass by itself may answer as before: only who reads a table hears of what others made."""


class Beside:
    """One such table: `name` in the schema of the journal. `definition` are its columns, `comment` is for people."""

    def __init__(self, schema: str, name: str, definition: str, comment: str) -> None:
        self.sql = f"{quoted(schema)}.{quoted(name)}"
        self._journal = f"{quoted(schema)}.{quoted(JOURNAL_NAME)}"
        self._definition = definition
        self._comment = comment.replace("'", "''")

    def is_there(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether it is there, for whoever may read it."""
        row = connection.cursor(row_factory=dict_row).execute(_THERE, [self.sql]).fetchone()
        return bool(row and row["there"])

    def is_readable(self, connection: psycopg.Connection[Any]) -> bool:
        """Whether it is there, and this user may read it."""
        row = connection.cursor(row_factory=dict_row).execute(_READABLE, [self.sql]).fetchone()
        return bool(row and row["readable"])

    def make(self, connection: psycopg.Connection[Any]) -> None:
        """Create it, unless it is there."""
        if self.is_readable(connection):
            return
        with connection.transaction():
            connection.execute(ONE_MAKES.encode())
            if self.is_there(connection):
                return
            connection.execute(f"CREATE TABLE {self.sql} ({self._definition})".encode())
            connection.execute(f"COMMENT ON TABLE {self.sql} IS '{self._comment}'".encode())
            roles = connection.cursor(row_factory=dict_row).execute(_GRANTS, [self._journal]).fetchall()
            for row in roles:
                connection.execute(f"GRANT SELECT ON {self.sql} TO {row['role']}".encode())

    def execute(
        self, connection: psycopg.Connection[Any], statement: str, values: Any = None
    ) -> psycopg.Cursor[dict[str, Any]]:
        """Execute a statement that has {table} in it."""
        table = self.sql.replace("%", "%%") if values is not None else self.sql
        return connection.cursor(row_factory=dict_row).execute(statement.format(table=table).encode(), values)


__all__ = ["Beside"]
