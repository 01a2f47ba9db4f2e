"""Helpers for messages: plurals, hints with similar names, and text that shows what a terminal would obey or hide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

_UNSEEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, with ESC and the 8-bit CSI, without tab and newline
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"  # without width
    r"\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"  # without width, ends of lines, and the bidi marks
    r"\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    r"\ud800-\udfff"  # lone surrogates, which no encoding has
    r"\U000e0000-\U000e0fff"  # tags
)
# These belong between letters of some scripts, and inside of emoji. Beside ASCII they only hide.
_JOINERS = r"\u200c\u200d"
_HIDDEN = re.compile(rf"[{_UNSEEN}]|(?<![^\x00-\x7f])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f])")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def counted(number: int, noun: str) -> str:
    """`1 step`, `2 steps`. Only for nouns whose plural is made with an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Sequence[str], longest: int = 3) -> str:
    """`a, b and c`, or `a, b and 28 more` where there are more names than `longest`."""
    if len(names) > longest:
        return f"{', '.join(names[: longest - 1])} and {len(names) - longest + 1} more"
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def size_text(amount: float) -> str:
    """A number of bytes as a person reads it: `310 MB`."""
    for unit in ("B", "kB", "MB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GB"


def ago(seconds: float) -> str:
    """How long ago something was, in its largest unit: `3 minutes ago`. Clocks differ: less than 0 counts as 0."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} ago"
    return f"{counted(max(0, int(seconds)), 'second')} ago"


def near(wanted: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: the names that look like `wanted`, or else the last five of `names`."""
    import difflib  # only needed when something is wrong

    names = list(dict.fromkeys(names))  # services may have migrations of the same name
    folded = {name: name.casefold() for name in names}
    likely = difflib.get_close_matches(wanted.casefold(), list(dict.fromkeys(folded.values())), n=3, cutoff=0.5)
    close = [name for one in likely for name in names if folded[name] == one][:3]
    if close:
        return f"did you mean {' or '.join(close)}?"
    others = " among others" if len(names) > 5 else ""
    return f"there are{others}: {', '.join(names[-5:])}" if names else "there are none yet"


def visible(text: str) -> str:
    """The text with an escape, such as `\\x1b` or `\\u202e`, for what a terminal obeys or hides, or cannot take.

    Newlines and tabs stay. Wide, combining and joined characters, such as those of emoji and of Persian, stay too.
    """
    return text if text.isascii() and text.isprintable() else _HIDDEN.sub(_escaped, text)


def on_one_line(text: str) -> str:
    """`visible`, with escapes for newlines and tabs too."""
    return re.sub(r"[\n\t]", _escaped, visible(text))


def json_text(content: Any, **settings: Any) -> str:
    """JSON that any reader takes: values keep every character, written as an escape of JSON where it cannot be seen.

    Only a lone surrogate is replaced, by `\\\\udc80` for example, because many readers refuse the whole document.
    """
    return _HIDDEN.sub(_escaped_in_json, json.dumps(content, ensure_ascii=False, **settings))


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters of a long text: its beginning and its end, and how much was cut between them."""
    if len(text) <= longest:
        return text
    kept = max(0, longest - 40) // 2
    return f"{text[:kept]}\n… {len(text) - 2 * kept:,} characters cut …\n{text[len(text) - kept :]}"


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    if found[0] in _SHORT:
        return _SHORT[found[0]]
    return f"\\x{number:02x}" if number < 0x100 else (f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")


def _escaped_in_json(found: re.Match[str]) -> str:
    if "\ud800" <= found[0] <= "\udfff":
        return f"\\\\u{ord(found[0]):04x}"
    return json.dumps(found[0])[1:-1]
