"""TOML files, read key by key. A value that makes no sense is refused, with its file, its place and a remedy."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataops.errors import ConfigError
from dataops.redaction import redact
from dataops.text import near


def read(path: Path, *, hint: str = "", optional: bool = False) -> dict[str, Any]:
    """The content of a file; nothing for a missing file that is `optional`.

    Raises ConfigError with the line where there is one. `hint` is the remedy for a file that cannot be opened.
    """
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        if optional and isinstance(error, FileNotFoundError):
            return {}
        raise ConfigError(f"{path}: {error.strerror}", hint=hint) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", redact(str(error)))
        text = re.sub(r" \(at line.*", "", str(error))
        raise ConfigError(f"{path}:{line[1] if line else '?'}: {text}", hint="mend the TOML at that line") from error


@dataclass(frozen=True)
class Table:
    """One table of a file. `where` names it in every error, and `manual` is the page that describes it."""

    values: Mapping[str, Any]
    where: str
    manual: str

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def get(self, key: str, default: object = None) -> Any:
        """The value as it was written, which the caller checks."""
        return self.values.get(key, default)

    def only(self, known: Iterable[str]) -> None:
        """Raise ConfigError for the first key that is not known, with the keys that look like it."""
        known = sorted(known)
        for key in self.values:
            if key not in known:
                raise ConfigError(f"{self.where}: unknown key {redact(repr(key))}", hint=near(key, known))

    def table(self, key: str, where: str) -> Table:
        """The table under a key, which may be empty or missing. Raises ConfigError for anything else."""
        return table(self.values.get(key, {}), where, self.manual)

    def text(self, key: str) -> str:
        """A text that has to be there and must not be empty. Raises ConfigError."""
        value = self.values.get(key)
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{self.where}: {key} is missing", hint=f'write {key} = "..."; {self.manual}')
        return value

    def optional_text(self, key: str, default: str = "") -> str:
        """A text, or the default where it is missing or empty. Raises ConfigError for anything else."""
        return self.text(key) if self.values.get(key, "") != "" else default

    def texts(self, key: str, refusal: str, hint: str = "") -> tuple[str, ...]:
        """A list of texts, which may be missing. Raises ConfigError, in the words of `refusal`."""
        value = self.values.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ConfigError(f"{self.where}: {key} has to be a {refusal}", hint=hint)
        return tuple(value)

    def flag(self, key: str) -> bool:
        """True or false; false where it is missing. Raises ConfigError for anything else."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise ConfigError(f"{self.where}: {key} has to be true or false", hint=f"write {key} = true; {self.manual}")
        return value

    def one_of(self, key: str, allowed: Collection[str], default: object = None) -> str:
        """A value that has to be one of these. Raises ConfigError, naming all of them."""
        return one_of(allowed, self.values.get(key, default), f"{self.where}: {key}")


def table(value: object, where: str, manual: str) -> Table:
    """A value that has to be a table. Raises ConfigError."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where} has to be a table", hint=manual)
    return Table(value, where, manual)


def one_of(allowed: Collection[str], value: object, where: str) -> str:
    """The value, which has to be one of the allowed ones. Raises ConfigError, naming all of them."""
    for known in allowed:
        if value == known:
            return known
    raise ConfigError(
        f"{where}: {redact(repr(value))} is not one of {', '.join(repr(known) for known in allowed if known)}"
    )


__all__ = ["Table", "one_of", "read", "table"]
