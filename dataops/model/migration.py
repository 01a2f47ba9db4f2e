"""One migration file, and what it promises about itself."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dataops import source
from dataops.errors import BrokenFile
from dataops.kinds import Kind


class Direction(enum.Enum):
    """Whether a step makes a change or undoes it."""

    APPLY = "apply"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Pinned:
    """A file of the project that a migration names in `depends`: its name there, and where it is.

    `digest` is the SHA-256 of its code, or of its bytes where it is not Python; None when there is no such file.
    """

    name: str
    path: Path
    digest: str | None


@dataclass(frozen=True)
class Migration:
    """One migration file. Its text is analysed only when somebody asks for a fact, and only once.

    `parents` are the ids of the migrations that it comes after: none for a first one, several for one that joins
    branches. `needs` are others that have to be applied before it (Alembic's `depends_on`). `pinned` are the files that
    it names in `depends`: an edit of one of them is an edit of the migration. `replaces` are the migrations of which a
    squashed file was made, oldest first and with their checksums. The last one has its own id.
    """

    id: str
    parents: tuple[str, ...]
    path: Path
    kind: Kind
    text: bytes = field(repr=False)
    needs: tuple[str, ...] = ()
    pinned: tuple[Pinned, ...] = ()
    replaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False, hash=False)

    @property
    def parent(self) -> str | None:
        """The first of its parents; None for a first migration."""
        return self.parents[0] if self.parents else None

    @cached_property
    def raw_checksum(self) -> str:
        """SHA-256 of the bytes of the file, and of what it pins."""
        return self._with_pinned(source.raw_checksum(self.text))

    @cached_property
    def facts(self) -> source.Facts:
        """What the file promises about itself. Raises BrokenFile when it is not Python."""
        try:
            return source.facts(self.text)
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the code without comments, docstrings and formatting, and of what it pins. Raises BrokenFile."""
        try:
            return self._with_pinned(source.semantic_checksum(self.text))
        except source.Unreadable as error:
            raise broken(self.path, error) from error

    def _with_pinned(self, checksum: str) -> str:
        pinned = "".join(f"\n{one.digest} {one.name}" for one in self.pinned)
        return hashlib.sha256((checksum + pinned).encode()).hexdigest() if pinned else checksum

    @property
    def title(self) -> str:
        """The first line of its docstring, or else the name of the file."""
        return self.facts.title or self.path.stem

    @property
    def reversible(self) -> bool:
        """Whether it can be undone."""
        return source.surely_reversible(self.text) or self.facts.reversible

    @property
    def atomic(self) -> bool:
        """Whether the change and its record are one transaction: both happen, or neither."""
        return self.kind.transactional and not self.facts.autocommit and not self.facts.may_commit

    @property
    def repeatable(self) -> bool:
        """Whether it may be stopped at any command and run again, with the same data in the end."""
        return self.facts.repeatable

    @property
    def both_ways(self) -> bool:
        """Whether it may be stopped at any command in one direction, and then be run in the other."""
        return self.facts.both_ways


def broken(path: Path, error: source.Unreadable, service: str | None = None) -> BrokenFile:
    """The error for a migration file that cannot be read, with its line where that is known."""
    where = f"{path}:{error.line}" if error.line else str(path)
    return BrokenFile(f"{where}: {error}", service=service, hint="mend the file; nothing was run")


__all__ = ["Direction", "Migration", "Pinned", "broken"]
