"""Alembic's modules `alembic.op` and `alembic.context`, made to serve several steps at once. See ADR 4.

Alembic passes every call of these modules on to one object for the whole process. Services run side by side in threads,
so there it meets an object of ours, which passes it on to the step that runs in the calling thread. So helper modules,
`import alembic`, and imports inside of a function find the `op` of their step too.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import alembic.context
import alembic.op
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext

_mutex = threading.Lock()


class _PerThread:
    """Passes everything on to the object of the calling thread.

    A thread that a file has started has none. It gets that of the only step there is, or else what Alembic had before.
    """

    def __init__(self, before: object) -> None:
        self._before = before
        self._running: dict[int, object] = {}

    def __getattr__(self, name: str) -> Any:
        running = self._running
        own = running.get(threading.get_ident())
        if own is None:
            own = next(iter(running.values())) if len(running) == 1 else self._before
        if own is None:
            raise NameError(f"{name} of Alembic was called while no migration is running")
        return getattr(own, name)


@contextmanager
def serving(operations: Operations, environment: EnvironmentContext) -> Iterator[None]:
    """In this scope and in this thread, `alembic.op` and `alembic.context` are these."""
    own = ((alembic.op, operations), (alembic.context, environment))
    me = threading.get_ident()
    for module, value in own:
        _proxy_of(module)._running[me] = value
    try:
        yield
    finally:
        for module, _ in own:
            _proxy_of(module)._running.pop(me, None)


def _proxy_of(module: types.ModuleType) -> _PerThread:
    names = vars(module)
    with _mutex:
        if not isinstance(names.get("_proxy"), _PerThread):
            names["_proxy"] = _PerThread(names.get("_proxy"))
        proxy: _PerThread = names["_proxy"]
    return proxy


__all__ = ["serving"]
