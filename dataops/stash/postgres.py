"""SQL that puts aside what a PostgreSQL migration would throw away, and SQL that takes it back.

Pure text, without a connection, so that a step can be rendered before it is run. Each migration has a stash
of its own: the schema `dataops_stash_<version>`, owned by the user who migrates and readable by nobody else.
It holds what the *last* direction threw away. A rollback fills it, and the next apply takes it back and drops
it; for a migration that removes something it is the other way round. So it never exists when the same
direction is run again. If it does exist (after `alembic stamp`, or after a dump was restored), CREATE SCHEMA
fails and both copies are still there.

The text of these statements is part of every migration that asks for them: change it only so that a stash
made by an older release can still be taken back.
"""

from __future__ import annotations

from dataops.model import Direction

SCHEMA_PREFIX = "dataops_stash_"


def schema(version: str) -> str:
    """The name of a migration's stash."""
    return SCHEMA_PREFIX + version


def put_tables_aside(
    version: str, *tables: str, during: Direction = Direction.ROLLBACK, if_exists: bool = False
) -> tuple[str, ...]:
    """Move whole tables into the stash, in the order in which the application locks them.

    Only the catalogue changes, so it is fast whatever the size. Rows, indexes, constraints, comments, grants and the
    foreign keys between the tables go with them.
    """
    missing_is_fine = "IF EXISTS " if if_exists else ""
    return (
        *_create(version, during),
        *(f"ALTER TABLE {missing_is_fine}{table} SET SCHEMA {schema(version)}" for table in tables),
    )


def take_tables_back(version: str, *tables: str) -> str:
    """Put tables from the stash, if there are any, in the place of the new, empty tables of the same names.

    It comes after the CREATE statements. Those stay plain, and fail when a table of that name is in the way.
    """
    stash = schema(version)
    moves = "\n".join(
        f"    EXECUTE 'ALTER TABLE {stash}.{table} SET SCHEMA ' || quote_ident(current_schema());" for table in tables
    )
    return f"""\
DO $$
BEGIN
  IF to_regclass('{stash}.{tables[0]}') IS NOT NULL THEN
    DROP TABLE {", ".join(reversed(tables))};
{moves}
  END IF;
  IF to_regnamespace('{stash}') IS NOT NULL THEN
    DROP SCHEMA {stash};
  END IF;
END
$$"""


def put_values_aside(version: str, table: str, columns: str, *, where: str, comment: str) -> tuple[str, ...]:
    """Copy `columns` (the key among them) of the rows that match into the stash, under the name of the table.

    Locks the table against everybody first, and until the end of the migration: a row written after the copy
    would be lost, and asking for a weaker lock now and a stronger one later is how deadlocks are made.
    """
    stash = schema(version)
    return (
        f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE",
        *_create(version, Direction.ROLLBACK),
        f"CREATE TABLE {stash}.{table} AS SELECT {columns} FROM {table} WHERE {where}",
        f"COMMENT ON TABLE {stash}.{table} IS '{_quoted(comment)}'",
    )


def take_values_back(version: str, table: str, assignments: str, *, where: str = "") -> str:
    """Write values from the stash, if there is one, into the rows that still exist, and drop the stash.

    `assignments` and `where` call a stashed row `stashed` and the row of the table `present`. A stashed value
    for which `where` is not true is dropped: what the application wrote in between wins.
    """
    stash = schema(version)
    condition = f"\n      AND {where}" if where else ""
    return f"""\
DO $$
BEGIN
  IF to_regclass('{stash}.{table}') IS NOT NULL THEN
    UPDATE {table} AS present SET {assignments}
    FROM {stash}.{table} AS stashed
    WHERE present.id = stashed.id{condition};
    DROP TABLE {stash}.{table};
  END IF;
  IF to_regnamespace('{stash}') IS NOT NULL THEN
    DROP SCHEMA {stash};
  END IF;
END
$$"""


def create_quoted(version: str, during: Direction) -> tuple[str, str]:
    """Create the schema of a migration whose id may have any characters: see `_create`."""
    name = '"' + schema(version).lower().replace('"', '""') + '"'
    return _create(version, during, name)


def _create(version: str, during: Direction, name: str = "") -> tuple[str, str]:
    """Create the schema, with a comment for people who find it. `dataops stash prune` reads its age there."""
    back = "Applying" if during is Direction.ROLLBACK else "Rolling back"
    name = name or schema(version)
    return (
        f"CREATE SCHEMA {name}",
        f"""\
DO $$
BEGIN
  EXECUTE 'COMMENT ON SCHEMA {_quoted(name)} IS ' || quote_literal(
    'Put aside by the {during.value} of {version} at '
    || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
    || '. {back} {version} {"again " if during is Direction.ROLLBACK else ""}takes it back.'
  );
END
$$""",
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
