"""The rules, each with a code that never changes, and what a finding is. docs/rules.md explains every rule.

Codes begin with H for the history, F for what a file does when it is run, M for MongoDB, P for PostgreSQL, I for
comments that ignore, and `squawk/` for squawk's own rules.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path


class Severity(enum.Enum):
    """An error makes the command exit with 7. A warning is only shown.

    By default, a rule is an error if what it finds may lose or damage data, harm the application while the migration
    runs, or leave a history that cannot be run. It is a warning if what it finds costs time or a person's attention.
    docs/rules.md gives the reason for each warning, and `[lint]` in dataops.toml may say otherwise.
    """

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Rule:
    """What is wrong, in one line, and what to do about it. `ignorable`: a comment with a reason may ignore it.

    `fails`: the file cannot be run at all, and the command exits with 4.
    """

    code: str
    title: str
    fix: str
    severity: Severity = Severity.ERROR
    ignorable: bool = True
    fails: bool = False


@dataclass(frozen=True)
class Finding:
    """A rule that is broken, and where. Lines count from 1. `sql` is the line of SQL that breaks it, if it is SQL."""

    rule: Rule
    path: Path
    line: int
    message: str
    service: str = ""
    hint: str = ""
    sql: str = ""

    @property
    def fix(self) -> str:
        """What to do: about this finding if that is known, else about the rule in general."""
        return self.hint or self.rule.fix


_OURS = (
    Rule("H001", "the file cannot be read", "mend the file at that line", ignorable=False),
    Rule("H002", "the file does not say which migration it is", "write id and parent as literals: see dataops new"),
    Rule("H003", "two files have the same id", "give one of them an id of its own", ignorable=False),
    Rule("H005", "the parent does not exist", "name the file before it as its parent", ignorable=False),
    Rule("H006", "two migrations have the same parent", "let the newer one name the other as its parent",
         ignorable=False),
    Rule("H007", "the parents go round in a circle", "one of them has to name a parent that is not among them",
         ignorable=False),
    Rule("H008", "an id is older than its parent's",
         "give it a new time, or another parent: see dataops new", Severity.WARNING),
    Rule("H009", "there is no title",
         "begin the file with a docstring whose first line says what it does", Severity.WARNING),
    Rule("H010", "it cannot be undone, and does not say why",
         'write downgrade(), or say reversible = False and irreversible_because = "..."', Severity.WARNING),
    Rule("H011", "it imports code that may change",
         'copy what it needs into the file, or pin what it imports: depends = ["shop/db/helper.py"]', Severity.WARNING),
    Rule("H012", "it was edited after it came into the base",
         "put the old text back and write a new migration; comments, docstrings and formatting may change"),
    Rule("H013", "it is in the base and is missing here", "put the file back and undo it by a new migration"),
    Rule("H014", "the base has gone on meanwhile", "merge the base, and let this one name its last as its parent",
         ignorable=False),
    Rule("H015", "it is still the template", "write what it does; if it is meant to do nothing, say reversible = True",
         Severity.WARNING),
    Rule("H016", "its id is longer than the record has room for", "give it an id of at most 32 characters"),
    Rule("H017", "its id is one that Alembic refuses", "use letters, digits and _"),
    Rule("H018", "depends names a file that is not there", "correct the path: it begins at the folder of dataops.toml"),
    Rule("F001", "it fails, whatever the database answers", "mend the file at that line", fails=True),
    Rule("I001", "an ignore gives no reason", "say why after the bracket: # dataops: ignore[M004] because ...",
         ignorable=False),
    Rule("I002", "an ignore names a rule that does not exist", "all of them: dataops docs rules", ignorable=False),
    Rule("I003", "an ignore ignores nothing", "remove it", Severity.WARNING, ignorable=False),
    Rule("I004", "an ignore cannot be understood", "write # dataops: ignore[M004] because ...", ignorable=False),
    Rule("M001", "it reads without a limit into memory",
         "let the server do it, or read in batches: dataops.stash.mongo.batches"),
    Rule("M002", "it writes row by row",
         "one update_many or aggregate with $merge, or bulk_write for each batch", Severity.WARNING),
    Rule("M003", "a unique index, and nobody has looked for duplicates",
         "look first, with $group and a count above 1, or catch DuplicateKeyError and say which", Severity.WARNING),
    Rule("M004", "a second run changes it again",
         "let the filter ask for what the update changes, so that a second run finds nothing"),
    Rule("M005", "it throws away what is not put aside",
         "put it into the stash first: stash.keep, stash.take, stash.drop_index (dataops.stash.mongo)"),
    Rule("M006", "$out replaces a whole collection", "use $merge into the collection, or stash.plan"),
    Rule("M007", "a rename may meet a collection that is there",
         "look at list_collection_names() first, and stash.take what is in the way"),
    Rule("M008", "a TTL index deletes documents that are there",
         "give expired documents a new date first, or let the application delete them"),
    Rule("M009", "it is about more than one thing",
         "make two migrations of it: each can then be undone by itself", Severity.WARNING),
    Rule("M010", "it does not say that it can be run again",
         "make a second run end in the same documents and say repeatable = True", Severity.WARNING),
    Rule("M011", "it changes what dataops keeps in the database",
         "take it out: the record, the journal and the lock are written by dataops only"),
    Rule("P001", "the file raises when it is loaded", "mend the file; its top level has to work without a database",
         fails=True),
    Rule("P002", "its statements are not known without a database",
         "write them so that they need no answer from the database", Severity.WARNING),
    Rule("P003", "it begins or ends a transaction",
         "remove it: a step is one transaction; what cannot be goes into op.get_context().autocommit_block()"),
    Rule("P004", "it changes what dataops keeps in the database",
         "take it out: the record, the journal and the stash of another migration are written by dataops only"),
)  # fmt: skip

SQUAWK = "squawk"
"""Means all rules of squawk, in a comment and in dataops.toml. `squawk/*` is the same."""


def named(name: str) -> str:
    """A rule or a group of rules, as it is looked up by whatever way it is written."""
    return SQUAWK if name == f"{SQUAWK}/*" else name


RULES = {rule.code: rule for rule in _OURS}

OF_OLD_FILES = frozenset({"H001", "H003", "H005", "H006", "H007", "H012", "H013", "H014", "F001", "P001"})
"""What is told with `--base` of a file too that has not changed since: this branch may be what broke it.

A new file can have the same id as an old one, or the same parent, and a module that an old file imports can be gone.
"""

OF_DATA_AND_SIZE = frozenset({"M003", "M008", "M009"})
"""What a squashed file cannot do wrong, because it runs in an empty database and stands for many files.

The same is true of all of squawk's rules but that about syntax.
"""


__all__ = ["OF_DATA_AND_SIZE", "OF_OLD_FILES", "RULES", "SQUAWK", "Finding", "Rule", "Severity", "named"]
