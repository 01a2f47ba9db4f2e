"""A standby of a PostgreSQL server of the tests, which can be stopped and go on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from dataops.dev import PostgresServer, supervisor
from dataops.dev.servers import POSTGRES_SETTINGS, _owned, _scratch, _unprivileged_user


@dataclass(frozen=True)
class Standby:
    """The standby, by the process id of its postmaster."""

    pid: int

    def stop(self) -> None:
        """Freeze all its processes: it neither receives nor replays any more, and its connection stays open."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for pid in (self.pid, *children(self.pid)):
            os.kill(pid, number)


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


@contextmanager
def standby_of(server: PostgresServer) -> Iterator[Standby]:
    """A streaming standby, which has caught up with the server when the scope begins."""
    folder, user = _scratch(reachable=True), _unprivileged_user()
    data = folder / "data"
    with psycopg.connect(server.url(), autocommit=True) as primary:
        is_new = primary.info.server_version >= 150000
        primary.execute(
            b"SELECT pg_backup_start('standby', true)" if is_new else b"SELECT pg_start_backup('standby', true, false)"
        )
        shutil.copytree(server.folder / "data", data, ignore=shutil.ignore_patterns("postmaster.*"))
        row = primary.execute(
            b"SELECT labelfile FROM pg_backup_stop()" if is_new else b"SELECT labelfile FROM pg_stop_backup(false)"
        ).fetchone()
        assert row is not None
        (data / "backup_label").write_text(row[0])
        (data / "standby.signal").touch()
        with (data / "postgresql.auto.conf").open("a") as conf:
            conf.write(
                f"primary_conninfo = '{server.url('replication')}?application_name=berlin'\n".replace(
                    "/replication?", "/postgres?"
                )
            )
        for path in (folder, *folder.rglob("*")):
            if user is not None:
                os.chown(path, *user)
        data.chmod(0o700)
        spec = supervisor.Spec(
            folder=str(folder),
            prepare=[],
            command=[
                os.readlink(f"/proc/{server.pid}/exe"),
                "-D",
                str(data),
                "-p",
                supervisor.PORT,
                *(part for setting in POSTGRES_SETTINGS for part in ("-c", setting)),
            ],
            ready_file=str(data / "postmaster.pid"),
            ready_pattern=r"^(ready|standby)\s*$",
            stop_signal=signal.SIGQUIT,
            seconds=60,
            user=user,
            env=_environment_of(server.pid),
        )
        with _owned(spec, "the standby") as owned:
            yield Standby(owned.pid)


def _environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


__all__ = ["Standby", "standby_of"]
