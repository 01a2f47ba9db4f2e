"""Statements that make, drop or change a table or another object, but ALTER TABLE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from postgast import pg_query_pb2 as tree

from dataops.backends.postgres.foresight.grammar.altering import read_column, read_constraint
from dataops.backends.postgres.foresight.grammar.parts import (
    Action,
    Name,
    Reader,
    bounds_of,
    columns_of,
    listed_name,
    name_of,
    spelled,
    statement_text,
    strings,
    text_of,
    type_text,
)
from dataops.backends.postgres.foresight.grammar.rows import reads, tables_of


def _create_table(statement: Any) -> Iterator[Action]:
    table = name_of(statement.relation)
    words = spelled(IF_NOT_EXISTS=statement.if_not_exists, TEMPORARY=statement.relation.relpersistence == "t")
    whole = _is_whole(statement)
    columns = tuple(node.column_def.colname for node in statement.table_elts if whole and node.HasField("column_def"))
    yield Action("create a table", table, columns=columns, words=words | spelled(WHOLE=whole))
    yield from (Action("is wrong in itself", table, name=text, words=words) for text in _mistakes(statement))
    parents = [name_of(node.range_var) for node in statement.inh_relations]
    if statement.HasField("partbound"):
        yield from (Action("create a partition", parent, table, **bounds_of(statement.partbound)) for parent in parents)
    else:
        yield from (Action("create a child", parent, table) for parent in parents)
    for node in statement.table_elts:
        which = node.WhichOneof("node")
        if which == "column_def":
            yield from read_column(table, node.column_def, words, added=False)
        elif which == "constraint":
            yield from read_constraint(table, node.constraint, words, of_new_table=True)
        elif which == "table_like_clause":
            yield Action("read", name_of(node.table_like_clause.relation), expression="LIKE")


def _mistakes(statement: Any) -> Iterator[str]:
    """What no server takes, whatever is in the database: said of the statement alone."""
    columns = [node.column_def for node in statement.table_elts if node.WhichOneof("node") == "column_def"]
    names = [column.colname for column in columns]
    yield from (f"it has two columns {name}" for name in dict.fromkeys(names) if names.count(name) > 1)
    given = [(column.colname, node.constraint) for column in columns for node in column.constraints]
    given += [("", node.constraint) for node in statement.table_elts if node.WhichOneof("node") == "constraint"]
    keys = [one for _, one in given if tree.ConstrType.Name(one.contype) == "CONSTR_PRIMARY"]
    if len(keys) > 1:
        yield "it has two primary keys"
    named = [one.conname for _, one in given if one.conname]
    yield from (f"it has two constraints {name}" for name in dict.fromkeys(named) if named.count(name) > 1)
    if not _is_whole(statement):
        return
    used = [name for _, one in given for name in (*strings(one.keys), *strings(one.fk_attrs))]
    used += [name for _, one in given for name in columns_of(one.raw_expr)]
    used += [node.partition_elem.name for node in statement.partspec.part_params if node.partition_elem.name]
    known = (*names, *_SYSTEM, statement.relation.relname)  # its name is a whole row
    yield from (f"it has no column {name}" for name in dict.fromkeys(used) if name not in known)


def _is_whole(statement: Any) -> bool:
    """Whether the statement alone says which columns the table has."""
    elsewhere = any(node.WhichOneof("node") == "table_like_clause" for node in statement.table_elts)
    return not (elsewhere or statement.inh_relations or statement.HasField("of_typename"))


_SYSTEM = ("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax")


def _create_table_as(statement: Any) -> Iterator[Action]:
    made = Name(statement.into.rel.schemaname, statement.into.rel.relname)
    is_view = tree.ObjectType.Name(statement.objtype) == "OBJECT_MATVIEW"
    yield Action("create a table", made, words=spelled(IF_NOT_EXISTS=statement.if_not_exists, MATERIALIZED=is_view))
    if statement.query.WhichOneof("node") == "select_stmt" and not statement.into.skip_data:
        yield from reads(statement.query.select_stmt, made=made)


def _index(statement: Any) -> Iterator[Action]:
    columns = [node.index_elem for node in statement.index_params]
    names = tuple(one.name for one in columns)
    keys = ", ".join((one.name and _quoted(one.name)) or f"({text_of(one.expr)})" for one in columns)
    concurrently = spelled(CONCURRENTLY=statement.concurrent)
    yield Action(
        "create an index concurrently" if concurrently else "create an index",
        name_of(statement.relation),
        columns=names if all(names) else (),
        other_columns=tuple(one.name for one in columns if one.name and not one.opclass),
        given=tuple(range(len(columns))),
        type=statement.access_method,
        expression=keys + (f" WHERE {where}" if (where := text_of(statement.where_clause)) else ""),
        name=statement.idxname,
        words=concurrently
        | spelled(
            UNIQUE=statement.unique,
            IF_NOT_EXISTS=statement.if_not_exists,
            ONLY=not statement.relation.inh,
            NULLS_NOT_DISTINCT=statement.nulls_not_distinct,
            WHERE=bool(where),
        ),
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_DROPS = {
    "OBJECT_TABLE": "drop a table",
    "OBJECT_FOREIGN_TABLE": "drop a foreign table",
    "OBJECT_MATVIEW": "drop a materialized view",
    "OBJECT_VIEW": "drop a view",
    "OBJECT_INDEX": "drop an index",
    "OBJECT_SEQUENCE": "drop a sequence",
    "OBJECT_SCHEMA": "drop a schema",
    "OBJECT_TYPE": "drop a type",
    "OBJECT_DOMAIN": "drop a type",
    "OBJECT_TRIGGER": "drop a trigger",
    "OBJECT_RULE": "drop a rule",
    "OBJECT_POLICY": "drop a policy",
    "OBJECT_EXTENSION": "drop an extension",
    "OBJECT_FUNCTION": "drop a function",
    "OBJECT_PROCEDURE": "drop a function",
    "OBJECT_ROUTINE": "drop a function",
}
_RELATIONS = ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_VIEW")
_OF_A_TABLE = ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY")


def _drop(statement: Any) -> Iterator[Action]:
    """What is named twice is dropped once."""
    yield from dict.fromkeys(_dropped(statement))


def _dropped(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.remove_type)
    words = spelled(
        IF_EXISTS=statement.missing_ok,
        CASCADE=statement.behavior == tree.DROP_CASCADE,
        CONCURRENTLY=statement.concurrent,
    )
    kind = _DROPS.get(which, "drop something else")
    kind += " concurrently" if statement.concurrent else ""
    relations = which in _RELATIONS
    beside = tuple(listed_name(node) for node in statement.objects) if relations else ()
    for node in statement.objects:
        if which in _OF_A_TABLE:
            parts = strings(node.list.items)
            table = Name(parts[-3] if len(parts) > 2 else "", parts[-2])
            yield Action(kind, table, name=parts[-1], words=words)
        elif node.WhichOneof("node") == "type_name":
            yield Action(kind, _last_two(strings(node.type_name.names)), name=which, words=words)
        elif kind == "drop a function":
            function = node.object_with_args
            more = spelled(UNSPECIFIED=function.args_unspecified)
            types = tuple(type_text(one.type_name) for one in function.objargs)
            yield Action(kind, _last_two(strings(function.objname)), columns=types, name=which, words=words | more)
        elif which == "OBJECT_SCHEMA" or which == "OBJECT_EXTENSION":
            yield Action(kind, name=node.string.sval, words=words)
        else:
            yield Action(kind, listed_name(node), words=words, beside=beside)


def _last_two(parts: list[str]) -> Name:
    return Name(parts[-2] if len(parts) > 1 else "", parts[-1])


def _rename(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.rename_type)
    words = spelled(IF_EXISTS=statement.missing_ok)
    table = name_of(statement.relation)
    if which == "OBJECT_COLUMN" and tree.ObjectType.Name(statement.relation_type) in (
        "OBJECT_TABLE",
        "OBJECT_FOREIGN_TABLE",
    ):
        yield Action("rename a column", table, column=statement.subname, name=statement.newname, words=words)
    elif which in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"):
        yield Action("rename a table", table, name=statement.newname, words=words)
    elif which == "OBJECT_INDEX":
        yield Action("rename an index", table, name=statement.newname, words=words)
    elif which == "OBJECT_TABCONSTRAINT":
        yield Action("rename a constraint", table, column=statement.subname, name=statement.newname, words=words)
    elif which in ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"):
        words |= {which.removeprefix("OBJECT_")}
        kind = "rename a trigger, rule or policy"
        yield Action(kind, table, column=statement.subname, name=statement.newname, words=words)
    elif which in ("OBJECT_TYPE", "OBJECT_DOMAIN") and statement.object.WhichOneof("node") == "list":
        yield Action("rename a type", _last_two(strings(statement.object.list.items)), name=statement.newname)
    elif table.name:
        name = statement.newname if which in ("OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE") else ""
        yield Action("alter a view or sequence", table, name=name, words=words)
    else:
        yield Action("something else", name="rename")


def _set_schema(statement: Any) -> Iterator[Action]:
    table = name_of(statement.relation)
    if table.name and tree.ObjectType.Name(statement.object_type) in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"):
        yield Action(
            "move a table to a schema", table, name=statement.newschema, words=spelled(IF_EXISTS=statement.missing_ok)
        )
    elif table.name:
        yield Action("alter a view or sequence", table, words=spelled(IF_EXISTS=statement.missing_ok))
    else:
        yield Action("something else", name="alter object schema")


def _comment(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.objtype)
    parts = strings(statement.object.list.items) if statement.object.WhichOneof("node") == "list" else []
    parts = parts[:-1] if which == "OBJECT_COLUMN" else parts
    if which in _COMMENTED and parts:
        column = strings(statement.object.list.items)[-1] if which == "OBJECT_COLUMN" else ""
        yield Action("comment", Name(parts[-2] if len(parts) > 1 else "", parts[-1]), column=column)
    else:
        yield Action("define something")


_COMMENTED = ("OBJECT_TABLE", "OBJECT_COLUMN", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE")


def _trigger(statement: Any) -> Iterator[Action]:
    function, words = _last_two(strings(statement.funcname)), spelled(OR_REPLACE=statement.replace)
    yield Action("use a trigger function", function)
    yield Action("create a trigger", name_of(statement.relation), name=statement.trigname, words=words)


def _rule(statement: Any) -> Iterator[Action]:
    yield Action("create a rule", name_of(statement.relation), name=statement.rulename)


def _policy(statement: Any) -> Iterator[Action]:
    yield Action("create a policy", name_of(statement.table), name=statement.policy_name)


def _view(statement: Any) -> Iterator[Action]:
    yield Action("create a view", name_of(statement.view), words=spelled(OR_REPLACE=statement.replace))
    query = ""
    if statement.query.WhichOneof("node") == "select_stmt":
        query = statement_text("select_stmt", statement.query.select_stmt)
    if statement.replace:
        replaced = "" if statement.aliases else query
        yield Action("replace a view", name_of(statement.view), expression=replaced, words=spelled(IF_EXISTS=True))
    if query:
        yield from (Action("name in a view", table, expression=query) for table in tables_of(statement.query))


def _truncate(statement: Any) -> Iterator[Action]:
    words = spelled(CASCADE=statement.behavior == tree.DROP_CASCADE)
    beside = tuple(name_of(node.range_var) for node in statement.relations)
    for node in statement.relations:
        only = spelled(ONLY=not node.range_var.inh)
        yield Action("truncate", name_of(node.range_var), words=words | only, beside=beside)


def _lock(statement: Any) -> Iterator[Action]:
    mode = f"lock as {_MODES[statement.mode]}"
    yield from (Action(mode, name_of(node.range_var)) for node in statement.relations)


_MODES = {
    1: "AccessShareLock",
    2: "RowShareLock",
    3: "RowExclusiveLock",
    4: "ShareUpdateExclusiveLock",
    5: "ShareLock",
    6: "ShareRowExclusiveLock",
    7: "ExclusiveLock",
    8: "AccessExclusiveLock",
}


def _reindex(statement: Any) -> Iterator[Action]:
    concurrently = " concurrently" if any(node.def_elem.defname == "concurrently" for node in statement.params) else ""
    kind = tree.ReindexObjectType.Name(statement.kind)
    if kind in ("REINDEX_OBJECT_TABLE", "REINDEX_OBJECT_INDEX"):
        of = "a table" if kind.endswith("TABLE") else "an index"
        yield Action(f"reindex {of}{concurrently}", name_of(statement.relation))
    else:
        yield Action("something else", name="reindex of a schema or database")


def _vacuum(statement: Any) -> Iterator[Action]:
    options = {node.def_elem.defname for node in statement.options}
    kind = "vacuum" if statement.is_vacuumcmd else "analyze"
    kind = "vacuum full" if "full" in options else kind
    if not statement.rels:
        yield Action("something else", name=f"{kind} of all tables")
    yield from (Action(kind, name_of(node.vacuum_relation.relation)) for node in statement.rels)


def _cluster(statement: Any) -> Iterator[Action]:
    if statement.relation.relname:
        yield Action("cluster", name_of(statement.relation))
    else:
        yield Action("something else", name="cluster of all tables")


def _refresh(statement: Any) -> Iterator[Action]:
    concurrently = " concurrently" if statement.concurrent else ""
    yield Action(f"refresh a materialized view{concurrently}", name_of(statement.relation))


def _statistics(statement: Any) -> Iterator[Action]:
    yield from (Action("create statistics", name_of(node.range_var)) for node in statement.relations)


def _sequence(statement: Any) -> Iterator[Action]:
    yield Action("alter a sequence", name_of(statement.sequence), words=spelled(IF_EXISTS=statement.missing_ok))


def _domain(statement: Any) -> Iterator[Action]:
    name = ".".join(strings(statement.type_name))
    scans = statement.subtype in ("C", "V", "O") and not getattr(statement, "def").constraint.skip_validation
    yield Action("check a domain" if scans else "define something", name=name)


def _owner(statement: Any) -> Iterator[Action]:
    table = name_of(statement.relation)
    yield Action("change the owner", table) if table.name else Action("define something")


def _publication(statement: Any) -> Iterator[Action]:
    tables = [
        node.publication_obj_spec.pubtable.relation
        for node in statement.pubobjects
        if node.publication_obj_spec.HasField("pubtable")
    ]
    yield from (Action("publish", name_of(table)) for table in tables)
    if not tables:
        yield Action("define something")


def _setting(statement: Any) -> Iterator[Action]:
    """Without values, it goes back to what it was; RESET ALL has no name."""
    values = [text_of(node) for node in statement.args]
    resets_all = tree.VariableSetKind.Name(statement.kind) == "VAR_RESET_ALL"
    name = "search_path" if resets_all else statement.name
    yield Action("set a parameter", name=name, columns=tuple(value.strip("'") for value in values))


def _new_schema(statement: Any) -> Iterator[Action]:
    yield Action("create a schema", name=statement.schemaname, words=spelled(IF_NOT_EXISTS=statement.if_not_exists))
    for node in statement.schema_elts:
        yield Action("something else", name=f"{(node.WhichOneof('node') or '').removesuffix('_stmt')} in a new schema")


def _grant(statement: Any) -> Iterator[Action]:
    tables = [node.range_var for node in statement.objects if node.WhichOneof("node") == "range_var"]
    if statement.is_grant or not tables:
        yield from (Action("give rights", name_of(table)) for table in tables)
        yield Action("define something")
        return
    roles = [node.role_spec.rolename or "PUBLIC" for node in statement.grantees]
    yield from (Action("take rights", name_of(table), columns=tuple(roles)) for table in tables)


def _new_enum(statement: Any) -> Iterator[Action]:
    name = _last_two(strings(statement.type_name))
    yield Action("create a type", name, columns=tuple(strings(statement.vals)), words=spelled(ENUM=True))


def _new_domain(statement: Any) -> Iterator[Action]:
    yield Action("create a type", _last_two(strings(statement.domainname)))


def _new_composite(statement: Any) -> Iterator[Action]:
    yield Action("create a type", name_of(statement.typevar))


def _new_range(statement: Any) -> Iterator[Action]:
    yield Action("create a type", _last_two(strings(statement.type_name)))
    yield Action("define functions")


def _enum(statement: Any) -> Iterator[Action]:
    yield Action(
        "change an enum",
        _last_two(strings(statement.type_name)),
        column=statement.old_val,
        name=statement.new_val,
        columns=(statement.new_val_neighbor,) if statement.new_val_neighbor else (),
        words=spelled(IF_NOT_EXISTS=statement.skip_if_new_val_exists),
    )


def _function(statement: Any) -> Iterator[Action]:
    given = ("FUNC_PARAM_IN", "FUNC_PARAM_INOUT", "FUNC_PARAM_VARIADIC", "FUNC_PARAM_DEFAULT")
    parameters = [node.function_parameter for node in statement.parameters]
    is_given = [tree.FunctionParameterMode.Name(one.mode) in given for one in parameters]
    yield Action(
        "create a function",
        _last_two(strings(statement.funcname)),
        columns=tuple(type_text(one.arg_type) for one, is_ in zip(parameters, is_given, strict=True) if is_),
        type=type_text(statement.return_type) if all(is_given) and statement.HasField("return_type") else "",
        words=spelled(OR_REPLACE=statement.replace),
    )


def _extension(statement: Any) -> Iterator[Action]:
    yield Action("create an extension", name=statement.extname, words=spelled(IF_NOT_EXISTS=statement.if_not_exists))


def _define(statement: Any) -> Iterator[Action]:
    """An aggregate, an operator, a base type and others, of which nothing more is known."""
    yield Action("define functions")


def _new_sequence(statement: Any) -> Iterator[Action]:
    words = spelled(IF_NOT_EXISTS=statement.if_not_exists, TEMPORARY=statement.sequence.relpersistence == "t")
    yield Action("create a sequence", name_of(statement.sequence), words=words)


READERS: dict[str, Reader] = {
    "create_stmt": _create_table,
    "create_table_as_stmt": _create_table_as,
    "create_foreign_table_stmt": lambda statement: _create_table(statement.base_stmt),
    "index_stmt": _index,
    "drop_stmt": _drop,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "alter_owner_stmt": _owner,
    "comment_stmt": _comment,
    "create_trig_stmt": _trigger,
    "rule_stmt": _rule,
    "create_policy_stmt": _policy,
    "alter_policy_stmt": lambda statement: iter(
        [Action("alter a policy", name_of(statement.table), name=statement.policy_name)]
    ),
    "grant_stmt": _grant,
    "create_enum_stmt": _new_enum,
    "create_domain_stmt": _new_domain,
    "composite_type_stmt": _new_composite,
    "create_range_stmt": _new_range,
    "alter_enum_stmt": _enum,
    "create_function_stmt": _function,
    "create_extension_stmt": _extension,
    "define_stmt": _define,
    "alter_extension_stmt": _define,
    "alter_extension_contents_stmt": _define,
    "view_stmt": _view,
    "truncate_stmt": _truncate,
    "lock_stmt": _lock,
    "reindex_stmt": _reindex,
    "vacuum_stmt": _vacuum,
    "cluster_stmt": _cluster,
    "refresh_mat_view_stmt": _refresh,
    "create_stats_stmt": _statistics,
    "alter_seq_stmt": _sequence,
    "alter_domain_stmt": _domain,
    "create_publication_stmt": _publication,
    "alter_publication_stmt": _publication,
    "variable_set_stmt": _setting,
    "create_schema_stmt": _new_schema,
    "create_seq_stmt": _new_sequence,
}
