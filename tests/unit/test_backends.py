"""What both kinds of database share, and what each says, as far as that needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from pymongo.errors import OperationFailure
from sqlalchemy.exc import DBAPIError

from dataops.backends import connect
from dataops.backends.journal import settled
from dataops.backends.loading import load_module
from dataops.backends.mongo import connection as mongo_connection
from dataops.backends.postgres import connection as postgres_connection
from dataops.errors import BrokenFile, ConfigError
from dataops.kinds import MONGODB
from dataops.model import JournalEvent, Service, State
from dataops.redaction import redact
from tests.unit.sample import HOLDER, entry, migration, service, state

PG = service("a")
MONGO = service("a", kind=MONGODB)


def test_connecting_reaches_no_server_and_closing_twice_is_fine() -> None:
    for one in (PG, MONGO):
        database = connect(one)
        assert database.service is one
        database.close()
        database.close()


# --- a step that is only just ending is not a dead one


def looks(*states: State) -> Iterator[State]:
    yield from states
    raise AssertionError("looked once more than was needed")


STARTED = state("a -- b~", last=entry("b", JournalEvent.STARTED))
RUNNING = replace(STARTED, holder=HOLDER)
DONE = state("a -- b~*", last=entry("b", JournalEvent.SUCCEEDED))
NEXT = replace(STARTED, last=replace(entry("b", JournalEvent.STARTED), seq=9))


@pytest.mark.parametrize(
    ("seen", "settled_on"),
    [
        ([DONE], DONE),  # ended
        ([RUNNING], RUNNING),  # somebody is at it
        ([STARTED, STARTED], STARTED),  # nobody had the lock in between: dead
        ([STARTED, DONE], DONE),  # it ended between the look at the journal and the look at the lock
        ([STARTED, RUNNING], RUNNING),  # another run began
        ([STARTED, NEXT, NEXT], NEXT),  # another run began and died
        ([STARTED, NEXT, DONE], DONE),
    ],
)
def test_a_started_step_without_a_lock_holder_is_looked_at_twice(seen: list[State], settled_on: State) -> None:
    again = looks(*seen)
    assert settled(lambda: next(again)) == settled_on


# --- a migration file becomes a module


def test_a_file_is_run_from_the_text_that_was_checksummed_and_not_from_disk(tmp_path: Path) -> None:
    one = replace(migration("a"), path=tmp_path / "a.py")
    one.path.write_text("raise RuntimeError('edited meanwhile')\n")
    module = load_module(PG, one)
    assert (module.revision, module.__file__) == ("a", str(one.path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 / 0", "raises on import: ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", "raises on import: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise SystemExit(3)", "raises on import: SystemExit: 3"),
        ("def upgrade(:", "raises on import: SyntaxError: "),
        ("def downgrade(): pass", "has no upgrade()"),
        ("upgrade = 3", "has no upgrade()"),
        ("raise ValueError('postgres://u:hunter2@db/x')", "raises on import: ValueError: postgres://u:***@db/x"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_its_reason(text: str, says: str) -> None:
    with pytest.raises(BrokenFile) as caught:
        load_module(PG, replace(migration("a"), text=text.encode()))
    assert caught.value.message.startswith(f"a.py {says}")
    assert (caught.value.service, caught.value.migration) == ("voucher", "a")


def test_a_ctrl_c_while_a_file_is_imported_is_no_fault_of_the_file() -> None:
    with pytest.raises(KeyboardInterrupt):
        load_module(PG, replace(migration("a"), text=b"raise KeyboardInterrupt"))


def test_a_file_that_says_it_is_irreversible_needs_no_downgrade() -> None:
    load_module(PG, replace(migration("a"), text=b"reversible = False\ndef upgrade(): pass\n"))


# --- one line for a person, without secrets


def test_a_refused_mongodb_command_is_told_without_its_session_and_signatures() -> None:
    errmsg = (
        'not authorized on galoy to execute command { update: "dataops_lock", ordered: true, lsid: { id: '
        'UUID("d095ce31-5759-4041-a17a-d033886b5687") }, $clusterTime: { signature: { hash: BinData(0, CFE7) } } }'
    )
    error = OperationFailure(errmsg, 13, {"ok": 0.0, "errmsg": errmsg, "code": 13})
    assert mongo_connection.error_text(error) == (
        'OperationFailure: not authorized on galoy to execute command update "dataops_lock"'
    )


def test_a_mongodb_error_is_one_line_of_bounded_length() -> None:
    assert mongo_connection.error_text(ValueError("one\n  two")) == "ValueError: one two"
    assert len(mongo_connection.error_text(ValueError("x" * 9999))) == 500


def test_a_postgresql_error_names_the_servers_class_and_the_statement() -> None:
    raw = psycopg.errors.LockNotAvailable("canceling statement due to lock timeout\nCONTEXT:  more")
    error = DBAPIError("ALTER TABLE t\n  ADD COLUMN b int", None, raw)
    error.add_note("it left the invalid index t_a")
    assert postgres_connection.error_text(error) == (
        "LockNotAvailable: canceling statement due to lock timeout in: ALTER TABLE t ADD COLUMN b int; "
        "it left the invalid index t_a"
    )
    assert postgres_connection.error_text(ValueError()) == "ValueError: ValueError"


def test_a_secret_that_would_be_cut_in_two_is_gone_before_the_cut() -> None:
    redact.learn("postgres://someone:hunter2hunter2@db/x")
    for length in range(440, 520):
        assert "hunter" not in mongo_connection.error_text(ValueError("x" * length + "hunter2hunter2"))
    for length in range(270, 310):
        error = DBAPIError("x" * length + "hunter2hunter2", None, psycopg.errors.SyntaxError("no"))
        assert "hunter" not in postgres_connection.error_text(error)


# --- a URL that no driver takes is refused without a piece of it


@pytest.mark.parametrize(
    "one",
    [
        replace(PG, url="postgres://someone:hun%zzter2@db/x"),
        replace(PG, url="postgres://someone:hunter2@db:port/x?hunter2"),
        replace(PG, url="postgres://someone:hunter2@db/x?nonsense=hunter2"),
        replace(MONGO, url="mongodb://someone:hunter2:more@db/x"),
        replace(MONGO, url="mongodb://someone:hun%zz ter2@db:99999999/x"),
        replace(MONGO, url="mongodb://someone:hunter2@db:port/x"),
    ],
    ids=lambda one: one.url,
)
def test_a_url_that_no_driver_takes_is_refused_without_a_piece_of_it(one: Service) -> None:
    redact.learn(one.url)
    database = connect(one)
    with pytest.raises(ConfigError) as caught:
        database.read()
    database.close()
    text = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert caught.value.service == one.name
    assert "hunter2" not in text
    assert "ter2" not in text
