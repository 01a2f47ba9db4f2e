"""Comments that ignore a finding: which rule, and why.

    # dataops: ignore[M004] the counter starts at zero, and the filter asks for that
    # dataops: ignore-file[squawk/ban-drop-column, H008] ...

`ignore` counts for the statement that it stands in, behind or directly above. `ignore-file` counts for the whole file.
`squawk` and `squawk/*` stand for all rules of squawk but `squawk/syntax-error`; they may ignore nothing.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataops import syntax
from dataops.lint.rules import RULES, SQUAWK, Finding, named
from dataops.redaction import redact
from dataops.text import near

_DIRECTIVE = re.compile(r"#\s*dataops:\s*(ignore\b.*)", re.IGNORECASE)
_FORM = re.compile(r"ignore(-file)?\[([^\[\]]*)\]\s*[:\u2013\u2014-]*\s*(.*)")


@dataclass(frozen=True)
class Ignore:
    """One comment. `lines` are the lines of its statement; None means the whole file."""

    codes: tuple[str, ...]
    reason: str
    line: int
    lines: range | None
    used: set[str] = field(default_factory=set, compare=False)

    def covers(self, finding: Finding) -> bool:
        return bool(self.codes_for(finding)) and (self.lines is None or finding.line in self.lines)

    def codes_for(self, finding: Finding) -> tuple[str, ...]:
        """Which of its codes mean the rule of a finding."""
        code = finding.rule.code
        every = code.startswith("squawk/") and code != "squawk/syntax-error"
        return tuple(one for one in self.codes if one == code or (every and one == SQUAWK))


def read(service: str, path: Path, text: bytes, known: Callable[[str], bool]) -> tuple[list[Ignore], list[Finding]]:
    """The comments of a file, and what is wrong with them. `known` says whether squawk has a rule of that name."""
    found: list[Ignore] = []
    wrong: list[Finding] = []
    comments = list(_comments(text))
    spans = list(_spans(text)) if any(_DIRECTIVE.search(comment.string) for comment in comments) else []
    alone = {comment.start[0] for comment in comments if not comment.line[: comment.start[1]].strip()}

    def complain(code: str, line: int, message: str, hint: str = "") -> None:
        wrong.append(Finding(RULES[code], path, line, message, service, hint))

    for comment in comments:
        directive = _DIRECTIVE.match(comment.string)
        if directive is None:
            continue
        line = comment.start[0]
        form = _FORM.fullmatch(directive[1].strip())
        codes = [named(code.strip()) for code in form[2].split(",")] if form else []
        if form is None or not all(codes):
            complain("I004", line, f"{redact(repr(comment.string.strip()))} is no ignore")
            continue
        good = []
        for code in codes:
            rule = RULES.get(code)
            of_squawk = code.startswith("squawk/")
            if rule is None and code != SQUAWK and not (of_squawk and known(code.removeprefix("squawk/"))):
                complain("I002", line, f"there is no rule {redact(code)}", near(code, RULES))
            elif rule is not None and not rule.ignorable:
                complain("I002", line, f"{code} ({rule.title}) cannot be ignored", rule.fix)
            else:
                good.append(code)
        if not form[3]:
            complain("I001", line, f"why is {', '.join(codes)} ignored?")
        elif good:
            lines = None if form[1] else _statement(line, spans, alone)
            found.append(Ignore(tuple(good), redact(form[3]), line, lines))
    return found, wrong


def unused(service: str, path: Path, ignores: Sequence[Ignore], checked: Callable[[str], bool]) -> Iterator[Finding]:
    """Find comments that ignore nothing. Rules that were not checked do not count."""
    for ignore in ignores:
        for code in ignore.codes:
            if code not in (*ignore.used, SQUAWK) and checked(code):
                where = "in this file" if ignore.lines is None else "here"
                yield Finding(RULES["I003"], path, ignore.line, f"{code} finds nothing {where}", service)


def _comments(text: bytes) -> Iterator[tokenize.TokenInfo]:
    if b"dataops:" not in text:
        return
    try:
        for token in tokenize.tokenize(io.BytesIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token
    except (tokenize.TokenError, SyntaxError):  # H001 says so
        return


def _spans(text: bytes) -> Iterator[range]:
    """The lines of every statement; for a compound statement, the lines before its body."""
    for node in ast.walk(syntax.tree_of(text)):
        if isinstance(node, ast.stmt):
            compound = hasattr(node, "body") or isinstance(node, ast.Match)
            ends = [_end(part) for part in ast.iter_child_nodes(node) if not isinstance(part, _BODIES)]
            first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", []))])
            yield range(first, 1 + (max(node.lineno, *ends, 0) if compound else _end(node)))


_BODIES = (ast.stmt, ast.excepthandler, ast.match_case)


def _end(node: ast.AST) -> int:
    return max((getattr(part, "end_lineno", None) or 0 for part in ast.walk(node)), default=0)


def _statement(line: int, spans: Sequence[range], alone: set[int]) -> range:
    """The lines of the statement that a comment on this line belongs to."""
    around = [span for span in spans if line in span]
    if not around and line in alone:
        below = min((span.start for span in spans if span.start > line), default=line)
        around = [span for span in spans if span.start == below]
    innermost = min(around, key=len, default=range(line, line + 1))
    return range(min(line, innermost.start), innermost.stop)


__all__ = ["Ignore", "read", "unused"]
