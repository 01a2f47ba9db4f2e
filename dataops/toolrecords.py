"""What other migration tools wrote down in our databases, and what they call our migrations. Frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


class Outcome(enum.Enum):
    """What another tool's record says about one of its migrations."""

    APPLIED = "applied"
    FAILED = "failed"
    HALF_DONE = "half-done"


@dataclass(frozen=True)
class ToolRow:
    """One migration in another tool's record.

    `names` are the names that the tool may use for it; the first one is as the tool writes it. `at` is when it was
    applied, where the tool records that. A `repeatable` one is run again whenever its file changes. It only counts
    where we have a migration that was made of it.
    """

    names: tuple[str, ...]
    at: datetime | None = None
    outcome: Outcome = Outcome.APPLIED
    checksum: str = ""
    repeatable: bool = False

    @property
    def name(self) -> str:
        """The name as that tool writes it."""
        return self.names[0]


@dataclass(frozen=True)
class ToolRecord:
    """What another tool has written down in a database, in the order in which it applied its migrations.

    `place` is the table or collection. `locked` says who holds that tool's lock, as far as the tool records it. A
    record that is not `readable` exists, but this user may not read it.
    """

    tool: str
    place: str
    rows: tuple[ToolRow, ...] = ()
    locked: str = ""
    readable: bool = True


@dataclass(frozen=True)
class Alias:
    """What adopt.toml says about one of our migrations: its names and its checksums in another tool's record.

    `checksum` is the one in the newest release of that tool's files, and `earlier` are those of the releases before.
    `name` is the name that the tool uses now, and `also` are further names that may be in its record.
    """

    name: str = ""
    also: tuple[str, ...] = ()
    description: str = ""
    checksum: str = ""
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class ToolAliases:
    """What adopt.toml says about one tool: the extension of its files, and our migrations by id.

    `retired` are names in that tool's record for which no file is needed any more.
    """

    tool: str
    extension: str = ""
    retired: tuple[str, ...] = ()
    migrations: Mapping[str, Alias] = field(default_factory=dict)
