"""What makes a database again, as text: its schema, and the few rows that belong to it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Schema:
    """What makes a database again in an empty one, in an order in which it can be run.

    `statements` are SQL; for MongoDB they are Python, with the database as `db`, and need the `imports`. The same
    database gives the same text from every version of its server. `data` says how many rows or documents the
    statements write, by table or collection, and `left_out` how many they do not write, because there are too many.
    `unwritten` names what is in the database and cannot be written. `roles` are named in rights and policies, and have
    to exist on the server. `verbatim` has definitions that are written in other words than the server's, as the server
    has them: two databases on one server may only be called equal when these are.
    """

    statements: tuple[str, ...]
    data: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    verbatim: tuple[str, ...] = ()


__all__ = ["Schema"]
