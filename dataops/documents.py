"""Whether documents are as the validator of their collection says, as values: which parts of it do not hold. Pure.

The server holds documents against a validator when they are written, and only where its level and action say so. What
was there before, and what was let in with a warning, is found by `dataops drift`. The server itself decides what fits;
here its validator is only taken apart, so that each answer has a name: a field is missing, has another type, and so on.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataops.catalogue import Difference, Differs
from dataops.text import shortened

Schema = Mapping[str, Any]


class Breaks(enum.Enum):
    """In which way a document does not fit."""

    MISSING = "missing"
    TYPE = "type"
    UNKNOWN = "unknown"
    VALUE = "value"


@dataclass(frozen=True)
class Demand:
    """A part of a validator: `query` finds the documents that fit. `path` is the field that it is about, "" for all.

    Of UNKNOWN, `known` are the names that are allowed.
    """

    breaks: Breaks
    path: str
    query: Mapping[str, Any]
    says: str
    known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Broken:
    """How many documents do not fit a demand. Of UNKNOWN, `names` are the most frequent fields, and how often each."""

    demand: Demand
    count: int
    names: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """What was found in one collection: so many documents were looked at, and `wrong` of them do not fit."""

    collection: str
    documents: int
    wrong: int
    broken: tuple[Broken, ...] = ()


@dataclass(frozen=True)
class Looking:
    """How documents are held against validators: a `sample` of so many (None: all, 0: none).

    `most` is the share of the documents, from 0 to 1, that may be wrong in each way without being told.
    """

    sample: int | None = 1000
    most: Mapping[Breaks, float] = field(default_factory=dict)


def demands(validator: Schema) -> Iterator[Demand]:
    """The parts of a validator, each of which a document has to fit."""
    for key, value in validator.items():
        if key == "$jsonSchema" and isinstance(value, Mapping):
            yield from _of_schema(value, ())
        else:
            yield Demand(Breaks.VALUE, "", {key: value}, _text({key: value}))


_TYPE_WORDS = ("bsonType", "type")
_OBJECT_WORDS = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
_SAYS_NOTHING = frozenset({"title", "description", *_TYPE_WORDS, *_OBJECT_WORDS})


def _of_schema(schema: Schema, path: tuple[str, ...]) -> Iterator[Demand]:
    """The demands of a schema on the object at `path`; its type is that of the field that holds it."""
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        yield _demand(Breaks.MISSING, (*path, name), path, {"required": [name]}, "in every document")
    kept = {key: schema[key] for key in ("patternProperties",) if key in schema}
    every: dict[str, Any] = {name: {} for name in properties}
    if schema.get("additionalProperties") is False:
        any_value: dict[str, Any] = {pattern: {} for pattern in schema.get("patternProperties", ())}
        closed = {"additionalProperties": False, "properties": every, "patternProperties": any_value}
        says = f"no field but {', '.join(properties) or 'none'}"
        yield _demand(Breaks.UNKNOWN, path, path, closed, says, frozenset(properties))
    elif isinstance(schema.get("additionalProperties"), Mapping):
        kept |= {"additionalProperties": schema["additionalProperties"], "properties": every}
    rest = kept | {key: value for key, value in schema.items() if key not in _SAYS_NOTHING}
    if rest:
        yield _demand(Breaks.VALUE, path, path, rest, _text(rest))
    if not path and (typed := {key: schema[key] for key in _TYPE_WORDS if key in schema}):
        yield _demand(Breaks.TYPE, path, path, typed, _types(typed))
    for name, of in properties.items():
        typed = {key: of[key] for key in _TYPE_WORDS if key in of}
        if typed:
            yield _demand(Breaks.TYPE, (*path, name), path, {"properties": {name: typed}}, _types(typed))
        yield from _of_schema(of, (*path, name))


def _demand(
    breaks: Breaks,
    about: tuple[str, ...],
    path: tuple[str, ...],
    schema: Schema,
    says: str,
    known: frozenset[str] = frozenset(),
) -> Demand:
    """`schema` is said of the object at `path`. What is no object there fits: its type is a demand of its own."""
    for name in reversed(path):
        schema = {"properties": {name: schema}}
    return Demand(breaks, ".".join(about), {"$jsonSchema": schema}, says, known)


def _types(typed: Schema) -> str:
    names = [name for value in typed.values() for name in ([value] if isinstance(value, str) else value)]
    return " or ".join(map(str, names))


def _text(value: object) -> str:
    return shortened(json.dumps(value, default=str, sort_keys=True, ensure_ascii=False), 120)


def differences(looked: Looked, looking: Looking, ignoring: Collection[str] = ()) -> Iterator[Difference]:
    """What is told of one collection, in the order of the validator."""
    of = f"{looked.documents:,} document{'' if looked.documents == 1 else 's'}"
    for one in looked.broken:
        name = ".".join(part for part in (looked.collection, one.demand.path) if part)
        owners = {name.rsplit(".", count)[0] for count in range(name.count(".") + 1)}
        share = one.count / looked.documents if looked.documents else 0.0
        if share > looking.most.get(one.demand.breaks, 0.0) and not owners & set(ignoring):
            words = {
                Breaks.MISSING: "missing",
                Breaks.TYPE: "another type",
                Breaks.UNKNOWN: ", ".join(f"{field} ({count:,})" for field, count in one.names.items()) or "others",
                Breaks.VALUE: "another value",
            }[one.demand.breaks]
            yield Difference(
                Differs.DIFFERENT, "documents", name, one.demand.says, f"{words}, in {one.count:,} of {of}"
            )
    if looked.wrong and not looked.broken:  # too much of a validator to take apart
        fits = "documents that fit the validator"
        yield Difference(Differs.DIFFERENT, "documents", looked.collection, fits, f"{looked.wrong:,} of {of} do not")


__all__ = ["Breaks", "Broken", "Demand", "Looked", "Looking", "demands", "differences"]
