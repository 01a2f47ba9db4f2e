"""What is read from a migration file without running it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from dataops import source
from dataops.errors import BrokenFile
from dataops.kinds import ALEMBIC, MONGODB, POSTGRESQL, PYMONGO_MIGRATE
from dataops.model import Migration
from dataops.source import Unreadable

ALEMBIC_NAMES = (ALEMBIC.id_variable, ALEMBIC.parent_variable)
MONGO_NAMES = (PYMONGO_MIGRATE.id_variable, PYMONGO_MIGRATE.parent_variable)

FILE = '''"""Add a table.

More words.
"""

from alembic import op

revision = "a1"
down_revision = None


def upgrade() -> None:
    """What it does."""
    op.execute(
        """
        CREATE TABLE t (
            id INT
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE t")
'''


def checksum(text: str | bytes) -> str:
    return source.semantic_checksum(text.encode() if isinstance(text, str) else text)


# --- the semantic checksum


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Add a table.", "Add one table, and say why."),
        ('"""Add a table.\n\nMore words.\n"""\n', ""),
        ('    """What it does."""\n', ""),
        ('    """What it does."""\n', "    # What it does.\n"),
        ("from alembic import op\n", "from alembic import op  # the operations\n"),
        ('revision = "a1"', "revision = 'a1'"),
        ('revision = "a1"', 'revision = ("a1")'),
        ('revision = "a1"', 'revision = u"a1"'),
        ('revision = "a1"', 'revision = "a" "1"'),
        ('revision = "a1"\ndown_revision = None', 'revision = "a1"; down_revision = None'),
        ('op.execute("DROP TABLE t")', 'op.execute(\n        "DROP TABLE t",\n    )'),
        ("    ", "  "),
        ("\n\n\n", "\n"),
        ("\n", "\r\n"),
    ],
)
def test_comments_docstrings_and_formatting_are_no_change(old: str, new: str) -> None:
    """Of four spaces and line ends only those outside of strings."""
    if old == "    ":
        text = "\n".join("  " + line[4:] if line.startswith("    op") else line for line in FILE.split("\n"))
        text = text.replace('    """What', '  """What')
    else:
        text = FILE.replace(old, new)
    assert text != FILE
    assert checksum(text) == checksum(FILE)


def test_a_byte_order_mark_is_no_change() -> None:
    assert checksum(b"\xef\xbb\xbf" + FILE.encode()) == checksum(FILE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DROP TABLE t", "DROP TABLE u"),
        ("DROP TABLE t", "drop table t"),
        ("DROP TABLE t", "DROP TABLE t "),
        ("            id INT", "            id INT -- a comment in SQL is sent to the server"),
        ("            id INT", "          id INT"),
        ("def downgrade", "def downgrade_"),
        ("-> None", "-> int"),
        ('revision = "a1"', 'revision = "a2"'),
        ("down_revision = None", 'down_revision = "a0"'),
        ('    op.execute("DROP TABLE t")', '    op.execute("DROP TABLE t")\n    op.execute("DROP TABLE t")'),
        ('op.execute("DROP TABLE t")', 'op.execute(b"DROP TABLE t")'),
        ("None\n", "None\nx = 1\n"),
        ("None\n", "None\nx = 1.0\n"),
        ("None\n", "None\nx = True\n"),
        ("None\n", "None\nx = '1'\n"),
    ],
)
def test_code_and_the_text_of_sql_are_a_change(old: str, new: str) -> None:
    assert old in FILE
    assert checksum(FILE.replace(old, new)) != checksum(FILE)


def test_every_value_counts_with_its_type() -> None:
    values = ["1", "1.0", "True", "'1'", "b'1'", "1j", "None", "...", "-1", "[1]", "(1,)", "{1}", "{1: 1}", "f'{1}'"]
    assert len({checksum(f"x = {value}\n") for value in values}) == len(values)


@pytest.mark.parametrize(
    ("digest", "text"),
    [
        ("88a523652a74512412ebf707db44b4b90412e5cd068ae7dd4031b2f71bda75c2", FILE),
        (
            "c4ab73bc90998292f1d82e96baf574c90c206b97e1d3ff528aaa34bcedc29603",
            'x = f"a{b}c" "d" f"{e!r:>{w}}"\n',
        ),
        (
            "b857c0d4ca0d8219385d5bac4e2671a75beb5b00e8310b9741a96f7d89d76252",
            'x = f"{a!s:{b}.{c}}" f"{d=}" f"" "" f"{g:}{{}}"\n',
        ),
        (
            "e363a97f008949bb1e7b8763c649b4d0efd355066d2ebd95de14c8a5190b9cd8",
            'x = "\U0001fae8 \u0cf3 \u00e9 \ue000"\n',
        ),
        (
            "2c3b541e9ba221fb8ded3044a39091ba4a81886c04e86cc56fb39fde398ca0fb",
            "x = 1_000, 0x10, 1e400, 1j, -0.0, .1, 10**3, True, None, ..., b'a\\xff', '\\ud800'\n",
        ),
        (
            "5b945f46546bc5456c711225069bb71febc78566444a5a16be0f1630e32a58d3",
            "match x:\n  case {'a': 1, **r} if r: pass\n  case [1, *_] | None: pass\n  case C(a=1) as y: pass\n",
        ),
        (
            "adbbca4a5997e369a08cd769126bd3cd8775390fd6f02c4d68b117eb14015612",
            "def f(a: int=1, /, b=2, *c, d, e=3, **g) -> None:\n  async def h(): await x\n  lambda x, /, *y: 1\n",
        ),
        (
            "1ace677632b4badcf2818123856bd21a79d52e4f72e94995d35214ff2a117106",
            "with (a as b, c): pass\ntry:\n  pass\nexcept* X: pass\nelse: 1\nfinally: 2\n",
        ),
        (
            "658f8187173f76a66c1d6c73ee3ab7aba5c7940d2ba52222a3abb6eeb7f02bc9",
            "x = {**a, 1: 2}, a[1:2, ::3, ...], [*b], b[*c], {y for y in z if y}, (i async for i in j)\n",
        ),
        (
            "b57b5ed1f9599506ff10e46befc97fe446545df247c6f58d0e7505a3eb1eb501",
            "class A(B, metaclass=C):\n  '''d'''\n  x: int\n  '''attribute'''\n",
        ),
        (
            "77fc2a00c841a260449979d98f2db0f7277460e43948b5bc41aab24453de15a1",
            "@a\nasync def f():\n  '''d'''\n  global b\n  async with c: pass\n  for d in e: break\n"
            "  else: continue_()\n",
        ),
        (
            "d0ff6c3902b8b81051953877efb9d64dc86b32b61cdc3cab62472279193da54c",
            "from . import b as c\nfrom ..x import *\nimport d.e\ndel a\nassert x, y\n"
            "if (a := b) < c <= d not in e: raise f from g\n",
        ),
    ],
)
def test_the_checksum_is_the_same_on_every_python(digest: str, text: str) -> None:
    """A journal is read by another Python than wrote it. These are from 3.11, 3.12 and 3.13, which agree: about the
    empty pieces of an f-string that early releases of 3.12 leave in the tree, and about characters new in Unicode 15.
    """
    assert checksum(text) == digest


def test_the_raw_checksum_is_that_of_the_bytes() -> None:
    assert source.raw_checksum(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


# --- which migration it is


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('revision = "a1"\ndown_revision = None\n', ("a1", None)),
        ("revision = 'a1'\ndown_revision = 'a0'\n", ("a1", "a0")),
        ('revision: str = "a1"\ndown_revision: str | None = "a0"\n', ("a1", "a0")),
        ('revision: Annotated[str, "x=y"] = "a1"\ndown_revision: Union[str, None] = None\n', ("a1", None)),
        ('revision = "a1"  # the first\ndown_revision = None  # of all\n', ("a1", None)),
        ('revision="a1"\r\ndown_revision\t=\t"a0"\r\n', ("a1", "a0")),
        ('revision = (\n    "a1"\n)\ndown_revision = (\n    "a0"\n)\n', ("a1", "a0")),
        ('revision = \\\n    "a1"\ndown_revision = "a" \\\n    "0"\n', ("a1", "a0")),
        ('revision = "a1"; down_revision = "a0"', ("a1", "a0")),
        ('revision = version = "a1"\ndown_revision = None\n', ("a1", None)),
        ('revision = "\\x61" "1"\ndown_revision = "a0"', ("a1", "a0")),
        ('revision = "a0"\nrevision = "a1"\ndown_revision = None\n', ("a1", None)),
        ('"""Doc.\n\nrevision = "no"\n"""\nrevision = "a1"\ndown_revision = None\n', ("a1", None)),
        ('"""Doc.\n\nrevision = "no"\n"""\nrevision: A["="] = "a1"\ndown_revision = None\n', ("a1", None)),
        ("'''\nrevision = 'no'\n'''\nrevision = \\\n'a1'\ndown_revision = None\n", ("a1", None)),
        ('revision = "a1"\ndown_revision = ("a0", "b0")\n', ("a1", ("a0", "b0"))),
        ('\ufeffrevision = "a1"\ndown_revision = None\n', ("a1", None)),
        ('odd = {[]: 1}\nrevision = (\n"a1")\ndown_revision = None\n', ("a1", None)),
        ("down_revision = None\n", (None, None)),
        ("if x:\n    revision = 'no'\ndown_revision = None\n", (None, None)),
        ("revision = make()\ndown_revision = 'a0'\n", (None, "a0")),
    ],
)
def test_identity_is_found_however_it_is_written(text: str, found: tuple[str | None, Any]) -> None:
    assert source.identity(text.encode(), ALEMBIC_NAMES) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('name = "a"\ndependencies = []\n', ("a", [])),
        ("dependencies = ['a']\n", (None, ["a"])),
        ('name: str = "a"\ndependencies: list[str] = [\n    "b",\n]\n', ("a", ["b"])),
        ('"""Doc:\n\nname = "other"\n"""\ndependencies = []\n', (None, [])),
        ('dependencies = []\nHELP = """\nname = "other"\n"""\n', (None, [])),
    ],
)
def test_identity_of_a_mongodb_migration(text: str, found: tuple[str | None, Any]) -> None:
    assert source.identity(text.encode(), MONGO_NAMES) == found


@pytest.mark.parametrize(
    ("text", "why", "line"),
    [
        ('revision = "a1"\n', "it does not say down_revision = ... as a literal at the top level", None),
        ('revision = "a1"\ndown_revision = make()\n', "it does not say down_revision", None),
        ("revision = 5\ndown_revision = None\n", "revision has to be a text", None),
        ('down_revision = (\n"a0")\ndef upgrade(:\n', "invalid syntax", 3),
        ('x = "\ndown_revision = (\n"a0")\n', "unterminated string literal", 1),
        ("down_revision = (\n'a0\0')\n", "null bytes", None),
        ("# coding: nonsense\ndown_revision = (\n'a0')\n", "nonsense", None),
    ],
)
def test_what_is_no_migration_says_why_and_where(text: str, why: str, line: int | None) -> None:
    with pytest.raises(Unreadable, match=why) as caught:
        source.identity(text.encode(), ALEMBIC_NAMES)
    assert line is None or caught.value.line == line


def test_a_file_that_does_not_parse_is_named_wherever_it_is_looked_at() -> None:
    migration = Migration("a1", (), Path("x/a1.py"), POSTGRESQL, b"revision = 'a1'\n\ndef upgrade(:\n")
    for ask in ("checksum", "title", "reversible", "atomic", "repeatable"):
        with pytest.raises(BrokenFile, match="x/a1.py:3: invalid syntax") as caught:
            getattr(migration, ask)
        assert caught.value.hint


@pytest.mark.parametrize("text", ["x = " + "(" * 300 + ")" * 300, "x = " + "-" * 5000 + "1", "x = 1" + " + 1" * 5000])
def test_a_file_nested_too_deeply_is_told(text: str) -> None:
    """How deep is too deep differs from one Python to the next."""
    migration = Migration("a1", (), Path("a1.py"), POSTGRESQL, text.encode())
    told = []
    for ask in ("checksum", "atomic"):
        try:
            getattr(migration, ask)
        except BrokenFile as error:
            told.append(error.message)
    assert told
    assert all(message.startswith("a1.py: it is nested") or "parenthes" in message for message in told)


# --- what it promises


def facts(text: str) -> source.Facts:
    return source.facts(text.encode())


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (FILE, "Add a table."),
        ('"""\n  Add it.  \nMore.\n"""\n', "Add it."),
        ("'''Add it.'''\n", "Add it."),
        ('""""""\n', ""),
        ("# Add it.\n", ""),
        ("", ""),
    ],
)
def test_the_title_is_the_first_line_of_the_docstring(text: str, title: str) -> None:
    assert facts(text).title == title


UP = "def upgrade():\n    op.execute('x')\n"

IRREVERSIBLE = {
    "it has no downgrade()": UP,
    "its downgrade() is empty although its upgrade() is not": UP + "def downgrade():\n    pass\n",
    "its downgrade() only raises": UP + "def downgrade():\n    '''No.'''\n    raise NotImplementedError\n",
    "it says reversible = False": UP + "def downgrade():\n    op.execute('y')\nreversible = False\n",
    "rows are gone": "reversible = False\nirreversible_because = 'rows are gone'\n" + UP,
}


@pytest.mark.parametrize("why", IRREVERSIBLE)
def test_what_cannot_be_undone_says_why(why: str) -> None:
    found = facts(IRREVERSIBLE[why])
    assert (found.reversible, found.irreversible_because) == (False, why)


@pytest.mark.parametrize(
    "text",
    [
        UP + "def downgrade():\n    op.execute('y')\n",
        UP + "from other import downgrade\n",
        UP + "from other import undo as downgrade\n",
        UP + "reversible = True\ndef downgrade():\n    pass\n",
        "def upgrade():\n    pass\ndef downgrade():\n    pass\n",
        UP + "def downgrade():\n    if not op:\n        raise ValueError\n    op.execute('y')\n",
    ],
)
def test_what_can_be_undone(text: str) -> None:
    assert facts(text).reversible


BODIES = [
    "pass",
    "...",
    "0",
    "None",
    "'text'",
    '"text"',
    '"call(it)"',
    'r"op.execute(x)"',
    '"""op.execute(x)"""',
    "'''\n    op.execute(x)\n    '''",
    '"op" \\\n    "x"',
    '"op \\\n    op.execute(x)"',
    "raise NotImplementedError",
    "return",
    "return None",
    "# op.execute(x)\n    pass",
    "'text'\n    # op.execute(x)",
    "op.execute(x)",
    "with undoing(db, name) as stash:\n        stash.restore(x)",
    "for x in y:\n        op.execute(x)",
    "db[x].drop()",
    "x = 1",
]
SHAPES = [
    "def downgrade():\n    {body}\n",
    "def downgrade() -> None:  # why\n    {body}\n",
    "def downgrade(db: Database[dict[str, Any]]) -> None:\n    {body}\n\n\ndef helper():\n    op.execute('z')\n",
    "def downgrade(\n    db,\n):\n    {body}\n",
    "def downgrade(\n    db=op.thing(),\n):\n    {body}\n",
    "def downgrade(): {body}\n",
    "def downgrade():\r\n    {body}\r\n",
    "'''\ndef downgrade():\n    op.execute('z')\n'''\ndef downgrade():\n    {body}\n",
    "def downgrade():\n    {body}\n'''\ndef downgrade():\n    op.execute('z')\n'''\n",
    "def downgrade():\n    {body}\nreversible = False\n",
    "def downgrade():\n    {body}\nx = 'y'\nop.execute(x)\n",
    "def downgrade():\n    {body}\nif x:\n    op.execute(x)\n",
]


def test_the_shortcut_to_reversible_never_says_yes_wrongly() -> None:
    yes = 0
    for body in BODIES:
        for shape in SHAPES:
            text = (UP + shape.replace("{body}", body)).encode()
            try:
                ast.parse(text)
            except SyntaxError:
                continue
            if source.surely_reversible(text):
                yes += 1
                assert source.facts(text).reversible, text.decode()
    assert yes >= 10  # it is of use


def test_a_block_that_commits_by_itself_is_seen_however_it_is_reached() -> None:
    for block in ("op.get_context().autocommit_block()", "context.autocommit_block()", "autocommit_block()"):
        assert facts(f"def upgrade():\n    with {block}:\n        pass\n").autocommit
    assert not facts("# no autocommit_block() here\ndef upgrade():\n    'nor an autocommit_block()'\n").autocommit


@pytest.mark.parametrize(
    ("text", "repeatable"),
    [
        ("repeatable = True", True),
        ("repeatable: bool = True", True),
        ("repeatable = False", False),
        ("repeatable = 1", False),
        ("repeatable = 'True'", False),
        ("if x:\n    repeatable = True", False),
        ("", False),
    ],
)
def test_repeatable_is_a_promise_made_in_so_many_words(text: str, repeatable: bool) -> None:
    assert facts(text).repeatable is repeatable


@pytest.mark.parametrize(
    ("body", "may_commit"),
    [
        ("op.execute('COMMIT')", True),
        ("op.execute('INSERT INTO t VALUES (1); commit;')", True),
        ("op.execute('ROLLBACK AND CHAIN')", True),
        ("op.get_bind().commit()", True),
        ("with op.get_bind().engine.begin() as c:\n        pass", True),
        ("Session(op.get_bind().engine).commit()", True),
        ("op.execute('ROLLBACK TO SAVEPOINT a')", False),
        ("op.execute('COMMIT PREPARED the_order')", False),
        ("op.execute('CREATE TABLE t (commit int) ON COMMIT DROP')", False),
        ("op.execute('DO $$ BEGIN PERFORM 1; COMMIT; END $$')", False),
        ("op.execute('CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END')", False),
        ("op.execute('SELECT 1; -- and then\\nCOMMIT')", True),
        ("op.execute('COMMENT ON TABLE t IS $$x$$')", False),
        ("inspect(op.get_bind().engine)", False),
        ("with op.get_bind().begin_nested():\n        pass", False),
    ],
)
def test_what_looks_as_if_it_commits_is_not_promised_as_one_transaction(body: str, may_commit: bool) -> None:
    text = f'"""Commit to a new currency."""\ndef upgrade():\n    {body}\n'
    assert facts(text).may_commit is may_commit


def test_only_postgresql_without_a_block_of_its_own_is_atomic() -> None:
    block = b"def upgrade():\n    with op.get_context().autocommit_block():\n        pass\n"
    found = {
        (kind, name): Migration("a", (), Path("a.py"), kind, text).atomic
        for kind in (POSTGRESQL, MONGODB)
        for name, text in (("plain", b"def upgrade():\n    pass\n"), ("block", block))
    }
    assert found == {
        (POSTGRESQL, "plain"): True,
        (POSTGRESQL, "block"): False,
        (MONGODB, "plain"): False,
        (MONGODB, "block"): False,
    }
