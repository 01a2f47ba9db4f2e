"""One configured database with its own history."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from dataops.alembicini import AlembicIni
from dataops.kinds import Kind
from dataops.model.backfill import Limits
from dataops.model.fleet import Databases, Member, Rollout
from dataops.model.migration import Migration
from dataops.toolrecords import ToolAliases


class Ahead(enum.Enum):
    """What to do with a database that has migrations for which this code has no file."""

    REFUSE = "refuse"
    ALLOW = "allow"


@dataclass(frozen=True)
class Timeouts:
    """How long to wait, all in seconds.

    `connect` is for reaching a server, `lock` for the migration lock (0: do not wait), `table_lock` for the locks of
    one step (0: no limit) and `statement` for one statement (0: no limit). After `lease`, a dead run's lock is free.
    """

    connect: float = 5.0
    lock: float = 120.0
    table_lock: float = 5.0
    statement: float = 0.0
    lease: float = 15.0


@dataclass(frozen=True)
class Service:
    """One configured database with its own history. The URL is a secret, and `repr` does not show it.

    `observe` names the tool that migrates the database instead of us: then there are no files of ours, nothing is ever
    written there, and `expect` is the migration to wait for. `mirror` names the tool whose record is to have all that
    we do. `coexist` are tools whose record in this database is about something else. `ignore` are tables and other
    objects that the application makes, so that they count as no difference. With `onto_existing`, the first apply may
    find a database that is not empty. `application` are collections that the application makes, and that migrations
    expect to find. `aliases` is what adopt.toml says, by tool. `alembic` is the section of an
    alembic.ini that has this folder as its script location. `renamed_record` is the native record's name where
    dataops.toml gives it another one than usual. `top` is the folder of dataops.toml. `limits` are those of backfills.

    A service with `databases` is a fleet, and its `url` is a template: `dataops.fleet` makes of it one service for each
    database, which says with `member` whose it is. `rollout` says in which waves they are changed.
    """

    name: str
    kind: Kind
    url: str = field(repr=False)
    folder: Path
    migrations: tuple[Migration, ...] = field(
        default=(), repr=False, hash=False
    )  # not in the hash, which othertools.match computes often
    depends_on: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    ahead: Ahead = Ahead.REFUSE
    session_pooler: bool = False
    observe: str = ""
    expect: str = ""
    mirror: str = ""
    coexist: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    onto_existing: bool = False
    application: tuple[str, ...] = ()
    aliases: Mapping[str, ToolAliases] = field(default_factory=dict, repr=False, hash=False)
    alembic: AlembicIni | None = None
    renamed_record: str = ""
    top: Path = Path()
    limits: Limits = field(default_factory=Limits)
    databases: Databases | None = None
    member: Member | None = None
    rollout: Rollout = field(default_factory=Rollout)

    @property
    def unit(self) -> str:
        """The name of its paragraph in dataops.toml, which `depends_on` means: for one of a fleet, the fleet's."""
        return self.member.fleet if self.member is not None else self.name

    def at(self, member: Member, url: str) -> Service:
        """The service of one database of this fleet. It shares what was worked out about the history."""
        one = replace(self, name=member.name, url=url, databases=None, member=member)
        for known in ("by_id", "replaced_by", "forked", "position"):
            one.__dict__[known] = getattr(self, known)
        return one

    @property
    def record(self) -> str:
        """The name of the native record, where the kind of database lets dataops.toml say it."""
        return self.renamed_record or self.kind.record

    @property
    def ours(self) -> frozenset[str]:
        """The names of what holds the record, the journal and the lock: no migration may change them."""
        return (self.kind.ours - {self.kind.record}) | {self.record} if self.renamed_record else self.kind.ours

    @property
    def sys_path(self) -> tuple[Path, ...]:
        """The folders from which its files import modules of the project, before those of Python itself."""
        return self.alembic.sys_path if self.alembic is not None else ()

    @cached_property
    def by_id(self) -> dict[str, Migration]:
        """The migrations by id."""
        return {migration.id: migration for migration in self.migrations}

    @cached_property
    def replaced_by(self) -> dict[str, Migration]:
        """The squashed file that took the place of each migration, by the ids of those that have no file any more."""
        return {id_: one for one in self.migrations for id_ in one.replaces if id_ != one.id}

    @cached_property
    def forked(self) -> bool:
        """Whether the history has branches. Otherwise each migration comes after the one before it, and that is all."""
        return any(m.needs or m.parents != (before.id,) for before, m in pairwise(self.migrations))

    def heads(self, applied: Collection[str]) -> tuple[str, ...]:
        """Those of these migrations after which none of them comes: what Alembic's record has when they are applied."""
        before = {id_ for m in self.migrations if m.id in applied for id_ in (*m.parents, *m.needs)}
        return tuple(m.id for m in self.migrations if m.id in applied and m.id not in before)

    def up_to(self, heads: Collection[str]) -> tuple[Migration, ...]:
        """These migrations and all that come before them, in the order of the history."""
        if not self.forked:
            return self.migrations[: 1 + max((self.position[head] for head in heads), default=-1)]
        found, left = set[str](), list(heads)
        while left:
            id_ = left.pop()
            if id_ not in found:
                found.add(id_)
                left += [*self.by_id[id_].parents, *self.by_id[id_].needs]
        return tuple(m for m in self.migrations if m.id in found)

    @cached_property
    def position(self) -> dict[str, int]:
        """The position of each migration in the history, by id; 0 for the first one."""
        return {migration.id: at for at, migration in enumerate(self.migrations)}


__all__ = ["Ahead", "Service", "Timeouts"]
