"""Holds documents against the validators of their collections, on the server, which only reads."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from pymongo.database import Database

from dataops.backends.mongo.inspection import NAME
from dataops.documents import Breaks, Broken, Demand, Looked, demands
from dataops.redaction import redact

_SECONDS = 20
_MOST_DEMANDS = 200
_MOST_NAMES = 8
_COUNT = {"$count": "n"}

Document = dict[str, Any]


def hold(db: Database[Document], collection: str, validator: Mapping[str, Any], sample: int | None) -> Looked:
    """Look at a sample of so many documents (None: at all), in one question, so that all counts are of the same ones.

    A sample that takes the server too long raises the driver's error for that.
    """
    asked = list(islice(demands(validator), _MOST_DEMANDS + 1))
    asked = asked if len(asked) <= _MOST_DEMANDS else []
    facets: dict[str, list[Document]] = {"all": [_COUNT], "wrong": [_misfits(validator), _COUNT]}
    for number, demand in enumerate(asked):
        facets[f"d{number}"] = [_misfits(demand.query), _COUNT]
        if demand.breaks is Breaks.UNKNOWN:
            facets[f"n{number}"] = _names(demand)
    taken: list[Document] = [] if sample is None else [{"$sample": {"size": sample}}]
    limit: dict[str, Any] = {} if sample is None else {"maxTimeMS": _SECONDS * 1000}
    (found,) = db[collection].aggregate([*taken, {"$facet": facets}], **limit)
    broken = [
        Broken(demand, _number(found[f"d{number}"]), _counted(found.get(f"n{number}", [])))
        for number, demand in enumerate(asked)
    ]
    whole = _number(found["all"]), _number(found["wrong"])
    return Looked(collection, *whole, tuple(one for one in broken if one.count))


def _misfits(query: Mapping[str, Any]) -> Document:
    return {"$match": {"$nor": [query]}}


def _number(rows: list[Document]) -> int:
    return int(rows[0]["n"]) if rows else 0


def _names(demand: Demand) -> list[Document]:
    """The names of the fields that a closed object has and should not have, the most frequent first."""
    held = "$$ROOT" if not demand.path else f"${demand.path}"
    fields = {"$cond": [{"$eq": [{"$type": held}, "object"]}, {"$objectToArray": held}, []]}
    return [
        _misfits(demand.query),
        {"$project": {"_id": 0, "field": fields}},
        {"$unwind": "$field"},
        {"$match": {"field.k": {"$nin": sorted(demand.known)}}},
        {"$group": {"_id": "$field.k", "n": {"$sum": 1}}},
        {"$sort": {"n": -1, "_id": 1}},
        {"$limit": _MOST_NAMES},
    ]


def _counted(rows: list[Document]) -> dict[str, int]:
    """By name; names that are data, such as ids that are used as keys, are not shown."""
    counts: dict[str, int] = {}
    for row in rows:
        name = redact(row["_id"]) if NAME.fullmatch(row["_id"]) else "a key that is data"
        counts[name] = counts.get(name, 0) + int(row["n"])
    return counts


__all__ = ["hold"]
