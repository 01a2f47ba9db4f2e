"""Splits SQL into statements as the server would, and finds what only psql understands. Pure.

A statement ends at a semicolon that is not in quotes, in a comment, in parentheses, or in the body of a function that
is written with BEGIN ATOMIC. psql uses the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<line_comment> --[^\r\n]* )
  | (?P<comment>      /\* )
  | (?P<escaped>      [eE]'(?:[^'\\]|''|\\.)*(?P<end_escaped>')? )
  | (?P<text>         '(?:[^']|'')*(?P<end_text>')? )
  | (?P<name>         "(?:[^"]|"")*(?P<end_name>")? )
  | (?P<dollar>       \$(?:[^\W\d]\w*)?\$ )
  | (?P<word>         [^\W\d][\w$]* )
  | (?P<number>       \d[\w.$]* )
  | (?P<meta>         \\[^\r\n]* )
  | (?P<cast>         :: | := )
  | (?P<variable>     :'[^'\r\n]*' | :"[^"\r\n]*" | (?<=[\s(,=]):[^\W\d]\w* )
  | (?P<space>        \s+ )
  | (?P<other>        . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_ROUTINE = re.compile(r"CREATE( OR REPLACE)? (FUNCTION|PROCEDURE)\b")
_NOT_IN_TRANSACTION = re.compile(
    r"""
    (CREATE | DROP) [ ] (UNIQUE [ ])? INDEX [ ] CONCURRENTLY \b
  | REINDEX \b .* \b CONCURRENTLY \b
  | ALTER [ ] TABLE \b .* \b DETACH [ ] PARTITION \b .* \b CONCURRENTLY \b
  | VACUUM \b
  | (CREATE | DROP) [ ] (DATABASE | TABLESPACE | SUBSCRIPTION) \b
  | ALTER [ ] SYSTEM \b
    """,
    re.VERBOSE,
)
_BEGINS = re.compile(r"(BEGIN|START TRANSACTION)\b")
_ENDS = re.compile(r"(COMMIT|END)( WORK| TRANSACTION)?$")
_CONTROLS = re.compile(r"(BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK(?! TO\b| (?:WORK |TRANSACTION )?TO\b)|ABORT)\b")


class Endless(ValueError):
    """A quote or a comment that begins on `line` never ends."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon, with the comments before it.

    `words` are its keywords and plain names in capitals, with single spaces between them. `psql` is what only psql
    understands in it.
    """

    text: str
    line: int
    words: str
    psql: tuple[str, ...] = ()

    @property
    def refused_in_transaction(self) -> bool:
        """Whether the server refuses it inside of a transaction."""
        return _NOT_IN_TRANSACTION.match(self.words) is not None

    @property
    def reads_stdin(self) -> bool:
        """Whether it is a COPY whose rows follow in the file, which only psql and pg_restore can send."""
        return re.match(r"COPY\b.*\bFROM STDIN\b", self.words) is not None

    @property
    def controls_transaction(self) -> bool:
        """Whether it begins or ends a transaction."""
        return _CONTROLS.match(self.words) is not None


def split(text: str, first_line: int = 1) -> tuple[Statement, ...]:
    """The statements of a text. Raises Endless.

    Line ends become \\n, except inside of quotes, where they may be data. A comment after the last statement is left
    out. The rows that follow a COPY FROM STDIN stay in its text.
    """
    statements: list[Statement] = []
    state = _State(first_line)
    at, line = 0, first_line
    while at < len(text):
        token, kind, at = _next(text, at, line)
        if kind == "other" and token == ";" and state.depth == 0 and state.begins == 0:
            statement = state.end()
            if statement is not None and statement.reads_stdin:
                rows = re.compile(r"[^\n]*\n(?:.*?^\\\.[^\n]*(?:\n|\Z)|.*)", re.DOTALL | re.MULTILINE)
                found = rows.match(text, at)
                data = found[0] if found else ""
                at += len(data)
                token += data
                statement = Statement(statement.text + ";" + data.rstrip(), statement.line, statement.words)
            if statement is not None:
                statements.append(statement)
            state = _State(line)
        else:
            state.add(token, kind, line)
        line += token.count("\n")
    if (last := state.end()) is not None:
        statements.append(last)
    return tuple(statements)


def without_frame(statements: Sequence[Statement]) -> tuple[Statement, ...] | None:
    """The statements between a BEGIN that comes first and a COMMIT that comes last; None where it is not so."""
    if len(statements) < 2 or not _BEGINS.match(statements[0].words) or not _ENDS.match(statements[-1].words):
        return None
    inside = tuple(statements[1:-1])
    return None if any(one.controls_transaction for one in inside) else inside


def _next(text: str, at: int, line: int) -> tuple[str, str, int]:
    """The token at a place, its kind, and where the next one begins. Raises Endless."""
    found = _TOKEN.match(text, at)
    assert found is not None  # `other` matches anything
    kind = found.lastgroup if found.lastgroup and not found.lastgroup.startswith("end_") else ""
    kind = kind or next(name for name in ("escaped", "text", "name") if found[name] is not None)
    end = found.end()
    if kind == "comment":
        depth = 1
        while depth:
            edge = _COMMENT_EDGE.search(text, end)
            if edge is None:
                raise Endless("a comment", line)
            depth += 1 if edge[0] == "/*" else -1
            end = edge.end()
    elif kind == "dollar":
        closing = text.find(found[0], end)
        if closing < 0:
            raise Endless(f"the quote {found[0]}", line)
        end = closing + len(found[0])
    elif kind in ("escaped", "text", "name") and found[f"end_{kind}"] is None:
        raise Endless("a quote", line)
    return text[at:end], kind, end


_QUOTES = ("escaped", "text", "name", "dollar")


class _State:
    """The statement that is being read."""

    def __init__(self, line: int) -> None:
        self.depth = self.begins = self.brackets = 0
        self._pieces: list[str] = []
        self._words: list[str] = []
        self._psql: list[str] = []
        self._line = line
        self._says_something = False

    def add(self, token: str, kind: str, line: int) -> None:
        if kind not in _QUOTES:
            token = re.sub(r"\r\n?", "\n", token)
        if kind == "variable" and self.brackets:
            kind = "other"  # the upper end of a slice
        if not self._says_something and kind not in ("space", "line_comment", "comment"):
            self._says_something = True
            self._line = line
        self._pieces.append(token)
        if kind == "word":
            self._word(token.upper())
        elif kind in ("meta", "variable"):
            self._psql.append(token.strip())
        elif token in ("(", ")"):
            self.depth = max(0, self.depth + (1 if token == "(" else -1))
        elif token in ("[", "]"):
            self.brackets = max(0, self.brackets + (1 if token == "[" else -1))

    def _word(self, word: str) -> None:
        self._words.append(word)
        if self.depth or not _ROUTINE.match(" ".join(self._words[:4])):
            return
        if word == "BEGIN" or (word == "CASE" and self.begins):
            self.begins += 1
        elif word == "END" and self.begins:
            self.begins -= 1

    def end(self) -> Statement | None:
        """The statement; None when there are only spaces and comments."""
        if not self._says_something:
            return None
        return Statement("".join(self._pieces).strip(), self._line, " ".join(self._words), tuple(self._psql))


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers from 1, each with its end."""
    return enumerate(re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", text), 1)


__all__ = ["Endless", "Statement", "lines_of", "split", "without_frame"]
