"""Processes that share a run are not alike, their control database refuses or goes away, and databases come and go."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer, mongodb_server, postgres_server
from dataops.errors import ExitCode
from tests.fleets import FAILS, Fleet, fleet
from tests.projects import Project, await_line, ended, until
from tests.proxies import Fault, proxied
from tests.servers import in_memory
from tests.shards import play
from tests.standby import children

FEW = ("apply", "--yes", "--wave-timeout", "60s")


def copied(pair: Fleet, folder: Path) -> Path:
    """The project as another image has it."""
    shutil.copytree(pair.project.folder, folder)
    return folder


# --- processes that are not alike


@pytest.mark.parametrize("named", [False, True])
def test_processes_with_other_files_do_not_share_a_run_and_no_database_gets_what_its_process_does_not_have(
    named: bool, pair: Fleet, tmp_path: Path
) -> None:
    old = copied(pair, tmp_path / "old")
    pair.file("002")
    env = {"DATAOPS_ROLLOUT": "release-7"} if named else {}
    with pair.project.running(*FEW, "--shard", "0/2", env=env) as new:
        await_line(new, "tenants: wave 2 waits: not ended before it: shard 1/2; not there yet: shard 1/2")
        other = pair.project("apply", "--yes", "--wave-timeout", "1s", "--shard", "1/2", env=env, cwd=old)
        if named:
            assert other.code == ExitCode.INVALID
            assert (
                "tenants: this rollout began with other migration files, the newest of them 002; here it is 001"
                in other.stderr
            )
        else:
            assert other.code == ExitCode.LOCKED
            assert "do all shards run, with the same files, dataops.toml and options?" in other.stderr
        assert pair.applied() == {name: ["001", "002"] if name == pair.names[0] else [] for name in pair.names}
        last = pair.project(*FEW, "--shard", "1/2", env=env)
        assert (last.code, ended(new).code) == (0, 0), last.stderr
    assert pair.applied() == {name: ["001", "002"] for name in pair.names}
    assert len(pair.runs()) == 1


def test_an_edited_file_under_the_same_name_is_another_file(pair: Fleet, tmp_path: Path) -> None:
    old = copied(pair, tmp_path / "old")
    pair.project.path("tenants", "001").write_text(pair.project.path("tenants", "001").read_text() + "\nNEW = 1\n")
    env = {"DATAOPS_ROLLOUT": "release-7"}
    with pair.project.running(*FEW, "--shard", "0/2", env=env) as new:
        await_line(new, "tenants: wave 2 waits")
        other = pair.project(*FEW, "--shard", "1/2", env=env, cwd=old)
        assert other.code == ExitCode.INVALID
        assert "began with other migration files" in other.stderr
        last = pair.project(*FEW, "--shard", "1/2", "--jobs", "1", env=env)
        assert (last.code, ended(new).code) == (0, 0), last.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--shard", "1/3"], "this rollout is shared by 2 processes, and not by 3"),
        (["--shard", "1/2", "--halt-after", "3"], "tenants: this rollout is halted after 1 failure, and not after 3"),
    ],
)
def test_a_process_with_other_options_is_refused_and_touches_nothing(
    pair: Fleet, options: list[str], said: str
) -> None:
    with pair.project.running(*FEW, "--shard", "0/2") as first:
        await_line(first, "tenants: wave 2 waits")
        refused = pair.project(*FEW, *options)
        assert refused.code == ExitCode.USAGE
        assert said in refused.stderr
        assert {name for name, ids in pair.applied().items() if ids} == {pair.names[0]}
        last = pair.project(*FEW, "--shard", "1/2")
        assert (last.code, ended(first).code) == (0, 0)


def test_a_process_that_ends_with_what_only_a_person_can_mend_lets_the_others_end(
    pair: Fleet, postgres: PostgresServer
) -> None:
    """A service that is no fleet cannot be planned: its migration was edited after it had been applied."""
    url = postgres.create_database("shop_of_shards")
    try:
        pair.project.add("shop", url)
        path = pair.project.table("shop", "001")
        assert pair.project("apply", "--yes", "--service", "shop").code == ExitCode.OK
        text = path.read_text()
        path.write_text(text.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"))
        with pair.project.running(*FEW, "--shard", "1/2") as other:
            await_line(other, "tenants: wave 2 waits")
            first = pair.project(*FEW, "--shard", "0/2")
            halted = ended(other)
        assert first.code == ExitCode.INVALID
        assert halted.code == ExitCode.BLOCKED
        assert "the rollout is halted: shop: " in halted.stderr
        path.write_text(text)
        played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
        assert set(played.codes) == {0}, played.said
        assert pair.applied() == {name: ["001"] for name in pair.names}
    finally:
        postgres.drop_database("shop_of_shards")


def test_a_name_that_is_used_again_is_for_other_files_as_soon_as_the_rollout_is_over(pair: Fleet) -> None:
    pair.project.env["DATAOPS_ROLLOUT"] = "nightly"
    for id_ in ("001", "002"):
        played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
        assert set(played.codes) == {0}, played.said
        if id_ == "001":
            pair.file("002")
            assert pair.project("apply", "--yes").code == ExitCode.OK
    assert pair.applied() == {name: ["001", "002"] for name in pair.names}


def test_a_service_that_is_no_fleet_ends_its_step_where_another_process_has_failed(
    pair: Fleet, postgres: PostgresServer
) -> None:
    with fleet(pair.project, postgres, 1, "shop", alone=True) as shop, proxied(pair.control) as (through, proxy):
        bad = pair.names[1]
        pair.configure(waves=[{}], control_env="CONTROL_URL")
        pair.file("002", FAILS)
        pair.trouble(bad)
        control = pair.project.env["CONTROL_URL"]
        shop.configure()
        shop.file("001", "here('shop')")
        shop.file("002")
        pair.project.env["CONTROL_URL"] = control
        with pair.project.running(*FEW, "--shard", "0/2", env={"CONTROL_URL": through}) as first:
            await_line(first, "tenants: wave 1 of 1 ended")
            pair.project.reached("shop")
            other = pair.project(*FEW, "--shard", "1/2")
            assert other.code == ExitCode.FAILED
            asked = proxy.asked
            until(lambda: proxy.asked > asked + 6, what="it has seen that the others have had enough")
            pair.project.go("shop")
            halted = ended(first)
        assert halted.code == ExitCode.BLOCKED
        assert f"the rollout is halted: tenants@{bad} (shard 1) failed" in halted.stderr
        assert shop.applied() == {shop.names[0]: ["001"]}
        pair.trouble(bad, ends=True)
        played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
        assert set(played.codes) == {0}, played.said
        assert shop.applied() == {shop.names[0]: ["001", "002"]}


def test_more_processes_than_databases_end_too(pair: Fleet) -> None:
    played = play(pair, ["apply", "--yes"], 6, seed=1, kills=2, every=0.5)
    assert played.codes.count(0) == 6, played.said
    assert pair.applied() == {name: ["001"] for name in pair.names}
    assert len(pair.runs()) == 1


# --- a control database that refuses


def limited(pair: Fleet, user: str, *rights: str) -> str:
    """The URL of the control database for a new user who has these rights in it."""
    with psycopg.connect(pair.control, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {user}".encode())
        connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'secret'".encode())
        for right in rights:
            connection.execute(f"GRANT {right} TO {user}".encode())
    assert isinstance(pair.server, PostgresServer)
    return pair.server.url(pair.control.rsplit("/", 1)[1], user, "secret")


def refused_by_control(pair: Fleet, env: dict[str, str], *said: str) -> None:
    answer = pair.project("apply", "--yes", "--shard", "0/2", env=env, timeout=60)
    assert answer.code == ExitCode.UNREACHABLE, answer.stderr
    assert answer.stderr.count("error: tenants (control): ") == 1, answer.stderr
    for words in said:
        assert words in answer.stderr
    assert pair.applied() == {name: [] for name in pair.names}


def test_a_user_who_may_not_write_in_the_control_database_begins_nothing(pair: Fleet) -> None:
    url = limited(pair, "looks_only")
    refused_by_control(pair, {"CONTROL_URL": url}, "permission denied for schema public")
    assert pair.project("apply", "--yes", "--shard", "0/2", "--wave-timeout", "1s").code == ExitCode.LOCKED
    assert [name for name, ids in pair.applied().items() if ids] == [pair.names[0]]
    pair.project("rollback", "--yes", "--to", "tenants/base")
    for rights in (
        ["SELECT ON dataops_rollouts, dataops_rollout_shards"],
        ["SELECT ON dataops_rollouts, dataops_rollout_shards", "INSERT ON dataops_rollouts"],
    ):
        refused_by_control(pair, {"CONTROL_URL": limited_again(pair, *rights)}, "permission denied for table")
    enough = ["SELECT, INSERT ON dataops_rollouts, dataops_rollout_shards"]
    pair.project.env["CONTROL_URL"] = limited_again(pair, *enough)
    played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
    assert set(played.codes) == {0}, played.said


def limited_again(pair: Fleet, *rights: str) -> str:
    with psycopg.connect(pair.control, autocommit=True) as connection:
        connection.execute(b"DROP OWNED BY looks_only")
    return limited(pair, "looks_only", *rights)


def test_a_control_database_that_is_read_only_begins_nothing(pair: Fleet) -> None:
    assert isinstance(pair.server, PostgresServer)
    name = pair.control.rsplit("/", 1)[1]
    pair.server.execute("ALTER DATABASE {} SET default_transaction_read_only = on", name)
    refused_by_control(pair, {}, "read-only")


def test_a_user_of_mongodb_who_may_only_read_begins_nothing(pair: Fleet, mongo_with_passwords: MongoServer) -> None:
    with MongoClient[dict[str, Any]](mongo_with_passwords.url()) as client:
        role = {"role": "read", "db": "control_to_read"}
        client.admin.command("createUser", "looks_only", pwd="secret", roles=[role])
    url = mongo_with_passwords.url("control_to_read", "looks_only", "secret")
    refused_by_control(pair, {"CONTROL_URL": url}, "not authorized")


# --- a control database that goes away


@contextmanager
def another_control(kind: str) -> Iterator[PostgresServer | MongoServer]:
    if kind == "postgresql":
        with in_memory(postgres_server()) as server:
            yield server
    else:
        with in_memory(mongodb_server(replica_set=True)) as mongo:
            yield mongo


def signalled(pid: int, number: int) -> None:
    for one in (pid, *children(pid)):
        os.kill(one, number)


def slow(pair: Fleet, name: str) -> None:
    pair.file("002", f"if op.get_bind().engine.url.database == {name!r}: here('slow')")


@pytest.mark.parametrize("kind", ["postgresql", "mongodb"])
@pytest.mark.parametrize("how", ["it is stopped", "it hangs"])
def test_a_control_database_that_goes_away_is_waited_for(kind: str, how: str, pair: Fleet) -> None:
    slow(pair, pair.names[1])  # of the second wave, and the first process
    with another_control(kind) as server, proxied(server.url("control")) as (through, proxy):
        if isinstance(server, PostgresServer):
            server.create_database("control")
        url = (through if how == "it is stopped" else server.url("control")) + (
            "?connect_timeout=2" if kind == "postgresql" else "&connectTimeoutMS=2000&serverSelectionTimeoutMS=2000"
        )
        pair.project.env["CONTROL_URL"] = url
        with (
            pair.project.running(*FEW, "--shard", "0/2") as one,
            pair.project.running(*FEW, "--shard", "1/2") as other,
        ):
            pair.project.reached("slow")
            if how == "it is stopped":
                proxy.go_away()
            else:
                signalled(server.pid, signal.SIGSTOP)
            try:
                pair.project.go("slow")
                for process in (one, other):
                    await_line(process, "it is asked again for")
            finally:
                if how == "it is stopped":
                    proxy.come_back()
                else:
                    signalled(server.pid, signal.SIGCONT)
            assert (ended(one).code, ended(other).code) == (0, 0)
        assert pair.applied() == {name: ["001", "002"] for name in pair.names}
        assert len(pair.runs()) == 1


def test_a_control_database_that_stays_away_ends_a_process_after_the_time_for_a_wave(pair: Fleet) -> None:
    """It ends as one whose place another takes, and that one goes on."""
    slow(pair, pair.names[0])
    with proxied(pair.control) as (through, proxy):
        pair.project.env["CONTROL_URL"] = through
        with pair.project.running("apply", "--yes", "--wave-timeout", "2s", "--shard", "0/2") as one:
            pair.project.reached("slow")
            proxy.go_away()
            pair.project.go("slow")
            gone = ended(one)
        assert gone.code == ExitCode.UNREACHABLE, gone.stderr
        assert gone.stderr.count("error: ") == 1, gone.stderr
        with pair.project.running(*FEW, "--shard", "1/2", env={"CONTROL_URL": pair.control}) as other:
            await_line(other, "tenants: wave 2 waits")
            proxy.come_back()
            last = pair.project(*FEW, "--shard", "0/2")
            assert (last.code, ended(other).code) == (0, 0), last.stderr
    assert pair.applied() == {name: ["001", "002"] for name in pair.names}
    assert len(pair.runs()) == 1


def test_a_signal_ends_a_process_that_waits_for_the_control_database(pair: Fleet) -> None:
    slow(pair, pair.names[0])
    with (
        proxied(pair.control) as (through, proxy),
        pair.project.running(*FEW, "--shard", "0/2", env={"CONTROL_URL": through}) as one,
    ):
        pair.project.reached("slow")
        proxy.go_away()
        pair.project.go("slow")
        await_line(one, "it is asked again for")
        one.send_signal(signal.SIGTERM)
        assert ended(one).code == ExitCode.STOPPED


def test_a_query_before_a_wave_waits_for_its_database(pair: Fleet) -> None:
    pair.configure(waves=[{"databases": [pair.names[0]]}, {"query": "SELECT 3 < 4 AS well"}], control_env="CONTROL_URL")
    with (
        proxied(pair.control, Fault("hold", containing=b"SELECT 3 < 4", times=1)) as (through, proxy),
        pair.project.running(*FEW, "--shard", "0/2", env={"CONTROL_URL": through}) as one,
        pair.project.running(*FEW, "--shard", "1/2") as other,
    ):
        assert proxy.struck.wait(60)
        proxy.go_away()
        await_line(one, "tenants: wave 2 waits: its query: ")
        proxy.come_back()
        assert (ended(one).code, ended(other).code) == (0, 0)


def test_a_query_that_the_server_refuses_ends_all(pair: Fleet) -> None:
    pair.configure(waves=[{"databases": [pair.names[0]]}, {"query": "SELECT wel"}], control_env="CONTROL_URL")
    with pair.project.running(*FEW, "--shard", "1/2") as other:
        await_line(other, "tenants: wave 2 waits")
        one = pair.project(*FEW, "--shard", "0/2")
        halted = ended(other)
    assert (one.code, halted.code) == (ExitCode.BLOCKED, ExitCode.BLOCKED)
    assert 'column "wel" does not exist' in one.stderr
    assert (
        'the rollout is halted: tenants: wave 2 does not begin: its query fails: UndefinedColumn: column "wel"'
        in halted.stderr
    )
    assert {name for name, ids in pair.applied().items() if ids} == {pair.names[0]}


# --- databases that come and go


@pytest.fixture
def found_by_name(pair: Fleet) -> Fleet:
    """The server is asked which databases there are."""
    prefix = pair.names[0].rsplit("_", 1)[0].replace("_", r"\_")
    pair.project.configure(tenants={"databases": {"like": rf"{prefix}\_0%"}})
    return pair


@pytest.mark.parametrize("how", ["dropped", "renamed"])
def test_a_database_that_goes_after_it_was_planned_is_a_failure_and_left_out_when_all_start_again(
    how: str, found_by_name: Fleet
) -> None:
    pair = found_by_name
    gone, new = pair.names[2], f"{pair.names[2]}_new"
    server = pair.server
    assert isinstance(server, PostgresServer)
    try:
        with pair.project.running(*FEW, "--shard", "1/2") as other:
            await_line(other, "tenants: wave 2 waits")
            if how == "dropped":
                server.drop_database(gone)
            else:
                server.execute("ALTER DATABASE {} RENAME TO {}", gone, new)
            first = pair.project(*FEW, "--shard", "0/2")
            failed = ended(other)
        assert failed.code == ExitCode.BLOCKED
        assert f"tenants@{gone}: " in failed.stderr
        assert f'database "{gone}" does not exist' in failed.stderr
        assert first.code in (ExitCode.OK, ExitCode.BLOCKED)  # it may have done its part before
        assert f"tenants@{gone}: there when this rollout began, and not any more; left out" in first.stderr
        played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
        assert set(played.codes) == {0}, played.said
        assert {name: [id_ for id_, _ in pair.ran(name)] for name in pair.names if name != gone} == {
            name: ["001"] for name in pair.names if name != gone
        }
        if how == "renamed":
            assert [id_ for id_, _ in pair.ran(new)] == ["001"]
    finally:
        server.drop_database(new)


def test_a_database_of_mongodb_that_is_dropped_in_the_middle_of_a_shared_run_is_not_made_again(
    project: Project, mongo: MongoServer
) -> None:
    with fleet(project, mongo, 4) as found:
        found.configure(waves=[{"databases": [found.names[0]]}], control_env="CONTROL_URL")
        project.configure(tenants={"application": ["users"]})
        found.file("001")
        assert project("apply", "--yes").code == ExitCode.OK
        found.file("002")
        with project.running(*FEW, "--shard", "1/2") as other:
            await_line(other, "tenants: wave 2 waits")
            found.drop(found.names[2])
            first = project(*FEW, "--shard", "0/2")
            failed = ended(other)
        assert failed.code == ExitCode.STALE
        assert f"tenants@{found.names[2]}: nothing is applied here any more" in failed.stderr
        assert first.code in (ExitCode.OK, ExitCode.BLOCKED)
        assert found.names[2] not in found.there()


def test_a_database_that_somebody_makes_in_the_middle_is_left_out_and_taken_when_all_start_again(
    found_by_name: Fleet,
) -> None:
    pair = found_by_name
    new = f"{pair.names[3]}_new"
    server = pair.server
    assert isinstance(server, PostgresServer)
    try:
        with pair.project.running(*FEW, "--shard", "0/2") as first:
            await_line(first, "tenants: wave 2 waits")
            server.create_database(new)
            other = pair.project(*FEW, "--shard", "1/2")
            assert (other.code, ended(first).code) == (0, 0)
        assert f"tenants@{new}: not there when this rollout began, and left out" in other.stderr
        assert pair.applied() == {name: ["001"] for name in pair.names}
        assert pair.ran(new) == []
        played = play(pair, ["apply", "--yes"], 2, seed=1, kills=0)
        assert set(played.codes) == {0}, played.said
        assert [id_ for id_, _ in pair.ran(new)] == ["001"]
        assert pair.applied() == {name: ["001"] for name in pair.names}
    finally:
        server.drop_database(new)
