"""A command from a copy of a process that has imported everything does what one in a new interpreter does."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests import warm
from tests.projects import Project, pause
from tests.servers import COMMAND, clean_environment

COLD = {warm.COLD: "1"}


def _is_a_copy(process: subprocess.Popen[str]) -> bool:
    """Whether the system says that the process was not started from a program of its own."""
    return "warm.py" in Path(f"/proc/{process.pid}/cmdline").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["--version"],
        ["--help"],
        ["status"],
        ["status", "--json"],
        ["plan"],
        ["plan", "--format", "markdown"],
        ["lint"],
        ["history", "--verify"],
        ["no-such-command"],
        ["status", "--config", "none.toml"],
        ["explain", "locked"],
        ["rollback"],
    ],
    ids=" ".join,
)
def test_it_answers_what_a_new_interpreter_answers(two: Project, command: list[str]) -> None:
    assert two(*command) == two(*command, env=COLD)


def test_it_is_a_child_of_ours_with_its_own_folder_variables_and_session(two: Project) -> None:
    two.file(
        "shop",
        "003",
        """
        import os, pathlib, sys
        if not op.get_context().as_sql:
            said = [os.getppid(), os.getcwd(), os.environ.get("ONLY_HERE"), os.getsid(0) == os.getpid(), sys.path[0]]
            pathlib.Path("said").write_text(repr(said))
        here("middle")
        """,
    )
    with two.running("apply", "--yes", env={"ONLY_HERE": "x"}, start_new_session=True) as run:
        two.reached("middle")
        assert _is_a_copy(run)
        said = [os.getpid(), str(two.folder), "x", True, str(COMMAND.parent)]
        pause(run)  # which waits for the child as its parent
        run.kill()
        assert run.wait(60) == -signal.SIGKILL
    assert repr(said) == (two.folder / "said").read_text()


@pytest.mark.parametrize("name", [warm.COLD, "PYTHONPATH", "TZ", "LANG", "OTEL_SERVICE_NAME"])
def test_what_depends_on_the_start_gets_a_new_interpreter(project: Project, name: str) -> None:
    with project.running("docs", "operations", env={name: "x"}) as run:
        assert not _is_a_copy(run)


def test_options_that_it_does_not_know_get_a_new_interpreter(tmp_path: Path) -> None:
    with warm.start(COMMAND, ["--version"], clean_environment(), text=True, umask=0o77, stdout=subprocess.PIPE) as run:
        assert not _is_a_copy(run)
        assert run.communicate()[0].startswith("dataops, version")
