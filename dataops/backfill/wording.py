"""What a plan says of a backfill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dataops.durations import clock
from dataops.model import Limits
from dataops.text import size_text


def words_of(limits: Limits, change: Mapping[str, Any]) -> str:
    """How it goes on and when it gives way: for the backfill of a change, of which the fields are given."""
    waits = [
        f"a replica is more than {clock(limits.lag)} behind" if limits.lag else "",
        f"more than {size_text(limits.unarchived)} of WAL wait for the archive" if limits.unarchived else "",
        f"others get {limits.slowdown:g} times slower" if limits.slowdown else "",
        "pause_while says so" if limits.pause_while else "",
        f"the file {limits.pause_file} is there" if limits.pause_file else "",
    ]
    said = ", or ".join(one for one in waits if one)
    return (
        f"{change['place']}: batches of about {clock(limits.batch)}, each a transaction; it can be stopped, and goes "
        f"on; it waits while {said or 'dataops pause says so'}"
    )


__all__ = ["words_of"]
