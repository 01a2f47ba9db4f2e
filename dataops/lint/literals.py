"""What the literals of a file say: names are followed to where they got their value, once, if that is all there is."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass
class Names:
    """What names stand for: in one function, and outside of it (`outer`). `choices`: what a loop's name runs over.

    No name stands for something that it is itself a part of: such a value is not known.
    """

    outer: Mapping[str, ast.expr] = field(default_factory=dict)
    nodes: dict[str, ast.expr] = field(default_factory=dict)
    choices: dict[str, ast.expr] = field(default_factory=dict)

    def give(self, name: str, node: ast.expr) -> None:
        self._forget(name)
        if not self._speaks_of(name, node):
            self.nodes[name] = node

    def loop(self, name: str, over: ast.expr) -> None:
        self._forget(name)
        if not self._speaks_of(name, over):
            self.choices[name] = over

    def _forget(self, name: str) -> None:
        self.choices.pop(name, None)
        self.nodes[name] = _UNKNOWN

    def _speaks_of(self, name: str, node: ast.expr) -> bool:
        return any(isinstance(part, ast.Name) and part.id == name for part in self.within(node))

    def node(self, node: ast.expr | None) -> ast.expr | None:
        """The expression behind a name, through other names; the node itself where it is none."""
        for _ in range(8):
            if not isinstance(node, ast.Name):
                return node
            node = self.nodes.get(node.id) or self.outer.get(node.id)
        return None

    def strings(self, node: ast.expr | None) -> frozenset[str]:
        """The texts that it may be; none where that cannot be told."""
        if isinstance(node, ast.Name) and node.id in self.choices:
            return self.texts(self.choices[node.id]) or frozenset()
        known = self.node(node)
        if isinstance(known, ast.Constant) and isinstance(known.value, str):
            return frozenset({known.value})
        if isinstance(known, ast.IfExp):
            return self.strings(known.body) | self.strings(known.orelse)
        return frozenset()

    def texts(self, node: ast.expr | None) -> frozenset[str] | None:
        """The texts in a list or tuple, or None where one of them cannot be told."""
        known = self.node(node)
        if isinstance(known, ast.Call) and called(known) in ("list", "tuple", "sorted") and known.args:
            return self.texts(known.args[0])
        if isinstance(known, ast.Dict):
            known = ast.List(elts=[key or ast.Name(id="") for key in known.keys], ctx=ast.Load())
        if not isinstance(known, ast.List | ast.Tuple | ast.Set):
            return None
        found = [self.strings(element) for element in known.elts]
        return frozenset().union(*found) if all(found) else None

    def items(self, node: ast.expr | None) -> tuple[dict[str, ast.expr], bool]:
        """The entries of a dictionary by their keys, and whether those are all: `|`, `**` and fromkeys are followed."""
        known = self.node(node)
        if isinstance(known, ast.BinOp) and isinstance(known.op, ast.BitOr):
            (left, left_all), (right, right_all) = self.items(known.left), self.items(known.right)
            return left | right, left_all and right_all
        if isinstance(known, ast.Call) and ast.unparse(known.func) == "dict.fromkeys" and known.args:
            keys = self.texts(known.args[0])
            return dict.fromkeys(keys or (), known), keys is not None
        if not isinstance(known, ast.Dict):
            return {}, False
        found: dict[str, ast.expr] = {}
        complete = True
        for key, value in zip(known.keys, known.values, strict=True):
            if key is None:
                inner, all_of_them = self.items(value)
                found |= inner
                complete &= all_of_them
            else:
                names = self.strings(key)
                found |= dict.fromkeys(names, value)
                complete &= bool(names)
        return found, complete

    def within(self, node: ast.expr | None) -> Iterator[ast.AST]:
        """Every node in it, and in what its names stand for; of each name once."""
        left = [node] if node is not None else []
        seen: set[str] = set()
        while left:
            for part in ast.walk(left.pop()):
                yield part
                if isinstance(part, ast.Name) and part.id not in seen:
                    seen.add(part.id)
                    behind = self.choices.get(part.id) or self.nodes.get(part.id) or self.outer.get(part.id)
                    left += [behind] if behind is not None else []

    def keys_within(self, node: ast.expr | None) -> set[str]:
        """Every key of every dictionary in it."""
        found: set[str] = set()
        for part in self.within(node):
            if isinstance(part, ast.Dict):
                found |= set(self.items(part)[0])
        return found

    def texts_within(self, node: ast.expr | None) -> set[str]:
        return {n.value for n in self.within(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}

    def told(self, node: ast.expr | None) -> bool:
        """Whether it is a literal through and through: no call, no text made of pieces, no name that is not known."""
        for part in self.within(node):
            if isinstance(part, ast.Call | ast.JoinedStr | ast.DictComp) or (
                isinstance(part, ast.Name) and self.node(part) in (None, _UNKNOWN)
            ):
                return False
        return node is not None


_UNKNOWN = ast.Name(id="", ctx=ast.Load())


def assigned(statements: Iterable[ast.AST], outer: Mapping[str, ast.expr] | None = None) -> Names:
    """The names that get their value in one of these statements; one that gets several is not known."""
    names = Names(outer or {})
    for node in statements:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name, given in pairs(target, node.value):
                    names.give(name, _UNKNOWN if name in names.nodes else given)
    return names


def pairs(target: ast.expr, value: ast.expr) -> list[tuple[str, ast.expr]]:
    """What each name of an assignment gets, where that can be told: `a, b = 1, 2`."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        both = zip(target.elts, value.elts, strict=False)
        return [(one.id, given) for one, given in both if isinstance(one, ast.Name)]
    return [(target.id, value)] if isinstance(target, ast.Name) else []


def called(node: ast.AST) -> str:
    """The last part of the name of what is called; "" where it has none."""
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def argument(call: ast.Call, at: int, *names: str) -> ast.expr | None:
    """An argument, by position or by one of its names."""
    for keyword in call.keywords:
        if keyword.arg in names:
            return keyword.value
    plain = [arg for arg in call.args if not isinstance(arg, ast.Starred)]
    return plain[at] if at < len(plain) else None


__all__ = ["Names", "argument", "assigned", "called", "pairs"]
