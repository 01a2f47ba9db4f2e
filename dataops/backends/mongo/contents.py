"""Table digests of the collections of a MongoDB database. Each collection is read once, in constant memory.

A field is hashed with its BSON type and the bytes of its value. So 1 as int, as long and as double are three values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, cast

import bson
from bson import ObjectId, json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from dataops.backends.mongo.catalogue import collections
from dataops.contents import EACH, Contents, TableDigest

Document = dict[str, Any]

_MODULUS = 1 << 64
_EVERY_DATE: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)

# How many bytes a value of each BSON type has (https://bsonspec.org). A value of a type in _COUNTED begins with its
# length in four bytes; the number here is how many bytes come on top of that length.
_SIZES = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_COUNTED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
_REGEX = 0x0B


def read(db: Database[Document], record: str, most: int = EACH) -> Contents:
    """Digest every collection of the application. What others write meanwhile may be included or not.

    `record` is the name of the native record, which is left out. Of collections with at most `most` documents, every
    document gets a digest.
    """
    return {
        str(info["name"]): _table_digest(db, str(info["name"]), most)
        for info in collections(db, record)
        if info["type"] != "view"
    }


def _table_digest(db: Database[Document], name: str, most: int) -> TableDigest:
    count = 0
    fields: dict[str, int] = defaultdict(int)
    each: dict[str, Mapping[str, int]] | None = {}
    documents = cast(Iterable[RawBSONDocument], db.get_collection(name, codec_options=_RAW).find())
    for document in documents:
        values = dict(elements(bytes(document.raw)))
        id_ = values.get("_id", b"")
        digests = {field: _digest(id_ + field.encode() + b"\0" + value) for field, value in values.items()}
        count += 1
        for field, digest in digests.items():
            fields[field] = (fields[field] + digest) % _MODULUS
        if each is not None:
            each[_shown(id_)] = digests
            if count > most:
                each = None
    return TableDigest("documents", count, dict(fields), each)


def elements(document: bytes) -> Iterator[tuple[str, bytes]]:
    """The top-level fields of a BSON document: each name, with the bytes of its type and value."""
    at, end = 4, len(document) - 1
    while at < end:
        kind = document[at]
        value = document.index(0, at + 1) + 1
        if kind in _SIZES:
            after = value + _SIZES[kind]
        elif kind == _REGEX:
            after = document.index(0, document.index(0, value) + 1) + 1
        else:
            after = value + int.from_bytes(document[value : value + 4], "little") + _COUNTED[kind]
        yield (
            document[at + 1 : value - 1].decode(errors="backslashreplace"),
            document[at : at + 1] + document[value:after],
        )
        at = after


def _digest(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "big")


def _shown(id_: bytes) -> str:
    if not id_:
        return ""
    body = id_[:1] + b"\0" + id_[1:] + b"\0"
    return shown(bson.decode((len(body) + 4).to_bytes(4, "little") + body, codec_options=_EVERY_DATE)[""])


def shown(value: Any) -> str:
    """An _id for people: hex digits for an ObjectId, otherwise JSON, with its type where plain JSON lacks it."""
    if isinstance(value, ObjectId):
        return str(value)
    plain = type(value) in (int, float, str)
    return json.dumps(value) if plain else json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)


__all__ = ["elements", "read", "shown"]
