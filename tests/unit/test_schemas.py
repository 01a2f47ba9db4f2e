"""The JSON schemas that editors use say what the program says of the same file."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from dataops import kinds
from dataops.config import limits, policy, settings
from dataops.errors import ConfigError
from dataops.files import aliases
from dataops.hazards import HAZARDS
from dataops.othertools import match
from tests.unit.sample import migration

ROOT = Path(__file__).parents[2]
SHOP = '[services.shop]\nengine = "postgresql"\nfolder = "pg"\n'
DOCS = '[services.docs]\nengine = "mongodb"\nfolder = "mongo"\n'


def schema(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return content


def valid(name: str, text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(schema(name)).is_valid(tomllib.loads(text)))


def test_the_schema_has_every_key_and_every_name_that_the_program_takes() -> None:
    parts = schema("dataops")["$defs"]
    assert set(parts["service"]["properties"]) == settings.SERVICE_KEYS
    assert set(parts["observed"]["properties"]) == settings.OBSERVED_KEYS
    assert set(schema("dataops")["properties"]["lint"]["properties"]) == settings.LINT_KEYS
    assert set(schema("dataops")["properties"]["documents"]["properties"]) == settings.DOCUMENTS_KEYS
    assert set(parts["policy"]["properties"]) == policy.KEYS
    assert set(parts["backfill"]["properties"]) == limits.KEYS
    assert parts["hazard"]["enum"] == list(HAZARDS)
    assert set(parts["service"]["properties"]["engine"]["enum"]) == {kind.name for kind in kinds.known()[:2]}
    assert set(schema("dataops")["properties"]["apply"]["properties"]) == settings.APPLY_KEYS
    assert parts["observed"]["properties"]["observe"]["enum"] == list(match.TOOLS)
    assert parts["service"]["properties"]["coexist"]["items"]["enum"] == list(match.TOOLS)
    assert parts["service"]["properties"]["mirror"]["oneOf"][1]["enum"] == list(match.MIRRORED)


@pytest.mark.parametrize(
    "text",
    [
        SHOP,
        SHOP + DOCS + 'depends_on = ["shop"]\nrecord = "migrations"\n',
        SHOP + 'timeouts = { lock = 0, connect = "500ms", lease = 20.5 }\nahead = "allow"\npooler = "session"\n',
        SHOP + DOCS + 'application = ["users", "a.b"]\n',
        SHOP + 'mirror = true\ncoexist = ["django", "pop"]\nignore = ["sessions"]\nonto_existing = true\n',
        SHOP + 'mirror = "sqlx"\nurl_env = "SHOP_URL"\nenv_prefix = "SHOP"\ndatabase = "shop"\n',
        '[services.kratos]\nobserve = "pop"\nexpect = "20200101"\n' + SHOP,
        SHOP + "[documents]\nsample = 0\nmissing = 1\ntype = 0.01\n",
        SHOP + "[documents]\nsample = true\n",
        SHOP + '[rehearse]\nsample = 5\nmask = ["users.email", "s.t.c"]\n',
        SHOP + "[rehearse]\nsample = 0\n",
        SHOP + '[rehearse]\nmask = ["email"]\n',
        '[backfill]\nbatch = "1s"\nmax_lag = 0\nmax_unarchived = "1 GB"\nmax_slowdown = 1.5\n' + SHOP,
        SHOP + '[services.shop.backfill]\npause_while = "SELECT 1"\npause_file = "stop"\nmin_oplog = "2h"\n',
        "[backfill]\nmax_slowdown = 1\n" + SHOP,
        "[backfill]\nmax_slowdown = 0\n" + SHOP,
        '[backfill]\nmax_unarchived = "1 pint"\n' + SHOP,
        "[backfill]\nsize = 5\n" + SHOP,
        "[apply]\nbackground = true\n" + SHOP,
        SHOP + "[rehearse]\nmasks = []\n",
        SHOP + "[documents]\nsample = -1\n",
        SHOP + "[documents]\nsample = 1.5\n",
        SHOP + "[documents]\ntype = 1.01\n",
        SHOP + "[documents]\nkind = 0\n",
        SHOP + '[environments.local]\nshop = "postgres://localhost/shop"\n',
        SHOP + '[policy]\nrefuse = ["will-fail"]\nask = ["blocks-reads"]\nrows = 5\nbytes = "10 GB"\nblocked = "5s"\n',
        SHOP + '[policy.environments.live]\nwindows = ["Mon 09:00-16:00 UTC"]\nbackup = "x"\nbackup_max_age = "1h"\n',
        SHOP
        + '[lint]\nignore = ["squawk"]\nseverity = { H009 = "warning" }\nper_path_ignores = { "pg/*" = ["H001"] }\n',
        # and what neither takes
        "",
        "[services]\n",
        '[services.shop]\nengine = "postgresql"\n',
        '[services.shop]\nengine = "oracle"\nfolder = "pg"\n',
        SHOP + 'record = "x"\n',
        SHOP + 'application = ["users"]\n',
        DOCS + 'application = ["system.views"]\n',
        DOCS + 'application = "users"\n',
        DOCS + 'record = "system.x"\n',
        DOCS + 'record = "a b"\n',
        SHOP + 'foldr = "x"\n',
        SHOP + 'depends_on = "docs"\n',
        SHOP + 'timeouts = { lock = "soon" }\n',
        SHOP + "timeouts = { lock = -1 }\n",
        SHOP + 'timeouts = { locks = "1s" }\n',
        SHOP + 'ahead = "yes"\n',
        SHOP + 'pooler = "transaction"\n',
        SHOP + 'mirror = "django"\n',
        SHOP + 'coexist = ["alembic"]\n',
        SHOP + 'coexist = ["django"]\nbeside = ["django"]\n',
        SHOP + 'onto_existing = "yes"\n',
        SHOP + 'url_env = "A-B"\n',
        '[services.kratos]\nobserve = "pop"\nfolder = "x"\n',
        '[services.kratos]\nobserve = "nothing"\n',
        SHOP + '[lint]\nseverity = { H009 = "fatal" }\n',
        SHOP + '[lint]\nignore = "squawk"\n',
        SHOP + "[other]\n",
        SHOP + '[policy]\nrefuse = ["nothing"]\n',
        SHOP + '[policy]\nrows = "many"\n',
        SHOP + '[policy]\nbytes = "10 miles"\n',
        SHOP + '[policy]\nwindows = ["always"]\n',
        SHOP + "[policy.environments.live]\nrefuses = []\n",
    ],
)
def test_schema_and_program_agree_on_dataops_toml(text: str, tmp_path: Path) -> None:
    path = tmp_path / "dataops.toml"
    path.write_text(text)
    try:
        settings.read(path)
        taken = True
    except ConfigError:
        taken = False
    assert valid("dataops", text) is taken


@pytest.mark.parametrize(
    "text",
    [
        '[sqlx]\nextension = ".sql"\nretired = ["x"]\n[sqlx.migrations]\na = { name = "1", also = ["2"] }\n',
        '[sqlx.migrations]\na = { checksum = "e", earlier = ["c"], description = "d" }\n',
        '[sqlx]\nextension = "sql"\n',
        '[sqlx]\nretired = "x"\n',
        "[sqlx]\nretired = [1]\n",
        '[sqlx]\nother = "x"\n',
        "[sqlx.migrations]\na = { name = 1 }\n",
        '[sqlx.migrations]\na = { names = "1" }\n',
        "sqlx = 1\n",
    ],
)
def test_schema_and_program_agree_on_adopt_toml(text: str, tmp_path: Path) -> None:
    (tmp_path / "adopt.toml").write_text(text)
    try:
        aliases.load("shop", tmp_path, [migration("a")])
        taken = True
    except ConfigError:
        taken = False
    assert valid("adopt", text) is taken


def test_our_own_files_are_valid() -> None:
    assert valid("dataops", (ROOT / "dataops.toml").read_text())
    found = [*ROOT.glob("mongo_migrations/**/adopt.toml"), *ROOT.glob("pg_migrations/**/adopt.toml")]
    assert found
    for path in found:
        assert valid("adopt", path.read_text()), path
