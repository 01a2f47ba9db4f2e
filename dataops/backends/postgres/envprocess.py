"""Starts a process in which a project's env.py runs, asks it one question, and waits for its answer."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from dataops.errors import BrokenFile
from dataops.model import Service
from dataops.redaction import redact


@dataclass(frozen=True)
class Answered:
    """What the process answered, and the lines that files of the project and their programs printed."""

    values: dict[str, Any]
    printed: tuple[str, ...] = field(default=())


def ask(service: Service, module: str, more: dict[str, Any], *, seconds: float | None, hint: str) -> Answered:
    """Run `main` of a module of ours in a process, and give it the request. None means: however long it takes.

    Raises BrokenFile for an error of env.py, with its line and the `hint`.
    """
    path, ini = service.folder / "env.py", service.alembic
    request = {
        "env": str(path),
        "folder": str(service.folder),
        "ini": str(ini.path) if ini else None,
        "section": ini.section if ini else "alembic",
        "sys_path": [str(one) for one in ini.sys_path] if ini else [],
        **more,
    }
    code = (
        "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2:2 + count]; del sys.argv[1:]; "
        f"from {module} import main; main()"
    )
    printed: list[str] = []
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(len(sys.path)), *sys.path],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
        lines = done.stdout.splitlines()
        printed = done.stderr.splitlines()
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {"error": f"it ended with code {done.returncode}"}
    except subprocess.TimeoutExpired:
        answer = {"error": f"it had not ended after {seconds:g} s"}
    except ValueError:
        answer = {"error": f"it ended with code {done.returncode}"}
    if "error" in answer and not answer.get("of_alembic"):
        where = f"{path}:{answer['line']}" if answer.get("line") else str(path)
        raise BrokenFile(
            f"{where}: {redact(answer['error'])}",
            service=service.name,
            hint=answer.get("hint") or hint,
        )
    return Answered(answer, tuple(map(redact, printed)))


__all__ = ["Answered", "ask"]
