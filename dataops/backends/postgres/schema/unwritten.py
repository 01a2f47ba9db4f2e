"""What is in a database and is not written: kinds of objects that are rare, and what belongs to the whole server."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.backends.postgres.catalogue import LEFT_OUT, SCHEMAS, TABLES, no_extension
from dataops.backends.postgres.schema.pieces import QUALIFIED, RELATION, Cursor

_CATALOGS = ("pg_foreign_data_wrapper", "pg_foreign_server", "pg_transform")
_FIRST_OID = 16384
"""The server's own objects have smaller ones."""
_EACH = """
SELECT i.type || coalesce(' ' || i.identity, '') FROM {catalog} t
 CROSS JOIN LATERAL pg_identify_object('{catalog}'::regclass, t.oid, 0) i
 WHERE t.oid >= {first} AND {no_extension}
"""
_RELATIONS = f"""
SELECT w.what || {RELATION}
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (VALUES
       ('foreign table ', c.relkind = 'f'),
       ('table of a type: ', c.reloftype <> 0),
       ('tablespace of ', c.reltablespace <> 0),
       ('partition that is being detached: ', EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid
                                                         AND i.inhdetachpending))
       ) AS w (what, is_so)
 WHERE w.is_so AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {TABLES} AND {no_extension("pg_class", "c.oid")}
"""
_SWITCHED_OFF = f"""
SELECT DISTINCT 'disabled triggers of constraint ' || k.conname || ' on ' || {RELATION}
  FROM pg_trigger g JOIN pg_constraint k ON k.oid = g.tgconstraint
  JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE g.tgisinternal AND g.tgenabled <> 'O' AND {TABLES}
"""
_OWNED = f"""
SELECT 'owner of ' || {RELATION} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE pg_get_userbyid(c.relowner) <> current_user
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {TABLES} AND {no_extension("pg_class", "c.oid")}
"""
_RIGHTS = "\nUNION ALL ".join(
    _EACH.format(catalog=catalog, first=_FIRST_OID, no_extension=no_extension(catalog, "t.oid"))
    for catalog in ("pg_default_acl", "pg_user_mapping")
)
_OWNERS = f"""
SELECT 'owner of function ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE pg_get_userbyid(p.proowner) <> current_user AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
UNION ALL
SELECT 'owner of schema ' || n.nspname FROM pg_namespace n
 WHERE pg_get_userbyid(n.nspowner) <> current_user AND n.nspname NOT IN ('public', current_schema()) AND {SCHEMAS}
   AND {no_extension("pg_namespace", "n.oid")}
"""
_SETTINGS = """
SELECT 'setting of the database' || coalesce(' for ' || pg_get_userbyid(nullif(r.setrole, 0)), '') || ': '
       || split_part(s, '=', 1)
  FROM pg_db_role_setting r CROSS JOIN unnest(r.setconfig) s
 WHERE r.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL SELECT 'subscription ' || b.subname FROM pg_subscription b
 WHERE b.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_LARGE_OBJECTS = "SELECT 'large object ' || oid FROM pg_largeobject_metadata"
_OTHERS = f"""
SELECT 'base type ' || {QUALIFIED} || quote_ident(t.typname)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
   AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
UNION ALL
SELECT 'security label of ' || b.objname || ' by ' || b.provider FROM pg_seclabels b
 WHERE b.objtype NOT IN ('role', 'database', 'tablespace', 'large object', 'subscription')
"""


_ROLES = f"""
SELECT DISTINCT r.rolname::text FROM pg_roles r
 WHERE r.rolname <> current_user AND NOT starts_with(r.rolname, 'pg_') AND (
       EXISTS (SELECT FROM pg_policy p WHERE r.oid = ANY (p.polroles))
    OR EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN aclexplode(c.relacl) a WHERE a.grantee = r.oid AND {TABLES})
    OR EXISTS (SELECT FROM pg_attribute t CROSS JOIN aclexplode(t.attacl) a WHERE a.grantee = r.oid)
    OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                CROSS JOIN aclexplode(p.proacl) a WHERE a.grantee = r.oid AND {SCHEMAS})
    OR EXISTS (SELECT FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a WHERE a.grantee = r.oid AND {SCHEMAS}))
 ORDER BY 1
"""


def roles(cursor: Cursor) -> tuple[str, ...]:
    """The roles that rights and policies name: they belong to the server, and are not written."""
    return tuple(str(row[0]) for row in cursor.execute(_ROLES.encode(), LEFT_OUT).fetchall())


def _by_itself(catalog: str) -> str:
    """SQL for "of no extension", and not made by the server for another object, such as the cast of a range type."""
    return no_extension(catalog, "t.oid").replace("'e')", "'e', 'i')")


def read(cursor: Cursor, *, rights: bool, settings: bool = True) -> Iterator[str]:
    """What is not written, in words; with `rights` also owners and rights, with `settings` what sessions begin with."""
    each = (_EACH.format(catalog=catalog, first=_FIRST_OID, no_extension=_by_itself(catalog)) for catalog in _CATALOGS)
    others = (_OWNED, _OWNERS, _RIGHTS, _LARGE_OBJECTS) if rights else ()
    for query in (*each, _RELATIONS, _SWITCHED_OFF, _OTHERS, *((_SETTINGS,) if settings else ()), *others):
        yield from sorted(str(row[0]) for row in cursor.execute(query.encode(), LEFT_OUT).fetchall())


__all__ = ["read", "roles"]
