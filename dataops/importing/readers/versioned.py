"""Folders in which each file name begins with a version: sqlx, dbmate, goose, golang-migrate and node-pg-migrate. Pure.

The rules are those of sqlx 0.8, dbmate 2, goose 3, golang-migrate 4 and node-pg-migrate 8.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dataops.importing.originals import File, Found, Original, Part
from dataops.importing.parts import broken, from_statements, part, refuse_twice, words
from dataops.othertools.match import leading_number
from dataops.splitting import Statement, lines_of
from dataops.splitting import split as split_statements
from dataops.toolrecords import Alias

_NO_NAME = "{}: its name is not one that {} reads"


def sqlx(files: Sequence[File], folder: Path) -> Found:
    """`1_x.sql`, or the pair `1_x.up.sql` and `1_x.down.sql`."""
    ups, downs, left_out = _pairs(files, r"(\d+)_(.+?)(?:\.(up|down))?\.sql", "sqlx")
    found = []
    for version, (file, name) in sorted(ups.items(), key=lambda item: int(item[0])):
        checksum = hashlib.sha384(file.content).hexdigest()
        down = downs.pop(version, None)
        found.append(
            Original(
                name=file.name,
                number=leading_number(file.base),
                words=words(name),
                up=_sqlx_part(file),
                down=_sqlx_part(down[0]) if down else None,
                recorded=(version,),
                alias=Alias(description=name.replace("_", " "), checksum=checksum),
            )
        )
    _refuse_alone(downs)
    return Found(tuple(found), left_out)


def _sqlx_part(file: File) -> Part:
    return part(file, file.text, transaction=not file.text.startswith("-- no-transaction"))


def golang_migrate(files: Sequence[File], folder: Path) -> Found:
    """The pair `1_x.up.sql` and `1_x.down.sql`. It runs each file without a transaction of its own."""
    ups, downs, left_out = _pairs(files, r"(\d+)_(.*)\.(up|down)\.sql", "golang-migrate")
    found = []
    for version, (file, name) in sorted(ups.items(), key=lambda item: int(item[0])):
        down = downs.pop(version, None)
        found.append(
            Original(
                name=file.name,
                number=leading_number(file.base),
                words=words(name),
                up=part(file, file.text),
                down=part(down[0], down[0].text) if down else None,
                recorded=(version,),
            )
        )
    _refuse_alone(downs)
    return Found(tuple(found), left_out)


_DBMATE = re.compile(r"(?m)^--\s*migrate:(up|down)(?:[ \t]+([^\r\n]*))?[ \t]*\r?$")


def dbmate(files: Sequence[File], folder: Path) -> Found:
    """`-- migrate:up` and `-- migrate:down` in one file, each perhaps with `transaction:false`."""
    found, left_out = [], []
    seen: dict[str, File] = {}
    for file in files:
        name = re.fullmatch(r"(\d+)(.*)\.sql", file.base)
        if name is None:
            left_out.append(_NO_NAME.format(file.name, "dbmate"))
            continue
        refuse_twice(seen.get(name[1]), name[1], file)
        seen[name[1]] = file
        blocks = {block[1]: block for block in reversed(list(_DBMATE.finditer(file.text)))}
        if "up" not in blocks:
            raise broken(file, 0, "it has no -- migrate:up", "write that line before its SQL")
        starts = sorted([*(block.start() for block in blocks.values()), len(file.text)])
        if part(file, file.text[: starts[0]]).statements:
            raise broken(file, 1, "it has SQL before -- migrate:up, which dbmate refuses", "move it behind that line")
        parts = {}
        for way, block in blocks.items():
            end = next(start for start in starts if start > block.start())
            parts[way] = part(
                file,
                file.text[block.end() : end],
                line=1 + file.text.count("\n", 0, block.end()),
                transaction="transaction:false" not in (block[2] or "").split(),
            )
        found.append(Original(file.name, name[1], words(name[2]), parts["up"], parts.get("down"), recorded=(name[1],)))
    return Found(tuple(found), tuple(left_out))


def goose(files: Sequence[File], folder: Path) -> Found:
    """`-- +goose Up` and `-- +goose Down` in one file; a migration in Go becomes a draft."""
    found: dict[int, Original] = {}
    seen: dict[str, File] = {}
    left_out = []
    for file in files:
        name = re.fullmatch(r"0*([1-9]\d*)_(.*)\.(sql|go)", file.base)
        if name is None or file.base.endswith("_test.go"):
            left_out.append(_NO_NAME.format(file.name, "goose"))
            continue
        refuse_twice(seen.get(name[1]), name[1], file)
        seen[name[1]] = file
        number = leading_number(file.base)
        up, down = _goose_parts(file) if name[3] == "sql" else (None, None)
        text = "" if up else file.text
        found[int(name[1])] = Original(file.name, number, words(name[2]), up, down, text, recorded=(name[1],))
    return Found(tuple(found[version] for version in sorted(found)), tuple(left_out))


def _goose_parts(file: File) -> tuple[Part, Part | None]:
    way, transaction, unfinished = "", True, []
    parts: dict[str, list[Statement]] = {"": [], "up": [], "down": []}
    text, first, block = "", 1, 0

    def flush(line: int) -> None:
        nonlocal text, first
        if block:
            # The whole block is one statement for goose, whatever semicolons are in it.
            parts[way] += _as_one(file, text, first)
        else:
            parts[way] += _read(file, text, first)
        text, first = "", line + 1

    for line, content in lines_of(file.text):
        mark = re.fullmatch(r"\s*--\s*\+goose\s+(.+?)\s*", content)
        if mark is None:
            text += content
            continue
        flush(line)
        word = mark[1].lower()
        if block and word != "statementend":
            break
        if word in ("up", "down"):
            way = word
        elif word == "statementbegin":
            block = line
        elif word == "statementend":
            block = 0
        elif word == "no transaction":
            transaction = False
        elif word == "envsub on":
            unfinished.append(f"goose puts environment variables into it, from line {line} on (ENVSUB)")
        elif word != "envsub off":
            raise broken(file, line, f"goose has no annotation {mark[1]!r}", "mend that line")
    if block:
        raise broken(file, block, "+goose StatementBegin without a StatementEnd", "write the StatementEnd")
    flush(0)
    if parts[""]:
        raise broken(file, parts[""][0].line, "it has SQL before -- +goose Up", "write that line before its SQL")
    if not parts["up"] and not parts["down"] and "+goose" not in file.text:
        raise broken(file, 0, "it has no -- +goose Up", "write that line before its SQL")
    up = from_statements(file, parts["up"], transaction=transaction, unfinished=unfinished)
    if not parts["down"]:
        return up, None
    return up, from_statements(file, parts["down"], transaction=transaction, unfinished=unfinished)


def _as_one(file: File, text: str, line: int) -> list[Statement]:
    found = _read(file, text, line)
    if len(found) < 2:
        return found
    whole = ";\n".join(one.text for one in found)
    return [Statement(whole, found[0].line, found[0].words, tuple(psql for one in found for psql in one.psql))]


def _read(file: File, text: str, line: int) -> list[Statement]:
    part(file, text, line=line)  # refuses what never ends
    return list(split_statements(text, line))


_NODE_UP = re.compile(r"(?im)^\s*--[\s-]*up\s+migration[^\n]*")
_NODE_DOWN = re.compile(r"(?im)^\s*--[\s-]*down\s+migration[^\n]*")


def node_pg_migrate(files: Sequence[File], folder: Path) -> Found:
    """`-- Up Migration` and `-- Down Migration` in one file; a migration in JavaScript becomes a draft."""
    found, left_out = [], []
    for file in sorted(files, key=lambda file: (_milliseconds(leading_number(file.base)), file.base)):
        name = re.fullmatch(r"(\d*)[_-]*(.*)", file.stem)
        if name is None or file.base.endswith(".d.ts"):
            left_out.append(_NO_NAME.format(file.name, "node-pg-migrate"))
            continue
        up: Part | None = None
        down: Part | None = None
        if file.base.endswith(".sql"):
            up, down = _node_parts(file)
        found.append(
            Original(
                name=file.name,
                number=name[1],
                words=words(name[2]),
                up=up,
                down=down,
                text="" if up else file.text,
                recorded=(file.stem,),
                alias=Alias(name=file.stem),
            )
        )
    return Found(tuple(found), tuple(left_out))


def _node_parts(file: File) -> tuple[Part, Part | None]:
    up, down = _NODE_UP.search(file.text), _NODE_DOWN.search(file.text)
    end = len(file.text)

    def between(mark: re.Match[str] | None, other: re.Match[str] | None) -> tuple[str, int]:
        start = mark.end() if mark else 0
        stop = other.start() if other is not None and other.start() >= start else end
        return file.text[start:stop], 1 + file.text.count("\n", 0, start)

    if up is None:
        first = part(file, file.text)
        if down is not None:
            note = "it has no -- Up Migration, so that all of it is run upwards, as node-pg-migrate does"
            first = replace(first, notes=(*first.notes, note))
    else:
        first = part(file, *between(up, down))
    if down is None:
        return first, None
    return first, part(file, *between(down, up))


def _milliseconds(number: str) -> int:
    """The time that a number in front of a name means: milliseconds since 1970, or 17 digits with year, month, ..."""
    try:
        if len(number) == 17:
            day = datetime.strptime(number[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            return int(day.timestamp()) * 1000 + int(number[14:])
    except ValueError:  # it is only a number
        pass
    return int(number or "0")


def _pairs(
    files: Iterable[File], pattern: str, tool: str
) -> tuple[dict[str, tuple[File, str]], dict[str, tuple[File, str]], tuple[str, ...]]:
    """Files that go up and files that go down, each by its version, with the words of its name; and the others."""
    ups: dict[str, tuple[File, str]] = {}
    downs: dict[str, tuple[File, str]] = {}
    left_out = []
    for file in files:
        name = re.fullmatch(pattern, file.base)
        if name is None:
            left_out.append(_NO_NAME.format(file.name, tool))
            continue
        version = name[1].lstrip("0") or "0"
        where = downs if name[3] == "down" else ups
        refuse_twice(where[version][0] if version in where else None, version, file)
        where[version] = (file, name[2])
    return ups, downs, tuple(left_out)


def _refuse_alone(downs: dict[str, tuple[File, str]]) -> None:
    for file, _ in downs.values():
        raise broken(file, 0, "there is no file that goes up with it", "write it, or take this one away")


__all__ = ["dbmate", "golang_migrate", "goose", "node_pg_migrate", "sqlx"]
