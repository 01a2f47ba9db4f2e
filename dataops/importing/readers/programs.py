"""Migrations that are programs, of which drafts are made: knex, migrate-mongo, TypeORM and Django. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from dataops import syntax
from dataops.importing.originals import File, Found, Original
from dataops.importing.parts import broken, words
from dataops.othertools.match import leading_number
from dataops.toolrecords import Alias


def by_name(files: Sequence[File], folder: Path) -> Found:
    """knex and migrate-mongo: the order is that of the names, and the record has the name of the file."""
    programs = [file for file in files if not file.base.endswith(".d.ts")]
    found = [
        _draft(file, file.stem, Alias(name=file.base), (file.base,)) for file in sorted(programs, key=lambda f: f.base)
    ]
    return Found(tuple(found))


def typeorm(files: Sequence[File], folder: Path) -> Found:
    """The order is that of the times in the names of the classes, which the names of the files begin with."""
    found = [
        _draft(file, file.stem, Alias(), (file.stem, leading_number(file.stem)))
        for file in sorted(files, key=lambda file: (int(leading_number(file.stem) or "0"), file.base))
        if not file.base.endswith(".d.ts") and "MigrationInterface" in file.text
    ]
    rest = {original.name for original in found}
    left_out = [f"{file.name}: no class in it is a MigrationInterface" for file in files if file.name not in rest]
    return Found(tuple(found), tuple(left_out))


def django(files: Sequence[File], folder: Path) -> Found:
    """Every `migrations/NAME.py` of every application, in the order of their dependencies."""
    keys: dict[tuple[str, str], tuple[File, set[tuple[str, str]]]] = {}
    for file in files:
        application = _application(file, folder)
        if application and not file.base.startswith("__"):
            keys[application, file.stem] = (file, _dependencies(file))
    found = []
    left = dict(sorted(keys.items()))
    while left:
        key = next((key for key, (_, needs) in left.items() if not needs & left.keys()), None)
        if key is None:
            file = next(iter(left.values()))[0]
            raise broken(file, 0, "its dependencies go round in a circle", "let one of them depend on less")
        file, _ = left.pop(key)
        application, name = key
        recorded = f"{application}.{name}"
        several = len({application for application, _ in keys}) > 1
        title = f"{application} {name}" if several else name
        note = f"manage.py sqlmigrate {application} {name} prints its SQL"
        found.append(_draft(file, title, Alias(name=recorded), (recorded,), note))
    rest = {original.name for original in found}
    left_out = [f"{file.name}: it is in no folder migrations/" for file in files if file.name not in rest]
    return Found(tuple(found), tuple(one for one in left_out if not one.startswith("__") and "/__" not in one))


def _application(file: File, folder: Path) -> str:
    """The label of a file's application, which is by default the name of the folder around `migrations`."""
    places = [*folder.absolute().parts, *file.name.split("/")[:-1]]
    return places[-2] if len(places) > 1 and places[-1] == "migrations" else ""


def _dependencies(file: File) -> set[tuple[str, str]]:
    """The literal pairs in `dependencies = [...]`."""
    try:
        tree = syntax.tree_of(file.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise broken(file, getattr(error, "lineno", 0) or 0, "it is not Python", "mend the file") from error
    pairs = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(getattr(to, "id", "") == "dependencies" for to in node.targets):
            for one in getattr(node.value, "elts", ()):
                values = [getattr(value, "value", None) for value in getattr(one, "elts", ())]
                if len(values) == 2 and all(isinstance(value, str) for value in values):
                    pairs.add((str(values[0]), str(values[1])))
    return pairs


def _draft(file: File, title: str, alias: Alias, recorded: tuple[str, ...], *notes: str) -> Original:
    number = re.search(r"(?:^|(?<= ))\d+", title)  # for Django, it comes after the application
    return Original(
        name=file.name,
        number=number[0] if number else "",
        words=words(title.replace(number[0], "", 1) if number else title),
        up=None,
        text=file.text,
        recorded=recorded,
        alias=alias,
        notes=notes,
    )


__all__ = ["by_name", "django", "typeorm"]
