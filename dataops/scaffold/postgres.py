"""The templates of PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from dataops.scaffold.part import Part, Place

_BACKFILL = "\nfrom dataops.backfill import backfill"
_BOTH = "\nfrom dataops.backfill import backfill, restore"
_BACKGROUND = "background = True  # a deployment does not wait for it: dataops apply --background"


def backfill(place: Place) -> Sequence[Part]:
    """One file that fills a column."""
    value = place.value or "NULL"
    todo = "" if place.value else "  # write the value: SQL over the columns of the table"
    return [
        Part(
            "",
            f"Fills {place.column} of {place.table} in batches, beside the application. What it has filled stays "
            f"filled on "
            "the way back: whoever added the column takes it away.",
            f'backfill(op, "{place.table}", where="{place.column} IS NULL", set={{"{place.column}": {value!r}}}){todo}',
            "pass",
            _BACKFILL,
            f"{_BACKGROUND}\nreversible = True",
        )
    ]


def expand(place: Place) -> Sequence[Part]:
    """One file that adds a column which may be NULL: only the catalogue changes."""
    type_ = place.type or "text"
    return [
        Part(
            "",
            f"Adds {place.column} to {place.table}. It may be NULL, so that the application that runs now goes on, "
            f"and only the "
            "catalogue changes, whatever the size.",
            f'op.execute("ALTER TABLE {place.table} ADD COLUMN {place.column} {type_}")',
            f'op.execute("ALTER TABLE {place.table} DROP COLUMN {place.column}")',
        )
    ]


def contract(place: Place) -> Sequence[Part]:
    """The files that take a column away, with its values put aside; or, after a rename, the old name."""
    return _old_name(place) if place.to else _away(place)


_NOT_NULL = " NOT NULL"


def _away(place: Place) -> Sequence[Part]:
    wanted = place.type or "text"
    type_ = wanted[: -len(_NOT_NULL)] if wanted.upper().endswith(_NOT_NULL) else wanted
    nullable = Part(
        "may be NULL",
        f"Lets {place.column} of {place.table} be NULL. Apply this when no application needs it any more. On the way "
        f"back "
        "every row has to have it again.",
        "# dataops: ignore[squawk/ban-drop-not-null] no application needs it any more\n"
        f'op.execute("ALTER TABLE {place.table} ALTER COLUMN {place.column} DROP NOT NULL")',
        f'op.execute("ALTER TABLE {place.table} ALTER COLUMN {place.column} SET NOT NULL")',
    )
    return [
        *([nullable] if type_ != wanted else []),
        Part(
            "put aside",
            f"Puts the values of {place.column} aside in batches, so that the column can be dropped without loss.",
            f'backfill(\n    op,\n    "{place.table}",\n    where="{place.column} IS NOT NULL",\n'
            f'    set={{"{place.column}": "NULL"}},\n    keep=["{place.column}"],\n)',
            f'restore(op, "{place.table}")',
            _BOTH,
            _BACKGROUND,
        ),
        Part(
            "gone",
            f"Drops {place.column} of {place.table}, which is empty by now. On the way back it comes again, and the "
            f"file before gives "
            "it its values.",
            "# dataops: ignore[squawk/ban-drop-column] its values are put aside, and no application needs it any "
            "more\n"
            f'op.execute("ALTER TABLE {place.table} DROP COLUMN {place.column}")',
            f'op.execute("ALTER TABLE {place.table} ADD COLUMN {place.column} {type_}")',
        ),
    ]


def _old_name(place: Place) -> Sequence[Part]:
    table, old, new = place.table, place.column, place.to
    type_ = place.type or "text"
    return [
        Part(
            "the same",
            f"Makes sure that {new} of {table} has what {old} has, before {old} goes. Apply this when no application "
            f"uses {old} any "
            "more. On the way back it fills the old column, which is there again by then.",
            f'backfill(op, "{table}", where="{new} IS DISTINCT FROM {old}", set={{"{new}": "{old}"}})',
            f'backfill(op, "{table}", where="{old} IS DISTINCT FROM {new}", set={{"{old}": "{new}"}})',
            _BACKFILL,
            _BACKGROUND,
        ),
        Part(
            "the old name is gone",
            f"Drops {old} of {table}, and the trigger that has kept it the same as {new}.",
            f'op.execute("DROP TRIGGER {place.name}_same ON {table}")\n'
            "# dataops: ignore[squawk/ban-drop-function] only the trigger has used it\n"
            f'op.execute("DROP FUNCTION {place.name}_same()")\n'
            f"# dataops: ignore[squawk/ban-drop-column] {new} has its values\n"
            f'op.execute("ALTER TABLE {table} DROP COLUMN {old}")',
            f'op.execute("ALTER TABLE {table} ADD COLUMN {old} {type_}")\n{_trigger(place)}',
        ),
    ]


def rename(place: Place) -> Sequence[Part]:
    """The files that give a column a second name, which a trigger keeps the same whichever release writes."""
    table, old, new = place.table, place.column, place.to
    type_ = place.type or "text"
    return [
        Part(
            "both names",
            f"Adds {new} to {table}, the new name of {old}. A trigger keeps the two the same, so that the "
            f"application of "
            "before and the one of after may write side by side. When no application uses the old name any more: "
            f"dataops new --template contract --on {table}.{old} --to {new}",
            f'op.execute("ALTER TABLE {table} ADD COLUMN {new} {type_}")\n{_trigger(place)}',
            f'op.execute("DROP TRIGGER {place.name}_same ON {table}")\n'
            f'op.execute("DROP FUNCTION {place.name}_same()")\n'
            f'op.execute("ALTER TABLE {table} DROP COLUMN {new}")',
        ),
        Part(
            "filled",
            f"Gives {new} of {table} the values of {old}, in batches, beside the application.",
            f'backfill(op, "{table}", where="{new} IS DISTINCT FROM {old}", set={{"{new}": "{old}"}})',
            "pass",
            _BACKFILL,
            f"{_BACKGROUND}\nreversible = True  # the column goes with the file before",
        ),
    ]


def _trigger(place: Place) -> str:
    table, old, new, name = place.table, place.column, place.to, f"{place.name}_same"
    return f'''op.execute(
    """
    CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'INSERT' THEN
        NEW.{new} := coalesce(NEW.{new}, NEW.{old});
        NEW.{old} := coalesce(NEW.{old}, NEW.{new});
      ELSIF NEW.{new} IS DISTINCT FROM OLD.{new} THEN
        NEW.{old} := NEW.{new};
      ELSE
        NEW.{new} := NEW.{old};
      END IF;
      RETURN NEW;
    END
    $$
    """
)
op.execute(
    """
    CREATE TRIGGER {name} BEFORE INSERT OR UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {name}()
    """
)'''


def index(place: Place) -> Sequence[Part]:
    """One file that builds an index while the application writes."""
    name = f"{place.name}_idx"
    schema, dot, _ = place.table.rpartition(".")
    full = f"{schema}{dot}{name}"
    return [
        Part(
            "",
            f"Builds an index on {place.column} of {place.table} while the application writes. That cannot be in a "
            f"transaction: "
            "where a run was stopped, the next one first drops what it has left.",
            "with op.get_context().autocommit_block():\n"
            f'    op.execute("DROP INDEX CONCURRENTLY IF EXISTS {full}")\n'
            f'    op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {place.table} ({place.column})")',
            f'with op.get_context().autocommit_block():\n    op.execute("DROP INDEX CONCURRENTLY IF EXISTS {full}")',
            above="repeatable = True",
        )
    ]


def not_null(place: Place) -> Sequence[Part]:
    """The files that end in NOT NULL, without a lock that is held while the table is read."""
    table, column, check = place.table, place.column, f"{place.name}_not_null"
    constraint = f"ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({column} IS NOT NULL) NOT VALID"
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {check}"
    (fill,) = backfill(place)
    return [
        Part(
            "none from now on",
            f"Lets no new row of {table} be without {column}. Rows that are there are not looked at yet.",
            f'op.execute("{constraint}")',
            f'op.execute("{drop}")',
        ),
        Part("filled", fill.about, fill.up, fill.down, fill.imports, fill.above),
        Part(
            "looked at",
            f"Looks whether all rows of {table} have {column}, while the application reads and writes.",
            f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT {check}")',
            f'op.execute("{drop}")\nop.execute("{constraint}")',
        ),
        Part(
            "NOT NULL",
            f"Says NOT NULL of {column} of {table}. The constraint has said so, and nothing is read.",
            "# dataops: ignore[squawk/adding-not-nullable-field] the constraint says so, and nothing is read\n"
            f'op.execute("ALTER TABLE {table} ALTER COLUMN {column} SET NOT NULL")\n'
            "# dataops: ignore[squawk/ban-drop-constraint] NOT NULL is the same guarantee\n"
            f'op.execute("{drop}")',
            f'op.execute("{constraint}")\n'
            f'op.execute("ALTER TABLE {table} ALTER COLUMN {column} DROP NOT NULL")\n'
            f'op.execute("ALTER TABLE {table} VALIDATE CONSTRAINT {check}")',
        ),
    ]


__all__ = ["backfill", "contract", "expand", "index", "not_null", "rename"]
