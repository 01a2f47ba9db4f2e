"""What makes, changes and drops types, functions, triggers, policies and extensions does to a live database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dataops.backends.postgres.foresight.facts import Facts, Table
from dataops.backends.postgres.foresight.grammar import Action, Name
from dataops.backends.postgres.foresight.scene import Draft, Scene
from dataops.text import listed

_TYPE = """
SELECT t.oid, n.nspname AS schema, t.typname AS name, t.typtype::text AS kind, t.typarray AS array,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
  FROM unnest(%(schemas)s::text[]) WITH ORDINALITY path (schema, at)
  JOIN pg_namespace n ON n.nspname = path.schema JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = %(name)s
 ORDER BY path.at LIMIT 1
"""
_FUNCTIONS = """
SELECT p.oid, n.nspname AS schema, p.proname AS name, p.prokind::text AS kind, p.prorettype AS returns,
       p.proargtypes::oid[] AS types, p.pronargs AS number
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname = ANY (%(schemas)s) AND p.proname = %(name)s
"""
# What cannot be without an object: of a table its column, or a trigger, a default, a view or a policy.
_USERS = """
SELECT DISTINCT coalesce(d.relation, 0) AS oid, coalesce(a.attname, tg.tgname, '')::text AS part, d.what,
       coalesce(n.nspname || '.' || c.relname, 'something else') AS title, c.relkind::text AS kind,
       a.attname IS NOT NULL AS of_column
  FROM (SELECT u.*,
               CASE u.classid WHEN 'pg_class'::regclass THEN u.objid
                    WHEN 'pg_attrdef'::regclass THEN (SELECT f.adrelid FROM pg_attrdef f WHERE f.oid = u.objid)
                    WHEN 'pg_trigger'::regclass THEN (SELECT t.tgrelid FROM pg_trigger t WHERE t.oid = u.objid)
                    WHEN 'pg_constraint'::regclass THEN (SELECT k.conrelid FROM pg_constraint k WHERE k.oid = u.objid)
                    WHEN 'pg_policy'::regclass THEN (SELECT p.polrelid FROM pg_policy p WHERE p.oid = u.objid)
                    WHEN 'pg_rewrite'::regclass THEN (SELECT r.ev_class FROM pg_rewrite r WHERE r.oid = u.objid)
                    END AS relation,
               CASE u.classid WHEN 'pg_attrdef'::regclass THEN (SELECT f.adnum FROM pg_attrdef f WHERE f.oid = u.objid)
                    WHEN 'pg_class'::regclass THEN u.objsubid END AS number,
               u.classid::regclass::text AS what
          FROM pg_depend u
         WHERE u.refclassid = %(class)s::regclass AND u.refobjid = ANY (%(oids)s) AND u.deptype IN ('n', 'a')) d
  LEFT JOIN pg_class c ON c.oid = d.relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = d.relation AND a.attnum = d.number AND d.number > 0
  LEFT JOIN pg_trigger tg ON d.classid = 'pg_trigger'::regclass AND tg.oid = d.objid
"""
_OF_A_TABLE = {
    "trigger": "SELECT FROM pg_trigger WHERE tgrelid = %(oid)s AND tgname = %(name)s AND NOT tgisinternal",
    "policy": "SELECT FROM pg_policy WHERE polrelid = %(oid)s AND polname = %(name)s",
    "rule": "SELECT FROM pg_rewrite WHERE ev_class = %(oid)s AND rulename = %(name)s",
}
_EXTENSION = "SELECT FROM pg_extension WHERE extname = %(name)s"
_AVAILABLE = "SELECT FROM pg_available_extensions WHERE name = %(name)s"


@dataclass
class _Type:
    """A type: its labels, if it is an enum. `oid` is None for one of the plan."""

    kind: str
    labels: set[str]
    oid: int | None = None
    array: int = 0


class Definitions:
    """The types, functions and other objects of a database, and what the plan has done to them so far."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._facts: Facts = scene.facts
        self._types: dict[tuple[str, str], _Type | None] = {}
        self._functions: dict[tuple[str, str], bool] = {}
        self._dropped_functions: set[int] = set()
        self._parts: dict[tuple[str, int, str], bool] = {}
        self._extensions: set[str] = set()
        self._more_functions = False
        self._known: dict[tuple[str, ...], bool] = {}

    def follow(self, action: Action, draft: Draft) -> bool:
        """What an action does; False if it is none of ours."""
        handler = _HANDLERS.get(action.kind)
        if handler is None:
            return False
        handler(self, action, draft)
        return True

    def _fail(self, draft: Draft, text: str) -> None:
        if not self._scene.unsure:
            draft.risk("will-fail", text)

    def _schemas(self, name: Name) -> list[str]:
        return [name.schema] if name.schema else ["pg_catalog", *self._facts.schemas]

    # ---- types

    def _type(self, name: Name) -> _Type | None:
        for schema in self._schemas(name):
            if (schema, name.name) in self._types:
                if (made := self._types[schema, name.name]) is not None:
                    return made
                continue
            rows = self._facts.ask(_TYPE, schemas=[schema], name=name.name)
            if rows and not self._scene.is_gone(Name(schema, name.name)):
                row = rows[0]
                return self._types.setdefault(
                    (schema, name.name), _Type(row["kind"], set(row["labels"]), row["oid"], row["array"])
                )
        return None

    def use_type(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        if self._type(action.on) is None and not self._scene.is_made(action.on) and not self._more_functions:
            self._fail(draft, f"there is no type {action.on}")

    def refuse_name_of_type(self, action: Action, draft: Draft) -> None:
        """A table has a type of its name."""
        assert action.on is not None
        place = Name(*self._scene.placed(action.on))
        found = self._type(place)
        if found is not None and found.kind != "c" and not self._scene.is_there(place):
            self._fail(draft, f"a type {action.on} exists")

    def create_type(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        place = self._scene.placed(action.on)
        if self._type(Name(*place)) is not None or self._scene.is_made(Name(*place)):
            self._fail(draft, f"{action.on} exists")
        self._types[place] = _Type("e" if "ENUM" in action.words else "", set(action.columns))

    def change_enum(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        found = self._type(action.on)
        if found is None or found.kind != "e":
            self._fail(draft, f"{action.on} is no enum" if found else f"there is no type {action.on}")
            return
        for label in (*action.columns, *([action.column] if action.column else [])):
            if label not in found.labels:
                self._fail(draft, f"{action.on} has no value of the name that the statement gives")
        if action.name in found.labels and "IF NOT EXISTS" not in action.words:
            self._fail(draft, f"{action.on} has this value already")
        self._scene.changed_types |= {found.oid, found.array} if found.oid else set()
        found.labels.discard(action.column)
        found.labels.add(action.name)

    def drop_type(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        found = self._type(action.on)
        if found is None:
            if "IF EXISTS" not in action.words:
                self._fail(draft, f"there is no type {action.on}")
            return
        if action.name == "OBJECT_DOMAIN" and found.kind != "d":
            self._fail(draft, f"{action.on} is no domain")
        if found.oid is not None:
            self._refuse_used(action, "pg_type", [found.oid, found.array], draft)
        for schema in self._schemas(action.on):
            if self._types.get((schema, action.on.name)) is found:
                self._types[schema, action.on.name] = None

    def rename_type(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        found = self._type(action.on)
        if found is None:
            self._fail(draft, f"there is no type {action.on}")
            return
        schema = next(one for one in self._schemas(action.on) if self._types.get((one, action.on.name)) is found)
        if self._type(Name(schema, action.name)) is not None:
            self._fail(draft, f"{action.name} exists")
        self._types[schema, action.on.name], self._types[schema, action.name] = None, found
        draft.risk("breaks-application", f"the type {action.on} is {action.name} then: code that names it fails")

    # ---- functions

    def refuse_missing(self, names: Collection[str], draft: Draft) -> None:
        """Functions that a statement calls, and that are not there."""
        for written in names:
            schema, _, name = written.rpartition(".")
            called = Name(schema, name)
            if not self._more_functions and not self._has_function(called):
                self._fail(draft, f"there is no function {called}()")

    def _has_function(self, name: Name) -> bool:
        if name.schema.startswith("pg_temp") or any(
            self._functions.get((one, name.name)) for one in self._schemas(name)
        ):
            return True
        key = (*self._schemas(name), name.name)
        if key not in self._known:
            self._known[key] = bool(self._candidates(name)) or self._type(name) is not None  # a type is a cast
        return self._known[key] and bool(self._candidates(name) if self._dropped_functions else True)

    def _candidates(self, name: Name) -> list[dict[str, Any]]:
        rows = self._facts.ask(_FUNCTIONS, schemas=self._schemas(name), name=name.name)
        return [row for row in rows if row["oid"] not in self._dropped_functions]

    def _types_of(self, action: Action) -> list[int] | None:
        """The argument types of a function as oids; None if one is not known."""
        rows = self._facts.ask(
            "SELECT to_regtype(t)::oid AS oid FROM unnest(%(types)s::text[]) WITH ORDINALITY u (t, at) ORDER BY at",
            types=list(action.columns),
        )
        oids = [row["oid"] for row in rows]
        return None if None in oids else oids

    def use_trigger_function(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        if not self._has_function(action.on) and not self._more_functions:
            self._fail(draft, f"there is no function {action.on}()")
        elif not any(self._functions.get((one, action.on.name)) for one in self._schemas(action.on)):
            trigger = self._facts.ask("SELECT 'trigger'::regtype::oid AS oid")[0]["oid"]
            found = self._candidates(action.on)
            if found and all(row["number"] or row["returns"] != trigger for row in found):
                self._fail(draft, f"{action.on}() is no function for triggers")

    def create_function(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        place = self._scene.placed(action.on)
        types = self._types_of(action)
        same = [row for row in self._candidates(Name(*place)) if row["types"] == types]
        if same and "OR REPLACE" not in action.words:
            self._fail(draft, f"the function {action.on} exists with these arguments")
        elif same and action.type:
            returns = self._facts.ask("SELECT to_regtype(%(name)s)::oid AS oid", name=action.type)[0]["oid"]
            if returns is not None and returns != same[0]["returns"] and "SETOF" not in action.type.upper():
                self._fail(draft, f"the function {action.on} returns another type, which REPLACE cannot change")
        self._functions[place] = True

    def drop_function(self, action: Action, draft: Draft) -> None:
        assert action.on is not None
        name = action.on
        if any(self._functions.get((one, name.name)) for one in self._schemas(name)):
            return  # one of the plan, and maybe others
        kinds = {"OBJECT_FUNCTION": "faw", "OBJECT_PROCEDURE": "p", "OBJECT_ROUTINE": "fapw"}[action.name]
        found = self._candidates(name)
        types = None if "UNSPECIFIED" in action.words else self._types_of(action)
        if "UNSPECIFIED" not in action.words:
            found = [row for row in found if types is not None and row["types"] == types]
        found = [row for row in found if row["kind"] in kinds]
        if not found:
            if "IF EXISTS" not in action.words and not self._more_functions:
                self._fail(
                    draft, f"there is no {'procedure' if kinds == 'p' else 'function'} {name} with these arguments"
                )
            return
        if len(found) > 1 and "UNSPECIFIED" in action.words:
            self._fail(draft, f"there are {len(found)} functions {name}: the statement does not say which")
            return
        self._refuse_used(action, "pg_proc", [found[0]["oid"]], draft)
        draft.risk("breaks-application", f"code that calls {name}() fails")
        self._dropped_functions.add(found[0]["oid"])

    def define_functions(self, action: Action, draft: Draft) -> None:
        """Functions or types come of which nothing is known."""
        self._more_functions = True
        self._scene.extended = True

    def _refuse_used(self, action: Action, class_: str, oids: Collection[int], draft: Draft) -> None:
        scene = self._scene
        used = []
        for row in self._facts.ask(_USERS, **{"class": class_, "oids": [oid for oid in oids if oid]}):
            if row["oid"] and row["kind"] is not None:
                name = Name(*row["title"].split(".", 1))
                if scene.is_gone(name):
                    continue
                table = self._facts.table(row["oid"])
                if row["of_column"] and not scene.keeps_column(
                    table, row["part"], of_default=row["what"] == "pg_attrdef"
                ):
                    continue
                if row["what"] == "pg_trigger" and self._parts.get(("trigger", row["oid"], row["part"])) is False:
                    continue
            used.append(f"{row['title']}.{row['part']}" if row["part"] else row["title"])
        if not used:
            return
        if "CASCADE" not in action.words:
            self._fail(draft, f"{listed(list(dict.fromkeys(used)))} uses it")
            return
        columns = [one for one in used if class_ == "pg_type"]
        if columns:
            draft.risk("destroys-data", f"{listed(columns)}, which CASCADE drops and nothing keeps")

    # ---- what belongs to a table

    def has_part(self, what: str, table: Table, name: str) -> bool:
        """Whether the table has a trigger, a policy or a rule of this name by then."""
        known = self._parts.get((what, table.oid, name))
        return bool(self._facts.ask(_OF_A_TABLE[what], oid=table.oid, name=name)) if known is None else known

    def follow_part(self, action: Action, table: Table, draft: Draft) -> None:
        """A trigger, a policy or a rule of a table is made, switched, renamed or dropped."""
        what = _PARTS.get(action.kind, "")
        if action.kind == "rename a trigger, rule or policy":
            what = next(one for one in _OF_A_TABLE if one.upper() in action.words)
        if not what:
            return
        name = action.column if action.kind.startswith("rename") else action.name
        if not name:  # ALL, or USER
            return
        is_there = self.has_part(what, table, name)
        if action.kind.startswith("create"):
            if is_there and "OR REPLACE" not in action.words:
                self._fail(draft, f"{table.title} has a {what} {name} already")
            self._parts[what, table.oid, name] = True
            return
        if not is_there and "IF EXISTS" not in action.words:
            self._fail(draft, f"{table.title} has no {what} {name}")
        if action.kind.startswith(("drop", "rename")):
            self._parts[what, table.oid, name] = False
        if action.kind.startswith("rename"):
            self._parts[what, table.oid, action.name] = True

    # ---- extensions

    def create_extension(self, action: Action, draft: Draft) -> None:
        is_there = action.name in self._extensions or bool(self._facts.ask(_EXTENSION, name=action.name))
        if is_there:
            if "IF NOT EXISTS" not in action.words:
                self._fail(draft, f"the extension {action.name} is there already")
            return
        if not self._facts.ask(_AVAILABLE, name=action.name):
            self._fail(draft, f"the server has no extension {action.name}")
        self._extensions.add(action.name)
        self._more_functions = True
        self._scene.extended = True

    def refuse_missing_extension(self, action: Action, draft: Draft) -> bool:
        """Whether there is nothing to drop, which is told."""
        if action.name in self._extensions or self._facts.ask(_EXTENSION, name=action.name):
            return False
        if "IF EXISTS" not in action.words:
            self._fail(draft, f"there is no extension {action.name}")
        return True


_PARTS = {
    "create a trigger": "trigger",
    "drop a trigger": "trigger",
    "switch a trigger": "trigger",
    "create a policy": "policy",
    "alter a policy": "policy",
    "drop a policy": "policy",
    "drop a rule": "rule",
    "switch a rule": "rule",
}
_HANDLERS = {
    "use a type": Definitions.use_type,
    "create a type": Definitions.create_type,
    "change an enum": Definitions.change_enum,
    "drop a type": Definitions.drop_type,
    "rename a type": Definitions.rename_type,
    "use a trigger function": Definitions.use_trigger_function,
    "create a function": Definitions.create_function,
    "drop a function": Definitions.drop_function,
    "define functions": Definitions.define_functions,
    "create an extension": Definitions.create_extension,
}

__all__ = ["Definitions"]
