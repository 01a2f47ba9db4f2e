"""Write docs/blink-history.md from the docstrings of the migrations: what each does and how it differs.

.venv/bin/python script/blink-history.py            write it
.venv/bin/python script/blink-history.py --check    exit 1 when it is not what the docstrings say
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

from dataops import config
from dataops.kinds import MONGODB
from dataops.model import Migration, Service

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "blink-history.md"
MARK = "Differs from the original:"

HEAD = """\
# Blink's history, and where ours differs

<!-- Written by script/blink-history.py from the docstrings of the migrations; edit those and run it again. -->

Every migration of the four databases, written anew. Each has a real way back, is told apart from the original by
nothing but what stands in the last column, and keeps the original's version as its id. How to roll back, what is put
aside and which write wins in a rollback stands in the docstring of each file.
"""


def paragraph(text: str, start: str) -> str:
    """The paragraph that begins with `start`, on one line, without that beginning. Raises ValueError."""
    for part in text.split("\n\n"):
        line = " ".join(part.split())
        if line.startswith(start):
            return line.removeprefix(start).strip()
    raise ValueError(f"no paragraph begins with {start!r}")


def row(number: int, migration: Migration) -> str:
    text = ast.get_docstring(ast.parse(migration.text)) or ""
    title = " ".join(text.split("\n\n")[0].split())
    cells = [str(number), f"`{migration.path.stem}`", title, paragraph(text, MARK)]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def section(service: Service) -> str:
    engine = "MongoDB" if service.kind is MONGODB else "PostgreSQL"
    rows = [row(number, migration) for number, migration in enumerate(service.migrations, start=1)]
    return "\n".join(
        [
            f"## {service.name} ({engine}, {len(rows)} migrations)",
            "",
            "| # | migration | what it does | how it differs from the original |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def page() -> str:
    services = config.load(ROOT / config.FILE_NAME, with_urls=False).services
    return "\n\n".join([HEAD.rstrip(), *map(section, services)]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when the page is out of date")
    wanted = page()
    if parser.parse_args().check:
        if not PAGE.exists() or PAGE.read_text() != wanted:
            sys.exit(f"{PAGE.relative_to(ROOT)} is out of date: run script/blink-history.py")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
