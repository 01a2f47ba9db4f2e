"""What is known of the expressions of a MongoDB migration without running it."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


class Shape(enum.Enum):
    """What an expression is. The first six are what the rules are about."""

    DATABASE = "database"
    COLLECTION = "collection"
    CURSOR = "cursor"
    BATCHES = "batches"
    DOCUMENTS = "documents"
    STASH = "stash"
    LIST = "list"
    DICTIONARY = "dictionary"


@dataclass(frozen=True, kw_only=True)
class Value:
    """One expression. A field that is empty means that nothing is known."""

    shape: Shape | None = None
    names: frozenset[str] = frozenset()
    """The collections that it is about."""
    few: bool = False
    """It does not grow with the collection."""
    strings: frozenset[str] = frozenset()
    """The texts that it may be."""
    entries: Mapping[str, Value] = field(default_factory=dict)
    """The entries of a dictionary; `complete`: there are no others."""
    complete: bool = True
    is_true: bool = False
    returned: bool = False
    """A call returned it."""
    elsewhere: bool = False
    """It comes from a call or from a name of which nothing is known: it is no literal."""
    parts: tuple[Value, ...] = ()
    """What it is made of; of a list, the elements."""

    @property
    def is_mongo(self) -> bool:
        return self.shape not in (None, Shape.LIST, Shape.DICTIONARY)

    @property
    def yields_documents(self) -> bool:
        return self.shape in (Shape.CURSOR, Shape.DOCUMENTS)

    @property
    def texts(self) -> frozenset[str] | None:
        """The texts in a list, or the keys of a dictionary; None if one of them is not known."""
        if self.shape is Shape.LIST and all(part.strings for part in self.parts):
            return frozenset().union(*(part.strings for part in self.parts))
        return frozenset(self.entries) if self.shape is Shape.DICTIONARY and self.complete else None

    @property
    def fields(self) -> frozenset[str]:
        """The fields that an operator such as $unset names: by a dictionary, a list or one text."""
        return frozenset(self.entries) or self.texts or self.strings

    @property
    def is_literal(self) -> bool:
        return not any(part.elsewhere or part.is_mongo for part in self.walk())

    def walk(self, seen: set[int] | None = None) -> Iterator[Value]:
        """This value and everything that it is made of, each once."""
        seen = set() if seen is None else seen
        if id(self) not in seen:
            seen.add(id(self))
            yield self
            for part in self.parts:
                yield from part.walk(seen)

    def all_keys(self) -> set[str]:
        """The keys of all dictionaries in it."""
        return {key for part in self.walk() for key in part.entries}

    def merged(self, other: Value) -> Value:
        """What `|` or `**` makes of two dictionaries."""
        complete = self.shape is other.shape is Shape.DICTIONARY and self.complete and other.complete
        entries = {**self.entries, **other.entries}
        return Value(shape=Shape.DICTIONARY, entries=entries, complete=complete, parts=(self, other))


NOTHING = Value()
UNKNOWN = Value(elsewhere=True)


@dataclass(frozen=True)
class Call:
    """A call with its arguments. `on` is what a method is called on."""

    node: ast.Call
    what: str
    on: Value
    positional: tuple[Value, ...]
    named: Mapping[str, Value]

    def argument(self, at: int, *names: str) -> Value:
        """The argument that is passed by one of these names or at this position, or NOTHING."""
        named = [self.named[name] for name in names if name in self.named]
        return next(iter([*named, *self.positional[at:]]), NOTHING)

    @property
    def arguments(self) -> Value:
        named = Value(shape=Shape.DICTIONARY, entries=self.named, parts=tuple(self.named.values()))
        return Value(parts=(self.on, *self.positional, named), elsewhere=True)


def called(node: ast.AST) -> str:
    """The last part of the name of what is called; "" if it has none."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name)) | ast.Call(func=ast.Name(id=name)):
            return name
    return ""


__all__ = ["NOTHING", "UNKNOWN", "Call", "Shape", "Value", "called"]
