"""Objects that few databases have: languages, operators, casts, text search, publications, event triggers.

As `pieces`, with the SQL that makes each of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from dataops.backends.postgres.catalogue import SCHEMAS, no_extension
from dataops.backends.postgres.schema.pieces import (
    EVENT,
    LANGUAGE,
    OPERATOR,
    PUBLICATION,
    QUALIFIED,
    RELATION,
    SEARCH,
    Cursor,
    Piece,
    pieces,
)

_FIRST_OID = 16384  # the server's own objects have smaller ones


def _qualified(namespace: str) -> str:
    """What stands before a name of another schema than ours and the server's."""
    return (
        f"coalesce((SELECT quote_ident(q.nspname) || '.' FROM pg_namespace q WHERE q.oid = {namespace}"
        " AND q.nspname NOT IN ('pg_catalog', current_schema())), '')"
    )


def _function(oid: str) -> str:
    """The name of a function, NULL where there is none. The server's ::regproc has a schema for an overloaded one."""
    return f"(SELECT {_qualified('z.pronamespace')} || quote_ident(z.proname) FROM pg_proc z WHERE z.oid = {oid}::oid)"


def _other_operator(word: str, oid: str) -> str:
    """A clause that names another operator, whose arguments are those of this one."""
    return f"""'{word} = ' || (SELECT CASE {_qualified("z.oprnamespace")} WHEN '' THEN z.oprname
                    ELSE 'OPERATOR(' || {_qualified("z.oprnamespace")} || z.oprname || ')' END
                  FROM pg_operator z WHERE z.oid = {oid})"""


OPERATOR_NAME = (
    f"{QUALIFIED} || o.oprname || ' (' || coalesce(format_type(nullif(o.oprleft, 0), NULL), 'NONE')"
    " || ', ' || format_type(o.oprright, NULL) || ')'"
)
CAST_NAME = "'(' || format_type(k.castsource, NULL) || ' AS ' || format_type(k.casttarget, NULL) || ')'"
FAMILY_NAME = f"{QUALIFIED} || quote_ident(f.opfname) || ' USING ' || quote_ident(m.amname)"
CLASS_NAME = f"{QUALIFIED} || quote_ident(q.opcname) || ' USING ' || quote_ident(m.amname)"


def _members(catalog: str, oid: str) -> str:
    """What a class or a family of operators has, as CREATE OPERATOR CLASS writes it; NULL where it has nothing."""
    of = f"""SELECT FROM pg_depend d WHERE d.classid = '{{}}'::regclass AND d.objid = e.oid
                        AND d.refclassid = '{catalog}'::regclass AND d.refobjid = {oid}"""
    return f"""
        (SELECT string_agg(e.text, ', ' ORDER BY e.rank, e.number, e.text) FROM (
             SELECT 1, e.amopstrategy, 'OPERATOR ' || e.amopstrategy || ' ' || e.amopopr::regoperator
                    || coalesce(' FOR ORDER BY ' || (SELECT {_qualified("s.opfnamespace")} || quote_ident(s.opfname)
                                                       FROM pg_opfamily s WHERE s.oid = e.amopsortfamily), '')
               FROM pg_amop e WHERE EXISTS ({of.format("pg_amop")})
             UNION ALL
             SELECT 2, e.amprocnum, 'FUNCTION ' || e.amprocnum || ' (' || format_type(e.amproclefttype, NULL) || ', '
                    || format_type(e.amprocrighttype, NULL) || ') ' || e.amproc::regprocedure
               FROM pg_amproc e WHERE EXISTS ({of.format("pg_amproc")})) AS e (rank, number, text))"""


_ENABLED = "CASE {} WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS' END"
_QUERIES = {
    (LANGUAGE, "pg_language"): f"""
        SELECT l.lanname, 'CREATE ' || CASE WHEN l.lanpltrusted THEN 'TRUSTED ' ELSE '' END || 'LANGUAGE '
               || quote_ident(l.lanname) || ' HANDLER ' || {_function("l.lanplcallfoid")}
               || coalesce(' INLINE ' || {_function("l.laninline")}, '')
               || coalesce(' VALIDATOR ' || {_function("l.lanvalidator")}, ''), l.oid
          FROM pg_language l WHERE l.lanispl AND {no_extension("pg_language", "l.oid")}
    """,
    (LANGUAGE, "pg_am"): f"""
        SELECT m.amname, 'CREATE ACCESS METHOD ' || quote_ident(m.amname) || ' TYPE '
               || CASE m.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END || ' HANDLER '
               || {_function("m.amhandler")}, m.oid
          FROM pg_am m WHERE m.oid >= {_FIRST_OID} AND {no_extension("pg_am", "m.oid")}
    """,
    # One that names a commutator that is not there yet leaves a mark for it, which its own statement fills.
    (OPERATOR, "pg_operator"): f"""
        SELECT {OPERATOR_NAME}, 'CREATE OPERATOR ' || {QUALIFIED} || o.oprname || ' ('
               || concat_ws(', ', 'FUNCTION = ' || {_function("o.oprcode")},
                      'LEFTARG = ' || format_type(nullif(o.oprleft, 0), NULL),
                      'RIGHTARG = ' || format_type(o.oprright, NULL),
                      {_other_operator("COMMUTATOR", "o.oprcom")}, {_other_operator("NEGATOR", "o.oprnegate")},
                      'RESTRICT = ' || {_function("o.oprrest")},
                      'JOIN = ' || {_function("o.oprjoin")},
                      CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END) || ')',
               o.oid
          FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
         WHERE o.oprcode <> 0 AND {SCHEMAS} AND {no_extension("pg_operator", "o.oid")}
    """,
    (OPERATOR, "pg_opfamily"): f"""
        SELECT {FAMILY_NAME}, array_remove(ARRAY['CREATE OPERATOR FAMILY ' || {FAMILY_NAME},
                   'ALTER OPERATOR FAMILY ' || {FAMILY_NAME} || ' ADD ' || {_members("pg_opfamily", "f.oid")}], NULL),
               f.oid
          FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace JOIN pg_am m ON m.oid = f.opfmethod
         WHERE {SCHEMAS} AND {no_extension("pg_opfamily", "f.oid")}
    """,
    (OPERATOR, "pg_opclass"): f"""
        SELECT {CLASS_NAME}, 'CREATE OPERATOR CLASS ' || {QUALIFIED} || quote_ident(q.opcname)
               || CASE WHEN q.opcdefault THEN ' DEFAULT' ELSE '' END || ' FOR TYPE ' || format_type(q.opcintype, NULL)
               || ' USING ' || quote_ident(m.amname) || ' FAMILY '
               || (SELECT {_qualified("f.opfnamespace")} || quote_ident(f.opfname) FROM pg_opfamily f
                    WHERE f.oid = q.opcfamily)
               || ' AS ' || coalesce(concat_ws(', ', {_members("pg_opclass", "q.oid")},
                                         'STORAGE ' || format_type(nullif(q.opckeytype, 0), NULL)),
                                     'STORAGE ' || format_type(q.opcintype, NULL)), q.oid
          FROM pg_opclass q JOIN pg_namespace n ON n.oid = q.opcnamespace JOIN pg_am m ON m.oid = q.opcmethod
         WHERE {SCHEMAS} AND {no_extension("pg_opclass", "q.oid")}
    """,
    (OPERATOR, "pg_cast"): f"""
        SELECT {CAST_NAME}, 'CREATE CAST ' || {CAST_NAME}
               || CASE k.castmethod WHEN 'f' THEN ' WITH FUNCTION ' || k.castfunc::regprocedure
                                    WHEN 'i' THEN ' WITH INOUT' ELSE ' WITHOUT FUNCTION' END
               || CASE k.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END, k.oid
          FROM pg_cast k WHERE k.oid >= {_FIRST_OID} AND {no_extension("pg_cast", "k.oid")}
    """,
    (OPERATOR, "pg_conversion"): f"""
        SELECT {QUALIFIED} || quote_ident(v.conname), 'CREATE ' || CASE WHEN v.condefault THEN 'DEFAULT ' ELSE '' END
               || 'CONVERSION ' || {QUALIFIED} || quote_ident(v.conname)
               || ' FOR ' || quote_literal(pg_encoding_to_char(v.conforencoding))
               || ' TO ' || quote_literal(pg_encoding_to_char(v.contoencoding))
               || ' FROM ' || {_function("v.conproc")}, v.oid
          FROM pg_conversion v JOIN pg_namespace n ON n.oid = v.connamespace
         WHERE {SCHEMAS} AND {no_extension("pg_conversion", "v.oid")}
    """,
    (SEARCH, "pg_ts_parser"): f"""
        SELECT {QUALIFIED} || quote_ident(g.prsname),
               'CREATE TEXT SEARCH PARSER ' || {QUALIFIED} || quote_ident(g.prsname) || ' ('
               || concat_ws(', ', 'START = ' || {_function("g.prsstart")}, 'GETTOKEN = ' || {_function("g.prstoken")},
                      'END = ' || {_function("g.prsend")}, 'HEADLINE = ' || {_function("g.prsheadline")},
                      'LEXTYPES = ' || {_function("g.prslextype")}) || ')', g.oid
          FROM pg_ts_parser g JOIN pg_namespace n ON n.oid = g.prsnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_ts_parser", "g.oid")}
    """,
    (SEARCH, "pg_ts_template"): f"""
        SELECT {QUALIFIED} || quote_ident(g.tmplname),
               'CREATE TEXT SEARCH TEMPLATE ' || {QUALIFIED} || quote_ident(g.tmplname) || ' ('
               || concat_ws(', ', 'INIT = ' || {_function("g.tmplinit")},
                      'LEXIZE = ' || {_function("g.tmpllexize")}) || ')',
               g.oid
          FROM pg_ts_template g JOIN pg_namespace n ON n.oid = g.tmplnamespace
         WHERE {SCHEMAS} AND {no_extension("pg_ts_template", "g.oid")}
    """,
    (SEARCH, "pg_ts_dict"): f"""
        SELECT {QUALIFIED} || quote_ident(g.dictname),
               'CREATE TEXT SEARCH DICTIONARY ' || {QUALIFIED} || quote_ident(g.dictname) || ' ('
               || concat_ws(', ', 'TEMPLATE = ' || {_qualified("t.tmplnamespace")} || quote_ident(t.tmplname),
                            g.dictinitoption) || ')', g.oid
          FROM pg_ts_dict g JOIN pg_namespace n ON n.oid = g.dictnamespace
          JOIN pg_ts_template t ON t.oid = g.dicttemplate
         WHERE {SCHEMAS} AND {no_extension("pg_ts_dict", "g.oid")}
    """,
    (SEARCH, "pg_ts_config"): f"""
        SELECT {QUALIFIED} || quote_ident(g.cfgname),
               ARRAY['CREATE TEXT SEARCH CONFIGURATION ' || {QUALIFIED} || quote_ident(g.cfgname) || ' (PARSER = '
                     || {_qualified("p.prsnamespace")} || quote_ident(p.prsname) || ')']
               || ARRAY(SELECT 'ALTER TEXT SEARCH CONFIGURATION ' || {QUALIFIED} || quote_ident(g.cfgname)
                               || ' ADD MAPPING FOR ' || string_agg(quote_ident(k.alias), ', ' ORDER BY k.alias)
                               || ' WITH ' || m.dictionaries
                          FROM (SELECT m.maptokentype, string_agg(m.mapdict::regdictionary::text, ', '
                                                                  ORDER BY m.mapseqno) AS dictionaries
                                  FROM pg_ts_config_map m WHERE m.mapcfg = g.oid GROUP BY m.maptokentype) m
                          JOIN ts_token_type(g.cfgparser) k ON k.tokid = m.maptokentype
                         GROUP BY m.dictionaries ORDER BY m.dictionaries), g.oid
          FROM pg_ts_config g JOIN pg_namespace n ON n.oid = g.cfgnamespace JOIN pg_ts_parser p ON p.oid = g.cfgparser
         WHERE {SCHEMAS} AND {no_extension("pg_ts_config", "g.oid")}
    """,
    # After everything else, so that it does not see how the rest is made.
    (EVENT, "pg_event_trigger"): f"""
        SELECT t.evtname, array_remove(ARRAY[
                   'CREATE EVENT TRIGGER ' || quote_ident(t.evtname) || ' ON ' || t.evtevent
                   || coalesce(' WHEN TAG IN (' || (SELECT string_agg(quote_literal(g), ', ' ORDER BY g)
                                                      FROM unnest(t.evttags) g) || ')', '')
                   || ' EXECUTE FUNCTION ' || {_function("t.evtfoid")} || '()',
                   'ALTER EVENT TRIGGER ' || quote_ident(t.evtname) || ' ' || {_ENABLED.format("t.evtenabled")}], NULL),
               t.oid
          FROM pg_event_trigger t WHERE {no_extension("pg_event_trigger", "t.oid")}
    """,
}


def _publications(version: int) -> str:
    parts = schemas = "''"
    if version >= 150000:
        parts = """coalesce(' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attname)
                                       FROM pg_attribute a WHERE a.attrelid = r.prrelid
                                        AND a.attnum = ANY (r.prattrs)) || ')', '')
                   || coalesce(' WHERE (' || pg_get_expr(r.prqual, r.prrelid) || ')', '')"""
        schemas = """(SELECT 'TABLES IN SCHEMA ' || string_agg(quote_ident(s.nspname), ', ' ORDER BY s.nspname)
                        FROM pg_publication_namespace p JOIN pg_namespace s ON s.oid = p.pnnspid
                       WHERE p.pnpubid = b.oid)"""
    return f"""
        SELECT b.pubname, 'CREATE PUBLICATION ' || quote_ident(b.pubname)
               || coalesce(' FOR ' || nullif(concat_ws(', ', CASE WHEN b.puballtables THEN 'ALL TABLES' END,
                      (SELECT 'TABLE ' || string_agg(
                                  CASE WHEN c.relkind = 'r' AND c.relhassubclass THEN 'ONLY ' ELSE '' END || {RELATION}
                                  || {parts}, ', ' ORDER BY {RELATION})
                         FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.prpubid = b.oid),
                      nullif({schemas}, '')), ''), '')
               || coalesce(' WITH (' || nullif(concat_ws(', ',
                      CASE WHEN NOT (b.pubinsert AND b.pubupdate AND b.pubdelete AND b.pubtruncate)
                           THEN 'publish = ' || quote_literal(concat_ws(', ',
                                    CASE WHEN b.pubinsert THEN 'insert' END, CASE WHEN b.pubupdate THEN 'update' END,
                                    CASE WHEN b.pubdelete THEN 'delete' END,
                                    CASE WHEN b.pubtruncate THEN 'truncate' END)) END,
                      CASE WHEN b.pubviaroot THEN 'publish_via_partition_root = true' END,
                      CASE to_jsonb(b) ->> 'pubgencols' WHEN 's' THEN 'publish_generated_columns = stored' END), '')
                  || ')', ''), b.oid
          FROM pg_publication b WHERE {no_extension("pg_publication", "b.oid")}
    """


def read(cursor: Cursor) -> Iterator[Piece]:
    """Every object of these kinds."""
    version = cursor.connection.info.server_version
    for (rank, catalog), query in {**_QUERIES, (PUBLICATION, "pg_publication"): _publications(version)}.items():
        yield from pieces(cursor, query, rank, catalog, after=False)


__all__ = ["CAST_NAME", "CLASS_NAME", "FAMILY_NAME", "OPERATOR_NAME", "read"]
