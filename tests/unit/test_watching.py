"""How far a running step is: speed, time left, and when a pipe is told."""

from __future__ import annotations

import pytest

from dataops import durations
from dataops.events import Event, StillRunning
from dataops.model import Doing
from dataops.run.watching import Running
from tests.unit.sample import state, step


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(durations, "time", made)
    return made


STEP = step(state("a"), "a")


def test_the_time_left_is_known_where_a_total_is_and_each_phase_has_a_speed_of_its_own(clock: Clock) -> None:
    running = Running(STEP)
    running.progressed(0, 100, "rows")
    assert (running.pace.rate, running.pace.left) == (None, None)
    clock.now += 10
    running.progressed(20, 100, "rows")
    assert (running.pace.rate, running.pace.left) == (2.0, 40.0)
    building = Doing("index on t: scanning table", 500, 1000, "blocks")
    running.busy(building)
    assert (running.pace.doing, running.pace.rate, running.pace.left) == (building, None, None)
    clock.now += 5
    running.busy(Doing("index on t: scanning table", 600, 1000, "blocks"))
    assert (running.pace.rate, running.pace.left) == (20.0, 20.0)
    running.busy(None)  # the index is built, and the file's own word counts again
    assert running.pace.doing == Doing("", 20, 100, "rows")
    unknown = Running(STEP)
    unknown.progressed(5, None, "rows")
    clock.now += 1
    unknown.progressed(10, None, "rows")
    assert (unknown.pace.rate, unknown.pace.left) == (5.0, None)


def test_it_is_told_at_growing_intervals(clock: Clock) -> None:
    running, told = Running(STEP), []

    def emit(event: Event) -> None:
        assert isinstance(event, StillRunning)
        told.append(round(event.seconds))

    for _ in range(4000):
        clock.now += 1
        running.report(emit)
    assert told == [5, 10, 20, 40, 80, 160, 320, 640, 1240, 1840, 2440, 3040, 3640]
