"""What processes that share a rollout keep in a control database: two small tables, made when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from dataops.backends.postgres import sql
from dataops.backends.postgres.connection import Server
from dataops.model import Mark, Service

_MAKE = (
    """
    CREATE TABLE IF NOT EXISTS dataops_rollouts (
        rollout text, attempt int, content text NOT NULL,
        at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
        PRIMARY KEY (rollout, attempt)
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS dataops_rollout_shards (
        rollout text, attempt int, shard int, mark text, done int NOT NULL,
        at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
        PRIMARY KEY (rollout, attempt, shard, mark)
    )
    """,
    "COMMENT ON TABLE dataops_rollouts IS 'Runs of dataops that processes share: dataops docs fleets'",
    "COMMENT ON TABLE dataops_rollout_shards IS 'What each of those processes has ended: dataops docs fleets'",
)
_THERE = """
SELECT count(*) = 2 FROM pg_catalog.pg_class c
 WHERE c.oid IN (pg_catalog.to_regclass('dataops_rollouts'), pg_catalog.to_regclass('dataops_rollout_shards'))
"""


def prepare(service: Service) -> None:
    """Make the tables if they are missing."""
    with _writing(service) as connection:
        if _are_there(connection):
            return
        with connection.transaction():
            connection.execute(sql.ONE_MAKES)
            if not _are_there(connection):
                for statement in _MAKE:
                    connection.execute(statement)


def _are_there(connection: psycopg.Connection[Any]) -> bool:
    return connection.cursor(row_factory=tuple_row).execute(_THERE).fetchone() == (True,)


def newest(service: Service, rollout: str) -> tuple[int, str] | None:
    """The newest attempt of a rollout: its number, and what was written down of it when it began."""
    question = "SELECT attempt, content FROM dataops_rollouts WHERE rollout = %s ORDER BY attempt DESC LIMIT 1"
    with _writing(service) as connection:
        return connection.cursor(row_factory=tuple_row).execute(question, [rollout]).fetchone()


def begin(service: Service, rollout: str, attempt: int, content: str) -> None:
    """Begin an attempt, unless another process has begun it."""
    statement = "INSERT INTO dataops_rollouts (rollout, attempt, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
    with _writing(service) as connection:
        connection.execute(statement, [rollout, attempt, content])


def mark(service: Service, rollout: str, attempt: int, made: Mark) -> None:
    """Write down a mark, unless it is there."""
    statement = """
        INSERT INTO dataops_rollout_shards (rollout, attempt, shard, mark, done)
        VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
    """
    with _writing(service) as connection:
        connection.execute(statement, [rollout, attempt, made.shard, made.name, made.done])


def marks(service: Service, rollout: str, attempt: int) -> list[Mark]:
    """All marks of an attempt, oldest first."""
    question = """
        SELECT shard, mark, done, extract(epoch FROM pg_catalog.clock_timestamp() - at)::float8
        FROM dataops_rollout_shards WHERE rollout = %s AND attempt = %s ORDER BY at
    """
    with _writing(service) as connection:
        found = connection.cursor(row_factory=tuple_row).execute(question, [rollout, attempt])
        return [Mark(*row) for row in found]


@contextmanager
def _writing(service: Service) -> Iterator[psycopg.Connection[dict[str, object]]]:
    server = Server(service)
    connection = server.connect()
    connection.answer_within = server.answer_within
    try:
        with server.explaining(connection):
            yield connection
    finally:
        connection.close()


__all__ = ["begin", "mark", "marks", "newest", "prepare"]
