"""Helpers for messages: plurals, and hints with similar names."""

from __future__ import annotations

from collections.abc import Iterable


def counted(number: int, noun: str) -> str:
    """`1 step`, `2 steps`. Only for nouns whose plural is made with an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def near(wanted: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: the names that look like `wanted`, or else the last five of `names`."""
    import difflib  # only needed when something is wrong

    names = list(names)
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are: {', '.join(names[-5:])}" if names else "there are none yet"
