"""The templates of MongoDB."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dataops.errors import UsageError
from dataops.scaffold.part import Part, Place

_BACKFILL = "from dataops.backfill import backfill"
_BOTH = "from dataops.backfill import backfill, restore"
_BACKGROUND = "background = True  # a deployment does not wait for it: dataops apply --background"


def _value(place: Place) -> str:
    """The value as Python: JSON, or an expression such as $total."""
    try:
        return repr(json.loads(place.value)) if place.value else "None"
    except ValueError:
        return repr(place.value)


def backfill(place: Place) -> Sequence[Part]:
    """One file that gives a field to the documents without one."""
    todo = "" if place.value else "  # write the value, or an expression such as $total"
    missing = f'{{"{place.column}": {{"$exists": False}}}}'
    stages = f'[{{"$set": {{"{place.column}": {_value(place)}}}}}]'
    return [
        Part(
            "",
            f"Gives every document of {place.table} without {place.column} one, in batches, beside the application. "
            f"It stays "
            "on the way back.",
            f'backfill(db, "{place.table}", where={missing}, set={stages}){todo}',
            "pass",
            _BACKFILL,
            f"{_BACKGROUND}\nreversible = True",
        )
    ]


def expand(place: Place) -> Sequence[Part]:
    raise UsageError(
        "MongoDB needs no file for a new field: a document may have any",
        hint=f"to fill it: --template backfill --on {place.table}.{place.column}; to demand it: --template not-null",
    )


def contract(place: Place) -> Sequence[Part]:
    """One file that takes a field away, with its values put aside; after a rename, a first one that looks once "
    "more."""
    table, field = place.table, place.column
    there = f'{{"{field}": {{"$exists": True}}}}'
    gone = Part(
        "gone",
        f"Takes {field} away from the documents of {table}, in batches, with its values put aside. Apply this when "
        f"no application "
        "needs it any more.",
        f'backfill(db, "{table}", where={there}, set={{"$unset": {{"{field}": ""}}}}, keep=["{field}"])',
        f'restore(db, "{table}")',
        _BOTH,
        _BACKGROUND,
    )
    if not place.to:
        return [gone]
    same = Part(
        "the same",
        f"Gives {place.to} of {table} what {field} has, before {field} goes, where an application of before has "
        f"written only that.",
        f'backfill(\n    db,\n    "{table}",\n'
        f'    where={{"{field}": {{"$exists": True}}, "$expr": {{"$ne": ["${field}", "${place.to}"]}}}},\n'
        f'    set=[{{"$set": {{"{place.to}": "${field}"}}}}],\n)',
        "pass",
        _BACKFILL,
        f"{_BACKGROUND}\nreversible = True",
    )
    return [same, gone]


def rename(place: Place) -> Sequence[Part]:
    """One file that gives documents a field under its new name too."""
    table, old, new = place.table, place.column, place.to
    return [
        Part(
            "both names",
            f"Gives the documents of {table} their {old} under the name {new} too, in batches. The application of "
            f"before writes {old} only; the one of after writes both, and reads {new}, or {old} where there is none. "
            f"When only that one runs: dataops new --template contract --on {table}.{old} --to {new}",
            f'backfill(\n    db,\n    "{table}",\n'
            f'    where={{"{old}": {{"$exists": True}}, "{new}": {{"$exists": False}}}},\n'
            f'    set=[{{"$set": {{"{new}": "${old}"}}}}],\n    keep=["{new}"],\n)',
            f'restore(db, "{table}")',
            _BOTH,
            _BACKGROUND,
        )
    ]


def index(place: Place) -> Sequence[Part]:
    """One file that builds an index: MongoDB does that beside the application."""
    name = f"{place.column.replace('.', '_')}_1"
    return [
        Part(
            "",
            f"Builds an index on {place.column} of {place.table}, beside the application.",
            f'db["{place.table}"].create_index([("{place.column}", 1)], name="{name}")',
            f'if "{name}" in db["{place.table}"].index_information():\n    db["{place.table}"].drop_index("{name}")',
            above="repeatable = True",
        )
    ]


def not_null(place: Place) -> Sequence[Part]:
    """The files after which every document has a value, and the collection demands one."""
    table, field = place.table, place.column
    todo = "" if place.value else "  # write the value, or an expression such as $total"
    missing = f'{{"{field}": None}}'  # null, or no such field
    return [
        Part(
            "filled",
            f"Gives every document of {table} whose {field} is null or missing a value, in batches, beside the "
            f"application.",
            f'backfill(db, "{table}", where={missing}, set=[{{"$set": {{"{field}": {_value(place)}}}}}]){todo}',
            "pass",
            _BACKFILL,
            f"{_BACKGROUND}\nreversible = True",
        ),
        Part(
            "demanded",
            f"Lets the collection {table} take no document without {field}, beside what its validator says already.",
            f"""
            with applying(db, name) as stash:
                stash.created("{table}")
                if "{table}" not in db.list_collection_names():
                    db.create_collection("{table}")
                (found,) = db.list_collections(filter={{"name": "{table}"}})
                before = stash.note("validator", found["options"].get("validator", {{}}))
                db.command("collMod", "{table}", validator={{"$and": [before, {{"{field}": {{"$ne": None}}}}]}})
            """,
            f"""
            with undoing(db, name) as stash:
                if stash.noted("validator") is not None and "{table}" in db.list_collection_names():
                    db.command("collMod", "{table}", validator=stash.noted("validator"))
                stash.drop_created("{table}")
            """,
            "from dataops.stash.mongo import applying, undoing",
            "repeatable = True",
        ),
    ]


__all__ = ["backfill", "contract", "expand", "index", "not_null", "rename"]
