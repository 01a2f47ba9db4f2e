"""Backfills beside a live application: keys of all kinds, kills, other sessions in the way."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.acceptance.test_backfill import HEAD, once, orders, slow_orders
from tests.projects import Project, ended, until


@pytest.fixture
def shop(project: Project, pg_url: str) -> Project:
    return project.add("shop", pg_url, onto_existing=True)


KEYS = {
    "uuid": ("id uuid PRIMARY KEY DEFAULT gen_random_uuid()", "DEFAULT"),
    "text": ('id text COLLATE "C" PRIMARY KEY', "chr(39) || '%' || '{}' || md5(i::text) || '\\'"),
    "composite": ("tenant int DEFAULT 7, id bigint, PRIMARY KEY (id, tenant)", "i"),
    "timestamptz": ("id timestamptz PRIMARY KEY", "'2020-01-01'::timestamptz + i * interval '1 s 3 microseconds'"),
    "float": ("id float8 PRIMARY KEY", "CASE i WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' ELSE i / 3.0 END"),
    "numeric": ("id numeric PRIMARY KEY", "i / 7.0"),
    "bytea": ("id bytea PRIMARY KEY", "decode(md5(i::text), 'hex')"),
    "domain": ("id positive PRIMARY KEY", "i"),
    "partitioned": ("id int PRIMARY KEY", "i"),
    "unique": ("id int NOT NULL UNIQUE, code text NOT NULL, UNIQUE (code, id)", "i"),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("how", ["set", "statement", "keep"])
def test_every_kind_of_key(shop: Project, pg: psycopg.Connection[Any], kind: str, how: str) -> None:
    columns, value = KEYS[kind]
    pg.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    by = " PARTITION BY HASH (id)" if kind == "partitioned" else ""
    pg.execute(f"CREATE TABLE items ({columns}, n int NOT NULL DEFAULT 0, done bool){by}".encode())
    if by:
        for part in range(3):
            pg.execute(
                f"CREATE TABLE items_{part} PARTITION OF items FOR VALUES WITH (MODULUS 3, REMAINDER {part})".encode()
            )
    more, what = (", code", ", md5(i::text)") if kind == "unique" else ("", "")
    pg.execute(
        f"INSERT INTO items (n{more}) SELECT 0{what} FROM generate_series(1, 2500) i".encode()
        if value == "DEFAULT"
        else f"INSERT INTO items (id{more}) SELECT {value}{what} FROM generate_series(1, 2500) i".encode()
    )
    key = 'key=["code", "id"], ' if kind == "unique" else ""
    if how == "set":
        up, down = f'backfill(op, "items", {key}set={{"n": "n + 1"}})', 'restore(op, "items", set={"n": "n - 1"})'
    elif how == "keep":
        values = 'set={"n": "n + 1", "done": "true"}, keep=["n", "done"]'
        up = f'backfill(op, "items", {key}where="done IS NULL", {values})'
        down = 'restore(op, "items")'
    else:
        up = f'backfill(op, "items", {key}once=True, statement="UPDATE items AS i SET n = i.n + 1 WHERE {{batch:i}}")'
        down = 'restore(op, "items", set={"n": "n - 1"})'
    shop.file("shop", "001", up, down, head=HEAD)
    done = shop("apply", "--yes")
    assert done.code == 0, done
    assert pg.execute("SELECT min(n), max(n), count(*) FROM items").fetchone() == (1, 1, 2500)
    back = shop("rollback", "--steps", "1", "--yes")
    assert back.code == 0, back
    assert pg.execute("SELECT min(n), max(n), count(*), count(done) FROM items").fetchone() == (0, 0, 2500, 0)


def paused(shop: Project) -> str:
    """Why the backfill waits just now."""
    found = shop("status", "--json").json["services"][0]["backfills"]
    return found[0]["paused"] or "" if found else ""


@contextmanager
def application(url: str, seed: int) -> Iterator[None]:
    """Inserts, deletes and updates rows, as an application would, until the scope ends."""
    over, dice = threading.Event(), random.Random(seed)
    problems: list[BaseException] = []

    def work() -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while not over.is_set():
                    key = dice.randrange(1, 3500)
                    connection.execute("INSERT INTO items (id) VALUES (%s) ON CONFLICT DO NOTHING", [key])
                    connection.execute("DELETE FROM items WHERE id = %s AND n = 0", [dice.randrange(1, 3500)])
                    connection.execute("UPDATE items SET other = other + 1 WHERE id = %s", [dice.randrange(1, 3500)])
                    time.sleep(0.002)
        except psycopg.Error as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert problems == []


def moved(pg: psycopg.Connection[Any], process: subprocess.Popen[str]) -> None:
    """Wait until the backfill has changed something, or has ended."""
    before = pg.execute("SELECT sum(n) FROM items").fetchone()
    until(lambda: process.poll() is not None or pg.execute("SELECT sum(n) FROM items").fetchone() != before)


@pytest.mark.parametrize("where", ["", 'where="n = 0", '])
def test_killed_again_and_again_while_rows_come_and_go(
    shop: Project, pg: psycopg.Connection[Any], pg_url: str, where: str
) -> None:
    dice = random.Random(17)
    pg.execute("CREATE TABLE items (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, other int NOT NULL DEFAULT 0)")
    pg.execute("INSERT INTO items (id) SELECT i * 2 FROM generate_series(1, 1500) i")
    pg.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN IF NEW.n <> OLD.n THEN PERFORM pg_sleep(0.001); END IF; RETURN NEW; END $$"
    )
    pg.execute("CREATE TRIGGER slow BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION slow()")
    shop.file(
        "shop",
        "001",
        f'backfill(op, "items", {where}set={{"n": "n + 1"}}, once=True)',
        'restore(op, "items", set={"n": "n - 1"})',
        head=HEAD,
    )

    def to_the_end(*command: str) -> None:
        for kills in range(100):
            with shop.running(*command) as process:
                if kills < 6:
                    moved(pg, process)
                    time.sleep(dice.random() * 0.3)
                    process.kill()
                    process.wait()
                    continue
                answer = ended(process)
                assert answer.code == 0, answer
                return

    with application(pg_url, 3):
        to_the_end("apply", "--yes")
    assert pg.execute("SELECT max(n) FROM items").fetchone() == (1,)
    assert pg.execute("SELECT count(*) FROM items WHERE n = 0 AND id % 2 = 0 AND other = -1").fetchone() == (0,)
    with application(pg_url, 4):
        to_the_end("rollback", "--steps", "1", "--yes")
    assert pg.execute("SELECT min(n), max(n) FROM items").fetchone() == (0, 0)


def test_rows_that_somebody_holds_are_waited_for(shop: Project, pg: psycopg.Connection[Any], pg_url: str) -> None:
    orders(pg, 5000)
    once(shop)
    with psycopg.connect(pg_url) as other:
        other.execute("UPDATE orders SET total = 1 WHERE id = 2500")
        with shop.running("apply", "--yes") as process:
            until(lambda: "another session holds rows" in paused(shop))
            other.commit()
            assert ended(process).code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)


@contextmanager
def in_the_way(url: str) -> Iterator[None]:
    """Somebody changes the row that comes next, again and again, until the scope ends."""
    over = threading.Event()

    def work() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.is_set():
                connection.execute(
                    "UPDATE orders SET total = total + 1 WHERE id ="
                    " 1 + (SELECT coalesce(max(id), 0) FROM orders WHERE batch IS NOT NULL)"
                )

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_batches_that_keep_an_application_waiting_become_shorter(
    shop: Project, pg: psycopg.Connection[Any], pg_url: str
) -> None:
    orders(pg, 4000)
    pg.execute("ALTER TABLE orders ADD batch bigint")
    pg.execute("CREATE INDEX ON orders (id) WHERE batch IS NOT NULL")
    pg.execute(  # it takes a millisecond or more for each row, and tells the batches apart
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n <> OLD.n THEN"
        " PERFORM pg_sleep(0.001); NEW.batch = txid_current(); END IF; RETURN NEW; END $$"
    )
    pg.execute("CREATE TRIGGER slow BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION slow()")

    def sizes(after: int = 0) -> list[int]:
        found = pg.execute(
            "SELECT count(*) FROM orders WHERE batch > %s GROUP BY batch ORDER BY batch", [after]
        ).fetchall()
        return [size for (size,) in found]

    once(shop)
    with shop.running("apply", "--yes") as process:
        with in_the_way(pg_url):
            until(lambda: [size for size in sizes()[-1:] if size <= 25])
        ((last,),) = pg.execute("SELECT max(batch) FROM orders").fetchall()
        answer = ended(process)
    assert answer.code == 0, answer
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)
    alone = sizes(last)
    assert len(alone) >= 40
    assert max(alone[:40]) <= 200, alone  # rows; a whole batch has about 400


def test_a_rule_of_ones_own(shop: Project, pg: psycopg.Connection[Any], pg_url: str) -> None:
    slow_orders(pg, 2000)
    pg.execute("CREATE TABLE rules (stop bool)")
    pg.execute("INSERT INTO rules VALUES (true)")
    once(shop)
    shop.configure(shop={"backfill": {"pause_while": "SELECT stop FROM rules", "pause_file": "stop-here"}})
    (shop.folder / "stop-here").touch()
    with shop.running("apply", "--yes") as process:
        until(lambda: "stop-here is there" in paused(shop))
        (shop.folder / "stop-here").unlink()
        until(lambda: "pause_while says" in paused(shop))
        assert pg.execute("SELECT max(n) FROM orders").fetchone() == (0,)
        pg.execute("UPDATE rules SET stop = false")
        assert ended(process).code == 0
    assert pg.execute("SELECT min(n), max(n) FROM orders").fetchone() == (1, 1)
