"""The commands of docs/tutorial.md do what the page says, from an empty folder."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from tests.servers import COMMAND, ROOT, clean_environment

TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    commands = re.findall(r"^```bash\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    script = "\n".join(["set -eu", "trap 'dataops dev down >/dev/null' EXIT", *commands])
    environment = clean_environment()
    environment["PATH"] = f"{COMMAND.parent}:{environment['PATH']}"
    environment["XDG_STATE_HOME"] = str(tmp_path / "state")
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.search(r"^```toml\n(.*?)^```", TUTORIAL, re.MULTILINE | re.DOTALL)
    assert shown
    assert tomllib.loads((tmp_path / "shop" / "dataops.toml").read_text()) == tomllib.loads(shown[1])
    assert re.search(r"^a1 \(head\)$", done.stdout, re.MULTILINE), "alembic agrees"
    assert "Not applied" not in done.stdout, "pymongo-migrate agrees"
    assert "ALTER TABLE orders ADD COLUMN note text" in done.stdout
