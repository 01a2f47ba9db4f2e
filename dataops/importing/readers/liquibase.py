"""Liquibase's formatted SQL: each change set is a migration. Pure. The rules are those of Liquibase 4."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataops.importing.originals import File, Found, Original
from dataops.importing.parts import broken, part, words
from dataops.splitting import lines_of
from dataops.toolrecords import Alias

_FIRST = re.compile(r"\s*--\s*liquibase\s+formatted\s+sql\b", re.IGNORECASE)
_MARK = re.compile(r"(?is)\s*--\s*(changeset|rollback|precondition\S*|property|include\w*|ignorelines\S*)\b(.*)")
_CHANGE_SET = re.compile(r"""\s*("[^"]*"|[^\s:"]+):("[^"]*"|[^\s"]+)(.*)""", re.DOTALL)
_PLACEHOLDER = re.compile(r"\$\{[^}\r\n]*\}")
_LONG_ROLLBACK = re.compile(r"(?is)/\*\s*liquibase\s+rollback\s*(.*?)\*/")
_NOTHING = ("empty", "not required")


@dataclass
class _ChangeSet:
    file: File
    line: int
    author: str
    id: str
    attributes: dict[str, str]
    up: str = ""
    down: str = ""
    unfinished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def liquibase_sql(files: Sequence[File], folder: Path) -> Found:
    """The change sets of all files, in the order of the change log, or else of the files' names."""
    sets: list[_ChangeSet] = []
    left_out = []
    logs = [file for file in files if not file.name.endswith(".sql") and "databaseChangeLog" in file.text]
    included = _included(logs, files)
    for file in included or [file for file in files if file.name.endswith(".sql")]:
        if _FIRST.match(file.text):
            sets += _change_sets(file)
        else:
            left_out.append(f"{file.name}: it does not begin with --liquibase formatted sql")
    times = Counter(one.id for one in sets)
    found: list[Original] = []
    for one in sets:
        if "dbms" in one.attributes and "postgresql" not in one.attributes["dbms"].split(","):
            left_out.append(f"{one.file.name}, {one.author}:{one.id}: it is for {one.attributes['dbms']}")
            continue
        found.append(_original(one, len(found) + 1, unique=times[one.id] == 1))
    if included:
        left_out += [
            f"{file.name}: no change log includes it"
            for file in files
            if file.name.endswith(".sql") and file not in included
        ]
        return Found(tuple(found), tuple(left_out))
    order = ("the change sets are in the order of the names of their files; is that the order of your change log?",)
    return Found(tuple(found), tuple(left_out), order if len({one.file.name for one in sets}) > 1 else ())


def _included(logs: Sequence[File], files: Sequence[File]) -> list[File]:
    """The SQL files in the order in which the change logs include them, whatever the logs are written in.

    Raises BrokenFile for a change log with change sets of its own, and for one that includes what is not there.
    """
    found: dict[str, File] = {}

    def walk(log: File, trail: tuple[str, ...]) -> None:
        text = re.sub(r"(?s)<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), log.text)
        text = re.sub(r"(?m)^\s*#.*", "", text) if log.name.endswith((".yaml", ".yml")) else text
        if own := _CHANGE_SET_ELSEWHERE.search(text):
            line = 1 + text.count("\n", 0, own.start())
            raise broken(
                log,
                line,
                "its change sets are not formatted SQL, and are not read",
                "give a folder in which they are formatted SQL; or write one migration of what pg_dump --schema-only "
                "prints, and dataops baseline says which databases have it",
            )
        for include in _INCLUDE.finditer(text):
            line = 1 + text.count("\n", 0, include.start())
            for file in _meant(include[2], files, all_of=bool(include[1])):
                if file.name not in trail and file in logs:
                    walk(file, (*trail, file.name))
                else:
                    found.setdefault(file.name, file)
            if not _meant(include[2], files, all_of=bool(include[1])):
                raise broken(
                    log, line, f"it includes {include[2]}, which is not here", "give the folder of all of them"
                )

    included = {file.name for log in logs for one in _INCLUDE.finditer(log.text) for file in _meant(one[2], files)}
    for log in logs:
        if log.name not in included:
            walk(log, (log.name,))
    return list(found.values())


def _meant(path: str, files: Sequence[File], *, all_of: bool = False) -> list[File]:
    """The files that an include means: its path begins elsewhere, and ends as that of a file, or of a folder, here."""
    wanted = f"/{path.removeprefix('classpath:').strip('./')}"
    if all_of:
        places = {file: f"/{file.path}".rpartition("/")[0] for file in files}
        return [file for file in files if f"{places[file]}/".endswith(f"{wanted}/") or f"{wanted}/" in f"/{file.name}"]
    return [file for file in files if f"/{file.path}".endswith(wanted)]


_INCLUDE = re.compile(r"""\binclude(All)?\b["']?\s*[:>]?[\s\-{]*?["']?(?:file|path)["']?\s*[:=]\s*["']?([^"'\s,}>]+)""")
_CHANGE_SET_ELSEWHERE = re.compile(r"""<changeSet\b|["']?\bchangeSet["']?\s*:""")


def _change_sets(file: File) -> list[_ChangeSet]:
    found: list[_ChangeSet] = []
    for line, content in lines_of(file.text):
        mark = _MARK.match(content)
        word = mark[1].lower() if mark else ""
        if word == "changeset" and mark:
            named = _CHANGE_SET.match(mark[2])
            if named is None:
                raise broken(file, line, "this changeset has no author:id", "write both")
            attributes = dict(re.findall(r'(\w+):("[^"]*"|\S+)', named[3]))
            found.append(_ChangeSet(file, line, named[1].strip('"'), named[2].strip('"'), attributes))
            # Blank lines keep the numbers of the lines.
            found[-1].up = "\n" * line
        elif word in ("property", "include") or word.startswith("include"):
            raise broken(file, line, f"{word} is not read", "give the folder of the included files, without this line")
        elif not found:
            continue
        elif word == "rollback" and mark:
            if mark[2].strip().lower() not in _NOTHING:
                found[-1].down += mark[2]
            found[-1].up += "\n"
        elif word.startswith("ignorelines"):
            found[-1].unfinished.append(f"line {line} has ignoreLines")
        elif word.startswith("precondition"):
            found[-1].notes.append(f"line {line} has a precondition, which is not asked any more")
            found[-1].up += "\n"
        else:
            found[-1].up += content
    return found


def _original(one: _ChangeSet, number: int, *, unique: bool) -> Original:
    attributes = {key.lower(): value for key, value in one.attributes.items()}
    unfinished = [*one.unfinished]
    unfinished += [
        f"liquibase puts a value in the place of {found}" for found in dict.fromkeys(_PLACEHOLDER.findall(one.up))
    ]
    if attributes.get("enddelimiter", ";") not in (";", '";"'):
        unfinished.append(f"line {one.line} says that its statements end with {attributes['enddelimiter']}")
    notes = [f"it has {key}, which does not count any more" for key in ("context", "labels") if key in attributes]
    notes += [
        f"it has {key}: from now on, a change of it is a new migration"
        for key in ("runonchange", "runalways")
        if attributes.get(key, "").lower() == "true"
    ]
    up, down = one.up, one.down
    for long in _LONG_ROLLBACK.finditer(up):
        down += long[1]
    up = _LONG_ROLLBACK.sub(lambda long: "\n" * long[0].count("\n"), up)
    transaction = attributes.get("runintransaction", "true").lower() != "false"
    full = f"{one.file.name}::{one.id}::{one.author}"
    return Original(
        name=f"{one.file.name}, {one.author}:{one.id}",
        number=f"c{number:04d}",
        words=words(one.id),
        up=part(one.file, up, transaction=transaction, unfinished=unfinished),
        down=part(one.file, down, line=one.line, transaction=transaction) if down.strip() else None,
        recorded=(full, one.id) if unique else (full,),
        # Only the last folders of the path are known here, so that the id alone has to do where it is the only one.
        alias=Alias(name=one.id if unique else full),
        notes=(*one.notes, *notes),
    )


__all__ = ["liquibase_sql"]
