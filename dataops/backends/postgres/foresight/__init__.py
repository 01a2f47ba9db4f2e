"""What the statements of a plan will do to one live database: locks, work, time, and what will fail. See ADR 22.

`grammar` reads a statement, `locks` says which lock it takes, `facts` and `types` what the server says about the
objects, `costs` how long it may take, `questions` what its rows already answer, and `running` who is in the way now.
`altering`, `objects`, `definitions`, `partitions`, `rows` and `breaking` put that together for each kind of action, in
the `scene` of what the plan has done so far: what an earlier statement has made, changed or removed is no longer what
the live database says.

Nothing is written, no lock but that of a reader is taken, and no big table is read as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg

from dataops.backends.postgres.connection import WatchedConnection
from dataops.backends.postgres.foresight import altering, objects, partitions, rows, running
from dataops.backends.postgres.foresight.backfills import in_batches
from dataops.backends.postgres.foresight.definitions import Definitions
from dataops.backends.postgres.foresight.facts import Facts, Gone, Table
from dataops.backends.postgres.foresight.grammar import Action, Unparsable, actions, functions_in_query
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE, MODES, SHARE, TAKEN
from dataops.backends.postgres.foresight.scene import SHORT_SECONDS, Draft, Scene
from dataops.backfill import Change
from dataops.hazards import LONG_SECONDS
from dataops.model import Effect, Held, Risk, Span
from dataops.model.effect import together
from dataops.redaction import message_of, redact


@dataclass(frozen=True)
class Foreseen:
    """The effects of a step, and what could not be known of it, each as a sentence."""

    effects: tuple[Effect, ...] = ()
    unknown: tuple[str, ...] = ()


class Foresight:
    """Follows the steps of a plan over one database, in their order."""

    def __init__(self, connection: WatchedConnection) -> None:
        self._scene = Scene(Facts(connection))
        self._definitions = Definitions(self._scene)
        self._replicas: list[Risk] | None = None

    def follow(
        self,
        statements: Sequence[tuple[str, bool]],
        *,
        aside: Collection[str] = (),
        harmless: Collection[int] = (),
        backfills: Mapping[int, Change] = {},
    ) -> Foreseen:
        """What the statements of the next step do. Each is its text, and whether it is in the step's transaction.

        `aside` names the tables that the step puts into its stash, and `harmless` are the positions of the statements
        that only serve the stash. `backfills` are those that are run in batches, by their positions.
        """
        self._scene.aside = frozenset(name.rpartition(".")[2].strip('"') for name in aside)
        self._scene.begin_step()
        drafts = [Draft() if at in harmless else self._statement(text) for at, (text, _) in enumerate(statements)]
        for at, change in backfills.items():
            in_batches(self._scene, change, drafts[at])
        _hold_to_the_end(drafts, [inside for _, inside in statements])
        effects = tuple(
            Effect(at, tuple(one.held.values()), tuple(one.work), together(one.spans), tuple(one.risks))
            for at, one in enumerate(drafts)
            if one.held or one.work or one.risks
        )
        return Foreseen(effects, tuple(self._scene.unknown))

    def lose_track(self, why: str) -> None:
        """Say that a step does more than is known: what comes later may find another database."""
        self._scene.lose_track(why)

    def _statement(self, text: str) -> Draft:
        draft = Draft()
        try:
            found = actions(text)
        except Unparsable as error:
            self._scene.tell_unknown(f"PostgreSQL's parser does not understand a statement: {error}")
            self._scene.lose_track("a statement is not understood")
            return draft
        try:
            for action in found:
                self._action(action, draft)
            self._definitions.refuse_missing(functions_in_query(text), draft)
            self._judge(draft)
        except (Gone, psycopg.DatabaseError) as error:
            connection = self._scene.facts.connection
            if connection.closed or connection.broken:
                raise
            self._scene.tell_unknown(f"all that a statement does: {message_of(error) or 'its table is gone'}")
            self._scene.lose_track("a statement could not be looked at")
        return draft

    def _action(self, action: Action, draft: Draft) -> None:
        scene = self._scene
        if self._definitions.follow(action, draft):
            return
        if action.kind == "is wrong in itself":
            if "IF NOT EXISTS" not in action.words:
                draft.risk("will-fail", action.name)
        elif action.kind in _OPAQUE:
            self._opaque(action, draft)
        elif action.kind == "set a parameter":
            if action.name == "search_path":
                scene.set_path(action.columns)
            elif action.name == "session_replication_role":
                scene.switch_triggers()
        elif action.kind == "create a schema":
            objects.create_schema(scene, action, draft)
        elif action.kind in ("create a table", "create a view", "create a sequence"):
            self._definitions.refuse_name_of_type(action, draft)
            objects.create(scene, action, draft)
        elif action.on is not None and action.on.schema not in _OF_THE_SERVER:
            table = scene.live(action.on)
            if table is not None and not self._is_another_kind(action, table, draft):
                taken = TAKEN.get(action.kind)
                if taken is not None and (mode := taken.table or taken.on):
                    scene.lock(table, mode, action, draft)
                self._definitions.follow_part(action, table, draft)
                if (handler := _HANDLERS.get(action.kind)) is not None:
                    handler(scene, action, table, draft)
            elif scene.is_made(action.on):
                objects.follow_made(scene, action, draft)
            elif not scene.is_there(action.on) and "IF EXISTS" not in action.words and not scene.unsure:
                draft.risk("will-fail", f"{action.on} is not there")
            scene.lock_other(action, draft)
            if table is None and action.kind in _REFERRING and action.other is not None:
                target = scene.live(action.other)
                if target is not None:
                    altering.refuse_no_key(scene, action, target, draft)

    def _is_another_kind(self, action: Action, table: Table, draft: Draft) -> bool:
        """Whether a DROP names what is no such thing."""
        wanted = _DROPPED.get(action.kind)
        if wanted is None or action.on is None or self._scene.facts.is_index(action.on):
            return False
        kinds, what = wanted
        if table.kind in kinds:
            return False
        draft.risk("will-fail", f"{table.title} is not a {what}")
        return True

    def _opaque(self, action: Action, draft: Draft) -> None:
        what = f"{action.kind} {action.name}".strip()
        if action.kind == "drop an extension" and self._definitions.refuse_missing_extension(action, draft):
            return
        if action.kind == "drop a schema":
            objects.drop_schema(self._scene, action, draft)
        if action.kind == "call":
            names = action.name.split(", ")
            if self._scene.facts.volatility(names) is False:
                return
            what = f"it calls {action.name}()"
        elif action.kind == "check a domain":
            what = f"the rows of every table with the domain {action.name} are checked"
        elif action.kind == "something else":
            what = action.name.upper()
        draft.risk("unknown", redact(f"{what}: what that does is only known when it runs"))
        self._scene.lose_track(what)

    def _judge(self, draft: Draft) -> None:
        """The risks that follow from locks and time together."""
        span = together(draft.spans)
        if span is not None and span.high >= SHORT_SECONDS:
            if self._replicas is None:
                self._replicas = running.replicas(self._scene.facts)
            draft.risks += self._replicas
        if span is not None and span.high >= LONG_SECONDS and span.low >= LONG_SECONDS / 10:
            draft.risk("takes-long", f"{span}, by {span.basis}")
        for held in draft.held.values():
            if span is not None and span.high >= SHORT_SECONDS:
                _block(held, f"for {span}", draft)
            elif held.mode == ACCESS_EXCLUSIVE:
                draft.risk("exclusive-lock", f"{held.object}, for a moment")


def _block(held: Held, how_long: str, draft: Draft) -> None:
    if held.mode == ACCESS_EXCLUSIVE:
        draft.risk("blocks-reads", f"{held.object} cannot be read or written {how_long}")
    elif MODES.index(held.mode) >= MODES.index(SHARE):
        draft.risk("blocks-writes", f"{held.object} cannot be written {how_long}")


def _hold_to_the_end(drafts: Sequence[Draft], inside: Sequence[bool]) -> None:
    """A lock is held to the end of the transaction: say so where what comes after it takes long.

    It goes from the end, once: a step may have thousands of statements.
    """
    later: Span | None = None
    for draft, within in zip(reversed(drafts), reversed(inside), strict=True):
        if not within:
            continue
        own = together(draft.spans)
        is_short = own is None or own.high < SHORT_SECONDS
        if is_short and later is not None and later.high >= SHORT_SECONDS:
            draft.risks = [risk for risk in draft.risks if risk.hazard != "exclusive-lock"]
            for held in draft.held.values():
                _block(held, f"while the statements after it run, {later}", draft)
        later = together([own, later])


_OPAQUE = frozenset(
    {"call", "something else", "drop an extension", "drop a schema", "drop something else", "check a domain"}
)
_DROPPED = {
    "drop a table": (("r", "p"), "table"),
    "drop a foreign table": (("f",), "foreign table"),
    "drop a view": (("v",), "view"),
    "drop a materialized view": (("m",), "materialized view"),
}
_REFERRING = ("create a table that refers to it", "add a foreign key")
_OF_THE_SERVER = ("pg_temp", "pg_catalog", "information_schema")

Handler = Callable[[Scene, Action, Table, Draft], None]

_HANDLERS: dict[str, Handler] = {
    "add column": altering.add_column,
    "drop column": altering.drop_column,
    "rename a column": altering.rename_column,
    "alter the type": altering.alter_type,
    "set NOT NULL": altering.set_not_null,
    "add a check": altering.add_check,
    "add a primary key": altering.add_key,
    "add a unique constraint": altering.add_key,
    "add an exclusion constraint": altering.add_key,
    "add a foreign key": altering.add_foreign_key,
    "validate a constraint": altering.validate,
    "drop a constraint": altering.drop_constraint,
    "switch a trigger": altering.switch_trigger,
    "set logged": altering.set_persistence,
    "set unlogged": altering.set_persistence,
    "set the access method": altering.rewrite,
    "move to a tablespace": altering.rewrite,
    "set the expression of a column": altering.rewrite,
    "vacuum full": altering.rewrite,
    "cluster": altering.rewrite,
    "refresh a materialized view": altering.rewrite,
    "refresh a materialized view concurrently": altering.rewrite,
    "attach a partition": partitions.attach,
    "stop to inherit": altering.stop_to_inherit,
    "rename a table": altering.rename_table,
    "move a table to a schema": altering.rename_table,
    "alter a view or sequence": altering.rename_other,
    "rename an index": altering.rename_index,
    "rename a constraint": altering.rename_constraint,
    "set or drop a default": altering.touch_column,
    "drop NOT NULL": altering.touch_column,
    "set the statistics of a column": altering.touch_column,
    "set options of a column": altering.touch_column,
    "set the storage of a column": altering.touch_column,
    "set the compression of a column": altering.touch_column,
    "change an identity column": altering.touch_column,
    "drop the expression of a column": altering.touch_column,
    "comment": altering.touch_column,
    "create a partition": partitions.change,
    "detach a partition": partitions.change,
    "detach a partition concurrently": partitions.change,
    "create an index": objects.create_index,
    "create an index concurrently": objects.create_index,
    "drop an index": objects.drop_index,
    "drop an index concurrently": objects.drop_index,
    "reindex a table": objects.reindex,
    "reindex an index": objects.reindex,
    "reindex a table concurrently": objects.reindex,
    "reindex an index concurrently": objects.reindex,
    "drop a table": objects.drop_table,
    "drop a foreign table": objects.drop_table,
    "drop a view": objects.drop_table,
    "drop a materialized view": objects.drop_table,
    "truncate": objects.truncate,
    "take rights": objects.take_rights,
    "switch row security": altering.switch_row_security,
    "drop a sequence": objects.drop_sequence,
    "update": rows.change,
    "delete": rows.change,
    "insert": rows.insert,
    "merge": rows.merge,
    "read": rows.read,
    "read rows to lock them": rows.read,
    "name in a view": rows.read,
    "replace a view": objects.replace_view,
}

__all__ = ["Foreseen", "Foresight"]
