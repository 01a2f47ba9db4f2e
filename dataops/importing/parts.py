"""SQL of a file of another tool becomes a part of a migration of ours. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dataops import splitting
from dataops.errors import BrokenFile
from dataops.importing.originals import File, Part
from dataops.redaction import redact
from dataops.splitting import Statement
from dataops.text import on_one_line, shortened

_GUARD_OF_DUMPS = re.compile(r"(?m)^\\(?:un)?restrict\b[^\r\n]*")
"""Lines that pg_dump writes for psql, to protect itself: they do nothing for the database."""
_EMPTY_PATH = re.compile(r"(?m)^SELECT pg_catalog\.set_config\('search_path', '', false\);[ \t]*$")
"""How a dump begins. Its names have their schemas; Alembic's own statements after it do not, and would fail."""


def broken(file: File, line: int, message: str, hint: str) -> BrokenFile:
    """The error for a file that cannot be read as its tool would read it."""
    where = f"{file.path}:{line}" if line else file.path
    return BrokenFile(f"{where}: {message}", hint=f"{hint}; nothing was written")


def part(
    file: File,
    text: str,
    line: int = 1,
    *,
    transaction: bool = True,
    unfinished: Sequence[str] = (),
) -> Part:
    """The part that a text of a file makes; it begins on `line` of the file. Raises BrokenFile."""
    notes: list[str] = []
    if _GUARD_OF_DUMPS.search(text):
        text = _GUARD_OF_DUMPS.sub("", text)
        notes.append(r"\restrict and \unrestrict of pg_dump are left out")
    if _EMPTY_PATH.search(text):
        text = _EMPTY_PATH.sub("", text)
        notes.append("the empty search_path of pg_dump is left out")
    try:
        found = splitting.split(text, line)
    except splitting.Endless as error:
        raise broken(file, error.line, f"{error} begins here and never ends", "mend the file") from error
    return from_statements(file, found, transaction=transaction, unfinished=unfinished, notes=notes)


def from_statements(
    file: File,
    found: Sequence[Statement],
    *,
    transaction: bool = True,
    unfinished: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Part:
    """The part that these statements make."""
    left, said = [*unfinished], [*notes]
    inside = splitting.without_frame(found)
    if inside is not None:
        found, transaction = inside, True
        said.append("its own BEGIN and COMMIT are left out, because dataops runs each migration in a transaction")
    for one in found:
        if inside is None and one.controls_transaction:
            said.append(f"line {one.line} begins or ends a transaction, which lint calls P003")
        if one.psql:
            shown = shortened(on_one_line(redact(", ".join(one.psql))), 200)
            left.append(f"line {one.line} has what only psql understands: {shown}")
        if one.reads_stdin:
            left.append(f"line {one.line} copies from the file itself, which only psql can do: write INSERT instead")
    if any(one.refused_in_transaction for one in found):
        transaction = False
    return Part(tuple(one.text for one in found), transaction, tuple(left), tuple(said))


def words(name: str) -> str:
    """A part of a file name as words."""
    return " ".join(re.split(r"[\W_]+", name)).strip()


def refuse_twice(other: File | None, version: str, file: File) -> None:
    """Raise BrokenFile if there is another file of the same version."""
    if other is not None:
        raise broken(file, 0, f"{other.name} has the version {version} too", "give one of them another version")


__all__ = ["broken", "from_statements", "part", "refuse_twice", "words"]
