"""Migrations of other tools, as values."""

from __future__ import annotations

from dataclasses import dataclass, field

from dataops.toolrecords import Alias


@dataclass(frozen=True)
class File:
    """A file of another tool. `name` is its path inside the folder, with `/`, and `path` is for messages."""

    name: str
    path: str
    content: bytes
    text: str

    @property
    def base(self) -> str:
        """The name without the folders."""
        return self.name.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """The name without folders and extension."""
        return self.base.rpartition(".")[0]


@dataclass(frozen=True)
class Part:
    """What one direction of a migration runs.

    `transaction` says whether the original runs it in a transaction; a statement that the server refuses there is seen
    without that. `unfinished` says why it cannot be run as it is, so that a person has to finish it.
    """

    statements: tuple[str, ...] = ()
    transaction: bool = True
    unfinished: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Original:
    """One migration of another tool.

    `name` is what a person calls it: the file, or a part of one. `number` begins our id: digits, and for Flyway also
    groups of digits with `_` between them; "" where the tool has no numbers. `words` say what it does. `up` is None for
    a file that is not SQL, of which a draft is made, with `text` in it. `down` is None when nothing undoes it.
    `recorded` are the names that the tool's record may have for it, and `alias` is what adopt.toml has to say.
    """

    name: str
    number: str
    words: str
    up: Part | None
    down: Part | None = None
    text: str = ""
    recorded: tuple[str, ...] = ()
    alias: Alias = field(default_factory=Alias)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What is in a folder: the migrations in the order of the tool, and the files that are left out, each with why."""

    originals: tuple[Original, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
