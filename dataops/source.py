"""What the text of a migration file says about itself, without running it. No fact and no error holds a secret.

Reading is lazy, so that a service with ten thousand migrations answers within a second: `identity` finds the id and the
parent with a regular expression, and only `facts` and `semantic_checksum` make a syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dataops import splitting, syntax
from dataops.redaction import message_of, redact


class Unreadable(ValueError):
    """The text is not a migration. The message says why, and `line` says where, if that is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Facts:
    """What a file promises about itself: what a person has to know before running it.

    With an `autocommit` block it leaves its transaction openly. `may_commit` says that it looks as if it ends the
    transaction that it is given, or commits on a connection of its own: that is for what has to be said before the file
    runs, and what it did is then asked of the server. `both_ways` says that both functions are made of the stash's
    scopes, or of `backfills` alone, which promise that one may be run where the other has stopped. `restored` names
    what it gives back of what its backfills have put aside; None where only a run can say it. `background`: a
    deployment need not wait for it.
    """

    title: str
    reversible: bool
    irreversible_because: str
    autocommit: bool
    may_commit: bool
    repeatable: bool
    puts_aside: bool
    both_ways: bool
    backfills: bool = False
    restored: tuple[str, ...] | None = ()
    background: bool = False


def raw_checksum(source: bytes) -> str:
    """SHA-256 of the bytes. When two are equal, nothing was changed; when not, `semantic_checksum` decides."""
    return hashlib.sha256(source).hexdigest()


def identity(source: bytes, names: tuple[str, str]) -> tuple[str | None, Any]:
    """The id and the parent that a file assigns to the two variables in `names`. Raises Unreadable.

    The id is None when the file does not say one.
    """
    found = [_literal(source, name) for name in names]
    if any(value is _MISSING for value in found):
        literals = constants(parse(source))
        found = [literals.get(name, _MISSING) for name in names]
    id_, parent = found
    if id_ is not _MISSING and id_ is not None and not isinstance(id_, str):
        raise Unreadable(f"{names[0]} has to be a text, written as a literal")
    if parent is _MISSING:
        raise Unreadable(f"it does not say {names[1]} = ... as a literal at the top level")
    return (None if id_ is _MISSING else id_), parent


def needs(source: bytes) -> tuple[str, ...]:
    """What Alembic's `depends_on` names: ids, their beginnings, or labels of branches. Raises Unreadable."""
    if b"depends_on" not in source:
        return ()
    found = _literal(source, "depends_on")
    if found is _MISSING:
        found = constants(parse(source)).get("depends_on")
    named = (found,) if isinstance(found, str) else tuple(found or ())
    if not all(isinstance(one, str) for one in named):
        raise Unreadable("depends_on has to name migrations")
    return named


def depends(source: bytes) -> tuple[str, ...]:
    """The project's own files that a migration names in `depends`, so that they are part of it. Raises Unreadable."""
    if not _DEPENDS.search(source):
        return ()
    found = constants(parse(source)).get("depends")
    named = (found,) if isinstance(found, str) else found
    if not isinstance(named, list | tuple) or not all(isinstance(one, str) and one for one in named):
        raise Unreadable('depends has to be a list of files, for example depends = ["shop/db/helper.py"]')
    return tuple(named)


_DEPENDS = re.compile(rb"^depends[ \t]*[:=]", re.MULTILINE)


def replaces(source: bytes) -> dict[str, tuple[str, ...]]:
    """The migrations of which a squashed file was made, oldest first, each with its checksums. Raises Unreadable.

    The last of them is the file's own id. One that was a squashed file itself has several checksums. "" as a checksum
    means that nobody knows it.
    """
    if b"replaces" not in source:
        return {}
    found = constants(parse(source)).get("replaces", {})
    if not isinstance(found, dict):
        raise Unreadable("replaces has to give for each migration that the file replaces the checksum of its code")
    checksums = {id_: (one,) if isinstance(one, str) else one for id_, one in found.items()}
    if not all(
        isinstance(id_, str) and isinstance(ones, list | tuple) and ones and all(isinstance(one, str) for one in ones)
        for id_, ones in checksums.items()
    ):
        raise Unreadable("replaces has to give for each migration that the file replaces the checksum of its code")
    return {id_: tuple(ones) for id_, ones in checksums.items()}


def labels(source: bytes) -> tuple[str, ...]:
    """The names that Alembic's `branch_labels` gives to a branch. Raises Unreadable."""
    if b"branch_labels" not in source:
        return ()
    found = constants(parse(source)).get("branch_labels")
    return (found,) if isinstance(found, str) else tuple(one for one in found or () if isinstance(one, str))


def parse(source: bytes) -> ast.Module:
    """The syntax tree of a file. Raises Unreadable, with the line."""
    try:
        return syntax.tree_of(source)
    except SyntaxError as error:
        raise Unreadable(redact(str(error.msg)), error.lineno) from error
    except (RecursionError, MemoryError) as error:  # Python's own parser gives up
        raise Unreadable("it is nested too deeply") from error
    except ValueError as error:  # a null byte, an unknown encoding
        raise Unreadable(message_of(error)) from error


def facts(source: bytes) -> Facts:
    """Everything else that a plan says about a file. Raises Unreadable."""
    tree = parse(source)
    known = constants(tree)
    reason = _irreversible(tree, known)
    backfills = b"dataops.backfill" in source and any(_backfills(node) for node in ast.walk(tree))
    nothing_else = backfills and _only_backfills(tree)
    return Facts(
        title=_title(tree),
        reversible=not reason,
        irreversible_because=reason,
        autocommit=backfills
        or (b"autocommit_block" in source and any(_name_of(node) == "autocommit_block" for node in ast.walk(tree))),
        may_commit=_MAY_COMMIT.search(source) is not None and any(_commits(node) for node in ast.walk(tree)),
        repeatable=known.get("repeatable", nothing_else) is True,
        puts_aside=_puts_aside(tree),
        both_ways=nothing_else or {"applying", "undoing"} <= {_name_of(node) for node in ast.walk(tree)},
        backfills=backfills,
        restored=_restored(tree) if backfills else (),
        background=known.get("background") is True,
    )


def surely_reversible(source: bytes) -> bool:
    """Whether the file can be undone for sure, without a syntax tree. False means that `facts` has to decide.

    True needs a downgrade() that begins with a statement and has nothing in it that might make it empty or raise.
    """
    _, found, down = source.rpartition(b"\ndef downgrade(")
    return bool(found and _DOES.match(down)) and b"reversible" not in source and _DOUBTFUL.search(down) is None


_DOES = re.compile(rb"[^\n]*:\s*\n[ \t]+((for|if|try|while|with)\b|[A-Za-z_][\w.]*[ \t]*[.(\[=])")
_DOUBTFUL = re.compile(rb"\b(raise|pass|return)\b|\.\.\.|\"\"\"|'''")


def semantic_checksum(source: bytes) -> str:
    """SHA-256 of what the code does: comments, docstrings and formatting do not count. Raises Unreadable.

    The tree is written out by our own rules. `ast.dump` writes another text in each version of Python; ours leaves out
    empty lists, missing values and the fields that a newer grammar adds.
    """
    digest = hashlib.sha256()
    try:
        for piece in _canonical(parse(source)):
            digest.update(piece.encode())
    except RecursionError as error:
        raise Unreadable("it is nested too deeply") from error
    return digest.hexdigest()


def digest(name: str, content: bytes) -> str:
    """SHA-256 of the code of a file that migrations use; of its bytes, where it is not Python."""
    if name.endswith(".py"):
        with suppress(Unreadable):
            return semantic_checksum(content)
    return raw_checksum(content)


def constants(tree: ast.Module) -> dict[str, Any]:
    """The literals that are assigned at the top level, by name. The last assignment counts, as in Python."""
    found: dict[str, Any] = {}
    for name, value in _assigned(tree):
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, TypeError):  # TypeError: {[]: 1}
            found.pop(name, None)
    return found


def names(tree: ast.Module) -> set[str]:
    """What is assigned at the top level, literal or not."""
    return {name for name, _ in _assigned(tree)}


def _assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets, value = [node.target], node.value
        else:
            continue
        yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))


def imports(tree: ast.Module) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """What a file imports, by line: the module, with a dot for each level of a relative import, and the names from it.

    What only a type checker imports is left out.
    """
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            named = node.args[0] if node.args else None
            yield node.lineno, str(named.value) if isinstance(named, ast.Constant) else COMPUTED, ()


COMPUTED = "what it computes at run time"

_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}


def _canonical(node: object) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield f"<{type(node.value).__name__}:{node.value!a}>"  # not repr(): it differs between versions of Unicode
    elif isinstance(node, ast.AST):
        yield f"({type(node).__name__}"
        for field in node._fields:
            value: Any = getattr(node, field, None)
            if field == "body" and isinstance(node, _HAS_DOCSTRING) and _docstring_node(node) is not None:
                value = value[1:]
            if isinstance(node, ast.JoinedStr):  # Python 3.12 leaves empty pieces behind
                value = [piece for piece in node.values if not (isinstance(piece, ast.Constant) and piece.value == "")]
            if field in _IGNORED_FIELDS or value is None or value == []:
                continue
            yield f" {field}="
            yield from _canonical(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for item in node:
            yield from _canonical(item)
            yield ","
        yield "]"
    else:
        yield ascii(node)


_HAS_DOCSTRING = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Documented = ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_MISSING: Any = object()
_PLAIN = re.compile(rb"""(["'])([\x20\x21\x23-\x26\x28-\x5b\x5d-\x7e]*)\1""")  # without quotes and backslashes


def _docstring_node(node: _Documented) -> ast.Expr | None:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return first
    return None


def _title(tree: ast.Module) -> str:
    text = redact(ast.get_docstring(tree) or "").strip()
    return text.splitlines()[0].strip() if text else ""


def _literal(source: bytes, name: str) -> Any:
    """The literal assigned to `name` on one line, or _MISSING when there is not exactly one such line."""
    pattern = rb"^" + name.encode() + rb"[ \t]*(?::[^=\n]+)?=[ \t]*([^\n]*?)[ \t]*\r?$"
    lines = list(re.finditer(pattern, source, re.MULTILINE))
    if len(lines) != 1 or any(source.count(quotes, 0, lines[0].start()) % 2 for quotes in (b'"""', b"'''")):
        return _MISSING  # or a line inside a string
    if plain := _PLAIN.fullmatch(lines[0][1]):
        return plain[2].decode()
    try:
        return syntax.value_of(lines[0][1].decode())
    except (ValueError, SyntaxError):
        return _MISSING


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


_MAY_COMMIT = re.compile(rb"(?i)commit|rollback|engine|\b(end|abort)\b")
_ENDS_TRANSACTION = re.compile(
    r"\s*(commit|rollback|end|abort)(\s+(work|transaction))?(\s+and\s+(no\s+)?chain)?\s*", re.IGNORECASE
)


def _commits(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute) and node.attr == "commit":
        return True
    if isinstance(node, ast.Attribute) and node.attr == "begin":
        return _name_of(node.value) == "engine"
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _MAY_COMMIT.search(node.value.encode()):
        return any(_ENDS_TRANSACTION.fullmatch(part) for part in _statements_of(node.value))
    return False


def _statements_of(text: str) -> list[str]:
    try:
        return [statement.words for statement in splitting.split(text)]
    except splitting.Endless:  # a text that is not SQL, or a part of a statement
        return text.split(";")


def _is_call_of(name: str, node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and _name_of(node.func) == name


def _backfills(node: ast.AST) -> bool:
    """Whether it is a call of dataops.backfill."""
    return _is_call_of("backfill", node) or _is_call_of("restore", node)


def _restored(tree: ast.Module) -> tuple[str, ...] | None:
    """The names that calls of `restore` give; None where one of them is no literal."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) == "restore":
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            named = given.get("name") or given.get("place") or next(iter(node.args[1:]), None)
            if not (isinstance(named, ast.Constant) and isinstance(named.value, str)):
                return None
            names.append(named.value)
    return tuple(names)


def _only_backfills(tree: ast.Module) -> bool:
    """Whether both functions of a file do nothing but backfill."""
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name in ("upgrade", "downgrade")]
    return all(_only(statement) for function in functions for statement in _statements(function))


def _only(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.For):
        return all(map(_only, statement.body)) and not statement.orelse
    if isinstance(statement, ast.Assign):  # a constant, for readability
        return not any(isinstance(node, ast.Call) for node in ast.walk(statement.value))
    return isinstance(statement, ast.Expr) and _backfills(statement.value)


_PUTS_ASIDE = {"applying", "put_tables_aside", "put_values_aside"}
"""The functions of dataops.stash that keep what an upgrade() throws away."""


def _puts_aside(tree: ast.Module) -> bool:
    """Whether upgrade(), or a helper that it may call, keeps something in the stash for a rollback."""
    parts = [node for node in tree.body if getattr(node, "name", "") != "downgrade"]
    return any(
        _name_of(node) in _PUTS_ASIDE or (isinstance(node, ast.Call) and _backfills(node) and _keeps(node))
        for part in parts
        for node in ast.walk(part)
    )


def _keeps(call: ast.Call) -> bool:
    return any(keyword.arg == "keep" for keyword in call.keywords)


def _irreversible(tree: ast.Module, known: dict[str, Any]) -> str:
    """Why the file cannot be undone; "" when it can."""
    if known.get("reversible") is False:
        reason = known.get("irreversible_because")
        return redact(str(reason)) if reason else "it says reversible = False"
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    down = functions.get("downgrade")
    if down is None:
        imported = any(
            (alias.asname or alias.name) == "downgrade"
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        )
        return "" if imported or "downgrade" in known else "it has no downgrade()"
    body = _statements(down)
    if body and isinstance(body[0], ast.Raise):
        return "its downgrade() only raises"
    up = functions.get("upgrade")
    if not body and up is not None and _statements(up) and known.get("reversible") is not True:
        return "its downgrade() is empty although its upgrade() is not"
    return ""


def _statements(function: ast.FunctionDef) -> list[ast.stmt]:
    body = function.body[1:] if _docstring_node(function) is not None else function.body
    return [
        statement
        for statement in body
        if not isinstance(statement, ast.Pass)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
    ]
