"""Rules about the history: it is one chain, files say what they are, and no file is edited once it is in the base.

`dataops.files` refuses at the first thing that is wrong. These rules go on and find the next.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataops import source, syntax
from dataops.errors import BrokenFile, DataopsError
from dataops.files import chain, imports
from dataops.files.base import Base
from dataops.files.ids import time_of
from dataops.kinds import ALEMBIC
from dataops.lint.rules import RULES, Finding
from dataops.model import Migration, Service
from dataops.redaction import redact
from dataops.text import near

LIBRARIES = {"alembic", "sqlalchemy", "pymongo", "bson", "dataops"}
"""What a migration may import beside Python's own library."""

LONGEST_ID = 32
"""`version_num` in Alembic's table is a VARCHAR(32)."""

REFUSED_IN_IDS = "@-+:"
"""Alembic reads relative revisions (`a+1`), branch labels (`a@head`) and ranges (`a:b`) from these characters."""


@dataclass(frozen=True)
class Read:
    """The files of a service: those that could be read as migrations, and a finding for each that could not."""

    service: Service
    migrations: tuple[Migration, ...]
    broken: tuple[Finding, ...]
    texts: dict[Path, bytes]


def read(service: Service) -> Read:
    """Read every file, even if others are broken. Raises ConfigError if the folder is missing."""
    migrations: list[Migration] = []
    broken: list[Finding] = []
    texts: dict[Path, bytes] = {}
    for path in chain.paths(service.name, service.kind, service.folder, service.alembic):
        try:
            texts[path] = path.read_bytes()
            source.parse(texts[path])
            migrations.append(chain.read(service.name, service.kind, path, service.top))
        except source.Unreadable as error:
            broken.append(Finding(RULES["H001"], path, error.line or 1, str(error), service.name))
        except OSError as error:
            message = error.strerror or str(error)
            broken.append(Finding(RULES["H001"], path, 1, message, service.name, "make the file readable"))
        except DataopsError as error:
            rule = RULES["H002"]
            message = re.sub(rf"^{re.escape(str(path))}(:\d+)?: ", "", error.message)
            hint = "" if isinstance(error.__cause__, source.Unreadable) else error.hint
            broken.append(Finding(rule, path, _line_of_identity(texts[path]), message, service.name, hint))
    return Read(service, tuple(migrations), tuple(broken), texts)


def one_chain(read: Read) -> Iterator[Finding]:
    """Check that there is one base, one head and one child each, and that ids are in the order of their times."""
    by_id: dict[str, Migration] = {}
    for migration in read.migrations:
        other = by_id.setdefault(migration.id, migration)
        if other is not migration:
            yield _at_identity(read, "H003", migration, f"{other.path.name} has the id {migration.id} too")
    for migration in by_id.values():
        for name in migration.needs:
            meant = chain.named(name, by_id)
            if not meant and not _may_be_broken(name, read):
                yield _at_identity(read, "H005", migration, f"{name}, which depends_on names, does not exist")
        for id_ in migration.parents:
            parent = by_id.get(id_)
            if parent is None and not _may_be_broken(id_, read):
                into = chain.squashed_into(id_, by_id)
                hint = near(id_, [other for other in by_id if other != migration.id])
                hint = f"dataops rebase {read.service.name}" if into else hint
                why = f"is squashed into {by_id[into].path.name}" if into else "does not exist"
                yield _at_identity(read, "H005", migration, f"its parent {id_} {why}", hint)
            times = time_of(migration.id), time_of(id_)
            if parent is not None and all(times) and times[0] < times[1]:
                yield _at_identity(read, "H008", migration, f"{migration.id} is older than its parent {id_}")
    for parent_id, born in chain.partings(by_id):
        for migration in sorted(born, key=lambda m: (time_of(m.id) or "~", m.id))[1:]:
            others = ", ".join(sorted(m.path.name for m in born if m is not migration))
            message = (
                f"{others} comes after {parent_id} too" if parent_id else f"{others} says too that it is the first"
            )
            yield _at_identity(read, "H006", migration, message, f"dataops rebase {read.service.name}")
    yield from _circles(read, by_id)


def each(read: Read) -> Iterator[Finding]:
    """Check what each file has to say about itself, and what it imports."""
    for migration in read.migrations:
        tree = source.parse(migration.text)
        first = tree.body[0].lineno if tree.body else 1
        if not migration.facts.title:
            yield Finding(RULES["H009"], migration.path, first, "it has no title", read.service.name)
        known = source.constants(tree)
        reason = known.get("irreversible_because")
        declared = known.get("reversible") is False and isinstance(reason, str) and reason.strip()
        if not migration.facts.reversible and not declared:
            line = _line_of(tree, "reversible", "downgrade", "upgrade")
            message = f"{migration.facts.irreversible_because}, and it does not say why"
            yield Finding(RULES["H010"], migration.path, line, message, read.service.name)
        yield from _template(read, migration, tree)
        if read.service.kind.format is ALEMBIC:
            if len(migration.id) > LONGEST_ID:
                message = f"{migration.id} has {len(migration.id)} characters: the record has room for {LONGEST_ID}"
                yield _at_identity(read, "H016", migration, message)
            if refused := sorted({*migration.id} & {*REFUSED_IN_IDS}):
                yield _at_identity(read, "H017", migration, f"{migration.id} has {' '.join(refused)} in it")
        for pinned in migration.pinned:
            if pinned.digest is None:
                message = f"depends names {redact(pinned.name)}, and there is no such file in {read.service.top}"
                yield Finding(RULES["H018"], migration.path, _line_of(tree, "depends"), message, read.service.name)
        sure = imports.pinned_modules(read.service, migration)
        for line, module, _ in source.imports(tree):
            if module.partition(".")[0] not in LIBRARIES | sys.stdlib_module_names and module not in sure:
                message = f"it imports {redact(module)}: the migration changes when that does"
                yield Finding(RULES["H011"], migration.path, line, message, read.service.name)


def _template(read: Read, migration: Migration, tree: ast.Module) -> Iterator[Finding]:
    """Find what nobody has written yet. A merge revision does nothing, and a file may say that it is meant to."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    both = [functions[name] for name in ("upgrade", "downgrade") if name in functions]
    if len(both) == 2 and all(_does_nothing(function) for function in both):
        if len(migration.parents) < 2 and not {"reversible", "repeatable"} & {*_promised(tree)}:
            message = "upgrade() and downgrade() do nothing, and the file does not say that this is meant"
            yield Finding(RULES["H015"], migration.path, both[0].lineno, message, read.service.name)
        return
    for function in both:
        if any(_is_empty_execute(node) for node in function.body) and _does_nothing(function):
            message = f"{function.name}() is still what dataops new has written"
            yield Finding(RULES["H015"], migration.path, function.lineno, message, read.service.name)


def _promised(tree: ast.Module) -> Iterator[str]:
    """The names that a file gives True, or False with its reason. `repeatable = False` stands in the template."""
    known = source.constants(tree)
    yield from (name for name in known if known[name] is True or (name == "reversible" and known[name] is False))


def _does_nothing(function: ast.FunctionDef) -> bool:
    return all(isinstance(node, ast.Pass) or _is_text(node) or _is_empty_execute(node) for node in function.body)


def _is_empty_execute(node: ast.stmt) -> bool:
    """Whether it is the `op.execute("")` of the template."""
    match node:
        case ast.Expr(value=ast.Call(func=ast.Attribute(attr="execute"), args=[ast.Constant(value=str(text))])):
            return not text.strip()
        case _:
            return False


def _circles(read: Read, by_id: dict[str, Migration]) -> Iterator[Finding]:
    seen: set[str] = set()
    for start in by_id.values():
        trail: list[str] = []
        here: Migration | None = start
        while here is not None and here.id not in seen and here.id not in trail:
            trail.append(here.id)
            here = next((by_id[one] for one in here.parents if one in by_id), None)
        if here is not None and here.id in trail:
            circle = trail[trail.index(here.id) :]
            message = f"{' comes after '.join([*circle, circle[0]])}"
            yield _at_identity(read, "H007", by_id[max(circle)], message)
        seen.update(trail)


def _may_be_broken(parent: str, read: Read) -> bool:
    """Whether it may be one of the files that could not be read. Those have a finding already."""
    return any(
        parent == finding.path.stem or parent.encode() in read.texts.get(finding.path, parent.encode())
        for finding in read.broken
    )


def _at_identity(read: Read, code: str, migration: Migration, message: str, hint: str = "") -> Finding:
    line = _line_of_identity(migration.text, of_id=code in ("H003", "H016", "H017"))
    return Finding(RULES[code], migration.path, line, message, read.service.name, hint)


def _line_of_identity(text: bytes, *, of_id: bool = False) -> int:
    ids, parents = ["revision", "name"], ["down_revision", "dependencies"]
    return _line_of(source.parse(text), *(ids + parents if of_id else parents + ids))


def _line_of(tree: ast.Module, *names: str) -> int:
    """The line where a name gets its value: the first of these names that the file has."""
    for name in names:
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if getattr(node, "name", "") == name or any(isinstance(t, ast.Name) and t.id == name for t in targets):
                return node.lineno
    return 1


# ---- compared with the base


@dataclass(frozen=True)
class Compared:
    """What the base makes of our files: findings, and the files whose code is the same in the base."""

    findings: tuple[Finding, ...] = ()
    unchanged: frozenset[Path] = frozenset()


def against(read: Read, base: Base) -> Compared:
    """Find files that were edited or removed, and files of ours whose parent has another child in the base."""
    service = read.service
    stood, news = (base.migrations(service, newest=newest) for newest in (False, True))
    unchanged = {
        migration.path
        for migration in read.migrations
        for old in (stood.get(migration.id), news.get(migration.id))
        if old is not None and _same(old, migration)
    }
    return Compared(tuple(_differences(read, base, stood, news)), frozenset(unchanged))


def _differences(
    read: Read, base: Base, stood: Mapping[str, Migration], news: Mapping[str, Migration]
) -> Iterator[Finding]:
    service = read.service
    ours = {migration.id: migration for migration in read.migrations}
    broken = {finding.path.name for finding in read.broken}
    squashed = {id_: checksums for migration in read.migrations for id_, checksums in migration.replaces.items()}
    for id_, old in stood.items():
        now = ours.get(id_)
        if _is_one_of(old, squashed.get(id_, ())):
            continue
        if now is not None and not _same(old, now):
            line = _first_difference(old.text, now.text)
            helpers = {one.name for one in now.pinned} & {one.name for one in {*old.pinned} ^ {*now.pinned}}
            what = f"{', '.join(map(redact, sorted(helpers)))}, which it depends on," if helpers else "its code"
            message = f"{what} is not what {base.revision} has: {id_} may be applied already"
            yield Finding(RULES["H012"], now.path, line, message, service.name)
        elif now is None and old.path.name not in broken:
            message = f"{id_} is in {base.revision}: {old.path.name} was removed or renamed"
            yield Finding(RULES["H013"], old.path, 1, message, service.name)
    for new in news.values():
        if new.id in stood or new.id in ours:
            continue
        for migration in ours.values():
            if migration.parents == new.parents and migration.id not in stood and migration.id not in news:
                message = (
                    f"{base.revision} has got {new.id} after {new.parent} meanwhile: two heads once both are there"
                )
                hint = f"git merge {base.revision}, then: dataops rebase {service.name} --base {base.revision}"
                yield _at_identity(read, "H014", migration, message, hint)


def _is_one_of(old: Migration, checksums: Collection[str]) -> bool:
    """Whether it is the migration that a squashed file says it has replaced."""
    try:
        return bool(checksums) and old.checksum in checksums
    except BrokenFile:  # nested too deeply
        return False


def _same(old: Migration, new: Migration) -> bool:
    try:
        return old.raw_checksum == new.raw_checksum or old.checksum == new.checksum
    except BrokenFile:  # nested too deeply
        return False


def _first_difference(old: bytes, new: bytes) -> int:
    try:
        return _deepest(syntax.tree_of(old), syntax.tree_of(new))
    except RecursionError:
        return 1


def _deepest(before: ast.AST, after: ast.AST) -> int:
    """The line of the innermost statement that differs. Comments and docstrings do not count."""
    line = int(getattr(after, "lineno", 1))
    old, new = ([one for one in getattr(node, "body", ()) if not _is_text(one)] for node in (before, after))
    for one, other in zip(old, new, strict=False):
        if ast.dump(one) != ast.dump(other):
            return _deepest(one, other)
    return int(new[len(old)].lineno) if len(new) > len(old) else line


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


__all__ = ["Compared", "Read", "against", "each", "one_chain", "read"]
