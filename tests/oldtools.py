"""The tools that migrated before us, as far as a database shows of them: their tables, and what a run of theirs leaves.

Written from their own sources and manuals (see the shapes in tests/contract/test_records.py), not from our reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha384
from typing import Any

import psycopg
from pymongo import MongoClient
from pymongo.database import Database

from tests.contract.test_records import KNEX, SQLX
from tests.projects import Project

AT = datetime(2024, 3, 1, 9, 30, tzinfo=UTC)


def checksum(id_: str) -> str:
    """Of a service's .sql file with that number."""
    return sha384(id_.encode()).hexdigest()


class OldTool:
    """sqlx, knex or migrate-mongo at work on one database. The ids are those of tests.projects: `20240101` makes
    the table (collection) t_20240101."""

    def __init__(self, tool: str, url: str) -> None:
        self.tool = tool
        self.url = url
        self._at = AT

    def applies(self, *ids: str, record: bool = True, change: bool = True) -> None:
        """One run of it. `change=False`: only the record; `record=False`: only the change."""
        if self.tool == "migrate-mongo":
            with self.mongo() as db:
                for id_ in ids:
                    if change:
                        db[f"t_{id_}"].insert_one({"_id": 1})
                    if record:
                        db.changelog.insert_one({"fileName": f"{id_}.ts", "appliedAt": self._next()})
            return
        with self.postgres() as connection:
            self.create()
            batch = self._batch(connection)
            for id_ in ids:
                if change:
                    connection.execute(f"CREATE TABLE t_{id_} (id int)".encode())
                if record and self.tool == "sqlx":
                    connection.execute(
                        "INSERT INTO _sqlx_migrations VALUES (%s, %s, %s, true, %s, 1000)",
                        [int(id_), f"the {id_}", self._next(), bytes.fromhex(checksum(id_))],
                    )
                elif record:
                    connection.execute(
                        "INSERT INTO knex_migrations (name, batch, migration_time) VALUES (%s, %s, %s)",
                        [f"{id_}.mjs", batch, self._next()],
                    )

    def takes_back(self, id_: str, *, change: bool = True) -> None:
        if self.tool == "migrate-mongo":
            with self.mongo() as db:
                db.changelog.delete_one({"fileName": f"{id_}.ts"})
                if change:
                    db.drop_collection(f"t_{id_}")
            return
        with self.postgres() as connection:
            if self.tool == "sqlx":
                connection.execute("DELETE FROM _sqlx_migrations WHERE version = %s", [int(id_)])
            else:
                connection.execute("DELETE FROM knex_migrations WHERE name = %s", [f"{id_}.mjs"])
            if change:
                connection.execute(f"DROP TABLE t_{id_}".encode())

    def create(self) -> None:
        """Its tables, where they are missing."""
        with self.postgres() as connection:
            if connection.execute("SELECT to_regclass(%s)", [self.table]).fetchone() == (None,):
                connection.execute((SQLX if self.tool == "sqlx" else KNEX).encode())

    @property
    def table(self) -> str:
        return {"sqlx": "_sqlx_migrations", "knex": "knex_migrations", "migrate-mongo": "changelog"}[self.tool]

    def record(self) -> list[tuple[Any, ...]]:
        """Every row, whole, oldest first; without times and keys of the database's own making."""
        if self.tool == "migrate-mongo":
            with self.mongo() as db:
                found = list(db.changelog.find({}, {"_id": 0}).sort("appliedAt", 1))
                assert all(isinstance(one.pop("appliedAt"), datetime) for one in found)
                return [tuple(one.items()) for one in found]
        with self.postgres() as connection:
            if self.tool == "sqlx":
                query = (
                    "SELECT version, description, success, encode(checksum, 'hex') FROM _sqlx_migrations"
                    " WHERE execution_time >= 0 ORDER BY installed_on, version"
                )
            else:
                query = "SELECT name, batch FROM knex_migrations WHERE migration_time IS NOT NULL ORDER BY id"
            return connection.execute(query.encode()).fetchall()

    def raw(self) -> list[Any]:
        """Everything there is of its record, to see that nobody has touched it."""
        if self.tool == "migrate-mongo":
            with self.mongo() as db:
                return list(db.changelog.find().sort("appliedAt", 1))
        with self.postgres() as connection:
            return connection.execute(f"SELECT xmin::text, t.* FROM {self.table} t ORDER BY 2".encode()).fetchall()

    def expected(self, *ids: str, batches: Sequence[int] = ()) -> list[tuple[Any, ...]]:
        """What `record` says when it has these, `batches` for knex."""
        if self.tool == "sqlx":
            return [(int(id_), f"the {id_}", True, checksum(id_)) for id_ in ids]
        if self.tool == "knex":
            return list(zip((f"{id_}.mjs" for id_ in ids), batches or [1] * len(ids), strict=True))
        return [(("fileName", f"{id_}.ts"),) for id_ in ids]

    def described(self, project: Project, service: str, *ids: str) -> None:
        """Write the adopt.toml that knows these."""
        text = {"sqlx": "[sqlx]\n", "knex": '[knex]\nextension = ".mjs"\n'}.get(
            self.tool, '[migrate-mongo]\nextension = ".ts"\n'
        )
        if self.tool == "sqlx":
            text += "".join(
                f'[sqlx.migrations."{id_}"]\ndescription = "the {id_}"\nchecksum = "{checksum(id_)}"\n' for id_ in ids
            )
        (project.folder / service / "adopt.toml").write_text(text)

    @contextmanager
    def postgres(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    @contextmanager
    def mongo(self) -> Iterator[Database[dict[str, Any]]]:
        with MongoClient[dict[str, Any]](self.url) as client:
            yield client.get_default_database()

    def _next(self) -> datetime:
        self._at += timedelta(minutes=1)
        return self._at

    def _batch(self, connection: psycopg.Connection[Any]) -> int:
        if self.tool != "knex":
            return 0
        row = connection.execute("SELECT coalesce(max(batch), 0) + 1 FROM knex_migrations").fetchone()
        assert row is not None
        return int(row[0])
