"""From what was found to the paragraphs of dataops.toml. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dataops import kinds
from dataops.errors import UsageError
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.othertools import match
from dataops.projects.finding import Found
from dataops.redaction import redact
from dataops.text import counted

OURS = {"alembic": POSTGRESQL, "pymongo-migrate": MONGODB}
"""The tools whose files are our own format."""
IMPORTED_AS = {"liquibase": "liquibase-sql", "node-pg-migrate": "node-pg-migrate-sql"}
"""What `dataops import` calls a tool, where that is another name: it reads only a part of that tool's files."""
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SAY_NOTHING = {
    "alembic", "app", "backend", "database", "db", "drizzle", "js", "migrate", "migration", "migrations", "mongo",
    "mongodb", "out", "pg", "postgres", "postgresql", "prisma", "pymongo", "schema", "server", "sql", "src", "ts",
    "versions",
}  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """One service to write into dataops.toml, and why. `found` is None for a new one.

    With `observed`, the other tool goes on migrating. With `to_import`, files of ours have to be made of that tool's
    files first. With `own_variables`, the URL is in the variables of the tool's own command line. `record` is the name
    of its record where it is not the usual one.
    """

    name: str
    engine: Kind
    folder: Path
    variable: str
    found: Found | None = None
    observed: bool = False
    to_import: bool = False
    own_variables: bool = False
    record: str = ""


def propose(
    found: Sequence[Found], new: Sequence[tuple[str, Kind]], top: Path, environ: Mapping[str, str]
) -> tuple[Proposal, ...]:
    """A service for each of what was found and has no problem, and for each new one, with names that differ.

    Of `environ`, only the variables of the tools' own command lines count, where it is clear which service they mean.
    """
    taken = [name for name, _ in new]
    made = []
    for one in found:
        if not one.problem:
            name = _name(one, top, taken)
            taken.append(name)
            made.append(_existing(name, one, top))
    made += [Proposal(name, engine, new_folder(name, found, top), "") for name, engine in new]
    return tuple(_with_variables(_by_own_variables(made, environ)))


def _by_own_variables(made: Sequence[Proposal], environ: Mapping[str, str]) -> list[Proposal]:
    changed = []
    for one in made:
        tool = one.engine.format.variables if one.found is not None and not one.observed and not one.to_import else ""
        if tool and f"{tool}_URI" in environ and [other.engine for other in made].count(one.engine) == 1:
            named = environ.get(f"{tool}_COLLECTION", "")
            record = "" if named == one.engine.record else named
            one = replace(one, variable=f"{tool}_URI", own_variables=True, record=record)
        changed.append(one)
    return changed


def check_names(new: Iterable[tuple[str, Kind]]) -> None:
    """Raise UsageError for a name that cannot be that of a service, and for one that is given twice."""
    seen: set[str] = set()
    for name, _ in new:
        if not IDENTIFIER.fullmatch(name):
            raise UsageError(
                f"{redact(repr(name))} cannot be the name of a service",
                hint="a letter first, then letters, digits, - and _",
            )
        if name.lower() in seen:
            raise UsageError(
                f"two services would have the name {name}, and the same folder", hint="give each a name of its own"
            )
        seen.add(name.lower())


def new_folder(name: str, found: Iterable[Found], top: Path) -> Path:
    """Where the files of a new service go: never into the folder of another tool."""
    shared = top / "migrations"
    in_the_way = any(one.folder == shared or shared in one.folder.parents for one in found)
    return top / f"{name}_migrations" if in_the_way else shared / name


def _existing(name: str, one: Found, top: Path) -> Proposal:
    if one.tool in OURS:
        return Proposal(name, one.engine, one.folder, one.variable, one)
    if one.engine in match.TOOLS.get(one.tool, ()):
        return Proposal(name, one.engine, one.folder, one.variable, one, observed=True)
    return Proposal(name, one.engine, new_folder(name, [one], top), one.variable, one, to_import=True)


def _name(one: Found, top: Path, taken: Collection[str]) -> str:
    """By the section of alembic.ini, or the nearest folder whose name says something, or the project's own."""
    words = [one.section] if one.section not in ("", "alembic") and " and " not in one.section else []
    place = one.folder
    while place not in (top, place.parent):
        words.append(place.name)
        place = place.parent
    told = (re.sub(r"[^A-Za-z0-9_-]+", "-", word).strip("-_").lower() for word in (*words, top.name))
    plain = (re.sub(r"[-_]?migrations?$", "", word) for word in told)
    name = next((word for word in plain if word not in ("", *_SAY_NOTHING)), "main")
    name = name if IDENTIFIER.fullmatch(name) else f"db-{name}"
    if name in taken:
        name = f"{name}-{'docs' if one.engine is MONGODB else 'sql'}"
    number = 2
    while name in taken:
        name, number = f"{name.rstrip('-0123456789')}-{number}", number + 1
    return name


def _with_variables(made: Sequence[Proposal]) -> list[Proposal]:
    """Each has a variable of its own. One that two would share is taken for neither."""
    guessed = [one.variable for one in made]
    return [
        one if one.variable and guessed.count(one.variable) == 1 else replace(one, variable=default_variable(one))
        for one in made
    ]


def default_variable(one: Proposal) -> str:
    """The variable of a service whose project names none: `SHOP_PG_CON`, `DOCS_MONGODB_CON`."""
    own = re.sub(r"\W", "_", one.name).upper()
    return f"{own}_{one.engine.name.upper()}_CON" if one.engine.url_in_parts else f"{own}_{one.engine.url_variable}"


# --- what is said, and what is written


def seen(one: Found, top: Path) -> str:
    """One line about what was found."""
    files = f", {counted(one.files, 'migration')}" if one.files else ""
    told = f" ({shown(one.told_by, top)}{f', [{one.section}]' if one.section else ''})" if one.told_by else ""
    problem = f": not taken: {one.problem}" if one.problem else ""
    return f"{shown(one.folder, top)}: {one.tool}{files}{told}{problem}"


def shown(path: Path, top: Path) -> str:
    """A path as dataops.toml has it, relative to that file."""
    return Path(os.path.relpath(path, top)).as_posix()


def text_of(proposals: Sequence[Proposal], top: Path) -> str:
    """The content of dataops.toml."""
    return (
        "# Which databases there are. Each URL is in the environment variable that url_env names, or in the file that\n"
        "# the variable with _FILE at its end names. All keys: dataops docs configuration.\n"
        + "".join("\n" + "\n".join(_paragraph(one, top)) + "\n" for one in proposals)
    )


def _paragraph(one: Proposal, top: Path) -> list[str]:
    tool = one.found.tool if one.found else ""
    place = _quoted(shown(one.found.folder if one.found else one.folder, top))
    lines = [f"[services.{one.name}]"]
    if one.observed:
        lines.append(f"observe = {_quoted(tool)} # {tool} migrates it, from {place[1:-1]}; status and wait look at it")
        if match.TOOLS[tool][0] is not one.engine:
            lines.append(f"engine = {_quoted(one.engine.name)}")
    else:
        lines.append(f"engine = {_quoted(one.engine.name)}")
        lines.append(f"folder = {_quoted(shown(one.folder, top))}{_about_folder(one)}")
    if one.own_variables:
        lines.append(f"# its URL is in {one.variable}, which {tool} reads too; url_env would name another variable")
    else:
        lines.append(f"url_env = {_quoted(one.variable)}")
    if one.found is not None and one.found.database:
        lines.append(f"database = {_quoted(one.found.database)} # where the URL names none")
    if one.record:
        lines.append(f"record = {_quoted(one.record)} # the collection in which {tool} keeps its record")
    if one.observed:
        folder = shown(new_folder(one.name, [one.found] if one.found else [], top), top)
        lines += [
            "# To migrate it with dataops, put these two lines in the place of observe, and then call",
            f"# `{_import(one, place[1:-1])}` and `dataops adopt --service {one.name}`:",
            f"# engine = {_quoted(one.engine.name)}",
            f"# folder = {_quoted(folder)}",
        ]
    return lines


def _import(one: Proposal, place: str) -> str:
    tool = one.found.tool if one.found else ""
    return f"dataops import {one.name} --from {IMPORTED_AS.get(tool, tool)} {place}"


def _about_folder(one: Proposal) -> str:
    if one.to_import and one.found is not None:
        return f" # for files that dataops import makes of those of {one.found.tool}"
    if one.engine.format is kinds.ALEMBIC:
        return " # with env.py, and the files in its folder versions, or where alembic.ini says"
    return ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def first_commands(proposals: Sequence[Proposal], top: Path) -> list[str]:
    """The next two commands, where nothing is known about the databases."""
    for one in proposals:
        if one.to_import and one.found is not None:
            return [
                _import(one, shown(one.found.folder, top)),
                f"dataops adopt --service {one.name}",
            ]
    return ["dataops status", "dataops wait" if all(one.observed for one in proposals) else "dataops plan"]


def url_shape(one: Proposal) -> str:
    """How the value of the variable looks, and where it is written already."""
    if one.found is not None and one.found.url_in_ini and one.found.told_by is not None:
        return f"{one.engine.url_shape}, as sqlalchemy.url in {one.found.told_by.name} says"
    return one.engine.url_shape


__all__ = [
    "OURS",
    "Proposal",
    "check_names",
    "default_variable",
    "first_commands",
    "new_folder",
    "propose",
    "seen",
    "shown",
    "text_of",
    "url_shape",
]
