"""Functions of libraries that connect to a database in C. Python tells an audit hook nothing of what they do."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]

_FUNCTIONS = {"psycopg.generators": "connect", "psycopg2": "_connect", "MySQLdb": "connect", "pyodbc": "connect"}
"""By their modules."""


def wrap_connecting(wrap: Wrap) -> None:
    """Replace each of these functions with what `wrap` makes of it, now or when its module is imported."""
    for name in _FUNCTIONS:
        if name in sys.modules:
            _replace(sys.modules[name], wrap)
    sys.meta_path.insert(0, _Replacing(wrap))


def _replace(module: types.ModuleType, wrap: Wrap) -> None:
    name = _FUNCTIONS[module.__name__]
    setattr(module, name, wrap(getattr(module, name)))


class _Replacing(importlib.abc.MetaPathFinder):
    """Replaces these functions when their modules are imported."""

    def __init__(self, wrap: Wrap) -> None:
        self._wrap = wrap

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _FUNCTIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            run(module)
            _replace(module, self._wrap)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


__all__ = ["wrap_connecting"]
