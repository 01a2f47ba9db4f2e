"""The times and numbers with which ids of migrations begin. The order never comes from them: people read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_TIME = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])\d*(?![0-9a-f])")
_NUMBER = re.compile(r"\d{1,7}(?=[-_]|$)")
_STAMP = "%Y%m%d%H%M%S"


def time_of(id_: str) -> str:
    """The time that an id begins with, compared as a text because some have 14 digits and some 16; "" without one."""
    found = _TIME.match(id_)
    return found[0] if found else ""


def after(id_: str, parent: str, now: datetime) -> str:
    """The id, with a newer time or a higher number where its own is not after that of its parent.

    A new time is `now`, or a second after the parent's where that is in the future.
    """
    own, other = time_of(id_), time_of(parent)
    if own and other:
        return id_ if own > other else _newer(other, now, len(own)) + id_[len(own) :]
    own_number, other_number = _NUMBER.match(id_), _NUMBER.match(parent)
    if own or other or not own_number or not other_number or int(own_number[0]) > int(other_number[0]):
        return id_
    return str(int(other_number[0]) + 1).zfill(len(own_number[0])) + id_[own_number.end() :]


def _newer(time: str, now: datetime, digits: int) -> str:
    stamp = now.strftime(_STAMP)
    if stamp <= time:
        try:
            last = datetime.strptime(time[:14].ljust(14, "0"), _STAMP).replace(tzinfo=UTC)
            stamp = (last + timedelta(seconds=1)).strftime(_STAMP)
        except ValueError:  # its last digits are no time of day
            stamp = str(int(time) + 1)
    short = stamp[:digits].ljust(digits, "0")
    return short if short > time else stamp


__all__ = ["after", "time_of"]
