"""The functions of the notifications queue, scenario by scenario and version by version.

version     A         clear A   latest B  B         clear B   C         D
file        20210316  20210921  20211013  20220208  20220713  20240312  20240318
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache

import psycopg
import pytest
from psycopg import errors

from dataops.dev import PostgresServer
from tests.migrations.postgres import chain
from tests.migrations.postgres.queue import NIL, Message, Polled, Queue, Row
from tests.servers import fresh_postgres

VERSIONS = {
    "A": "20210316025847",
    "clear A": "20210921115907",
    "latest B": "20211013151757",
    "B": "20220208120856",
    "clear B": "20220713122907",
    "C": "20240312083208",
    "D": "20240318074634",
}
SENTINEL = "INSERT INTO mq_msgs (id, channel_name, channel_args, after_message_id) VALUES (%s, '', '', NULL)"
FOLLOWER_INDEX = "mq_msgs_channel_name_channel_args_after_message_id_idx"


def versions(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("queue", names, indirect=True)


every_version = versions("A", "B", "C", "D")
head = versions("D")


@pytest.fixture(scope="module")
def _queues(postgres: PostgresServer) -> Iterator[Callable[[str], Queue]]:
    """One database for each version, made when it is first asked for."""
    with ExitStack() as stack:

        @cache
        def queue(version: str) -> Queue:
            url = stack.enter_context(fresh_postgres(postgres, "queue"))
            db = stack.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=None))
            chain.apply(db, chain.up_to("notifications", VERSIONS[version]))
            return Queue(db, url)

        yield queue


@pytest.fixture
def queue(request: pytest.FixtureRequest, _queues: Callable[[str], Queue]) -> Queue:
    """A queue of the version that the test asks for, with nothing in it but the sentinel."""
    queue = _queues(request.param)
    queue.db.rollback()
    queue.db.execute("RESET ALL")
    queue.db.execute("TRUNCATE mq_msgs, mq_payloads")
    queue.db.execute(SENTINEL, ("00000000-0000-0000-0000-000000000000",))
    return queue


def nothing(wait: float | None = None) -> list[Polled]:
    return [Polled(None, wait=wait)]


def handed_out(id_: int, backoff: float = 1, committed: bool = True) -> Polled:
    return Polled(id_, committed, "job", None, None, backoff, 0)


# --- mq_poll -----------------------------------------------------------------------------------------------


@every_version
def test_polling_an_empty_queue_gives_one_row_of_nulls(queue: Queue) -> None:
    assert queue.poll() == nothing()


@every_version
def test_a_message_is_handed_out_with_its_payload_and_waits_before_its_next_attempt(queue: Queue) -> None:
    """Scenarios 3, 4 and 5."""
    with queue.at_one_moment():
        queue.insert(Message(1, json='{"b":1,"a":2}'))
        assert queue.rows() == {1: Row()}
        assert queue.payloads() == {1: ("job", '{"a": 2, "b": 1}', None)}
        assert queue.poll() == [Polled(1, True, "job", '{"a": 2, "b": 1}', None, 1, 0)]
        assert queue.rows() == {1: Row(attempts=4, backoff=2, at=1)}
        assert queue.poll() == nothing(wait=1)


@every_version
def test_the_wait_doubles_until_the_last_attempt_after_which_a_message_is_never_due(queue: Queue) -> None:
    """Scenarios 6 and 7."""
    with queue.at_one_moment():
        queue.insert(Message(1))
        seen = []
        for _ in range(5):
            queue.set("attempt_at = now()", 1)
            seen.append((queue.poll(), queue.rows()[1].attempts))
        assert seen == [([handed_out(1, 2.0**n)], 4 - n) for n in range(5)]
        assert queue.rows() == {1: Row(attempts=0, backoff=32, at=None)}
        assert queue.poll() == nothing()


@every_version
@pytest.mark.parametrize(
    ("retries", "left"), [(0, Row(attempts=0, backoff=2, at=None)), (-1, Row(None, -1, 2, None, 1))]
)
def test_only_the_attempt_numbered_one_is_the_last(queue: Queue, retries: int, left: Row) -> None:
    """Scenarios 8 and 9: with less than that it goes on for ever."""
    with queue.at_one_moment():
        queue.insert(Message(1, retries=retries))
        assert queue.polled() == [1]
        assert queue.rows() == {1: left}


@every_version
def test_the_wait_is_until_the_first_message_of_the_channels_asked_for(queue: Queue) -> None:
    """Scenario 10."""
    with queue.at_one_moment():
        queue.insert(Message(1, delay="1 hour"), Message(2, channel="later", delay="2 hours"))
        assert queue.poll() == nothing(wait=3600)
        assert queue.poll(["later"]) == nothing(wait=7200)
        assert queue.poll(["other"]) == nothing()


@every_version
def test_a_message_without_a_delay_is_never_due(queue: Queue) -> None:
    """Scenario 11."""
    queue.insert(Message(1, delay=None))
    assert queue.rows() == {1: Row(at=None)}
    assert queue.poll() == nothing()


@every_version
def test_one_channel_is_emptied_before_the_next(queue: Queue) -> None:
    """Scenarios 12 and 13."""
    queue.insert(*(Message(n, channel="A" if n <= 5 else "B") for n in range(1, 11)))
    with queue.at_one_moment():
        queue.in_order()
        with queue.db.transaction(force_rollback=True):
            assert queue.polled(None, 3) in ([1, 2, 3], [6, 7, 8])
        assert queue.polled(["A"], 3) == [1, 2, 3]
        assert queue.polled(["A"], 2) == [4, 5]
        assert queue.polled(["B", "C"], 100) == [6, 7, 8, 9, 10]
        assert queue.poll(["Z"]) == queue.poll([]) == queue.poll([None]) == nothing()


@every_version
def test_a_batch_fills_up_from_a_second_channel_and_channels_take_turns_at_random(queue: Queue) -> None:
    queue.insert(*(Message(n, channel="A" if n <= 2 else "B") for n in range(1, 5)))
    seen = set()
    for _ in range(60):
        with queue.db.transaction(force_rollback=True):
            queue.in_order()
            seen.add(tuple(queue.polled(None, 3)))
    assert seen == {(1, 2, 3), (1, 3, 4)}


@every_version
def test_a_batch_may_be_nothing_everything_but_not_negative(queue: Queue) -> None:
    """Scenario 14."""
    queue.insert(*(Message(n, channel=f"c{n % 3}") for n in range(1, 11)))
    with queue.db.transaction(force_rollback=True):
        queue.in_order()
        (answer,) = queue.poll(None, 0)
        assert answer.id is None and answer.wait is not None and answer.wait < 0
        assert queue.polled(None, None) == list(range(1, 11))
    with pytest.raises(psycopg.Error) as error:
        queue.poll(None, -1)
    assert error.value.sqlstate == "2201W"


@every_version
def test_the_batch_is_one_unless_said_otherwise(queue: Queue) -> None:
    queue.insert(Message(1), Message(2))
    assert len(queue.db.execute("SELECT * FROM mq_poll(NULL)").fetchall()) == 1


@every_version
def test_the_oldest_attempt_comes_first(queue: Queue) -> None:
    """Scenario 15."""
    queue.insert(Message(1), Message(2), Message(3))
    queue.set("attempt_at = now() - interval '1 minute'", 3)
    assert queue.polled() == [3]


@every_version
def test_a_message_whose_payload_is_gone_is_handed_out_without_it(queue: Queue) -> None:
    """Scenario 35."""
    queue.insert(Message(1))
    queue.db.execute("DELETE FROM mq_payloads")
    assert queue.poll() == [Polled(1, True, None, None, None, 1, 0)]


PLANS = {
    "as it is, never analysed": [],
    "analysed": ["ANALYZE mq_msgs"],
    "nested loops only": ["SET enable_hashjoin = off", "SET enable_mergejoin = off", "SET enable_material = off"],
    "no nested loops": ["SET enable_nestloop = off", "SET jit = off"],
    "no indexes": ["SET enable_indexscan = off", "SET enable_bitmapscan = off", "SET enable_indexonlyscan = off"],
    "indexes only": ["SET enable_seqscan = off"],
    "one plan for all": ["SET plan_cache_mode = force_generic_plan"],
}


@every_version
@pytest.mark.parametrize("plan", PLANS)
def test_no_plan_hands_out_more_than_the_batch(queue: Queue, plan: str) -> None:
    """The originals of C and D do: a batch of 1 gave all 100."""
    queue.insert(*(Message(n, channel=f"c{n % 5}", backoff="1 hour") for n in range(1, 101)))
    for statement in PLANS[plan]:
        queue.db.execute(statement.encode())
    assert [len(queue.poll(None, batch)) for batch in (1, 2, 10, 50)] == [1, 2, 10, 50]


# --- mq_poll, two at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "second", "left"),
    [
        ("A", [handed_out(1, 7200)], {1: Row(attempts=3, backoff=4 * 3600)}),
        ("B", [], {1: Row(attempts=4, backoff=2 * 3600)}),
        ("C", [handed_out(2, 3600)], {1: Row(attempts=4, backoff=2 * 3600)}),
    ],
    indirect=["queue"],
)
def test_the_second_of_two_pollers_waits_and_when_the_first_commits(
    queue: Queue, second: list[Polled], left: dict[int | str, Row]
) -> None:
    """Scenario 36. A: takes the same message again. B: comes back empty. C: takes the next one."""
    ready(queue, 1, 2)
    queue.db.execute("BEGIN")
    assert queue.polled() == [1]
    with queue.meanwhile(Queue.poll) as poll:
        assert not poll.done()
        queue.db.execute("COMMIT")
    if second:
        assert poll.result() == second
    else:
        (answer,) = poll.result()
        assert answer.id is None and answer.wait is not None and answer.wait < 0
    assert {1: queue.rows()[1]._replace(at=0)} == left


@versions("A", "B", "C")
def test_the_second_of_two_pollers_waits_and_when_the_first_gives_up_takes_its_message(queue: Queue) -> None:
    ready(queue, 1, 2)
    queue.db.execute("BEGIN")
    assert queue.polled() == [1]
    with queue.meanwhile(Queue.poll) as poll:
        assert not poll.done()
        queue.db.execute("ROLLBACK")
    assert poll.result() == [handed_out(1, 3600)]


@head
def test_the_second_of_two_pollers_takes_the_next_message_at_once(queue: Queue) -> None:
    ready(queue, 1, 2)
    with queue.db.transaction(force_rollback=True):
        assert queue.polled() == [1]
        with queue.meanwhile(Queue.poll) as poll:
            assert poll.result() == [handed_out(2, 3600)]
    assert queue.polled() == [1]


@versions("B", "C")
def test_when_everything_is_taken_the_second_of_two_pollers_waits_and_learns_when_to_come_back(queue: Queue) -> None:
    ready(queue, 1)
    queue.db.execute("BEGIN")
    assert queue.polled() == [1]
    with queue.meanwhile(Queue.poll) as poll:
        assert not poll.done()
        queue.db.execute("COMMIT")
    (answer,) = poll.result()
    assert answer.id is None and answer.wait is not None and 0 < answer.wait < 3600


@head
def test_when_everything_is_taken_the_second_of_two_pollers_is_told_at_once_that_something_is_ready(
    queue: Queue,
) -> None:
    ready(queue, 1)
    with queue.db.transaction(force_rollback=True):
        assert queue.polled() == [1]
        comes_back_at_once_with_nothing(queue)


@head
def test_any_lock_on_a_row_makes_a_poller_pass_it(queue: Queue) -> None:
    queue.insert(Message(1, ordered=True))
    with queue.db.transaction(force_rollback=True):
        queue.insert(Message(2, ordered=True))  # the foreign key locks its predecessor
        comes_back_at_once_with_nothing(queue)
    with queue.db.transaction(force_rollback=True):
        queue.keep_alive((1,), "1 minute")
        comes_back_at_once_with_nothing(queue)
    assert queue.polled() == [1]


def comes_back_at_once_with_nothing(queue: Queue) -> None:
    with queue.meanwhile(Queue.poll) as poll:
        (answer,) = poll.result()
        assert answer.id is None and answer.wait is not None and answer.wait < 0


@head
def test_a_channel_whose_messages_are_locked_uses_up_a_place_in_the_batch(queue: Queue) -> None:
    queue.insert(Message(1, channel="A"), Message(2, channel="B"))
    with queue.another() as other, queue.db.transaction(force_rollback=True):
        assert queue.polled(["A"]) == [1]
        alone, together = set(), set()
        for _ in range(40):
            with other.db.transaction(force_rollback=True):
                alone.add(other.polled(None, 1)[0])
            with other.db.transaction(force_rollback=True):
                together.add(other.polled(None, 2)[0])
    assert (alone, together) == ({None, 2}, {2})


@pytest.mark.parametrize(
    ("queue", "to_try_again"),
    [("B", (errors.DeadlockDetected,)), ("C", (errors.DeadlockDetected,)), ("D", ())],
    indirect=["queue"],
)
def test_many_pollers_at_once_are_handed_every_message_once(
    queue: Queue, to_try_again: tuple[type[Exception], ...]
) -> None:
    """B and C wait for each other's rows, channel by channel in random order; D never waits."""
    queue.insert(*(Message(n, channel=f"c{n % 4}", backoff="1 hour") for n in range(1, 201)))

    def drain(_: int) -> list[int]:
        mine: list[int] = []
        with queue.another() as other:
            while True:
                try:
                    answers = other.poll(None, 7)
                except to_try_again:
                    continue
                mine.extend(answer.id for answer in answers if answer.id is not None)
                if answers[0].id is None and (answers[0].wait or 0) > 0:
                    return mine

    with ThreadPoolExecutor(4) as threads:
        taken = [id_ for mine in threads.map(drain, range(4)) for id_ in mine]
    assert sorted(taken) == list(range(1, 201))


def ready(queue: Queue, *ids: int) -> None:
    """Messages with an hour between attempts, so that nothing becomes due while a slow test runs."""
    queue.insert(*(Message(id_, backoff="1 hour") for id_ in ids))
    queue.in_order()


# --- mq_insert and mq_latest_message -----------------------------------------------------------------------


@every_version
def test_ordered_messages_of_one_call_follow_each_other_by_id(queue: Queue) -> None:
    """Scenarios 16, 17 and 18."""
    ordered = [Message(n, ordered=n != 2) for n in (3, 1, 2, 5)]
    queue.insert(*ordered)
    assert queue.chain() == {1: NIL, 2: None, 3: 1, 5: 3}
    assert queue.polled(None, 10) == [1, 2]
    queue.delete(1)
    assert queue.chain() == {2: None, 3: NIL, 5: 3}
    assert queue.polled(None, 10) == [3]


@every_version
def test_ordered_messages_of_separate_calls_follow_each_other_by_time(queue: Queue) -> None:
    """Scenario 19."""
    for id_ in (9, 1, 5):
        queue.insert(Message(id_, ordered=True))
    assert queue.chain() == {9: NIL, 1: 9, 5: 1}


@every_version
def test_a_call_goes_on_at_the_end_of_the_chain(queue: Queue) -> None:
    queue.insert(Message(7, ordered=True))
    queue.insert(Message(6, ordered=True), Message(2, ordered=True), Message(3, channel="d", ordered=True))
    assert queue.chain() == {7: NIL, 2: 7, 6: 2, 3: NIL}


@every_version
def test_arguments_make_chains_of_their_own(queue: Queue) -> None:
    """Scenario 22."""
    queue.insert(*(Message(n, "A", args, ordered=True) for n, args in ((1, "x"), (2, "y"), (3, "x"))))
    assert queue.chain() == {1: NIL, 2: NIL, 3: 1}


@versions("A", "clear A")
def test_a_third_ordered_insert_of_one_transaction_may_fail_in_version_a(queue: Queue) -> None:
    """Scenario 23."""
    with queue.db.transaction():
        queue.insert(Message(7, ordered=True))
        queue.insert(Message(2, ordered=True))
        with pytest.raises(errors.UniqueViolation) as error, queue.db.transaction():
            queue.insert(Message(3, ordered=True))
    assert error.value.diag.constraint_name == FOLLOWER_INDEX


@versions("latest B", "D")
def test_a_third_ordered_insert_of_one_transaction_joins_the_end(queue: Queue) -> None:
    with queue.db.transaction():
        for id_ in (7, 2, 3):
            queue.insert(Message(id_, ordered=True))
    assert queue.chain() == {7: NIL, 2: 7, 3: 2}


@every_version
def test_the_latest_message_is_never_null(queue: Queue) -> None:
    queue.insert(Message(1), Message(2, args="x", ordered=True))
    latest = "SELECT mq_latest_message(%s, %s)::text"
    for arguments in (("c", ""), ("d", ""), (None, ""), ("c", None), (None, None)):
        assert queue.db.execute(latest, arguments).fetchone() == ("00000000-0000-0000-0000-000000000000",)
    assert queue.db.execute(latest, ("c", "x")).fetchone() == ("00000000-0000-0000-0000-000000000002",)


@every_version
def test_ordered_may_be_null_and_is_then_false(queue: Queue) -> None:
    queue.insert(Message(1, ordered=None), Message(2, ordered=None))
    assert queue.chain() == {1: None, 2: None}


@every_version
def test_inserting_nothing_does_nothing(queue: Queue) -> None:
    assert queue.notified(queue.insert) == []
    assert queue.notified(lambda: queue.call("mq_insert", None, types="mq_new_t[]")) == []
    assert queue.rows() == {}


@every_version
@pytest.mark.parametrize(
    ("message", "violated"),
    [
        (Message(None), "mq_payloads"),
        (Message(1, name=None), "mq_payloads"),
        (Message(1, retries=None), "mq_msgs"),
        (Message(1, backoff=None), "mq_msgs"),
        (Message(1, channel=None), "mq_msgs"),
        (Message(1, args=None), "mq_msgs"),
    ],
)
def test_what_may_not_be_null_is_refused_and_nothing_is_stored(queue: Queue, message: Message, violated: str) -> None:
    with pytest.raises(errors.NotNullViolation) as error:
        queue.insert(Message(8), message)
    assert error.value.diag.table_name == violated
    assert (queue.rows(), queue.payloads()) == ({}, {})


@every_version
def test_a_null_message_is_refused(queue: Queue) -> None:
    with pytest.raises(errors.NotNullViolation):
        queue.db.execute("SELECT mq_insert(ARRAY[NULL]::mq_new_t[])")


@every_version
def test_a_message_that_cannot_be_stored_is_refused_and_nothing_is_stored(queue: Queue) -> None:
    """Scenario 37."""
    queue.insert(Message(1))
    for message, constraint in ((Message(1), "mq_payloads_pkey"), (Message(0), "mq_msgs_pkey")):
        with pytest.raises(errors.UniqueViolation) as error:
            queue.insert(Message(9), message)
        assert error.value.diag.constraint_name == constraint
    with pytest.raises(errors.InvalidTextRepresentation):
        queue.insert(Message(9), Message(8, json="{"))
    assert list(queue.rows()) == list(queue.payloads()) == [1]


@every_version
def test_a_channel_name_of_61_bytes_is_too_long_to_notify(queue: Queue) -> None:
    queue.insert(Message(1, channel="x" * 60))
    with pytest.raises(errors.InvalidParameterValue):
        queue.insert(Message(2, channel="x" * 61))
    assert list(queue.rows()) == [1]


@every_version
def test_of_two_ordered_inserts_at_once_the_second_waits_and_fails(queue: Queue) -> None:
    queue.db.execute("BEGIN")
    queue.insert(Message(1, ordered=True))

    def insert(other: Queue) -> str | None:
        try:
            other.insert(Message(2, ordered=True))
        except errors.UniqueViolation as error:
            return error.diag.constraint_name
        return None

    with queue.meanwhile(insert) as inserted:
        assert not inserted.done()
        queue.db.execute("COMMIT")
    assert inserted.result() == FOLLOWER_INDEX


# --- mq_active_channels ------------------------------------------------------------------------------------


@every_version
def test_a_channel_is_active_while_something_in_it_is_ready(queue: Queue) -> None:
    queue.insert(
        Message(1, "A"),
        Message(2, "A"),
        Message(3, "A", "x"),
        Message(4, "B", delay="1 hour"),
        Message(5, "C", ordered=True),
        Message(6, "C", ordered=True),
        Message(7, "D", delay=None),
    )

    def active(names: list[str] | None, limit: int | None) -> list[tuple[str, str]]:
        found = queue.db.execute("SELECT name, args FROM mq_active_channels(%s, %s)", (names, limit)).fetchall()
        return sorted((name, args) for name, args in found)

    assert active(None, None) == [("A", ""), ("A", "x"), ("C", "")]
    assert active(["C", "B"], 9) == [("C", "")]
    assert (len(active(None, 2)), active(None, 0), active([], 9)) == (2, [], [])
    with pytest.raises(psycopg.Error) as error:
        active(None, -1)
    assert error.value.sqlstate == "2201W"


# --- mq_delete ---------------------------------------------------------------------------------------------


@every_version
def test_taking_a_message_out_of_the_middle_is_refused_whole(queue: Queue) -> None:
    """Scenario 20."""
    queue.insert(*(Message(n, ordered=True) for n in (1, 2, 3)))
    with pytest.raises(errors.UniqueViolation) as error:
        queue.delete(2)
    assert error.value.diag.constraint_name == FOLLOWER_INDEX
    assert queue.chain() == {1: NIL, 2: 1, 3: 2} and list(queue.payloads()) == [1, 2, 3]


@every_version
@pytest.mark.parametrize(
    ("deleted", "left"), [((1, 2), {3: NIL}), ((3,), {1: NIL, 2: 1}), ((1, 3), {2: NIL}), ((), {1: NIL, 2: 1, 3: 2})]
)
def test_the_follower_of_a_deleted_message_becomes_the_head(
    queue: Queue, deleted: tuple[int, ...], left: dict[int, int | str]
) -> None:
    """Scenario 21."""
    queue.insert(*(Message(n, ordered=True) for n in (1, 2, 3)))
    queue.delete(*deleted)
    assert queue.chain() == left and list(queue.payloads()) == list(left)


@every_version
def test_deleting_removes_a_payload_that_has_no_message(queue: Queue) -> None:
    queue.insert(Message(1), Message(2))
    queue.db.execute("DELETE FROM mq_msgs WHERE id::text LIKE '%1'")
    queue.delete(1, 77)
    queue.call("mq_delete", None, types="uuid[]")
    assert list(queue.payloads()) == [2]


@every_version
def test_the_sentinel_can_be_deleted_only_while_nothing_is_ordered(queue: Queue) -> None:
    """Scenario 34."""
    queue.insert(Message(1, ordered=True), Message(2))
    with pytest.raises(errors.ForeignKeyViolation):
        queue.delete(0)
    queue.delete(1)
    queue.delete(0)
    assert list(queue.all_rows()) == [2]


# --- Notifications -----------------------------------------------------------------------------------------


@every_version
def test_an_insert_notifies_each_of_its_channels_once_and_everybody(queue: Queue) -> None:
    """Scenario 29."""
    assert queue.notified(lambda: queue.insert(Message(1, "A"), Message(2, "A"), Message(3, "B"))) == [
        "mq",
        "mq_A",
        "mq_B",
    ]
    assert queue.notified(lambda: queue.insert(Message(4, "A", delay="1 hour"))) == ["mq", "mq_A"]
    assert queue.notified(lambda: queue.insert(Message(5, "A", commit="1 hour"))) == ["mq", "mq_A"]


@every_version
def test_a_deletion_notifies_only_where_a_head_goes(queue: Queue) -> None:
    """Scenario 30."""
    queue.insert(Message(1, "A"), *(Message(n, "A", ordered=True) for n in (11, 12, 13)))
    assert queue.notified(lambda: queue.delete(1)) == []
    assert queue.notified(lambda: queue.delete(11)) == ["mq", "mq_A"]
    assert queue.notified(lambda: queue.delete(13)) == []
    assert queue.notified(lambda: queue.delete(12)) == ["mq", "mq_A"]


@every_version
def test_nothing_else_notifies(queue: Queue) -> None:
    queue.insert(Message(1, commit="10 seconds"), Message(2))

    def everything_else() -> None:
        queue.keep_alive((1, 2), "1 minute")
        queue.commit(1)
        queue.checkpoint(2, "2 minutes", "{}", b"", 1)
        queue.poll(None, 2)

    assert queue.notified(everything_else) == []


# --- mq_commit, mq_keep_alive, mq_checkpoint ---------------------------------------------------------------


@every_version
def test_committing_brings_a_message_forward_once(queue: Queue) -> None:
    """Scenario 24."""
    with queue.at_one_moment():
        queue.insert(Message(1, commit="10 seconds", delay="5 seconds"))
        assert queue.rows() == {1: Row(commit=10, at=15)}
        assert queue.poll() == nothing(wait=15)
        for _ in range(2):
            queue.commit(1, 99)
            queue.call("mq_commit", None, types="uuid[]")
            assert queue.rows() == {1: Row(at=5)}


@every_version
def test_a_message_that_nobody_committed_in_time_is_handed_out_as_such(queue: Queue) -> None:
    """Scenario 25."""
    with queue.at_one_moment():
        queue.insert(Message(1, commit="10 seconds"))
        queue.set("attempt_at = now()", 1)
        assert queue.poll() == [handed_out(1, committed=False)]
        assert queue.rows() == {1: Row(attempts=4, backoff=2, commit=10, at=1)}
        queue.commit(1)
        assert queue.rows() == {1: Row(attempts=4, backoff=2, at=-9)}


@every_version
def test_committing_a_message_that_is_never_due_leaves_it_so(queue: Queue) -> None:
    queue.insert(Message(1, commit="10 seconds", delay=None))
    queue.commit(1)
    assert queue.rows() == {1: Row(at=None)}


@every_version
def test_keeping_alive_only_ever_postpones(queue: Queue) -> None:
    """Scenario 26."""
    with queue.at_one_moment():
        queue.insert(Message(1, commit="10 seconds"), Message(2), Message(3, delay="1 hour"), Message(4, delay=None))
        queue.keep_alive((1, 2, 3, 4), "30 seconds")
        rows = {1: Row(commit=30, at=30), 2: Row(at=30), 3: Row(at=3600), 4: Row(at=None)}
        assert queue.rows() == rows
        queue.keep_alive((1, 2, 3, 4), None)
        queue.keep_alive(None, "1 day")
        queue.keep_alive((1,), "10 seconds")
        assert queue.rows() == rows
        queue.commit(1)
        assert queue.rows()[1] == Row(at=0)
        queue.keep_alive((0,), "30 seconds")
        assert queue.all_rows()[NIL].at == 30


@every_version
def test_a_checkpoint_replaces_what_it_is_given(queue: Queue) -> None:
    """Scenario 27."""
    with queue.at_one_moment():
        queue.insert(Message(1, json='{"a":1}', data=b"\x01"))
        queue.checkpoint(1, "30 seconds", '{"a":2}', None, 3)
        assert queue.rows() == {1: Row(attempts=8, at=30)}
        assert queue.payloads() == {1: ("job", '{"a": 2}', b"\x01")}
        queue.checkpoint(1, "5 seconds", None, b"\x02", None)
        queue.checkpoint(1, None)
        queue.checkpoint(99, "1 hour", "{}", b"", 1)
        queue.checkpoint(None, "1 hour", "{}", b"", 1)
        assert queue.rows() == {1: Row(attempts=8, at=30)}
        assert queue.payloads() == {1: ("job", '{"a": 2}', b"\x02")}
        queue.checkpoint(1, None, "null", None, -9)
        assert queue.rows() == {1: Row(attempts=-1, at=30)}
        assert queue.payloads() == {1: ("job", "null", b"\x02")}


@every_version
def test_a_checkpoint_with_broken_json_changes_nothing(queue: Queue) -> None:
    queue.insert(Message(1, delay="1 hour", json="{}"))
    with pytest.raises(errors.InvalidTextRepresentation):
        queue.checkpoint(1, "2 hours", "{", b"\x01", 1)
    assert queue.rows()[1].attempts == 5 and queue.payloads() == {1: ("job", "{}", None)}


@every_version
def test_a_checkpoint_revives_a_message_after_its_last_attempt(queue: Queue) -> None:
    """Scenario 28."""
    with queue.at_one_moment():
        queue.insert(Message(1))
        queue.set("attempts = 0, attempt_at = NULL", 1)
        queue.checkpoint(1, "30 seconds")
        assert queue.rows() == {1: Row(attempts=0, at=30)}
        queue.set("attempt_at = now()", 1)
        assert queue.polled() == [1]
        assert queue.rows() == {1: Row(attempts=-1, backoff=2, at=1)}


# --- mq_clear, mq_clear_all --------------------------------------------------------------------------------

clear_a = versions("clear A", "latest B", "B")
clear_b = versions("clear B", "C", "D")
every_clear = versions(*clear_a.args[1], *clear_b.args[1])


def fill(queue: Queue) -> None:
    queue.insert(Message(1, "A", ordered=True), Message(2, "A", "x"), Message(3, "B"), Message(4, "C", ordered=True))


@every_clear
def test_clearing_channels_leaves_the_others(queue: Queue) -> None:
    """Scenario 31."""
    fill(queue)
    queue.clear(None)
    queue.clear([])
    assert list(queue.payloads()) == [1, 2, 3, 4]
    assert queue.notified(lambda: queue.clear(["A", "Z"])) == []
    assert list(queue.all_rows()) == [NIL, 3, 4] and list(queue.payloads()) == [3, 4]


@clear_a
def test_clearing_the_channel_without_a_name_fails_on_the_sentinel_in_version_a(queue: Queue) -> None:
    """Scenario 32."""
    fill(queue)
    with pytest.raises(errors.ForeignKeyViolation):
        queue.clear([""])
    assert list(queue.all_rows()) == [NIL, 1, 2, 3, 4]


@clear_b
def test_clearing_the_channel_without_a_name_leaves_the_sentinel(queue: Queue) -> None:
    queue.insert(Message(1, ""))
    queue.clear([""])
    assert list(queue.all_rows()) == [NIL] and queue.payloads() == {}


@clear_a
def test_clearing_everything_takes_the_sentinel_along_in_version_a(queue: Queue) -> None:
    """Scenario 33."""
    fill(queue)
    queue.db.execute("INSERT INTO mq_payloads (id, name) VALUES ('00000000-0000-0000-0000-00000000004d', 'orphan')")
    queue.clear_all()
    assert queue.all_rows() == {} and list(queue.payloads()) == [77]
    queue.insert(Message(6))
    with pytest.raises(errors.ForeignKeyViolation):
        queue.insert(Message(5, ordered=True))


@clear_b
def test_clearing_everything_leaves_the_sentinel(queue: Queue) -> None:
    fill(queue)
    queue.db.execute("INSERT INTO mq_payloads (id, name) VALUES ('00000000-0000-0000-0000-00000000004d', 'orphan')")
    assert queue.notified(queue.clear_all) == []
    assert list(queue.all_rows()) == [NIL] and list(queue.payloads()) == [77]
    queue.insert(Message(5, ordered=True))
    assert queue.chain() == {5: NIL}


# --- mq_uuid_exists ----------------------------------------------------------------------------------------


@every_version
def test_a_uuid_exists_when_it_is_neither_null_nor_nil_whatever_the_search_path(queue: Queue) -> None:
    """PostgreSQL 17 and newer build indexes, and pg_restore restores them, with hardly any search_path."""
    queue.db.execute("SET search_path = ''")
    assert queue.db.execute("""
        SELECT public.mq_uuid_exists(NULL), public.mq_uuid_exists('00000000-0000-0000-0000-000000000000'),
               public.mq_uuid_exists('00000000-0000-0000-0000-000000000001')
    """).fetchone() == (False, False, True)
    queue.db.execute("CREATE INDEX again ON public.mq_msgs (id) WHERE NOT public.mq_uuid_exists(after_message_id)")
    queue.db.execute("DROP INDEX public.again")


@every_version
def test_polling_can_use_the_index_that_is_made_for_it(queue: Queue) -> None:
    queue.db.execute("SET enable_seqscan = off")
    plan = queue.db.execute("""
        EXPLAIN SELECT id FROM mq_msgs
        WHERE id <> '00000000-0000-0000-0000-000000000000' AND attempt_at <= now() AND channel_name = 'c'
          AND channel_args = '' AND NOT mq_uuid_exists(after_message_id)
        ORDER BY attempt_at LIMIT 1
    """).fetchall()
    assert "mq_msgs_channel_name_channel_args_attempt_at_idx" in str(plan)
