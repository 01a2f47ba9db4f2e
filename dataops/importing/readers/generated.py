"""Folders whose SQL is written by a tool: Prisma and drizzle. Neither has a way back. Pure.

The rules are those of Prisma 2 to 6, and of drizzle-kit 0.20 to 0.31.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from dataops.errors import BrokenFile
from dataops.importing.originals import File, Found, Original
from dataops.importing.parts import broken, part, words
from dataops.toolrecords import Alias


def prisma(files: Sequence[File], folder: Path) -> Found:
    """A folder for each migration, with `migration.sql` in it; a `down.sql` beside it is its way back."""
    found, left_out = [], []
    downs = {file.name.rpartition("/")[0]: file for file in files if file.base == "down.sql"}
    locks = [file for file in files if file.base == "migration_lock.toml"]
    for lock in locks:
        provider = re.search(r'(?m)^\s*provider\s*=\s*"([^"]*)"', lock.text)
        if provider is None or provider[1] not in ("postgresql", "cockroachdb"):
            said = provider[1] if provider else "nothing"
            raise broken(lock, 0, f"its provider is {said}, and not postgresql", "only SQL for PostgreSQL is imported")
    for file in files:
        place, _, base = file.name.rpartition("/")
        name = place.rpartition("/")[2]
        if base == "migration.sql" and name:
            number = re.match(r"\d+", name)
            down = downs.get(place)
            # Prisma takes the checksum of a file with either kind of line ends.
            checksum = "" if b"\r" in file.content else hashlib.sha256(file.content).hexdigest()
            found.append(
                Original(
                    name=file.name,
                    number=number[0] if number else "",
                    words=words(name[number.end() :] if number else name),
                    up=part(file, file.text),
                    down=part(down, down.text) if down else None,
                    recorded=(name,),
                    alias=Alias(name=name, checksum=checksum),
                )
            )
        elif base.endswith(".sql") and base != "down.sql":
            left_out.append(f"{file.name}: it is no migration.sql in a folder of its own")
    found.sort(key=lambda original: original.recorded)
    return Found(tuple(found), tuple(left_out))


def drizzle(files: Sequence[File], folder: Path) -> Found:
    """The files that `meta/_journal.json` names, in its order."""
    journals = [file for file in files if file.name == "_journal.json" or file.name.endswith("/_journal.json")]
    if len(journals) != 1:
        raise BrokenFile(
            f"{folder}: there are {len(journals)} files meta/_journal.json" if journals else
            f"{folder}: there is no meta/_journal.json",
            hint="give the folder `out` of drizzle.config, as drizzle-kit 0.20 to 0.31 writes it; nothing was written",
        )  # fmt: skip
    (journal,) = journals
    try:
        content = json.loads(journal.text)
        entries = [(str(one["tag"]), int(one["when"])) for one in content["entries"]]
        dialect = str(content["dialect"])
    except (ValueError, KeyError, TypeError) as error:
        raise broken(journal, 0, "it is not what drizzle-kit writes", "put back what it has written") from error
    if dialect not in ("postgresql", "pg"):
        raise broken(journal, 0, f"its dialect is {dialect}, and not postgresql", "only PostgreSQL is imported")
    place = journal.name.removesuffix("_journal.json").removesuffix("meta/")
    by_name = {file.name: file for file in files if file.name.endswith(".sql")}
    found = []
    for tag, when in entries:
        file = by_name.pop(f"{place}{tag}.sql", None)
        if file is None:
            raise broken(journal, 0, f"it names {tag}.sql, which is not there", "put the file back")
        number = re.match(r"\d+", tag)
        found.append(
            Original(
                name=file.name,
                number=number[0] if number else "",
                words=words(tag[number.end() :] if number else tag),
                up=part(file, re.sub(r"--> ?statement-breakpoint", ";", file.text)),
                recorded=(str(when),),
                alias=Alias(name=str(when), checksum=hashlib.sha256(file.content).hexdigest()),
            )
        )
    left_out = [f"{name}: meta/_journal.json does not name it" for name in by_name]
    return Found(tuple(found), tuple(left_out))


__all__ = ["drizzle", "prisma"]
