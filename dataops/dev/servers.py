"""One server in a scratch folder, and the process that owns it.

Such a server listens on 127.0.0.1 only, is tuned for speed (no fsync), and is removed at the end. It is not fit for
data that anybody wants to keep.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from dataops.dev import supervisor
from dataops.dev.programs import find_mongodb, find_postgres, missing_uuid_library
from dataops.errors import ServerUnavailable
from dataops.redaction import redact

HOST = "127.0.0.1"
ADMIN = "dataops"
REPLICA_SET = "rs0"
SECONDS = 60.0  # from the start of a server until it must be ready; it takes one or two on an idle machine

# Fast, quiet, and nothing left outside the data folder. Safe only because the data is thrown away.
POSTGRES_SETTINGS = (
    f"listen_addresses={HOST}",
    "unix_socket_directories=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=300",
    "shared_buffers=64MB",
    "dynamic_shared_memory_type=mmap",  # in the data folder: /dev/shm would keep it after a kill -9
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
)
MONGODB_OPTIONS = (
    f"--bind_ip={HOST}",
    "--nounixsocket",
    "--wiredTigerCacheSizeGB=0.25",
    "--setParameter=diagnosticDataCollectionEnabled=false",
)


@dataclass
class Owned:
    """A server and its supervisor, which stops the server as soon as `process.stdin` closes: see supervisor.py.

    `pid` is that of the server, and `process` is the supervisor.
    """

    process: subprocess.Popen[str]
    folder: Path
    port: int
    pid: int

    def stay(self) -> None:
        """Let the server outlive us. From now on, only a SIGTERM to the supervisor ends it."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("stay\n")
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.returncode = 0  # it is nobody's child now: do not warn that it still runs


@contextlib.contextmanager
def _owned(spec: supervisor.Spec, title: str) -> Iterator[Owned]:
    """The server runs inside this block, and is gone with its folder after it, unless told to stay."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", supervisor.__file__, json.dumps(asdict(spec))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
        start_new_session=True,  # a Ctrl-C in our terminal is for us; the pipe tells the supervisor
    )
    assert process.stdin and process.stdout
    try:
        answer = _answer(process.stdout, spec.seconds + 15)
        if "port" not in answer:
            what = redact(answer["error"]) if "error" in answer else "its supervisor ended without a word"
            raise ServerUnavailable(f"{title} did not start: {what}", hint="the lines above are the end of its log")
        yield Owned(process, Path(spec.folder), answer["port"], answer["pid"])
    finally:
        if process.returncode is None:
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            shutil.rmtree(spec.folder, ignore_errors=True)


def _answer(stream: IO[str], seconds: float) -> dict[str, Any]:
    readable, _, _ = select.select([stream], [], [], seconds)
    line = stream.readline() if readable else ""
    answer: dict[str, Any] = json.loads(line or "{}")
    return answer


def _scratch(reachable: bool = False) -> Path:
    """A new folder for one server. With `reachable`, other users may enter all folders above it."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if not reachable or _everybody_may_enter(Path(base)):
            with contextlib.suppress(OSError):
                return Path(tempfile.mkdtemp(prefix="dataops-", dir=base)).resolve()
    raise ServerUnavailable("no folder for temporary files here", hint="set TMPDIR to a folder that can be written")


def _everybody_may_enter(folder: Path) -> bool:
    folder = folder.resolve()
    with contextlib.suppress(OSError):
        return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))
    return False


# --- PostgreSQL --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PostgresServer:
    """A PostgreSQL that listens on a port of its own. `notes` is what a person should know about it."""

    version: str
    port: int
    pid: int
    folder: Path
    password: str = field(repr=False)
    user: str = ADMIN
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is, for a person."""
        return f"PostgreSQL {self.version}"

    @property
    def log(self) -> Path:
        """The server's own log file."""
        return self.folder / supervisor.LOG

    def url(self, database: str = "postgres", user: str | None = None, password: str | None = None) -> str:
        """The administrator's URL, or another user's."""
        return f"postgresql://{user or self.user}:{password or self.password}@{HOST}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.execute("CREATE DATABASE {}", name)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, even while somebody is connected; it is no error when there is none."""
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def execute(self, statement: str, *names: str, database: str = "postgres") -> None:
        """Run one statement as the administrator, outside a transaction, with quoted names for each `{}`."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextlib.contextmanager
def postgres_server(
    major: int | None = None, *, stand_in: bool = False, settings: Sequence[str] = ()
) -> Iterator[PostgresServer]:
    """A new PostgreSQL in which the extensions `uuid-ossp` and `pgcrypto` can be created. It is gone after the block.

    `settings` are more lines of postgresql.conf, such as `log_statement=all`. Where the library of uuid-ossp is
    missing, ServerUnavailable is raised; with `stand_in`, a few SQL functions take the place of the extension, which is
    enough for development.
    """
    with owned_postgres(major, stand_in, settings) as (server, _):
        yield server


@contextlib.contextmanager
def owned_postgres(
    major: int | None, stand_in: bool, settings: Sequence[str]
) -> Iterator[tuple[PostgresServer, Owned]]:
    """The same server, together with its supervisor."""
    program = find_postgres(major)
    notes: tuple[str, ...] = ()
    missing = missing_uuid_library(program)
    if missing and not stand_in:
        raise ServerUnavailable(
            f"uuid-ossp of PostgreSQL {program.version} cannot be loaded: {missing}",
            hint="apt-get install libossp-uuid16, or a PostgreSQL of the distribution",
        )
    user = _unprivileged_user()
    folder = _scratch(reachable=user is not None)
    try:
        hidden = user is not None and not _everybody_may_enter(program.path.parent)
        if (missing or hidden) and program.is_movable:
            program = program.copied(folder / "program")
            if missing:
                _write_stand_in(folder / "program")
                notes = (f"uuid-ossp is a small stand-in written in SQL, because {missing}",)
        elif missing:
            notes = (f"uuid-ossp cannot be created, because {missing}",)
        password = secrets.token_hex(12)
        secret = folder / "password"
        secret.write_text(password)
        secret.chmod(0o600)
        data = folder / "data"
        if user is not None:
            for path in (folder, secret):
                os.chown(path, *user)
        options = [part for setting in (*POSTGRES_SETTINGS, *settings) for part in ("-c", setting)]
        initdb = [str(program.path.with_name("initdb")), "-D", str(data), "-U", ADMIN, f"--pwfile={secret}"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        spec = supervisor.Spec(
            folder=str(folder),
            prepare=initdb,
            command=[str(program.path), "-D", str(data), "-p", supervisor.PORT, *options],
            ready_file=str(data / "postmaster.pid"),
            ready_pattern=r"^ready\s*$",
            stop_signal=signal.SIGQUIT,
            seconds=SECONDS,
            user=user,
            env=program.env,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with _owned(spec, f"PostgreSQL {program.version}") as owned:
        yield PostgresServer(program.version, owned.port, owned.pid, folder, password, notes=notes), owned


def _unprivileged_user() -> tuple[int, int] | None:
    """As root, the uid and gid to run PostgreSQL with, because it refuses to be root; otherwise None."""
    if os.geteuid() != 0:
        return None
    for name in ("nobody", "postgres"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise ServerUnavailable(
        "PostgreSQL refuses to run as root, and there is no user `nobody` or `postgres` to run it as",
        hint="run this as another user",
    )


def _write_stand_in(root: Path) -> None:
    """The functions of uuid-ossp that plain SQL can do, under the extension's name and version."""
    folder = next(root.glob("share/**/pgcrypto.control")).parent
    for old in folder.glob("uuid-ossp*"):
        old.unlink()
    constants = {
        "uuid_nil": "00000000-0000-0000-0000-000000000000",
        "uuid_ns_dns": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "uuid_ns_url": "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
        "uuid_ns_oid": "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
        "uuid_ns_x500": "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
    }
    function = "CREATE FUNCTION {}() RETURNS uuid {} STRICT PARALLEL SAFE LANGUAGE sql AS $$SELECT {}$$;"
    lines = [function.format(name, "IMMUTABLE", f"'{value}'::uuid") for name, value in constants.items()]
    lines.append(function.format("uuid_generate_v4", "VOLATILE", "pg_catalog.gen_random_uuid()"))
    (folder / "uuid-ossp--1.1.sql").write_text("\n".join(lines) + "\n")
    (folder / "uuid-ossp.control").write_text(
        "comment = 'stand-in for uuid-ossp, for development only'\n"
        "default_version = '1.1'\nrelocatable = true\ntrusted = true\n"
    )


# --- MongoDB -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MongoServer:
    """A MongoDB that listens on a port of its own: a replica set of one, or a standalone.

    `notes` is what a person should know about it.
    """

    version: str
    port: int
    pid: int
    folder: Path
    replica_set: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it is, for a person."""
        return f"MongoDB {self.version}, " + (f"replica set {self.replica_set}" if self.replica_set else "standalone")

    @property
    def log(self) -> Path:
        """The server's own log file."""
        return self.folder / supervisor.LOG

    def create_database(self, name: str) -> str:
        """The URL of a database, which MongoDB makes when it is first written to."""
        return self.url(name)

    def url(self, database: str = "", user: str | None = None, password: str | None = None) -> str:
        """The administrator's URL, or another user's (who is expected in the database `admin`)."""
        user, password = user or self.user, password or self.password
        who = f"{user}:{password}@" if user else ""
        options = [f"replicaSet={self.replica_set}"] if self.replica_set else []
        options += ["authSource=admin"] if user else []
        return f"mongodb://{who}{HOST}:{self.port}/{database}" + (f"?{'&'.join(options)}" if options else "")


@contextlib.contextmanager
def mongodb_server(
    major: int | None = None, *, replica_set: bool = False, auth: bool = False, options: Sequence[str] = ()
) -> Iterator[MongoServer]:
    """A new MongoDB, which is gone after the block.

    A replica set has one member, and it has transactions, while a standalone has none. With `auth` it asks for a
    password, and `url()` is that of an administrator. `options` are more options of mongod, or others than ours.
    """
    with owned_mongodb(major, replica_set, auth, options) as (server, _):
        yield server


@contextlib.contextmanager
def owned_mongodb(
    major: int | None, replica_set: bool, auth: bool, options: Sequence[str]
) -> Iterator[tuple[MongoServer, Owned]]:
    """The same server, together with its supervisor."""
    program = find_mongodb(major)
    folder = _scratch()
    data = folder / "data"
    data.mkdir()
    given = {option.partition("=")[0] for option in options}  # mongod refuses to be told twice
    ours = [option for option in MONGODB_OPTIONS if option.partition("=")[0] not in given]
    command = [str(program.path), f"--dbpath={data}", f"--port={supervisor.PORT}", *ours, *options]
    if replica_set:
        command.append(f"--replSet={REPLICA_SET}")
    if auth:
        key = folder / "key"
        key.write_text(secrets.token_hex(32))
        key.chmod(0o600)
        command += ["--auth", f"--keyFile={key}"] if replica_set else ["--auth"]
    spec = supervisor.Spec(
        folder=str(folder),
        prepare=[],
        command=command,
        ready_file=str(folder / supervisor.LOG),
        ready_pattern='"Waiting for connections"',
        stop_signal=signal.SIGKILL,  # its orderly shutdown takes seconds, for data that is thrown away
        seconds=SECONDS,
        env=program.env,
    )
    with _owned(spec, f"MongoDB {program.version}") as owned:
        server = MongoServer(program.version, owned.port, owned.pid, folder, REPLICA_SET if replica_set else None)
        if replica_set:
            _initiate(server)
        if auth:
            server = _add_admin(server)
        yield server, owned


def _initiate(server: MongoServer) -> None:
    """Make it a replica set of one, and come back when it is the primary."""
    from pymongo import MongoClient

    with MongoClient[dict[str, Any]](HOST, server.port, directConnection=True) as client:
        members = [{"_id": 0, "host": f"{HOST}:{server.port}"}]
        client.admin.command("replSetInitiate", {"_id": server.replica_set, "members": members})
        deadline = time.monotonic() + SECONDS
        while not client.admin.command("hello")["isWritablePrimary"]:
            if time.monotonic() > deadline:
                raise ServerUnavailable(f"MongoDB {server.version} did not become primary in {SECONDS:.0f} s")
            time.sleep(0.02)


def _add_admin(server: MongoServer) -> MongoServer:
    """The first user, which MongoDB lets a local client create without a password."""
    from pymongo import MongoClient

    password = secrets.token_hex(12)
    with MongoClient[dict[str, Any]](server.url()) as client:
        client.admin.command("createUser", ADMIN, pwd=password, roles=["root"])
    return replace(server, user=ADMIN, password=password)
