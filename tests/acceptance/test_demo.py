"""What script/demo shows is true: data before, a run that is killed, the same data after the rollback."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.servers import COMMAND, ROOT, clean_environment


def test_the_demo_kills_a_run_goes_on_and_gives_everything_back(tmp_path: Path) -> None:
    environment = {**clean_environment(), "HOME": str(tmp_path), "DEMO_SHOP_URL": "postgresql://nobody@nowhere/x"}
    done = subprocess.run(
        [ROOT / "script" / "demo_project" / "tour"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert COMMAND.parent.as_posix() in environment["PATH"]
    before, during, after = re.findall(r"^receipt 7: .*\nnewsletter 7: .*$", done.stdout, re.MULTILINE)
    assert before == after
    assert "'price': '8.50 EUR'" in before and "'price': 850" in during and "no such table" in during
    assert "half done: apply m02-cents" in done.stdout
    assert "2 applied in 2 services" in said and "2 rolled back in 2 services" in said
    told = [line for line in said.splitlines() if " still running, " not in line]  # more of these on a slow machine
    assert len(told) < 120
    assert not list(tmp_path.glob("**/dataops*"))


def test_the_demo_installs_a_part_of_what_developing_needs_at_the_same_versions() -> None:
    def packages(name: str) -> set[str]:
        return set(re.findall(r"^(\S+==\S+)", (ROOT / name).read_text(), re.MULTILINE))

    demo, all_of_it = packages("requirements-demo.txt"), packages("requirements-dev.txt")
    assert demo < all_of_it
    assert len(demo) < len(all_of_it) / 2
    assert not {name for name in demo if re.match("ruff|mypy|helm|squawk|hadolint", name)}
