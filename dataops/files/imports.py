"""The project's own modules that a migration file imports, and what of them has changed since it was applied.

Nothing is imported for this: Python's own finders say where a module is. What is installed, and Python's own library,
is no part of the project.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from dataops import source
from dataops.model import Direction, Imports, Migration, Service, State, Step

_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


def of(service: Service, migration: Migration) -> Imports:
    """The project's files that a migration imports, directly or through others, and does not pin.

    A name is the file's path below the folder from which Python imports it. Raises Unreadable.
    """
    roots = _roots(service)
    pinned = {one.path.resolve() for one in migration.pinned}
    found: dict[str, str] = {}
    left = list(_named("", source.parse(migration.text)))
    seen = set(left)
    while left:
        for name, path, module in _files(left.pop(), roots):
            if name in found:
                continue
            digest, named = _read(path, module, os.stat(path).st_mtime_ns)
            found[name] = digest if path.resolve() not in pinned else ""
            left += named - seen
            seen |= named
    return tuple(sorted((name, digest) for name, digest in found.items() if digest))


def recorded(service: Service, step: Step) -> Imports:
    """What the journal keeps of a step: nothing for a rollback, after which the files may change again."""
    return of(service, step.migration) if step.direction is Direction.APPLY else ()


def changed(state: State) -> Mapping[str, tuple[str, ...]]:
    """The project's files that are gone, or other ones, since migrations that import them were applied: their ids."""
    found: dict[str, list[str]] = {}
    for applied in state.applied:
        if not applied.imports:
            continue
        migration = state.service.by_id[applied.id]
        try:
            now = dict(of(state.service, migration))
        except source.Unreadable:  # plan says so
            continue
        pinned = {one.name for one in migration.pinned}
        for name, digest in applied.imports:
            if now.get(name) != digest and name not in pinned:
                found.setdefault(name, []).append(applied.id)
    return {name: tuple(ids) for name, ids in sorted(found.items())}


def pinned_modules(service: Service, migration: Migration) -> frozenset[str]:
    """The modules that a file names in its imports and that `depends` pins, with all that it takes from them."""
    if not migration.pinned:
        return frozenset()
    roots = _roots(service)
    pinned = {one.path.resolve() for one in migration.pinned}

    def is_pinned(module: str) -> bool:
        files = [path for _, path, _ in _files(module, roots)]
        return bool(files) and files[-1].resolve() in pinned

    return frozenset(
        module
        for _, module, names in source.imports(source.parse(migration.text))
        if all(map(is_pinned, [f"{module}.{name}" for name in names] or [module]))
    )


def _roots(service: Service) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*map(str, service.sys_path), *sys.path]))


def _files(module: str, roots: tuple[str, ...]) -> Iterator[tuple[str, Path, str]]:
    """The project's files that are run when a module is imported: those of its packages, and its own.

    Each with its name, and the name of the package in which its relative imports begin.
    """
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "dataops":
        return
    path: list[str] | None = None
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        spec = _spec(name, path, roots)
        if spec is None:
            return
        is_package = spec.submodule_search_locations is not None
        if spec.has_location and spec.origin is not None and spec.origin.endswith(".py"):
            origin = Path(spec.origin).absolute()
            if _INSTALLED & {*origin.parts} or any(origin.is_relative_to(one) for one in _STANDARD):
                return
            file = "/".join(parts[:count]) + ("/__init__.py" if is_package else ".py")
            yield file, origin, name if is_package else name.rpartition(".")[0]
        if spec.submodule_search_locations is None:
            return
        path = list(spec.submodule_search_locations)


def _spec(name: str, path: list[str] | None, roots: tuple[str, ...]) -> ModuleSpec | None:
    if path is not None:
        return PathFinder.find_spec(name, path)
    found = PathFinder.find_spec(name, list(roots))
    # an editable install may have a finder of its own
    return found or next((spec for one in sys.meta_path if (spec := one.find_spec(name, None)) is not None), None)


@functools.lru_cache(maxsize=4096)
def _read(path: Path, package: str, changed_at: int) -> tuple[str, frozenset[str]]:
    """The digest of a file, and the modules that it imports. `changed_at` is there for the cache."""
    content = path.read_bytes()
    try:
        return source.digest(path.name, content), frozenset(_named(package, source.parse(content)))
    except source.Unreadable:
        return source.digest(path.name, content), frozenset()


def _named(package: str, tree: ast.Module) -> Iterator[str]:
    """The modules that a file may import by its import statements: `from a import b` may mean a module `a.b`."""
    for _, module, names in source.imports(tree):
        level = len(module) - len(module.lstrip("."))
        if level:
            above = package.split(".")[: len(package.split(".")) - level + 1]
            if not package or not above:
                continue
            module = ".".join([*above, *([module[level:]] if module[level:] else [])])
        if module != source.COMPUTED:
            yield module
            yield from (f"{module}.{name}" for name in names if name != "*")


__all__ = ["changed", "of", "pinned_modules", "recorded"]
