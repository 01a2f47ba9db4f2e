"""Runs the migration files of a PostgreSQL service one by one, with nothing of dataops but its loader."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy.pool import StaticPool

from dataops.files import chain
from dataops.kinds import POSTGRESQL
from dataops.model import Direction, Migration

Db = psycopg.Connection[Any]  # always in autocommit, except while it migrates

FOLDERS = {"api-keys": "api_keys", "notifications": "notifications", "voucher": "voucher"}
ROOT = Path(__file__).resolve().parents[3]

CHAINS = {
    service: chain.load(service, POSTGRESQL, ROOT / "pg_migrations" / folder) for service, folder in FOLDERS.items()
}
EVERY_FILE = [(service, migration.id) for service, chain in CHAINS.items() for migration in chain]


def before(service: str, version: str) -> tuple[Migration, ...]:
    """The files that come before this one."""
    chain = CHAINS[service]
    return chain[: [migration.id for migration in chain].index(version)]


def up_to(service: str, version: str) -> tuple[Migration, ...]:
    """This file and those before it."""
    return (*before(service, version), find(service, version))


def find(service: str, version: str) -> Migration:
    return next(migration for migration in CHAINS[service] if migration.id == version)


def apply(db: Db, migrations: Iterable[Migration]) -> None:
    """Upgrade through these files, oldest first, one transaction each."""
    _run(db, migrations, Direction.APPLY)


def rollback(db: Db, migrations: Iterable[Migration]) -> None:
    """Downgrade through these files, newest first, one transaction each."""
    _run(db, reversed(tuple(migrations)), Direction.ROLLBACK)


def rendered(migration: Migration, direction: Direction) -> str:
    """The SQL of one file and direction, as Alembic's offline mode writes it."""
    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    with Operations.context(context):
        _call(_load(migration), direction)
    return buffer.getvalue()


def _run(db: Db, migrations: Iterable[Migration], direction: Direction) -> None:
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: db, poolclass=StaticPool)
    db.autocommit = False
    try:
        with engine.connect() as connection, Operations.context(MigrationContext.configure(connection)):
            for migration in migrations:
                with connection.begin():
                    _call(_load(migration), direction)
    finally:
        db.rollback()
        db.autocommit = True


@cache
def _load(migration: Migration) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"migration_{migration.id}", migration.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call(module: ModuleType, direction: Direction) -> None:
    if direction is Direction.APPLY:
        module.upgrade()
    else:
        module.downgrade()
