"""Whether a journal is as it was written: each entry carries its own hash, and the hash of the entry before. Pure.

Whoever changes or deletes an entry without knowing this is found. Two things cannot be found by the hashes alone: that
the newest entries are gone, and that somebody has computed all hashes again from the changed entry on. For these, the
hash of the newest entry has to be kept outside of the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """What binds an entry of a journal to the one before: the hashes that are stored, and the one that it should have.

    `hash` and `previous` are "" in an entry of a version that wrote none. `computed` is the hash of what the entry says
    now: the SHA-256 of the text `sealed`. `mark`: the entry warns that its step is no single transaction. A step may
    write it more than once at the same time, on several connections.
    """

    seq: int
    run: str
    migration: str
    event: str
    version: str
    mark: bool
    previous: str
    hash: str
    computed: str
    sealed: str = ""


@dataclass(frozen=True)
class Damage:
    """An entry that is not as it was written, or before which something is missing; `what` says which, in words."""

    seq: int
    migration: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """What a journal's hashes say about it.

    `chained` is how many entries have a hash. `earlier` is how many have none and come before those, and `between` are
    the entries without one that come after the first with one: another version has written them. `newest` is the last
    entry with a hash.
    """

    chained: int = 0
    earlier: int = 0
    between: tuple[Link, ...] = ()
    damages: tuple[Damage, ...] = ()
    newest: Link | None = None

    @property
    def words(self) -> str:
        """How many entries there are, and what is to say about those without a hash; one line."""
        parts = [f"{self.chained} {'entry' if self.chained == 1 else 'entries'} with a hash"]
        if self.earlier:
            parts.append(f"{self.earlier} without one before them, as earlier versions wrote them")
        if self.between:
            versions = ", ".join(sorted({link.version for link in self.between}))
            parts.append(f"{len(self.between)} without one after them, by dataops {versions}")
        return ", ".join(parts)


def verify(links: Sequence[Link]) -> Verdict:
    """What the links of one journal, in the order of `seq`, say about it."""
    chained = [link for link in links if link.hash]
    without = [link for link in links if not link.hash]
    first = chained[0].seq if chained else 0
    between = [link for link in without if chained and link.seq > first]
    damages: list[Damage] = []
    known: dict[str, int] = {}  # by hash, as stored and as it should be: which entry
    for at, link in enumerate(chained):
        if link.hash != link.computed:
            damages.append(Damage(link.seq, link.migration, "is changed since it was written"))
        missing = _missing_before(chained, at, known)
        if missing:
            damages.append(Damage(link.seq, link.migration, missing))
        known[link.hash] = known[link.computed] = at
    sealing = {link.version for link in chained}
    damages += [
        Damage(link.seq, link.migration, f"has lost its hash: dataops {link.version} writes one")
        for link in between
        if link.version in sealing
    ]
    return Verdict(
        len(chained),
        len(without) - len(between),
        tuple(link for link in between if link.version not in sealing),
        tuple(sorted(damages, key=lambda damage: damage.seq)),
        chained[-1] if chained else None,
    )


def _missing_before(chained: Sequence[Link], at: int, known: dict[str, int]) -> str:
    """What is missing between an entry and those before it, in words; "" when nothing is."""
    link, before = chained[at], chained[at - 1] if at else None
    where = f"between {before.seq} and {link.seq}" if before else f"before {link.seq}"
    if not link.previous:
        return "" if before is None else f"does not say which entry came before it: it is changed, or not ours {where}"
    if link.previous not in known:
        return f"comes after an entry that is gone or was replaced, {where}"
    # Two connections of one step do not see each other's marks, and the next entry names only one of them
    skipped = chained[known[link.previous] + 1 : at]
    if all(one.mark for one in skipped):
        return ""
    return f"comes after {chained[known[link.previous]].seq}, and so cannot be where it is: it was moved or put in"


__all__ = ["Damage", "Link", "Verdict", "verify"]
