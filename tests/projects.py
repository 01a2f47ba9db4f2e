"""A small project of a test's own: a folder with dataops.toml, a few migration files, and the command run in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataops import kinds
from tests import warm
from tests.servers import COMMAND, Answer, clean_environment


def until(true: Callable[[], object], seconds: float = 60, *, what: str = "") -> None:
    """Poll until it is true; a deadline, never a sleep that hopes."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true after {seconds} s: {what}"
        time.sleep(0.02)


_HERE = """
def here(name{argument}):
    # Tell the test that the migration has come so far, and stay until the test says `go`; not while it is planned.
    import pathlib
    if {real}:
        pathlib.Path(name).touch()
        deadline = time.monotonic() + 180
        while not pathlib.Path(name + ".go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
"""


@dataclass
class Project:
    """`add` a service, then `pg` or `mongo` its migrations; call it like the command."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    _tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    _heads: dict[str, str | None] = field(default_factory=dict)

    def add(self, name: str, url: str, **settings: Any) -> Project:
        """A service; `settings` go into its table of dataops.toml, `timeouts` as a dict."""
        kind = kinds.of_url(url)
        assert kind is not None
        variable = f"{name.upper().replace('-', '_')}_URL"
        key = "env_prefix" if kind.url_in_parts else "url_env"
        self.env[f"{variable}_CON" if kind.url_in_parts else variable] = url
        self._tables[name] = {"engine": kind.name, "folder": name, key: variable, **settings}
        self._heads.setdefault(name, None)
        self.place(name).mkdir(parents=True, exist_ok=True)
        self.configure()
        return self

    def configure(self, **changes: Mapping[str, Any]) -> None:
        """Write dataops.toml, with `changes` to the services' tables first."""
        for name, settings in changes.items():
            self._tables[name.replace("_", "-")].update(settings)
        text = "".join(
            f"[services.{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) + "\n"
            for name, table in self._tables.items()
        )
        (self.folder / "dataops.toml").write_text(text)

    def place(self, service: str) -> Path:
        """Where the files of a service are."""
        folder = self.folder / service
        return folder / "versions" if self._tables[service]["engine"] == "postgresql" else folder

    def path(self, service: str, id_: str) -> Path:
        return self.place(service) / f"{id_}.py"

    def file(
        self,
        service: str,
        id_: str,
        up: str = "pass",
        down: str | None = "pass",
        *,
        head: str = "",
        parent: str | None = "",
    ) -> Path:
        """The next migration of a service: bodies of upgrade and downgrade, and lines above them."""
        above = self._heads[service] if parent == "" else parent
        self._heads[service] = id_
        if self._tables[service]["engine"] == "postgresql":
            lines = ["from alembic import op", f"revision = {id_!r}", f"down_revision = {above!r}"]
            argument, real = "", "not op.get_context().as_sql"
        else:
            lines = [f"dependencies = {[above] if above else []!r}"]
            argument, real = "db", "not db.client.address[0].endswith('.sock')"
        lines += ["import time", _HERE.format(argument=f", {argument}" if argument else "", real=real)]
        text = f'"""The one called {id_}."""\n' + "\n".join([*lines, textwrap.dedent(head)])
        text += f"\n\ndef upgrade({argument}):\n" + textwrap.indent(textwrap.dedent(up).strip(), "    ") + "\n"
        if down is not None:
            text += f"\n\ndef downgrade({argument}):\n" + textwrap.indent(textwrap.dedent(down).strip(), "    ") + "\n"
        path = self.path(service, id_)
        path.write_text(text)
        return path

    def table(self, service: str, id_: str, *names: str) -> Path:
        """A migration that creates tables (collections), and drops them again."""
        names = names or (f"t_{id_}",)
        if self._tables[service]["engine"] == "postgresql":
            up = "\n".join(f'op.execute("CREATE TABLE {name} (id int)")' for name in names)
            down = "\n".join(f'op.execute("DROP TABLE {name}")' for name in names)
        else:
            up = "\n".join(f"db.{name}.insert_one({{'_id': 1}})" for name in names)
            down = "\n".join(f"db.{name}.drop()" for name in names)
        return self.file(service, id_, up, down)

    def needs_an_application(self, service: str) -> None:
        """Three migrations of a MongoDB that expect what its application makes: a collection, and an index to drop."""
        self.configure(**{service: {"application": ["users"]}})
        self.file(service, "001", 'db.create_collection("ours")', "db.ours.drop()")
        self.file(
            service,
            "002",
            """
            if "users" not in db.list_collection_names():
                raise RuntimeError("the application has not started yet")
            db.users.create_index("phone")
            """,
            'db.users.drop_index("phone_1")',
        )
        self.file(service, "003", 'db.users.drop_index("old")', 'db.users.create_index("mail", name="old")')

    def reached(self, name: str, seconds: float = 60) -> None:
        """Wait until a migration comes to `here(name)`."""
        until((self.folder / name).exists, seconds, what=f"a migration reaches {name}")

    def go(self, name: str) -> None:
        """Let the migration that is `here(name)` go on."""
        (self.folder / f"{name}.go").touch()

    def __call__(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120,
        cwd: Path | None = None,
    ) -> Answer:
        """Run the command to its end; one that hangs fails the test."""
        with self.start(*args, env=env, cwd=cwd) as process:
            try:
                stdout, stderr = process.communicate(stdin, timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return Answer(process.returncode, stdout, stderr)

    def run(self, program: str, *args: str, timeout: float = 120) -> Answer:
        """Another program beside ours, such as Alembic's own, in this folder and with the same environment."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        env = {**clean_environment(), **self.env}
        with warm.start(COMMAND.with_name(program), args, env, cwd=self.folder, text=True, **pipes) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return Answer(process.returncode, stdout, stderr)

    def start(
        self, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, **popen: Any
    ) -> subprocess.Popen[str]:
        return warm.start(
            COMMAND,
            args,
            {**clean_environment(), **self.env, **(env or {})},
            cwd=cwd or self.folder,
            **{
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                **popen,
            },
        )

    @contextmanager
    def running(self, *args: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
        """It runs in the background, and is gone after the block, paused or not. Where the test fails, it is quoted."""
        process = self.start(*args, **more)
        try:
            yield process
        except BaseException:
            _end(process)
            for stream in (process.stdout, process.stderr):
                if stream is not None and not stream.closed:
                    sys.stderr.write(f"--- {' '.join(args)}: {process.returncode}\n{stream.read()}\n")
            raise
        finally:
            _end(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    process.wait()


def pause(process: subprocess.Popen[str]) -> None:
    """Stop a running command, and come back when the system says that it has stopped."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)


def ended(process: subprocess.Popen[str], timeout: float = 90) -> Answer:
    """What a running command said, once it has ended by itself."""
    stdout, stderr = process.communicate(timeout=timeout)
    return Answer(process.returncode, stdout or "", stderr or "")


def await_line(process: subprocess.Popen[str], words: str, seconds: float = 120) -> None:
    """Wait until a running command says so on stderr. One that does not is killed, which fails the test."""
    assert process.stderr is not None
    too_late = threading.Timer(seconds, process.kill)
    too_late.start()
    try:
        while words not in (line := process.stderr.readline()):
            assert line, f"it ended without saying {words!r}"
    finally:
        too_late.cancel()


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return str(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
