"""Owns one server: starts it, says where it listens, and leaves nothing behind when its own owner is gone.

`dev` runs this file as a program of its own, one per server, and holds the other end of its standard input.
Whatever happens to that owner, `kill -9` included, the pipe then reads as closed: the server is stopped and its
scratch folder removed. An owner that wants its server to outlive it writes "stay"; then only SIGTERM ends it.

Only the standard library and nothing of ours, so that it starts in a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOG = "server.log"
ALIVE = "alive"  # locked for as long as the server runs: a pid may be somebody else's by now, a lock may not
PORT = "{port}"
PORT_TAKEN = "Address already in use"
ATTEMPTS = 20
POLL = 0.02
LINUX_SET_PARENT_DEATH_SIGNAL = 1
LIBC = ctypes.CDLL(None)  # opened here: the child between fork and exec should do as little as possible


@dataclass(frozen=True)
class Spec:
    """One server, as data: what to run first, what to run, and how to see that it is ready.

    `command` holds `{port}` where the port goes. The server is ready when `ready_pattern` is found in
    `ready_file`. `stop_signal` may be a rough one: the data is thrown away with the folder.
    """

    folder: str
    prepare: list[str]
    command: list[str]
    ready_file: str
    ready_pattern: str
    stop_signal: int
    seconds: float
    user: tuple[int, int] | None = None
    env: dict[str, str] = field(default_factory=dict)


class Gone(Exception):
    """The owner is gone, or asks to stop."""


class Failed(Exception):
    """The server did not start; the message holds the end of its log."""


class Died(Exception):
    """The server ended by itself after it had been ready."""


class Owner:
    """The process at the other end of our standard input."""

    def __init__(self) -> None:
        self.stays = False
        self._asked_to_stop, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b".")

    def look(self, seconds: float) -> None:
        """Wait that long, or until the owner says something; raise Gone when it is time to stop."""
        sources = [self._asked_to_stop] if self.stays else [self._asked_to_stop, 0]
        readable, _, _ = select.select(sources, [], [], seconds)
        if self._asked_to_stop in readable:
            raise Gone
        if 0 in readable:
            if os.read(0, 100).strip() != b"stay":
                raise Gone
            self.stays = True

    def tell(self, **answer: Any) -> None:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def free_port() -> int:
    """A port that was free a moment ago. It may be taken before it is used: try again then."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_us(number: int) -> None:
    """Linux: have the kernel end the server if this supervisor is itself killed."""
    if sys.platform == "linux":
        LIBC.prctl(LINUX_SET_PARENT_DEATH_SIGNAL, number)


@contextlib.contextmanager
def _running(spec: Spec, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    who: dict[str, Any] = {}
    if spec.user is not None:
        who = {"user": spec.user[0], "group": spec.user[1], "extra_groups": []}
    with open(Path(spec.folder, LOG), "wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=spec.folder,
            env=spec.env,
            start_new_session=True,  # a Ctrl-C in the terminal is for our owner to answer
            preexec_fn=lambda: _die_with_us(spec.stop_signal),
            **who,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(spec.stop_signal)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _log(spec: Spec) -> str:
    with contextlib.suppress(OSError):
        return Path(spec.folder, LOG).read_text(errors="replace")
    return ""


def _failed(spec: Spec, what: str) -> Failed:
    return Failed("\n".join([what, *_log(spec).splitlines()[-15:]]))


def _prepare(spec: Spec, owner: Owner, deadline: float) -> None:
    if not spec.prepare:
        return
    with _running(spec, spec.prepare) as process:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise _failed(spec, f"{Path(spec.prepare[0]).name} did not finish in {spec.seconds:.0f} s")
            owner.look(POLL)
    if process.returncode != 0:
        raise _failed(spec, f"{Path(spec.prepare[0]).name} ended with {process.returncode}")


def _is_ready(spec: Spec) -> bool:
    with contextlib.suppress(OSError):
        return re.search(spec.ready_pattern, Path(spec.ready_file).read_text(errors="replace"), re.M) is not None
    return False


def _serve(spec: Spec, owner: Owner, deadline: float, last_attempt: bool) -> None:
    """Start the server and stay with it until Gone. Comes back only if the port was taken, or the server died."""
    name = Path(spec.command[0]).name
    port = free_port()
    with _running(spec, [part.replace(PORT, str(port)) for part in spec.command]) as process:
        while not _is_ready(spec):
            if process.poll() is not None:
                if PORT_TAKEN in _log(spec) and not last_attempt:
                    return
                raise _failed(spec, f"{name} ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise _failed(spec, f"{name} was not ready after {spec.seconds:.0f} s")
            owner.look(POLL)
        with open(Path(spec.folder, ALIVE), "w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            owner.tell(port=port, pid=process.pid)
            while process.poll() is None:
                owner.look(0.5)
    raise Died


def supervise(spec: Spec) -> None:
    owner = Owner()
    deadline = time.monotonic() + spec.seconds
    try:
        _prepare(spec, owner, deadline)
        for attempt in range(1, ATTEMPTS + 1):
            _serve(spec, owner, deadline, attempt == ATTEMPTS)
    except Died:  # its log stays readable until the owner has gone, or until `down`
        if owner.stays:
            return
        with contextlib.suppress(Gone):
            while True:
                owner.look(60)
    except Gone:
        pass
    except (Failed, OSError) as problem:
        owner.tell(error=str(problem))
    shutil.rmtree(spec.folder, ignore_errors=True)


if __name__ == "__main__":
    supervise(Spec(**json.loads(sys.argv[1])))
