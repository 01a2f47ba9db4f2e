"""What happens when partitions come and go: which rows are in the way of their bounds."""

from __future__ import annotations

from dataops.backends.postgres.foresight.facts import Facts, Table
from dataops.backends.postgres.foresight.grammar import Action, actions
from dataops.backends.postgres.foresight.locks import ACCESS_EXCLUSIVE
from dataops.backends.postgres.foresight.scene import Draft, Scene
from dataops.backends.postgres.sql import quoted
from dataops.text import listed

_KEY = """
SELECT d.partstrat::text AS strategy, d.partexprs IS NULL AS plain, pg_get_expr(d.partexprs, d.partrelid) AS expression,
       d.partnatts AS number,
       ARRAY(SELECT a.attname::text FROM unnest(d.partattrs::int2[]) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = d.partrelid AND a.attnum = key.number ORDER BY key.at) AS columns,
       ARRAY(SELECT format_type(a.atttypid, NULL) FROM unnest(d.partattrs::int2[]) WITH ORDINALITY key (number, at)
               JOIN pg_attribute a ON a.attrelid = d.partrelid AND a.attnum = key.number ORDER BY key.at) AS types
  FROM pg_partitioned_table d WHERE d.partrelid = %(oid)s
"""
_HANDED_DOWN = """
SELECT FROM pg_attribute WHERE attrelid = %(oid)s AND attname = %(name)s AND attinhcount > 0 AND NOT attisdropped
"""
_OTHERS = """
SELECT n.nspname || '.' || c.relname AS title, pg_get_expr(c.relpartbound, c.oid) AS bound,
       pg_get_partition_constraintdef(c.oid) AS condition
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = %(oid)s AND c.relispartition
"""


def change(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A partition is made, attached or detached: the default partition may hold other rows then."""
    were_changed = scene.has_other_parts(table)
    scene.change_parts(table)
    other = scene.live(action.other) if action.other else None
    comes = action.kind in ("create a partition", "attach a partition")
    if comes and table.kind != "p":
        draft.risk("will-fail", f"{table.title} is not partitioned")
        return
    rest = scene.rest_of(table)
    if comes and "DEFAULT" in action.words and rest is not None:
        draft.risk("will-fail", f"{table.title} has a default partition already")
    if comes and not were_changed and not scene.unsure:
        _refuse_overlap(scene, action, table, draft)
    if not comes and other is not None:
        if not other.whole and not were_changed and not scene.unsure:
            draft.risk("will-fail", f"{other.title} is no partition of {table.title}")
        scene.leave_parents(other)
    if not comes and other is not None and not other.is_empty:
        draft.risk("breaks-application", f"code that reads {table.title} finds no rows of {other.title} any more")
    if rest is not None and other is not None and other.oid == rest.oid:
        scene.lose_rest(table)
    elif rest is not None:
        scene.lock(rest, ACCESS_EXCLUSIVE, action, draft)
        if comes and not rest.is_empty:
            scene.read(rest, draft)
            _ask(scene, action, table, rest, draft, inside=True)


def refuse_partial_key(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A unique key of a partitioned table has the columns by which it is partitioned."""
    if table.kind != "p" or scene.unsure or not action.columns or action.kind == "add an exclusion constraint":
        return
    [key] = scene.facts.ask(_KEY, oid=table.oid)
    if missing := [name for name in key["columns"] if name not in action.columns]:
        draft.risk("will-fail", f"a unique key of {table.title} needs {listed(missing)}, by which it is partitioned")


def refuse_key_column(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """A column by which a table is partitioned, or that another table hands down, stays as it is."""
    if scene.unsure or scene.has_left_parents(table):
        return
    name = f"{action.column} of {table.title}"
    if table.kind == "p" and action.column in scene.facts.ask(_KEY, oid=table.oid)[0]["columns"]:
        draft.risk("will-fail", f"the table is partitioned by {name}")
    elif scene.facts.ask(_HANDED_DOWN, oid=table.oid, name=action.column):
        draft.risk("will-fail", f"{name} is that of the table from which it inherits")


def _refuse_overlap(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """The bounds of another partition, of a list or a range over one column."""
    [key] = scene.facts.ask(_KEY, oid=table.oid)
    if not key["plain"] or len(key["columns"]) != 1:
        return
    for row in scene.facts.ask(_OTHERS, oid=table.oid):
        [other] = [one for one in actions(f"CREATE TABLE a PARTITION OF b {row['bound']}") if one.other]
        both = {"LIST", "RANGE"} & action.words & other.words
        if both and scene.questions.is_so(_overlap(action, other, key["types"][0], is_list="LIST" in both)):
            draft.risk("will-fail", f"the bounds are also those of {row['title']}")


def _overlap(one: Action, other: Action, type_: str, *, is_list: bool) -> str:
    if is_list:
        lists = [", ".join(f"(CAST({value} AS {type_}))" for value in action.columns) for action in (one, other)]
        mine, theirs = (f"(VALUES {values})" for values in lists)
        return f"EXISTS (SELECT FROM {mine} a (v), {theirs} b (v) WHERE a.v IS NOT DISTINCT FROM b.v)"
    parts = ["true"]
    for low, high in ((one.columns[0], other.other_columns[0]), (other.columns[0], one.other_columns[0])):
        if low.lower() != "minvalue" and high.lower() != "maxvalue":
            parts.append(f"CAST({low} AS {type_}) < CAST({high} AS {type_})")
    return " AND ".join(parts)


def attach(scene: Scene, action: Action, table: Table, draft: Draft) -> None:
    """The rows of the partition are held against its bounds."""
    part = scene.live(action.other) if action.other else None
    change(scene, action, table, draft)
    if part is None or table.kind != "p":
        return
    _refuse_other_columns(scene, table, part, draft)
    scene.read(part, draft)
    if not part.is_empty:
        _ask(scene, action, table, part, draft, inside=False)


def _refuse_other_columns(scene: Scene, table: Table, part: Table, draft: Draft) -> None:
    if scene.unsure or scene.has_other_columns(table) or scene.has_other_columns(part):
        return
    if missing := [name for name in table.columns if name not in part.columns]:
        draft.risk("will-fail", f"{part.title} has no column {listed(missing)}, as {table.title} has")
    elif more := [name for name in part.columns if name not in table.columns]:
        draft.risk("will-fail", f"{part.title} has the column {listed(more)}, which {table.title} has not")
    elif other := [name for name, one in table.columns.items() if one.written != part.columns[name].written]:
        draft.risk("will-fail", f"{listed(other)} of {part.title} has another type than in {table.title}")


def _ask(scene: Scene, action: Action, table: Table, asked: Table, draft: Draft, *, inside: bool) -> None:
    """Ask for rows in the bounds, or out of them."""
    [key] = scene.facts.ask(_KEY, oid=table.oid)
    condition = _condition(scene.facts, action, table, key)
    what = "rows that belong into the new partition" if inside else "rows outside of the bounds"
    about = f"whether {asked.title} has {what}"
    if not condition:
        scene.tell_unknown(f"{about}: it is not looked at")
        return
    columns = key["columns"] if key["plain"] else list(asked.columns)
    where = f"({condition}) IS TRUE" if inside else f"({condition}) IS NOT TRUE"
    scene.ask(about, asked, columns, draft, lambda: scene.questions.where(asked, where, what))


def _condition(facts: Facts, action: Action, table: Table, key: dict[str, str]) -> str:
    """The bounds as a condition of a row; "" where it is not known."""
    if "DEFAULT" in action.words:
        others = [row["condition"] for row in facts.ask(_OTHERS, oid=table.oid) if row["bound"] != "DEFAULT"]
        return " AND ".join(f"({other}) IS NOT TRUE" for other in others) or "true"
    if key["plain"]:
        keys = [quoted(name) for name in key["columns"]]
    elif int(key["number"]) == 1:
        keys = [f"({key['expression']})"]
    else:
        return ""
    if "HASH" in action.words:
        return f"satisfies_hash_partition({table.oid}, {', '.join(action.columns)}, {', '.join(keys)})"
    if "LIST" in action.words:
        values = [one for one in action.columns if one.upper() != "NULL"]
        parts = [f"{keys[0]} IN ({', '.join(values)})"] if values else []
        return " OR ".join([*parts, *([f"{keys[0]} IS NULL"] if len(values) < len(action.columns) else [])])
    parts = [f"{one} IS NOT NULL" for one in keys]
    for ends, least, most in ((action.columns, ">=", ">"), (action.other_columns, "<=", "<")):
        at = next((at for at, one in enumerate(ends) if one.lower() in ("minvalue", "maxvalue")), len(ends))
        if at == 0:
            continue
        last = ends[at].lower() if at < len(ends) else ""
        if ends is action.columns:
            sign = most if last == "maxvalue" else least
        else:
            sign = least if last == "maxvalue" else most
        parts.append(f"({', '.join(keys[:at])}) {sign} ({', '.join(ends[:at])})")
    return " AND ".join(parts)


__all__ = ["attach", "change"]
