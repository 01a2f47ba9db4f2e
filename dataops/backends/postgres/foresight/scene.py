"""What is known while a plan is followed: the live database, and what earlier statements have done to it by then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dataops.backends.postgres.foresight import costs, running
from dataops.backends.postgres.foresight.facts import Column, Constraint, Facts, Table
from dataops.backends.postgres.foresight.grammar import Action, Name
from dataops.backends.postgres.foresight.locks import MODES, SHARE_UPDATE_EXCLUSIVE, TAKEN, kept_waiting
from dataops.backends.postgres.foresight.questions import Answer, Questions
from dataops.model import Held, Risk, Span, Verb, Work
from dataops.redaction import redact
from dataops.text import counted

SHORT_SECONDS = 1.0
"""A lock that others do not feel: less than this at the most."""


@dataclass
class Draft:
    """What is found of one statement."""

    held: dict[str, Held] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    risks: list[Risk] = field(default_factory=list)

    def hold(self, table: Table, mode: str, parts: int = 0) -> None:
        """Note a lock, on so many partitions or children of the table too; the strongest one counts."""
        before = self.held.get(table.title)
        if before is None or MODES.index(mode) > MODES.index(before.mode):
            below = counted(parts, "partition" if table.kind == "p" else "child table") if parts else ""
            self.held[table.title] = Held(table.title + (f" with {below}" if below else ""), mode, kept_waiting(mode))

    def risk(self, hazard: str, text: str) -> None:
        """Note a hazard, once."""
        risk = Risk(hazard, redact(text))
        if risk not in self.risks:
            self.risks.append(risk)

    def do(self, verb: Verb, table: Table, span: Span) -> None:
        """Note that the server goes through the whole table."""
        self.work.append(Work(verb, table.title, table.rows, table.heap))
        self.spans.append(span)


_OF_ONE = frozenset(
    {
        "rename a table", "move a table to a schema", "create a partition", "create a child", "attach a partition",
        "detach a partition", "detach a partition concurrently", "comment", "add a foreign key", "publish",
        "rename a constraint", "set storage options", "create a policy", "alter a policy", "drop a policy", "insert",
        "create a rule", "drop a rule", "switch row security", "set the replica identity", "inherit",
        "stop to inherit", "create statistics", "change the owner",
    }
)  # fmt: skip
"""What is done to a table only, and not to its partitions and children."""


class Scene:
    """The live database, and what the plan has done to it so far. `aside`: what the step keeps."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.questions = Questions(facts)
        self.aside: Collection[str] = ()
        self.unknown: list[str] = []
        self.unsure = ""
        self._made: set[tuple[str, str]] = set()
        self._gone: set[tuple[str, str]] = set()
        self._temporary: set[tuple[str, str]] = set()
        self._schemas: set[str] = set()
        self._path = facts.schemas
        self._new_columns: dict[int, set[str]] = {}
        self._gone_columns: dict[int, set[str]] = {}
        self._new_constraints: dict[tuple[int, str], Action | None] = {}
        self._gone_constraints: set[tuple[int, str]] = set()
        self._set_columns: dict[int, set[str]] = {}
        self._new_keys: set[int] = set()
        self._retyped: set[tuple[int, str]] = set()
        self._parts_changed: set[int] = set()
        self._without_rest: set[int] = set()
        self.changed_types: set[int] = set()
        self.made_columns: dict[tuple[str, str], set[str]] = {}
        """Of tables of the plan, where their statements say which columns they have."""
        self.made_indexes: dict[Name, tuple[str, str]] = {}
        """The indexes of tables of the plan, with the place of the table."""
        self._left: set[int] = set()
        self._renamed_columns: dict[int, set[str]] = {}
        self.extended = False
        """Whether the plan has made an extension, and with it who knows what."""
        self._alone: set[int] = set()
        self._other_nature: set[tuple[int, str]] = set()
        self._nullable: set[tuple[int, str]] = set()
        self._defaults: dict[tuple[int, str], str | None] = {}
        self._without_triggers: set[int] = set()
        self._no_triggers = False
        self._removed: set[int] = set()
        self._added: set[int] = set()
        self._holders: dict[tuple[int, str], list[Risk]] = {}

    # ---- what the plan has done

    def begin_step(self) -> None:
        """Every step has a session as at connect: no temporary tables, and the path of the database."""
        self.unknown = []
        self.facts.schemas = self._path
        self._no_triggers = False
        self._made -= self._temporary
        self._temporary = set()

    def set_path(self, schemas: Sequence[str]) -> None:
        """The search_path from now on; none for that of the connection."""
        self.facts.schemas = [name for name in schemas if name != "pg_temp"] if schemas else self._path

    def make(self, schema: str, name: str, *, temporary: bool = False) -> None:
        """A table, an index or a view of this name is there from now on."""
        if temporary and (schema, name) not in self._made:
            self._temporary.add((schema, name))
        self._made.add((schema, name))
        if not temporary:
            self._gone.discard((schema, name))

    def make_schema(self, name: str) -> None:
        self._schemas.add(name)

    def has_schema(self, name: str) -> bool:
        return name in self._schemas or name.startswith("pg_temp") or self.facts.has_schema(name)

    def leave(self, table: Table) -> None:
        """The table goes, or moves to another schema, and takes its indexes and sequences along."""
        self._left.update(self.facts.relatives(table) if table.kind == "p" and not table.whole else [table.oid])

    def remove_views(self, table: Table, column: str = "") -> None:
        """CASCADE drops the views that use it, and those that use them."""
        for title in self.facts.views_on(table, column):
            name = Name(*title.split(".", 1))
            view = self.live(name)
            if view is not None and view.kind in ("v", "m"):
                self.remove(*name)
                self.leave(view)
                self.remove_views(view)

    def remove(self, schema: str, name: str) -> None:
        """Nothing of this name is there any more."""
        self._gone.add((schema, name))
        self._made.discard((schema, name))

    def add_column(self, table: Table, column: str) -> None:
        self._new_columns.setdefault(table.oid, set()).add(column)

    def drop_column(self, table: Table, column: str) -> None:
        self._new_columns.get(table.oid, set()).discard(column)
        self._gone_columns.setdefault(table.oid, set()).add(column)

    def add_constraint(self, table: Table, name: str, action: Action | None = None) -> None:
        """`action` is how it was added, for a VALIDATE that comes later."""
        self._new_constraints[table.oid, name] = action

    def rename_column(self, table: Table, column: str, name: str) -> None:
        self.drop_column(table, column)
        self.add_column(table, name)
        self._renamed_columns.setdefault(table.oid, set()).add(column)

    def has_lost(self, table: Table, constraint: Constraint) -> bool:
        """Whether the plan has removed this constraint, or a column of it."""
        gone = self._gone_columns.get(table.oid, set()) - self._renamed_columns.get(table.oid, set())
        return self.is_without(table, constraint.name) or bool(gone & set(constraint.columns))

    def drop_constraint(self, table: Table, name: str) -> None:
        self._new_constraints.pop((table.oid, name), None)
        self._gone_constraints.add((table.oid, name))

    def add_key(self, table: Table) -> None:
        """The table has a unique key more."""
        self._new_keys.add(table.oid)

    def has_new_key(self, table: Table) -> bool:
        return table.oid in self._new_keys

    def change_type(self, table: Table, column: str) -> None:
        self._retyped.add((table.oid, column))

    def keeps_column(self, table: Table, column: str, *, of_default: bool) -> bool:
        """Whether the column still has its type, or its default, by then."""
        key = (table.oid, column)
        return self.has_live_column(table, column) and key not in (self._defaults if of_default else self._retyped)

    def change_parts(self, table: Table) -> None:
        """Partitions of the table come or go."""
        self._parts_changed.add(table.oid)

    def lose_rest(self, table: Table) -> None:
        """The table has no default partition any more."""
        self._without_rest.add(table.oid)

    def rest_of(self, table: Table) -> Table | None:
        """The default partition, if it still is one."""
        if not table.rest or table.oid in self._without_rest:
            return None
        rest = self.facts.table(table.rest)
        return None if self.is_gone(Name(rest.schema, rest.name)) else rest

    def has_other_parts(self, table: Table) -> bool:
        """Whether the plan has changed which partitions the table has."""
        return table.oid in self._parts_changed

    def has_other_columns(self, table: Table) -> bool:
        """Whether the plan has changed which columns the table has, or a type of theirs."""
        retyped = {oid for oid, _ in self._retyped}
        return table.oid in {*self._new_columns, *self._gone_columns} | retyped

    def is_without(self, table: Table, name: str) -> bool:
        """Whether the plan has removed this constraint or index of the table."""
        return (table.oid, name) in self._gone_constraints or self.is_gone(Name(table.schema, name))

    def allow_nulls(self, table: Table, column: str) -> None:
        self._nullable.add((table.oid, column))

    def leave_parents(self, table: Table) -> None:
        """The table is no partition any more, and inherits nothing."""
        self._alone.add(table.oid)

    def has_left_parents(self, table: Table) -> bool:
        return table.oid in self._alone

    def change_nature(self, table: Table, column: str) -> None:
        """Whether the server fills the column, or it may be null, is no longer as it was."""
        self._other_nature.add((table.oid, column))

    def has_other_nature(self, table: Table, column: str) -> bool:
        key = (table.oid, column)
        return key in self._other_nature or key in self._defaults or key in self._retyped

    def is_nullable(self, table: Table, column: str) -> bool:
        """Whether the plan has taken NOT NULL away."""
        return (table.oid, column) in self._nullable

    def set_default(self, table: Table, column: str, default: str | None) -> None:
        """What the column has where nothing is written, as SQL; None for what only the server knows."""
        self._defaults[table.oid, column] = default

    def default_of(self, table: Table, column: Column) -> str | None:
        """What the column has where nothing is written; None where that is not known."""
        own = None if column.identity else column.default or "NULL"
        return self._defaults.get((table.oid, column.name), own)

    def has_set(self, table: Table, columns: Iterable[str]) -> bool:
        """Whether one of these columns has other values by then."""
        return bool(self._set_columns.get(table.oid, set()) & set(columns))

    def switch_triggers(self, table: Table | None = None) -> None:
        """Triggers of a table, or all of this session, and with them foreign keys, may not run from now on."""
        if table is None:
            self._no_triggers = True
        else:
            self._without_triggers.add(table.oid)

    def triggers_are_off(self, table: Table) -> bool:
        return self._no_triggers or table.oid in self._without_triggers

    def has_constraint(self, table: Table, name: str) -> bool:
        there = any(one.name == name for one in table.constraints) and (table.oid, name) not in self._gone_constraints
        return there or (table.oid, name) in self._new_constraints

    def added_as(self, table: Table, name: str) -> Action | None:
        """How the plan added this constraint; None if it did not."""
        return self._new_constraints.get((table.oid, name))

    def references_to(self, table: Table) -> list[dict[str, Any]]:
        """The foreign keys of other tables to this one, without those that the plan has removed."""
        return [
            one
            for one in self.facts.references_to(table)
            if (one["oid"], one["name"]) not in self._gone_constraints
            and not self.is_gone(Name(*one["table"].split(".", 1)))
            and not self._gone_columns.get(one["oid"], set()) & set(one["columns"])
        ]

    def set_columns(self, table: Table, columns: Iterable[str]) -> None:
        """These columns have other values, another type or another name from now on."""
        names = list(columns)
        for oid in self.facts.relatives(table):
            self._set_columns.setdefault(oid, set()).update(names)

    def add_rows(self, table: Table) -> None:
        self._added.update(self.facts.relatives(table))

    def remove_rows(self, table: Table) -> None:
        self._removed.update(self.facts.relatives(table))

    def lose_track(self, why: str) -> None:
        """What comes later may find another database."""
        self.unsure = self.unsure or why

    # ---- names

    def placed(self, name: Name) -> tuple[str, str]:
        """Where a new object of this name is made."""
        return (name.schema or next(iter(self.facts.schemas), ""), name.name)

    def is_made(self, name: Name) -> bool:
        """Whether the plan has made what has this name."""
        schemas = [name.schema] if name.schema else self.facts.schemas
        return any((schema, name.name) in self._made for schema in schemas)

    def is_gone(self, name: Name) -> bool:
        """Whether the plan has removed or renamed what has this name."""
        return self.placed(name) in self._gone

    def is_there(self, name: Name) -> bool:
        """Whether something has this name when the statement comes, as far as we know."""
        if self.is_made(name) or self.is_gone(name):
            return self.is_made(name)
        oid = self.facts.oid_of(name)
        return oid is not None and not self._went_along(oid)

    def _went_along(self, oid: int) -> bool:
        """Whether an index or a sequence has gone with its table, its constraint or its column."""
        owner = self.facts.owner(oid)
        if owner is None:
            return False
        table, name, columns = owner
        gone = self._gone_columns.get(table, set()) - self._renamed_columns.get(table, set())
        return table in self._left or (table, name) in self._gone_constraints or bool(columns & gone)

    def live(self, name: Name) -> Table | None:
        """The live relation of this name, of an index its table; None if it is not there as it is now."""
        if self.is_made(name) or self.is_gone(name):
            return None
        oid = self.facts.oid_of(name)
        if oid is None:
            return None
        table = self.facts.table_of_index(oid)
        return self.facts.table(oid if table is None else table)

    def column(self, action: Action, table: Table, draft: Draft, name: str) -> Column | None:
        """The live column; None if the plan has made it, or if it is not there, which is then told."""
        if name in self._new_columns.get(table.oid, ()):
            return None
        column = None if name in self._gone_columns.get(table.oid, ()) else table.columns.get(name)
        if column is None and not self.unsure and "PART IF EXISTS" not in action.words:
            draft.risk("will-fail", f"{table.title} has no column {name}")
        return column

    def has_column(self, table: Table, name: str) -> bool:
        if name in self._new_columns.get(table.oid, ()):
            return True
        return name in table.columns and name not in self._gone_columns.get(table.oid, ())

    def has_live_column(self, table: Table, name: str) -> bool:
        """Whether the column is there as it is now: the plan has not made it, and not renamed it."""
        return self.has_column(table, name) and name not in self._new_columns.get(table.oid, ())

    def as_written(self, names: Iterable[Name]) -> bool:
        """Whether all these tables are live, with the columns that they have now."""
        if self.unsure:
            return False
        tables = [self.live(name) for name in names]
        changed = {*self._new_columns, *self._gone_columns}
        return all(table is not None and table.oid not in changed for table in tables)

    # ---- locks

    def lock(self, table: Table, mode: str, action: Action, draft: Draft) -> None:
        """Note the lock, and who would make it wait now. Most actions do the same to partitions and children."""
        recurses = table.parts and "ONLY" not in action.words and action.kind not in _OF_ONE
        draft.hold(table, mode, table.parts if recurses else 0)
        if MODES.index(mode) >= MODES.index(SHARE_UPDATE_EXCLUSIVE):
            key = (table.oid, mode)
            if key not in self._holders:
                self._holders[key] = running.holders(self.facts, table, mode)
            for risk in self._holders[key]:
                draft.risk(risk.hazard, risk.text)
        if "concurrently" in action.kind:
            for risk in self._oldest:
                draft.risk(risk.hazard, risk.text)

    @cached_property
    def _oldest(self) -> list[Risk]:
        return running.oldest(self.facts)

    def lock_other(self, action: Action, draft: Draft) -> None:
        """The lock on the second table that an action concerns."""
        taken = TAKEN.get(action.kind)
        if taken is None or not taken.other or action.other is None:
            return
        other = self.live(action.other)
        if other is not None:
            self.lock(other, taken.other, action, draft)
        elif not self.is_there(action.other) and not self.unsure:
            draft.risk("will-fail", f"{action.other} is not there")

    # ---- questions about rows

    def rows_as_now(self, table: Table) -> bool:
        """Whether the plan takes no row away before, and does nothing that is not known."""
        return table.oid not in self._removed and not self.unsure

    def is_as_now(self, table: Table) -> bool:
        """Whether the plan changes nothing in the table before: no row, no value and no column.

        Of a view, it changes nothing in any table.
        """
        if table.kind == "v":
            touched = (self._set_columns, self._added, self._removed, self._new_columns, self._gone_columns)
            return not (any(touched) or self._gone or self.unsure)
        changed = self._set_columns.get(table.oid) or table.oid in self._added or self.has_other_columns(table)
        return self.rows_as_now(table) and not changed

    def ask(
        self,
        about: str,
        table: Table,
        columns: Iterable[str],
        draft: Draft,
        question: Callable[[], Answer],
        *others: Table,
    ) -> None:
        """Ask the live rows, if these columns of them are as now when the statement comes.

        Rows that the plan adds take no answer back that was found. `others` are tables in which new rows would.
        `about` is the question, for the reader who gets no answer.
        """
        if not self.rows_as_now(table) or self.has_set(table, columns) or any(one.oid in self._added for one in others):
            why = self.unsure or "earlier statements of the plan change it"
            self.tell_unknown(f"{about}: {why}")
            return
        answer = question()
        if answer.found:
            draft.risk("will-fail", answer.found)
        if answer.unknown:
            self.tell_unknown(f"{about}: {answer.unknown}")

    def tell_unknown(self, text: str) -> None:
        """Note what could not be known of this step."""
        if redact(text) not in self.unknown:
            self.unknown.append(redact(text))

    # ---- what several handlers do

    def refuse_used(self, action: Action, table: Table, draft: Draft, column: str = "") -> None:
        """Views that use it are in the way, unless they go too."""
        if "CASCADE" in action.words or self.unsure:
            return
        beside = {self.placed(name) for name in action.beside}
        names = [Name(*name.split(".", 1)) for name in self.facts.views_on(table, column)]
        used = [str(name) for name in names if not self.is_gone(name) and self.placed(name) not in beside]
        if used:
            what = f"{table.title}.{column}" if column else table.title
            draft.risk("will-fail", f"the view {', '.join(used)} uses {what}")

    def rewrite(self, table: Table, draft: Draft) -> None:
        """The table and its indexes are written anew."""
        if table.is_empty:
            return
        span = costs.rewrite(table.rows, table.heap, len(table.indexes))
        draft.do(Verb.REWRITES, table, span)
        if span.high >= SHORT_SECONDS:
            draft.risk("rewrites-table", f"{table.title}, with its indexes")

    def read(self, table: Table, draft: Draft) -> None:
        """The table is read once."""
        if not table.is_empty:
            draft.do(Verb.READS, table, costs.read(table.rows, table.heap))

    def destroy(self, table: Table, draft: Draft, what: str) -> None:
        """Data goes, unless the step keeps a copy or there is none."""
        if not table.is_empty and table.name not in self.aside:
            draft.risk("destroys-data", f"{what} of {table.title}, which nothing keeps")

    def tell_replication(self, table: Table, draft: Draft, what: str) -> None:
        """Who sends the table to others."""
        if names := running.published(self.facts, table):
            draft.risk("leaves-replication", f"{what} of {table.title} is published by {names}")


def rows_text(table: Table) -> str:
    """`1,000 rows`, as far as it is known."""
    return f"{table.rows:,} rows" if table.rows else "the rows"
