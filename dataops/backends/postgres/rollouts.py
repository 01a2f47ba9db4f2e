"""What processes that share a rollout keep in a control database: two small tables, made when they are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import tuple_row

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
_THERE = "SELECT pg_catalog.to_regclass('dataops_rollouts'), pg_catalog.to_regclass('dataops_rollout_shards')"
_AT_ONCE = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateObject,  # the type of its rows
    psycopg.errors.InternalError_,
)
"""What two processes get that make the same table, or its comment, at the same time: the other one has made it."""
_TRIES = 20


def prepare(service: Service) -> None:
    """Make the tables if they are missing."""
    with _writing(service) as connection:
        for _ in range(_TRIES):
            if all(connection.cursor(row_factory=tuple_row).execute(_THERE).fetchone() or ()):
                return
            try:
                for statement in _MAKE:
                    connection.execute(statement)
            except _AT_ONCE:
                continue


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
