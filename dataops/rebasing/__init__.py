"""`dataops rebase`: of two heads, the one that is not on the base branch comes after the other.

Only the first file of that head gets another parent. Where its id begins with a time or a number that is not after its
parent's, it gets a newer one, and so do the files on top of it that need one; whatever names them follows.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from dataops import source
from dataops.errors import Blocked, CannotWrite, HistoryError
from dataops.files import aliases, chain, ids
from dataops.files.base import Base
from dataops.model import Migration, Service, State, broken
from dataops.rebasing.rewriting import renamed, with_parents
from dataops.text import counted


@dataclass(frozen=True)
class Moved:
    """A file that changes: as it is, and as it will be."""

    before: Migration
    after: Migration

    @property
    def parents_change(self) -> bool:
        """Whether it is the first of its head, and so comes after another migration now."""
        return self.before.parents != self.after.parents


@dataclass(frozen=True)
class Rebase:
    """What to write. `branch` are the ids of the head that moves, and `onto` is the migration that it comes after.

    `service` has the history as it will be, with the ids that the files have now. `heads_left` counts the heads that
    there will be: one, if there are two now. `adopt_toml` is its new text, None where it stays as it is.
    """

    service: Service
    base: str
    onto: Migration
    fork: str | None
    branch: frozenset[str]
    moved: tuple[Moved, ...]
    beside: Mapping[Path, Path]
    heads_left: int
    adopt_toml: bytes | None = None


def prepare(service: Service, found: Mapping[str, Migration], base: Base, now: datetime) -> Rebase:
    """What `found`, which has several heads, needs to have one less. Raises HistoryError where the base cannot say."""
    heads = chain.heads_of(found)
    on_base = {id_ for id_ in base.migrations(service, newest=True) if id_ in found}
    before = {head: chain.up_to(found, head) for head in heads}
    stay = [head for head in heads if on_base <= before[head]]
    if len(stay) != 1 or not on_base:
        raise _undecided(service, found, base.revision, stay)
    (onto,) = stay
    mover = min((head for head in heads if head != onto), key=lambda head: (ids.time_of(head) or "~", head))
    branch = before[mover] - before[onto]
    roots = {id_: found[id_] for id_ in branch if not branch & {*found[id_].parents}}
    fork = next((parent for root in roots.values() for parent in root.parents), None)
    parents = dict.fromkeys(roots, (onto,))
    # Only these two heads: a third one may be left for the next time.
    both = {id_: found[id_] for id_ in before[mover] | before[onto]}
    both |= {id_: replace(root, parents=(onto,)) for id_, root in roots.items()}
    history = replace(service, migrations=chain.joined(service.name, both))
    names = _new_names(history, branch, now)
    for old, new in names.items():
        if new in found and new not in names:
            raise HistoryError(
                f"{old} would have to be called {new}, which exists", service=service.name, hint="rename it by hand"
            )
    words = {**names, **{found[old].path.stem: _path(found[old], names).stem for old in names}}
    moved = tuple(
        _moved(service, found[id_], parents.get(id_, found[id_].parents), names, words)
        for id_ in found
        if id_ in roots
        or id_ in names
        or (id_ not in before[onto] and {*found[id_].parents, *found[id_].needs} & {*names})
    )
    adopt_toml = service.folder / aliases.ADOPT_FILE
    text = adopt_toml.read_bytes() if names and adopt_toml.is_file() else b""
    return Rebase(
        history,
        base.revision,
        found[onto],
        fork,
        frozenset(branch),
        moved,
        {old: new for one in moved for old, new in _beside(one)},
        len(heads) - 1,
        renamed(text, names) if renamed(text, names) != text else None,
    )


def _undecided(service: Service, found: Mapping[str, Migration], base: str, stay: list[str]) -> HistoryError:
    names = " and ".join(sorted(found[head].path.name for head in chain.heads_of(found)))
    if len(stay) > 1:
        why, hint = f"none of {names} is on {base}", "name the branch that has one of them: --base BRANCH"
    elif stay:
        why, hint = f"{base} has no migration of this service", "name the branch that has one of them: --base BRANCH"
    else:
        why = f"{names} are on {base} both"
        hint = "name the branch that has only one of them, such as the one before the merge: --base 'HEAD^1'"
    return HistoryError(why, service=service.name, hint=hint)


def _new_names(history: Service, branch: frozenset[str] | set[str], now: datetime) -> dict[str, str]:
    """The new ids of the files that need one: each has to be after its parents."""
    names: dict[str, str] = {}
    for migration in history.migrations:
        if migration.id in branch:
            new = migration.id
            for parent in migration.parents:
                new = ids.after(new, names.get(parent, parent), now)
            if new != migration.id:
                names[migration.id] = new
    return names


def _moved(
    service: Service, migration: Migration, parents: tuple[str, ...], names: Mapping[str, str], words: Mapping[str, str]
) -> Moved:
    written, text = service.kind.format, migration.text
    try:
        if parents != migration.parents:
            text = with_parents(text, written.parent_variable, migration.parents, parents)
    except source.Unreadable as error:
        raise broken(migration.path, error, service.name) from error
    after = chain.made(service.name, service.kind, _path(migration, names), renamed(text, words), service.top)
    expected = tuple(names.get(parent, parent) for parent in parents)
    if (after.id, after.parents) != (names.get(migration.id, migration.id), expected):
        raise HistoryError(
            f"{migration.path}: its parent cannot be changed by itself", service=service.name,
            hint=f"write it by hand: {written.parent_variable} = {expected[0]!r}; nothing was written",
        )  # fmt: skip
    if after.path != migration.path and after.path.exists():
        raise HistoryError(f"{after.path} exists already", service=service.name, hint="nothing was written")
    return Moved(migration, after)


def _path(migration: Migration, names: Mapping[str, str]) -> Path:
    id_, stem = migration.id, migration.path.stem
    if id_ not in names:
        return migration.path
    own = names[id_] + stem.removeprefix(id_) if stem.startswith(id_) else stem
    return migration.path.with_name(f"{own}.py")


def _beside(moved: Moved) -> list[tuple[Path, Path]]:
    """Files and folders of the same name, such as the SQL that a migration reads, which get the new name too."""
    old, new = moved.before.path, moved.after.path
    if old == new:
        return []
    with os.scandir(old.parent) as entries:
        names = [entry.name for entry in entries]
    mine = [name for name in names if name != old.name and (name == old.stem or name.startswith(f"{old.stem}."))]
    return [(old.with_name(name), new.with_name(new.stem + name.removeprefix(old.stem))) for name in sorted(mine)]


def refuse_applied(found: Rebase, state: State) -> None:
    """Raise Blocked where a database has some of the files that would move, or has begun one."""
    known = {applied.id for applied in state.applied} | {*state.unknown}
    known |= {id_ for id_, applied in state.claims.items() if applied}
    if state.last is not None and state.last.is_open:
        known.add(state.last.migration)
    applied = [migration.id for migration in found.service.migrations if migration.id in known & found.branch]
    if not applied:
        return
    name, back = found.service.name, found.fork or "base"
    more = f" and {counted(len(applied) - 1, 'migration')} on top of it" if len(applied) > 1 else ""
    raise Blocked(
        f"{applied[0]}{more} applied in {state.identity.address}: what is applied cannot get another parent",
        service=name,
        migration=applied[0],
        hint="roll it back first, in a checkout that does not have the base's files yet (git switch --detach, to the "
        f"commit before the merge): dataops rollback --service {name} --to {back}"
        + ("; or let Alembic join the two heads: alembic merge heads" if found.service.kind.transactional else ""),
    )


def not_here(service: Service, found: Mapping[str, Migration], base: Base) -> list[str]:
    """The migrations that the base has got since this branch parted from it, and that are not in this checkout."""
    stood = base.migrations(service, newest=False)
    return [id_ for id_ in base.migrations(service, newest=True) if id_ not in found and id_ not in stood]


def carry_out(found: Rebase) -> None:
    """Write the files. Raises CannotWrite; then nothing was changed."""
    texts = {one.after.path: one.after.text for one in found.moved}
    if found.adopt_toml is not None:
        texts[found.service.folder / aliases.ADOPT_FILE] = found.adopt_toml
    like = {one.after.path: one.before.path for one in found.moved}
    made: list[tuple[str, Path]] = []
    try:
        for path, text in texts.items():
            descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            made.append((beside, path))
            with open(descriptor, "wb") as file:
                file.write(text)
            shutil.copymode(like.get(path, path), beside)
    except OSError as error:
        for beside, _ in made:
            with suppress(OSError):
                os.unlink(beside)
        where = error.filename2 or error.filename
        raise CannotWrite(
            f"{Path(where).parent if where else found.service.folder}: {error.strerror}",
            service=found.service.name,
            hint="make the folder writable; nothing was written",
        ) from error
    for beside, path in made:
        os.replace(beside, path)
    for one in found.moved:
        if one.before.path != one.after.path:
            one.before.path.unlink()
    for old, new in found.beside.items():
        old.rename(new)


__all__ = ["Moved", "Rebase", "carry_out", "not_here", "prepare", "refuse_applied"]
