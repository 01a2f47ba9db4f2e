"""What happened is told once to every sink, and no sink stops a migration."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from dataops.events import Broadcast, Event, LockTaken, NothingLeft, StopRequested
from dataops.progress import reporting, track


def closed_pipe(event: Event) -> None:
    raise BrokenPipeError("nobody reads")


def test_every_sink_hears_every_event_in_order() -> None:
    one: list[Event] = []
    two: list[Event] = []
    tell = Broadcast(one.append, two.append)
    events = [LockTaken("api"), NothingLeft("api"), StopRequested(signal="SIGTERM")]
    for event in events:
        tell(event)
    assert one == two == events


def test_a_sink_that_raises_is_reported_once_and_dropped_and_the_others_go_on() -> None:
    heard: list[Event] = []
    reports: list[str] = []
    tell = Broadcast(closed_pipe, heard.append, report=reports.append)
    for event in (LockTaken("api"), LockTaken("voucher")):
        tell(event)
    assert heard == [LockTaken("api"), LockTaken("voucher")]
    assert reports == ["output dropped: BrokenPipeError: nobody reads"]


@pytest.mark.parametrize(
    "error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed file")]
)
def test_where_nobody_can_be_told_that_a_sink_is_gone_the_run_goes_on(error: Exception) -> None:
    """The report goes where the sink went."""

    def report(text: str) -> None:
        raise error

    Broadcast(closed_pipe, report=report)(LockTaken("api"))


def test_a_sink_may_tell_an_event_itself() -> None:
    """A signal handler interrupts the sink in the same thread and tells its own event."""
    heard: list[str] = []

    def sink(event: Event) -> None:
        heard.append(type(event).__name__)
        if isinstance(event, LockTaken):
            tell(StopRequested(signal="SIGINT"))

    tell = Broadcast(sink)
    tell(LockTaken("api"))
    assert heard == ["LockTaken", "StopRequested"]


def test_a_sink_that_fails_in_an_event_that_it_tells_itself_is_dropped_once() -> None:
    """A signal arrives while the log is being written, and the disk is full."""
    reports: list[str] = []

    def sink(event: Event) -> None:
        if isinstance(event, LockTaken):
            tell(StopRequested(signal="SIGINT"))
        closed_pipe(event)

    tell = Broadcast(sink, report=reports.append)
    tell(LockTaken("api"))
    assert reports == ["output dropped: BrokenPipeError: nobody reads"]


# --- how far a migration is


def reports_of(work: Callable[[], object]) -> list[tuple[int, int | None, str]]:
    told: list[tuple[int, int | None, str]] = []
    with reporting(lambda done, total, unit: told.append((done, total, unit))):
        work()
    return told


def test_track_hands_on_every_item_and_counts_those_that_are_done() -> None:
    seen: list[str] = []
    told = reports_of(lambda: seen.extend(track(["a", "b", "c"], total=3, unit="rows")))
    assert seen == ["a", "b", "c"]
    assert told == [(1, 3, "rows"), (2, 3, "rows"), (3, 3, "rows")]


def test_track_counts_a_batch_by_its_length_and_a_text_or_document_as_one() -> None:
    items: list[object] = [[1, 2, 3], (4, 5), "text", {"a": 1, "b": 2}, 6, []]
    told = reports_of(lambda: list(track(items)))
    assert [done for done, _, _ in told] == [3, 5, 6, 7, 8, 8]
    assert told[-1] == (8, None, "documents")


def test_an_item_counts_only_when_the_next_one_is_asked_for() -> None:
    """What was handed out and not worked on is not done."""

    def stop_in_the_second() -> None:
        for item in track([1, 2, 3]):
            if item == 2:
                break

    assert reports_of(stop_in_the_second) == [(1, None, "documents")]


def test_track_passes_an_error_on() -> None:
    def work() -> None:
        for item in track([1, 2]):
            raise RuntimeError(f"item {item}")

    with pytest.raises(RuntimeError, match="item 1"):
        reports_of(work)


def test_track_outside_of_a_run_only_iterates() -> None:
    """In a test, in `pymongo-migrate`, in `alembic`; and after a run that ended."""
    assert reports_of(lambda: list(track([1]))) == [(1, None, "documents")]
    assert list(track(iter([1, 2]), total=2)) == [1, 2]


def test_track_is_lazy() -> None:
    def endless() -> Iterator[int]:
        while True:
            yield 1

    assert next(track(endless())) == 1
