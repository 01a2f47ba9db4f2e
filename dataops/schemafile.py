"""The schema of a service as files in git: what its history makes, for a reviewer and for `drift --from`.

`SERVICE.json` has the catalogue, and the head of the history that makes it. `SERVICE.sql` has the SQL that makes it
again, for PostgreSQL only. A checksum covers both, so that a file that was edited by hand is not believed. See ADR 21.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataops import outfile
from dataops.catalogue import OF_APPLICATIONS, Catalogue, Key
from dataops.errors import ConfigError, HistoryError
from dataops.kinds import Kind
from dataops.model import Service
from dataops.schema import Schema

FOLDER = "schema"
"""The name of the folder beside dataops.toml."""
_FORMAT = 1
_ABOUT = "Made by dataops schema dump. Do not edit it: drift --from compares databases with it."
_LEFT_OUT = frozenset({
    "grants on", "default grants on", "user mapping", "version of extension", "settings of foreign server",
    "settings of foreign data wrapper",
})  # fmt: skip


@dataclass(frozen=True)
class SchemaFile:
    """What the history of a service up to `head` makes. `sql` is "" for a kind of database that has no SQL.

    `gone` is what the history has dropped, as far as that counts, with the migration that did it. `lent` is what it
    expects to find, made by the application.
    """

    service: str
    kind: Kind
    head: str | None
    objects: Mapping[Key, str] = field(repr=False)
    sql: str = field(default="", repr=False)
    gone: Mapping[Key, str] = field(default_factory=dict, repr=False)
    lent: frozenset[Key] = field(default=frozenset(), repr=False)

    def expected(self, found: Catalogue) -> Catalogue:
        """What a database with the catalogue `found` should have. The file knows no versions of extensions.

        What applications make by themselves is open, where the kind of database lets them.
        """
        others = OF_APPLICATIONS if self.kind.application_creates else frozenset[str]()
        return replace(
            found,
            objects=self.objects,
            open=found.open | others,
            marks={},
            server="",
            gone=self.gone,
            lent=self.lent,
        )

    def changed_from(self, before: SchemaFile, planned: Collection[str]) -> str:
        """How a database that is like `before` has to change, as a unified diff of the SQL, or else of its objects.

        `planned` are the ids of the migrations that change it.
        """
        if self.kind.language == "sql":
            return unified(before.sql, self.sql, f"{self.service}.sql")
        counted = {*self.objects, *(key for key, by in self.gone.items() if by in planned)}
        counted |= {("view", name) for kind, name in counted if kind == "collection"}
        here = [f"{kind} {name}: {text}\n" for kind, name, text in before._listed() if (kind, name) in counted]
        there = [f"{kind} {name}: {text}\n" for kind, name, text in self._listed()]
        return unified("".join(here), "".join(there), self.service)

    def texts(self, folder: Path) -> dict[Path, str]:
        """The files, with their whole text."""
        files = {folder / f"{self.service}.json": self._json()}
        if self.kind.language == "sql":
            files[folder / f"{self.service}.sql"] = self.sql
        return files

    def _json(self) -> str:
        content = self._content()
        head = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        objects = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in self._listed())
        return f'{{\n{head},\n  "objects": [\n{objects}\n  ],\n  "checksum": "{self.checksum}"\n}}\n'

    @property
    def checksum(self) -> str:
        """SHA-256 over everything that both files say."""
        whole = json.dumps([self._content(), list(self._listed()), self.sql], ensure_ascii=False)
        return hashlib.sha256(whole.encode()).hexdigest()

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = {
            "about": _ABOUT,
            "format": _FORMAT,
            "service": self.service,
            "engine": self.kind.name,
            "head": self.head,
        }
        if self.gone:
            content["gone"] = [[*key, by] for key, by in sorted(self.gone.items())]
        if self.lent:
            content["lent"] = [list(key) for key in sorted(self.lent)]
        return content

    def _listed(self) -> Iterator[list[str]]:
        for (kind, name), text in sorted(self.objects.items(), key=lambda one: (one[0][1], one[0][0])):
            yield [kind, name, text]


def made(service: Service, head: str | None, catalogue: Catalogue, schema: Schema | None) -> SchemaFile:
    """The files for a database that the history up to `head` has made. Rights are left out: they name roles."""
    objects = {key: text for key, text in catalogue.objects.items() if key[0] not in _LEFT_OUT}
    sql = ""
    if schema is not None:
        place = f"its history up to {head}" if head else "an empty history"
        parts = [
            f"-- The schema of {service.unit}, made by dataops schema dump from {place}. Do not edit it.",
            *(f"{statement};" for statement in schema.statements),
            *(f"-- not written: {' '.join(name.split())}" for name in schema.unwritten),
        ]
        sql = "\n\n".join(parts) + "\n"
    gone = {key: by for key, by in catalogue.gone.items() if key not in objects}
    return SchemaFile(service.unit, service.kind, head, objects, sql, gone, catalogue.lent)


def load(folder: Path, service: Service) -> SchemaFile:
    """The files of a service, as they were made. Raises ConfigError where they are missing, of another service, of
    another format, or were changed since they were made.
    """
    path = folder / f"{service.unit}.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        sql = (folder / f"{service.unit}.sql").read_text(encoding="utf-8") if service.kind.language == "sql" else ""
        if content["format"] != _FORMAT:
            raise _unusable(service, folder, f"{path} is of another version of dataops")
        named = content["service"], content["engine"]
        if named != (service.unit, service.kind.name):
            raise _unusable(service, folder, f"{path} is of the {named[1]} service {named[0]}")
        objects = {(kind, name): text for kind, name, text in content["objects"]}
        gone = {(kind, name): by for kind, name, by in content.get("gone", ())}
        lent = frozenset((kind, name) for kind, name in content.get("lent", ()))
        found = SchemaFile(service.unit, service.kind, content["head"], objects, sql, gone, lent)
        if content["checksum"] != found.checksum:
            raise _unusable(
                service, folder, f"{path} was edited by hand, or the SQL beside it: its checksum is of another text"
            )
    except FileNotFoundError as error:
        raise _unusable(service, folder, f"there is no {error.filename}") from error
    except OSError as error:
        raise _unusable(service, folder, f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(
            service, folder, f"{path} is no schema file: it was edited by hand, or not merged to its end"
        ) from error
    return found


def load_for(folder: Path, service: Service, head: str | None) -> SchemaFile:
    """Like `load`, for a database whose record is at `head`. Raises HistoryError where the file is of another head."""
    found = load(folder, service)
    if found.head != head:
        raise HistoryError(
            f"{folder / service.unit}.json is of {found.head or 'an empty history'}, but the record of the database "
            f"is at {head or 'nothing'}",
            service=service.unit,
            hint="apply what is pending, take the file of that commit, or compare without a file: dataops drift",
        )
    return found


def is_there(folder: Path, service: Service) -> bool:
    """Whether somebody has made schema files of this service."""
    return (folder / f"{service.unit}.json").exists()


def write(folder: Path, file: SchemaFile) -> list[Path]:
    """Write the files, and return those that were changed. Raises CannotWrite.

    Whoever is killed in between leaves files of which one is not what the other's checksum says: they are refused.
    """
    changed = []
    for path, text in file.texts(folder).items():
        if _now(path) != text:
            folder.mkdir(parents=True, exist_ok=True)
            outfile.write(path, text, hint="name a folder that can be written: --folder FOLDER")
            changed.append(path)
        outfile.remove_left_over(path)
    return changed


def difference(folder: Path, file: SchemaFile, root: Path) -> str:
    """How the files have to change to be `file`, as a unified diff with paths below `root`; "" where they are so.

    A file that is missing, or cannot be read as text, is treated as empty.
    """
    return "".join(
        unified(_now(path) or "", text, _below(path, root)) for path, text in sorted(file.texts(folder).items())
    )


def unified(before: str, after: str, name: str) -> str:
    """A unified diff of two texts, as git shows it."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"
    )
    return "".join(lines)


def _below(path: Path, root: Path) -> str:
    path = path.absolute()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _now(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def _unusable(service: Service, folder: Path, what: str) -> ConfigError:
    is_usual = folder.resolve() == (service.top / FOLDER).resolve()
    command = f"dataops schema dump {service.unit}" + ("" if is_usual else f" --folder {folder}")
    return ConfigError(what, service=service.unit, hint=f"make it from the history: {command}")


__all__ = ["FOLDER", "SchemaFile", "difference", "is_there", "load", "load_for", "made", "unified", "write"]
