"""A fleet: one service whose history is that of many databases, and the waves in which they are changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from dataops.text import counted

_AT = "@"
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Databases:
    """Where the names of a fleet's databases come from, and how each is reached: `[services.NAME.databases]`.

    Exactly one of `names`, `file`, `like`, `query` and `command` is said. `file` has a name in each line, with labels
    behind it (`acme region=eu`), and `command` prints such lines. `like` is a pattern of SQL's LIKE over the databases
    of the server. `query` is asked in the control database, whose URL is in the variable `control_env`, and then here
    in `control_url`: the first column is the name, and the others are labels. `password_file` and `url_file` are paths
    in which `{database}` or `{LABEL}` stands for that of each database.
    """

    names: tuple[str, ...] = ()
    file: Path | None = None
    like: str = ""
    query: str = ""
    command: tuple[str, ...] = ()
    control_env: str = ""
    control_url: str = field(default="", repr=False)
    password_file: str = ""
    url_file: str = ""

    @property
    def need_no_url(self) -> bool:
        """Whether each database has its URL in a file of its own, and no server has to be asked for their names."""
        return bool(self.url_file) and not self.like


@dataclass(frozen=True)
class Member:
    """One database of a fleet: the name of the fleet's service, its own name, and its labels."""

    fleet: str
    database: str
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The name of its service: FLEET@DATABASE."""
        return f"{self.fleet}{_AT}{self.database}"

    def filled(self, template: str, *, quoted: bool = True, safe: str = "") -> str:
        """The template with this database's name and labels in the places of `{database}` and `{LABEL}`.

        `quoted` escapes them for a URL, but for the characters of `safe`. Raises KeyError for a label that it does not
        have.
        """

        def value(place: re.Match[str]) -> str:
            said = self.database if place[1] == "database" else self.labels[place[1]]
            return quote(said, safe=safe) if quoted else said

        return _PLACE.sub(value, template)


def is_member(name: str) -> bool:
    """Whether this is the name of a service that is one database of a fleet. No other has an @ in it."""
    return _AT in name


def unit_of(name: str) -> str:
    """The fleet to which the service of this name belongs, or its own name."""
    return name.partition(_AT)[0]


def database_of(name: str) -> str:
    """The name of the database, of a fleet; "" for a service that is none."""
    return name.partition(_AT)[2]


def told(names: Iterable[str]) -> str:
    """How a person reads these services: the name of one, else their number, and how many databases of each fleet."""
    names = list(dict.fromkeys(names))
    if len(names) == 1:
        return names[0]
    fleets: dict[str, int] = {}
    for name in names:
        if is_member(name):
            fleets[unit_of(name)] = fleets.get(unit_of(name), 0) + 1
    alone = len(names) - sum(fleets.values())
    parts = [f"{counted(number, 'database')} of {fleet}" for fleet, number in fleets.items()]
    return " and ".join([*parts, *([counted(alone, "service")] if alone or not fleets else [])])


def places_in(template: str) -> tuple[str, ...]:
    """The names in braces of a template: `database`, or those of labels."""
    return tuple(_PLACE.findall(template))


@dataclass(frozen=True)
class Wave:
    """Which databases of a fleet are changed next, and what has to be true before they are.

    One of these says which, of those that no wave before has: `databases` (names or patterns like `eu-*`), `labels`
    (that of a database have to be these), `smallest` (so many, by their size), `share` (a part of the whole fleet, 0
    to 1). None of them means the rest. Before the wave begins, `pause` seconds pass after the one before, `ask` asks
    a person, `check` (a command with its arguments) has to end with 0, and `query`, asked in the control database, has
    to answer true.
    """

    databases: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    smallest: int = 0
    share: float = 0.0
    pause: float = 0.0
    ask: bool = False
    check: tuple[str, ...] = ()
    query: str = ""

    @property
    def is_the_rest(self) -> bool:
        """Whether it takes all that is left."""
        return not (self.databases or self.labels or self.smallest or self.share)

    @property
    def holds(self) -> bool:
        """Whether something has to be true before it begins."""
        return bool(self.pause or self.ask or self.check or self.query)


@dataclass(frozen=True)
class Mark:
    """What a process that shares a rollout has written down for the others, so many `seconds` ago.

    `shard` is its number, and `name` says what: see dataops.fleet.control. `done` is how many databases it has changed.
    """

    shard: int
    name: str
    done: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Rollout:
    """How a fleet is changed: `[services.NAME.rollout]`. After `halt_after` failures no further wave begins.

    `control_env` is the variable with the URL of the database in which processes that share a run keep its waves, and
    `control_url` that URL.
    """

    waves: tuple[Wave, ...] = (Wave(smallest=1), Wave(share=0.1), Wave())
    halt_after: int = 1
    control_env: str = ""
    control_url: str = field(default="", repr=False)


__all__ = ["Databases", "Mark", "Member", "Rollout", "Wave", "places_in", "told"]
