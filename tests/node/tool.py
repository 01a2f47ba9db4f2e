"""A command from npm, run in a folder of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Tool:
    """The command, in its folder; `modules` are the packages from npm."""

    folder: Path
    modules: Path
    command: tuple[str, ...]

    def __call__(self, *args: str, fails: bool = False) -> str:
        done = subprocess.run(
            ["node", *self.command, *args],
            cwd=self.folder,
            env={**os.environ, "NODE_PATH": str(self.modules)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stdout + done.stderr
