"""Puts the sample into the scratch database, with the rows to which others refer, before there is any constraint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import psycopg
from psycopg.rows import tuple_row
from psycopg.sql import SQL, Composable, Identifier, Literal

from dataops.backends import Sampling
from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.rehearsing import sampling
from dataops.backends.postgres.rehearsing.sampling import ForeignKey, Planned
from dataops.errors import Stopped
from dataops.model import Sampled
from dataops.redaction import redact
from dataops.text import counted

_KEYS_AT_ONCE = 1000
_MORE = 5
"""A table gets at most so many times the rows of a sample more, to which others refer."""


def fill(
    source: WatchedConnection, target: WatchedConnection, plan: Sequence[Planned], wanted: Sampling
) -> tuple[Mapping[str, Sampled], list[str]]:
    """Copy the sample. Returns the rows of each table, here and live, and what a person has to know of it."""
    return _Filling(source, target, plan, wanted).run()


class _Filling:
    def __init__(
        self, source: WatchedConnection, target: WatchedConnection, plan: Sequence[Planned], wanted: Sampling
    ) -> None:
        self._source = source
        self._target = target
        self._wanted = wanted
        self._plan = {one.table.oid: one for one in plan}
        self._rows = dict.fromkeys(self._plan, 0)
        self._sampled: dict[int, int] = {}
        self._unread: set[int] = set()
        self._told: list[str] = []

    def run(self) -> tuple[Mapping[str, Sampled], list[str]]:
        for oid, one in self._plan.items():
            self._check_stop()
            if self._is_readable(one):
                self._sampled[oid] = self._copy(one, one.query(self._wanted.rows))
        if self._wanted.rows:
            self._close()
        return {one.table.title: self._size(one) for one in self._plan.values()}, self._told

    def _check_stop(self) -> None:
        if self._wanted.stop():
            raise Stopped("stopped while the sample was read; nothing was changed")

    def _is_readable(self, one: Planned) -> bool:
        table = one.table
        if not self._wanted.rows:
            return False
        if not table.readable:
            self._unread.add(table.oid)
            self._told.append(f"{redact(table.title)} is empty in the rehearsal: this user may not read it")
            return False
        if table.hidden:
            self._told.append(f"{redact(table.title)}: row security hides rows from this user, also from the sample")
        if table.rows is None and one.share < 1:
            self._told.append(f"{redact(table.title)} was never analysed: how many rows it has is estimated")
        return True

    def _copy(self, one: Planned, query: Composable) -> int:
        """Copy the rows of a query, at one stroke. Returns how many there were; 0 where they cannot be read."""
        into = SQL("COPY {} ({}) FROM STDIN").format(Identifier(one.table.schema, one.table.name), one.names)
        try:
            with (
                self._source.transaction(),
                self._target.transaction(),
                self._source.cursor() as out,
                self._target.cursor() as in_,
            ):
                with out.copy(SQL("COPY ({}) TO STDOUT").format(query)) as reading, in_.copy(into) as writing:
                    for block in reading:
                        writing.write(block)
                count = in_.rowcount
        except psycopg.errors.QueryCanceled:
            self._unread.add(one.table.oid)
            self._told.append(f"{redact(one.table.title)}: a sample of it takes too long to read, so rows are missing")
            return 0
        except psycopg.Error as error:
            if self._source.broken or self._target.broken:
                raise
            self._unread.add(one.table.oid)
            self._told.append(f"{redact(one.table.title)}: rows cannot be copied ({told(error)})")
            return 0
        self._rows[one.table.oid] += count
        return count

    def _close(self) -> None:
        """Fetch the rows to which foreign keys refer, until none is missing; cut off those that cannot be had."""
        keys = sampling.foreign_keys(self._source, {oid: one.table for oid, one in self._plan.items()})
        most = _MORE * self._wanted.rows
        fetched = dict.fromkeys(self._plan, 0)
        waiting = list(keys)
        while waiting:
            self._check_stop()
            key = waiting.pop(0)
            other = self._plan[key.other]
            missing = self._missing(key)
            if not missing or key.other in self._unread or fetched[key.other] >= most:
                continue
            got = self._copy(other, self._query_of(key, other, missing))
            fetched[key.other] += got
            if got:
                waiting += [one for one in keys if one not in waiting and (one.table == key.other or one == key)]
        self._take_away(keys)

    def _missing(self, key: ForeignKey) -> list[tuple[str, ...]]:
        columns = SQL(", ").join(SQL("c.{}::text").format(Identifier(name)) for name in key.columns)
        query = SQL("SELECT DISTINCT {} FROM {} c WHERE {} LIMIT {}")
        with self._target.cursor(row_factory=tuple_row) as cursor:
            place = self._plan[key.table].table.place
            return cursor.execute(query.format(columns, place, self._without(key), Literal(_KEYS_AT_ONCE))).fetchall()

    def _without(self, key: ForeignKey) -> Composable:
        """The condition for rows `c` that refer to a row which is not there."""
        pairs = list(zip(key.columns, key.others, strict=True))
        set_ = SQL(" AND ").join(SQL("c.{} IS NOT NULL").format(Identifier(one)) for one, _ in pairs)
        same = SQL(" AND ").join(SQL("o.{} = c.{}").format(Identifier(two), Identifier(one)) for one, two in pairs)
        other = self._plan[key.other].table.place
        return SQL("{} AND NOT EXISTS (SELECT FROM {} o WHERE {})").format(set_, other, same)

    def _query_of(self, key: ForeignKey, other: Planned, missing: Sequence[tuple[str, ...]]) -> Composable:
        names = SQL(", ").join(map(Identifier, key.others))
        values = SQL(", ").join(
            SQL("({})").format(
                SQL(", ").join(
                    SQL("{}::{}").format(Literal(value), SQL(type_))
                    for value, type_ in zip(row, key.types, strict=True)
                )
            )
            for row in missing
        )
        return SQL("SELECT {} FROM {} WHERE ({}) IN ({})").format(other.columns, other.table.place, names, values)

    def _take_away(self, keys: Sequence[ForeignKey]) -> None:
        """Let rows refer to nothing where the row they refer to is not there; leave them out where they have to."""
        gone: dict[int, int] = {}
        cut: dict[tuple[int, str], int] = {}
        again = True
        while again:
            again = False
            for key in keys:
                table = self._plan[key.table].table
                may = [one.name for one in table.columns if one.name in key.columns and not one.not_null]
                if may:
                    empty = SQL(", ").join(SQL("{} = NULL").format(Identifier(name)) for name in may)
                    query = SQL("UPDATE {} c SET {} WHERE {}").format(table.place, empty, self._without(key))
                    count = self._target.execute(query).rowcount
                    for name in may if count else ():
                        cut[key.table, name] = cut.get((key.table, name), 0) + count
                else:
                    query = SQL("DELETE FROM {} c WHERE {}").format(table.place, self._without(key))
                    if count := self._target.execute(query).rowcount:
                        gone[key.table] = gone.get(key.table, 0) + count
                        self._rows[key.table] -= count
                        again = True
        because = "because the rows they refer to are not in it"
        for (oid, name), count in cut.items():
            title = redact(f"{self._plan[oid].table.title}.{name}")
            self._told.append(f"{title}: NULL in {counted(count, 'row')} of the sample, {because}")
        for oid, count in gone.items():
            title = redact(self._plan[oid].table.title)
            self._told.append(f"{title}: {counted(count, 'row')} left out of the sample, {because}")

    def _size(self, one: Planned) -> Sampled:
        rows, table = self._rows[one.table.oid], one.table
        sampled = self._sampled.get(table.oid, 0)
        live = table.rows
        if one.share >= 1 and sampled < self._wanted.rows:
            live = max(rows, sampled) if table.oid not in self._unread else live
        elif live is None:
            live = round(sampled / one.share)
        return Sampled(rows, max(rows, live or 0))


def told(error: psycopg.Error) -> str:
    """What went wrong, without the values that the server adds."""
    return redact(error.diag.message_primary or type(error).__name__)


__all__ = ["fill", "told"]
