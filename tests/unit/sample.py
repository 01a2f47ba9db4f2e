"""Small histories for tests, drawn as they are in the docstrings: `a* -- b* -- c!`.

A letter is a migration, the one before it its parent. `*` applied, `!` irreversible, `~` not transactional (that is
what it takes to be interrupted), `+` repeatable, `(x)` has no file here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dataops.kinds import POSTGRESQL, Kind
from dataops.model import (
    Ahead,
    AppliedMigration,
    Author,
    Direction,
    Entry,
    Holder,
    Identity,
    JournalEvent,
    Migration,
    Plan,
    Service,
    State,
    Step,
)
from dataops.planning.runs import Wanted

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
AUTHOR = Author(run="run-2", actor="ann", host="pod-1", version="0.1.0")
HOLDER = Holder(run="run-9", who="bob@pod-2", since=NOW)


def text(id_: str, parent: str | None, kind: Kind, marks: str = "") -> str:
    """A whole migration file."""
    lines = [f'"""Do {id_}."""']
    if kind is POSTGRESQL:
        lines += ["from alembic import op", f"revision = {id_!r}", f"down_revision = {parent!r}"]
        up = f'op.execute("CREATE TABLE {id_} ()")'
        if "~" in marks:
            up = f"with op.get_context().autocommit_block():\n        {up}"
        down = f'op.execute("DROP TABLE {id_}")'
    else:
        lines += [f"name = {id_!r}", f"dependencies = {[parent] if parent else []!r}"]
        up, down = f'db["{id_}"].insert_one({{}})', f'db["{id_}"].drop()'
    if "+" in marks:
        lines.append("repeatable = True")
    if "!" in marks:
        lines += ["reversible = False", f'irreversible_because = "{id_} throws things away"']
    argument = "" if kind is POSTGRESQL else "db"
    lines += [f"def upgrade({argument}):\n    {up}", f"def downgrade({argument}):\n    {down}", ""]
    return "\n".join(lines)


def migration(id_: str, parent: str | None = None, *, kind: Kind = POSTGRESQL, marks: str = "") -> Migration:
    return Migration(id_, (parent,) if parent else (), Path(f"{id_}.py"), kind, text(id_, parent, kind, marks).encode())


def service(
    picture: str,
    *,
    name: str = "voucher",
    kind: Kind = POSTGRESQL,
    depends_on: tuple[str, ...] = (),
    ahead: Ahead = Ahead.REFUSE,
) -> Service:
    migrations: list[Migration] = []
    for id_, marks in _drawn(picture):
        if "(" not in marks:
            parent = migrations[-1].id if migrations else None
            migrations.append(migration(id_, parent, kind=kind, marks=marks))
    url = "postgresql://nobody@nowhere/nothing" if kind is POSTGRESQL else "mongodb://nowhere/nothing"
    return Service(name, kind, url, Path("pg"), tuple(migrations), depends_on=depends_on, ahead=ahead)


def state(
    picture: str,
    *,
    name: str = "voucher",
    kind: Kind = POSTGRESQL,
    depends_on: tuple[str, ...] = (),
    ahead: Ahead = Ahead.REFUSE,
    last: Entry | None = None,
    holder: Holder | None = None,
    runs: Mapping[str, str | None] | None = None,
    minute: int = 0,
    identity: Identity | None = None,
) -> State:
    """What a database says. Everything applied was applied by "run-1" unless `runs` says otherwise (None: by another
    tool), a minute each from `minute` on."""
    made = service(picture, name=name, kind=kind, depends_on=depends_on, ahead=ahead)
    runs = runs or {}
    applied: list[AppliedMigration] = []
    unknown: list[str] = []
    for id_, marks in _drawn(picture):
        if "*" not in marks:
            continue
        if "(" in marks:
            unknown.append(id_)
            continue
        run = runs.get(id_, "run-1")
        at = NOW + timedelta(minutes=minute + len(applied))
        known = made.by_id[id_]
        applied.append(
            AppliedMigration(id_, at, known.checksum, known.raw_checksum, run, author="ann@pod")
            if run
            else AppliedMigration(id_)
        )
    return State(
        service=made,
        identity=identity or Identity("PostgreSQL system 1", f"{name} (oid 5)", f"db:5432/{name}"),
        server="PostgreSQL 15.1" if kind is POSTGRESQL else "MongoDB 7.0.6, standalone",
        applied=tuple(applied),
        unknown=tuple(unknown),
        last=last,
        holder=holder,
        claims={one.id: True for one in applied if one.run},
    )


def entry(id_: str, event: JournalEvent, direction: Direction = Direction.APPLY) -> Entry:
    """A line of the journal, written by somebody else."""
    return Entry("run-8", id_, direction, event, seq=7, at=NOW, actor="bob", host="pod-2", version="0.1.0")


def wanted(*states: State, ids: tuple[str, ...] = (), more: Mapping[str, list[Entry]] | None = None) -> Wanted:
    """What a rollback of runs knows: the entries of everything that is applied, and then `more`, by service."""
    journals: dict[str, list[Entry]] = {}
    for of in states:
        journals[of.service.name] = [
            Entry(one.run, one.id, Direction.APPLY, JournalEvent.SUCCEEDED, seq=at, at=one.at, actor="ann", host="pod")
            for at, one in enumerate(of.applied)
            if one.run and not one.adopted
        ]
        journals[of.service.name] += (more or {}).get(of.service.name, [])
    return Wanted(NOW + timedelta(hours=3), ids, journals)


def steps(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def step(of: State, id_: str, direction: Direction = Direction.APPLY) -> Step:
    return Step(of.service.name, of.service.by_id[id_], direction)


def edited(before: State, id_: str, to: bytes) -> State:
    """The same database beside files of which one has another text."""
    migrations = tuple(
        Migration(m.id, m.parents, m.path, m.kind, to) if m.id == id_ else m for m in before.service.migrations
    )
    old = before.service
    changed = Service(old.name, old.kind, old.url, old.folder, migrations, old.depends_on, old.timeouts, old.ahead)
    return replace(before, service=changed)


def _drawn(picture: str) -> list[tuple[str, str]]:
    drawn = []
    for one in filter(None, (piece.strip() for piece in picture.split("--"))):
        match = re.fullmatch(r"(\()?(\w+)\)?([*!~+]*)", one)
        assert match, one
        drawn.append((match[2], (match[1] or "") + match[3]))
    return drawn
