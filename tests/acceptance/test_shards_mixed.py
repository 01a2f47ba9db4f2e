"""Processes share a run over two fleets, one of each kind of database, and over services beside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from dataops.dev import MongoServer, PostgresServer
from tests.fleets import Fleet, fleet
from tests.projects import Project
from tests.shards import AGAIN, Played, play, waves_of, wrong_with

IDS = ["001", "002"]


@dataclass
class Mixed:
    """`base` comes before the two fleets, and `summary` after them."""

    project: Project
    base: Fleet
    tenants: Fleet
    books: Fleet
    summary: Fleet

    @property
    def all(self) -> tuple[Fleet, ...]:
        return self.base, self.tenants, self.books, self.summary

    def play(self, *command: str, seed: int, kills: int) -> Played:
        """Run the command in three processes, of which some are killed and all that were are replaced."""
        played = play(self.tenants, [*command, "--yes"], 3, seed=seed, kills=kills, every=1.0, seconds=240)
        assert set(played.codes) <= {0, *AGAIN}, played.said
        assert played.codes.count(0) == 3, played.said
        return played

    def runs(self) -> set[str]:
        return set().union(*(one.runs() for one in self.all))

    def wrong(self) -> list[str]:
        """What is not as it has to be after an apply."""
        found = [text for one in self.all for text in wrong_with(one, IDS, waves_of(one.names)[1])]
        times = {one.service: one.times(one.names) for one in self.all}
        for before, after in (("base", "tenants"), ("base", "books"), ("tenants", "summary"), ("books", "summary")):
            if times[before] and times[after] and times[before][-1] >= times[after][0]:
                found.append(f"{after} began at {times[after][0]}, and {before} ended at {times[before][-1]}")
        return found


@pytest.fixture(params=["postgresql", "mongodb"])
def mixed(
    request: pytest.FixtureRequest, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Mixed]:
    """Seven databases of each kind, and a control database of either."""
    with ExitStack() as scope:
        base = scope.enter_context(fleet(project, mongo, 1, "base", alone=True))
        tenants = scope.enter_context(fleet(project, postgres, 7, "tenants"))
        books = scope.enter_context(fleet(project, mongo, 7, "books"))
        summary = scope.enter_context(fleet(project, postgres, 1, "summary", alone=True))
        control = tenants.control if request.param == "postgresql" else books.control
        base.configure()
        for one in (tenants, books):
            one.configure(after=["base"], waves=waves_of(one.names)[0], control_env="CONTROL_URL")
        summary.configure(after=["tenants", "books"])
        for one in (base, tenants, books, summary):
            one.file("001", "time.sleep(0.05)")
            one.file("002", "time.sleep(0.05)")
        project.env["CONTROL_URL"] = control
        yield Mixed(project, base, tenants, books, summary)


def test_two_fleets_and_what_is_around_them_are_done_once_and_in_order_though_processes_die(mixed: Mixed) -> None:
    played = mixed.play("apply", seed=11, kills=8)
    assert -9 in played.codes
    assert mixed.wrong() == []
    (run,) = mixed.runs()
    mixed.play("apply", seed=12, kills=0)
    assert mixed.runs() == {run}, "nothing was left to do"
    mixed.play("rollback", "--run", run, seed=13, kills=8)
    assert [one.applied() for one in mixed.all] == [{name: [] for name in one.names} for one in mixed.all]
    assert len(mixed.runs()) == 2
    mixed.play("rollback", "--run", run, seed=14, kills=0)
    assert len(mixed.runs()) == 2, "nothing was left to undo"
    mixed.play("apply", seed=15, kills=4)
    assert [one.applied() for one in mixed.all] == [dict.fromkeys(one.names, IDS) for one in mixed.all]
    assert len(mixed.runs()) == 3
