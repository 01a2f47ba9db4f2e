"""The image, as far as it can be tried without building one: the linter, and the steps of the Dockerfile themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.projects import until
from tests.servers import ROOT, Cli, clean_environment

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HADOLINT = ["--config", str(ROOT / "deploy" / "hadolint.yaml")]
ANYBODY = 1_000_620_000  # a user id as OpenShift gives them: no name, no home


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(FROM, "debian:13-slim AS build"), ...: comments dropped, lines joined."""
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, re.sub(r"\s+", " ", rest)


ALL = list(instructions(DOCKERFILE.read_text()))
STAGE = max(number for number, (word, _) in enumerate(ALL) if word == "FROM")
BUILD, FINAL = ALL[:STAGE], ALL[STAGE:]
SETTINGS = {word: rest for word, rest in FINAL if word not in ("COPY", "ARG")}


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).with_name("hadolint")
    program = str(beside) if beside.exists() else shutil.which("hadolint")
    assert program, "no hadolint here: install it, on PATH"
    return subprocess.run([program, *HADOLINT, path], capture_output=True, text=True, check=False)


def test_the_linter_has_nothing_to_say() -> None:
    ended = hadolint(DOCKERFILE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("debian:13-slim", "debian:latest", "DL3007"),
        ("gcr.io/distroless", "example.com/distroless", "DL3026"),
        ("--no-install-recommends ", "", "DL3015"),
        ('      org.opencontainers.image.revision="${REVISION}"', '      a="b"', "DL3049"),
        ('ENTRYPOINT ["dataops"]', "ENTRYPOINT dataops", "DL3025"),
    ],
)
def test_the_linter_would_find_a_fault(tmp_path: Path, old: str, new: str, rule: str) -> None:
    text = DOCKERFILE.read_text()
    assert old in text
    (tmp_path / "Dockerfile").write_text(text.replace(old, new))
    ended = hadolint(tmp_path / "Dockerfile")
    assert ended.returncode != 0 and rule in ended.stdout


def test_what_runs_has_no_shell_no_root_and_dataops_as_its_entry_point() -> None:
    assert "distroless" in SETTINGS["FROM"] and "RUN" not in SETTINGS
    user, _, group = SETTINGS["USER"].partition(":")
    assert int(user) > 0 and int(group) > 0
    assert json.loads(SETTINGS["ENTRYPOINT"]) == ["dataops"]
    labels = dict(re.findall(r'([\w.]+)="([^"]*)"', SETTINGS["LABEL"]))
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.revision"] == "${REVISION}"


def test_both_stages_are_the_same_debian_so_that_they_have_the_same_python() -> None:
    bases = [rest for word, rest in ALL if word == "FROM"]
    assert len({re.search(r"debian:?(\d+)", base)[1] for base in bases}) == 1  # type: ignore[index]


def copied(part: list[tuple[str, str]]) -> Iterator[tuple[list[str], str]]:
    """Sources and destination of each COPY from the context."""
    for word, rest in part:
        if word == "COPY" and "--from" not in rest:
            *sources, target = rest.split()
            yield sources, target


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[1] == "*"
    assert let_in == {source for sources, _ in copied(ALL) for source in sources}


def test_the_locked_packages_are_the_ones_that_dataops_asks_for() -> None:
    import tomllib

    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    locked = (ROOT / "deploy" / "requirements.txt").read_text()
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)
        assert name and re.search(rf"^{name[0]}==\S+ \\\n    --hash=sha256:", locked, re.MULTILINE), requirement
    build = (ROOT / "deploy" / "requirements-build.txt").read_text()
    assert re.search(r"^hatchling==", build, re.MULTILINE)


# --- the steps, run


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the image would hold: the Dockerfile's own steps from a clean export, then read-only."""
    root = tmp_path_factory.mktemp("image")
    places = {"/source": root / "source", "/build": root / "build", "/opt/dataops": root / "opt" / "dataops"}
    python = root / "python3"
    python.symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{root}{os.pathsep}{os.environ['PATH']}"}
    for word, rest in BUILD:
        if word == "COPY":
            copy(rest, root)
        elif word == "RUN" and "apt-get" not in rest:
            for place, folder in places.items():
                rest = re.sub(rf"(?<![\w/.]){place}(?![\w-])", str(folder), rest)
            ended = subprocess.run(["sh", "-c", rest], env=environment, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stdout + ended.stderr
    for word, rest in FINAL:
        if word == "COPY" and "--from" not in rest:
            copy(rest, root)
    for path in [root / "opt", root / "migrations"]:
        for each in [path, *path.rglob("*")]:
            if not each.is_symlink():
                each.chmod(each.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    return root


def copy(rest: str, root: Path) -> None:
    *sources, target = rest.split()
    folder = root / target.lstrip("/")
    for source in sources:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder)


def contained(image: Path, *more: str) -> list[str]:
    """In front of a command: another user id, without any right, without a name. Needs no root."""
    return ["unshare", f"--map-user={ANYBODY}", "--map-group=0", *more, str(image / "opt/dataops/bin/dataops")]


def variables(image: Path, urls: dict[str, str]) -> dict[str, str]:
    """What the image sets, what a pod has, and nothing else."""
    env = dict(re.findall(r'(\w+)="([^"]*)"', SETTINGS["ENV"]))
    config = str(image) + env["DATAOPS_CONFIG"]
    return {**urls, **env, "DATAOPS_CONFIG": config, "PATH": os.defpath, "HOSTNAME": "pod-1"}


def test_the_steps_of_the_dockerfile_install_it_and_anybody_can_run_it_read_only(
    image: Path, all_urls: dict[str, str], dataops_cli: Cli
) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*contained(image), *words],
            env=variables(image, all_urls),
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    before = files(image)
    assert run("--help").returncode == 0
    assert run("plan").stdout.splitlines()[-1] == "Plan: 62 to apply in 4 services"
    applied = run("apply", "--yes", "--wait=5s", "--log-format=json")
    assert applied.returncode == 0, applied.stderr
    assert run("wait", "--service=api").returncode == 0
    assert run("status", "--check").returncode == 0
    assert files(image) == before, "it has written into its own folders"
    who = {entry["actor"] for entry in dataops_cli("history", "--json").json["entries"]}
    assert who == {f"uid {ANYBODY}"}


def files(image: Path) -> set[Path]:
    return {path for folder in ("opt", "migrations") for path in (image / folder).rglob("*")}


def test_what_runs_has_no_pip_and_no_build_tools(image: Path) -> None:
    names = {path.name for path in (image / "opt/dataops/lib").glob("python*/site-packages/*")}
    assert {"dataops", "alembic", "pymongo"} <= names
    assert not {"pip", "setuptools", "hatchling", "pytest"} & names


def test_as_process_number_1_it_hears_sigterm(image: Path) -> None:
    """The kernel drops a signal that process 1 has no handler for; then a pod would take its whole grace period."""
    env = variables(image, {"API_KEYS_PG_CON": "postgres://u:p@127.0.0.1:1/x"})
    words = ["wait", "--service=api-keys", "--timeout=60s", "--log-format=json"]
    with subprocess.Popen(
        contained(image, "--pid", "--fork", "--kill-child") + words,
        env={**clean_environment(), **env},
        stderr=subprocess.PIPE,
        text=True,
    ) as outer:
        assert outer.stderr is not None
        try:
            assert "waiting" in outer.stderr.readline()
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
            until(lambda: children.read_text().split(), what="the command is there")
            (inner,) = children.read_text().split()
            assert re.search(r"^NSpid:.*\t1$", Path(f"/proc/{inner}/status").read_text(), re.MULTILINE)
            began = time.monotonic()
            os.kill(int(inner), signal.SIGTERM)
            outer.communicate(timeout=20)
        finally:
            outer.kill()
    assert time.monotonic() - began < 10
    assert outer.returncode == 75
