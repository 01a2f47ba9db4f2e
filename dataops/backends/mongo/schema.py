"""Writes the Python that makes a MongoDB database again: collections and indexes with all options, and documents.

It may be stopped at any command and run again: what is there already is not made a second time.
"""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from bson import Decimal128, Int64, ObjectId
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo.database import Database

from dataops.backends.mongo import catalogue
from dataops.schema import Schema

Document = dict[str, Any]

_IMPORTS = {
    "datetime.datetime(": "import datetime",
    "UUID(": "from uuid import UUID",
    **{
        f"{name}(": f"from bson import {name}"
        for name in (
            "Binary", "Code", "DBRef", "Decimal128", "Int64", "MaxKey", "MinKey", "ObjectId", "Regex", "Timestamp",
        )
    },
    "DatetimeMS(": "from bson.datetime_ms import DatetimeMS",
    "IndexModel(": "from pymongo import IndexModel",
    "ReplaceOne(": "from pymongo import ReplaceOne",
}  # fmt: skip
"""What the statements need, by what stands in them."""
_WIDE = 110
_EVERY_DATE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_SERVERS_CHOICE = {"v", "ns", "key", "background", "textIndexVersion", "2dsphereIndexVersion"}


def read(db: Database[Document], record: str, *, most_rows: int) -> Schema:
    """The schema of the database, and its documents where there are at most so many in all."""
    found = sorted(catalogue.collections(db, record), key=lambda info: (info["type"] == "view", str(info["name"])))
    statements = ["there = set(db.list_collection_names())"] if found else []
    counts: dict[str, int] = {}
    for info in found:
        statements += _collection(db, info)
        if info["type"] != "view" and (count := db[info["name"]].count_documents({})):
            counts[str(info["name"])] = count
    data, left_out = dict[str, int](), dict[str, int]()
    kinds = {str(info["name"]): str(info["type"]) for info in found}
    validators = {str(info["name"]): info.get("options", {}).get("validator") for info in found}
    for name, count in sorted(counts.items(), key=lambda one: (one[1], one[0])):
        if sum(data.values()) + count > most_rows or kinds[name] == "timeseries":
            left_out[name] = count
        else:
            data[name] = count
            statements.append(_documents(db, name, validators.get(name)))
    others = ("stored functions (system.js)",) if "system.js" in db.list_collection_names() else ()
    return Schema(tuple(statements), data, left_out, others, imports=tuple(_imports("\n".join(statements))))


def _imports(text: str) -> Iterator[str]:
    """The lines that import what the statements need: Python's own modules first."""
    needed = [line for name, line in _IMPORTS.items() if re.search(rf"(?<![\w.]){re.escape(name)}", text)]
    for module in sorted({line.rpartition(" import ")[0] for line in needed if " import " in line}, key=_place):
        names = sorted(line.rpartition(" ")[2] for line in needed if line.startswith(f"{module} import "))
        yield f"{module} import {', '.join(names)}"
    yield from (line for line in needed if line.startswith("import "))


def _place(module: str) -> tuple[bool, str]:
    return module != "from uuid", module


def _collection(db: Database[Document], info: Mapping[str, Any]) -> Iterator[str]:
    name, options = str(info["name"]), {**info.get("options", {})}
    options.pop("autoIndexId", None)
    default = options.get("collation")
    if default:
        options["collation"] = catalogue.chosen(default)
    if options.get("clusteredIndex"):
        options["clusteredIndex"] = {key: one for key, one in options["clusteredIndex"].items() if key != "v"}
    keywords = "".join(f", {key}={_written(value, 8)}" for key, value in options.items() if key.isidentifier())
    yield f"if {literal(name)} not in there:\n    db.create_collection({literal(name)}{keywords})"
    if info["type"] == "view":
        return
    models = [
        _model(index, inherits=bool(default))
        for index in db[name].list_indexes()
        if index["name"] != "_id_" and not index.get("clustered")
    ]
    if models:
        listed = "".join(f"    {model},\n" for model in models)
        yield f"db[{literal(name)}].create_indexes([\n{listed}])"


def _model(index: Mapping[str, Any], *, inherits: bool) -> str:
    keys: list[tuple[str, object]] = []
    for field, kind in index["key"].items():
        if field == "_fts":  # how the server writes down a text index; `weights` has its fields
            keys += [(name, "text") for name in index["weights"]]
        elif field != "_ftsx":
            keys.append((field, _whole(kind)))
    options = {key: value for key, value in index.items() if key not in _SERVERS_CHOICE}
    if "collation" in options:
        options["collation"] = catalogue.chosen(options["collation"])
    elif inherits:  # otherwise it would get the collation of its collection
        options["collation"] = {"locale": "simple"}
    others = {key: value for key, value in options.items() if not key.isidentifier()}
    parts = [_written(keys, 12), *(f"{key}={_written(options[key], 12)}" for key in options if key not in others)]
    parts += [f"**{_written(others, 12)}"] if others else []
    text = f"IndexModel({', '.join(parts)})"
    if len(text) + 8 <= _WIDE:
        return text
    return "IndexModel(\n" + "".join(f"        {part},\n" for part in parts) + "    )"


def _documents(db: Database[Document], name: str, validator: Mapping[str, Any] | None) -> str:
    found = db.get_collection(name, codec_options=_EVERY_DATE).find().sort("_id", 1)
    lines = "".join(
        f"    ReplaceOne({{'_id': {_written(one['_id'], 4)}}}, {_written(one, 4)}, upsert=True),\n" for one in found
    ).replace("{'_id'", '{"_id"')
    # A validator is only asked about what is written after it was set, so it may refuse what was there before.
    refused = validator and db[name].find_one({"$nor": [validator]}, {"_id": 1})
    return f"db[{literal(name)}].bulk_write([\n{lines}]{', bypass_document_validation=True' if refused else ''})"


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _written(value: object, indent: int) -> str:
    """A value as Python, on one line where that is short enough."""
    text = literal(value)
    if len(text) + indent <= _WIDE or not isinstance(value, Mapping | list) or not value:
        return text
    inner = " " * (indent + 4)
    if isinstance(value, Mapping):
        parts = [f"{literal(key)}: {_written(one, indent + 4)}" for key, one in value.items()]
        return "{\n" + "".join(f"{inner}{part},\n" for part in parts) + " " * indent + "}"
    return "[\n" + "".join(f"{inner}{_written(one, indent + 4)},\n" for one in value) + " " * indent + "]"


def literal(value: object) -> str:
    """A value of a document as Python on one line, which gives the same BSON again."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case tuple():
            return f"({', '.join(map(literal, value))})"
        case Int64():
            return f"Int64({int(value)})"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return f'float("{value}")'
        case datetime.datetime():
            value = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo else value
            return repr(value)
        case ObjectId():
            return f'ObjectId("{value}")'
        case Decimal128():
            return f'Decimal128("{value}")'
        case uuid.UUID():
            return f'UUID("{value}")'
        case str() if '"' not in value and "\\" not in value and value.isprintable():
            return f'"{value}"'
    return repr(value)


__all__ = ["literal", "read"]
