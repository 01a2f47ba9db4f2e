"""The pages of docs/ and the README, which are in the wheel, so that commands can print them without a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_INSIDE = _HERE / "docs"
FRONT = "readme"
"""The name of the README among the pages."""


def page(name: str) -> str:
    """The text of docs/NAME. A wheel has the folder inside of the package, and a checkout beside it."""
    inside = _INSIDE / name
    return (inside if inside.is_file() else _HERE.parent / "docs" / name).read_text(encoding="utf-8")


def read(name: str) -> str:
    """The text of a page by its name, such as `operations`, or `readme`. Raises KeyError when there is no such page."""
    if name not in names():
        raise KeyError(name)
    return _front() if name == FRONT else page(f"{name}.md")


def names() -> list[str]:
    """The names of all pages: the paths of their files in docs/, without the ending, and `readme`."""
    folder = _INSIDE if _INSIDE.is_dir() else _HERE.parent / "docs"
    found = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.md"))
    return [FRONT, *(name for name in found if name.lower() != FRONT)]


def index() -> list[tuple[str, str]]:
    """The pages that a reader looks for, in the order of the README, each with what it is about in one line."""
    return re.findall(r"^- \[docs/([\w/-]+)\.md\]\([^)]*\): (.*(?:\n  .*)*)$", _front(), re.MULTILINE)


def _front() -> str:
    inside = _INSIDE / "README.md"
    return (inside if inside.is_file() else _HERE.parent / "README.md").read_text(encoding="utf-8")


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """The headings of a page: at which line, counted from 0, of which level, and their words."""
    fenced = False
    for at, line in enumerate(text.splitlines()):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and (found := re.match(r"(#+) (.*)", line)):
            yield at, len(found[1]), found[2]


def part(text: str, wanted: str) -> str:
    """A heading of a page, by its words or its anchor, with all that stands under it. Raises KeyError."""
    found = list(headings(text))
    for at, level, heading in found:
        if wanted.lower() in (anchor(heading), heading.lower()):
            end = next((line for line, other, _ in found if line > at and other <= level), None)
            return "\n".join(text.splitlines()[at:end]).strip()
    raise KeyError(wanted)


def section(name: str, heading: str) -> str:
    """What stands under a heading of a page, up to the next heading of any level. Raises KeyError if there is none."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", page(name), re.MULTILINE | re.DOTALL)
    if found is None:
        raise KeyError(heading)
    return found[1].strip()


def row(name: str, heading: str, first: str) -> dict[str, str]:
    """The row of the table under a heading that begins with this cell: the names of the columns, and the cells."""
    lines = [line for line in section(name, heading).splitlines() if line.startswith("|")]
    columns, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return next(dict(zip(columns, cells, strict=True)) for cells in rows if cells[0] == first)


def plain(text: str) -> str:
    """Markdown as people read it in a terminal: without the targets of links, and without emphasis."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\*\*(\w+)\*\*", r"\1", re.sub(r"\A\*([^*]+)\*", r"\1", text))


def plain_page(text: str) -> str:
    """A page, or a part of one, without the marks of Markdown that disturb. What is in code blocks stays as it is."""
    return _outside_of_code(lambda piece: re.sub(r"\*\*([^*\n]+)\*\*", r"\1", plain(piece)), text)


def without_links(text: str) -> str:
    """The same Markdown without the targets of its links, which lead to nothing in a terminal."""
    return _outside_of_code(lambda piece: re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", piece), text)


def _outside_of_code(change: Callable[[str], str], text: str) -> str:
    pieces = re.split(r"(^ *```.*?^ *```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if at % 2 else change(piece) for at, piece in enumerate(pieces)).rstrip()


__all__ = [
    "FRONT",
    "anchor",
    "headings",
    "index",
    "names",
    "page",
    "part",
    "plain",
    "plain_page",
    "read",
    "row",
    "section",
    "without_links",
]
