"""Takes secrets out of text that is not ours: what drivers, servers, files, people and URLs say.

Such text is redacted once, where it enters: before it is cut, and before it is put into a sentence of ours. A finished
sentence, table or document is never searched, because then a password such as `error` or `voucher` would damage our own
words, names and keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

SHORTEST = 3
"""A shorter secret is masked only inside of a URL or a setting. In other text, it would also match ordinary words."""
MASK = "***"

_STRUCTURE = (
    re.compile(r":/+[^\s/@:]*:(?P<secret>[^\s/]*)@"),
    re.compile(r"(?i)\b(?:ssl)?password\s*=\s*(?P<secret>'[^']*'|[^\s&,;'\"]+)"),
)


class Redactor:
    """Masks every secret that it has learned, and whatever is in the password's place of a URL or of a setting."""

    def __init__(self) -> None:
        self._secrets: frozenset[str] = frozenset()

    def learn(self, url: str) -> None:
        """Remember the password of a URL, in every spelling in which a driver might repeat it."""
        self._secrets |= secrets_in(url)

    def __call__(self, text: str) -> str:
        spans = [found.span("secret") for pattern in _STRUCTURE for found in pattern.finditer(text)]
        spans += [span for secret in self._secrets for span in _places(secret, text)]
        return _masked(text, spans)


redact = Redactor()


def message_of(error: BaseException) -> str:
    """The message of an exception, without secrets. It also works for an exception whose `__str__` raises."""
    try:
        return redact(str(error))
    except BaseException as problem:  # noqa: BLE001  a migration may raise any class, with any __str__
        return f"no text, because its __str__ raised {type(problem).__name__}"


def describe(error: BaseException) -> str:
    """The class and the message of an exception, without secrets, for example `ValueError: no`."""
    return f"{type(error).__name__}: {message_of(error)}"


def traceback_of(error: BaseException) -> str:
    """The whole traceback of an exception, without secrets, ready to be printed."""
    import traceback  # only needed when something is wrong

    return redact("".join(traceback.format_exception(error)))


def secrets_in(url: str) -> set[str]:
    """The passwords of a URL in all their spellings. None of them is shorter than SHORTEST.

    If a password has @, : or / and is not escaped, drivers may split it there, so that its pieces count as secrets too.
    The lines of a password with several lines are secrets too, because people and programs cut text at the end of a
    line.
    """
    authority = url.partition("://")[2]
    before_query = authority.partition("?")[0]
    userinfo = before_query.rpartition("@")[0] or authority.rpartition("@")[0]
    written = userinfo.partition(":")[2]
    passwords = [written, *re.findall(r"(?i)[?&](?:ssl)?password=([^&]*)", url)]
    found = {piece for piece in re.split(r"[@:/?#\[\]]", written) if len(piece) > 3}
    for password in passwords:
        if len(unquote(password)) >= SHORTEST:
            plain = {password, unquote(password), unquote_plus(password)}
            found |= plain | {line for value in plain for line in value.splitlines()}
    return {spelling for value in found for spelling in _spellings(value) if len(spelling) >= SHORTEST}


def _spellings(value: str) -> set[str]:
    """A text as URLs, SQL, Python and JSON write it. Any of these may be in a traceback or in a driver's message."""
    return {
        value,
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
        value.replace("'", "''"),
        repr(value)[1:-1],
        ascii(value)[1:-1],
        repr(f"{value}'\"")[1:-4],  # as Python writes it inside of a text that has both kinds of quotes
        ascii(f"{value}'\"")[1:-4],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    }


def _places(secret: str, text: str) -> Iterator[tuple[int, int]]:
    """The start and the end of every place where the secret is in the text. Two places may overlap."""
    at = text.find(secret)
    while at >= 0:
        yield at, at + len(secret)
        at = text.find(secret, at + 1)


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with one mask for each group of spans that overlap.

    All spans are found before anything is replaced. If each secret were replaced in turn, the end of a long secret
    would stay visible when its beginning is a secret too.
    """
    parts = []
    end = 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += [text[end:start], MASK]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


__all__ = ["MASK", "SHORTEST", "Redactor", "describe", "message_of", "redact", "secrets_in", "traceback_of"]
