"""What the statements of a file are, as PostgreSQL's own parser reads them (libpg_query, through postgast). Pure.

A statement becomes *actions*: each is one thing that is done to one table or another object, such as "add column".
`locks` says which lock each kind of action takes. The grammar is that of the newest PostgreSQL that the library knows,
which reads what older ones read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import postgast
from postgast import pg_query_pb2 as tree


class Unparsable(ValueError):
    """PostgreSQL's parser refuses the text. The message is the parser's own."""


class Name(NamedTuple):
    """The name of a table or another object, as it is written: `schema` is "" where the search_path decides."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class Action:
    """One thing that a statement does.

    `on` is the table that it is done to, or the index, view or sequence. `other` is the second one that it concerns:
    the referenced table of a foreign key, the partition that is attached, the table that a partition is made for.
    `expression` is SQL: a default, a condition, a conversion, or the whole query that is read. `name` is that of
    what is made, or the new one. `words` are the options that matter, as they are written in SQL; PART IF EXISTS is
    that of a column or a constraint. `beside` are all objects that the same DROP or TRUNCATE names.
    """

    kind: str
    on: Name | None = None
    other: Name | None = None
    column: str = ""
    columns: tuple[str, ...] = ()
    other_columns: tuple[str, ...] = ()
    type: str = ""
    expression: str = ""
    name: str = ""
    words: frozenset[str] = frozenset()
    beside: tuple[Name, ...] = ()


def actions(text: str) -> tuple[Action, ...]:
    """What a text of one or more statements does, in its order. Raises Unparsable."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise Unparsable(str(error)) from error
    return tuple(action for raw in parsed.stmts for action in _statement(raw.stmt))


def _statement(node: Any) -> Iterator[Action]:
    which = node.WhichOneof("node")
    statement = getattr(node, which)
    reader = _READERS.get(which)
    if reader is not None:
        yield from reader(statement)
    elif which in _HARMLESS:
        yield Action(_HARMLESS[which])
    else:
        yield Action("something else", name=which.removesuffix("_stmt").replace("_", " "))


# ---- parts


def _name(node: Any) -> Name:
    """A range variable."""
    return Name(node.schemaname, node.relname)


def _listed(node: Any) -> Name:
    """A name as a list of its parts, as DROP and COMMENT have it."""
    parts = _strings(node.list.items if node.WhichOneof("node") == "list" else [node])
    return Name(parts[-2] if len(parts) > 1 else "", parts[-1] if parts else "")


def _strings(nodes: Iterable[Any]) -> list[str]:
    return [node.string.sval for node in nodes if node.WhichOneof("node") == "string"]


def _sql(expression: Any) -> str:
    """An expression as SQL; "" for none."""
    if expression.WhichOneof("node") is None:
        return ""
    wrapped = tree.ParseResult(version=_VERSION)
    target = wrapped.stmts.add().stmt.select_stmt.target_list.add().res_target
    target.val.CopyFrom(expression)
    return str(postgast.deparse(wrapped)).removeprefix("SELECT ")


def _query(which: str, statement: Any) -> str:
    """A statement as SQL."""
    wrapped = tree.ParseResult(version=_VERSION)
    getattr(wrapped.stmts.add().stmt, which).CopyFrom(statement)
    return str(postgast.deparse(wrapped))


def _type(node: Any) -> str:
    wrapped = tree.Node()
    wrapped.type_cast.type_name.CopyFrom(node)
    wrapped.type_cast.arg.a_const.isnull = True
    return _sql(wrapped).removeprefix("NULL::")


def _words(**given: object) -> frozenset[str]:
    return frozenset(word.replace("_", " ") for word, is_given in given.items() if is_given)


_VERSION = postgast.parse("SELECT 1").version


# ---- ALTER TABLE

_SERIAL = {"serial", "serial4", "serial8", "bigserial", "smallserial", "serial2"}

_COMMANDS = {
    "AT_ColumnDefault": "set or drop a default",
    "AT_DropNotNull": "drop NOT NULL",
    "AT_SetStatistics": "set the statistics of a column",
    "AT_SetOptions": "set options of a column",
    "AT_ResetOptions": "set options of a column",
    "AT_SetStorage": "set the storage of a column",
    "AT_SetCompression": "set the compression of a column",
    "AT_DropColumn": "drop column",
    "AT_SetNotNull": "set NOT NULL",
    "AT_ValidateConstraint": "validate a constraint",
    "AT_DropConstraint": "drop a constraint",
    "AT_AlterConstraint": "alter a constraint",
    "AT_ChangeOwner": "change the owner",
    "AT_ClusterOn": "mark for CLUSTER",
    "AT_DropCluster": "mark for CLUSTER",
    "AT_SetLogged": "set logged",
    "AT_SetUnLogged": "set unlogged",
    "AT_SetAccessMethod": "set the access method",
    "AT_SetTableSpace": "move to a tablespace",
    "AT_SetRelOptions": "set storage options",
    "AT_ResetRelOptions": "set storage options",
    "AT_AddInherit": "inherit",
    "AT_DropInherit": "stop to inherit",
    "AT_ReplicaIdentity": "set the replica identity",
    "AT_EnableRowSecurity": "switch row security",
    "AT_DisableRowSecurity": "switch row security",
    "AT_ForceRowSecurity": "switch row security",
    "AT_NoForceRowSecurity": "switch row security",
    "AT_AddIdentity": "change an identity column",
    "AT_SetIdentity": "change an identity column",
    "AT_DropIdentity": "change an identity column",
    "AT_DropExpression": "drop the expression of a column",
    "AT_SetExpression": "set the expression of a column",
    **{f"AT_{verb}Trig{which}": "switch a trigger"
       for verb in ("Enable", "Disable", "EnableAlways", "EnableReplica") for which in ("", "All", "User")},
    **{f"AT_{verb}Rule": "switch a rule" for verb in ("Enable", "Disable", "EnableAlways", "EnableReplica")},
}  # fmt: skip

_OF_INDEX = {"AT_SetRelOptions": "set options of an index", "AT_ResetRelOptions": "set options of an index"}


def _alter_table(statement: Any) -> Iterator[Action]:
    table = _name(statement.relation)
    words = _words(IF_EXISTS=statement.missing_ok, ONLY=not statement.relation.inh)
    kind_of_object = tree.ObjectType.Name(statement.objtype)
    if kind_of_object == "OBJECT_TYPE":
        yield Action("alter a composite type", table)
        return
    if kind_of_object not in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_INDEX"):
        yield Action("alter a view or sequence", table, words=words)
        return
    is_index = kind_of_object == "OBJECT_INDEX"
    found = (one for node in statement.cmds for one in _command(table, node.alter_table_cmd, words, is_index=is_index))
    yield from sorted(found, key=lambda one: _PASSES.get(one.kind, len(_PASSES)))


# What one ALTER TABLE does first, in whatever order it is written: ATPrepCmd in PostgreSQL's source.
_PASSES = {kind: at for at, kind in enumerate(("drop column", "drop a constraint", "alter the type", "add column"))}


def _command(table: Name, command: Any, words: frozenset[str], *, is_index: bool) -> Iterator[Action]:
    which = tree.AlterTableType.Name(command.subtype)
    part = getattr(command, "def")
    words |= _words(CASCADE=command.behavior == tree.DROP_CASCADE, PART_IF_EXISTS=command.missing_ok)
    if which == "AT_AddColumn":
        more = _words(IF_NOT_EXISTS=command.missing_ok)
        yield from _column(table, part.column_def, words - {"PART IF EXISTS"} | more, added=True)
    elif which == "AT_AlterColumnType":
        using = _sql(part.column_def.raw_default)
        type_ = _type(part.column_def.type_name)
        collation = _words(COLLATE=part.column_def.HasField("coll_clause"))
        yield Action(
            "alter the type", table, column=command.name, type=type_, expression=using, words=words | collation
        )
    elif which == "AT_AddConstraint":
        yield from _constraint(table, part.constraint, words)
    elif which == "AT_AttachPartition" and is_index:
        yield Action("attach an index", table, _name(part.partition_cmd.name), words=words)
    elif which == "AT_AttachPartition":
        yield Action("attach a partition", table, _name(part.partition_cmd.name), words=words)
    elif which in ("AT_DetachPartition", "AT_DetachPartitionFinalize"):
        concurrently = _words(CONCURRENTLY=part.partition_cmd.concurrent or which.endswith("Finalize"))
        kind = "detach a partition concurrently" if concurrently else "detach a partition"
        yield Action(kind, table, _name(part.partition_cmd.name), words=words | concurrently)
    elif which == "AT_ColumnDefault":
        yield Action(_COMMANDS[which], table, column=command.name, expression=_sql(part), words=words)
    elif which in ("AT_AddInherit", "AT_DropInherit"):
        yield Action(_COMMANDS[which], table, _name(part.range_var), words=words)
    elif is_index and which in _OF_INDEX:
        yield Action(_OF_INDEX[which], table, words=words)
    elif which in _COMMANDS:
        of_column = which in _NAMES_COLUMN
        yield Action(
            _COMMANDS[which],
            table,
            column=command.name if of_column else "",
            name="" if of_column else command.name,
            words=words,
        )
    else:
        yield Action("alter a table otherwise", table, words=words)


_NAMES_COLUMN = {
    "AT_DropNotNull", "AT_SetStatistics", "AT_SetOptions", "AT_ResetOptions", "AT_SetStorage", "AT_SetCompression",
    "AT_DropColumn", "AT_SetNotNull", "AT_AddIdentity", "AT_SetIdentity", "AT_DropIdentity", "AT_DropExpression",
    "AT_SetExpression",
}  # fmt: skip


def _column(table: Name, column: Any, words: frozenset[str], *, added: bool) -> Iterator[Action]:
    """A column that is added, or that a new table has, and its constraints."""
    given = {tree.ConstrType.Name(node.constraint.contype): node.constraint for node in column.constraints}
    default = given.get("CONSTR_DEFAULT")
    generated = given.get("CONSTR_GENERATED")
    serial = [part for part in _strings(column.type_name.names) if part in _SERIAL]
    if added:
        yield Action(
            "add column",
            table,
            column=column.colname,
            type=_type(column.type_name) if not serial else serial[0],
            expression=_sql(default.raw_expr) if default is not None else "",
            words=words
            | _words(
                NOT_NULL="CONSTR_NOTNULL" in given or "CONSTR_PRIMARY" in given or serial or "CONSTR_IDENTITY" in given,
                SERIAL=bool(serial),
                IDENTITY="CONSTR_IDENTITY" in given,
                STORED=generated is not None and generated.generated_kind != "v",
                VIRTUAL=generated is not None and generated.generated_kind == "v",
            ),
        )
    for name in ("CONSTR_CHECK", "CONSTR_PRIMARY", "CONSTR_UNIQUE", "CONSTR_FOREIGN"):
        if name in given:
            for action in _constraint(table, given[name], words, of_new_table=not added):
                yield action if action.columns else _with_column(action, column.colname, is_new=added)


def _with_column(action: Action, column: str, *, is_new: bool) -> Action:
    words = action.words | _words(OF_A_NEW_COLUMN=is_new)
    return Action(
        action.kind, action.on, action.other, action.column, (column,), action.other_columns, action.type,
        action.expression, action.name, words,
    )  # fmt: skip


_CONSTRAINTS = {
    "CONSTR_CHECK": "add a check",
    "CONSTR_PRIMARY": "add a primary key",
    "CONSTR_UNIQUE": "add a unique constraint",
    "CONSTR_FOREIGN": "add a foreign key",
    "CONSTR_EXCLUSION": "add an exclusion constraint",
    "CONSTR_NOTNULL": "set NOT NULL",
}


def _constraint(table: Name, node: Any, words: frozenset[str], *, of_new_table: bool = False) -> Iterator[Action]:
    which = tree.ConstrType.Name(node.contype)
    kind = _CONSTRAINTS.get(which)
    if kind is None or (of_new_table and which != "CONSTR_FOREIGN"):
        return
    words |= _words(
        NOT_VALID=node.skip_validation or (which == "CONSTR_CHECK" and not node.is_enforced),
        USING_INDEX=bool(node.indexname),
        NULLS_NOT_DISTINCT=node.nulls_not_distinct,
        NO_INHERIT=node.is_no_inherit,
    )
    if which == "CONSTR_FOREIGN":
        kind = "create a table that refers to it" if of_new_table else kind
        yield Action(
            kind,
            table,
            _name(node.pktable),
            columns=tuple(_strings(node.fk_attrs)),
            other_columns=tuple(_strings(node.pk_attrs)),
            name=node.conname,
            words=words,
        )
    elif which == "CONSTR_NOTNULL":
        column = next(iter(_strings(node.keys)), "")
        yield Action(kind, table, column=column, name=node.conname, words=words)
    else:
        name = node.indexname or node.conname
        keys = tuple(_strings(node.keys))
        yield Action(kind, table, columns=keys, expression=_sql(node.raw_expr), name=name, words=words)


# ---- other statements about tables


def _create_table(statement: Any) -> Iterator[Action]:
    table = _name(statement.relation)
    words = _words(IF_NOT_EXISTS=statement.if_not_exists, TEMPORARY=statement.relation.relpersistence == "t")
    yield Action("create a table", table, words=words)
    parents = [_name(node.range_var) for node in statement.inh_relations]
    kind = "create a partition" if statement.HasField("partbound") else "create a child"
    yield from (Action(kind, parent, table) for parent in parents)
    for node in statement.table_elts:
        which = node.WhichOneof("node")
        if which == "column_def":
            yield from _column(table, node.column_def, words, added=False)
        elif which == "constraint":
            yield from _constraint(table, node.constraint, words, of_new_table=True)
        elif which == "table_like_clause":
            yield Action("read", _name(node.table_like_clause.relation), expression="LIKE")


def _create_table_as(statement: Any) -> Iterator[Action]:
    made = Name(statement.into.rel.schemaname, statement.into.rel.relname)
    is_view = tree.ObjectType.Name(statement.objtype) == "OBJECT_MATVIEW"
    yield Action("create a table", made, words=_words(IF_NOT_EXISTS=statement.if_not_exists, MATERIALIZED=is_view))
    if statement.query.WhichOneof("node") == "select_stmt" and not statement.into.skip_data:
        yield from _reads(statement.query.select_stmt, made=made)


def _index(statement: Any) -> Iterator[Action]:
    columns = [node.index_elem for node in statement.index_params]
    names = tuple(one.name for one in columns)
    keys = ", ".join((one.name and _quoted(one.name)) or f"({_sql(one.expr)})" for one in columns)
    concurrently = _words(CONCURRENTLY=statement.concurrent)
    yield Action(
        "create an index concurrently" if concurrently else "create an index",
        _name(statement.relation),
        columns=names if all(names) else (),
        type=statement.access_method,
        expression=keys + (f" WHERE {where}" if (where := _sql(statement.where_clause)) else ""),
        name=statement.idxname,
        words=concurrently
        | _words(
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
}
_RELATIONS = ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE", "OBJECT_MATVIEW", "OBJECT_VIEW")
_OF_A_TABLE = ("OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY")


def _drop(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.remove_type)
    words = _words(
        IF_EXISTS=statement.missing_ok,
        CASCADE=statement.behavior == tree.DROP_CASCADE,
        CONCURRENTLY=statement.concurrent,
    )
    kind = _DROPS.get(which, "drop something else")
    kind += " concurrently" if statement.concurrent else ""
    relations = which in _RELATIONS
    beside = tuple(_listed(node) for node in statement.objects) if relations else ()
    for node in statement.objects:
        if which in _OF_A_TABLE:
            parts = _strings(node.list.items)
            table = Name(parts[-3] if len(parts) > 2 else "", parts[-2])
            yield Action(kind, table, name=parts[-1], words=words)
        elif node.WhichOneof("node") == "type_name":
            parts = _strings(node.type_name.names)
            yield Action(kind, name=".".join(parts), words=words)
        elif which == "OBJECT_SCHEMA" or which == "OBJECT_EXTENSION":
            yield Action(kind, name=node.string.sval, words=words)
        else:
            yield Action(kind, _listed(node), words=words, beside=beside)


def _rename(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.rename_type)
    words = _words(IF_EXISTS=statement.missing_ok)
    table = _name(statement.relation)
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
        yield Action("rename a trigger, rule or policy", table, name=statement.newname, words=words)
    elif table.name:
        yield Action("alter a view or sequence", table, name=statement.newname, words=words)
    else:
        yield Action("something else", name="rename")


def _set_schema(statement: Any) -> Iterator[Action]:
    table = _name(statement.relation)
    if table.name and tree.ObjectType.Name(statement.object_type) in ("OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"):
        yield Action(
            "move a table to a schema", table, name=statement.newschema, words=_words(IF_EXISTS=statement.missing_ok)
        )
    elif table.name:
        yield Action("alter a view or sequence", table, words=_words(IF_EXISTS=statement.missing_ok))
    else:
        yield Action("something else", name="alter object schema")


def _comment(statement: Any) -> Iterator[Action]:
    which = tree.ObjectType.Name(statement.objtype)
    parts = _strings(statement.object.list.items) if statement.object.WhichOneof("node") == "list" else []
    parts = parts[:-1] if which == "OBJECT_COLUMN" else parts
    if which in _COMMENTED and parts:
        column = _strings(statement.object.list.items)[-1] if which == "OBJECT_COLUMN" else ""
        yield Action("comment", Name(parts[-2] if len(parts) > 1 else "", parts[-1]), column=column)
    else:
        yield Action("define something")


_COMMENTED = ("OBJECT_TABLE", "OBJECT_COLUMN", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE")


def _trigger(statement: Any) -> Iterator[Action]:
    yield Action("create a trigger", _name(statement.relation), name=statement.trigname)


def _rule(statement: Any) -> Iterator[Action]:
    yield Action("create a rule", _name(statement.relation), name=statement.rulename)


def _policy(statement: Any) -> Iterator[Action]:
    yield Action("create a policy", _name(statement.table), name=statement.policy_name)


def _view(statement: Any) -> Iterator[Action]:
    yield Action("create a view", _name(statement.view), words=_words(OR_REPLACE=statement.replace))
    if statement.replace:
        yield Action("replace a view", _name(statement.view), words=_words(IF_EXISTS=True))
    if statement.query.WhichOneof("node") == "select_stmt":
        query = _query("select_stmt", statement.query.select_stmt)
        yield from (Action("name in a view", table, expression=query) for table in _tables(statement.query))


def _truncate(statement: Any) -> Iterator[Action]:
    words = _words(CASCADE=statement.behavior == tree.DROP_CASCADE)
    beside = tuple(_name(node.range_var) for node in statement.relations)
    for node in statement.relations:
        only = _words(ONLY=not node.range_var.inh)
        yield Action("truncate", _name(node.range_var), words=words | only, beside=beside)


def _lock(statement: Any) -> Iterator[Action]:
    mode = f"lock as {_MODES[statement.mode]}"
    yield from (Action(mode, _name(node.range_var)) for node in statement.relations)


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
        yield Action(f"reindex {of}{concurrently}", _name(statement.relation))
    else:
        yield Action("something else", name="reindex of a schema or database")


def _vacuum(statement: Any) -> Iterator[Action]:
    options = {node.def_elem.defname for node in statement.options}
    kind = "vacuum" if statement.is_vacuumcmd else "analyze"
    kind = "vacuum full" if "full" in options else kind
    if not statement.rels:
        yield Action("something else", name=f"{kind} of all tables")
    yield from (Action(kind, _name(node.vacuum_relation.relation)) for node in statement.rels)


def _cluster(statement: Any) -> Iterator[Action]:
    yield Action("cluster", _name(statement.relation) if statement.relation.relname else None)


def _refresh(statement: Any) -> Iterator[Action]:
    concurrently = " concurrently" if statement.concurrent else ""
    yield Action(f"refresh a materialized view{concurrently}", _name(statement.relation))


def _statistics(statement: Any) -> Iterator[Action]:
    yield from (Action("create statistics", _name(node.range_var)) for node in statement.relations)


def _sequence(statement: Any) -> Iterator[Action]:
    yield Action("alter a sequence", _name(statement.sequence), words=_words(IF_EXISTS=statement.missing_ok))


def _domain(statement: Any) -> Iterator[Action]:
    name = ".".join(_strings(statement.type_name))
    scans = statement.subtype in ("C", "V", "O") and not getattr(statement, "def").constraint.skip_validation
    yield Action("check a domain" if scans else "define something", name=name)


def _owner(statement: Any) -> Iterator[Action]:
    table = _name(statement.relation)
    yield Action("change the owner", table) if table.name else Action("define something")


def _publication(statement: Any) -> Iterator[Action]:
    tables = [
        node.publication_obj_spec.pubtable.relation
        for node in statement.pubobjects
        if node.publication_obj_spec.HasField("pubtable")
    ]
    yield from (Action("publish", _name(table)) for table in tables)
    if not tables:
        yield Action("define something")


def _setting(statement: Any) -> Iterator[Action]:
    """Without values, it goes back to what it was; RESET ALL has no name."""
    values = [_sql(node) for node in statement.args]
    resets_all = tree.VariableSetKind.Name(statement.kind) == "VAR_RESET_ALL"
    name = "search_path" if resets_all else statement.name
    yield Action("set a parameter", name=name, columns=tuple(value.strip("'") for value in values))


def _new_schema(statement: Any) -> Iterator[Action]:
    yield Action("create a schema", name=statement.schemaname, words=_words(IF_NOT_EXISTS=statement.if_not_exists))
    for node in statement.schema_elts:
        yield Action("something else", name=f"{(node.WhichOneof('node') or '').removesuffix('_stmt')} in a new schema")


def _new_sequence(statement: Any) -> Iterator[Action]:
    words = _words(IF_NOT_EXISTS=statement.if_not_exists, TEMPORARY=statement.sequence.relpersistence == "t")
    yield Action("create a sequence", _name(statement.sequence), words=words)


# ---- rows


def _matched(statement: Any, others: Iterable[Any]) -> str:
    """A SELECT of the rows that an UPDATE or a DELETE finds: whoever may only read may ask about that."""
    select = tree.SelectStmt()
    select.from_clause.add().range_var.CopyFrom(statement.relation)
    for other in others:
        select.from_clause.add().CopyFrom(other)
    select.where_clause.CopyFrom(statement.where_clause)
    for node in getattr(statement, "target_list", ()):  # what an UPDATE sets
        if node.res_target.val.WhichOneof("node") not in ("set_to_default", "multi_assign_ref", None):
            select.target_list.add().res_target.val.CopyFrom(node.res_target.val)
    if statement.HasField("with_clause"):
        select.with_clause.CopyFrom(statement.with_clause)
    return _query("select_stmt", select)


def _update(statement: Any) -> Iterator[Action]:
    where = _matched(statement, statement.from_clause)
    columns = tuple(node.res_target.name for node in statement.target_list)
    words = _words(WHERE=statement.where_clause.WhichOneof("node"), ONLY=not statement.relation.inh)
    yield Action("update", _name(statement.relation), columns=columns, expression=where, words=words)
    yield from _others(statement, _name(statement.relation))


def _delete(statement: Any) -> Iterator[Action]:
    words = _words(WHERE=statement.where_clause.WhichOneof("node"), ONLY=not statement.relation.inh)
    yield Action(
        "delete", _name(statement.relation), expression=_matched(statement, statement.using_clause), words=words
    )
    yield from _others(statement, _name(statement.relation))


def _insert(statement: Any) -> Iterator[Action]:
    select = statement.select_stmt.select_stmt
    rows = len(select.values_lists)
    columns = tuple(node.res_target.name for node in statement.cols)
    query = "" if rows or not statement.HasField("select_stmt") else _query("select_stmt", select)
    words = _words(VALUES=rows or not query)
    yield Action("insert", _name(statement.relation), columns=columns, expression=query, words=words)
    yield from _others(statement, _name(statement.relation))


def _merge(statement: Any) -> Iterator[Action]:
    yield Action("merge", _name(statement.relation))
    yield from _others(statement, _name(statement.relation))


def _copy(statement: Any) -> Iterator[Action]:
    if statement.is_from:
        yield Action("insert", _name(statement.relation), words=_words(COPY=True))
    elif statement.relation.relname:
        yield Action("read", _name(statement.relation))


def _others(statement: Any, target: Name) -> Iterator[Action]:
    yield from (Action("read", table) for table in _tables(statement) if table != target)
    if statement.HasField("with_clause"):
        yield from _changes_in(statement.with_clause)


def _changes_in(node: Any) -> Iterator[Action]:
    """WITH ... AS (UPDATE ...)."""
    for kind, reader in ((tree.UpdateStmt, _update), (tree.DeleteStmt, _delete), (tree.InsertStmt, _insert)):
        for one in postgast.find_nodes(node, kind):
            yield from reader(one)


def _reads(statement: Any, made: Name | None = None) -> Iterator[Action]:
    calls = _calls(statement)
    if calls and made is None:
        yield Action("call", name=", ".join(calls))
    if statement.into_clause.rel.relname:
        yield Action("create a table", _name(statement.into_clause.rel))
    kind = "read rows to lock them" if statement.locking_clause else "read"
    query = _query("select_stmt", statement)
    yield from (Action(kind, table, made, expression=query) for table in _tables(statement))
    yield from _changes_in(statement)


def _tables(node: Any) -> list[Name]:
    """The tables that are named in a statement, without its common table expressions."""
    own = {one.ctename for one in postgast.find_nodes(node, tree.CommonTableExpr)}
    found = (_name(one) for one in postgast.find_nodes(node, tree.RangeVar))
    return list(dict.fromkeys(name for name in found if name.name and not (not name.schema and name.name in own)))


_PURE = {"now", "count", "sum", "min", "max", "avg", "coalesce", "lower", "upper", "length", "gen_random_uuid"}


def _calls(node: Any) -> list[str]:
    """The functions that a statement calls, but those of which everybody knows that they only compute."""
    found = (".".join(_strings(one.funcname)) for one in postgast.find_nodes(node, tree.FuncCall))
    return list(dict.fromkeys(name for name in found if name.removeprefix("pg_catalog.") not in _PURE))


def tables_in(query: str) -> list[Name]:
    """The tables that a query names."""
    return _tables(postgast.parse(query))


def functions_in(expression: str) -> list[str]:
    """The functions that an expression calls, as it is written. Those that compute with a clock or a session too."""
    if not expression:
        return []
    found = postgast.find_nodes(postgast.parse(f"SELECT {expression}"), tree.FuncCall)
    return [".".join(_strings(one.funcname)) for one in found]


def columns_in(expression: str) -> list[str]:
    """The columns that an expression names; [] for none."""
    if not expression:
        return []
    found = postgast.find_nodes(postgast.parse(f"SELECT {expression}"), tree.ColumnRef)
    return list(dict.fromkeys(names[-1] for one in found if (names := _strings(one.fields))))


_READERS: dict[str, Any] = {
    "alter_table_stmt": _alter_table,
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
    "alter_policy_stmt": lambda statement: iter([Action("alter a policy", _name(statement.table))]),
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
    "update_stmt": _update,
    "delete_stmt": _delete,
    "insert_stmt": _insert,
    "merge_stmt": _merge,
    "copy_stmt": _copy,
    "select_stmt": _reads,
}

_DEFINES = (
    "create_function alter_function create_domain composite_type create_enum create_range "
    "alter_enum create_extension alter_extension define create_cast create_op_class create_op_family alter_op_family "
    "create_conversion create_transform alter_default_privileges grant grant_role create_role alter_role "
    "alter_role_set "
    "alter_collation alter_operator alter_type alter_stats alter_tsdictionary alter_tsconfiguration create_event_trig "
    "alter_event_trig create_fdw create_foreign_server create_user_mapping alter_fdw alter_foreign_server "
    "alter_user_mapping constraints_set create_subscription alter_subscription drop_role create_plang sec_label "
    "alter_object_depends notify listen unlisten create_am alter_database alter_database_set alter_system discard "
    "transaction variable_show deallocate prepare alter_extension_contents"
)
_HARMLESS = {f"{name}_stmt": "define something" for name in _DEFINES.split()}
"""Statements that lock no table of the application and read none."""
