"""Reads a MongoDB migration in the order in which Python would run it, without running anything.

An abstract interpreter: `visit` says what an expression is, as a `Value`, and reports calls and loops to subclasses.
Values are followed through names, loops and calls of functions of the file.
"""

from __future__ import annotations

import ast
from collections import ChainMap, Counter
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field, replace

from dataops.lint.values import NOTHING, UNKNOWN, Call, Shape, Value, called

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
_BLOCKS = ast.With | ast.AsyncWith | ast.Try | ast.TryStar | Function | ast.ClassDef

SINGLE_WRITES = {
    "update_one", "update_many", "replace_one", "insert_one", "delete_one", "delete_many",
    "find_one_and_update", "find_one_and_replace", "find_one_and_delete",
}  # fmt: skip
INDEXES = {"create_index", "create_indexes", "ensure_index"}
_SURELY_PYMONGO = {*SINGLE_WRITES, *INDEXES, "insert_many", "bulk_write", "drop_indexes", "find_one"}
_OF_A_DATABASE = {"client", "name", "codec_options", "read_concern", "read_preference", "write_concern"}
_OF_A_CURSOR = {"sort", "hint", "batch_size", "skip", "max_time_ms", "allow_disk_use", "comment", "collation", "clone"}
_HANDED_ON = {"track", "enumerate", "iter", "tqdm", "map", "filter"}
_INTO_MEMORY = {"list", "tuple", "set", "frozenset", "sorted", "deque"}
_CONVENTIONS = {  # a word in the annotation of a parameter, or its name
    "Database": Value(shape=Shape.DATABASE), "db": Value(shape=Shape.DATABASE), "database": Value(shape=Shape.DATABASE),
    "Stash": Value(shape=Shape.STASH), "stash": Value(shape=Shape.STASH), "Collection": Value(shape=Shape.COLLECTION),
}  # fmt: skip
_FEW_RESULTS = {"$limit", "$count", "$sample", "$collStats", "$indexStats", "$merge", "$out"}
_MOST_TIMES = 50  # that one function is read, so that helpers that call each other come to an end
_DUPLICATES = {"DuplicateKeyError", "OperationFailure", "BulkWriteError", "PyMongoError"}


@dataclass(frozen=True)
class Where:
    """The function that is being read, and which blocks around the current place matter to a rule."""

    function: str = ""
    each_document: bool = False
    in_while: bool = False
    batch_is_full: bool = False
    catches_duplicates: bool = False


@dataclass
class Part:
    """A statement of upgrade(): the collections that it mentions and changes, and the names that it sets and uses."""

    line: int
    mentions: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


class Reader(ast.NodeVisitor):
    """Reads one file. Subclasses override `call`, `call_of_function`, `into_memory` and `loop_over_cursor`."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.functions: dict[str, Function] = {n.name: n for n in ast.walk(tree) if isinstance(n, Function)}
        self.parts: list[Part] = []
        self.part = Part(0)
        self.where = Where()
        self.going_up = True
        self.single_writes = 0  # how many were met so far
        self.scope: MutableMapping[str, Value] = {}
        self._globals = self.scope
        self._returned: Value = NOTHING
        self._running: list[str] = []
        self._times_read: Counter[str] = Counter()

    def read_file(self) -> None:
        """Read the top level, upgrade() and downgrade() with the functions that they call, and then the others."""
        self._block(self.tree.body)
        for name in dict.fromkeys(["upgrade", "downgrade", *self.functions]):
            if name in self.functions and not self._times_read[name]:
                self.going_up = name != "downgrade"
                first = self.functions[name].args.args[:1] if name in ("upgrade", "downgrade") else []
                self._run(self.functions[name], {parameter.arg: Value(shape=Shape.DATABASE) for parameter in first})

    def call(self, call: Call) -> None:
        """A call of a method, or of a function that is not in the file."""

    def call_of_function(self, call: Call, *, writes: bool) -> None:
        """A call of a function of the file; `writes`: it writes a document."""

    def into_memory(self, value: Value, at: ast.AST) -> None:
        """Everything that `value` yields is in memory at once."""

    def loop_over_cursor(self, loop: ast.For | ast.AsyncFor) -> None:
        """A loop over a cursor that may have any number of documents."""

    # ---- statements

    def _run(self, function: Function, arguments: dict[str, Value]) -> Value:
        """Read a function as it is called with these arguments, and say what it returns."""
        if function.name in self._running or self._times_read[function.name] == _MOST_TIMES:
            return UNKNOWN
        outer = self.where, self.scope, self._returned
        self.where, self.scope, self._returned = Where(function.name), ChainMap({}, self._globals), UNKNOWN
        for parameter in _parameters(function):
            passed = replace(arguments.get(parameter.arg, UNKNOWN), elsewhere=True)
            said = ast.unparse(parameter.annotation) if parameter.annotation else ""
            usual = (value for word, value in _CONVENTIONS.items() if word in said or word == parameter.arg)
            self.scope[parameter.arg] = passed if passed.is_mongo else next(usual, passed)
        self._times_read[function.name] += 1
        self._running.append(function.name)
        self._block(function.body)
        self._running.pop()
        returned = self._returned
        self.where, self.scope, self._returned = outer
        return returned

    def _block(self, nodes: Iterable[ast.AST], **facts: bool) -> tuple[Value, ...]:
        """Visit these nodes. The facts of `Where` that are given as True hold in there."""
        before = self.where
        self.where = Where(**{**vars(before), **{fact: True for fact, holds in facts.items() if holds}})
        values = tuple(self.visit(node) for node in nodes)
        self.where = before
        return values

    def visit(self, node: ast.AST) -> Value:
        outer = self.part
        in_upgrade = self.where.function == "upgrade" and outer.line == 0
        if in_upgrade and isinstance(node, ast.stmt) and not isinstance(node, _BLOCKS):
            names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
            self.part = Part(
                node.lineno,
                sets={name.id for name in names if isinstance(name.ctx, ast.Store)},
                uses={name.id for name in names if isinstance(name.ctx, ast.Load)},
            )
            self.parts.append(self.part)
        value: Value | None = super().visit(node)
        self.part = outer
        return value or NOTHING

    def generic_visit(self, node: ast.AST) -> Value:
        return Value(parts=tuple(self.visit(child) for child in ast.iter_child_nodes(node)))

    def visit_FunctionDef(self, node: ast.stmt) -> None:
        """It is read where it is called."""

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef  # noqa: N815

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            value = self.visit(item.context_expr)
            if isinstance(item.optional_vars, ast.Name):
                self.scope[item.optional_vars.id] = value
        self._block(node.body)

    visit_AsyncWith = visit_With  # noqa: N815

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        types = [part for handler in node.handlers if handler.type for part in ast.walk(handler.type)]
        caught = {getattr(part, "id", getattr(part, "attr", "")) for part in types}
        self._block(node.body, catches_duplicates=bool(caught & _DUPLICATES))
        self._block([*node.handlers, *node.orelse, *node.finalbody])

    visit_TryStar = visit_Try  # noqa: N815

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign | ast.NamedExpr) -> Value:
        value = self.visit(node.value) if node.value is not None else UNKNOWN
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Name):
                self.scope[target.id] = value
            elif isinstance(target, ast.Tuple) and value.shape is Shape.LIST:
                for one, part in zip(target.elts, value.parts, strict=False):
                    if isinstance(one, ast.Name):
                        self.scope[one.id] = part
        return value

    visit_AnnAssign = visit_NamedExpr = visit_Assign  # noqa: N815

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        over = self._loop(node.target, node.iter)
        if over.shape is Shape.CURSOR and not over.few:
            self.loop_over_cursor(node)
        many = over.yields_documents and (not over.few or self.where.in_while)
        self._block(node.body, each_document=many)
        self._block(node.orelse)

    visit_AsyncFor = visit_For  # noqa: N815

    def visit_While(self, node: ast.While) -> None:
        inside = [node.test, *node.body]
        fetches = any(called(each) in ("find_one", "next") for part in inside for each in ast.walk(part))
        self._block(inside, in_while=True, each_document=fetches)
        self._block(node.orelse)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        full = any(called(each) == "len" or isinstance(each, ast.Mod) for each in ast.walk(node.test))
        self._block(node.body, batch_is_full=full)
        self._block(node.orelse)

    def visit_Return(self, node: ast.Return) -> None:
        value = self.visit(node.value) if node.value is not None else NOTHING
        if value.is_mongo or not self._returned.is_mongo:
            self._returned = value

    def _loop(self, target: ast.expr, iterated: ast.expr) -> Value:
        """Give the name of a loop its value, and say what the loop runs over. Of several names the last counts."""
        over = self.visit(iterated)
        if isinstance(target, ast.Tuple) and target.elts:  # as of enumerate()
            target = target.elts[-1]
        if isinstance(target, ast.Name):
            one = Value(parts=(over,), elsewhere=True, strings=over.texts or frozenset())
            is_batches = over.shape is Shape.BATCHES
            self.scope[target.id] = Value(shape=Shape.DOCUMENTS, names=over.names) if is_batches else one
        return over

    # ---- expressions

    def visit_Constant(self, node: ast.Constant) -> Value:
        strings = frozenset({node.value}) if isinstance(node.value, str) else frozenset[str]()
        return Value(strings=strings, is_true=node.value is True)

    def visit_Name(self, node: ast.Name) -> Value:
        if node.id in self.functions:  # it is passed on, to be called by somebody
            self._run(self.functions[node.id], {})
        return self.scope.get(node.id, UNKNOWN)

    def visit_List(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        return Value(shape=Shape.LIST, parts=tuple(self.visit(element) for element in node.elts))

    visit_Tuple = visit_Set = visit_List  # noqa: N815

    def visit_Dict(self, node: ast.Dict) -> Value:
        found = Value(shape=Shape.DICTIONARY)
        for key_node, node_of_value in zip(node.keys, node.values, strict=True):
            key, value = self.visit(key_node) if key_node else NOTHING, self.visit(node_of_value)
            found = found.merged(_entries(key.strings, value, parts=(key, value)) if key_node else value)
        return found

    def visit_BinOp(self, node: ast.BinOp) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        return left.merged(right) if isinstance(node.op, ast.BitOr) else Value(parts=(left, right))

    def visit_IfExp(self, node: ast.IfExp | ast.BoolOp) -> Value:
        parts = self.generic_visit(node).parts  # the test, or the operator, and what the result may be
        strings = frozenset[str]().union(*(part.strings for part in parts[1:]))
        return next((part for part in parts[1:] if part.is_mongo), Value(parts=parts, strings=strings))

    visit_BoolOp = visit_IfExp  # noqa: N815

    def visit_Await(self, node: ast.Await) -> Value:
        return self.visit(node.value)

    def visit_Starred(self, node: ast.Starred) -> Value:
        value = self.visit(node.value)
        self.into_memory(value, node)
        return Value(parts=(value,))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> Value:
        return replace(self.generic_visit(node), elsewhere=True)

    def visit_ListComp(self, node: Comprehension) -> Value:
        loops = [(generator, self._loop(generator.target, generator.iter)) for generator in node.generators]
        if not isinstance(node, ast.GeneratorExp):
            for _, over in loops:
                self.into_memory(over, node)
        many = any(over.yields_documents and not over.few for _, over in loops)
        results = [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
        tests = [test for generator, _ in loops for test in generator.ifs]
        parts = self._block([*results, *tests], each_document=many)
        first = loops[0][1]
        if not first.yields_documents or isinstance(node, ast.DictComp):
            return Value(parts=(first, *parts), elsewhere=True)
        return first if isinstance(node, ast.GeneratorExp) else replace(first, shape=Shape.DOCUMENTS)

    visit_SetComp = visit_DictComp = visit_GeneratorExp = visit_ListComp  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute | ast.Subscript) -> Value:
        base = self.visit(node.value)
        is_attribute = isinstance(node, ast.Attribute)
        key = Value(strings=frozenset({node.attr})) if isinstance(node, ast.Attribute) else self.visit(node.slice)
        match base.shape:
            case Shape.DATABASE if not (is_attribute and key.strings <= _OF_A_DATABASE):
                return Value(shape=Shape.COLLECTION, names=key.strings)
            case Shape.COLLECTION:
                return replace(base, names=frozenset(f"{one}.{more}" for one in base.names for more in key.strings))
            case Shape.STASH if key.strings == {"db"}:
                return Value(shape=Shape.DATABASE)
            case Shape.DOCUMENTS if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
                return base
        return Value(parts=(base, key))

    visit_Subscript = visit_Attribute  # noqa: N815

    def visit_Call(self, node: ast.Call) -> Value:
        what = called(node)
        function = self.functions.get(what) if isinstance(node.func, ast.Name) else None
        on = NOTHING
        if isinstance(node.func, ast.Attribute):
            on = self.visit(node.func.value)
            self.single_writes += what in SINGLE_WRITES
            if not on.is_mongo and what in _SURELY_PYMONGO:
                on = Value(shape=Shape.COLLECTION, parts=(on,))
        elif function is None:
            self.visit(node.func)
        positional = [(arg, self.visit(arg)) for arg in node.args]
        named = [(word.arg, self.visit(word.value)) for word in node.keywords]
        plain = tuple(value for arg, value in positional if not isinstance(arg, ast.Starred))
        call = Call(node, what, on, plain, {name: value for name, value in named if name})
        if isinstance(node.func, ast.Name) and what in _INTO_MEMORY and plain:
            self.into_memory(plain[0], node)
        result = self._call_of_function(call, function) if function else _result(call)
        self.call(call)
        return replace(result, returned=True)

    def _call_of_function(self, call: Call, function: Function) -> Value:
        before = self.single_writes
        positional = zip((parameter.arg for parameter in _parameters(function)), call.positional, strict=False)
        result = self._run(function, {**dict(positional), **call.named})
        self.call_of_function(call, writes=self.single_writes > before)
        if result.shape in (None, Shape.DICTIONARY):
            return replace(result, parts=(*result.parts, call.arguments))
        return result


def _result(call: Call) -> Value:
    """What comes out of a method, or of a function that is not in the file."""
    if call.on.is_mongo:
        return _result_of_method(call, call.on)
    passed = call.argument(-1 if call.what in ("map", "filter") else 0)
    match call.what, passed.is_mongo:
        case "batches", _:
            return Value(shape=Shape.BATCHES, names=call.argument(1, "collection").strings)
        case (("applying" | "undoing"), _):
            return Value(shape=Shape.STASH)
        case "fromkeys", _:
            keys = passed.texts
            return replace(_entries(keys or frozenset(), call.arguments), complete=keys is not None, elsewhere=True)
        case (("batched" | "chunked"), True):
            return replace(passed, shape=Shape.BATCHES)
        case "islice", True:
            return replace(passed, few=True)
        case what, True if what in _INTO_MEMORY and passed.shape is Shape.CURSOR:
            return replace(passed, shape=Shape.DOCUMENTS)
        case what, True if what in _INTO_MEMORY | _HANDED_ON:
            return passed
        case (("list" | "tuple" | "sorted"), False):
            return replace(passed, elsewhere=True)
    return call.arguments


def _result_of_method(call: Call, on: Value) -> Value:
    match on.shape, call.what:
        case Shape.DATABASE, "get_collection" | "create_collection":
            return Value(shape=Shape.COLLECTION, names=call.argument(0, "name").strings)
        case ((Shape.DATABASE | Shape.COLLECTION), "aggregate"):
            few = bool(call.argument(0, "pipeline").all_keys() & _FEW_RESULTS)
            return Value(shape=Shape.CURSOR, names=on.names, few=few)
        case Shape.COLLECTION, "find":
            return Value(shape=Shape.CURSOR, names=on.names, few=_finds_few(call))
        case Shape.COLLECTION, "find_raw_batches" | "aggregate_raw_batches":
            return replace(on, shape=Shape.BATCHES)
        case Shape.COLLECTION, "with_options":
            return on
        case Shape.CURSOR, "to_list":
            return replace(on, shape=Shape.DOCUMENTS, few=on.few or bool(call.positional or call.named))
        case Shape.CURSOR, "limit":
            return replace(on, few=True)
        case Shape.CURSOR, method if method in _OF_A_CURSOR:
            return on
    return call.arguments


def _finds_few(call: Call) -> bool:
    """Whether there is a limit, or the filter asks for an `_id` or for values that the migration got elsewhere."""
    if "limit" in call.named:
        return True
    for key, value in call.argument(0, "filter").entries.items():
        asks_for = value.entries.get("$in") if value.shape is Shape.DICTIONARY else value
        if asks_for is not None and (key == "_id" or not asks_for.is_literal):
            return True
    return False


def _entries(keys: frozenset[str], value: Value, parts: tuple[Value, ...] = ()) -> Value:
    entries = dict.fromkeys(keys, value)
    return Value(shape=Shape.DICTIONARY, entries=entries, complete=bool(keys), parts=parts or (value,))


def _parameters(function: Function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


__all__ = ["INDEXES", "SINGLE_WRITES", "Part", "Reader"]
