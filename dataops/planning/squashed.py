"""What a database has to be like for a squashed file: it has nothing of what the file replaces, or all of it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from dataops.errors import EditedAfterApply, OutOfOrder
from dataops.model import Migration, State
from dataops.planning.recovery import refuse_half_done


def check(state: State) -> None:
    """Refuse a database that has a part of what a squashed file replaces, or has it from other code.

    Raises OutOfOrder and EditedAfterApply, and InterruptedStep for a step of those files that is half done.
    """
    for squashed in state.service.migrations:
        if squashed.replaces and state.replaced:
            _check(state, squashed)


def _check(state: State, squashed: Migration) -> None:
    there = {one.id: one for one in state.replaced if one.id in squashed.replaces}
    if squashed.id not in state.applied_ids and there:
        refuse_half_done(state)
        raise _in_the_middle(state, squashed, list(there))
    before = [id_ for id_ in squashed.replaces if id_ != squashed.id]
    gap = _gap(before, there, squashed)
    if gap:
        raise OutOfOrder(
            f"{squashed.id} is applied, but {gap}, which it replaces, is not, while others of those are",
            service=state.service.name,
            migration=squashed.id,
            hint=f"with the files from before the squash, it is told what to do about it: {_old_files(squashed)}",
        )
    for id_, one in there.items():
        noted = squashed.replaces[id_]
        if one.checksum is not None and "" not in noted and one.checksum not in noted:
            raise EditedAfterApply(
                f"{id_} was applied here with other code than the one that is squashed into {squashed.path}",
                service=state.service.name,
                migration=squashed.id,
                hint="the new file may not make what this database has; compare them with the files from before the "
                f"squash: {_old_files(squashed)}",
            )


def _gap(before: list[str], there: Collection[str], squashed: Migration) -> str:
    """A replaced migration that the record lacks, while it has an older one, or a newer one that needs it."""
    return next((id_ for at, id_ in enumerate(before) if id_ not in there and _needed(at, before, there, squashed)), "")


def _needed(at: int, before: list[str], there: Collection[str], squashed: Migration) -> bool:
    """Whether something shows that this one was applied.

    A squashed file among the replaced ones, which has several checksums, may have been run in the place of all before
    it; then nothing before it is there.
    """
    if any(id_ in there for id_ in before[:at]):
        return True
    first = next((id_ for id_ in before[at + 1 :] if id_ in there), None)
    return first is not None and len(squashed.replaces[first]) == 1


def _in_the_middle(state: State, squashed: Migration, there: list[str]) -> OutOfOrder:
    service = state.service.name
    return OutOfOrder(
        f"the database has {len(there)} of the {len(squashed.replaces)} migrations that {squashed.id} replaces, "
        f"up to {there[-1]}: a squashed file is for a database that has none of them, or all",
        service=service,
        migration=squashed.id,
        hint=f"bring it to {squashed.id} with the files from before the squash, those of the release before or from "
        f"git, and then come back to these: {_old_files(squashed)}; there: dataops apply --to {service}/{squashed.id}",
    )


def _old_files(squashed: Migration) -> str:
    """The command that puts the files from before the squash, with the whole project, into a folder beside it."""
    path = shlex.quote(str(squashed.path))
    return f"git worktree add ../before-squash \"$(git log -1 --format=%h -S'replaces = {{' -- {path})~\""


__all__ = ["check"]
