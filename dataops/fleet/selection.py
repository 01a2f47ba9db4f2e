"""Which databases of its fleets a command means: by name or pattern, by label, or a sample. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from dataops.errors import UsageError
from dataops.model import Member, Service
from dataops.model.fleet import database_of, is_member, unit_of
from dataops.redaction import redact
from dataops.text import near


@dataclass(frozen=True)
class Selection:
    """What `--database`, `--label` and `--sample` say, all of which a database has to fit.

    `databases` are names or patterns (`eu-*`), of which one has to fit; those that begin with `!` must not. `labels`
    are those that it has to have. `sample` takes so many of what is left, of each fleet: always the same ones.
    `services` are the whole names (FLEET@DATABASE) that a person has chosen with `--service`: of such a fleet, no other
    database is meant.
    """

    databases: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    sample: int | None = None
    services: frozenset[str] = frozenset()

    @property
    def only_fleets(self) -> bool:
        """Whether databases are chosen, so that services that are no fleet are not meant."""
        return any(not one.startswith("!") for one in self.databases) or bool(self.labels) or self.sample is not None

    def __bool__(self) -> bool:
        return bool(self.databases or self.labels or self.sample is not None)

    def of(self, members: Sequence[Member]) -> list[Member]:
        """The members that are meant, in their order."""
        wanted = [one for one in self.databases if not one.startswith("!")]
        without = [one[1:] for one in self.databases if one.startswith("!")]
        chosen = [one for one in members if one.name in self.services] if self.services else []
        found = [
            one
            for one in chosen or members
            if (not wanted or any(fits(one, pattern) for pattern in wanted))
            and not any(fits(one, pattern) for pattern in without)
            and all(one.labels.get(key) == value for key, value in self.labels.items())
        ]
        if self.sample is None or self.sample >= len(found):
            return found
        drawn = set(sorted((one.name for one in found), key=_lot)[: self.sample])
        return [one for one in found if one.name in drawn]

    def refuse_unused(self, chosen: Sequence[Service], services: Sequence[Service], members: Sequence[Member]) -> None:
        """Raise UsageError where nothing is left of the services, or a part of the selection fits no database.

        `members` are all databases of the fleets: what begins with `!` has to fit one of them, so that nothing is
        changed because of a slip in the name of what should be left alone.
        """
        named = [one.database for one in members]
        for name in sorted(self.services - {one.name for one in chosen}):
            fleet, database = unit_of(name), database_of(name)
            if any(one.name == name for one in members):
                hint = "leave it out there, or leave out these options"
                raise UsageError(f"{redact(name)} does not fit --database, --label and --sample", hint=hint)
            among = [one.database for one in members if one.fleet == fleet]
            unknown = redact(database or repr(database))
            raise UsageError(f"{fleet} has no database {unknown}", hint=near(database, among))
        if not self:
            return
        if not any(service.databases is not None for service in services):
            raise UsageError(
                "none of the chosen services has many databases, so that there is nothing to choose from",
                hint="--database, --label and --sample are for those; see dataops docs fleets",
            )
        for pattern in self.databases:
            bare = pattern.removeprefix("!")
            if not any(fits(one, bare) for one in members):
                left_out = " to leave out" if bare != pattern else ""
                words = f"there is no database {redact(bare or repr(bare))}{left_out}; nothing was done"
                raise UsageError(words, hint=near(bare, named))
        for label in self.labels.items():
            if not any(label in one.labels.items() for one in members):
                known = {f"{key}={value}" for one in members for key, value in one.labels.items()}
                words = f"no database has the label {redact('='.join(label))}; nothing was done"
                raise UsageError(words, hint=near("=".join(label), sorted(known)))
        if not chosen:
            raise UsageError("no database fits the selection; nothing was done", hint="see dataops status")
        for pattern in self.databases:
            if pattern.startswith("!") or any(fits(one.member, pattern) for one in chosen if one.member is not None):
                continue
            raise UsageError(
                f"no database {redact(pattern)} is left by the other parts of the selection; nothing was done",
                hint="see dataops status",
            )


def split(selected: Sequence[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """What `--service` says: the services of dataops.toml, and those names that mean one database of a fleet."""
    return tuple(dict.fromkeys(unit_of(name) for name in selected)), frozenset(
        name for name in selected if is_member(name)
    )


def fits(member: Member, pattern: str) -> bool:
    """Whether a name or pattern means this database, by its own name or as FLEET@DATABASE."""
    return fnmatchcase(member.database, pattern) or fnmatchcase(member.name, pattern)


def _lot(name: str) -> str:
    """A number that has nothing to do with the order of names, and is always the same."""
    return hashlib.sha256(name.encode()).hexdigest()


__all__ = ["Selection", "fits", "split"]
