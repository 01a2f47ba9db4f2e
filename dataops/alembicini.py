"""What a project's alembic.ini says about the files of one service: the options that Alembic itself reads there.

Of a service, only its folder is configured: the script location, with env.py in it. Its section is looked for in the
alembic.ini files between that folder and dataops.toml. See https://alembic.sqlalchemy.org/en/latest/tutorial.html.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataops import syntax
from dataops.errors import ConfigError
from dataops.redaction import message_of, redact

_LEGACY = re.compile(r", *|(?: +)")
_LEGACY_PATHS = re.compile(r"[,:\s]+")
TEMPLATE = "script.py.mako"
"""What Alembic makes a new file of; it lies beside env.py."""

_OF_NEW_FILES = ("file_template", "timezone", "truncate_slug_length", "output_encoding", "revision_environment")
_SEPARATORS = {"space": " ", "newline": "\n", "os": os.pathsep, ":": ":", ";": ";"}


@dataclass(frozen=True)
class AlembicIni:
    """One section of one alembic.ini. `versions` are the folders of the files, and `recursive` says: those in them too.

    `sys_path` comes first in Python's own path while files run. `new_files` are the options, as texts, that say how
    Alembic writes a new file; "post_write_hooks" are the names of these.
    """

    path: Path
    section: str
    versions: tuple[Path, ...] = ()
    recursive: bool = False
    sys_path: tuple[Path, ...] = ()
    new_files: Mapping[str, str] = field(default_factory=dict, hash=False)


def find(folder: Path, top: Path) -> AlembicIni | None:
    """The section whose script location is `folder`; None when no ini file has one.

    Looked at are `folder`, `top`, and the folders between them. Raises ConfigError for a file that cannot be read.
    """
    folder, top = folder.resolve(), top.resolve()
    places = [folder]
    while places[-1] != top and places[-1] != places[-1].parent and top in places[-1].parents:
        places.append(places[-1].parent)
    for place in dict.fromkeys((*places, top)):
        for path in (place / "alembic.ini", place / "pyproject.toml"):
            if path.is_file():
                for section, values in _sections(path):
                    if folder in _locations(values, path, folder):
                        return _made(path, section, values, folder)
    return None


@dataclass(frozen=True)
class Location:
    """A script location that an ini file names. `scheme` is that of its URL, "" where it has none.

    With `several`, the section names several databases: it is of Alembic's multidb template.
    """

    section: str
    folder: Path
    scheme: str = ""
    several: bool = False


def locations(path: Path) -> Iterator[Location]:
    """Every script location of an alembic.ini or a pyproject.toml. Raises ConfigError for a file that is not valid."""
    for section, values in _sections(path):
        if "script_location" in values or section == "alembic":
            possible = _locations(values, path, path.parent)
            place = next((one for one in possible if (one / "env.py").is_file()), possible[0] if possible else None)
            if place is not None:
                yield Location(section, place, _scheme(values), bool(values.get("databases")))


def _scheme(values: Mapping[str, Any]) -> str:
    """The scheme of `sqlalchemy.url`, as it is written: what it refers to may be given by env.py only."""
    url = values.raw("sqlalchemy.url") if isinstance(values, _Section) else values.get("sqlalchemy.url", "")
    scheme, separator, _ = str(url).partition("://")
    return scheme if separator and re.fullmatch(r"[\w+]+", scheme) else ""


def _sections(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".toml":
        try:
            content = tomllib.loads(path.read_text())
        except (OSError, ValueError):  # it is not ours, and may have no paragraph of Alembic's at all
            return
        values = content.get("tool", {}).get("alembic")
        if isinstance(values, dict):
            here = str(path.parent)
            yield "alembic", {key: _in_place(value, here) for key, value in values.items()}
        return
    parser = configparser.ConfigParser({"here": str(path.parent).replace("%", "%%")})
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeError, configparser.Error) as error:
        raise ConfigError(
            f"{path}: {redact(message_of(error).splitlines()[0])}", hint="alembic itself cannot read it either"
        ) from error
    for section in parser.sections():
        yield section, _Section(path, parser[section])


def _in_place(value: Any, here: str) -> Any:
    if isinstance(value, str):
        return value.replace("%(here)s", here)
    return [_in_place(one, here) for one in value] if isinstance(value, list) else value


class _Section(Mapping[str, Any]):
    """A section, in which a value that cannot be interpolated is our error."""

    def __init__(self, path: Path, section: configparser.SectionProxy) -> None:
        self._path = path
        self._section = section

    def __getitem__(self, key: str) -> Any:
        try:
            return self._section[key]
        except configparser.InterpolationError as error:
            raise ConfigError(
                f"{self._path}: [{self._section.name}] {key}: {message_of(error).splitlines()[0]}",
                hint="write %% for a % that means itself",
            ) from error

    def raw(self, key: str) -> str:
        """A value as it is written, "" where there is none."""
        return self._section.get(key, "", raw=True)

    def __contains__(self, key: object) -> bool:
        return key in self._section

    def __iter__(self) -> Iterator[str]:
        return iter(self._section)

    def __len__(self) -> int:
        return len(self._section)


def _locations(values: Mapping[str, Any], path: Path, folder: Path) -> list[Path]:
    """Where the script location may be: it is relative to the working directory, which most often is that of the ini.

    Flask-Migrate names none, and keeps the file in the folder itself.
    """
    if "script_location" not in values:
        return [folder] if path.parent == folder and "alembic" in path.name else []
    location = str(values["script_location"])
    package, colon, inside = location.partition(":")
    if colon and re.fullmatch(r"[\w.]+", package):
        roots = [path.parent, *(path.parent / one for one in _listed(values, "prepend_sys_path", _LEGACY_PATHS))]
        return [(root / package.replace(".", "/") / inside).resolve() for root in roots]
    return [(path.parent / location).resolve()]


def _made(path: Path, section: str, values: Mapping[str, Any], folder: Path) -> AlembicIni:
    def resolved(key: str, legacy: re.Pattern[str]) -> tuple[Path, ...]:
        return tuple((path.parent / one).resolve() for one in _listed(values, key, legacy))

    recursive = values.get("recursive_version_locations", False)
    return AlembicIni(
        path,
        section,
        versions=resolved("version_locations", _LEGACY) or (folder / "versions",),
        recursive=recursive if isinstance(recursive, bool) else str(recursive).lower() in ("true", "1", "yes", "on"),
        sys_path=resolved("prepend_sys_path", _LEGACY_PATHS),
        new_files={key: str(values[key]) for key in _OF_NEW_FILES if values.get(key)} | _hooks(path),
    )


def is_ours(path: Path) -> bool:
    """Whether an env.py does nothing but call a function of ours with a name."""
    try:
        tree = syntax.tree_of(path.read_bytes())
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


def _hooks(path: Path) -> dict[str, str]:
    """The programs that Alembic runs after it has written a file."""
    if path.suffix == ".toml":
        content = tomllib.loads(path.read_text())
        hooks = content.get("tool", {}).get("alembic", {}).get("post_write_hooks")
        names = ", ".join(str(one.get("name", "")) for one in hooks) if isinstance(hooks, list) else ""
    else:
        sections = dict(_sections(path))
        names = str(sections.get("post_write_hooks", {}).get("hooks", ""))
    return {"post_write_hooks": names} if names else {}


def _listed(values: Mapping[str, Any], key: str, legacy: re.Pattern[str]) -> list[str]:
    """The paths that a value names, parted as `path_separator` says, or as Alembic did before it had that option."""
    value = values.get(key)
    if not value:
        return []
    if isinstance(value, list):
        return [str(one) for one in value]
    separator = values.get("path_separator") or values.get("version_path_separator")
    known = _SEPARATORS.get(str(separator))
    parts = str(value).split(known) if known else legacy.split(str(value))
    return [part.strip() for part in parts if part.strip()]


__all__ = ["TEMPLATE", "AlembicIni", "Location", "find", "is_ours", "locations"]
