"""adopt.toml: what other tools call our migrations. A slip is told with file and place, and never counts half."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataops.errors import ConfigError, ExitCode
from dataops.files import aliases
from dataops.toolrecords import Alias, ToolAliases
from tests.unit.sample import migration

OURS = [migration("20240101"), migration("20240102", "20240101")]


def said(folder: Path, content: str | bytes) -> dict[str, ToolAliases]:
    (folder / "adopt.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return aliases.load("voucher", folder, OURS)


def test_the_lock_of_knex_is_called_after_its_record_unless_it_is_said(tmp_path: Path) -> None:
    assert said(tmp_path, "[knex]\nrecord = 'ops.steps'")["knex"].lock == "ops.steps_lock"
    assert said(tmp_path, "[knex]\nrecord = 'ops.steps'\nlock = 'l'")["knex"].lock == "l"


def test_without_the_file_nothing_is_said(tmp_path: Path) -> None:
    assert aliases.load("voucher", tmp_path, OURS) == {}


def test_each_tool_has_its_part(tmp_path: Path) -> None:
    content = """
        [sqlx.migrations."20240101"]
        description = "one"
        checksum = "ab"
        earlier = ["cd", "ef"]

        [knex]
        extension = ".mjs"
        retired = ["old.ts"]
        migrations."20240102" = { name = "two.ts", also = ["deux.ts"] }

        [goose]

        [liquibase]
        record = "ops.changes"
        lock = "ops.changes_lock"
        file = "db/shop.xml"
    """
    assert said(tmp_path, content) == {
        "sqlx": ToolAliases("sqlx", migrations={"20240101": Alias("", (), "one", "ab", ("cd", "ef"))}),
        "knex": ToolAliases("knex", ".mjs", ("old.ts",), migrations={"20240102": Alias("two.ts", ("deux.ts",))}),
        "goose": ToolAliases("goose"),
        "liquibase": ToolAliases("liquibase", record="ops.changes", lock="ops.changes_lock", file="db/shop.xml"),
    }


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("knex = 1", "[knex] has to be a table"),
        ("[knex]\nextensions = '.js'", "[knex]: unknown key 'extensions'"),
        ("[knex]\nrecord = 1", "[knex]: record has to be a text"),
        ("[knex]\napp = 'shop'", "[knex]: app means nothing for knex"),
        ("[sqlx]\nlock = 'x'", "[sqlx]: lock means nothing for sqlx"),
        ("[knex]\nextension = 1", "[knex]: extension has to be a text"),
        ("[knex]\nextension = 'mjs'", "[knex]: extension has to begin with a dot"),
        ("[knex]\nretired = 'a'", "[knex]: retired has to be a list of texts"),
        ("[knex]\nretired = [1]", "[knex]: retired has to be a list of texts"),
        ("[knex]\nretired = [['a']]", "[knex]: retired has to be a list of texts"),
        ("[knex]\nmigrations = []", "[knex]: migrations has to be a table"),
        ("[knex.migrations]\n20240101 = 'x'", "[knex] 20240101 has to be a table"),
        ("[knex.migrations.20240103]", "[knex]: there is no migration 20240103"),
        ("[knex.migrations.20240101]\nnom = 'x'", "[knex] 20240101: unknown key 'nom'"),
        ("[knex.migrations.20240101]\nname = ['x']", "[knex] 20240101: name has to be a text"),
        ("[knex.migrations.20240101]\nalso = 'x'", "[knex] 20240101: also has to be a list of texts"),
        ("[sqlx.migrations.20240101]\nchecksum = 12", "[sqlx] 20240101: checksum has to be a text"),
        ("[sqlx.migrations.20240101]\nearlier = [12]", "[sqlx] 20240101: earlier has to be a list of texts"),
        ("[knex.migrations]\n20240101.name = 'x'\n20240102.also = ['x']", "x is said of 20240101 and of 20240102"),
    ],
)
def test_a_slip_is_told_with_its_place(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        said(tmp_path, content)
    assert caught.value.exit_code is ExitCode.INVALID
    assert caught.value.message.startswith(str(tmp_path / "adopt.toml"))
    assert told in caught.value.message


def test_a_wrong_id_is_answered_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        said(tmp_path, "[knex.migrations.20240103]")
    assert "20240102" in caught.value.hint


@pytest.mark.parametrize("content", ["[knex\n", "\n[knex]\nextension = .mjs\n", "[knex]\n[knex]\n"])
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"adopt.toml:\d:"):
        said(tmp_path, content)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adopt.toml"):
        said(tmp_path, b"[knex]\nretired = ['\xff']")


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adopt.toml").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        aliases.load("voucher", tmp_path, OURS)
