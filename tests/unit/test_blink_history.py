"""docs/blink-history.md is what the docstrings of the migrations say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_table_of_deviations_is_what_the_docstrings_say() -> None:
    script = ROOT / "script" / "blink-history.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
