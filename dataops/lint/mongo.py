"""Rules about what a MongoDB migration does, read from its syntax tree; it is not run.

Where `dataops.lint.reading` does not know what something is, the rules say nothing: people stop reading false alarms.
"""

from __future__ import annotations

import ast

from dataops import source
from dataops.kinds import MONGODB
from dataops.lint.reading import INDEXES, SINGLE_WRITES, Part, Reader
from dataops.lint.rules import RULES, Finding
from dataops.lint.values import NOTHING, Call, Shape, Value, called
from dataops.model import Migration

_WRITES = {*SINGLE_WRITES, *INDEXES, "insert_many", "bulk_write", "drop", "rename", "drop_index", "drop_indexes"}
_UPDATES = {"update_one", "update_many", "find_one_and_update", "UpdateOne", "UpdateMany"}
_DELETES = {"delete_one", "delete_many", "find_one_and_delete", "DeleteOne", "DeleteMany"}
_WRITING_COMMANDS = {
    "drop", "renameCollection", "insert", "update", "delete", "findAndModify", "create", "createIndexes", "dropIndexes",
    "collMod", "convertToCapped",
}  # fmt: skip
_STASH_KEEPS = {"keep", "plan", "add", "take"}
_STASH_WRITES = {
    "write", "insert", "remove", "take", "give_back", "drop_index", "create_index", "create_indexes", "restore",
    "update",
}  # fmt: skip
_CHANGES = {
    "$set", "$unset", "$inc", "$push", "$pull", "$pullAll", "$mul", "$rename", "$addToSet", "$pop", "$min", "$max",
    "$currentDate", "$addFields",
}  # fmt: skip
_MORE_EACH_TIME = {"$inc", "$mul", "$push", "$pop"}
_GROWING_METHODS = {"append", "extend", "add", "setdefault"}
_GROWS = {"$add", "$subtract", "$multiply", "$divide", "$concatArrays", "$concat"}


def check(service: str, migration: Migration) -> list[Finding]:
    """Every rule M... on one file that parses."""
    try:
        return _Rules(service, migration).read()
    except RecursionError:
        return [Finding(RULES["H001"], migration.path, 1, "it is nested too deeply", service)]


class _Rules(Reader):
    """One file, and what is found in it: a rule at most once a line."""

    def __init__(self, service: str, migration: Migration) -> None:
        super().__init__(source.parse(migration.text))
        self._service = service
        self._migration = migration
        self._reversible = source.constants(self.tree).get("reversible") is not False
        self._found: dict[tuple[str, int], Finding] = {}
        self._kept: list[tuple[frozenset[str], frozenset[str] | None]] = []  # collections and, if not all, fields
        self._created: set[str] = set()
        self._has_looked_for_collections = self._has_looked_for_duplicates = False

    def read(self) -> list[Finding]:
        self.read_file()
        self._tell_concerns()
        if not self._migration.repeatable:
            self._tell("M010", self.functions.get("upgrade"), "after a stop a person has to look and decide")
        return sorted(self._found.values(), key=lambda finding: (finding.line, finding.rule.code))

    def _tell(self, code: str, node: ast.AST | int | None, message: str) -> None:
        line = node if isinstance(node, int) else int(getattr(node, "lineno", 1))
        rule = RULES[code]
        found = Finding(rule, self._migration.path, line, f"{rule.title}: {message}", self._service)
        self._found.setdefault((code, line), found)

    # ---- reading

    def visit_Dict(self, node: ast.Dict) -> Value:  # noqa: N802
        for key in node.keys:
            if isinstance(key, ast.Constant) and key.value == "$out":
                self._tell("M006", key, "what is there now is gone, with every write that comes meanwhile")
        return super().visit_Dict(node)

    def into_memory(self, value: Value, at: ast.AST) -> None:
        if value.shape is Shape.CURSOR and not value.few:
            self._tell("M001", at, f"all documents{_in_words(value.names, 'of ')} that match are in memory at once")

    def loop_over_cursor(self, loop: ast.For | ast.AsyncFor) -> None:
        """Find a list that grows with every document that is read, and is not emptied in between."""
        inside = [each for part in loop.body for each in ast.walk(part)]
        if any(called(each) in ("len", "clear") for each in inside):
            return
        emptied = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        for each in inside:
            match each:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=grown), attr=method)) if method in _GROWING_METHODS:
                    ...
                case ast.Assign(targets=[ast.Subscript(value=ast.Name(id=grown)), *_]):
                    ...
                case _:
                    continue
            value = self.scope.get(grown, NOTHING)
            if grown not in emptied and (value.returned or value.shape in (Shape.LIST, Shape.DICTIONARY)):
                self._tell("M001", each, f"{grown} grows with every document that is read")

    # ---- calls

    def call_of_function(self, call: Call, *, writes: bool) -> None:
        if writes and self._for_each:
            self._tell("M002", call.node, f"{call.what}() sends a command for every document that is read")
        self._has_looked_for_duplicates |= "duplicat" in call.what.lower()

    def call(self, call: Call) -> None:
        first, on, what = call.argument(0, "name", "name_or_collection", "pipeline"), call.on, call.what
        if what == "list_collection_names":
            self._has_looked_for_collections = True
        elif what == "aggregate":
            keys = first.all_keys()
            self._has_looked_for_duplicates |= "$group" in keys and bool(keys & {"$gt", "$gte"})
        elif what == "to_list" and not call.positional:
            self.into_memory(on, call.node)
        if on.shape is Shape.COLLECTION or not on.is_mongo:
            if what in _UPDATES:
                self._update(call, on.names, call.argument(0, "filter"), call.argument(1, "update"))
            if what in _DELETES:
                self._lose(call, "it deletes documents", on.names)
        self._refuse_ours(call, first)
        if on.shape is Shape.COLLECTION:
            self._concerns(on.names, changes=what in _WRITES)
        drops_target = on.is_mongo and "dropTarget" in call.named and call.named["dropTarget"].is_true
        if drops_target:
            self._tell("M007", call.node, "dropTarget drops what is there, with all its documents")
        match on.shape, what:
            case Shape.STASH, _:
                self._call_of_stash(call)
            case ((Shape.DATABASE | Shape.COLLECTION), "aggregate"):
                self._pipeline(call, first)
            case Shape.DATABASE, "create_collection":
                self._created |= first.strings
            case Shape.DATABASE, "drop_collection":
                self._concerns(first.strings, changes=True)
                self._lose(call, f"it drops the collection{_in_words(first.strings)}", first.strings)
            case Shape.DATABASE, "command":
                if (first.strings or {*[*first.entries][:1]}) & {"createIndexes", "collMod"}:
                    self._index(call, call.argument(1, "value").strings)
            case Shape.COLLECTION, "drop":
                self._lose(call, f"it drops the collection{_in_words(on.names)}", on.names)
            case Shape.COLLECTION, "drop_index" | "drop_indexes" if self._matters(on.names):
                self._tell("M005", call.node, "it drops an index, and nobody knows any more how it was defined")
            case Shape.COLLECTION, "rename":
                self._concerns(call.argument(0, "new_name").strings, changes=True)
                if not (drops_target or self._has_looked_for_collections or self._kept):
                    self._tell("M007", call.node, "nothing looks whether it is there, or whether this was done already")
            case Shape.COLLECTION, method if method in INDEXES:
                self._index(call, on.names)
            case Shape.COLLECTION, method if method in SINGLE_WRITES and self._for_each:
                self._tell("M002", call.node, f"{method} for every document that is read")

    def _refuse_ours(self, call: Call, first: Value) -> None:
        """Find a call that changes the record, the journal or the lock, or drops the database with all of them."""
        on, what, changed = call.on, call.what, frozenset[str]()
        if on.shape is Shape.COLLECTION and what in _WRITES:
            changed = on.names | (call.argument(0, "new_name").strings if what == "rename" else frozenset())
        elif on.shape is Shape.DATABASE and what == "drop_collection":
            changed = first.strings or first.names
        elif on.shape is Shape.DATABASE and what == "command":
            asked = call.argument(0, "command")
            names = asked.strings | asked.entries.keys()
            if names & _WRITING_COMMANDS:
                told = [call.argument(1, "value"), *call.named.values(), *asked.entries.values()]
                texts = frozenset[str]().union(*(value.strings for value in told))
                changed = texts | {text.partition(".")[2] for text in texts}  # renameCollection has DATABASE.COLLECTION
            if "dropDatabase" in names:
                self._tell("M011", call.node, "it drops the database, with the record and the journal")
        elif what == "drop_database" and not (first.strings and first.is_literal):
            self._tell("M011", call.node, "it drops the database, with the record and the journal")
        if changed & MONGODB.ours:
            self._tell("M011", call.node, f"{what}{_in_words(changed & MONGODB.ours, 'of ')}")

    def _call_of_stash(self, call: Call) -> None:
        of, what = call.argument(0, "collection", "source").strings, call.what
        self._concerns(of, changes=what in _STASH_WRITES)
        if what in _STASH_KEEPS:
            fields = call.argument(2, "fields").texts if what == "keep" else None
            self._kept.append((of, fields))
        match what:
            case "plan" | "copy" | "merge":
                other = call.argument(2, "source", "into").strings
                self._concerns(other, changes=what != "plan")
                self._pipeline(call, call.argument(1, "pipeline"))
                if what == "merge":
                    self._unset(call, call.argument(3, "matched"), other)
            case "update":
                self._update(call, of, call.argument(1, "match"), call.argument(2, "update"))
            case "add" | "note" if self._for_each:
                self._tell("M002", call.node, f"stash.{what} sends a command for every document that is read")
            case "create_index" | "create_indexes":
                self._index(call, of)

    @property
    def _for_each(self) -> bool:
        return self.where.each_document and not self.where.batch_is_full

    def _concerns(self, collections: frozenset[str], *, changes: bool) -> None:
        self.part.mentions |= collections
        self.part.changes |= collections if changes else set()

    def _pipeline(self, call: Call, pipeline: Value) -> None:
        """The collections that a pipeline reads (from) and writes (into)."""
        for entries in (part.entries for part in pipeline.walk()):
            into = entries.get("into", NOTHING).strings
            if (into | entries.get("$out", NOTHING).strings) & MONGODB.ours:
                self._tell("M011", call.node, "it writes the result of a pipeline there")
            self._concerns(into | entries.get("$out", NOTHING).strings, changes=True)
            self._concerns(entries.get("from", NOTHING).strings, changes=False)
            self._unset(call, entries.get("whenMatched", NOTHING), into)

    def _index(self, call: Call, on: frozenset[str]) -> None:
        if on and on <= self._created:
            return
        options = {name: value for part in call.arguments.walk() for name, value in part.entries.items()}
        looked = self._has_looked_for_duplicates or self.where.catches_duplicates
        if options.get("unique", NOTHING).is_true and self.going_up and not looked:
            who = f"two documents{_in_words(on, 'of ')} with the same key"
            self._tell("M003", call.node, f"{who} stop the migration, or the application")
        if "expireAfterSeconds" in options:
            self._tell("M008", call.node, "within a minute, all that are older, and nothing brings them back")

    def _update(self, call: Call, on: frozenset[str], asked: Value, update: Value) -> None:
        changed: set[str] = set()
        again: set[str] = set()  # what a second run would change once more, in words
        for stage in update.parts if update.shape is Shape.LIST else [update]:
            for operator, value in stage.entries.items():
                if operator in _CHANGES:
                    changed |= value.fields
                    again |= {f"{key} from itself" for key, new in value.entries.items() if _grows(key, new)}
                if operator in _MORE_EACH_TIME:
                    again.add(f"{operator} of {', '.join(sorted(value.fields)) or 'a field'}")
        if again and not _asks_for(asked, changed):
            text = f"{' and '.join(sorted(again))}, and the filter finds the same documents again"
            self._tell("M004", call.node, text)
        self._unset(call, update, on)

    def _unset(self, call: Call, update: Value, on: frozenset[str]) -> None:
        for part in update.walk():
            if "$unset" in part.entries:
                tops = _tops(part.entries["$unset"].fields)
                self._lose(call, f"it removes {', '.join(sorted(tops)) or 'a field'}", on, tops)

    # ---- the whole file

    def _matters(self, on: frozenset[str]) -> bool:
        """Whether it matters that something of these collections is thrown away here."""
        return self._reversible and self.going_up and not (on and on <= self._created)

    def _lose(self, call: Call, what: str, on: frozenset[str], fields: frozenset[str] | None = None) -> None:
        """Something is thrown away. `fields`: only these; None for whole documents."""
        kept = [aside for names, aside in self._kept if not names or not on or names & on]
        if None in kept or not self._matters(on):
            return
        aside = frozenset[str]().union(*(fields for fields in kept if fields))
        if fields is None:
            self._tell("M005", call.node, what)
        elif not kept or fields - aside:
            self._tell("M005", call.node, what + (f"; put aside is {', '.join(sorted(aside))}" if aside else ""))

    def _tell_concerns(self) -> None:
        """Collections belong together when one statement mentions both, or passes something on to the other."""
        groups: list[Part] = []
        for part in self.parts:
            related = [one for one in groups if one.mentions & part.mentions or one.sets & part.uses]
            groups = [one for one in groups if one not in related] + [_joined([*related, part])]
        changes = sorted((group.line, sorted(group.changes)) for group in groups if group.changes)
        if len(changes) > 1:
            told = " | ".join(", ".join(together) for _, together in changes)
            self._tell("M009", changes[1][0], f"these have nothing to do with each other here: {told}")


def _grows(field: str, value: Value) -> bool:
    """Whether a field is computed from itself, so that it changes each time."""
    return bool(_GROWS & value.entries.keys()) and any(f"${field}" in part.strings for part in value.walk())


def _asks_for(asked: Value, changed: set[str]) -> bool:
    """Whether a filter asks for a field that the update changes. A filter that cannot be read is trusted."""
    operators = [value for key, value in asked.entries.items() if key.startswith("$")]  # $or, $expr
    if asked.shape is not Shape.DICTIONARY or not asked.complete or not all(value.is_literal for value in operators):
        return True
    inside = [part for value in operators for part in value.walk()]
    paths = {text.lstrip("$") for part in inside for text in part.strings if text.startswith("$")}
    return bool(_tops({*asked.entries, *paths}.union(*(part.entries for part in inside))) & _tops(changed))


def _joined(parts: list[Part]) -> Part:
    union = [
        set().union(*column) for column in zip(*((p.mentions, p.changes, p.sets, p.uses) for p in parts), strict=True)
    ]
    return Part(min(part.line for part in parts), *union)


def _tops(fields: set[str] | frozenset[str]) -> frozenset[str]:
    return frozenset(field.partition(".")[0] for field in fields)


def _in_words(names: frozenset[str], of: str = "") -> str:
    return f" {of}{' or '.join(sorted(names))}" if names else ""


__all__ = ["check"]
