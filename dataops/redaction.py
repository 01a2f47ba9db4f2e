"""Takes secrets out of text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus


class Redactor:
    """Takes secrets out of any text that may reach a person, a log, a file or a database."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def learn(self, url: str) -> None:
        """Remember the password of a URL, in every spelling in which a driver might repeat it."""
        self._secrets |= secrets_in(url)

    def __call__(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        text = re.sub(r"(://[^\s/@:]*):[^\s/]*@", r"\1:***@", text)
        return re.sub(r"(?i)\b((?:ssl)?password\s*=\s*)('[^']*'|[^\s&,;'\"]+)", r"\1***", text)

    def within(self, content: Any) -> Any:
        """The same document without secrets in any of its texts: what is written out stays well-formed."""
        if isinstance(content, str):
            return self(content)
        if isinstance(content, Mapping):
            return {key: self.within(value) for key, value in content.items()}
        return [self.within(value) for value in content] if isinstance(content, (list, tuple)) else content


redact = Redactor()


def secrets_in(url: str) -> set[str]:
    """The password parts of a URL: as written, decoded and encoded.

    A password that should have been escaped and was not (it holds @, : or /) is taken apart by drivers in unforeseen
    places, so that its pieces count as secrets too.
    """
    authority = url.partition("://")[2]
    before_query = authority.partition("?")[0]
    userinfo = before_query.rpartition("@")[0] or authority.rpartition("@")[0]
    written = userinfo.partition(":")[2]
    found = {written, unquote(written), unquote_plus(written)}
    found |= {piece for piece in re.split(r"[@:/?#\[\]]", written) if len(piece) > 3}
    query = re.findall(r"(?i)[?&](?:ssl)?password=([^&]*)", url)
    found |= {form for value in query for form in (value, unquote(value))}
    found |= {escape(value) for value in found for escape in (quote, quote_plus, lambda text: quote(text, safe=""))}
    # As Python and JSON write texts: a traceback, a driver's message or a document may hold it so.
    found |= {repr(value)[1:-1] for value in found} | {ascii(value)[1:-1] for value in found}
    found |= {json.dumps(value)[1:-1] for value in found} | {
        json.dumps(value, ensure_ascii=False)[1:-1] for value in found
    }
    return {value for value in found if value and value.lower() not in {"password", "user", "postgres"}}
