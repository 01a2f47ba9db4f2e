"""Rules about what a MongoDB migration does, read from its syntax tree; it is not run.

Where `dataops.lint.reading` cannot tell what something is, nothing is said: a rule that cries wolf is soon not read.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from dataops import source
from dataops.lint.literals import Names, argument, assigned, called
from dataops.lint.reading import INDEXES, SINGLE_WRITES, Kind, Part, Reader, Value
from dataops.lint.rules import RULES, Finding
from dataops.model import Migration

_WRITES = {*SINGLE_WRITES, *INDEXES, "insert_many", "bulk_write", "drop", "rename", "drop_index", "drop_indexes"}
_UPDATES = {"update_one", "update_many", "find_one_and_update", "UpdateOne", "UpdateMany"}
_DELETES = {"delete_one", "delete_many", "find_one_and_delete", "DeleteOne", "DeleteMany"}
_STASH_KEEPS = {"keep", "plan", "add", "take"}
_STASH_WRITES = {"write", "insert", "remove", "take", "give_back", "drop_index", "create_index", "restore", "update"}
_CHANGES = {
    "$set", "$unset", "$inc", "$push", "$pull", "$pullAll", "$mul", "$rename", "$addToSet", "$pop", "$min", "$max",
    "$currentDate",
}  # fmt: skip
_MORE_EACH_TIME = {"$inc", "$mul", "$push", "$pop"}
_GROWS = {"$add", "$subtract", "$multiply", "$divide", "$concatArrays", "$concat"}


def check(service: str, migration: Migration) -> list[Finding]:
    """Every rule M... on one file that parses."""
    try:
        return _Rules(service, migration).read()
    except RecursionError:
        return [Finding(RULES["H001"], migration.path, 1, "it is nested too deeply", service)]


@dataclass(frozen=True)
class _Kept:
    """Put aside: of which collections (none: not known), which fields (None: whole documents, or not known)."""

    names: frozenset[str]
    fields: frozenset[str] | None
    function: str
    line: int


@dataclass(frozen=True)
class _Lost(_Kept):
    """Thrown away; `what` says it in words, `index` that no document is concerned."""

    what: str = ""
    index: bool = False

    def before(self, kept: _Kept) -> bool:
        return self.function == kept.function and self.line < kept.line


class _Rules(Reader):
    """One file, and what is found in it: a rule at most once a line."""

    def __init__(self, service: str, migration: Migration) -> None:
        super().__init__(source.parse(migration.text))
        self._service = service
        self._migration = migration
        self._up = self.reached("upgrade")
        self._down = self.reached("downgrade")

    def start(self) -> None:
        super().start()
        self._found: dict[tuple[str, int], Finding] = {}
        self._kept: list[_Kept] = []
        self._lost: list[_Lost] = []

    def read(self) -> list[Finding]:
        self._look_around()
        self.walk()
        if source.constants(self.tree).get("reversible") is not False:
            self._tell_losses()
        self._tell_concerns()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Dict):
                for key in node.keys:
                    if isinstance(key, ast.Constant) and key.value == "$out":
                        self._tell("M006", key, "what is there now is gone, with every write that comes meanwhile")
        if not self._migration.repeatable:
            self._tell("M010", self.functions.get("upgrade"), "after a stop a person has to look and decide")
        return sorted(self._found.values(), key=lambda finding: (finding.line, finding.rule.code))

    def _tell(self, code: str, node: ast.AST | int | None, message: str) -> None:
        line = node if isinstance(node, int) else int(getattr(node, "lineno", 1))
        rule = RULES[code]
        found = Finding(rule, self._migration.path, line, f"{rule.title}: {message}", self._service)
        self._found.setdefault((code, line), found)

    def _goes_up(self) -> bool:
        """Whether upgrade() gets here; a function that neither calls counts as if it did."""
        return self.scope.function in self._up or self.scope.function not in self._down

    def _look_around(self) -> None:
        """What the file does anywhere: look for duplicates, look which collections there are, make some."""
        self._probes = self._looks = False
        self._made: set[str] = set()
        names = Names(self.globals)
        for name in self.functions:
            for node in ast.walk(self.functions[name]):
                if not isinstance(node, ast.Call):
                    continue
                what = called(node)
                self._looks |= what == "list_collection_names"
                self._probes |= "duplicat" in what.lower() and what in self.functions
                if what == "create_collection":
                    self._made |= names.strings(argument(node, 0, "name"))
                if what == "aggregate":
                    local = assigned(ast.walk(self.functions[name]), self.globals)
                    keys = local.keys_within(argument(node, 0, "pipeline"))
                    self._probes |= "$group" in keys and bool(keys & {"$gt", "$gte"})

    def documents_loop(self, loop: ast.For | ast.AsyncFor) -> None:
        """A list that gets something for every document that is read, and is not emptied in between."""
        inside = [each for part in loop.body for each in ast.walk(part)]
        if any(called(each) in ("len", "clear") for each in inside):
            return
        emptied = {each.id for each in inside if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        for each in inside:
            grown: ast.expr | None = None
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute):
                grown = each.func.value if each.func.attr in ("append", "extend", "add", "setdefault") else None
            elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Subscript):
                grown = each.targets[0].value
            empty_before = isinstance(self.scope.names.node(grown), _EMPTY)
            if isinstance(grown, ast.Name) and empty_before and grown.id not in emptied:
                self._tell("M001", each, f"{grown.id} grows with every document that is read")

    def into_memory(self, node: ast.expr | None, at: ast.AST) -> None:
        value = self.value_of(node) if node is not None else None
        if value is not None and value.kind is Kind.CURSOR and not value.few:
            self._tell("M001", at, f"all documents{_of(value.names)} that match are in memory at once")

    # ---- calls

    def call(self, call: ast.Call, what: str, on: Value | None) -> None:
        if what in self.functions and isinstance(call.func, ast.Name) and self._for_each() and self.writes(what):
            self._tell("M002", call, f"{what}() sends a command for every document that is read")
        if what == "to_list" and not call.args and isinstance(call.func, ast.Attribute):
            self.into_memory(call.func.value, call)
        if what in _UPDATES and (on is None or on.kind is Kind.COLLECTION):
            self._update(call, on.names if on else frozenset())
        if what in _DELETES and (on is None or on.kind is Kind.COLLECTION):
            self._lose(call, "it deletes documents", on.names if on else frozenset())
        match on:
            case Value(Kind.STASH):
                self._of_a_stash(call, what)
            case Value(Kind.COLLECTION):
                self._of_a_collection(call, what, on)
            case Value(Kind.DATABASE):
                self._of_a_database(call, what)

    def _for_each(self) -> bool:
        """Whether this is done for every document; what is done when a batch is full is not."""
        return self.scope.each_document > 0 and not self.scope.flushing

    def _of_a_stash(self, call: ast.Call, what: str) -> None:
        strings = self.scope.names.strings
        names = strings(argument(call, 0, "collection", "source"))
        self.part.names |= names
        if what in _STASH_WRITES:
            self.part.written |= names
        if what in ("plan", "copy", "merge"):
            self._pipeline(call, argument(call, 1, "pipeline"))
            other = strings(argument(call, 2, "source", "into"))
            self.part.names |= other
            if what != "plan":
                self.part.written |= other
                self._unset(call, argument(call, 3, "matched"), other)
        if what == "update":
            self._update(call, names, first=1)
        if what in _STASH_KEEPS:
            fields = argument(call, 2, "fields") if what == "keep" else None
            kept = self.scope.names.texts(fields) if fields is not None else None
            self._kept.append(_Kept(names, kept, self.scope.function, call.lineno))
        if what in ("add", "note") and self._for_each():
            self._tell("M002", call, f"stash.{what} sends a command for every document that is read")
        if what == "create_index":
            self._index(call, names)

    def _of_a_collection(self, call: ast.Call, what: str, on: Value) -> None:
        self.part.names |= on.names
        if what in _WRITES:
            self.part.written |= on.names
        if what == "aggregate":
            self._pipeline(call, argument(call, 0, "pipeline"))
        if what in SINGLE_WRITES and self._for_each():
            self._tell("M002", call, f"{what} for every document that is read")
        if what == "drop":
            self._lose(call, f"it drops the collection{_named(on.names)}", on.names)
        if what in ("drop_index", "drop_indexes"):
            self._lose(call, "it drops an index, and nobody knows any more how it was defined", on.names, index=True)
        if what in INDEXES:
            self._index(call, on.names)
        if what == "rename":
            to = self.scope.names.strings(argument(call, 0, "new_name"))
            self.part.names |= to
            self.part.written |= to
            if _true(argument(call, 99, "dropTarget")):
                self._tell("M007", call, "dropTarget drops what is there, with all its documents")
            elif not self._looks and not self._kept:
                self._tell("M007", call, "nothing looks whether it is there, or whether this was done already")

    def _of_a_database(self, call: ast.Call, what: str) -> None:
        names = self.scope.names
        if what == "aggregate":
            self._pipeline(call, argument(call, 0, "pipeline"))
        if what == "drop_collection":
            dropped = names.strings(argument(call, 0, "name_or_collection"))
            self.part.names |= dropped
            self.part.written |= dropped
            self._lose(call, f"it drops the collection{_named(dropped)}", dropped)
        if what == "command" and call.args:
            first = names.node(call.args[0])
            said = names.strings(first) or frozenset(list(names.items(first)[0])[:1])
            if said & {"createIndexes", "collMod"}:
                self._index(call, names.strings(argument(call, 1, "value")))
            if "renameCollection" in said and any(
                isinstance(part, ast.keyword) and part.arg == "dropTarget" and _true(part.value)
                for part in names.within(call)
            ):
                self._tell("M007", call, "dropTarget drops what is there, with all its documents")

    def _pipeline(self, call: ast.Call, pipeline: ast.expr | None) -> None:
        """The collections that a pipeline reads (from) and writes (into)."""
        names = self.scope.names
        for node in names.within(pipeline):
            if isinstance(node, ast.Dict):
                entries = names.items(node)[0]
                into = names.strings(entries.get("into")) | names.strings(entries.get("$out"))
                self.part.written |= into
                self.part.names |= into | names.strings(entries.get("from"))
                self._unset(call, entries.get("whenMatched"), names.strings(entries.get("into")))

    def _index(self, call: ast.Call, on: frozenset[str]) -> None:
        new = bool(on) and on <= self._made
        options: dict[str, ast.expr] = {}
        for node in self.scope.names.within(call):
            if isinstance(node, ast.keyword) and node.arg:
                options.setdefault(node.arg, node.value)
            elif isinstance(node, ast.Dict):
                options |= self.scope.names.items(node)[0]
        looked = self._probes or self.scope.catching_duplicates
        if _true(options.get("unique")) and not new and not looked and self._goes_up():
            self._tell("M003", call, f"two documents{_of(on)} with the same key stop the migration, or the application")
        if "expireAfterSeconds" in options and not new:
            self._tell("M008", call, "within a minute, all that are older, and nothing brings them back")

    # ---- updates

    def _update(self, call: ast.Call, on: frozenset[str], *, first: int = 0) -> None:
        names = self.scope.names
        asked, update = argument(call, first, "filter", "match"), argument(call, first + 1, "update")
        changed: set[str] = set()
        again: set[str] = set()
        stages = names.node(update)
        for stage in stages.elts if isinstance(stages, ast.List | ast.Tuple) else [update]:
            for operator, value in names.items(stage)[0].items():
                if operator not in _CHANGES | {"$addFields"}:
                    continue
                fields = set(names.items(value)[0]) | set(names.texts(value) or names.strings(value))
                changed |= fields
                if stage is update and operator in _MORE_EACH_TIME:
                    again.add(f"{operator} of {', '.join(sorted(fields)) or 'a field'}")
                elif stage is not update:
                    again |= {
                        f"{key} from itself" for key, new in names.items(value)[0].items() if self._grows(key, new)
                    }
        if again and not self._asks_for(asked, changed):
            self._tell("M004", call, f"{' and '.join(sorted(again))}, and the filter finds the same documents again")
        self._unset(call, update, on)

    def _grows(self, key: str, value: ast.expr) -> bool:
        """Whether a field is worked out of itself, so that it is another one each time."""
        known = self.scope.names.node(value)
        operators = set(self.scope.names.items(known)[0]) if isinstance(known, ast.Dict) else set()
        return bool(operators & _GROWS) and f"${key}" in self.scope.names.texts_within(known)

    def _asks_for(self, asked: ast.expr | None, changed: set[str]) -> bool:
        """Whether the filter asks for a field that the update changes; one that cannot be read is trusted."""
        names = self.scope.names
        entries, complete = names.items(asked)
        mentioned = set(entries)
        for operator in (key for key in entries if key.startswith("$")):  # $or, $expr
            complete &= names.told(entries[operator])
            mentioned |= names.keys_within(entries[operator])
            mentioned |= {text.lstrip("$") for text in names.texts_within(entries[operator]) if text.startswith("$")}
        tops = {field.partition(".")[0] for field in changed}
        return not complete or any(field.partition(".")[0] in tops for field in mentioned)

    def _unset(self, call: ast.Call, update: ast.expr | None, on: frozenset[str]) -> None:
        names = self.scope.names
        for node in names.within(update):
            if isinstance(node, ast.Dict) and "$unset" in (entries := names.items(node)[0]):
                gone = entries["$unset"]
                fields = frozenset(names.items(gone)[0]) or names.texts(gone) or names.strings(gone)
                tops = frozenset(field.partition(".")[0] for field in fields)
                what = f"it removes {', '.join(sorted(tops)) or 'a field'}"
                self._lose(call, what, on, tops)

    # ---- what is thrown away

    def _lose(
        self, call: ast.Call, what: str, on: frozenset[str], fields: frozenset[str] | None = None, index: bool = False
    ) -> None:
        if self._goes_up() and not (on and on <= self._made):
            self._lost.append(_Lost(on, fields, self.scope.function, call.lineno, what, index))

    def _tell_losses(self) -> None:
        for lost in self._lost:
            kept = [one for one in self._kept if not (one.names and lost.names and not one.names & lost.names)]
            kept = [one for one in kept if not lost.before(one)]
            whole = any(one.fields is None for one in kept)
            if lost.index or (lost.fields is None and not whole):
                self._tell("M005", lost.line, lost.what)
            elif lost.fields is not None and not whole:
                aside = frozenset().union(*(one.fields or () for one in kept))
                if not kept or lost.fields - aside:
                    gone = f"; put aside is {', '.join(sorted(aside))}" if aside else ""
                    self._tell("M005", lost.line, lost.what + gone)

    # ---- what it is about

    def _tell_concerns(self) -> None:
        """Collections belong together when one statement speaks of both, or hands something over to the other."""
        groups: list[tuple[set[str], set[str], list[Part]]] = []  # collections, names of values, parts
        for part in self.parts.get("upgrade", []):
            names, written = set(part.names), set(part.written)
            for function in {reached for name in part.calls for reached in self.reached(name)}:
                names |= {name for inner in self.parts[function] for name in inner.names}
                written |= {name for inner in self.parts[function] for name in inner.written}
            here = (names | written, part.sets, [replace(part, written=written)])
            for group in [one for one in groups if one[0] & here[0] or one[1] & part.uses]:
                groups.remove(group)
                here = (here[0] | group[0], here[1] | group[1], [*group[2], *here[2]])
            groups.append(here)
        changed = []
        for _, _, parts in groups:
            if together := sorted({name for part in parts for name in part.written}):
                changed.append((min(part.line for part in parts), together))
        if len(changed) > 1:
            changed.sort()
            told = " | ".join(", ".join(together) for _, together in changed)
            self._tell("M009", changed[1][0], f"these have nothing to do with each other here: {told}")


_EMPTY = ast.List | ast.Dict | ast.Set | ast.Call


def _true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _of(names: frozenset[str]) -> str:
    return f" of {' or '.join(sorted(names))}" if names else ""


def _named(names: frozenset[str]) -> str:
    return f" {' or '.join(sorted(names))}" if names else ""


__all__ = ["check"]
