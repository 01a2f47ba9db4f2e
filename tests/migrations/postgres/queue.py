"""The job queue, spoken to as its Rust client does, with small numbers for ids and seconds for times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import psycopg

from tests.migrations.postgres.chain import Db

NIL = "nil"
DEADLINE = 20.0
T = TypeVar("T")


@dataclass(frozen=True)
class Message:
    """What mq_insert is given. Intervals are texts."""

    id: int | None
    channel: str | None = "c"
    args: str | None = ""
    ordered: bool | None = False
    delay: str | None = "0"
    retries: int | None = 4
    backoff: str | None = "1 second"
    commit: str | None = None
    name: str | None = "job"
    json: str | None = None
    data: bytes | None = None

    def values(self) -> tuple[object, ...]:
        """In the order of mq_new_t."""
        return (
            None if self.id is None else UUID(int=self.id),
            self.delay,
            self.retries,
            self.backoff,
            self.channel,
            self.args,
            self.commit,
            self.ordered,
            self.name,
            self.json,
            self.data,
        )


class Row(NamedTuple):
    """A row of mq_msgs. `at` is attempt_at, in seconds from now."""

    after: int | str | None = None
    attempts: int = 5
    backoff: float = 1
    commit: float | None = None
    at: float | None = 0


class Polled(NamedTuple):
    """A row of mq_poll."""

    id: int | None
    committed: bool | None = None
    name: str | None = None
    json: str | None = None
    data: bytes | None = None
    backoff: float | None = None
    wait: float | None = None


@dataclass(frozen=True)
class Queue:
    """The functions over one connection."""

    db: Db
    url: str

    def insert(self, *messages: Message) -> None:
        rows = ", ".join(["ROW(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)::mq_new_t"] * len(messages))
        values = [value for message in messages for value in message.values()]
        self.db.execute(f"SELECT mq_insert(ARRAY[{rows}]::mq_new_t[])".encode(), values)

    def poll(self, channels: list[str | None] | None = None, batch: int | None = 1) -> list[Polled]:
        """Sorted by id."""
        return sorted(
            Polled(*(_number(row[0]), *row[1:]))
            for row in self.db.execute(
                """
                SELECT id, is_committed, name, payload_json, payload_bytes,
                       extract(epoch FROM retry_backoff)::float, extract(epoch FROM wait_time)::float
                FROM mq_poll(%s, %s)
                """,
                (channels, batch),
            )
        )

    def polled(self, channels: list[str | None] | None = None, batch: int | None = 1) -> list[int | None]:
        """The ids alone."""
        return [row.id for row in self.poll(channels, batch)]

    def call(self, function: str, *arguments: object, types: str) -> None:
        """Call one of the other functions, with the types of its arguments."""
        places = ", ".join(f"%s::{type_}" for type_ in types.split())
        self.db.execute(f"SELECT {function}({places})".encode(), arguments)

    def delete(self, *ids: int) -> None:
        self.call("mq_delete", _uuids(ids), types="uuid[]")

    def commit(self, *ids: int) -> None:
        self.call("mq_commit", _uuids(ids), types="uuid[]")

    def keep_alive(self, ids: tuple[int, ...] | None, duration: str | None) -> None:
        self.call("mq_keep_alive", None if ids is None else _uuids(ids), duration, types="uuid[] interval")

    def checkpoint(
        self,
        id_: int | None,
        duration: str | None,
        json: str | None = None,
        data: bytes | None = None,
        extra: int | None = None,
    ) -> None:
        uuid = None if id_ is None else UUID(int=id_)
        self.call("mq_checkpoint", uuid, duration, json, data, extra, types="uuid interval text bytea int")

    def clear(self, names: list[str] | None) -> None:
        self.call("mq_clear", names, types="text[]")

    def clear_all(self) -> None:
        self.call("mq_clear_all", types="")

    def rows(self) -> dict[int | str, Row]:
        """mq_msgs without the sentinel."""
        return {id_: row for id_, row in self.all_rows().items() if id_ != NIL}

    def all_rows(self) -> dict[int | str, Row]:
        return {
            _number(id_) or NIL: Row(_name(after), *rest)
            for id_, after, *rest in self.db.execute("""
                SELECT id, after_message_id, attempts, extract(epoch FROM retry_backoff)::float,
                       extract(epoch FROM commit_interval)::float, extract(epoch FROM attempt_at - now())::float
                FROM mq_msgs ORDER BY id
            """)
        }

    def chain(self) -> dict[int | str, int | str | None]:
        """What each message waits for."""
        return {id_: row.after for id_, row in self.rows().items()}

    def payloads(self) -> dict[int | None, tuple[Any, ...]]:
        return {
            _number(id_): tuple(rest)
            for id_, *rest in self.db.execute(
                "SELECT id, name, payload_json::text, payload_bytes FROM mq_payloads ORDER BY id"
            )
        }

    def set(self, assignments: str, *ids: int) -> None:
        """Change rows by hand, as the application does with retry_backoff: `attempt_at = now()`."""
        query = f"UPDATE mq_msgs SET {assignments} WHERE id = ANY (%s)"
        self.db.execute(query.encode(), (_uuids(ids),))

    def in_order(self) -> None:
        """Make everything that waits ready: the lower the id, the longer ago."""
        self.db.execute("""
            UPDATE mq_msgs SET attempt_at = now() - (1000 - ranked.rank) * interval '1 millisecond'
            FROM (SELECT id, row_number() OVER (ORDER BY id) AS rank FROM mq_msgs) AS ranked
            WHERE ranked.id = mq_msgs.id
        """)

    @contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """One transaction: now() stands still, so times can be compared exactly."""
        with self.db.transaction():
            yield

    @contextmanager
    def another(self) -> Iterator[Queue]:
        """The same queue over a second connection, which gives up waiting after DEADLINE."""
        patience = f"-c statement_timeout={DEADLINE:.0f}s"
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None, options=patience) as db:
            yield Queue(db, self.url)

    def notified(self, action: Callable[[], None]) -> list[str]:
        """The channels that a listener hears of by this action, sorted."""
        with self.another() as ears:
            for name in ("mq", "mq_A", "mq_B", "mq_c", "the end"):
                ears.db.execute(f'LISTEN "{name}"'.encode())
            action()
            self.db.execute('NOTIFY "the end"')
            heard: list[str] = []
            for notification in ears.db.notifies(timeout=DEADLINE):
                if notification.channel == "the end":
                    return sorted(heard)
                heard.append(notification.channel)
        raise AssertionError("the end was not heard")

    @contextmanager
    def meanwhile(self, action: Callable[[Queue], T]) -> Iterator[Future[T]]:
        """Begin the action on a second connection and go on once it waits for a lock, or is done.

        The future says which: `done()`.
        """
        with self.another() as other, ThreadPoolExecutor(1) as threads:
            future = threads.submit(action, other)
            self._until_it_waits(other.db.info.backend_pid, future)
            yield future
            future.result()

    def _until_it_waits(self, pid: int, future: Future[T]) -> None:
        deadline = monotonic() + DEADLINE
        with psycopg.connect(self.url, autocommit=True) as watcher:
            query = "SELECT true FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            while not (future.done() or watcher.execute(query, (pid,)).fetchone()):
                assert monotonic() < deadline, "it neither waits nor ends"


def _uuids(ids: tuple[int, ...]) -> list[UUID]:
    return [UUID(int=id_) for id_ in ids]


def _number(uuid: UUID | None) -> int | None:
    return None if uuid is None else uuid.int


def _name(uuid: UUID | None) -> int | str | None:
    return NIL if uuid is not None and uuid.int == 0 else _number(uuid)
