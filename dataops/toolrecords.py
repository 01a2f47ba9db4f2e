"""What other migration tools wrote down in our databases, and what they call our migrations. Frozen values."""

from __future__ import annotations

import enum
import re
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
    where we have a migration that was made of it. A `baseline` means all migrations up to its version. `group` is the
    application or the file that the migration belongs to, where a tool keeps those of several in one record.
    """

    names: tuple[str, ...]
    at: datetime | None = None
    outcome: Outcome = Outcome.APPLIED
    checksum: str = ""
    repeatable: bool = False
    baseline: bool = False
    group: str = ""

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
class Lookalike:
    """A table or collection that looks like the record of a tool, though it is not called as usual.

    `tool` is "" where nobody knows whose it is. We can only read it where it is `readable`: one of the tools we know.
    """

    place: str
    tool: str = ""
    readable: bool = False

    def __str__(self) -> str:
        return f"{self.place} looks like the record of {self.tool or 'another tool'}"


def is_called_like_a_record(name: str) -> bool:
    """Whether a table or collection has a name that migration tools give to their records."""
    return bool(_LIKE_A_RECORD.search(name))


_LIKE_A_RECORD = re.compile(
    r"migrat|change_?log|schema_(version|history|info)|evolution|db_version|sequelize_?meta", re.IGNORECASE
)


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

    `retired` are names in that tool's record for which no file is needed any more. `record` and `lock` are the tables
    or collections, where they are not called as usual: `table` or `schema.table`. Of a record with several
    applications or files, only the rows of `app` (Django) and `file` (Liquibase) count.
    """

    tool: str
    extension: str = ""
    retired: tuple[str, ...] = ()
    record: str = ""
    lock: str = ""
    app: str = ""
    file: str = ""
    migrations: Mapping[str, Alias] = field(default_factory=dict)
