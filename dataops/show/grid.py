"""Lays a table out: as wide as it needs to be, fitted to a terminal, as blocks where that is too narrow, or as CSV.

A name or an id is never broken, because a person copies it. As the width shrinks, texts are folded at their words
first, then the columns of least worth go, and at last each row becomes a block of lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dataops.text import on_one_line

_GAP = "  "
_NARROWEST = 26
"""How narrow a folded text may become, in columns of the terminal, before a whole column gives way."""
_LONGEST_WORD = 40
"""A word that is longer than this does not make its column wider: it stands out."""
ALWAYS = 100
"""The worth of a column without which a row says nothing."""


@dataclass(frozen=True)
class Column:
    """A column. Of columns with less `worth` than others, the terminal goes without first.

    With `folds`, its text may go on in further lines; at most one column of a table does. With `number`, it is set to
    the right.
    """

    header: str
    worth: int
    folds: bool = False
    number: bool = False


@dataclass(frozen=True)
class Cell:
    """A text that is shown in a shorter way where a person reads it on a terminal."""

    full: str
    short: str


@dataclass(frozen=True)
class Table:
    """Columns and rows. The first column names its row, and is never left out. `styles` has a style for each row."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str | Cell]]
    styles: Sequence[str] = field(default=())

    def texts(self, *, short: bool = False) -> list[list[str]]:
        """The text of every cell, on one line."""
        return [[on_one_line(_text(cell, short=short)) for cell in row] for row in self.rows]

    def style(self, at: int) -> str:
        """The style of this row."""
        return self.styles[at] if at < len(self.styles) else ""


def moment(at: datetime | None, now: datetime) -> Cell:
    """A moment: in full with its date, short as `3 h ago`. Clocks differ: what lies ahead of us is `now`."""
    return Cell(f"{at:%Y-%m-%d %H:%M:%S}", age((now - at).total_seconds())) if at else Cell("", "")


def age(seconds: float) -> str:
    """How long ago something was, as short as a column wants it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def whole(table: Table) -> list[tuple[str, str]]:
    """Every column with its full text, as wide as it needs to be: lines, each with its style."""
    return _lines(table, range(len(table.columns)), table.texts(), None)


def fitted(table: Table, width: int) -> list[tuple[str, str]]:
    """The table with short texts, fitted to this width: lines, each with its style.

    Only a block can be wider: where one name or id is wider than the terminal.
    """
    texts = table.texts(short=True)
    columns = table.columns
    least = _least(columns, texts)
    shown = [at for at in range(len(columns)) if at == 0 or any(row[at] for row in texts)]
    while sum(least[at] for at in shown) + len(_GAP) * (len(shown) - 1) > width:
        spare = [at for at in shown if at and not columns[at].folds and columns[at].worth < ALWAYS]
        if not spare:
            return _blocks(table, texts, width)
        shown.remove(min(spare, key=lambda at: columns[at].worth))
    return _lines(table, shown, texts, width)


def comma_separated(table: Table) -> str:
    """The table as CSV (RFC 4180, with line feeds), every column with its full text, below a line of its headers."""
    import csv
    import io

    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow([column.header for column in table.columns])
    writer.writerows(table.texts())
    return written.getvalue()


def names(table: Table) -> str:
    """The full text of the first column alone, one row a line."""
    return "".join(f"{row[0]}\n" for row in table.texts())


def cells(text: str) -> int:
    """How many columns of a terminal the text takes: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # imported only for such a text: pipelines do without Rich

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """The beginning of a text, as much as this width takes."""
    if text.isascii():
        return text[:width]
    while cells(text) > width:
        text = text[: max(len(text) - max(1, (cells(text) - width) // 2), 0)]
    return text


def folded(text: str, width: int) -> list[str]:
    """The text in lines of at most this width, broken between words. A word that is wider has a line of its own."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and cells(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _text(cell: str | Cell, *, short: bool) -> str:
    if isinstance(cell, str):
        return cell
    return cell.short if short else cell.full


def _widths(columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cells, (column.header, *(row[at] for row in texts)))) for at, column in enumerate(columns)]


def _least(columns: Sequence[Column], texts: Sequence[Sequence[str]]) -> list[int]:
    """The width that each column needs at least: a folded one that of its longest word, within bounds."""
    least = _widths(columns, texts)
    for at, column in enumerate(columns):
        if column.folds:
            longest = max((cells(word) for row in texts for word in row[at].split(" ")), default=0)
            least[at] = min(least[at], max(_NARROWEST, min(longest, _LONGEST_WORD)))
    return least


def _lines(
    table: Table, shown: Sequence[int], texts: Sequence[Sequence[str]], width: int | None
) -> list[tuple[str, str]]:
    columns = table.columns
    widths = _widths(columns[: shown[-1]], [row[: shown[-1]] for row in texts])
    widths += [0] * (len(columns) - len(widths))  # nothing stands behind the last one, which needs no blanks
    if width is not None:
        widths = _widths(columns, texts)
        others = sum(widths[at] for at in shown if not columns[at].folds) + len(_GAP) * (len(shown) - 1)
        folding = [at for at in shown if columns[at].folds]
        least = _least(columns, texts)
        for at, share in zip(folding, _shared(width - others, folding, least, widths), strict=True):
            widths[at] = share
    lines = [(_line(columns, widths, shown, [column.header for column in columns]), "bold")]
    for at, row in enumerate(texts):
        parts = {
            one: folded(row[one], widths[one]) if columns[one].folds and width is not None else [row[one]]
            for one in shown
        }
        for more in range(max(map(len, parts.values()))):
            texts_of_line = [
                parts[one][more] if one in parts and more < len(parts[one]) else "" for one in range(len(columns))
            ]
            lines.append((_line(columns, widths, shown, texts_of_line), table.style(at)))
    return lines


def _shared(room: int, folding: Sequence[int], least: Sequence[int], wanted: Sequence[int]) -> list[int]:
    """How wide each folding column is: what it needs at least, and of the rest the same for all that want more."""
    widths = {at: min(least[at], wanted[at]) for at in folding}
    while (hungry := [at for at in folding if widths[at] < wanted[at]]) and room > sum(widths.values()):
        share = max(1, (room - sum(widths.values())) // len(hungry))
        for at in hungry[: room - sum(widths.values())]:
            widths[at] += min(share, wanted[at] - widths[at])
    return [widths[at] for at in folding]


def _line(columns: Sequence[Column], widths: Sequence[int], shown: Sequence[int], texts: Sequence[str]) -> str:
    set_out = []
    for at in shown:
        if at == shown[-1] and not columns[at].number:
            set_out.append(texts[at])
            continue
        blank = " " * (widths[at] - cells(texts[at]))
        set_out.append(blank + texts[at] if columns[at].number else texts[at] + blank)
    return _GAP.join(set_out).rstrip()


def _blocks(table: Table, texts: Sequence[Sequence[str]], width: int) -> list[tuple[str, str]]:
    """Each row as a block: its name, and below it every other text beside its header."""
    headers = [column.header for column in table.columns]
    margin = 2 + max(map(cells, headers[1:]), default=0) + len(_GAP)
    lines: list[tuple[str, str]] = []
    for at, row in enumerate(texts):
        lines.append((row[0], f"bold {table.style(at)}".strip()))
        for column, text in zip(table.columns[1:], row[1:], strict=True):
            parts = folded(text, max(width - margin, _NARROWEST // 2)) if column.folds else [text]
            for more, part in enumerate(parts if text else []):
                head = f"  {column.header}" if not more else ""
                lines.append((head + " " * (margin - cells(head)) + part, ""))
    return lines
