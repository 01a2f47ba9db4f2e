"""The options that a project's own env.py gives to Alembic. It stays the truth of them. See ADR 16.

The file is run in a process of its own, in Alembic's online and in its offline mode, against a context that only
records what `configure()` is given: `recording` is that process. Nothing is connected to. An env.py that only calls
`run` of ours says nothing of its own, and is not run.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataops import alembicini
from dataops.backends.postgres import envprocess
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
            _known[key] = Options() if alembicini.is_ours(path) else _recorded(service)
        return _known[key]


def _recorded(service: Service) -> Options:
    hint = (
        "it has to run without a database, as for `alembic upgrade head --sql`; "
        "more: dataops docs operations an-alembic-project"
    )
    answer = envprocess.ask(service, "dataops.backends.postgres.recording", {}, seconds=_SECONDS, hint=hint).values
    return Options(
        version_table=answer["version_table"] or RECORD_NAME,
        version_table_schema=answer["version_table_schema"] or "",
        render_as_batch=answer["render_as_batch"],
        naming=answer["naming"],
        warnings=tuple(map(redact, answer["warnings"])),
    )


__all__ = ["RECORD_NAME", "Options", "options_of"]
