"""GRANT and REVOKE: how the rights on each object differ from what an object of its kind has when it is made."""

from __future__ import annotations

from collections.abc import Iterator

from dataops.backends.postgres.catalogue import SCHEMAS, TABLES, no_extension
from dataops.backends.postgres.schema.pieces import GRANT, QUALIFIED, RELATION, ROUTINE, Cursor, Piece, pieces

# For each catalog: the kind and the name of the object, the rights it has and those it is made with, its owner.
_OBJECTS = {
    "pg_class": f"""
        SELECT c.oid, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, {RELATION} AS name,
               '' AS columns, c.relacl AS acl,
               acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner) AS usual,
               c.relowner AS owner
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relacl IS NOT NULL AND {TABLES} AND {no_extension("pg_class", "c.oid")}
        UNION ALL
        SELECT c.oid, 'TABLE', {RELATION}, ' (' || quote_ident(a.attname) || ')', a.attacl,
               acldefault('c', c.relowner), c.relowner
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND {TABLES} AND {no_extension("pg_class", "c.oid")}
    """,
    "pg_proc": f"""
        SELECT p.oid, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind, {ROUTINE} AS name,
               '' AS columns, p.proacl AS acl, acldefault('f', p.proowner) AS usual, p.proowner AS owner
          FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
         WHERE p.proacl IS NOT NULL AND {SCHEMAS} AND {no_extension("pg_proc", "p.oid")}
    """,
    "pg_type": f"""
        SELECT t.oid, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END AS kind,
               {QUALIFIED} || quote_ident(t.typname) AS name, '' AS columns, t.typacl AS acl,
               acldefault('T', t.typowner) AS usual, t.typowner AS owner
          FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
         WHERE t.typacl IS NOT NULL AND {SCHEMAS} AND {no_extension("pg_type", "t.oid")}
    """,
    "pg_namespace": f"""
        SELECT n.oid, 'SCHEMA' AS kind, quote_ident(n.nspname) AS name, '' AS columns, n.nspacl AS acl,
               acldefault('n', n.nspowner) AS usual, n.nspowner AS owner
          FROM pg_namespace n
         WHERE n.nspacl IS NOT NULL AND n.nspname <> 'public' AND {SCHEMAS}
           AND {no_extension("pg_namespace", "n.oid")}
    """,
}
_CHANGES = """
SELECT o.name || o.columns || e.verb, e.verb || ' '
       || string_agg(e.privilege_type || o.columns, ', ' ORDER BY e.privilege_type) || ' ON ' || o.kind || ' ' || o.name
       || CASE e.verb WHEN 'GRANT' THEN ' TO ' ELSE ' FROM ' END
       || CASE e.grantee WHEN 0 THEN 'PUBLIC' WHEN o.owner THEN 'CURRENT_USER'
                         ELSE quote_ident(pg_get_userbyid(e.grantee)) END
       || CASE WHEN e.verb = 'GRANT' AND e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, o.oid
  FROM ({objects}) o
 CROSS JOIN LATERAL (
       (SELECT 'GRANT' AS verb, grantee, privilege_type, is_grantable FROM aclexplode(o.acl)
        EXCEPT SELECT 'GRANT', grantee, privilege_type, is_grantable FROM aclexplode(o.usual))
       UNION ALL
       (SELECT 'REVOKE', grantee, privilege_type, false FROM aclexplode(o.usual)
        EXCEPT SELECT 'REVOKE', grantee, privilege_type, false FROM aclexplode(o.acl))) e
 GROUP BY o.oid, o.kind, o.name, o.columns, o.owner, e.verb, e.grantee, e.is_grantable
"""


def read(cursor: Cursor) -> Iterator[Piece]:
    """Every right that was granted or revoked. The roles have to exist where the statements are run."""
    for catalog, objects in _OBJECTS.items():
        yield from pieces(cursor, _CHANGES.format(objects=objects), GRANT, catalog, after=True)


__all__ = ["read"]
