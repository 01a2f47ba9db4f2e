"""No password in anything that is written, however it got there."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from dataops import config
from dataops.redaction import Redactor, describe, message_of, redact, secrets_in, traceback_of

ALPHABET = string.ascii_letters + string.digits + string.punctuation.replace("*", "") + " äß€😀"


def told(url: str, text: str) -> str:
    redactor = Redactor()
    redactor.learn(url)
    return redactor(text)


def spellings(password: str) -> set[str]:
    """How drivers, Python, JSON and URLs repeat a text."""
    escaped = {password, quote(password, safe=""), quote_plus(password), quote(password)}
    escaped |= {repr(password)[1:-1], ascii(password)[1:-1]}
    escaped |= {json.dumps(password)[1:-1], json.dumps(password, ensure_ascii=False)[1:-1]}
    return {spelling for spelling in escaped if spelling}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "mongodb", "mongodb+srv"])
@pytest.mark.parametrize("length", [3, 5, 12, 40])
def test_a_random_password_is_gone_in_every_spelling(scheme: str, length: int) -> None:
    """The URL is escaped as it has to be; the text holds the password as something else might write it."""
    chance = random.Random(f"{scheme} {length}")
    for _ in range(60):
        password = "".join(chance.choices(ALPHABET, k=length))
        for escape in (quote_plus, lambda text: quote(text, safe="")):
            url = f"{scheme}://someone:{escape(password)}@db:1/x?tls=true"
            for spelling in spellings(password):
                assert spelling not in told(url, f"<<{spelling}>>").replace("***", ""), (password, spelling)
            whole = told(url, f"cannot open {url}!")
            assert escape(password) not in whole.replace("***", "")


@pytest.mark.parametrize(
    ("password", "pieces"),
    [
        ("hunter2@secret", ["hunter2@secret", "hunter2", "secret"]),
        ("hunter2:secret", ["hunter2:secret", "hunter2", "secret"]),
        ("hunter2/secret", ["hunter2/secret", "hunter2", "secret"]),
        ("hunter2?secret", ["hunter2?secret", "hunter2", "secret"]),
        ("hunter2#secret", ["hunter2#secret", "hunter2", "secret"]),
        ("@:/hunter2/:@", ["@:/hunter2/:@", "hunter2"]),
        ("mongodb://x:hunter2@z", ["hunter2"]),
    ],
)
def test_a_password_that_should_have_been_escaped_is_gone_with_its_pieces(password: str, pieces: list[str]) -> None:
    """A driver cuts such a URL in unforeseen places and repeats what it takes for a host, a port or a database."""
    for scheme in ("postgres", "mongodb"):
        url = f"{scheme}://someone:{password}@db:1/x"
        text = " | ".join([url, *pieces, *(f"could not resolve host {piece}@db" for piece in pieces)])
        for piece in pieces:
            assert piece not in told(url, text), piece


@pytest.mark.parametrize("password", ["x", "ab", "%41", "ro"])
def test_a_password_of_one_or_two_characters_is_hidden_by_structure_only(password: str) -> None:
    """In free text it would be anywhere: with `ro` the word error would be `er***r`."""
    url = f"postgres://someone:{password}@db/x"
    assert told(url, f"error {password} for {url}") == f"error {password} for postgres://someone:***@db/x"


@pytest.mark.parametrize("password", ["123", "p%40ss"])
def test_short_and_percent_encoded_passwords_are_gone(password: str) -> None:
    assert f"<{password}>" not in told(f"postgres://someone:{password}@db/x", f"<{password}>")


def test_a_percent_encoded_password_is_gone_decoded() -> None:
    assert told("postgres://someone:p%40ss%2fw@db/x", "p@ss/w, p%40ss%2Fw, p%40ss%2fw") == "***, ***, ***"


@pytest.mark.parametrize("key", ["password", "sslpassword", "Password"])
def test_a_password_among_the_options_is_gone(key: str) -> None:
    url = f"postgres://db/x?user=someone&{key}=hunt%21er2&sslmode=require"
    text = told(url, f"{url} hunt%21er2 hunt!er2")
    assert "hunt" not in text
    assert "sslmode=require" in text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot open postgres://someone:hunter2@db/x now", "cannot open postgres://someone:***@db/x now"),
        ("mongodb://someone:h@nter2@db,db2/x", "mongodb://someone:***@db,db2/x"),
        ("mongodb://:hunter2@db", "mongodb://:***@db"),
        ("host=db password=hunter2 dbname=x", "host=db password=*** dbname=x"),
        ("host=db password = 'hunter 2' dbname=x", "host=db password = *** dbname=x"),
        ("postgres://db/x?password=hunter2&sslmode=require", "postgres://db/x?password=***&sslmode=require"),
        ("nothing at https://example.com:8080/a@b to hide", "nothing at https://example.com:8080/a@b to hide"),
        ("postgres://someone@db:5432/x", "postgres://someone@db:5432/x"),
        ("mongodb://a:1,b:2/x", "mongodb://a:1,b:2/x"),
    ],
)
def test_a_url_or_setting_that_we_never_learned_is_clean_too(text: str, clean: str) -> None:
    assert Redactor()(text) == clean


@pytest.mark.parametrize(
    "url",
    ["postgres://db/x", "postgres://someone@db:5432/x", "postgres://someone:@db/x", "mongodb://a:1,b:2/x?tls=true", ""],
)
def test_a_url_without_a_password_hides_nothing(url: str) -> None:
    assert secrets_in(url) == set()


def test_the_public_development_defaults_are_secrets_like_any_other() -> None:
    url = "postgres://user:password@localhost:5432/pg"
    assert told(url, f"the user has no password for {url}") == (
        "the user has no *** for postgres://user:***@localhost:5432/pg"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_longer_secret_is_masked_before_a_shorter_one(order: int) -> None:
    """Whatever was learned first; also where one secret begins inside of another one."""
    redactor = Redactor()
    for password in ("pass-word", "pass-word-2024", "2024-end", "aba", "word")[::order]:
        redactor.learn(f"postgres://someone:{password}@db/x")
    text = redactor("a pass-word-2024, a pass-word, a pass-word-2024-end, ababa, abab")
    assert text == "a ***, a ***, a ***, ***, ***b"


def test_a_text_is_redacted_before_it_is_cut() -> None:
    """A line of a migration's output, and a word between blanks, may be a part of a secret."""
    url = f"postgres://someone:{quote('first line' + chr(10) + 'second line', safe='')}@db/x"
    assert told(url, "first line") == told(url, "second line") == "***"


class Unspeakable(BaseException):
    """An exception whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("hunter2")


@pytest.mark.parametrize("error", [ValueError("no hunter2"), Unspeakable(), KeyError("hunter2"), SystemExit("hunter2")])
def test_an_exception_is_told_without_secrets_whatever_it_is(error: BaseException) -> None:
    redact.learn("postgres://someone:hunter2@db/x")
    error.add_note("hunter2")
    try:
        raise error from ValueError("hunter2")
    except BaseException as caught:  # noqa: BLE001
        texts = [message_of(caught), describe(caught), traceback_of(caught)]
    assert not any("hunter2" in text for text in texts)
    assert texts[1].startswith(type(error).__name__)
    assert "direct cause" in texts[2]


def test_what_the_configuration_reads_is_learned(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "p" / "versions").mkdir(parents=True)
    (tmp_path / "dataops.toml").write_text(
        '[services.api]\nengine = "mongodb"\nfolder = "m"\ndatabase = "x"\n'
        '[services.keys]\nengine = "postgresql"\nfolder = "p"\n'
    )
    environ = {
        "MONGODB_ADDRESS": "db",
        "MONGODB_USER": "someone",
        "MONGODB_PASSWORD": "mon go/sesame",
        "PG_CON": "postgres://someone:open%20sesame@db/x",
    }
    config.load(tmp_path / "dataops.toml", environ=environ)
    assert redact("mon go/sesame, mon+go%2Fsesame, open sesame, open%20sesame") == "***, ***, ***, ***"
