"""How big batches are, when others are slower, how the loop goes on, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dataops.backfill.around import Around
from dataops.backfill.loop import Batch, InTheWay, Signal, run
from dataops.backfill.pacing import Pacing
from dataops.backfill.sharing import Sharing
from dataops.backfill.slowing import Slowing
from dataops.errors import Stopped
from dataops.model import Backfill, Direction, Limits


def test_batches_are_steered_to_their_time() -> None:
    pacing = Pacing(0.5, first=1000, most=100_000)
    for _ in range(20):  # a row takes a tenth of a millisecond
        pacing.took(pacing.size, pacing.size / 10_000)
    assert 4000 <= pacing.size <= 6000
    for _ in range(20):  # and now ten times as long
        pacing.took(pacing.size, pacing.size / 1000)
    assert 400 <= pacing.size <= 650


def test_a_batch_never_has_less_than_one_or_more_than_it_may() -> None:
    pacing = Pacing(0.5, first=1000, most=5000)
    for _ in range(20):
        pacing.took(pacing.size, 0.001)
    assert pacing.size == 5000
    for _ in range(20):
        pacing.give_up()
    assert pacing.size == 1


def test_batches_grow_slowly_and_from_one_row_too() -> None:
    pacing = Pacing(0.5, first=1000, most=100_000)
    pacing.give_up()
    for _ in range(5):
        pacing.took(pacing.size, 0.01)
    assert 600 < pacing.size < 1000
    for _ in range(60):
        pacing.took(pacing.size, 0.01)
    assert pacing.size == 100_000
    for _ in range(20):
        pacing.give_up()
    assert pacing.size == 1
    for _ in range(80):
        pacing.took(pacing.size, 0.01)
    assert pacing.size > 1000


def test_a_batch_that_keeps_somebody_waiting_makes_the_next_ones_shorter() -> None:
    pacing = Pacing(0.5, first=1000, most=100_000)

    def go_on(batches: int, *, waiting: bool = False) -> None:
        for _ in range(batches):  # a row takes a tenth of a millisecond
            pacing.took(pacing.size, pacing.size / 10_000, waiting=waiting)

    go_on(30)
    whole = pacing.size
    assert whole >= 4000
    go_on(1, waiting=True)
    assert 0.4 * whole <= pacing.size <= 0.6 * whole
    go_on(20, waiting=True)
    assert 200 <= pacing.size <= 300  # never shorter than about 20 ms
    go_on(36)
    assert 300 <= pacing.size <= 600
    go_on(500)
    assert pacing.size >= 4000


def test_batches_double_where_nobody_else_is_there_until_somebody_waits() -> None:
    pacing = Pacing(0.5, first=1000, most=100_000)
    pacing.alone = True
    for _ in range(3):  # a row takes a hundredth of a millisecond
        pacing.took(pacing.size, pacing.size / 100_000)
    assert pacing.size == 8000
    pacing.took(pacing.size, pacing.size / 100_000, waiting=True)
    assert pacing.size == 4000
    for _ in range(5):
        pacing.took(pacing.size, pacing.size / 100_000)
    assert pacing.size < 8000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.done = 0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float, rate: float) -> None:
        self.now += seconds
        self.done += round(seconds * rate)


@pytest.mark.parametrize(("beside", "slower"), [(100.0, False), (60.0, False), (40.0, True), (0.0, True)])
def test_others_are_compared_with_themselves(beside: float, slower: bool) -> None:
    clock = Clock()
    slowing = Slowing(lambda: clock.done, 2.0, clock)
    assert slowing.rest_due()
    assert slowing.begin_rest() == ""
    clock.go_on(1.0, 100.0)
    slowing.end_rest()
    assert not slowing.rest_due()
    assert slowing.others
    assert not slowing.alone
    clock.go_on(11.0, beside)
    assert slowing.rest_due()
    assert bool(slowing.begin_rest()) is slower


@pytest.mark.parametrize(("rate", "alone"), [(0.0, True), (2.0, True), (10.0, False)])
def test_a_database_that_nobody_else_uses_is_known_after_a_rest(rate: float, alone: bool) -> None:
    clock = Clock()
    slowing = Slowing(lambda: clock.done, 2.0, clock)
    assert not slowing.alone
    slowing.begin_rest()
    clock.go_on(1.0, rate)
    slowing.end_rest()
    assert slowing.alone is alone
    assert not slowing.others  # so few that nothing can be compared


def test_of_few_queries_nothing_is_said() -> None:
    clock = Clock()
    slowing = Slowing(lambda: clock.done, 2.0, clock)
    slowing.begin_rest()
    clock.go_on(1.0, 10.0)
    slowing.end_rest()
    clock.go_on(11.0, 0.0)
    assert slowing.begin_rest() == ""


def test_where_nothing_can_be_counted_it_does_not_rest() -> None:
    assert Slowing(lambda: None, 2.0, Clock()).rest_due() == 0.0


class Queries:
    """What a server has counted of others: a query of 4 ms, or one that has waited for 40 ms."""

    def __init__(self) -> None:
        self.counts = {0.004: 0, 0.04: 0}

    def __call__(self) -> dict[float, int]:
        return dict(self.counts)

    def come(self, usual: int, slow: int = 0) -> None:
        self.counts[0.004] += usual
        self.counts[0.04] += slow

    def beside(self, sharing: Sharing, each: Callable[[float], int], batches: int = 200) -> None:
        """Batches, during each of which there are 100 queries, `each(share)` of them slow."""
        for _ in range(batches):
            slow = each(sharing.share)
            self.come(100 - slow, slow)
            sharing.worked()


def _rested(queries: Queries, usual: int, slow: int = 0) -> Sharing:
    sharing = Sharing(queries, 2.0)
    sharing.begin_rest()
    queries.come(usual, slow)
    sharing.end_rest(others=True)
    return sharing


def test_it_works_less_until_few_queries_of_others_wait_for_it() -> None:
    queries = Queries()
    sharing = _rested(queries, 200)
    queries.beside(sharing, lambda share: round(10 * share))  # 10 in 100 while it works all the time
    assert 0.05 <= sharing.share <= 0.2
    queries.beside(sharing, lambda share: 0)  # they have gone somewhere else
    assert sharing.share == 1.0


def test_in_the_long_run_one_query_in_two_hundred_may_be_slow() -> None:
    queries = Queries()
    sharing, debt = _rested(queries, 200), 0.0

    def slow(share: float) -> int:
        nonlocal debt
        debt += 2 * share  # 2 in 100 while it works all the time
        whole, debt = int(debt), debt % 1
        return whole

    queries.beside(sharing, slow, 1000)
    assert 0.004 <= queries.counts[0.04] / 100_000 <= 0.006


def test_where_nobody_else_is_there_it_works_all_the_time() -> None:
    queries = Queries()
    sharing = _rested(queries, 10)
    queries.beside(sharing, lambda share: 50)
    assert sharing.share == 1.0


def test_queries_that_are_slow_without_it_too_are_not_its_fault() -> None:
    queries = Queries()
    sharing = _rested(queries, 192, 8)
    queries.beside(sharing, lambda share: 4)
    assert sharing.share >= 0.2
    queries.beside(sharing, lambda share: 3)
    assert sharing.share == 1.0


def test_what_takes_a_few_milliseconds_is_never_slow() -> None:
    queries = Queries()
    queries.counts = {0.0001: 0, 0.001: 0}
    sharing = Sharing(queries, 2.0)
    sharing.begin_rest()
    queries.counts[0.0001] += 200
    sharing.end_rest(others=True)
    for _ in range(100):
        queries.counts[0.001] += 50
        sharing.worked()
    assert sharing.share == 1.0


def test_without_a_limit_nobody_is_asked() -> None:
    def never() -> None:
        raise AssertionError

    sharing = Sharing(never, 0.0)
    sharing.begin_rest()
    sharing.end_rest(others=True)
    assert sharing.share == 1.0


@pytest.mark.parametrize(("others", "slowdown", "share"), [(True, 2.0, 0.2), (False, 2.0, 1.0), (True, 0.0, 1.0)])
def test_where_latencies_are_not_known_it_works_a_fifth_of_the_time_beside_others(
    others: bool, slowdown: float, share: float
) -> None:
    sharing = Sharing(lambda: None, slowdown)
    sharing.begin_rest()
    sharing.end_rest(others=others)
    sharing.worked()
    assert sharing.share == share


class Rows:
    """Batches over numbers in memory."""

    most = 100
    signals: Sequence[Signal] = ()

    def __init__(self, count: int, in_the_way: int = 0) -> None:
        self.left = set(range(count))
        self.rows = sorted(self.left)
        self.at = 0
        self.in_the_way = in_the_way
        self.noted: list[str] = []
        self.finished = False
        self.late: list[int] = []

    def others(self) -> int | None:
        return None

    def latencies(self) -> None:
        return None

    def begin(self) -> Backfill:
        return Backfill("rows", Direction.APPLY, total=len(self.rows))

    def batch(self, size: int, before: Backfill) -> Batch:
        if self.in_the_way:
            self.in_the_way -= 1
            raise InTheWay("somebody is there")
        mine = self.rows[self.at : self.at + size]
        changed = self.left & {*mine}
        self.left -= changed
        self.at += len(mine)
        last = self.at >= len(self.rows)
        if self.late and self.at > self.late[0]:  # behind the checkpoint
            self.left.add(self.late.pop())
        progress = replace(
            before, key=str(self.at), looked=before.looked + len(mine), changed=before.changed + len(changed)
        )
        return Batch(progress, len(mine), last)

    def note(self, progress: Backfill) -> None:
        self.noted.append(progress.paused)

    def none_left(self) -> bool:
        return False

    def again(self) -> None:
        self.at = 0

    def finish(self) -> None:
        self.finished = True


NO_SLEEP = Around(Limits(), sleep=lambda seconds: None)


def test_it_goes_over_everything_until_a_pass_finds_nothing() -> None:
    rows = Rows(1000)
    rows.late = [5]
    assert run(rows, NO_SLEEP) == 1001
    assert rows.left == set()
    assert rows.finished


def test_a_batch_that_was_in_the_way_is_tried_again() -> None:
    rows = Rows(500, in_the_way=3)
    assert run(rows, NO_SLEEP) == 500


def test_it_stops_between_two_batches() -> None:
    rows = Rows(1000)
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="stopped between two batches of rows: 20 % done, 200 rows changed"):
        run(rows, replace(NO_SLEEP, stopping=lambda: next(asked)))
    assert not rows.finished


def test_what_it_says_of_itself() -> None:
    begun = Backfill("orders", Direction.APPLY, key="12", looked=370, total=1000, changed=123, rate=10.0)
    assert begun.words == "orders: 37 % done, 123 rows changed, goes on after key 12"
    assert begun.running_words == "orders: 37 %, 370 of 1,000 rows, 10 a second, 1 min 3 s left"
    paused = replace(begun, paused="the standby berlin is 12 s behind")
    assert paused.running_words.endswith("waits: the standby berlin is 12 s behind")
    assert replace(begun, total=None).words.startswith("orders: begun, ")
    assert replace(begun, looked=5000).share == 99
