"""One service with many databases: which they are, which are meant, and what is told of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops.dev import MongoServer, PostgresServer
from tests.members import Fleet, fleet_of, mongo_fleet, postgres_fleet
from tests.projects import Project


@pytest.fixture
def tenants(postgres: PostgresServer) -> Iterator[Fleet]:
    with postgres_fleet(postgres, 5) as fleet:
        yield fleet


@pytest.fixture
def docs(mongo: MongoServer) -> Iterator[Fleet]:
    with mongo_fleet(mongo, 5) as fleet:
        yield fleet


@pytest.fixture
def shop(project: Project, tenants: Fleet) -> Project:
    """Five databases of PostgreSQL that the server names, with two migrations."""
    fleet_of(project, "tenants", tenants, {"like": tenants.prefix.replace("_", r"\_") + "%"})
    project.table("tenants", "001")
    project.table("tenants", "002")
    return project


def of(project: Project, *args: str) -> dict[str, int]:
    """How many migrations are applied in each database, by its name."""
    found = project("status", "--json", *args)
    assert found.code == 0, found.stderr
    return {one["database"]: one["applied"] for one in found.json["services"]}


# Which databases there are


def test_names_in_the_configuration(project: Project, tenants: Fleet) -> None:
    fleet_of(project, "tenants", tenants, list(tenants.names[:2]))
    project.table("tenants", "001")
    assert of(project) == dict.fromkeys(tenants.names[:2], 0)
    assert project("apply", "--yes").code == 0
    assert of(project) == dict.fromkeys(tenants.names[:2], 1)
    assert tenants.ask(tenants.names[2], "SELECT to_regclass('t_001') IS NULL") == [(True,)]


def test_a_file_with_labels(project: Project, tenants: Fleet) -> None:
    lines = ["# who", *(f"{name} region={'eu' if at % 2 else 'us'}" for at, name in enumerate(tenants.names)), ""]
    (project.folder / "tenants.txt").write_text("\n".join(lines))
    fleet_of(project, "tenants", tenants, {"file": "tenants.txt"})
    project.table("tenants", "001")
    assert project("apply", "--yes", "--label", "region=eu").code == 0
    assert [name for name, applied in of(project).items() if applied] == [tenants.names[1], tenants.names[3]]
    assert {one["labels"]["region"] for one in project("status", "--json").json["services"]} == {"eu", "us"}


def test_a_pattern_over_the_server(shop: Project, tenants: Fleet) -> None:
    assert of(shop) == dict.fromkeys(tenants.names, 0)


def test_a_pattern_over_a_mongodb(project: Project, docs: Fleet) -> None:
    fleet_of(project, "docs", docs, {"like": docs.prefix.replace("_", r"\_") + "_"}, onto_existing=True)
    project.table("docs", "001")
    assert of(project) == dict.fromkeys(docs.names, 0)
    assert project("apply", "--yes").code == 0
    assert of(project) == dict.fromkeys(docs.names, 1)
    undone = project("rollback", "--steps", "5", "--yes")
    assert undone.code == 0, undone.stderr
    assert of(project) == dict.fromkeys(docs.names, 0)


def test_a_query_on_a_control_database(project: Project, tenants: Fleet, pg: psycopg.Connection, pg_url: str) -> None:
    pg.execute("CREATE TABLE tenants (name text, region text, active bool)")
    for at, name in enumerate(tenants.names):
        pg.execute("INSERT INTO tenants VALUES (%s, %s, %s)", [name, "eu", at < 3])
    query = "SELECT name, region, active FROM tenants WHERE active"
    fleet_of(project, "tenants", tenants, {"query": query, "control_env": "CONTROL_URL"})
    project.table("tenants", "001")
    project.env["CONTROL_URL"] = pg_url
    services = project("status", "--json").json["services"]
    assert [one["database"] for one in services] == list(tenants.names[:3])
    assert services[0]["labels"] == {"region": "eu", "active": "true"}
    assert project("status", env={"CONTROL_URL": ""}).code == 4


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC name FROM tenants", "the query that names the databases fails"),
        ("DELETE FROM tenants RETURNING name", "the query must not write"),
        ("WITH gone AS (DELETE FROM tenants RETURNING name) SELECT name FROM gone", "the query must not write"),
        ("COMMIT; DELETE FROM tenants RETURNING name", "multiple commands"),
        (
            "SELECT name, region AS name FROM tenants WHERE region IS NOT NULL",
            "two columns of the query are called name",
        ),
        ("SELECT CASE WHEN active THEN name END FROM tenants", "which is a text, and not NULL"),
        ("SELECT 42 AS name FROM tenants", "which is a text, and not 42"),
        ("SELECT name FROM tenants UNION ALL SELECT name FROM tenants", "twice"),
        ("SELECT name FROM tenants WHERE false", "the query names no database"),
    ],
)
def test_a_query_that_is_wrong_writes_nothing(
    project: Project, tenants: Fleet, pg: psycopg.Connection, pg_url: str, query: str, words: str
) -> None:
    pg.execute("CREATE TABLE tenants (name text, region text, active bool)")
    for at, name in enumerate(tenants.names):
        pg.execute("INSERT INTO tenants VALUES (%s, %s, %s)", [name, tenants.names[at - 1], at > 0])
    fleet_of(project, "tenants", tenants, {"query": query, "control_env": "CONTROL_URL"})
    project.table("tenants", "001")
    project.env["CONTROL_URL"] = pg_url
    refused = project("apply", "--yes")
    assert (refused.code, words in refused.stderr) == (4, True), refused.stderr
    assert "tenants" in refused.stderr
    assert pg.execute("SELECT count(*) FROM tenants").fetchone() == (len(tenants.names),)
    assert tenants.ask(tenants.names[0], "SELECT to_regclass('t_001') IS NULL") == [(True,)]


def test_a_query_with_types_and_signs_of_every_kind(
    project: Project, tenants: Fleet, pg: psycopg.Connection, pg_url: str
) -> None:
    """A type of one's own is a text, and a % or a placeholder in the query is the query's own."""
    one, two = tenants.names[:2]
    pg.execute("CREATE TYPE tier AS ENUM ('gold'); CREATE DOMAIN called AS varchar(63)")
    pg.execute("CREATE TABLE tenants (name called, tier tier, size numeric, at date, gone text)")
    for name in (one, two):
        pg.execute("INSERT INTO tenants VALUES (%s, 'gold', 1.50, '2026-01-02', NULL)", [name])
    query = "SELECT name, tier, size, at, gone, '%s' AS sign FROM tenants WHERE name LIKE 'fleet%%' -- 5 %\n;"
    fleet_of(project, "tenants", tenants, {"query": query, "control_env": "CONTROL_URL"})
    project.table("tenants", "001")
    project.env["CONTROL_URL"] = pg_url
    found = project("status", "--json").json["services"]
    assert [one["database"] for one in found] == [one, two]
    assert found[0]["labels"] == {"tier": "gold", "size": "1.50", "at": "2026-01-02", "sign": "%s"}


def test_a_query_on_a_control_database_of_the_other_kind(project: Project, tenants: Fleet, mongo_url: str) -> None:
    with MongoClient[dict[str, Any]](mongo_url) as client:
        client.get_default_database().tenants.insert_many([{"_id": name, "tier": "gold"} for name in tenants.names])
    command = json.dumps({"find": "tenants", "sort": {"_id": 1}, "limit": 4})
    fleet_of(project, "tenants", tenants, {"query": command, "control_env": "CONTROL_URL"})
    project.table("tenants", "001")
    project.env["CONTROL_URL"] = mongo_url
    assert list(of(project, "--label", "tier=gold")) == list(tenants.names[:4])
    project.configure(tenants={"databases": {"query": '{"drop": "tenants"}', "control_env": "CONTROL_URL"}})
    refused = project("status")
    assert refused.code == 4
    assert "find, aggregate" in refused.stderr


def test_the_name_is_the_first_field_that_a_query_of_mongodb_asks_for(
    project: Project, tenants: Fleet, mongo_url: str
) -> None:
    """Documents have their fields in an order of their own, and some lack one: a label is never taken for the name."""
    a, b, *_ = tenants.names
    find = {"find": "tenants", "projection": {"_id": 0, "name": 1, "region": 1}}
    fleet_of(project, "tenants", tenants, {"query": json.dumps(find), "control_env": "CONTROL_URL"})
    project.table("tenants", "001")
    project.env["CONTROL_URL"] = mongo_url
    with MongoClient[dict[str, Any]](mongo_url) as client:
        collection = client.get_default_database().tenants
        collection.insert_many([{"region": "eu", "name": a}, {"name": b}])
        assert list(of(project)) == [a, b]
        assert list(of(project, "--label", "region=eu")) == [a]
        collection.insert_one({"region": "us"})
        refused = project("apply", "--yes")
        assert (refused.code, "and not NULL" in refused.stderr) == (4, True), refused.stderr
    pipeline = [{"$project": {"_id": 0, "name": 1, "region": 1}}]
    aggregate = json.dumps({"aggregate": "tenants", "pipeline": pipeline})
    project.configure(tenants={"databases": {"query": aggregate, "control_env": "CONTROL_URL"}})
    refused = project("apply", "--yes")
    assert (refused.code, "is not the same everywhere: name and region" in refused.stderr) == (4, True), refused.stderr
    assert tenants.ask(a, "SELECT to_regclass('t_001') IS NULL") == [(True,)]


def test_a_command_that_prints_names(project: Project, tenants: Fleet) -> None:
    program = project.folder / "tenants.sh"
    program.write_text(f"#!/bin/sh\necho {tenants.names[1]} tier=gold\necho {tenants.names[0]}\n")
    program.chmod(0o755)
    fleet_of(project, "tenants", tenants, {"command": ["./tenants.sh"]})
    project.table("tenants", "001")
    assert list(of(project)) == list(tenants.names[:2])
    program.write_text("#!/bin/sh\necho no such host >&2\nexit 3\n")
    failed = project("apply", "--yes")
    assert failed.code == 4
    assert "ended with 3: no such host" in failed.stderr


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("", "the command ./tenants.sh names no database"),
        ("echo wrong argument; exit 3", "ended with 3: wrong argument"),
        ("kill -9 $$", "was killed by signal 9"),
        (r"printf '\351\n'", "prints what is not UTF-8"),
        (r"printf 'a\000b\n'", "cannot be the name of a database"),
        ("echo a; echo a", "the command ./tenants.sh names a twice"),
        ("cat", "the command ./tenants.sh names no database"),
    ],
)
def test_a_command_that_goes_wrong(project: Project, tenants: Fleet, program: str, words: str) -> None:
    """One that reads gets nothing: the input is for our own questions."""
    script = project.folder / "tenants.sh"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    fleet_of(project, "tenants", tenants, {"command": ["./tenants.sh"]})
    project.table("tenants", "001")
    failed = project("apply", "--yes", stdin=f"{tenants.names[0]}\n")
    assert (failed.code, words in failed.stderr) == (4, True), failed.stderr
    assert "Traceback" not in failed.stderr
    script.chmod(0o644)
    assert "cannot be run: Permission denied\n" in project("status").stderr


def test_files_as_they_are_written_on_windows(project: Project, tenants: Fleet) -> None:
    """With a byte order mark and CRLF: the list, what a command prints, the secrets and dataops.toml."""
    mark, names = "\N{ZERO WIDTH NO-BREAK SPACE}", tenants.names[:2]
    password = psycopg.conninfo.conninfo_to_dict(tenants.url_of(names[0]))["password"]
    lines = mark + "".join(f"{name} region=eu\r\n" for name in names)
    (project.folder / "tenants.txt").write_text(lines, newline="")
    (project.folder / "password").write_text(f"{mark}{password}\r\n", newline="")
    fleet_of(project, "tenants", tenants, {"file": "tenants.txt", "password_file": "password"})
    project.table("tenants", "001")
    template = project.env.pop("TENANTS_URL").replace(f":{password}@", "@")
    (project.folder / "url").write_text(f"{mark}{template}\r\n", newline="")
    project.env["TENANTS_URL_FILE"] = "url"
    configuration = project.folder / "dataops.toml"
    configuration.write_text(mark + configuration.read_text().replace("\n", "\r\n"), newline="")
    assert of(project, "--label", "region=eu") == dict.fromkeys(names, 0)
    project.configure(tenants={"databases": {"command": ["cat", "tenants.txt"], "password_file": "password"}})
    assert of(project) == dict.fromkeys(names, 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("acme\nacme\n", "twice"),
        ("acme eu\n", "is no label"),
        ("acme region=eu region=us\n", "a label is there twice"),
        ("!acme\n", "cannot be the name of a database of a fleet"),
        ("a/b\n", "cannot be the name"),
        ("acme database=globex\n", "gives acme a label called database"),
        ("x" * 100_000, "a name of 100,000 characters cannot be that of a database"),
        ("/" * 100_000, "cannot be the name"),
        ("é" * 40, "PostgreSQL cannot have a database"),
        ("", "names no database"),
    ],
)
def test_a_file_that_is_wrong(project: Project, tenants: Fleet, text: str, words: str) -> None:
    (project.folder / "tenants.txt").write_text(text)
    fleet_of(project, "tenants", tenants, {"file": "tenants.txt"})
    project.table("tenants", "001")
    refused = project("plan")
    assert refused.code == 4
    assert words in refused.stderr
    assert len(refused.stderr) < 1000


@pytest.mark.parametrize(
    ("databases", "words"),
    [
        ({}, "says nothing of where its names come from"),
        ({"like": "x%", "file": "x"}, "more than one way"),
        ({"query": "SELECT 1"}, "control database"),
        ({"names": []}, "names no database"),
        ({"like": ""}, "is empty"),
        ({"like": "x%", "urls": "y"}, "unknown key"),
        (["a b"], "cannot be the name"),
        ({"names": ["a"], "url_file": "x", "password_file": "y"}, "exclude each other"),
    ],
)
def test_a_configuration_that_is_wrong(project: Project, tenants: Fleet, databases: object, words: str) -> None:
    fleet_of(project, "tenants", tenants, databases)
    refused = project("plan")
    assert refused.code == 4
    assert words in refused.stderr


def test_secrets_of_their_own(project: Project, tenants: Fleet) -> None:
    password = psycopg.conninfo.conninfo_to_dict(tenants.url_of(tenants.names[0]))["password"]
    for name in tenants.names[:2]:
        (project.folder / f"{name}.password").write_text(f"{password}\n")
    fleet_of(
        project,
        "tenants",
        tenants,
        {"names": list(tenants.names[:2]), "password_file": "{database}.password"},
    )
    project.table("tenants", "001")
    project.env["TENANTS_URL"] = tenants.url.replace(f":{password}@", "@")
    assert of(project) == dict.fromkeys(tenants.names[:2], 0)
    (project.folder / f"{tenants.names[1]}.password").unlink()
    refused = project("status")
    assert refused.code == 4
    assert f"{tenants.names[1]}.password: No such file" in refused.stderr
    for name in tenants.names[:2]:
        (project.folder / f"{name}.url").write_text(tenants.url_of(name))
    project.configure(tenants={"databases": {"names": list(tenants.names[:2]), "url_file": "{database}.url"}})
    assert of(project) == dict.fromkeys(tenants.names[:2], 0)


def test_urls_in_files_need_no_other(project: Project, tenants: Fleet) -> None:
    """Also for an environment that says none; a URL without a database means the one of that name."""
    a, b, *_ = tenants.names
    (project.folder / f"{a}.url").write_text(tenants.url_of(a))
    (project.folder / f"{b}.url").write_text(tenants.url.removesuffix("/{database}"))
    fleet_of(project, "tenants", tenants, {"names": [a, b], "url_file": "{database}.url"})
    project.table("tenants", "001")
    del project.env["TENANTS_URL"]
    assert project("apply", "--yes").code == 0
    for name in (a, b):
        assert tenants.ask(name, "SELECT to_regclass('t_001') IS NOT NULL") == [(True,)]
    configuration = project.folder / "dataops.toml"
    configuration.write_text(f"{configuration.read_text()}\n[environments.live]\n")
    assert of(project, "--env", "live") == dict.fromkeys((a, b), 1)
    project.configure(tenants={"databases": {"like": a, "url_file": "{database}.url"}})
    refused = project("status")
    assert (refused.code, "TENANTS_URL is not set" in refused.stderr) == (4, True)


def test_urls_in_files_for_mongodb(project: Project, docs: Fleet) -> None:
    a, b, *_ = docs.names
    (project.folder / f"{a}.url").write_text(docs.url_of(a))
    (project.folder / f"{b}.url").write_text(docs.url.replace("{database}", ""))
    databases = {"names": [a, b], "url_file": "{database}.url"}
    fleet_of(project, "docs", docs, databases, onto_existing=True)
    project.table("docs", "001")
    project.env.clear()
    assert project("apply", "--yes").code == 0
    assert of(project) == dict.fromkeys((a, b), 1)


def test_a_password_of_any_characters_in_a_file(project: Project, tenants: Fleet) -> None:
    password, role = "a b+c%20@:/?#é", f"{tenants.prefix}app"
    names = tenants.names[:2]
    tenants.ask(names[0], f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{password}'")
    try:
        (project.folder / "secret").write_text(f"{password}\n")
        fleet_of(project, "tenants", tenants, {"names": list(names), "password_file": "secret"})
        project.table("tenants", "001")
        url = project.env["TENANTS_URL"]
        project.env["TENANTS_URL"] = f"postgresql://{role}@{url.rpartition('@')[2]}"
        assert of(project) == dict.fromkeys(names, 0)
    finally:
        tenants.ask(names[0], f"DROP ROLE {role}")


def test_a_name_with_a_hash_in_a_file(project: Project, tenants: Fleet, postgres: PostgresServer) -> None:
    """Else another database would be meant: `acme` instead of `acme#2`."""
    odd = f"{tenants.names[0]}#2"
    postgres.create_database(odd)
    try:
        (project.folder / "tenants.txt").write_text(f"#{tenants.names[1]}\n{odd} region=eu\t# {tenants.names[2]}\n")
        fleet_of(project, "tenants", tenants, {"file": "tenants.txt"})
        project.table("tenants", "001")
        assert list(of(project)) == [odd]
    finally:
        postgres.drop_database(odd)


def test_two_names_for_one_database(project: Project, tenants: Fleet) -> None:
    for name in tenants.names[:2]:
        (project.folder / f"{name}.url").write_text(tenants.url_of(tenants.names[0]))
    fleet_of(project, "tenants", tenants, {"names": list(tenants.names[:2]), "url_file": "{database}.url"})
    project.table("tenants", "001")
    refused = project("apply", "--yes")
    assert refused.code == 4
    assert "are the same database" in refused.stderr
    assert tenants.ask(tenants.names[0], "SELECT to_regclass('t_001') IS NULL") == [(True,)]


def test_status_tells_two_names_for_one_database(project: Project, tenants: Fleet, pg_url: str) -> None:
    """Also where one of them is no fleet; a service that is only observed may share the database of another."""
    a, b, c, *_ = tenants.names
    for name in (a, b, c):
        (project.folder / f"{name}.url").write_text(tenants.url_of(a if name != c else c))
    fleet_of(project, "tenants", tenants, {"names": [a, b, c], "url_file": "{database}.url"})
    project.table("tenants", "001")
    project.add("shop", tenants.url_of(c))
    shown = project("status")
    assert shown.code == 0, shown.stderr
    assert f"✗ this is the same database as that of tenants@{a}" in shown.stdout
    assert f"error: tenants@{a}: this is the same database as that of tenants@{b}" in shown.stderr
    assert f"error: shop: this is the same database as that of tenants@{c}" in shown.stderr
    assert project("status", "--check").code == 4
    assert project("status", "--check", "--database", c).code == 2
    found = {one["service"]: one["problem"] for one in project("status", "--json").json["services"]}
    assert [name for name, problem in found.items() if problem is None] == []
    text = (project.folder / "dataops.toml").read_text().replace('folder = "shop"\n', 'observe = "pop"\n')
    (project.folder / "dataops.toml").write_text(text.replace('engine = "postgresql"\nobserve', "observe"))
    (project.folder / f"{b}.url").write_text(tenants.url_of(b))
    looked = project("status")
    assert "shop" in looked.stdout
    assert "same database" not in looked.stdout + looked.stderr


def test_a_template_with_a_label_that_one_does_not_have(project: Project, tenants: Fleet) -> None:
    (project.folder / "tenants.txt").write_text("acme region=eu\nglobex\n")
    fleet_of(project, "tenants", tenants, {"file": "tenants.txt"})
    project.table("tenants", "001")
    project.env["TENANTS_URL"] = "postgresql://app@{region}.db.invalid/{database}"
    refused = project("plan", "--database", "globex")
    assert refused.code == 4
    assert "tenants@globex has no such label" in refused.stderr


def test_a_label_in_each_place_of_the_url(project: Project, tenants: Fleet) -> None:
    """A host with its port, a user and a password of any characters, a database that is not the name, an option."""
    password, role, database = "a b+c%20@:/?#é", f"{tenants.prefix}a@b", tenants.names[0]
    server = tenants.url.rpartition("@")[2].partition("/")[0]
    assert ":" in server
    tenants.ask(database, f"CREATE ROLE \"{role}\" LOGIN SUPERUSER PASSWORD '{password}'")
    try:
        (project.folder / "password").write_text(password)
        (project.folder / "tenants.txt").write_text(f"Acme server={server} user={role} at={database} mode=disable\n")
        fleet_of(project, "tenants", tenants, {"file": "tenants.txt", "password_file": "password"})
        project.table("tenants", "001")
        project.env["TENANTS_URL"] = "postgresql://{user}@{server}/{at}?sslmode={mode}"
        assert project("apply", "--yes").code == 0
        assert tenants.ask(database, "SELECT to_regclass('t_001') IS NOT NULL") == [(True,)]
        slip = project("status", "--database", "aCME")
        assert (slip.code, "did you mean Acme?" in slip.stderr) == (64, True)
    finally:
        tenants.ask(database, f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP OWNED BY "{role}"; DROP ROLE "{role}"')


# Which are meant


def test_a_selection(shop: Project, tenants: Fleet) -> None:
    a, b, c, d, e = tenants.names
    assert list(of(shop, "--database", b, "--database", "*_d")) == [b, d]
    assert list(of(shop, "--database", f"!{b}", "--database", "!*_d")) == [a, c, e]
    assert list(of(shop, "--service", f"tenants@{c}")) == [c]
    assert list(of(shop, "--sample", "2")) == list(of(shop, "--sample", "2"))
    assert len(of(shop, "--sample", "2")) == 2


@pytest.mark.parametrize(
    "selection",
    [
        ["--database", "nobody"],
        ["--database", ""],
        ["--database", "!nobody"],
        ["--label", "region=eu"],
        ["--label", "region=eu", "--label", "region=us"],
        ["--sample", "0"],
        ["--sample", "-1"],
        ["--service", "tenants@nobody"],
        ["--database", "!*"],
    ],
)
def test_a_selection_that_fits_nothing(shop: Project, tenants: Fleet, selection: list[str]) -> None:
    refused = shop("apply", "--yes", *selection)
    assert refused.code == 64, refused.stderr
    assert "Traceback" not in refused.stderr
    assert of(shop) == dict.fromkeys(tenants.names, 0)


def test_a_selection_that_leaves_out_what_is_named_elsewhere(shop: Project, tenants: Fleet) -> None:
    a, b, *_ = tenants.names
    slip = shop("status", "--database", b.upper())
    assert (slip.code, f"there is no database {b.upper()}" in slip.stderr) == (64, True)
    assert b in slip.stderr
    path = shop.folder / "both.plan"
    assert shop("plan", "--database", a, "--database", b, "--out", str(path)).code == 0
    for args in (["apply", str(path), "--database", a], ["status", "--service", f"tenants@{b}", "--database", a]):
        refused = shop(*args)
        assert refused.code == 64
        assert f"tenants@{b} does not fit --database, --label and --sample" in refused.stderr
    assert of(shop) == dict.fromkeys(tenants.names, 0)


def test_a_slip_in_a_label_is_told_with_those_that_there_are(project: Project, tenants: Fleet) -> None:
    (project.folder / "tenants.txt").write_text(
        f"{tenants.names[0]} region=eu tier=gold\n{tenants.names[1]} region=us\n"
    )
    fleet_of(project, "tenants", tenants, {"file": "tenants.txt"})
    project.table("tenants", "001")
    refused = project("apply", "--yes", "--label", "regoin=eu")
    assert refused.code == 64
    assert "no database has the label regoin=eu; nothing was done\nhint: did you mean region=eu" in refused.stderr
    none = project("apply", "--yes", "--label", "region=us", "--label", "tier=gold")
    assert (none.code, "no database fits the selection" in none.stderr) == (64, True)
    assert of(project) == dict.fromkeys(tenants.names[:2], 0)
    assert len(of(project, "--sample", "9999")) == 2


def test_a_selection_where_there_is_no_fleet(project: Project, pg_url: str) -> None:
    project.add("shop", pg_url)
    project.table("shop", "001")
    refused = project("plan", "--database", "acme")
    assert refused.code == 64
    assert "has many databases" in refused.stderr


def test_a_selection_leaves_other_services_alone(shop: Project, tenants: Fleet, pg_url: str) -> None:
    shop.add("billing", pg_url)
    shop.table("billing", "001")
    assert shop("apply", "--yes", "--database", tenants.names[0]).code == 0
    found = {one["service"]: one["applied"] for one in shop("status", "--json").json["services"]}
    assert found["billing"] == 0
    assert sum(found.values()) == 2
    assert shop("apply", "--yes", "--service", f"tenants@{tenants.names[1]}", "--service", "billing").code == 0
    found = {one["service"]: one["applied"] for one in shop("status", "--json").json["services"]}
    assert found["billing"] == 1
    assert sum(found.values()) == 5


def test_a_target_of_all_and_of_one(shop: Project, tenants: Fleet) -> None:
    assert shop("apply", "--yes", "--to", "tenants/001").code == 0
    assert of(shop) == dict.fromkeys(tenants.names, 1)
    assert shop("apply", "--yes", "--to", f"tenants@{tenants.names[2]}/002").code == 0
    assert of(shop) == {name: 2 if name == tenants.names[2] else 1 for name in tenants.names}
    assert shop("apply", "--yes", "--to", "002").code == 0
    assert of(shop) == dict.fromkeys(tenants.names, 2)
    assert shop("rollback", "--yes", "--to", "tenants/base").code == 0
    assert of(shop) == dict.fromkeys(tenants.names, 0)


def test_a_command_for_one_service_wants_one_database(shop: Project, tenants: Fleet) -> None:
    refused = shop("inspect", "tenants")
    assert refused.code == 64
    assert f"tenants@{tenants.names[0]}" in refused.stderr
    assert shop("inspect", f"tenants@{tenants.names[0]}").code == 0


# What is told


def test_a_plan_tells_groups(shop: Project, tenants: Fleet) -> None:
    shop("apply", "--yes", "--to", "001", "--service", f"tenants@{tenants.names[1]}")
    planned = shop("plan")
    assert planned.code == 0, planned.stderr
    assert "tenants (4 databases): PostgreSQL" in planned.stdout
    assert f"tenants@{tenants.names[1]}: PostgreSQL" in planned.stdout
    assert planned.stdout.count("+ 002") == 2
    assert "Plan: 9 to apply in 5 databases of tenants" in planned.stdout
    assert shop("plan", "-v").stdout.count("+ 002") == 5
    found = shop("plan", "--json").json
    assert len(found["services"]) == 5
    told = [one for one in found["services"] if one["same_as"] is None]
    assert len(told) == 2
    assert all(step["commands"] for one in told for step in one["steps"])


def test_a_database_that_cannot_be_read_is_told_with_its_labels(shop: Project, tenants: Fleet) -> None:
    tenants.ask(
        tenants.names[1],
        "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('a'), ('b')",
    )
    found = {one["database"]: one for one in shop("status", "--json").json["services"]}
    assert not found[tenants.names[1]]["reachable"]
    assert found[tenants.names[1]]["fleet"] == "tenants"


def test_what_cannot_be_planned_is_named(shop: Project, tenants: Fleet) -> None:
    shop("apply", "--yes", "--steps", "1", "--service", f"tenants@{tenants.names[3]}")
    tenants.ask(tenants.names[3], "UPDATE alembic_version SET version_num = 'newer'")
    planned = shop("plan")
    assert planned.code == 0, planned.stderr
    assert "1 database has no plan" in planned.stdout
    assert f"✗ tenants@{tenants.names[3]}" in planned.stdout
    assert "8 to apply in 4 databases of tenants; 1 database cannot be planned" in planned.stdout
    (trouble,) = shop("plan", "--json").json["troubles"]
    assert trouble["service"] == f"tenants@{tenants.names[3]}"
    status = shop("status")
    first = status.stdout.splitlines()[1]
    assert first.startswith(f"tenants@{tenants.names[3]}")
    assert "tenants (4 databases)" in status.stdout
    assert shop("status", "--check").code == 4


def test_no_report_of_a_plan_hides_what_cannot_be_planned(shop: Project, tenants: Fleet) -> None:
    gone = tenants.names[1]
    tenants.ask(tenants.names[0], f"DROP DATABASE {gone}")
    shop.configure(tenants={"databases": list(tenants.names)})
    for form in ("table", "github", "junit", "markdown", "html", "json"):
        planned = shop("plan", "--format", form)
        assert planned.code == 0, planned.stderr
        assert f"tenants@{gone}" in planned.stdout.replace("<!-- -->", ""), form
    assert 'failures="1"' in shop("plan", "--format", "junit").stdout
    assert f"::error title=dataops%3A tenants@{gone}::" in shop("plan", "--format", "github").stdout
    assert shop("plan", "--detailed-exitcode").code == 10
    shop("apply", "--yes", "--halt-after", "9")
    rehearsed = shop("rehearse")
    assert rehearsed.code == 10
    assert f"error: tenants@{gone}: cannot connect" in rehearsed.stderr


def test_a_plan_for_databases_none_of_which_answers(shop: Project, tenants: Fleet) -> None:
    """The reason is told once, although each names its database, and however short the names are."""
    shop.env["TENANTS_URL"] = "postgresql://app@127.0.0.1:1/{database}"
    shop.configure(tenants={"databases": ["a", "b", "c", "e", "eu"]})
    planned = shop("plan")
    assert planned.code == 10
    assert "5 databases have no plan" in planned.stdout
    assert "✗ tenants (5 databases): cannot connect to 127.0.0.1:1/a:" in planned.stdout
    assert planned.stdout.count("✗") == planned.stdout.count("hint: is the server up") == 1
    assert "tenants (5 databases)" in shop("status").stdout


def test_what_failed_comes_before_what_is_up_to_date(shop: Project, tenants: Fleet) -> None:
    a, b, *_ = tenants.names
    tenants.ask(b, "CREATE TABLE t_001 (id int)")
    shop.configure(tenants={"onto_existing": True})
    shop("apply", "--yes", "--database", a, "--database", b)
    lines = shop("status").stdout.splitlines()
    assert lines[1].startswith(f"tenants@{b}"), lines
    assert "failed: apply 001" in lines[1]


def test_a_plan_does_not_say_that_groups_of_one_fleet_go_side_by_side(shop: Project, tenants: Fleet) -> None:
    one = tenants.names[1]
    ended = shop("apply", "--yes", "--to", f"tenants@{one}/001")
    assert f"1 applied in tenants@{one}" in ended.stdout
    assert "Order:" not in shop("plan").stdout


def test_doctor_groups_databases_of_different_sizes_and_with_any_name(
    project: Project, tenants: Fleet, postgres: PostgresServer
) -> None:
    odd = f"{tenants.prefix}é%"
    postgres.create_database(odd)
    try:
        tenants.ask(tenants.names[0], "CREATE TABLE big AS SELECT generate_series(1, 10000)")
        fleet_of(project, "tenants", tenants, {"names": [*tenants.names[:2], odd]})
        project.table("tenants", "001")
        shown = project("doctor").stdout
        assert shown.count("clock") == 1
        (size,) = [line for line in shown.splitlines() if "  size  " in line]
        assert f"{tenants.names[0]}: " in size
    finally:
        postgres.drop_database(odd)


def test_status_in_groups_and_in_full(shop: Project, tenants: Fleet) -> None:
    shop("apply", "--yes", "--service", f"tenants@{tenants.names[4]}")
    shown = shop("status").stdout.splitlines()
    assert len(shown) == 3
    assert "tenants (4 databases)" in shown[1]
    assert shop("status", "--check").code == 2
    assert len(shop("status", "-v").stdout.splitlines()) == 6
    assert shop("status", "--format", "name").stdout.split() == [f"tenants@{name}" for name in tenants.names]
    page = shop("status", "--format", "html").stdout
    assert "tenants (4 databases)" in page
    assert shop("status", "--format", "markdown").stdout.count("| tenants") == 2
    metrics = shop.folder / "metrics.prom"
    shop("status", "--metrics-file", str(metrics))
    assert 'dataops_fleet_databases{service="tenants",state="pending"} 4' in metrics.read_text()


def test_wait_doctor_and_drift_group(shop: Project, tenants: Fleet) -> None:
    shop("apply", "--yes")
    ready = shop("wait", "--timeout", "1s")
    assert ready.code == 0
    assert "tenants (5 databases): ready" in ready.stderr
    assert "tenants (5 databases)" in shop("doctor").stdout
    tenants.ask(tenants.names[0], "DROP TABLE t_002")
    found = shop("drift")
    assert found.code == 8, found.stderr
    assert f"tenants@{tenants.names[0]}: 1 difference" in found.stderr
    assert "tenants (4 databases): as its history up to 002" in found.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["history"],
        ["history", "--export", "csv"],
        ["history", "--verify"],
        ["stash", "list"],
        ["pause", "tenants"],
        ["resume", "tenants"],
    ],
)
def test_a_database_that_does_not_answer_is_told_after_the_others(
    shop: Project, tenants: Fleet, command: list[str]
) -> None:
    """In an emergency a pause that ends at the first of them leaves the others working."""
    assert shop("apply", "--yes").code == 0
    gone = f"{tenants.prefix}_gone"
    (shop.folder / "tenants.txt").write_text("\n".join((gone, *tenants.names)))
    shop.configure(tenants={"databases": {"file": "tenants.txt"}})
    answer = shop(*command)
    assert answer.code == 10, answer
    assert f"tenants@{gone}" in answer.stderr
    assert "nothing" not in answer.stdout + answer.stderr, "nobody knows what the database has that was not asked"
    if "--export" not in command:
        told = shop(*command, "--json")
        assert (told.code, told.json["exit_code"]) == (10, 10)
        assert [one["service"] for one in told.json["troubles"]] == [f"tenants@{gone}"]
    if command == ["history", "--verify"]:
        assert answer.stdout.count("has the hash") == 5
        assert shop(*command, "--hash", "0" * 64, "--json").json["gone"] == [], "it may be in the other database"
    if command[0] == "pause":
        paused = shop("status", "--json", "--database", f"!{gone}").json["services"]
        assert [bool(one["paused"]) for one in paused] == [True] * 5
    elif command[0] == "history":
        assert "tenants" in answer.stdout
        assert gone not in answer.stdout


def test_a_saved_plan_is_for_its_databases(shop: Project, tenants: Fleet) -> None:
    path = shop.folder / "today.plan"
    assert shop("plan", "--database", "*_a", "--database", "*_b", "--out", str(path)).code == 0
    assert shop("apply", str(path)).code == 0
    assert of(shop) == {name: 2 if name[-1] in "ab" else 0 for name in tenants.names}
    assert shop("apply", str(path)).code == 5


def test_a_database_that_is_gone_when_a_saved_plan_is_applied(
    shop: Project, tenants: Fleet, postgres: PostgresServer
) -> None:
    path = shop.folder / "today.plan"
    assert shop("plan", "--out", str(path)).code == 0
    postgres.drop_database(tenants.names[2])
    refused = shop("apply", str(path))
    assert refused.code != 0
    assert "has no database" in refused.stderr
    left = [name for name in tenants.names if name != tenants.names[2]]
    assert of(shop) == dict.fromkeys(left, 0)


def test_what_depends_on_a_fleet_comes_after_it(shop: Project, pg_url: str) -> None:
    shop.add("billing", pg_url, depends_on=["tenants"])
    shop.table("billing", "001")
    planned = shop("plan").stdout
    assert "Order: tenants, billing, side by side, but billing after tenants\n" in planned


def test_adopting_goes_through_all(shop: Project, tenants: Fleet) -> None:
    for name in tenants.names:
        tenants.ask(name, "CREATE TABLE t_001 (id int)")
        tenants.ask(name, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        tenants.ask(name, "INSERT INTO alembic_version VALUES ('001')")
    found = shop("adopt", "--write")
    assert found.code == 0, found.stderr
    assert of(shop) == dict.fromkeys(tenants.names, 1)
    assert shop("apply", "--yes").code == 0


FLYWAY = """
CREATE TABLE IF NOT EXISTS flyway_schema_history (installed_rank int PRIMARY KEY, version text, description text,
    type text, script text, checksum int, installed_by text, installed_on timestamp DEFAULT clock_timestamp(),
    execution_time int, success bool);
INSERT INTO flyway_schema_history VALUES (1, '1', 'one', 'SQL', 'V1__one.sql', 1, 'x', DEFAULT, 1, true);
CREATE TABLE t_001 (id int);
"""


def test_the_record_of_another_tool_in_each(shop: Project, tenants: Fleet) -> None:
    """The rows have other times in each database; what would be adopted is still told once."""
    for name in tenants.names:
        tenants.ask(name, FLYWAY)
    status = shop("status")
    assert f"dataops adopt --service tenants@{tenants.names[0]}; so for each of tenants (5 databases)" in status.stderr
    looked = shop("adopt")
    assert looked.code == 0, looked.stderr
    assert looked.stdout.count("V1__one.sql") == 1
    assert looked.stderr.count("Nothing was written") == 1
    assert shop("adopt", "--write").code == 0
    assert of(shop) == dict.fromkeys(tenants.names, 1)
