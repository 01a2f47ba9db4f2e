"""Which services there are, and how to reach them."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from psycopg import conninfo
from pymongo.uri_parser import parse_uri

from dataops import __version__, config
from dataops.durations import parse_duration
from dataops.errors import ConfigError, DataopsError, ExitCode, UsageError
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Ahead, Service, Timeouts

TWO = """
[services.api]
engine = "mongodb"
folder = "mongo"
database = "galoy"

[services.api-keys]
engine = "postgresql"
folder = "pg"
"""
THREE = f"""{TWO}
[services.voucher]
engine = "postgresql"
folder = "pg"
url_env = "VOUCHER_URL"

[environments.compose]
api = "mongodb://localhost:27017/galoy"
voucher = "postgres://user:password@localhost:5430/voucher?sslmode=disable"
"""
WHOLE = {"MONGODB_CON": "mongodb://db/galoy", "API_KEYS_PG_CON": "postgres://db/keys"}


def project(tmp_path: Path, toml: str = TWO) -> Path:
    """A configuration whose folders hold no migrations."""
    for folder in ("mongo", "pg/versions"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    path = tmp_path / "dataops.toml"
    path.write_text(toml)
    return path


def url(tmp_path: Path, environ: Mapping[str, str], name: str = "api", toml: str = TWO, **options: Any) -> str:
    """The URL that this environment leads to, when only this service is chosen."""
    return config.load(project(tmp_path, toml), selected=[name], environ=environ, **options).services[0].url


def refused(
    tmp_path: Path,
    toml: str = TWO,
    by: type[DataopsError] = ConfigError,
    environ: Mapping[str, str] = WHOLE,
    **options: Any,
) -> DataopsError:
    with pytest.raises(by) as caught:
        config.load(project(tmp_path, toml), environ=environ, **options)
    assert type(caught.value) is by
    assert caught.value.exit_code is (ExitCode.USAGE if by is UsageError else ExitCode.INVALID)
    return caught.value


# --- the file


def test_a_service_is_a_paragraph(tmp_path: Path) -> None:
    toml = """
        [services.api]
        engine = "mongodb"
        folder = "mongo"
        depends_on = ["voucher"]
        ahead = "allow"

        [services.voucher]
        engine = "postgresql"
        folder = "pg"
        url_env = "V"
        pooler = "session"
        timeouts = { connect = "500ms", lock = "2m", table_lock = 3, statement = "1h", lease = 1.5 }
    """
    path = project(tmp_path, toml)
    environ = {"MONGODB_CON": "mongodb://db/galoy", "V": "postgresql://db/voucher"}
    api = Service(
        "api",
        MONGODB,
        environ["MONGODB_CON"],
        tmp_path / "mongo",
        depends_on=("voucher",),
        ahead=Ahead.ALLOW,
        top=tmp_path,
    )
    timeouts = Timeouts(connect=0.5, lock=120, table_lock=3, statement=3600, lease=1.5)
    voucher = Service(
        "voucher",
        POSTGRESQL,
        environ["V"],
        tmp_path / "pg",
        timeouts=timeouts,
        session_pooler=True,
        top=tmp_path,
    )
    found = config.load(path, environ=environ)
    assert found == config.Config(path, (api, voucher), ("api", "voucher"), found.variables)
    assert {"V", "V_FILE", "PG_CON", "MONGODB_CON", "MONGODB_PASSWORD_FILE"} <= found.variables
    assert found.service("voucher") is found.services[1]


def test_a_timeout_of_0_is_no_limit_where_that_makes_sense(tmp_path: Path) -> None:
    toml = TWO + "timeouts = { lock = 0, table_lock = '0s', statement = '0' }"
    loaded = config.load(
        project(tmp_path, toml), environ={"PG_CON": "postgres://db/x", "MONGODB_CON": "mongodb://db/x"}
    )
    timeouts = loaded.services[-1].timeouts
    assert (timeouts.lock, timeouts.table_lock, timeouts.statement) == (0, 0, 0)


def test_the_url_is_not_in_the_repr_of_a_service(tmp_path: Path) -> None:
    loaded = config.load(project(tmp_path), selected=["api-keys"], environ={"PG_CON": "postgres://u:s3cret@db/keys"})
    assert "s3cret" not in repr(loaded)


def test_selected_services_come_in_the_order_of_the_file_and_need_no_variable_of_the_others(tmp_path: Path) -> None:
    environ = {"API_KEYS_PG_CON": "postgres://db/keys", "VOUCHER_URL": "postgres://db/voucher"}
    found = config.load(project(tmp_path, THREE), selected=["voucher", "api-keys"], environ=environ)
    assert [service.name for service in found.services] == ["api-keys", "voucher"]
    assert found.names == ("api", "api-keys", "voucher")


def test_commands_that_reach_no_database_need_no_variable(tmp_path: Path) -> None:
    found = config.load(project(tmp_path), environ={}, with_urls=False)
    assert [service.url for service in found.services] == ["", ""]


def test_a_service_that_does_not_exist_is_refused_with_near_names(tmp_path: Path) -> None:
    error = refused(tmp_path, by=UsageError, selected=["api-key"])
    assert (error.message, error.hint) == ("there is no service api-key", "did you mean api-keys or api?")


def test_the_file_is_found_upwards(tmp_path: Path) -> None:
    path = project(tmp_path)
    assert config.find(tmp_path / "pg" / "versions") == path
    assert config.find(tmp_path) == path


def test_a_file_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no dataops.toml in {re.escape(str(tmp_path))} or above it"):
        config.find(tmp_path)
    with pytest.raises(ConfigError, match="nowhere.toml: No such file or directory"):
        config.load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[services.api]\nengine = 'mongodb'\nfolder = \n", ":3: Invalid value"),
        ("[services.api\n", ":1: "),
        ("[services.api]\n[services.api]\n", ":2: "),
        ("x = 1\n" * 2, ":2: Cannot overwrite a value"),
        ("[services.api]\nengine = 'mong", ":?: "),
    ],
)
def test_malformed_toml_is_refused_with_file_and_line(tmp_path: Path, toml: str, message: str) -> None:
    assert message in refused(tmp_path, toml).message.replace(f"{tmp_path}/dataops.toml", "") or (
        message == ":?: " and "dataops.toml:" in refused(tmp_path, toml).message
    )


def test_toml_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = project(tmp_path)
    path.write_bytes(b"# \xff\n")
    with pytest.raises(ConfigError, match=r"dataops.toml: not UTF-8 at byte 2"):
        config.load(path, environ={})


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("", "there is no [services.NAME] in it", "dataops docs configuration"),
        ("services = 3", "there is no [services.NAME] in it", "dataops docs configuration"),
        ("[services]", "there is no [services.NAME] in it", "dataops docs configuration"),
        (TWO + "[service.x]\na = 1", "unknown key 'service'", "did you mean services?"),
        ("[services]\napi = 3", "[services.api] has to be a table", "dataops docs configuration"),
        (TWO.replace("services.api", 'services."a@b"', 1), "[services.a@b]: an @ stands between", "another name"),
        (TWO.replace("folder", "foldr", 1), "[services.api]: unknown key 'foldr'", "did you mean folder"),
        (TWO.replace('"mongodb"', '"mysql"'), "engine: 'mysql' is not one of 'mongodb', 'postgresql'", ""),
        (TWO.replace('engine = "mongodb"', ""), "engine: None is not one of 'mongodb', 'postgresql'", ""),
        (TWO.replace('folder = "mongo"', ""), "[services.api]: folder is missing", "dataops docs configuration"),
        (TWO.replace('folder = "mongo"', "folder = 5"), "[services.api]: folder is missing", 'write folder = "..."'),
        (TWO.replace('"mongo"', '"nowhere"'), "/nowhere does not exist", "correct `folder` in dataops.toml"),
        (TWO + "ahead = 'yes'", "ahead: 'yes' is not one of 'refuse', 'allow'", ""),
        (TWO + "ahead = ['allow']", "ahead: ['allow'] is not one of 'refuse', 'allow'", ""),
        (TWO + "pooler = 'transaction'", "pooler: 'transaction' is not one of 'session'", ""),
        (TWO + "timeouts = 5", "timeouts has to be a table", "dataops docs configuration"),
        (TWO + "timeouts = { locks = 5 }", "timeouts: unknown key 'locks'", "did you mean lock"),
        (TWO + "timeouts = { lock = 'soon' }", "timeouts.lock: 'soon' is not a duration", "500ms, 60s, 2m or 1h"),
        (TWO + "timeouts = { lock = true }", "timeouts.lock: True is not a duration", "500ms"),
        (TWO + "timeouts = { lock = -1 }", "timeouts.lock: -1 is not a duration", "500ms"),
        (TWO + "timeouts = { lease = '0s' }", "timeouts.lease: '0s' is too short", "at least 1 s;"),
        (TWO + "timeouts = { lease = '900ms' }", "timeouts.lease: '900ms' is too short", "at least 1 s;"),
        (TWO + "timeouts = { connect = 0 }", "timeouts.connect: 0 is too short", "at least 0.001 s;"),
        (TWO + "timeouts = { table_lock = 0.0001 }", "timeouts.table_lock: 0.0001 is too short", "0.001 s, or 0"),
        (TWO + "timeouts = { statement = '999d' }", "timeouts.statement: '999d' is too long", "at most 20 days"),
        (TWO + "depends_on = 'api'", "depends_on has to be a list of service names", ""),
        (TWO + "depends_on = [['api']]", "depends_on has to be a list of service names", ""),
        (TWO + "depends_on = ['apis']", "depends_on names 'apis'", "did you mean api?"),
        (TWO + "depends_on = ['api-keys']", "depends_on names 'api-keys'", ""),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, toml: str, message: str, hint: str) -> None:
    error = refused(tmp_path, toml)
    assert message in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("edges", "loop"),
    [
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "b -> c -> b"),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["a"]}, "a -> b -> d -> a"),
    ],
)
def test_services_that_depend_on_each_other_in_a_circle_are_refused(
    tmp_path: Path, edges: dict[str, list[str]], loop: str
) -> None:
    toml = "".join(
        f'[services.{name}]\nengine = "postgresql"\nfolder = "pg"\nurl_env = "X"\ndepends_on = {others}\n'
        for name, others in edges.items()
    )
    error = refused(tmp_path, toml, environ={"X": "postgres://db/x"})
    assert error.message.endswith(f"depends_on goes round in a circle: {loop}")


def test_a_service_depends_also_on_what_those_that_it_depends_on_depend_on(tmp_path: Path) -> None:
    """a after b and c, which come after d: whichever of them has nothing to do, the others keep their order."""
    edges = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
    toml = "".join(
        f'[services.{name}]\nengine = "postgresql"\nfolder = "pg"\nurl_env = "X"\ndepends_on = {others}\n'
        for name, others in edges.items()
    )
    found = config.load(project(tmp_path, toml), environ={"X": "postgres://db/x"}).services
    assert {one.name: sorted(one.depends_on) for one in found} == {
        "a": ["b", "c", "d"],
        "b": ["d"],
        "c": ["d"],
        "d": [],
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("60s", 60), ("2m", 120), ("1h", 3600), ("1d", 86400), ("7", 7), (" 1.5 s ", 1.5), (3, 3), (0, 0)],
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 week", "1m30s", "1e3", "nan", "inf", None, True, [1]])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ConfigError, match="is not a duration"):
        parse_duration(text)


# --- named environments


def test_a_named_environment_has_the_urls_and_no_variable_counts(tmp_path: Path) -> None:
    found = config.load(
        project(tmp_path, THREE), environment="compose", selected=["api", "voucher"], environ={"PG_CON": "nonsense"}
    )
    assert [service.url for service in found.services] == [
        "mongodb://localhost:27017/galoy",
        "postgres://user:password@localhost:5430/voucher?sslmode=disable",
    ]


def test_a_named_environment_without_a_url_for_a_service_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, THREE, environment="compose")
    assert error.message == "the environment compose says no URL for api-keys"
    assert "[environments.compose] in dataops.toml" in error.hint


def test_an_environment_that_does_not_exist_is_refused_with_near_names(tmp_path: Path) -> None:
    assert refused(tmp_path, THREE, by=UsageError, environment="composed").hint.startswith("did you mean compose? how ")
    assert refused(tmp_path, TWO, by=UsageError, environment="compose").hint.startswith("there are none yet; ")


@pytest.mark.parametrize("environments", ["3", "{ compose = 3 }"])
def test_environments_that_are_no_tables_are_refused(tmp_path: Path, environments: str) -> None:
    error = refused(tmp_path, f"environments = {environments}\n{TWO}", environment="compose")
    assert "has to be a table" in error.message


def test_our_own_compose_environment_has_the_ports_of_the_development_compose_file() -> None:
    path = Path(__file__).resolve().parents[2] / "dataops.toml"
    urls = {service.name: service.url for service in config.load(path, environment="compose", environ={}).services}
    assert {name: re.findall(r"localhost:(\d+)/", url) for name, url in urls.items()} == {
        "api": ["27017"],
        "api-keys": ["5431"],
        "notifications": ["5433"],
        "voucher": ["5430"],
    }


# --- PostgreSQL


@pytest.mark.parametrize(
    "given",
    [
        "postgres://u:p@db:5431/pg",
        "postgresql://u:p@db:5431/pg",
        "postgres://u:p@db/pg?sslmode=verify-full&sslrootcert=/etc/ca.pem&sslcert=/a%20b",
        "postgres:///pg?host=/run/postgresql",
        "postgres://one:1,two:2/pg?target_session_attrs=read-write",
    ],
)
def test_a_postgresql_url_is_taken_as_it_is(tmp_path: Path, given: str) -> None:
    assert url(tmp_path, {"API_KEYS_PG_CON": given}, "api-keys") == given


def test_the_variable_is_named_after_the_service_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    environ = {"API_KEYS_PG_CON": "postgres://db/keys", "VOUCHER_URL": "postgres://db/voucher"}
    assert url(tmp_path, environ, "api-keys", THREE) == environ["API_KEYS_PG_CON"]
    assert url(tmp_path, environ, "voucher", THREE) == environ["VOUCHER_URL"]


def test_plain_pg_con_counts_when_exactly_one_postgresql_service_is_chosen(tmp_path: Path) -> None:
    environ = {"PG_CON": "postgres://db/x", "MONGODB_CON": "mongodb://db/galoy"}
    path = project(tmp_path, THREE)
    for selected in (["voucher"], ["api-keys"], ["api", "voucher"]):
        found = config.load(path, selected=selected, environ=environ)
        assert found.services[-1].url == "postgres://db/x"
    error = refused(tmp_path, THREE, environ=environ)
    assert error.message == "API_KEYS_PG_CON is not set"
    assert "PG_CON counts only when exactly one PostgreSQL service is selected" in error.hint
    refused(tmp_path, THREE, environ=environ, selected=["api-keys", "voucher"])


def test_the_services_own_variable_goes_before_pg_con(tmp_path: Path) -> None:
    environ = {"PG_CON": "postgres://db/x", "API_KEYS_PG_CON": "postgres://db/keys"}
    assert url(tmp_path, environ, "api-keys") == "postgres://db/keys"


@pytest.mark.parametrize("environ", [{}, {"API_KEYS_PG_CON": ""}, {"PG_CON": "", "API_KEYS_PG_CON_FILE": ""}])
def test_a_missing_postgresql_variable_is_named(tmp_path: Path, environ: dict[str, str]) -> None:
    error = refused(tmp_path, environ=environ, selected=["api-keys"])
    assert (error.service, error.message) == ("api-keys", "API_KEYS_PG_CON is not set")
    assert "set API_KEYS_PG_CON to postgresql://USER:PASSWORD@HOST/DATABASE, or API_KEYS_PG_CON_FILE to" in error.hint


@pytest.mark.parametrize("given", ["mysql://u:s3cret@db/x", "db:5432/x", "host=db password=s3cret", "mongodb://db/x"])
def test_something_else_than_a_postgresql_url_is_refused_and_not_shown(tmp_path: Path, given: str) -> None:
    error = refused(tmp_path, environ={"API_KEYS_PG_CON": given}, selected=["api-keys"])
    assert error.message == "API_KEYS_PG_CON is not a postgresql URL: it has to begin with postgres:// or postgresql://"
    assert "s3cret" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize("password", ["p@ss", "a/b", "@", "/", "12/34", "a@b:c/d?e#f", "p?ss", "p#ss"])
@pytest.mark.parametrize("scheme", ["postgres", "mongodb"])
def test_a_password_that_has_to_be_escaped_and_is_not_is_refused_and_not_shown(
    tmp_path: Path, scheme: str, password: str
) -> None:
    """libpq would take what follows the first @ for the host, and show it in its errors."""
    variable, name = ("API_KEYS_PG_CON", "api-keys") if scheme == "postgres" else ("MONGODB_CON", "api")
    error = refused(tmp_path, environ={variable: f"{scheme}://user:{password}@db:1/x"}, selected=[name])
    assert error.message == f"{variable}: the user or the password holds characters that have to be escaped"
    assert "%40" in error.hint
    assert "%2F" in error.hint


@pytest.mark.parametrize("given", ["p:ss", "p ss", "p%40ss", "p%2Fss", "p+ss", "pässword", "p%ss"])
def test_other_characters_in_a_password_are_the_drivers_business(tmp_path: Path, given: str) -> None:
    whole = f"postgres://user:{given}@db/x"
    assert url(tmp_path, {"API_KEYS_PG_CON": whole}, "api-keys") == whole


@pytest.mark.parametrize("given", ["postgres://db/x?options=-c%20a@b", "postgres://db/x?a=b/c@d", "postgres://u@db/x"])
def test_an_at_sign_elsewhere_is_fine(tmp_path: Path, given: str) -> None:
    assert url(tmp_path, {"API_KEYS_PG_CON": given}, "api-keys") == given


# --- MongoDB


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"MONGODB_CON": "mongodb://db/galoy"}, "mongodb://db/galoy"),
        ({"MONGODB_CON": "mongodb://db"}, "mongodb://db/galoy"),
        ({"MONGODB_CON": "mongodb://db/"}, "mongodb://db/galoy"),
        ({"MONGODB_CON": "mongodb://db", "MONGODB_DATABASE": "other"}, "mongodb://db/other"),
        ({"MONGODB_CON": "mongodb://db/this", "MONGODB_DATABASE": "other"}, "mongodb://db/this"),
        ({"MONGODB_CON": "mongodb://db?tls=true"}, "mongodb://db/galoy?tls=true"),
        (
            {"MONGODB_CON": "mongodb://u:p%40@a:1,b:2/g?replicaSet=rs0&tls=true&tlsCAFile=/etc/ca.pem"},
            "mongodb://u:p%40@a:1,b:2/g?replicaSet=rs0&tls=true&tlsCAFile=/etc/ca.pem",
        ),
        (
            {"MONGODB_CON": "mongodb+srv://u:p@cluster.example"},
            "mongodb+srv://u:p@cluster.example/galoy?authSource=admin",
        ),
        ({"MONGODB_CON": "mongodb://%2Ftmp%2Fmongodb.sock/g"}, "mongodb://%2Ftmp%2Fmongodb.sock/g"),
        ({"MONGODB_CON": "mongodb://db/g", "MONGODB_ADDRESS": "elsewhere"}, "mongodb://db/g"),
        ({"MONGODB_ADDRESS": "db"}, "mongodb://db/galoy"),
        ({"MONGODB_ADDRESS": "db:27018"}, "mongodb://db:27018/galoy"),
        ({"MONGODB_ADDRESS": "a,b:27018,c"}, "mongodb://a,b:27018,c/galoy"),
        ({"MONGODB_ADDRESS": "db", "MONGODB_DATABASE": "other"}, "mongodb://db/other"),
        ({"MONGODB_ADDRESS": "mongodb://db:1/this", "MONGODB_DATABASE": "other"}, "mongodb://db:1/this"),
        ({"MONGODB_ADDRESS": "mongodb://db/?replicaSet=rs0"}, "mongodb://db/galoy?replicaSet=rs0"),
        (
            {"MONGODB_ADDRESS": "a,b", "MONGODB_USER": "u", "MONGODB_PASSWORD": "p"},
            "mongodb://u:p@a,b/galoy",
        ),
        (
            {"MONGODB_ADDRESS": "mongodb://db/x?tls=true", "MONGODB_USER": "u", "MONGODB_PASSWORD": "p"},
            "mongodb://u:p@db/x?tls=true",
        ),
        (
            {"MONGODB_ADDRESS": "mongodb://me:mine@db/x", "MONGODB_USER": "u", "MONGODB_PASSWORD": "p"},
            "mongodb://me:mine@db/x",
        ),
    ],
)
def test_the_ways_to_say_where_mongodb_is(tmp_path: Path, environ: dict[str, str], expected: str) -> None:
    assert url(tmp_path, environ) == expected


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({"MONGODB_CON": "mongodb://u:s3cret@db"}, "MONGODB_CON"),
        ({"MONGODB_CON": "mongodb://u:s3cret@db/?tls=true"}, "MONGODB_CON"),
        ({"MONGODB_ADDRESS": "db", "MONGODB_USER": "u", "MONGODB_PASSWORD": "s3cret"}, "MONGODB_ADDRESS"),
    ],
)
def test_a_mongodb_url_without_a_database_is_refused_where_nothing_else_names_one(
    tmp_path: Path, environ: dict[str, str], source: str
) -> None:
    toml = TWO.replace('database = "galoy"', "")
    error = refused(tmp_path, toml, environ=environ, selected=["api"])
    assert (error.service, error.message) == ("api", f"{source} names no database")
    assert error.hint == (
        'end the URL with /DATABASE, set MONGODB_DATABASE, or write database = "..." under [services.api]'
    )
    assert url(tmp_path, {**environ, "MONGODB_DATABASE": "shop"}, toml=toml).partition("?")[0].endswith("db/shop")


def test_a_mongodb_url_without_a_database_in_a_named_environment_is_refused_too(tmp_path: Path) -> None:
    toml = THREE.replace('database = "galoy"', "").replace("27017/galoy", "27017")
    error = refused(tmp_path, toml, environment="compose", selected=["api"], environ={"MONGODB_DATABASE": "shop"})
    assert error.message == "[environments.compose] api names no database"
    assert error.hint == 'end the URL with /DATABASE, or write database = "..." under [services.api]'


@pytest.mark.parametrize(
    ("toml", "name", "variable"),
    [
        (TWO, "api", "MONGODB_CON"),
        (TWO.replace('database = "galoy"', 'env_prefix = "DOCS"'), "api", "DOCS_CON"),
        (TWO, "api-keys", "API_KEYS_PG_CON"),
        (THREE, "voucher", "VOUCHER_URL"),
    ],
)
def test_the_variable_of_a_whole_url_is_known_without_any_environment(
    tmp_path: Path, toml: str, name: str, variable: str
) -> None:
    assert config.read(project(tmp_path, toml)).services[name].url_variable == variable


def test_a_variable_for_the_whole_url_of_mongodb(tmp_path: Path) -> None:
    """With url_env alone, no other variable leads to another database by mistake."""
    toml = TWO.replace('database = "galoy"', 'database = "galoy"\nurl_env = "DOCS_URL"')
    assert config.read(project(tmp_path, toml)).services["api"].url_variable == "DOCS_URL"
    assert url(tmp_path, {"DOCS_URL": "mongodb://db/docs", "MONGODB_CON": "mongodb://wrong/x"}, toml=toml) == (
        "mongodb://db/docs"
    )
    assert url(tmp_path, {"DOCS_URL": "mongodb://db", "MONGODB_DATABASE": "wrong"}, toml=toml) == "mongodb://db/galoy"
    (tmp_path / "secret").write_text("mongodb://db/docs\n")
    assert url(tmp_path, {"DOCS_URL_FILE": str(tmp_path / "secret")}, toml=toml) == "mongodb://db/docs"
    for environ in ({}, {"MONGODB_CON": "mongodb://wrong/x"}, {"MONGODB_ADDRESS": "wrong"}, {"CON": "mongodb://wrong"}):
        error = refused(tmp_path, toml, environ=environ, selected=["api"])
        assert error.message == "DOCS_URL is not set"
        assert error.hint.startswith(
            "set DOCS_URL to mongodb://USER:PASSWORD@HOST/DATABASE, or DOCS_URL_FILE to a file"
        )


def test_a_variable_for_the_whole_url_goes_before_those_of_the_prefix(tmp_path: Path) -> None:
    toml = TWO.replace('database = "galoy"', 'database = "galoy"\nurl_env = "DOCS_URL"\nenv_prefix = "M"')
    assert url(tmp_path, {"DOCS_URL": "mongodb://db/docs", "M_CON": "mongodb://other/x"}, toml=toml) == (
        "mongodb://db/docs"
    )
    assert url(tmp_path, {"M_CON": "mongodb://other/x"}, toml=toml) == "mongodb://other/x"
    assert url(tmp_path, {"M_ADDRESS": "other"}, toml=toml) == "mongodb://other/galoy"


def test_the_database_and_the_prefix_may_be_in_the_file(tmp_path: Path) -> None:
    toml = TWO.replace('database = "galoy"', 'database = "galoy2"\nenv_prefix = "M"')
    assert url(tmp_path, {"M_ADDRESS": "db", "MONGODB_CON": "mongodb://wrong"}, toml=toml) == "mongodb://db/galoy2"
    assert url(tmp_path, {"M_CON": "mongodb://db", "M_DATABASE": "three"}, toml=toml) == "mongodb://db/three"


OWN = {"PYMONGO_MIGRATE_URI": "mongodb://u:p@db/admin", "PYMONGO_MIGRATE_DATABASE": "docs"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PYMONGO_MIGRATE_URI": "mongodb://db/docs"}, "mongodb://db/docs"),
        ({"PYMONGO_MIGRATE_URI": "mongodb://db"}, "mongodb://db/galoy"),
        (OWN, "mongodb://u:p@db/docs?authSource=admin"),
        ({**OWN, "MONGODB_CON": "mongodb://other/x"}, "mongodb://other/x"),
        ({**OWN, "MONGODB_ADDRESS": "other"}, "mongodb://other/galoy"),
    ],
)
def test_the_variables_of_pymongo_migrates_own_command_line_are_understood(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    assert url(tmp_path, environ) == expected


@pytest.mark.parametrize("key", ["url_env", "env_prefix"])
def test_they_do_not_count_where_the_file_names_other_variables(tmp_path: Path, key: str) -> None:
    toml = TWO.replace('database = "galoy"', f'{key} = "DOCS"')
    assert re.search("DOCS.* is (not )?set", refused(tmp_path, toml, environ=OWN, selected=["api"]).message)


def test_they_do_not_count_for_one_of_two(tmp_path: Path) -> None:
    toml = f'{TWO}[services.more]\nengine = "mongodb"\nfolder = "mongo"\n'
    assert (
        "neither MONGODB_CON" in refused(tmp_path, toml, environ={**OWN, "API_KEYS_PG_CON": "postgres://d/x"}).message
    )


def test_the_record_may_have_another_name(tmp_path: Path) -> None:
    def record(toml: str, **environ: str) -> tuple[str, frozenset[str]]:
        service = config.load(project(tmp_path, toml), environ=environ, selected=["api"]).service("api")
        return service.record, service.ours

    ours = frozenset({"dataops_journal", "dataops_lock"})
    named = TWO.replace('database = "galoy"', 'database = "galoy"\nrecord = "steps"')
    whole = {"MONGODB_CON": "mongodb://db/galoy"}
    assert record(TWO, **whole) == ("pymongo_migrate", ours | {"pymongo_migrate"})
    assert record(named, **whole) == ("steps", ours | {"steps"})
    assert record(named, **whole, PYMONGO_MIGRATE_COLLECTION="other")[0] == "steps"
    assert record(TWO, **OWN, PYMONGO_MIGRATE_COLLECTION="other")[0] == "other"
    assert record(TWO, **whole, PYMONGO_MIGRATE_COLLECTION="pymongo_migrate")[0] == "pymongo_migrate"
    error = refused(tmp_path, TWO, environ={**whole, "PYMONGO_MIGRATE_COLLECTION": "other"}, selected=["api"])
    assert error.message.startswith("PYMONGO_MIGRATE_COLLECTION is set, and nothing says")
    assert error.hint == 'write record = "other" or record = "pymongo_migrate" under [services.api]'


@pytest.mark.parametrize("name", ["system.x", "dataops_journal", "a$b", "a b", "x" * 121])
def test_a_record_has_a_name_that_a_collection_may_have(tmp_path: Path, name: str) -> None:
    toml = TWO.replace('database = "galoy"', f'record = "{name}"')
    assert "cannot be the name of the record" in refused(tmp_path, toml, environ=WHOLE).message


def test_alembics_record_gets_its_name_from_env_py(tmp_path: Path) -> None:
    error = refused(
        tmp_path, TWO.replace('engine = "postgresql"', 'engine = "postgresql"\nrecord = "x"'), environ=WHOLE
    )
    assert "record is not for postgresql" in error.message
    assert "version_table" in error.hint


AWKWARD = [
    *string.punctuation,
    *"äß€😀",
    " ",
    "  two words  ",
    "+",
    "a+b c%20d",
    "%",
    "%41",
    "%zz",
    "@:/?#[]%+ &=",
    "p@ss:w/rd?",
    "user:password@host",
    "mongodb://x:y@z/w",
    "\\",
    "'\"`$",
    string.printable.strip(),
]


@pytest.mark.parametrize("secret", AWKWARD)
@pytest.mark.parametrize("address", ["db", "a:1,b:2", "mongodb://db:27018/?replicaSet=rs0"])
def test_any_character_in_user_and_password_arrives(tmp_path: Path, secret: str, address: str) -> None:
    """What the driver makes of the URL is what the variables hold."""
    environ = {"MONGODB_ADDRESS": address, "MONGODB_USER": f"u{secret}", "MONGODB_PASSWORD": secret}
    parsed = parse_uri(url(tmp_path, environ))
    assert (parsed["username"], parsed["password"], parsed["database"]) == (f"u{secret}", secret, "galoy")
    assert (
        parsed["nodelist"]
        == {
            "db": [("db", 27017)],
            "a:1,b:2": [("a", 1), ("b", 2)],
            "mongodb://db:27018/?replicaSet=rs0": [("db", 27018)],
        }[address]
    )


def test_any_character_in_a_database_name_arrives(tmp_path: Path) -> None:
    """MongoDB itself forbids some; these it takes."""
    for name in ("galoy-2", "galøy", "a+b", "a%b", "a&b", "a@b", "a:b"):
        assert parse_uri(url(tmp_path, {"MONGODB_ADDRESS": "db", "MONGODB_DATABASE": name}))["database"] == name


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "neither MONGODB_CON nor MONGODB_ADDRESS is set"),
        ({"MONGODB_CON": "", "MONGODB_ADDRESS": ""}, "neither MONGODB_CON nor MONGODB_ADDRESS is set"),
        ({"MONGODB_ADDRESS": "db", "MONGODB_USER": "u"}, "MONGODB_PASSWORD is not set"),
        ({"MONGODB_ADDRESS": "db", "MONGODB_PASSWORD": "p"}, "MONGODB_USER is not set"),
        ({"MONGODB_CON": "db:27017"}, "MONGODB_CON is not a mongodb URL"),
        ({"MONGODB_ADDRESS": "postgres://db"}, "MONGODB_ADDRESS is not a mongodb URL"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path: Path, environ: dict[str, str], message: str) -> None:
    error = refused(tmp_path, environ=environ, selected=["api"])
    assert message in error.message
    assert error.hint


# --- secrets in files


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_a_variable_may_be_the_path_of_a_mounted_secret(tmp_path: Path, end: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"postgres://db/keys{end}")
    assert url(tmp_path, {"API_KEYS_PG_CON_FILE": str(secret)}, "api-keys") == "postgres://db/keys"
    assert url(tmp_path, {"PG_CON_FILE": str(secret)}, "api-keys") == "postgres://db/keys"


def test_every_variable_of_mongodb_may_be_a_file_and_keeps_its_spaces(tmp_path: Path) -> None:
    values = {"ADDRESS": "db", "USER": "u", "PASSWORD": " p ", "DATABASE": "other"}
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n")
    environ = {f"MONGODB_{name}_FILE": str(tmp_path / name) for name in values}
    parsed = parse_uri(url(tmp_path, environ))
    assert (parsed["username"], parsed["password"], parsed["database"]) == ("u", " p ", "other")


def test_a_secret_that_is_not_mounted_is_named_with_its_variable(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    error = refused(tmp_path, environ={"API_KEYS_PG_CON_FILE": str(path)}, selected=["api-keys"])
    assert error.message == f"API_KEYS_PG_CON_FILE: {path}: No such file or directory"
    assert error.hint == "is the secret mounted?"


def test_a_secret_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff")
    error = refused(tmp_path, environ={"MONGODB_CON_FILE": str(path)}, selected=["api"])
    assert error.message == f"MONGODB_CON_FILE: {path}: not UTF-8"


def test_a_variable_and_its_file_exclude_each_other(tmp_path: Path) -> None:
    environ = {"PG_CON": "postgres://db/keys", "PG_CON_FILE": "/run/secrets/pg"}
    assert refused(tmp_path, environ=environ, selected=["api-keys"]).message == "both PG_CON and PG_CON_FILE are set"


def test_an_empty_secret_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    error = refused(tmp_path, environ={"PG_CON_FILE": str(tmp_path / "secret")}, selected=["api-keys"])
    assert error.message == "API_KEYS_PG_CON is not set"


# --- who we are


def test_run_ids_sort_by_time_and_name_who_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAOPS_ACTOR", "ci")
    monkeypatch.setenv("HOSTNAME", "pod-1")
    one = config.author()
    assert re.fullmatch(r"20\d{6}T\d{6}-[0-9a-f]{6}", one.run)
    assert (one.actor, one.host, one.version) == ("ci", "pod-1", __version__)
    assert len({config.author().run for _ in range(50)}) == 50


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with an arbitrary user id."""
    for name in ("DATAOPS_ACTOR", "LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 10_007_123)
    assert config.author().actor == "uid 10007123"


def test_libpq_understands_what_we_hand_on(tmp_path: Path) -> None:
    given = "postgres://u:p%40ss@db:5431/pg?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    assert conninfo.conninfo_to_dict(url(tmp_path, {"PG_CON": given}, "api-keys")) == {
        "user": "u",
        "password": "p@ss",
        "host": "db",
        "port": "5431",
        "dbname": "pg",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
    }


# --- other tools


def one(tmp_path: Path, *lines: str, adopt: str = "", mongo: bool = False, **options: Any) -> Service:
    """The only service, `voucher`, with these lines in its table."""
    for folder in ("mongo", "pg"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "adopt.toml").write_text(adopt)
    ours = ['engine = "mongodb"', 'folder = "mongo"'] if mongo else ['engine = "postgresql"', 'folder = "pg"']
    observed = any(line.startswith("observe") for line in lines)
    toml = "[services.voucher]\n" + "\n".join([*lines, *([] if observed else ours)])
    environ = {"VOUCHER_PG_CON": "postgres://db/v", "MONGODB_CON": "mongodb://db/v"}
    return config.load(project(tmp_path, toml), environ=environ, **options).services[0]


@pytest.mark.parametrize(
    ("line", "adopt", "mongo", "mirror"),
    [
        ("", "", False, ""),
        ("mirror = false", "[sqlx]", False, ""),
        ("mirror = true", "[sqlx]", False, "sqlx"),
        ("mirror = true", "[knex]", False, "knex"),
        ("mirror = true", "[knex]\n[django]", False, "knex"),  # django cannot be mirrored
        ('mirror = "knex"', "[knex]\n[sqlx]", False, "knex"),
        ('mirror = "sqlx"', "", False, "sqlx"),
        ("mirror = true", "", True, "migrate-mongo"),
        ('mirror = "migrate-mongo"', "", True, "migrate-mongo"),
    ],
)
def test_mirror_is_of_the_tool_that_is_named_or_the_only_one_it_can_be(
    tmp_path: Path, line: str, adopt: str, mongo: bool, mirror: str
) -> None:
    assert one(tmp_path, line, adopt=adopt, mongo=mongo).mirror == mirror


def test_a_command_that_reads_no_file_does_not_ask_which_tool_is_mirrored(tmp_path: Path) -> None:
    """Which one it is, adopt.toml says."""
    assert one(tmp_path, "mirror = true", adopt="[knex]", with_files=False).mirror == ""


@pytest.mark.parametrize(
    ("line", "adopt", "mongo"),
    [
        ("mirror = true", "", False),
        ("mirror = true", "[sqlx]\n[knex]", False),
        ('mirror = "django"', "", False),
        ('mirror = "migrate-mongo"', "", False),
        ('mirror = "sqlx"', "", True),
        ('mirror = "sqlxx"', "", False),
        ('mirror = ["sqlx"]', "", False),
        ("mirror = 1", "", False),
        ('mirror = ""', "", False),
    ],
)
def test_a_mirror_that_cannot_be_is_refused(tmp_path: Path, line: str, adopt: str, mongo: bool) -> None:
    with pytest.raises(ConfigError, match="mirror"):
        one(tmp_path, line, adopt=adopt, mongo=mongo)


@pytest.mark.parametrize("key", ["coexist", "beside"])
def test_coexist_or_beside_as_it_was_called_before_is_a_list_of_tools(tmp_path: Path, key: str) -> None:
    assert one(tmp_path, f'{key} = ["django", "goose"]').coexist == ("django", "goose")


@pytest.mark.parametrize("key", ["coexist", "beside"])
@pytest.mark.parametrize("value", ['"django"', '["djnago"]', "[1]", "true", "{ django = true }"])
def test_coexist_of_anything_else_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        one(tmp_path, f"{key} = {value}")


def test_both_spellings_of_coexist_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="coexist and beside are the same key") as caught:
        one(tmp_path, 'coexist = ["django"]', 'beside = ["goose"]')
    assert caught.value.hint == "keep coexist; beside is its older spelling"


def test_a_tool_that_nobody_knows_is_refused_in_adopt_toml_too(tmp_path: Path) -> None:
    """Or its part would count for nothing, and nobody would notice."""
    with pytest.raises(ConfigError, match=r"adopt.toml: 'knx' is not one of 'sqlx', 'knex'"):
        one(tmp_path, adopt="[knx]")


def test_adopt_toml_is_read_with_the_migrations_and_not_without(tmp_path: Path) -> None:
    adopt = '[knex]\nretired = ["a.js"]'
    assert one(tmp_path, adopt=adopt).aliases["knex"].retired == ("a.js",)
    assert one(tmp_path, adopt=adopt, with_files=False).aliases == {}


def test_an_observed_service_has_a_tool_and_no_folder(tmp_path: Path) -> None:
    lines = ['observe = "pop"', 'expect = "2023"', 'url_env = "VOUCHER_PG_CON"', 'timeouts = { connect = "1s" }']
    assert one(tmp_path, *lines, observed=True) == Service(
        "voucher",
        POSTGRESQL,
        "postgres://db/v",
        tmp_path,
        observe="pop",
        expect="2023",
        timeouts=Timeouts(connect=1),
        top=tmp_path,
    )


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        (['observe = "migrate-mongo"'], MONGODB),
        (['observe = "golang-migrate"'], POSTGRESQL),
        (['observe = "golang-migrate"', 'engine = "mongodb"'], MONGODB),
        (['observe = "knex"', 'engine = "postgresql"'], POSTGRESQL),
    ],
)
def test_the_tool_says_what_kind_of_database_it_is(tmp_path: Path, lines: list[str], kind: Kind) -> None:
    assert one(tmp_path, *lines, observed=True).kind is kind


@pytest.mark.parametrize(
    "lines",
    [
        ['observe = "popp"'],
        ["observe = true"],
        ['observe = ["pop"]'],
        ['observe = ""'],
        ['observe = "migrate-mongo"', 'engine = "postgresql"'],
        ['observe = "knex"', 'engine = "mongodb"'],
        ['observe = "knex"', 'folder = "pg"'],
        ['observe = "knex"', "mirror = true"],
        ['observe = "knex"', 'ahead = "allow"'],
        ['observe = "knex"', 'expect = ""'],
        ['observe = "knex"', "expect = 2023"],
    ],
)
def test_an_observed_service_that_cannot_be_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(ConfigError, match="voucher"):
        one(tmp_path, *lines, observed=True)


def test_expect_is_for_observed_services_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expect"):
        one(tmp_path, 'expect = "2023"')


OBSERVED = (
    TWO
    + """
[services.kratos]
observe = "pop"
"""
)


def test_observed_services_count_only_where_they_are_asked_for(tmp_path: Path) -> None:
    environ = {**WHOLE, "KRATOS_PG_CON": "postgres://db/kratos"}
    found = config.load(project(tmp_path, OBSERVED), environ=WHOLE)  # without its variable
    assert [service.name for service in found.services] == ["api", "api-keys"]
    assert found.names == ("api", "api-keys", "kratos")
    everything = config.load(project(tmp_path, OBSERVED), environ=environ, observed=True)
    assert [service.name for service in everything.services] == ["api", "api-keys", "kratos"]
    error = refused(tmp_path, OBSERVED, by=UsageError, environ=environ, selected=["kratos"])
    assert "dataops status" in error.hint


def test_nothing_depends_on_an_observed_service(tmp_path: Path) -> None:
    depending = OBSERVED.replace('folder = "pg"', 'folder = "pg"\ndepends_on = ["kratos"]')
    assert "kratos" in refused(tmp_path, depending).message
