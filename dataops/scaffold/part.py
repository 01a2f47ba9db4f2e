"""One file of a template, and what it is about."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A column of a table, or a field of a collection, as the command line names it; "" for what it does not say.

    `to` is its new name. `type` and `value` are SQL; for MongoDB, `value` is JSON.
    """

    table: str
    column: str
    to: str = ""
    type: str = ""
    value: str = ""

    @property
    def name(self) -> str:
        """What names of constraints, triggers and indexes begin with."""
        return f"{self.table.rpartition('.')[2]}_{self.column}"


@dataclass(frozen=True)
class Part:
    """A file: what is added to its title, what its docstring says, and its code.

    `imports` and `above` are lines between the docstring and the functions; those that name it come by themselves.
    """

    title: str
    about: str
    up: str
    down: str
    imports: str = ""
    above: str = ""

    def text(self, head: str, identity: str, parameters: str, title: str) -> str:
        """The whole file. `head` are the imports of every file of its kind, `identity` the lines with its id."""
        about = textwrap.fill(self.about, 116)
        imports = "\n".join(part for part in (head, self.imports) if part)
        above = f"{identity}\n{self.above}".rstrip()
        up, down = (textwrap.indent(textwrap.dedent(body).strip(), "    ") for body in (self.up, self.down))
        result = " -> None"
        return (
            f'"""{title}\n\n{about}\n"""\n\n{imports}\n\n{above}\n\n\n'
            f"def upgrade({parameters}){result}:\n{up}\n\n\ndef downgrade({parameters}){result}:\n{down}\n"
        )


__all__ = ["Part", "Place"]
