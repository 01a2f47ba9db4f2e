"""The order of pieces: the server knows what needs what (pg_depend); otherwise by kind and by name."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping

from dataops.backends.postgres.schema.pieces import ROWS, Cursor, Piece

Address = tuple[str, int]

# What each catalogue row belongs to, where that is another object: the rule of a view to the view, ...
_PARTS = """
SELECT 'pg_rewrite', r.oid, 'pg_class', r.ev_class FROM pg_rewrite r WHERE r.rulename = '_RETURN'
UNION ALL SELECT 'pg_attrdef', x.oid, 'pg_class', x.adrelid FROM pg_attrdef x
UNION ALL SELECT 'pg_type', t.oid, 'pg_class', t.typrelid FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
           WHERE c.relkind <> 'c'
UNION ALL SELECT 'pg_class', t.typrelid, 'pg_type', t.oid FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
           WHERE c.relkind = 'c'
UNION ALL SELECT 'pg_type', t.typarray, 'pg_type', t.oid FROM pg_type t WHERE t.typarray <> 0
UNION ALL SELECT 'pg_type', r.rngmultitypid, 'pg_type', r.rngtypid FROM pg_range r
UNION ALL SELECT 'pg_class', k.conindid, 'pg_constraint', k.oid FROM pg_constraint k
           WHERE k.conindid <> 0 AND k.contype IN ('p', 'u', 'x')
UNION ALL SELECT 'pg_constraint', k.oid, 'pg_type', k.contypid FROM pg_constraint k WHERE k.contypid <> 0
UNION ALL SELECT 'pg_class', d.objid, 'pg_class', d.refobjid FROM pg_depend d
            JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
           WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
UNION ALL SELECT d.classid::regclass::text, d.objid, d.refclassid::regclass::text, d.refobjid FROM pg_depend d
           WHERE d.classid IN ('pg_amop'::regclass, 'pg_amproc'::regclass)
             AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
UNION ALL SELECT 'pg_proc', d.objid, d.refclassid::regclass::text, d.refobjid FROM pg_depend d
           WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'i'
"""
# A sequence that is owned by a column comes before its table all the same: it is made first, and owned later.
_NEEDS = """
SELECT d.classid::regclass::text, d.objid, d.refclassid::regclass::text, d.refobjid
  FROM pg_depend d
 WHERE d.deptype IN ('n', 'a', 'x', 'P', 'S')
   AND NOT EXISTS (SELECT FROM pg_class s WHERE d.classid = 'pg_class'::regclass AND s.oid = d.objid
                      AND s.relkind = 'S' AND d.deptype = 'a')
UNION ALL
SELECT c.objects::regclass::text, c.oid, 'pg_namespace', c.namespace
  FROM (SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
        UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
        UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc) AS c (objects, oid, namespace)
UNION ALL
SELECT d.classid::regclass::text, d.objid, 'pg_extension', e.refobjid
  FROM pg_depend d JOIN pg_depend e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e'
 WHERE d.deptype IN ('n', 'a')
"""


def sort(cursor: Cursor, pieces: Iterable[Piece]) -> list[Piece]:
    """Each piece after what it needs. What is in a circle comes last, in the order of kinds and names."""
    made: dict[Address, list[int]] = defaultdict(list)
    every = sorted(pieces, key=lambda piece: (piece.rank, piece.name, piece.statements))
    for at, piece in enumerate(every):
        if not piece.after:
            made[piece.catalog, piece.oid].append(at)
    needs: dict[int, set[int]] = {at: set() for at in range(len(every))}
    for at, needed in _edges(cursor, made):
        needs[at].add(needed)
    for at, piece in enumerate(every):
        if piece.after:
            needs[at].update(made.get((piece.catalog, piece.oid), ()))
        if piece.rank == ROWS:  # through a parent, into its partitions
            needs[at].update(other for other, one in enumerate(every) if one.rank < ROWS and one.catalog == "pg_class")
    return [every[at] for at in _topological(needs)]


def _edges(cursor: Cursor, made: Mapping[Address, list[int]]) -> Iterable[tuple[int, int]]:
    whole = {
        (str(catalog), int(oid)): (str(of), int(owner))
        for catalog, oid, of, owner in cursor.execute(_PARTS.encode()).fetchall()
    }

    def of(address: Address) -> Iterable[int]:
        seen = {address}
        while address not in made and address in whole and whole[address] not in seen:
            address = whole[address]
            seen.add(address)
        return made.get(address, ())

    for catalog, oid, other, needed in cursor.execute(_NEEDS.encode()).fetchall():
        for at in of((str(catalog), int(oid))):
            yield from ((at, before) for before in of((str(other), int(needed))) if before != at)


def _topological(needs: Mapping[int, set[int]]) -> list[int]:
    waiting = {at: set(before) for at, before in needs.items()}
    after: dict[int, list[int]] = defaultdict(list)
    for at, before in needs.items():
        for one in before:
            after[one].append(at)
    ready = [at for at, before in waiting.items() if not before]
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        at = heapq.heappop(ready)
        done.append(at)
        for other in after[at]:
            waiting[other].discard(at)
            if not waiting[other]:
                heapq.heappush(ready, other)
    return [*done, *sorted(set(needs) - set(done))]


__all__ = ["sort"]
