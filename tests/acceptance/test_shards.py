"""Processes share a run: each does its part of every wave, and nobody begins a wave before all have ended the last."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest

from dataops.dev import MongoServer, PostgresServer
from dataops.errors import ExitCode
from tests.fleets import FAILS, Fleet, fleet
from tests.projects import Project, await_line, ended
from tests.shards import AGAIN, play, waves_of, wrong_with
from tests.terminal import Terminal

DATABASES = int(os.environ.get("DATAOPS_TEST_FLEET", "24"))


@pytest.mark.parametrize("kind", ["postgresql", "mongodb"])
def test_eight_processes_killed_and_replaced_do_everything_once(
    kind: str, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> None:
    with fleet(project, postgres if kind == "postgresql" else mongo, DATABASES) as found:
        waves, names = waves_of(found.names)
        found.configure(waves=waves, control_env="CONTROL_URL")
        found.file("001", "time.sleep(0.2)")
        found.file("002")
        played = play(found, ["apply", "--yes"], 8, seed=1, kills=8)
        assert set(played.codes) <= {0, *AGAIN}, played.said
        assert -9 in played.codes
        assert wrong_with(found, ["001", "002"], names) == []


def test_a_shared_run_is_rolled_back_by_shares_and_one_run_undoes_it(pair: Fleet) -> None:
    assert set(play(pair, ["apply", "--yes"], 2, seed=1, kills=0).codes) == {0}
    (run,) = pair.runs()
    played = play(pair, ["rollback", "--yes", "--run", run], 2, seed=2, kills=0)
    assert set(played.codes) == {0}, played.said
    assert pair.applied() == {key: [] for key in pair.names}
    assert len(pair.runs()) == 2


def test_a_process_waits_for_the_wave_of_the_others_and_a_signal_ends_that(pair: Fleet) -> None:
    with pair.project.running("apply", "--yes", "--shard", "1/2") as process:
        await_line(process, "tenants: wave 2 waits: not ended before it: shard 0/2")
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == ExitCode.STOPPED
    late = pair.project("apply", "--yes", "--shard", "1/2", "--wave-timeout", "1s")
    assert late.code == ExitCode.LOCKED
    assert "wave 2 could not begin within 1.0 s: not ended before it: shard 0/2" in late.stderr
    assert pair.applied() == {key: [] for key in pair.names}


def test_the_environment_of_an_indexed_job_says_which_shard_it_is(pair: Fleet) -> None:
    pod = {"JOB_COMPLETION_INDEX": "0", "DATAOPS_SHARDS": "2", "DATAOPS_ROLLOUT": "shop-7"}
    with pair.project.running("apply", "--yes", env=pod) as process:
        await_line(process, "tenants: wave 2 waits")
        other = pair.project("apply", "--yes", env={**pod, "JOB_COMPLETION_INDEX": "1"})
        assert (other.code, ended(process).code) == (0, 0)
    assert pair.applied() == {key: ["001"] for key in pair.names}
    assert len(pair.runs()) == 1
    lost = pair.project("apply", "--yes", env={"DATAOPS_SHARDS": "2"})
    assert lost.code == ExitCode.USAGE
    assert "nothing says which shard this is" in lost.stderr


def test_a_failure_halts_all_and_the_same_command_goes_on_after_a_fix(pair: Fleet) -> None:
    bad = pair.names[0]
    pair.file("002", FAILS)
    pair.trouble(bad)
    with pair.project.running("apply", "--yes", "--shard", "1/2") as other:
        await_line(other, "wave 2 waits")
        failed = pair.project("apply", "--yes", "--shard", "0/2")
        halted = ended(other)
    assert failed.code == ExitCode.FAILED
    assert halted.code == ExitCode.BLOCKED
    assert f"the rollout is halted: tenants@{bad} (shard 0) failed" in halted.stderr
    assert pair.applied() == {name: ["001"] if name == bad else [] for name in pair.names}
    pair.trouble(bad, ends=True)
    played = play(pair, ["apply", "--yes"], 2, seed=3, kills=0)
    assert set(played.codes) == {0}, played.said
    assert pair.applied() == {key: ["001", "002"] for key in pair.names}


HERE_MONGO = "here('slow', db)"
SLOW = """
if op.get_bind().engine.url.database == {name!r}:
    here("slow")
"""


@pytest.mark.parametrize("how", ["it fails", "it is closed"])
def test_a_process_with_a_failure_ends_after_the_others_and_is_not_replaced(pair: Fleet, how: str) -> None:
    """A cluster would put another in its place, which would begin an attempt alone, or end the Job of the others."""
    bad, slow = pair.names[1], pair.names[2]  # of shards 0 and 1
    pair.configure(waves=[{"databases": [pair.names[0]]}], control_env="CONTROL_URL", halt_after=3)
    pair.file("002", FAILS + SLOW.format(name=slow))
    assert isinstance(pair.server, PostgresServer)
    if how == "it fails":
        pair.trouble(bad)
    else:
        pair.server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", bad)
    with (
        pair.project.running("apply", "--yes", "--shard", "0/2") as one,
        pair.project.running("apply", "--yes", "--shard", "1/2") as other,
    ):
        pair.project.reached("slow")
        await_line(one, "this process ends when the others have")
        assert one.poll() is None
        pair.project.go("slow")
        assert ended(other).code == ExitCode.OK
        assert ended(one).code == (ExitCode.FAILED if how == "it fails" else ExitCode.BLOCKED)
    pair.trouble(bad, ends=True)
    pair.server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS true", bad)
    played = play(pair, ["apply", "--yes"], 2, seed=5, kills=0)
    assert set(played.codes) == {0}, played.said
    assert pair.applied() == {key: ["001", "002"] for key in pair.names}


def test_two_processes_of_the_same_number_are_harmless(pair: Fleet) -> None:
    pair.file("002", "time.sleep(0.2)")
    with (
        pair.project.running("apply", "--yes", "--shard", "0/2") as one,
        pair.project.running("apply", "--yes", "--shard", "0/2") as other,
    ):
        last = pair.project("apply", "--yes", "--shard", "1/2")
        assert (last.code, ended(one).code, ended(other).code) == (0, 0, 0)
    assert wrong_with(pair, ["001", "002"], [pair.names[:1], pair.names[1:]]) == []


@pytest.mark.parametrize("kind", ["postgresql", "mongodb"])
def test_the_second_of_the_same_number_waits_longer_than_for_a_lock_of_others(
    kind: str, project: Project, postgres: PostgresServer, mongo: MongoServer
) -> None:
    """Its failure would end the rollout, though nothing has failed."""
    with fleet(project, postgres if kind == "postgresql" else mongo, 2) as found:
        found.configure(control_env="CONTROL_URL", waves=[{}])
        found.file("001", HERE_MONGO if kind == "mongodb" else "here('slow')")
        command = ["apply", "--yes", "--lock-timeout", "1s", "--shard"]
        with project.running(*command, "0/2") as one:
            project.reached("slow")
            with project.running(*command, "0/2") as twin:
                await_line(twin, "another process of this run is at work here, and is waited for")
                project.go("slow")
                last = project(*command, "1/2")
                assert (last.code, ended(one).code, ended(twin).code) == (0, 0, 0)
        assert found.applied() == {name: ["001"] for name in found.names}


@pytest.mark.parametrize(
    ("shard", "said"),
    [
        ("9/8", "--shard '9/8' is not one of 8 shards, which are 0 to 7"),
        ("8/8", "--shard '8/8' is not one of 8 shards, which are 0 to 7"),
        ("x", "--shard 'x' is not I/N"),
        ("0/0", "--shard '0/0' is not one of 0 shards"),
    ],
)
def test_a_shard_that_cannot_be_is_refused(pair: Fleet, shard: str, said: str) -> None:
    refused = pair.project("apply", "--yes", "--shard", shard)
    assert refused.code == ExitCode.USAGE
    assert said in refused.stderr


def test_shares_need_a_control_database_that_answers(pair: Fleet) -> None:
    pair.project.env["CONTROL_URL"] = "postgresql://nobody:x@127.0.0.1:1/control"
    down = pair.project("apply", "--yes", "--shard", "0/2")
    assert down.code == ExitCode.UNREACHABLE
    assert "tenants (control): cannot connect to 127.0.0.1:1/control" in down.stderr
    pair.configure(waves=[{"databases": [pair.names[0]]}])
    unnamed = pair.project("apply", "--yes", "--shard", "0/2")
    assert unnamed.code == ExitCode.INVALID
    assert 'write control_env = "CONTROL_URL" under [services.tenants.rollout]' in unnamed.stderr
    assert pair.applied() == {key: [] for key in pair.names}


def test_what_cannot_be_shared_is_refused(pair: Fleet) -> None:
    for command in (["apply", "--steps", "1"], ["rollback"], ["rollback", "--steps", "1"]):
        refused = pair.project(*command, "--yes", "--shard", "0/2")
        assert (refused.code, "exclude each other" in refused.stderr) == (ExitCode.USAGE, True), refused.stderr
    with psycopg.connect(pair.control) as control:
        assert control.execute("SELECT to_regclass('dataops_rollouts')").fetchone() == (None,)


def test_the_first_process_does_what_is_no_fleet_after_all_have_ended_the_fleet(
    pair: Fleet, postgres: PostgresServer
) -> None:
    url = postgres.create_database("catalogue_of_shards")
    try:
        pair.project.add("catalogue", url, depends_on=["tenants"])
        pair.project.table("catalogue", "001")
        with pair.project.running("apply", "--yes", "--shard", "0/2") as first:
            await_line(first, "tenants: wave 2 waits")
            other = pair.project("apply", "--yes", "--shard", "1/2")
            done = ended(first)
        assert (other.code, done.code) == (0, 0), other.stderr + done.stderr
        assert "catalogue" not in other.stderr
        assert done.stderr.index("tenants: wave 2 of 2 ended") < done.stderr.index("catalogue: apply 001 …")
    finally:
        postgres.drop_database("catalogue_of_shards")


def test_a_failure_in_a_fleet_keeps_what_depends_on_it_from_beginning_in_every_process(
    pair: Fleet, postgres: PostgresServer
) -> None:
    url = postgres.create_database("catalogue_of_shards")
    bad = pair.names[2]  # of the second process
    try:
        pair.project.add("catalogue", url, depends_on=["tenants"])
        pair.project.table("catalogue", "001")
        pair.file("002", FAILS)
        pair.trouble(bad)
        with pair.project.running("apply", "--yes", "--halt-after", "2", "--shard", "0/2") as first:
            await_line(first, "tenants: wave 2 waits")
            other = pair.project("apply", "--yes", "--halt-after", "2", "--shard", "1/2")
            done = ended(first)
        assert other.code == ExitCode.FAILED
        assert "catalogue: apply" not in done.stderr
        pair.trouble(bad, ends=True)
        played = play(pair, ["apply", "--yes"], 2, seed=4, kills=0)
        assert set(played.codes) == {0}, played.said
        assert pair.applied() == {key: ["001", "002"] for key in pair.names}
    finally:
        postgres.drop_database("catalogue_of_shards")


def test_a_database_that_cannot_be_planned_counts_for_all_though_nothing_else_is_to_do(pair: Fleet) -> None:
    down = (pair.names[0], pair.names[2])  # all of the first and all of the second process
    pair.configure(waves=[{"databases": list(down)}], control_env="CONTROL_URL")
    for name in down:
        pair.server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", name)  # type: ignore[union-attr]
    with pair.project.running("apply", "--yes", "--halt-after", "2", "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits")
        one = pair.project("apply", "--yes", "--halt-after", "2", "--shard", "0/2")
        both = {one.code, ended(other).code}
    for name in down:
        pair.server.execute("ALTER DATABASE {} ALLOW_CONNECTIONS true", name)  # type: ignore[union-attr]
    assert both <= {ExitCode.UNREACHABLE, ExitCode.BLOCKED}
    assert pair.applied() == {key: [] for key in pair.names}


def test_a_process_whose_service_waits_for_a_database_that_failed_elsewhere_says_so(
    pair: Fleet, postgres: PostgresServer
) -> None:
    url = postgres.create_database("catalogue_that_waits")
    bad = pair.names[1]  # of the first wave, and all that the second process does there
    try:
        pair.configure(waves=[{"databases": list(pair.names[:2])}], control_env="CONTROL_URL")
        pair.project.add("catalogue", url, depends_on=["tenants"])
        pair.project.table("catalogue", "001")
        postgres.execute("ALTER DATABASE {} ALLOW_CONNECTIONS false", bad)
        with pair.project.running("apply", "--yes", "--halt-after", "2", "--shard", "1/2") as other:
            await_line(other, "tenants: wave 2 waits")
            first = pair.project("apply", "--yes", "--halt-after", "2", "--shard", "0/2")
            last = ended(other)
        postgres.execute("ALTER DATABASE {} ALLOW_CONNECTIONS true", bad)
        assert (first.code, last.code) == (ExitCode.BLOCKED, ExitCode.BLOCKED)
        assert f"catalogue: not begun, because tenants@{bad} (shard 1) failed" in first.stderr
        assert {name: bool(ids) for name, ids in pair.applied().items()} == {name: name != bad for name in pair.names}
    finally:
        postgres.drop_database("catalogue_that_waits")


def test_what_was_shared_and_rolled_back_by_one_process_is_shared_again(pair: Fleet) -> None:
    for _ in range(2):
        with pair.project.running("apply", "--yes", "--shard", "0/2") as first:
            await_line(first, "tenants: wave 2 waits")
            other = pair.project("apply", "--yes", "--wave-timeout", "30s", "--shard", "1/2")
            assert (other.code, ended(first).code) == (0, 0)
        assert pair.applied() == {key: ["001"] for key in pair.names}
        undone = pair.project("rollback", "--yes", "--to", "tenants/base")
        assert undone.code == ExitCode.OK, undone.stderr
        assert pair.applied() == {key: [] for key in pair.names}


def test_who_says_no_to_a_wave_says_it_for_all(pair: Fleet) -> None:
    pair.configure(waves=[{"databases": [pair.names[0]]}, {"ask": True}], control_env="CONTROL_URL")
    with pair.project.running("apply", "--yes", "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits")
        with Terminal(pair.project, "apply", "--shard", "0/2") as terminal:
            terminal.read_until("migrations?")
            terminal.press("y\n")
            terminal.read_until("begin wave 2, after 1 database? [y/N]")
            terminal.press("n\n")
            assert terminal.ended() == ExitCode.STOPPED, terminal.text
        assert "the rollout is halted: tenants: wave 2 was not confirmed" in (said := ended(other)).stderr
        assert said.code == ExitCode.BLOCKED
    assert {name for name, ids in pair.applied().items() if ids} == {pair.names[0]}


def test_a_process_with_another_configuration_is_refused_and_the_others_wait_for_the_right_one(pair: Fleet) -> None:
    waves = [{"databases": [pair.names[0]]}, {"check": ["true"]}]
    pair.configure(waves=waves, control_env="CONTROL_URL")
    with pair.project.running("apply", "--yes", "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits: what has to be true before it")
        pair.configure(waves=waves[:1], control_env="CONTROL_URL")
        unlike = pair.project("apply", "--yes", "--shard", "0/2")
        assert unlike.code == ExitCode.INVALID
        assert "tenants: this rollout began with other rules for its waves" in unlike.stderr
        pair.configure(waves=waves, control_env="CONTROL_URL")
        first = pair.project("apply", "--yes", "--shard", "0/2")
        assert (first.code, ended(other).code) == (0, 0)
    assert pair.applied() == {key: ["001"] for key in pair.names}
