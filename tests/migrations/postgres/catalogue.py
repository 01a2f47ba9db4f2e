"""What a PostgreSQL database is made of, by name, as plain values that can be compared.

Left out: what belongs to an extension, system schemas, stashes, and the tables of Alembic and of dataops. Columns
are named, not numbered: their order differs between databases with different pasts. So are NOT NULL constraints
left out (contype n), which only PostgreSQL 18 lists.
"""

from __future__ import annotations

from typing import Any

from tests.migrations.postgres.chain import Db

Catalogue = dict[str, Any]

OURS = """
    n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
    AND n.nspname NOT LIKE 'dataops\\_stash\\_%' AND n.nspname NOT LIKE 'pg\\_temp%'
"""
NOT_OF_AN_EXTENSION = """
    NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid} AND d.deptype = 'e'
    )
"""
NOT_BOOKKEEPING = "c.relname <> 'alembic_version' AND c.relname NOT LIKE 'dataops\\_%'"


def read(db: Db) -> Catalogue:
    """Everything, function bodies, comments and grants too."""
    return {
        "extensions": [row[0] for row in _ask(db, "SELECT extname FROM pg_extension ORDER BY 1")],
        "tables": _tables(db),
        "types": _types(db),
        "functions": _functions(db),
        "others": _others(db),
    }


def facts(catalogue: Catalogue) -> Catalogue:
    """What the facts speak of: without bodies and grants, and of a function's comment only that there is one."""
    return {
        "extensions": catalogue["extensions"],
        "tables": {
            name: {part: table[part] for part in ("columns", "constraints", "indexes")}
            for name, table in catalogue["tables"].items()
        },
        "types": catalogue["types"],
        "functions": {
            name: (*function["facts"], function["comment"] is not None)
            for name, function in catalogue["functions"].items()
        },
        "others": catalogue["others"],
    }


def rows(db: Db) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, by column name, sorted."""
    return {
        name: sorted(
            (row[0] for row in _ask(db, f'SELECT to_jsonb(t) FROM "{name}" AS t')),
            key=lambda row: sorted(map(repr, row.items())),
        )
        for name in _tables(db)
    }


def stashes(db: Db) -> list[str]:
    """The stash schemas that exist."""
    query = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'dataops\\_stash\\_%' ORDER BY 1"
    return [row[0] for row in _ask(db, query)]


def _ask(db: Db, query: str) -> list[tuple[Any, ...]]:
    return db.execute(query.encode()).fetchall()


def _tables(db: Db) -> dict[str, Any]:
    tables: dict[str, Any] = {
        name: {"columns": {}, "constraints": {}, "indexes": {}, "comment": comment, "grants": grants}
        for name, comment, grants in _ask(
            db,
            f"""
            SELECT c.relname, obj_description(c.oid, 'pg_class'), c.relacl::text
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind = 'r' AND {OURS} AND {NOT_BOOKKEEPING} ORDER BY 1
        """,
        )
    }
    for table, column, type_, nullability, default, comment in _ask(
        db,
        f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
               CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'null' END,
               pg_get_expr(x.adbin, x.adrelid), col_description(c.oid, a.attnum)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum
        WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND {OURS} AND {NOT_BOOKKEEPING}
    """,
    ):
        tables[table]["columns"][column] = (type_, nullability, default or "", comment or "")
    for table, constraint, definition in _ask(
        db,
        f"""
        SELECT c.relname, k.conname, pg_get_constraintdef(k.oid)
        FROM pg_constraint k
        JOIN pg_class c ON c.oid = k.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE k.contype <> 'n' AND {OURS} AND {NOT_BOOKKEEPING}
    """,
    ):
        tables[table]["constraints"][constraint] = definition
    for table, index, unique, columns, predicate in _ask(
        db,
        f"""
        SELECT c.relname, i.relname,
               CASE WHEN x.indisprimary THEN 'primary' WHEN x.indisunique THEN 'unique' ELSE 'plain' END,
               (
                   SELECT string_agg(pg_get_indexdef(x.indexrelid, k, true), ', ' ORDER BY k)
                   FROM generate_series(1, x.indnkeyatts) AS k
               ),
               pg_get_expr(x.indpred, x.indrelid)
        FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_am m ON m.oid = i.relam AND m.amname = 'btree'
        JOIN pg_class c ON c.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND x.indisvalid AND {OURS} AND {NOT_BOOKKEEPING}
    """,
    ):
        tables[table]["indexes"][index] = (unique, columns, predicate or "")
    return tables


def _types(db: Db) -> dict[str, Any]:
    """Composite types that belong to no table, with their attributes in order."""
    return {
        name: [tuple(attribute) for attribute in attributes]
        for name, attributes in _ask(
            db,
            f"""
            SELECT c.relname,
                   jsonb_agg(jsonb_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum)
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relkind = 'c' AND {OURS}
            GROUP BY c.relname
        """,
        )
    }


def _functions(db: Db) -> dict[str, Any]:
    return {
        name: {"facts": tuple(signature), "body": body, "comment": comment, "grants": grants}
        for name, *signature, body, comment, grants in _ask(
            db,
            f"""
            SELECT p.proname,
                   pg_get_function_arguments(p.oid), pg_get_function_result(p.oid), l.lanname,
                   CASE p.provolatile WHEN 'i' THEN 'IMMUTABLE' WHEN 's' THEN 'STABLE' ELSE 'VOLATILE' END,
                   p.proisstrict, p.proretset, p.proparallel::text, p.prosecdef, p.procost, p.prorows, p.proconfig,
                   p.prosrc, obj_description(p.oid, 'pg_proc'), p.proacl::text
            FROM pg_proc p
            JOIN pg_namespace n ON n.oid = p.pronamespace
            JOIN pg_language l ON l.oid = p.prolang
            WHERE {OURS} AND {NOT_OF_AN_EXTENSION.format(catalog="pg_proc", oid="p.oid")}
            ORDER BY p.proname
        """,
        )
    }


def _others(db: Db) -> list[tuple[str, str]]:
    """Whatever else there may be: none of the histories makes any."""
    return [
        (kind, name)
        for kind, name in _ask(
            db,
            f"""
            SELECT 'relation ' || c.relkind::text, c.relname
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind NOT IN ('r', 'i', 'c', 't') AND {OURS} AND {NOT_BOOKKEEPING}
            UNION ALL
            SELECT 'trigger', t.tgname
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE NOT t.tgisinternal AND {OURS}
            UNION ALL
            SELECT 'rule', r.rulename
            FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE {OURS}
            UNION ALL
            SELECT 'type ' || t.typtype::text, t.typname
            FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
            WHERE t.typtype IN ('e', 'd', 'r') AND {OURS}
            UNION ALL
            SELECT 'schema', n.nspname FROM pg_namespace n WHERE n.nspname <> 'public' AND {OURS}
            ORDER BY 1, 2
        """,
        )
    ]
