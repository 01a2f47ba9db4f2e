"""The pieces for other people's pipelines: each step is run by bash, as its system would."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import yaml

from tests.projects import Project
from tests.servers import COMMAND, ROOT, clean_environment

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
GH = """#!/usr/bin/env bash
# In the place of GitHub's own program, which needs GitHub: one comment, kept in a file.
set -eu
printf '%s\\n' "$*" >> "$COMMENTS.calls"
case "$*" in
  *--paginate*) if [ -f "$COMMENTS" ]; then echo 17; fi ;;
  *"PATCH repos/o/r/issues/comments/17"* | *"POST repos/o/r/issues/5/comments"*) cp plan-comment.md "$COMMENTS" ;;
  *) exit 1 ;;
esac
"""


def environment(project: Project, **more: str) -> dict[str, str]:
    path = f"{COMMAND.parent}:{os.environ['PATH']}"
    return {**clean_environment(), **project.env, "PATH": path, **more}


def run(script: str, folder: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def step(name: str, project: Project, *, path: str = "", **inputs: str) -> subprocess.CompletedProcess[str]:
    """One step of the action, with these inputs in its variables; the others are empty, as they are by default."""
    env = {key: inputs.get(key, "") for key in STEPS[name].get("env", {})}
    files = {"GITHUB_OUTPUT": str(project.folder / "output"), "GITHUB_STEP_SUMMARY": str(project.folder / "summary")}
    env |= {**files, "GITHUB_REPOSITORY": "o/r", "COMMENTS": str(project.folder / "comments")}
    made = environment(project, **env)
    return run(STEPS[name]["run"], project.folder, {**made, "PATH": f"{path}:{made['PATH']}".lstrip(":")})


def outputs(project: Project) -> dict[str, str]:
    lines = (project.folder / "output").read_text().splitlines()
    return {line.partition("=")[0]: line.partition("=")[2] for line in lines}


def test_the_action_is_one_and_takes_no_input_as_code() -> None:
    schema = json.loads((ROOT / "tests" / "lint" / "data" / "github-actions.json").read_text())
    jsonschema.validate(ACTION, schema)
    for one in STEPS.values():
        assert one["shell"] == "bash"
        assert "${{" not in one["run"]


def test_the_action_lints(two: Project) -> None:
    good = step("Lint", two, SARIF="lint.sarif", SERVICES="shop bank")
    assert good.returncode == 0, good.stdout + good.stderr
    assert json.loads((two.folder / "lint.sarif").read_text())["runs"]
    two.file("shop", "003", "op.execute('DROP TABLE dataops_journal')")
    bad = step("Lint", two, SERVICES="shop")
    assert bad.returncode == 7
    assert "::error file=shop/versions/003.py" in bad.stdout


def test_the_action_keeps_one_comment_with_the_plan(two: Project, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "gh").write_text(GH)
    (bin_ / "gh").chmod(stat.S_IRWXU)
    comment = two.folder / "comments"
    for applied, pending in ((None, "true"), ("--service=shop", "true"), ("--yes", "false")):
        if applied:
            assert two("apply", "--yes", applied).code == 0
        done = step("Plan", two, path=str(bin_), COMMENT="true", NUMBER="5")
        assert done.returncode == 0, done.stdout + done.stderr
        assert outputs(two)["pending"] == pending
        assert comment.read_text().startswith("<!-- dataops plan of all services  -->\n")
        assert Path(outputs(two)["file"]).read_text() in comment.read_text()
    calls = (two.folder / "comments.calls").read_text()
    assert (calls.count("POST"), calls.count("PATCH")) == (1, 2)
    assert "nothing to" in comment.read_text().lower()
    assert "shop" in (two.folder / "summary").read_text()


def test_the_action_fails_as_the_plan_and_the_status_do(two: Project) -> None:
    assert step("Plan", two, COMMENT="false").returncode == 0
    assert step("Status", two).returncode == 2
    assert step("Status", two, SERVICES="nobody").returncode == 64
    two.file("shop", "003", "op.execute('SELECT 1' + 1)")
    failing = step("Plan", two, COMMENT="true")  # not in a pull request: no comment
    assert (failing.returncode, outputs(two)["pending"]) == (4, "false")
    two.path("shop", "003").unlink()
    assert two("apply", "--yes").code == 0
    assert step("Status", two).returncode == 0
    (two.folder / "plan.md").unlink()
    (two.folder / "dataops.toml").unlink()
    assert step("Plan", two, COMMENT="true").returncode == 4


def test_the_action_proves(two: Project) -> None:
    (two.folder / "seed.py").write_text("def seed(service, database):\n    print('seeded ' + service)\n")
    done = step("Prove", two, SEED="seed.py", SERVICES="shop")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_tasks_of_concourse_run_on_its_folders(two: Project, tmp_path: Path) -> None:
    (tmp_path / "build" / "reports").mkdir(parents=True)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(two.folder)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for name in ("001", "002"):
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", name], check=True)
    (tmp_path / "build" / "repo").symlink_to(two.folder)
    for name, code in (("lint-and-prove", 0), ("status", 2)):
        task: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "concourse" / f"{name}.yml").read_text())
        assert set(task) <= {"platform", "image_resource", "inputs", "outputs", "params", "caches", "run"}
        done = subprocess.run(
            [task["run"]["path"], *task["run"]["args"]],
            cwd=tmp_path / "build", env=environment(two, **task["params"]),
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "build" / "reports").iterdir()) == ["lint.xml", "prove.xml"]


def test_the_hook_of_pre_commit_finds_what_lint_finds(two: Project) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert (hook["id"], hook["language"], hook["pass_filenames"]) == ("dataops-lint", "python", False)
    assert run(hook["entry"], two.folder, environment(two)).returncode == 0
    two.file("shop", "003", "op.execute('DROP TABLE dataops_journal')")
    assert run(hook["entry"], two.folder, environment(two)).returncode == 7
