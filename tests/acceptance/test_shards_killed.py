"""A process that shares a run is killed just before, and just after, each mark that it leaves for the others."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from dataops.errors import ExitCode
from tests.fleets import FAILS, Fleet, fleet
from tests.projects import Project, await_line, ended, until
from tests.proxies import Fault, Proxy, proxied
from tests.servers import Answer
from tests.shards import waves_of, wrong_with

BEFORE, AFTER = "hold", "delay"
"""The control database gets no question, or does what it is asked, and its answer does not come."""


@pytest.fixture(params=["postgresql", "mongodb"])
def pair(
    request: pytest.FixtureRequest, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> Iterator[Fleet]:
    """Six databases of PostgreSQL in three waves, and a control database of either kind."""
    with fleet(project, postgres, 6) as found, fleet(project, mongo, 1, "nothing") as other:
        found.control = found.control if request.param == "postgresql" else other.control
        waves, _ = waves_of(found.names)
        waves[1]["check"] = ["true"]
        found.configure(waves=waves, control_env="CONTROL_URL")
        found.file("001")
        yield found


@pytest.fixture
def shop(pair: Fleet) -> Iterator[Fleet]:
    """A service that is no fleet, which the first process does."""
    with fleet(pair.project, pair.server, 1, "shop", alone=True) as found:
        yield found


def mark(pair: Fleet, name: str) -> bytes:
    """A mark as it is in the question that writes it."""
    if pair.control.startswith("mongodb"):
        return struct.pack("<i", len(name) + 1) + name.encode() + b"\0"
    return struct.pack("!i", len(name)) + name.encode()


class Killed:
    """One of the processes, with a way to the control database of its own."""

    def __init__(self, pair: Fleet, shard: str, through: str, proxy: Proxy) -> None:
        self._pair = pair
        self._shard = shard
        self._through = through
        self._proxy = proxy

    def command(self, *more: str) -> list[str]:
        return ["apply", "--yes", "--wave-timeout", "60s", "--shard", self._shard, *more]

    def dies_at(self, how: str, name: str, *more: str) -> None:
        """A process runs until it leaves this mark, and is killed there."""
        wanted = b'"shards"' if name == "begin" else mark(self._pair, name)
        self._proxy.begin(Fault(how, containing=wanted, times=1))
        env = {"CONTROL_URL": self._through}
        with self._pair.project.running(
            *self.command(*more), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            assert self._proxy.struck.wait(60), f"it does not come to {name}: {process.poll()}"
            assert process.poll() is None
            process.kill()
            process.wait()
        self._proxy.cut()

    def ends(self, *more: str) -> Answer:
        """The process that takes the place of those that were killed."""
        return self._pair.project(*self.command(*more), env={"CONTROL_URL": self._through})


@contextmanager
def killed(pair: Fleet, shard: str) -> Iterator[Killed]:
    with proxied(pair.control) as (through, proxy):
        yield Killed(pair, shard, through, proxy)


@pytest.mark.parametrize("how", [BEFORE, AFTER])
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_is_killed_at_each_of_its_marks_is_replaced_and_all_is_done_once(
    pair: Fleet, shop: Fleet, how: str, number: int
) -> None:
    marks = ["here", "tenants/1", "tenants/2", "tenants/3", "left"]
    marks = ["begin", *marks[:2], "begun tenants/2", *marks[2:]] if number == 0 else marks
    shop.configure(after=["tenants"])
    shop.file("001")
    pair.project.env["CONTROL_URL"] = pair.control
    marks.insert(-1, "shop/1")
    with killed(pair, f"{number}/2") as one:
        if number == 0:
            one.dies_at(how, marks.pop(0))
        with pair.project.running("apply", "--yes", "--shard", f"{1 - number}/2") as other:
            await_line(other, "Shard ")
            for name in marks:
                one.dies_at(how, name)
            assert ended(other).code == ExitCode.OK
        last = one.ends()
        assert last.code == ExitCode.OK, last.stderr
    assert wrong_with(pair, ["001"], waves_of(pair.names)[1]) == []
    assert wrong_with(shop, ["001"], [shop.names]) == []
    assert shop.runs() == pair.runs()


@pytest.mark.parametrize("how", [BEFORE, AFTER])
def test_a_process_that_is_killed_where_it_tells_of_a_failure_is_replaced_and_the_failure_counts(
    pair: Fleet, how: str
) -> None:
    bad = pair.names[0]
    pair.file("002", FAILS)
    pair.trouble(bad)
    with killed(pair, "0/2") as one, pair.project.running("apply", "--yes", "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits")
        one.dies_at(how, f"failed tenants@{bad}")
        if how == AFTER:
            one.dies_at(how, "left")
        last = one.ends()
        halted = ended(other)
    assert halted.code == ExitCode.BLOCKED
    assert f"the rollout is halted: tenants@{bad} (shard 0) failed" in halted.stderr
    assert last.code in (ExitCode.FAILED, ExitCode.BLOCKED), last.stderr
    assert pair.applied() == {name: ["001"] if name == bad else [] for name in pair.names}


def test_what_was_rolled_back_is_shared_again_though_a_process_had_not_left(pair: Fleet) -> None:
    """It is not taken for one that has done its part already: the others would wait for it, and its part would lack."""
    with killed(pair, "1/2") as one:
        with pair.project.running("apply", "--yes", "--shard", "0/2") as first:
            one.dies_at(BEFORE, "left")
            assert ended(first).code == ExitCode.OK
        undone = pair.project("rollback", "--yes", "--to", "tenants/base")
        assert undone.code == ExitCode.OK, undone.stderr
        with pair.project.running(*one.command()) as again:
            await_line(again, "Shard ")
            first_again = pair.project("apply", "--yes", "--wave-timeout", "60s", "--shard", "0/2")
            last = ended(again)
        assert (first_again.code, last.code) == (0, 0), first_again.stderr + last.stderr
    assert pair.applied() == {name: ["001"] for name in pair.names}


def test_the_pause_after_a_wave_is_made_though_who_has_changed_it_is_not_who_tells_it(pair: Fleet) -> None:
    waves, _ = waves_of(pair.names)
    waves[1]["pause"] = "2s"
    pair.configure(waves=waves, control_env="CONTROL_URL")
    with killed(pair, "0/2") as one, pair.project.running("apply", "--yes", "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits")
        one.dies_at(BEFORE, "tenants/1")
        last = one.ends()
        assert (last.code, ended(other).code) == (0, 0), last.stderr
    assert "tenants: wave 2 waits: a pause of" in last.stderr


SLOW = """
if op.get_bind().engine.url.database == {name!r}:
    here("slow")
"""


def test_a_process_that_is_halted_by_the_failure_of_another_has_not_failed_itself(pair: Fleet) -> None:
    bad, slow = pair.names[3], pair.names[4]  # of the third wave, and of the first and the second process
    pair.file("002", FAILS + SLOW.format(name=slow))
    pair.trouble(bad)
    with (
        proxied(pair.control) as (through, proxy),
        pair.project.running("apply", "--yes", "--shard", "0/2") as one,
        pair.project.running("apply", "--yes", "--shard", "1/2", env={"CONTROL_URL": through}) as other,
    ):
        pair.project.reached("slow")
        assert ended(one).code == ExitCode.FAILED
        asked = proxy.asked
        until(lambda: proxy.asked > asked + 6, what="it has seen more than once that the others have had enough")
        pair.project.go("slow")
        assert ended(other).code == ExitCode.BLOCKED
    assert failures(pair) == {f"failed tenants@{bad}"}


def failures(pair: Fleet) -> set[str]:
    """What the control database says of failures."""
    if pair.control.startswith("mongodb"):
        with MongoClient[dict[str, Any]](pair.control) as client:
            names = client.get_default_database().dataops_rollout_shards.distinct("_id.mark")
    else:
        with psycopg.connect(pair.control) as connection:
            names = [name for (name,) in connection.execute("SELECT mark FROM dataops_rollout_shards")]
    return {name for name in names if name.startswith("failed")}
