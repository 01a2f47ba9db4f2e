"""Walks the functions of a MongoDB migration in the order in which Python would run them, and runs nothing.

Every expression that matters has a `Kind`: a database, a collection, a cursor, a batch of documents, one document, a
stash. They are followed through names, loops and the functions of the file. Where it cannot be told, there is none.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dataops.lint.literals import Names, argument, assigned, called, pairs


class Kind(enum.Enum):
    DATABASE = "database"
    COLLECTION = "collection"
    CURSOR = "cursor"
    BATCHES = "batches"
    DOCUMENTS = "documents"
    DOCUMENT = "document"
    STASH = "stash"


@dataclass(frozen=True)
class Value:
    """What an expression is, and of which collections. `few`: the size of the collection makes it no larger."""

    kind: Kind
    names: frozenset[str] = frozenset()
    few: bool = False


Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

SINGLE_WRITES = {
    "update_one", "update_many", "replace_one", "insert_one", "delete_one", "delete_many",
    "find_one_and_update", "find_one_and_replace", "find_one_and_delete",
}  # fmt: skip
INDEXES = {"create_index", "create_indexes", "ensure_index"}
_SURELY_PYMONGO = {*SINGLE_WRITES, *INDEXES, "insert_many", "bulk_write", "drop_indexes", "find_one"}
_OF_A_DATABASE = {"client", "name", "codec_options", "read_concern", "read_preference", "write_concern"}
_OF_A_CURSOR = {"sort", "hint", "batch_size", "skip", "max_time_ms", "allow_disk_use", "comment", "collation", "clone"}
_HANDED_ON = {"track", "enumerate", "iter", "tqdm", "map", "filter"}
INTO_MEMORY = {"list", "tuple", "set", "frozenset", "sorted", "deque"}
_FEW_RESULTS = {"$limit", "$count", "$sample", "$collStats", "$indexStats", "$merge", "$out"}
_DUPLICATES = {"DuplicateKeyError", "OperationFailure", "BulkWriteError", "PyMongoError"}


@dataclass
class Scope:
    """One function while it is read. The numbers say how many of such blocks we are in."""

    function: str
    names: Names
    values: dict[str, Value] = field(default_factory=dict)
    each_document: int = 0
    in_while: int = 0
    flushing: int = 0
    catching_duplicates: int = 0

    @contextmanager
    def inside(self, block: str, is_one: bool = True) -> Iterator[None]:
        setattr(self, block, getattr(self, block) + is_one)
        yield
        setattr(self, block, getattr(self, block) - is_one)


@dataclass
class Part:
    """A statement of upgrade(): the collections that it speaks of, those that it changes, what it calls and names."""

    line: int
    names: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


class Reader:
    """One file. A function may be read more than once, for what its callers turn out to hand over.

    Whoever derives from it looks at `call`, `into_memory` and `documents_loop`.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.functions: dict[str, Function] = {n.name: n for n in ast.walk(tree) if isinstance(n, Function)}
        self.globals = assigned(tree.body).nodes
        self._given: dict[str, dict[str, Value]] = {}
        self._given_texts: dict[str, dict[str, frozenset[str]]] = {}
        self._returned: dict[str, Value] = {}
        self.start()

    def start(self) -> None:
        """Forget what was found, not what was learned."""
        self.parts: dict[str, list[Part]] = {}
        self.part = Part(0)
        self.scope = Scope("", Names(self.globals))

    def walk(self) -> None:
        """Read every function, until callers hand over nothing new."""
        for _ in range(5):
            known = repr((self._given, self._given_texts, self._returned))
            self.start()
            for name, function in self.functions.items():
                self._function(name, function)
            if repr((self._given, self._given_texts, self._returned)) == known:
                break

    def call(self, call: ast.Call, what: str, on: Value | None) -> None:
        """A call of `what`, as a method of `on` where that is known."""

    def into_memory(self, node: ast.expr | None, at: ast.AST) -> None:
        """All of what `node` yields is going to be there at once."""

    def documents_loop(self, loop: ast.For | ast.AsyncFor) -> None:
        """A loop over a cursor, of which nobody knows how many documents it has."""

    # ---- which functions there are, and what they are called with

    def reached(self, name: str) -> set[str]:
        """This function and those that it calls or hands on, directly or through others."""
        reached: set[str] = set()
        new = {name} & self.functions.keys()
        while new:
            here = new.pop()
            reached.add(here)
            mentioned = {node.id for node in ast.walk(self.functions[here]) if isinstance(node, ast.Name)}
            new |= (mentioned & self.functions.keys()) - reached
        return reached

    def _function(self, name: str, function: Function) -> None:
        self.scope = Scope(name, Names(self.globals))
        parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        for at, parameter in enumerate(parameters):
            if (value := self._parameter(name, parameter, at)) is not None:
                self.scope.values[parameter.arg] = value
            if texts := self._given_texts.get(name, {}).get(parameter.arg):
                elements: list[ast.expr] = [ast.Constant(text) for text in sorted(texts)]
                self.scope.names.choices[parameter.arg] = ast.Tuple(elements, ast.Load())
        self.parts[name] = []
        self._block(function.body)

    def _parameter(self, function: str, parameter: ast.arg, at: int) -> Value | None:
        said = ast.unparse(parameter.annotation) if parameter.annotation else ""
        if "Database" in said or parameter.arg in ("db", "database") or (function in _WAYS and at == 0):
            return Value(Kind.DATABASE)
        if "Stash" in said or parameter.arg == "stash":
            return Value(Kind.STASH)
        known = self._given.get(function, {}).get(parameter.arg)
        return known or (Value(Kind.COLLECTION) if "Collection" in said else None)

    def _hand_over(self, call: ast.Call, function: Function) -> None:
        """Note what a function of the file is called with; of two callers that differ, what holds for both."""
        parameters = [*function.args.posonlyargs, *function.args.args]
        given = {parameter.arg: node for parameter, node in zip(parameters, call.args, strict=False)}
        given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
        values = self._given.setdefault(function.name, {})
        texts = self._given_texts.setdefault(function.name, {})
        for parameter, node in given.items():
            value, before = self.value_of(node), values.get(parameter)
            if value is not None and before is None:
                values[parameter] = value
            elif value is not None and before is not None and value.kind is before.kind:
                values[parameter] = replace(before, names=before.names | value.names, few=before.few and value.few)
            texts[parameter] = texts.get(parameter, frozenset()) | self.scope.names.strings(node)

    def writes(self, name: str, seen: frozenset[str] = frozenset()) -> bool:
        """Whether a function of the file writes a document, itself or through others."""
        calls = [node for node in ast.walk(self.functions[name]) if isinstance(node, ast.Call)]
        if any(isinstance(call.func, ast.Attribute) and call.func.attr in SINGLE_WRITES for call in calls):
            return True
        others = {called(call) for call in calls if isinstance(call.func, ast.Name)} & self.functions.keys()
        return any(self.writes(other, seen | {name}) for other in others - seen - {name})

    # ---- statements, in order

    def _block(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        scope = self.scope
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return  # read by itself
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self._expression(item.context_expr)
                    if isinstance(item.optional_vars, ast.Name):
                        self._set(item.optional_vars.id, item.context_expr)
                self._block(node.body)
                return
            case ast.Try() | ast.TryStar():
                with scope.inside("catching_duplicates", _catches(node, _DUPLICATES)):
                    self._block(node.body)
                for handler in node.handlers:
                    self._block(handler.body)
                self._block([*node.orelse, *node.finalbody])
                return
        outer = self.part
        if outer.line == 0:  # not inside of another one
            self.part = Part(node.lineno)
            self.parts[scope.function].append(self.part)
            inside = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
            self.part.sets = {part.id for part in inside if isinstance(part.ctx, ast.Store)}
            self.part.uses = {part.id for part in inside if isinstance(part.ctx, ast.Load)}
        self._inner(node)
        self.part = outer

    def _inner(self, node: ast.stmt) -> None:
        scope = self.scope
        match node:
            case ast.Assign() | ast.AnnAssign() if node.value is not None:
                self._expression(node.value)
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    for name, given in pairs(target, node.value):
                        self._set(name, given)
            case ast.For() | ast.AsyncFor():
                self._expression(node.iter)
                over = self.value_of(node.iter)
                self._loop_name(node.target, node.iter, over)
                documents = over is not None and over.kind in (Kind.CURSOR, Kind.DOCUMENTS)
                many = over is not None and documents and (not over.few or scope.in_while > 0)
                if over is not None and over.kind is Kind.CURSOR and not over.few:
                    self.documents_loop(node)
                with scope.inside("each_document", many):
                    self._block(node.body)
                self._block(node.orelse)
            case ast.While():
                inside = [each for part in (node.test, *node.body) for each in ast.walk(part)]
                fetches = any(called(each) in ("find_one", "next") for each in inside)
                with scope.inside("in_while"), scope.inside("each_document", fetches):
                    self._expression(node.test)
                    self._block(node.body)
                self._block(node.orelse)
            case ast.If():
                self._expression(node.test)
                tested = list(ast.walk(node.test))
                full = any(called(each) == "len" or isinstance(each, ast.Mod) for each in tested)
                with scope.inside("flushing", full):
                    self._block(node.body)
                self._block(node.orelse)
            case ast.Match():
                self._expression(node.subject)
                for case in node.cases:
                    self._block(case.body)
            case _:
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self._expression(part)
                value = self.value_of(node.value) if isinstance(node, ast.Return) and node.value else None
                if value is not None:
                    self._returned[scope.function] = value

    def _set(self, name: str, node: ast.expr) -> None:
        value = self.value_of(node)
        self.scope.names.give(name, node)
        self.scope.values.pop(name, None)
        if value is not None:
            self.scope.values[name] = value

    def _loop_name(self, target: ast.expr, over: ast.expr, value: Value | None) -> None:
        """The name that a loop sets: one of what it runs over. Of a tuple, as enumerate() makes it, the last."""
        if isinstance(target, ast.Tuple) and target.elts:
            target = target.elts[-1]
        if not isinstance(target, ast.Name):
            return
        self.scope.names.loop(target.id, over)
        self.scope.values.pop(target.id, None)
        if value is not None and value.kind is Kind.BATCHES:
            self.scope.values[target.id] = Value(Kind.DOCUMENTS, value.names)
        elif value is not None and value.kind in (Kind.CURSOR, Kind.DOCUMENTS):
            self.scope.values[target.id] = Value(Kind.DOCUMENT, value.names)

    # ---- expressions

    def _expression(self, node: ast.AST) -> None:
        """Look at every call in it, the inner ones first, and at comprehensions as the loops that they are."""
        if isinstance(node, Comprehension):
            self._comprehension(node)
            return
        for part in ast.iter_child_nodes(node):
            if isinstance(part, ast.expr | ast.keyword):
                self._expression(part)
        if isinstance(node, ast.NamedExpr) and isinstance(node.target, ast.Name):
            self._set(node.target.id, node.value)
        elif isinstance(node, ast.Starred):
            self.into_memory(node.value, node)
        elif isinstance(node, ast.Call):
            self._call(node)

    def _call(self, call: ast.Call) -> None:
        what = called(call)
        if isinstance(call.func, ast.Name) and what in self.functions:
            self._hand_over(call, self.functions[what])
            self.part.calls.add(what)
        if isinstance(call.func, ast.Name) and what in INTO_MEMORY:
            self.into_memory(argument(call, 0), call)
        self.call(call, what, self.receiver(call))

    def _comprehension(self, node: Comprehension) -> None:
        many = False
        for generator in node.generators:
            self._expression(generator.iter)
            over = self.value_of(generator.iter)
            self._loop_name(generator.target, generator.iter, over)
            if not isinstance(node, ast.GeneratorExp):
                self.into_memory(generator.iter, node)
            many |= over is not None and over.kind in (Kind.CURSOR, Kind.DOCUMENTS) and not over.few
        with self.scope.inside("each_document", many):
            for part in ast.iter_child_nodes(node):
                if isinstance(part, ast.expr):
                    self._expression(part)
            for condition in (test for generator in node.generators for test in generator.ifs):
                self._expression(condition)

    # ---- what an expression is

    def value_of(self, node: ast.expr) -> Value | None:
        match node:
            case ast.Name():
                return self.scope.values.get(node.id)
            case ast.Attribute() | ast.Subscript():
                return self._part_of(self.value_of(node.value), node)
            case ast.Call():
                return self._answer(node)
            case ast.GeneratorExp() | ast.ListComp() | ast.SetComp():
                over = self.value_of(node.generators[0].iter)
                lazy = isinstance(node, ast.GeneratorExp)
                if over is None or over.kind not in (Kind.CURSOR, Kind.DOCUMENTS):
                    return None
                return over if lazy else replace(over, kind=Kind.DOCUMENTS)
            case ast.NamedExpr() | ast.Await() | ast.Starred():
                return self.value_of(node.value)
            case ast.IfExp():
                return self.value_of(node.body) or self.value_of(node.orelse)
            case ast.BoolOp():
                return next((value for part in node.values if (value := self.value_of(part))), None)
        return None

    def _part_of(self, base: Value | None, node: ast.Attribute | ast.Subscript) -> Value | None:
        names = frozenset({node.attr}) if isinstance(node, ast.Attribute) else self.scope.names.strings(node.slice)
        match base:
            case Value(Kind.DATABASE):
                other = isinstance(node, ast.Attribute) and node.attr in _OF_A_DATABASE
                return None if other else Value(Kind.COLLECTION, names)
            case Value(Kind.COLLECTION):
                return replace(base, names=frozenset(f"{one}.{more}" for one in base.names for more in names))
            case Value(Kind.STASH) if names == {"db"}:
                return Value(Kind.DATABASE)
            case Value(Kind.DOCUMENTS) if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
                return base
        return None

    def receiver(self, call: ast.Call) -> Value | None:
        """What a method is called on. What nobody but a collection has is a collection's, known or not."""
        if not isinstance(call.func, ast.Attribute):
            return None
        known = self.value_of(call.func.value)
        return known or (Value(Kind.COLLECTION) if call.func.attr in _SURELY_PYMONGO else None)

    def _answer(self, call: ast.Call) -> Value | None:
        what, on = called(call), self.receiver(call)
        strings = self.scope.names.strings
        if on is None:
            if what == "batches":
                return Value(Kind.BATCHES, strings(argument(call, 1, "collection")))
            if what in ("applying", "undoing"):
                return Value(Kind.STASH)
            handed = self.value_of(call.args[-1 if what in ("map", "filter") else 0]) if call.args else None
            if what in INTO_MEMORY and handed is not None:
                return replace(handed, kind=Kind.DOCUMENTS) if handed.kind is Kind.CURSOR else handed
            if what in ("batched", "chunked") and handed is not None:
                return replace(handed, kind=Kind.BATCHES)
            if what == "islice" and handed is not None:
                return replace(handed, few=True)
            return handed if what in _HANDED_ON else self._returned.get(what)
        if on.kind is Kind.DATABASE and what in ("get_collection", "create_collection"):
            return Value(Kind.COLLECTION, strings(argument(call, 0, "name")))
        if on.kind is Kind.COLLECTION:
            if what == "find":
                return Value(Kind.CURSOR, on.names, few=self._finds_few(call))
            if what in ("find_raw_batches", "aggregate_raw_batches"):
                return Value(Kind.BATCHES, on.names)
            if what == "with_options":
                return on
        if what == "aggregate" and on.kind in (Kind.COLLECTION, Kind.DATABASE):
            keys = self.scope.names.keys_within(argument(call, 0, "pipeline"))
            return Value(Kind.CURSOR, on.names, few=bool(keys & _FEW_RESULTS))
        if on.kind is Kind.CURSOR:
            if what == "to_list":
                return Value(Kind.DOCUMENTS, on.names, few=on.few or bool(call.args or call.keywords))
            return replace(on, few=True) if what == "limit" else on if what in _OF_A_CURSOR else None
        return None

    def _finds_few(self, call: ast.Call) -> bool:
        """A limit, an `_id`, or a value or list of values that the migration has already got from somewhere."""
        names = self.scope.names
        if argument(call, 99, "limit") is not None:
            return True
        for key, value in names.items(argument(call, 0, "filter"))[0].items():
            known = names.node(value)
            if isinstance(known, ast.Dict):
                wanted = names.items(known)[0].get("$in")
                if wanted is not None and (key == "_id" or not names.told(wanted)):
                    return True
            elif key == "_id" or not names.told(value):
                return True
        return False


_WAYS = ("upgrade", "downgrade")


def _catches(node: ast.Try | ast.TryStar, errors: set[str]) -> bool:
    types = [part for handler in node.handlers if handler.type for part in ast.walk(handler.type)]
    return any(getattr(part, "id", getattr(part, "attr", "")) in errors for part in types)


__all__ = ["INDEXES", "INTO_MEMORY", "SINGLE_WRITES", "Kind", "Part", "Reader", "Value"]
