"""The options that a project's own env.py gives to Alembic. It stays the truth of them. See ADR 16.

The file is run in a process of its own, in Alembic's online and in its offline mode, against a context that only
records what `configure()` is given: `recording` is that process. Nothing is connected to. An env.py that only calls
`run` of ours says nothing of its own, and is not run.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataops.errors import BrokenFile
from dataops.model import Service
from dataops.redaction import redact

RECORD_NAME = "alembic_version"
_SECONDS = 30.0


@dataclass(frozen=True)
class Options:
    """What env.py says, as far as it can be told to another process.

    The record is the table `version_table`, in `version_table_schema` where that is not "". `naming` are the templates
    of the metadata's naming convention. `warnings` say what is not honoured, and what could not be seen.
    """

    version_table: str = RECORD_NAME
    version_table_schema: str = ""
    render_as_batch: bool = False
    naming: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


_known: dict[tuple[Any, ...], Options] = {}
_locks: dict[tuple[Any, ...], threading.Lock] = {}
_mutex = threading.Lock()


def options_of(service: Service) -> Options:
    """The options of a service. Its env.py is run once in a process. Raises BrokenFile, with the line of env.py."""
    path = service.folder / "env.py"
    if not path.is_file():
        return Options()
    key = (path, service.alembic)
    with _mutex:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _known:
            _known[key] = Options() if _is_ours(path) else _recorded(service, path)
        return _known[key]


def _is_ours(path: Path) -> bool:
    """Whether the file does nothing but call a function of ours with a name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False

    def plain(node: ast.stmt) -> bool:
        match node:
            case ast.ImportFrom(module=str(module)):
                return module == "__future__" or module.partition(".")[0] == "dataops"
            case ast.Expr(value=ast.Constant()):
                return True
            case ast.Expr(value=ast.Call(func=ast.Name(), args=[ast.Constant()], keywords=[])):
                return True
        return False

    return all(map(plain, tree.body))


def _recorded(service: Service, path: Path) -> Options:
    ini = service.alembic
    request = {
        "env": str(path),
        "folder": str(service.folder),
        "ini": str(ini.path) if ini else None,
        "section": ini.section if ini else "alembic",
        "sys_path": [str(one) for one in ini.sys_path] if ini else [],
    }
    code = (
        "import sys; count = int(sys.argv[1]); sys.path[:] = sys.argv[2:2 + count]; del sys.argv[1:]; "
        "from dataops.backends.postgres.recording import main; main()"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(len(sys.path)), *sys.path],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        lines = done.stdout.splitlines()
        answer: dict[str, Any] = json.loads(lines[-1]) if lines else {"error": f"it ended with code {done.returncode}"}
    except subprocess.TimeoutExpired:
        answer = {"error": f"it had not ended after {_SECONDS:g} s"}
    except ValueError:
        answer = {"error": f"it ended with code {done.returncode}"}
    if "error" in answer:
        where = f"{path}:{answer['line']}" if answer.get("line") else str(path)
        raise BrokenFile(
            f"{where}: {redact(answer['error'])}",
            service=service.name,
            hint=answer.get("hint")
            or "it has to run without a database, as for `alembic upgrade head --sql`; "
            "more: dataops docs operations an-alembic-project",
        )
    return Options(
        version_table=answer["version_table"] or RECORD_NAME,
        version_table_schema=answer["version_table_schema"] or "",
        render_as_batch=answer["render_as_batch"],
        naming=answer["naming"],
        warnings=tuple(map(redact, answer["warnings"])),
    )


__all__ = ["RECORD_NAME", "Options", "options_of"]
