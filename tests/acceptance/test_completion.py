"""What the tab key offers, in a real shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.projects import Project
from tests.servers import COMMAND


def offered(project: Project, *words: str, shell: str = "bash") -> list[str]:
    """What a shell is offered for the last word."""
    env = {"COMP_WORDS": " ".join(("dataops", *words)), "COMP_CWORD": str(len(words))}
    answer = project("ignored", env={"_DATAOPS_COMPLETE": f"{shell}_complete", **env})
    assert answer.stderr == ""
    return answer.stdout.split()


def test_bash_completes_commands_services_migrations_and_runs(two: Project) -> None:
    """By the script that it is told to run."""
    assert two("apply", "--yes", "--service", "shop").code == 0
    script = """
        eval "$(dataops completion bash)"
        words() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
            _dataops_completion dataops "${@: -1}" ""
            echo "${COMPREPLY[*]}"
        }
        words dataops roll
        words dataops apply --service s
        words dataops --service shop plan --to 0
        words dataops status --log-format j
        words dataops history ""
    """
    env = {**os.environ, **two.env, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=two.folder, env=env, capture_output=True, text=True, timeout=120, check=True
    )
    [run] = two("history", "--json").json["runs"]
    assert done.stdout.splitlines() == ["rollback", "shop", "002 001", "json", run["run"].rpartition("-")[2]]
    assert done.stderr == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_what_it_is_too(two: Project, shell: str) -> None:
    script = two("completion", shell)
    assert script.code == 0
    assert "_DATAOPS_COMPLETE" in script.stdout
    env = {"COMP_WORDS": "dataops apply --service ", "COMP_CWORD": "" if shell == "fish" else "3"}
    told = two("ignored", env={"_DATAOPS_COMPLETE": f"{shell}_complete", **env}).stdout
    assert "shop" in told
    assert "postgresql" in told


def test_nothing_is_offered_where_nothing_can_be_known(tmp_path: Path) -> None:
    empty = Project(tmp_path)
    for words in (["apply", "--service", ""], ["apply", "--to", ""], ["history", ""], ["plan", "--env", ""]):
        assert offered(empty, *words) == []
    assert "plain,apply" in offered(empty, "")
