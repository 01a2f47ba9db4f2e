"""The pages of docs/, which are in the wheel, so that commands can print from them without a network."""

from __future__ import annotations

import re
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def page(name: str) -> str:
    """The text of docs/NAME. A wheel has the folder inside of the package, and a checkout beside it."""
    inside = _HERE / "docs" / name
    return (inside if inside.is_file() else _HERE.parent / "docs" / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """What stands under a heading of a page, up to the next heading of any level. Raises KeyError if there is none."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page(name), re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(heading)
    return found[1].strip()


def row(name: str, heading: str, first: str) -> dict[str, str]:
    """The row of the table under a heading that begins with this cell: the names of the columns, and the cells."""
    lines = [line for line in section(name, heading).splitlines() if line.startswith("|")]
    names, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return next(dict(zip(names, cells, strict=True)) for cells in rows if cells[0] == first)


def plain(text: str) -> str:
    """Markdown as people read it in a terminal: without the targets of links, and without emphasis."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*(\w+)\*\*", r"\1", re.sub(r"\A\*([^*]+)\*", r"\1", text))


__all__ = ["page", "plain", "row", "section"]
