"""Whether the rows that an INSERT or an UPDATE writes, or a DELETE takes away, break a constraint that is there.

The rows are computed by a query, and held against the constraints in one question. What they would be is not known
where triggers or rules change them, or where a function may give another value each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from psycopg import sql
from psycopg.sql import SQL, Composed, Identifier, Literal

from dataops.backends.postgres.foresight.facts import Constraint, Index, Table
from dataops.backends.postgres.foresight.grammar import Action, columns_in, functions_in_query, tables_in
from dataops.backends.postgres.foresight.scene import Draft, Scene

_KINDS = ("r", "p")
_LENGTHS = ("character varying", "character")


def refuse_broken(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """Ask whether a row breaks a constraint, as far as that can be computed."""
    if not action.values or table.kind not in _KINDS or scene.unsure:
        return
    if action.kind == "insert" and _has_identity(scene, action, table, draft):
        return
    written = _Written(scene, action, table)
    fits, asked = list(written.fits()), list(written.questions())
    about = f"whether the rows that are written keep the constraints of {table.title}"
    if action.kind == "delete":
        about = f"whether rows of {', '.join(sorted(written.others))} refer to those that are deleted"
    if table.rewritten and action.kind != "delete":
        if asked:
            scene.tell_unknown(f"{about}: its triggers or rules may change them")
        asked = []  # a value becomes one of the column's type before triggers see it
        written.others.clear()
        fits = [] if table.ruled else fits
    if not fits + asked:
        return
    if scene.facts.volatility(functions_in_query(action.values)) is not False:
        scene.tell_unknown(f"{about}: a function may give other values then")
        return
    if changed := _changed_sources(scene, action, table):
        scene.tell_unknown(f"{about}: earlier statements of the plan change {', '.join(changed)}")
        return
    columns = [*written.needed, *columns_in_query(action)]
    for title in written.changed:
        scene.tell_unknown(f"{about}: earlier statements of the plan change {title}")
    others = [scene.facts.table(oid) for oid in written.others.values()]
    question = scene.questions.broken
    whole = written.query([*fits, *asked])
    only_values = written.query(fits) if fits else None
    scene.ask(
        about, table, columns, draft, lambda: question(table, whole, others, only_values, written.refused),
        *(() if action.kind == "delete" else others),
    )  # fmt: skip


def _changed_sources(scene: Scene, action: Action, table: Table) -> list[str]:
    """The other tables from which the rows come, and which are not as they are now by then.

    The table itself counts where the rows are read from it and not only written into it.
    """
    named = {str(name): scene.live(name) for name in tables_in(action.values)}
    reads_itself = action.kind == "insert"
    return [
        title
        for title, one in named.items()
        if one is None or ((one.oid != table.oid or reads_itself) and not scene.is_as_now(one))
    ]


def columns_in_query(action: Action) -> list[str]:
    """The columns that a statement needs to find its rows, by their names only."""
    return columns_in(f"({action.values})")


def _has_identity(scene: Scene, action: Action, table: Table, draft: Draft) -> bool:
    """Whether it writes a column that the server alone may fill, which is told."""
    names = action.columns or tuple(table.columns)
    for name in (names[at] for at in action.given if at < len(names)):
        column = table.columns.get(name)
        fills = column is not None and (column.identity == "a" or column.generated)
        if fills and "OVERRIDING" not in action.words and scene.has_column(table, name):
            draft.risk("will-fail", f"the server fills {name} of {table.title} by itself")
            return True
    return False


class _Written:
    """The rows that a statement writes: `new` in a query, with their old ones as `r`."""

    def __init__(self, scene: Scene, action: Action, table: Table) -> None:
        self._scene = scene
        self._action = action
        self._table = table
        self.needed: set[str] = set()
        self.others: dict[str, int] = {}
        self.changed: list[str] = []
        self.refused = f"a value cannot be written into {table.title}"
        columns = action.columns or tuple(table.columns)
        self._values: Mapping[str, str] = {columns[at]: f"n{at}" for at in action.given if at < len(columns)}
        self._defaults = {name for at, name in enumerate(columns) if action.kind == "update" and at not in action.given}

    def fits(self) -> Iterator[tuple[str, Composed]]:
        """Whether the values are of the types of their columns: the server fails on one that is not."""
        values = {name: value for name in self._values if (value := self._value(name)) is not None}
        if self._action.kind == "delete" or not values:
            return
        exact = [
            SQL("CAST({} AS {})").format(value, SQL(column.written)) if column.base == "numeric" else value
            for column, value in ((self._table.columns[name], value) for name, value in values.items())
        ]
        yield self.refused, SQL("SELECT FROM new q WHERE ROW({})::text = ''").format(SQL(", ").join(exact))
        for name, value in values.items():
            column = self._table.columns[name]
            if column.base in _LENGTHS and column.modifier > 4:  # a cast would cut it, and an assignment does not
                text = f"a value is too long for {name} of {self._table.title}, {column.written}"
                length = SQL("char_length(rtrim(CAST({} AS text), ' ')) > {}").format(
                    value, Literal(column.modifier - 4)
                )
                yield text, SQL("SELECT FROM new q WHERE {}").format(length)

    def questions(self) -> Iterator[tuple[str, Composed]]:
        """What is asked: a sentence for when it is so, and the condition."""
        if self._action.kind == "delete":
            yield from self._referring("on_delete")
            return
        touched = set(self._values) | self._defaults
        writes_all = self._action.kind == "insert"
        yield from self._nulls(touched, everything=writes_all)
        for constraint in self._table.constraints:
            if constraint.lenient or self._scene.is_without(self._table, constraint.name):
                continue
            if not (writes_all or touched & set(constraint.columns)):
                continue
            if constraint.kind == "c" and constraint.expression:
                yield from self._check(constraint, constraint.expression)
            elif constraint.kind == "f" and "ON CONFLICT" not in self._action.words:
                yield from self._key(constraint)
        for index in self._table.indexes:
            gone = self._scene.is_without(self._table, index.name)
            if index.is_unique and index.keys and not gone and "ON CONFLICT" not in self._action.words:
                keys = index.columns[: index.keys]
                if writes_all or touched & set(keys):
                    yield from self._unique(index, keys)
        yield from self._nowhere()
        if not writes_all:
            yield from self._referring("on_update")

    def query(self, asked: Sequence[tuple[str, Composed]]) -> Composed:
        """The first of the sentences that is so."""
        cases = SQL(" UNION ALL ").join(
            SQL("SELECT {} AS found WHERE EXISTS ({})").format(Literal(text), condition) for text, condition in asked
        )
        if self._action.kind in ("insert", "delete"):
            values = SQL("new AS MATERIALIZED ({})").format(SQL(self._action.values))
        else:  # a row that is found twice gets one of several values: which one is not said
            values = SQL(
                "hit AS MATERIALIZED ({}), new AS MATERIALIZED (SELECT * FROM "
                "(SELECT *, count(*) OVER (PARTITION BY part, place) AS times FROM hit) h WHERE times = 1)"
            ).format(SQL(self._action.values))
        return SQL("WITH {} SELECT found FROM ({}) a LIMIT 1").format(values, cases)

    # ---- the constraints

    def _nulls(self, touched: set[str], *, everything: bool) -> Iterator[tuple[str, Composed]]:
        for name, column in self._table.columns.items():
            fills = column.generated or column.identity
            if not column.not_null or fills or not (everything or name in touched):
                continue
            value = self._value(name)
            if value is None or self._scene.is_nullable(self._table, name):
                continue
            self.needed |= {name} if not everything else set()
            text = f"a row of {self._table.title} gets no {name}, which is NOT NULL"
            yield text, SQL("SELECT FROM new q WHERE {} IS NULL").format(value)

    def _nowhere(self) -> Iterator[tuple[str, Composed]]:
        """A row for which there is no partition."""
        if self._table.kind != "p" or self._scene.rest_of(self._table) or self._scene.has_other_parts(self._table):
            return
        values = {name: value for name in self._table.columns if (value := self._value(name)) is not None}
        bounds = self._scene.facts.bounds_of_parts(self._table)
        if not bounds or not values:
            return
        named = SQL(", ").join(SQL("{} AS {}").format(value, Identifier(name)) for name, value in values.items())
        conditions = SQL(" AND ").join(SQL("({}) IS NOT TRUE").format(SQL(one)) for one in bounds)
        text = f"there is no partition of {self._table.title} for a row"
        yield text, SQL("SELECT FROM (SELECT {} FROM new q) q WHERE {}").format(named, conditions)

    def _check(self, constraint: Constraint, expression: str) -> Iterator[tuple[str, Composed]]:
        values = self._all(constraint.columns)
        if values is None or self._scene.facts.volatility(functions_in_query(f"SELECT {expression}")) is not False:
            return
        named = SQL(", ").join(SQL("{} AS {}").format(value, Identifier(name)) for name, value in values.items())
        text = f"a row of {self._table.title} is against {constraint.name}, {expression}"
        yield text, SQL("SELECT FROM (SELECT {} FROM new q) q WHERE NOT ({})").format(named, SQL(expression))

    def _key(self, constraint: Constraint) -> Iterator[tuple[str, Composed]]:
        """A foreign key of the table itself."""
        other = self._scene.facts.table(constraint.other)
        keys = self._scene.facts.keys_of(self._table, constraint.name)
        values = self._all(constraint.columns)
        if values is None or self._scene.triggers_are_off(self._table) or not other.readable or other.hidden:
            return
        if self._scene.has_set(other, keys):
            self.changed.append(other.title)
            return
        self.others[other.title] = other.oid
        given = SQL(" AND ").join(SQL("{} IS NOT NULL").format(value) for value in values.values())
        place = Identifier(other.schema, other.name)
        same = _pairs(keys, [SQL("{}").format(value) for value in values.values()], "o")
        missing = SQL("SELECT FROM new q WHERE {} AND NOT EXISTS (SELECT FROM {} o WHERE {})").format(
            given, place, same
        )
        if self._action.kind == "update":  # what stays as it is is not looked at again
            old = SQL(", ").join(self._old(name) for name in constraint.columns)
            row = SQL(", ").join(values.values())
            missing += SQL(" AND ({}) IS DISTINCT FROM ({})").format(row, old)
        if other.oid == self._table.oid:
            own = self._all(keys, "p")
            if own is None:
                return
            pairs = zip(own.values(), values.values(), strict=True)
            inside = SQL(" AND ").join(SQL("{} = {}").format(mine, value) for mine, value in pairs)
            missing += SQL(" AND NOT EXISTS (SELECT FROM new p WHERE {})").format(inside)
        yield (
            f"a row of {self._table.title} gets a {', '.join(constraint.columns)} that is not in {other.title}",
            missing,
        )

    def _unique(self, index: Index, keys: Sequence[str]) -> Iterator[tuple[str, Composed]]:
        values = self._all(keys)
        if values is None or self._table.inherited:
            return
        row = SQL(", ").join(values.values())
        given = SQL(" AND ").join(SQL("{} IS NOT NULL").format(value) for value in values.values())
        text = f"two rows of {self._table.title} get the same {', '.join(keys)}, which {index.name} forbids"
        yield text, SQL("SELECT FROM new q WHERE {} GROUP BY {} HAVING count(*) > 1").format(given, row)
        same = _pairs(keys, list(values.values()), "t")
        stays = SQL("")
        if self._action.kind == "update":
            stays = SQL(" AND NOT EXISTS (SELECT FROM hit h WHERE h.part = t.tableoid AND h.place = t.ctid)")
        self.needed |= set(keys)
        place = Identifier(self._table.schema, self._table.name)
        text = f"a row of {self._table.title} gets a {', '.join(keys)} that another one has, which {index.name} forbids"
        yield text, SQL("SELECT FROM new q JOIN {} t ON {}{}").format(place, same, stays)

    def _referring(self, event: str) -> Iterator[tuple[str, Composed]]:
        """Rows of other tables that refer to what is deleted, or gets another key."""
        if self._scene.triggers_are_off(self._table):
            return
        for one in self._scene.references_to(self._table):
            other = self._scene.facts.table(one["oid"])
            if one[event] not in ("a", "r") or one["lenient"] or not other.readable or other.hidden:
                continue
            if self._scene.triggers_are_off(other):
                continue
            if not self._scene.rows_as_now(other) or self._scene.has_set(other, one["columns"]):
                self.changed.append(other.title)
                continue
            changed = SQL("").format()
            if event == "on_update":
                values = self._all(one["keys"])
                if values is None or not set(values) & set(self._values):
                    continue
                row = SQL(", ").join(values.values())
                old = SQL(", ").join(self._old(name) for name in one["keys"])
                again = _pairs(one["columns"], list((self._all(one["keys"], "p") or {}).values()), "o")
                changed += SQL(" WHERE ({}) IS DISTINCT FROM ({}) AND NOT EXISTS (SELECT FROM new p WHERE {})").format(
                    row, old, again
                )
            self.others[other.title] = other.oid
            same = _pairs(one["columns"], [self._old(name) for name in one["keys"]], "o")
            place = Identifier(other.schema, other.name)
            verb = "deleted" if event == "on_delete" else "changed"
            text = f"a row of {self._table.title} is {verb} to which {other.title} refers ({one['name']})"
            yield text, SQL("SELECT FROM new q JOIN {} o ON {}{}").format(place, same, changed)

    # ---- the values

    def _all(self, names: Sequence[str], row: str = "q") -> dict[str, Composed] | None:
        """What these columns have then; None if it is not known of one."""
        found = {name: self._value(name, row) for name in names}
        if any(value is None for value in found.values()):
            return None
        self.needed |= set(names) if self._action.kind == "update" else set()
        return {name: value for name, value in found.items() if value is not None}

    def _value(self, name: str, row: str = "q") -> Composed | None:
        column = self._table.columns.get(name)
        if column is None or column.generated or not self._scene.has_live_column(self._table, name):
            return None
        if column.type in self._scene.changed_types:
            return None
        value: sql.Composable
        if name in self._values:
            value = Identifier(row, self._values[name])
        elif self._action.kind == "update" and name not in self._defaults:
            return self._old(name, row)
        else:
            default = self._scene.default_of(self._table, column)
            if default is None or self._scene.facts.volatility(functions_in_query(f"SELECT {default}")) is not False:
                return None
            value = SQL(default)
        return SQL("CAST({} AS {})").format(value, SQL(column.base))

    def _old(self, name: str, row: str = "q") -> Composed:
        return SQL("({}).{}").format(Identifier(row, "r"), Identifier(name))


def _pairs(columns: Sequence[str], values: Sequence[sql.Composable], table: str) -> Composed:
    pairs = zip(columns, values, strict=True)
    return SQL(" AND ").join(SQL("{} = {}").format(Identifier(table, column), value) for column, value in pairs)


__all__ = ["refuse_broken"]
