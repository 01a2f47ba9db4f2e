"""What is in tables and collections, as digests that can be compared, and where two digests differ. Pure.

A digest shows that something differs, but nothing of a row can be read from it. It does not depend on the order of
rows, documents, columns or fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dataops.catalogue import Differs
from dataops.redaction import redact

EACH = 10_000
"""The largest number of rows for which a digest keeps every row. Of larger tables it keeps only the columns."""
_SHOWN = 5


@dataclass(frozen=True)
class TableDigest:
    """The digest of one table or collection.

    `unit` says what `count` counts: rows or documents. `fields` has a digest for each column or top-level field, made
    of its values and of the keys of their rows; where a table has no key, there is one digest for whole rows, under the
    name "". `each` has the same digests for every single row, by its key; it is None when there are more than EACH.
    """

    unit: str
    count: int
    fields: Mapping[str, int]
    each: Mapping[str, Mapping[str, int]] | None = None


Contents = Mapping[str, TableDigest]
"""The digests of all tables or collections, by the names that they have in the catalogue."""


@dataclass(frozen=True)
class Change:
    """One way in which two tables or collections differ.

    `count` is the number of rows or documents, 0 when it is not known. `ids` are examples.
    """

    how: Differs
    unit: str
    name: str
    field: str = ""
    count: int = 0
    ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = redact(f"{self.name}.{self.field}" if self.field else self.name)
        number = f"{self.count:,} {self.unit if self.count != 1 else self.unit[:-1]}" if self.count else self.unit
        if self.how is Differs.MISSING:
            text = f"{place}: {number} missing here"
        elif self.how is Differs.UNEXPECTED:
            text = f"{place}: {number} here, but not expected"
        else:
            text = f"{place}: different in {number}" if self.count else f"{place}: {self.unit} are different"
        more = ", ..." if len(self.ids) < self.count else ""
        return f"{text} ({', '.join(map(redact, self.ids))}{more})" if self.ids else text


def compare(expected: Contents, found: Contents) -> tuple[Change, ...]:
    """How `found` differs from what was expected, by name and field.

    A table that only one of them has is no change here: comparing the catalogues tells that.
    """
    changes: list[Change] = []
    for name in sorted(expected.keys() & found.keys()):
        before, after = expected[name], found[name]
        if (before.count, before.fields) == (after.count, after.fields):
            continue
        told: list[Change] = []
        if before.each is not None and after.each is not None:
            told = _one_by_one(name, after.unit, before.each, after.each)
        changes += told or _in_sum(name, before, after)
    return tuple(changes)


def without_made_anew(changes: Sequence[Change], anew: Sequence[Change]) -> tuple[Change, ...]:
    """The changes without those that two databases show that were migrated in the same way, such as new random ids.

    `anew` are the changes between two such databases.
    """
    known = {(change.how, change.name, change.field) for change in anew}
    return tuple(change for change in changes if (change.how, change.name, change.field) not in known)


def _in_sum(name: str, before: TableDigest, after: TableDigest) -> list[Change]:
    if before.count != after.count:
        how = Differs.MISSING if after.count < before.count else Differs.UNEXPECTED
        return [Change(how, after.unit, name, count=abs(after.count - before.count))]
    fields = sorted(before.fields.keys() | after.fields.keys())
    different = [field for field in fields if before.fields.get(field) != after.fields.get(field)]
    return [Change(Differs.DIFFERENT, after.unit, name, field) for field in different if field or len(different) == 1]


def _one_by_one(
    name: str, unit: str, before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]
) -> list[Change]:
    changes = []
    for how, ids in (
        (Differs.MISSING, [id_ for id_ in before if id_ not in after]),
        (Differs.UNEXPECTED, [id_ for id_ in after if id_ not in before]),
    ):
        if ids:
            changes.append(Change(how, unit, name, count=len(ids), ids=_examples(ids)))
    fields: dict[str, list[str]] = {}
    for id_ in before.keys() & after.keys():
        one, other = before[id_], after[id_]
        if one != other:
            for field in one.keys() | other.keys():
                if one.get(field) != other.get(field):
                    fields.setdefault(field, []).append(id_)
    for field, ids in sorted(fields.items()):
        changes.append(Change(Differs.DIFFERENT, unit, name, field, len(ids), _examples(ids)))
    return changes


def _examples(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(ids)[:_SHOWN])


__all__ = ["EACH", "Change", "Contents", "TableDigest", "compare", "without_made_anew"]
