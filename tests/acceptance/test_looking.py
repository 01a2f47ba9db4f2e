"""Files that are only looked at: they cannot reach out, they end, and what will fail is told with its line."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pymongo import MongoClient

from dataops import backends, config
from dataops.backends.sandbox import Sandbox
from dataops.errors import NoSandbox
from dataops.model import Direction, Rendering, Step
from tests import warm
from tests.projects import Project, until

pytestmark = pytest.mark.usefixtures("new_children")

SERVICES = ["shop", "bank"]


def line_of(path: Path, text: str) -> int:
    return next(at for at, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def planned(two: Project, service: str, *args: str) -> dict[str, Any]:
    """The last step of a service, in a plan as JSON."""
    answer = two("plan", "--json", "--service", service, *args)
    assert answer.code == answer.json["exit_code"], answer.stderr
    step: dict[str, Any] = answer.json["services"][0]["steps"][-1]
    return step


def ids(url: str) -> list[Any]:
    """What the services' files have written into `seen`, in a database of either kind."""
    if url.startswith("mongodb"):
        with MongoClient[dict[str, Any]](url) as client:
            return [row["_id"] for row in client.get_default_database().seen.find()]
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('seen')").fetchone() == (None,):
            return []
        return [row[0] for row in connection.execute("SELECT id FROM seen")]


REACHES_OUT = {
    "a connection of psycopg": """
        import psycopg
        with psycopg.connect(PG) as connection:  # here
            connection.execute("CREATE TABLE IF NOT EXISTS seen (id int); INSERT INTO seen VALUES (1)")
    """,
    "one that is caught": """
        import psycopg
        try:
            psycopg.connect(PG).execute("CREATE TABLE seen (id int)").connection.commit()  # here
        except BaseException:
            pass
    """,
    "an engine of SQLAlchemy": """
        import sqlalchemy
        with sqlalchemy.create_engine(PG.replace("postgres:", "postgresql+psycopg:")).begin() as connection:  # here
            connection.exec_driver_sql("CREATE TABLE seen (id int)")
    """,
    "asynchronous": """
        import asyncio, psycopg
        async def write():
            await psycopg.AsyncConnection.connect(PG)  # here
        asyncio.run(write())
    """,
    "a client of pymongo": """
        import pymongo
        client = pymongo.MongoClient(MONGO, serverSelectionTimeoutMS=500, connect=False)
        client.get_default_database().seen.insert_one({"_id": 1})  # here
    """,
    "a variable": """
        import os
        url = os.environ["SHOP_URL"]  # here
    """,
    "a variable that may be missing": """
        import os
        url = os.getenv("BANK_URL_CON", "")  # here
    """,
    "a program": """
        import subprocess
        subprocess.run(["touch", "seen"])  # here
    """,
    "a shell": """
        import os
        os.system("touch seen")  # here
    """,
    "a process": """
        import os
        if os.fork() == 0:  # here
            open("seen", "w").close()
            os._exit(0)
    """,
    "a process of multiprocessing": """
        import multiprocessing
        multiprocessing.get_context("spawn").Process(target=print).start()  # here
    """,
    "a file": """
        with open("seen", "w") as file:  # here
            file.write("x")
    """,
    "a file for appending": """
        import pathlib
        pathlib.Path("dataops.toml").open("a").write("x")  # here
    """,
    "a folder": """
        import os
        os.makedirs("seen")  # here
    """,
    "a file that goes": """
        import os
        os.unlink("dataops.toml")  # here
    """,
    "a thread": """
        import threading
        thread = threading.Thread(target=lambda: open("seen", "w"))  # here
        thread.start(); thread.join()
    """,
    "a request": """
        import urllib.request
        urllib.request.urlopen("http://127.0.0.1:1/")  # here
    """,
    "a datagram": """
        import socket
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))  # here
    """,
    "SQLite": """
        import sqlite3
        sqlite3.connect("seen")  # here
    """,
    "C": """
        import ctypes
        ctypes.CDLL(None).system(b"touch seen")  # here
    """,
    "C that Python has loaded": """
        import ctypes
        ctypes.pythonapi.system(b"touch seen")  # here
    """,
    "SQLite in memory, which can write files too": """
        import sqlite3
        memory = sqlite3.connect(":memory:")  # here
        memory.execute("CREATE TABLE t (id int)")
        memory.execute("VACUUM INTO 'seen'")
    """,
    "a copy of all variables": """
        import os
        url = os.environ.copy()["SHOP_URL"]  # here
    """,
    "all variables and one more": """
        import os
        url = {**os.environ, "X": "y"}["BANK_URL_CON"]  # here
    """,
    "all variables one by one": """
        import os
        url = next(value for name, value in os.environ.items() if name.endswith("_URL"))  # here
    """,
}


@pytest.mark.parametrize("body", REACHES_OUT.values(), ids=REACHES_OUT)
@pytest.mark.parametrize("service", SERVICES)
def test_a_file_that_is_only_looked_at_cannot_reach_out(
    two: Project, pg_url: str, mongo_url: str, service: str, body: str
) -> None:
    path = two.file(service, "003", body, head=f"PG = {pg_url!r}\nMONGO = {mongo_url!r}")
    toml = (two.folder / "dataops.toml").read_text()
    step = planned(two, service)
    assert f"it reaches out by itself: 003.py:{line_of(path, '# here')} in " in step["opaque"]
    assert step["fails"] is None
    two("lint", "--service", service, "--no-squawk")
    assert ids(pg_url) == ids(mongo_url) == []
    assert not (two.folder / "seen").exists()
    assert (two.folder / "dataops.toml").read_text() == toml


@pytest.mark.parametrize("service", SERVICES)
def test_what_reaches_out_is_refused_at_its_import_too_and_in_a_helper(two: Project, service: str) -> None:
    (two.place(service) / "helpers").mkdir()
    (two.place(service) / "helpers" / "of_003.py").write_text("def write():\n    open('seen', 'w').close()\n")
    head = f"import sys\nsys.path.insert(0, {str(two.place(service) / 'helpers')!r})\nimport of_003\nof_003.write()"
    two.file(service, "003", head=head)
    assert planned(two, service)["opaque"] == (
        "it reaches out by itself: helpers/of_003.py:2 in write: it opens 'seen' for writing"
    )
    assert not (two.folder / "seen").exists()


@pytest.mark.parametrize("service", SERVICES)
def test_a_run_may_reach_out_and_does_it_once(two: Project, pg_url: str, service: str) -> None:
    body = """
        import os, psycopg
        with psycopg.connect(os.environ["SHOP_URL"]) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS seen (id int)")
            connection.execute("INSERT INTO seen VALUES (1)")
    """
    two.file(service, "003", body)
    assert two("plan").code == 0
    assert two("apply", "--yes", "--service", service).code == 0
    assert ids(pg_url) == [1]


@pytest.mark.parametrize(
    "body",
    [
        "import os, pathlib, json, decimal, logging, threading, asyncio, uuid, ctypes, tempfile, multiprocessing\n"
        "text = (pathlib.Path(__file__).parent / 'words.txt').read_text()\n"
        "open(os.devnull, 'w').write('x' * 100_000)\n"
        "print('x' * 1_000_000)\n"
        "os.write(1, b'out'); os.write(2, b'err')\n"
        "logging.getLogger('x').warning('careful')\n"
        "thread = threading.Thread(target=print); thread.start(); thread.join()\n"
        "asyncio.run(asyncio.sleep(0))\n"
        "os.environ['PGHOST'] = 'x'; assert os.environ['PGHOST'] == 'x'\n"
        "assert text == 'words'\n"
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_what_stays_inside_is_no_reaching_out(two: Project, service: str, body: str) -> None:
    (two.place(service) / "words.txt").write_text("words")
    end = "op.execute('SELECT 42')" if service == "shop" else "db.fortytwo.insert_one({})"
    two.file(service, "003", body + end)
    answer = two("plan", "--json", "--service", service)
    step = answer.json["services"][0]["steps"][-1]
    assert (step["opaque"], step["fails"], len(step["commands"])) == (None, None, 1)
    assert answer.stderr == ""


@pytest.mark.parametrize("service", SERVICES)
def test_a_thread_that_a_file_leaves_behind_reaches_nothing_and_disturbs_no_other_file(
    two: Project, service: str
) -> None:
    later = "import threading\nthreading.Timer(0.01, lambda: open('seen', 'w').close()).start()"
    two.file(service, "003", later)
    two.file(service, "004", "import time\ntime.sleep(0.2)\n" + FIRST[service])
    with Sandbox() as sandbox:
        _, fourth = rendered(two, service, sandbox, "003", "004")
    assert (len(fourth.commands), fourth.opaque) == (1, "")
    assert not Path("seen").exists()


LATE = """
import socket, sys, threading, time
def late():
    main = threading.main_thread().ident
    while sys._current_frames()[main].f_code.co_name != "_exactly":  # it reads what comes next
        time.sleep(0.001)
    try:
        socket.create_connection(("127.0.0.1", 1))
    finally:
        pass
threading.Thread(target=late, name="pymongo_late", daemon=True).start()
"""


def test_a_late_thread_of_a_client_disturbs_no_other_file(two: Project) -> None:
    """A client of pymongo lets its own threads end a little later, and so does this one, between two files."""
    two.file("bank", "003", LATE)
    for id_ in ("004", "005"):
        two.file("bank", id_, "db.t.insert_one({'_id': 1})")
    for _ in range(3):
        answer = two("plan", "--json", "--service", "bank")
        assert answer.code == 0, answer.stderr
        steps = answer.json["services"][0]["steps"]
        assert [(step["opaque"], len(step["commands"])) for step in steps[3:]] == [(None, 1)] * 2


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_file_does_to_its_process_is_gone_for_the_next(two: Project, service: str) -> None:
    two.file(service, "003", "import os\nos.chdir('/')\nos.environ.update(SHOP_URL='mine', LEFT='x')\n")
    seen = "import os\nassert os.getcwd() != '/' and 'LEFT' not in os.environ\n"
    two.file(service, "004", seen + FIRST[service])
    two.file(service, "005", "import os\nos.environ['SHOP_URL']")
    steps = two("plan", "--json", "-v", "--service", service).json["services"][0]["steps"]
    assert [step["fails"] for step in steps] == [None] * 5
    assert (len(steps[3]["commands"]), steps[3]["opaque"]) == (1, None)
    assert "it reads the variable SHOP_URL" in steps[4]["opaque"]


# --- time


def rendered(two: Project, service: str, sandbox: Sandbox, *ids: str) -> list[Rendering]:
    """What is known of migrations, from the service's real database."""
    loaded = config.load(two.folder / "dataops.toml", environ=two.env).service(service)
    by_id = {migration.id: migration for migration in loaded.migrations}
    with backends.opened(loaded) as database:
        return [database.render(Step(service, by_id[id_], Direction.APPLY), sandbox) for id_ in ids]


FIRST = {"shop": "op.execute('SELECT 42')", "bank": "db.fortytwo.insert_one({})"}


@pytest.mark.parametrize(
    "endless", ["time.sleep(600)", "while True: pass", "import threading; threading.Event().wait()"]
)
@pytest.mark.parametrize("service", SERVICES)
def test_a_file_that_does_not_end_is_ended_and_what_came_before_is_shown(
    two: Project, service: str, endless: str
) -> None:
    two.file(service, "003", f"{FIRST[service]}\n{endless}")
    two.file(service, "004", head=endless)
    two.file(service, "005", FIRST[service])
    with Sandbox(step_seconds=1.5) as sandbox:
        third, fourth, fifth = rendered(two, service, sandbox, "003", "004", "005")
    assert (len(third.commands), third.opaque) == (1, "it did not end within 1.5 s")
    assert (len(fourth.commands), fourth.opaque) == (0, "it did not end within 1.5 s")
    assert (len(fifth.commands), fifth.opaque) == (1, "")


def test_files_that_do_not_end_share_the_time_of_a_plan(two: Project) -> None:
    for number in range(3, 7):
        two.file("shop", f"{number:03}", "time.sleep(600)")
    with Sandbox(step_seconds=3, purse_seconds=2.5) as sandbox:
        found = [each.opaque for each in rendered(two, "shop", sandbox, "003", "004", "005", "006")]
    shared = ", all that the files before it have left of a plan's time"
    assert found[0] == "it did not end within 3 s"
    assert found[1].startswith("it did not end within 1.")
    assert found[1:] == [found[1], f"it did not end within 1 s{shared}", f"it did not end within 1 s{shared}"]


def test_a_plan_over_files_that_sleep_ends_and_leaves_no_process(two: Project) -> None:
    two.file("shop", "003", "time.sleep(600)")
    two.file("bank", "003", head="time.sleep(600)")
    began = time.monotonic()
    answer = two("plan", "--json")
    assert answer.code == 0
    assert time.monotonic() - began < 45
    steps = [service["steps"][-1] for service in answer.json["services"]]
    assert [step["opaque"] for step in steps] == ["it did not end within 10 s"] * 2
    assert not _running_below(two.folder)


def _running_below(folder: Path) -> list[str]:
    """The processes that work in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "Killed"),
        ("import ctypes\nctypes.string_at(0)", "Segmentation fault"),
        ("import signal\nsignal.raise_signal(signal.SIGINT)", "Interrupt"),  # in a run, it is a signal to dataops
    ],
)
@pytest.mark.parametrize("service", SERVICES)
def test_a_file_that_ends_its_process_ends_no_plan(two: Project, service: str, body: str, how: str) -> None:
    two.file(service, "003", body)
    two.file(service, "004", FIRST[service])
    with Sandbox() as sandbox:
        third, fourth = rendered(two, service, sandbox, "003", "004")
    assert third.opaque == f"it ended its own process ({how})"
    assert (len(fourth.commands), fourth.opaque) == (1, "")


def test_a_process_that_cannot_be_started_is_told(two: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(two.folder / "python"))
    with Sandbox() as sandbox, pytest.raises(NoSandbox, match="cannot be started: No such file or directory") as told:
        rendered(two, "shop", sandbox, "001")
    assert told.value.hint


@pytest.mark.parametrize("command", [["plan"], ["plan", "--json"], ["lint", "--no-squawk"]])
@pytest.mark.parametrize("service", SERVICES)
def test_a_process_that_ends_before_it_begins_is_told_and_nothing_is_planned(
    two: Project, service: str, command: list[str]
) -> None:
    """As under a limit of memory: every Python that is started in this environment ends, but not our own."""
    broken = two.folder / "site"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text("import os, sys\nif sys.argv[0] == '-c':\n    os._exit(3)\n")
    answer = two(*command, "--service", service, env={"PYTHONPATH": str(broken)})
    assert (answer.code, "Traceback" in answer.stderr) == (10, False)
    assert "the process in which migration files are looked at has ended (exit 3)" in answer.stderr
    assert "dataops docs operations looking-at-files" in answer.stderr
    if "--json" in command:
        assert answer.json["error"]["kind"] == "NoSandbox"


def test_one_kinds_files_do_not_wait_for_the_other_kinds(two: Project) -> None:
    two.file("shop", "003", "time.sleep(600)")
    two.file("bank", "003", FIRST["bank"])
    before = _children()
    with ThreadPoolExecutor() as pool, Sandbox() as sandbox:
        shop = pool.submit(rendered, two, "shop", sandbox, "003")
        until(lambda: _children() > before)
        (bank,) = rendered(two, "bank", sandbox, "003")
        assert not shop.done()
    assert (len(bank.commands), bank.opaque) == (1, "")
    assert shop.result()[0].opaque == "the look was stopped"


def _starts(project: Project, *args: str) -> int:
    """How many processes the command starts to look at files."""
    site, log = project.folder / "site", project.folder / "started"
    site.mkdir(exist_ok=True)
    counts = f"import sys\nif sys.argv[0] == '-c':\n    open({str(log)!r}, 'a').write('x')\n"
    (site / "sitecustomize.py").write_text(counts)
    log.write_text("")
    answer = project(*args, env={"PYTHONPATH": str(site)})
    assert answer.code == 0, answer.stderr
    return len(log.read_text())


def test_a_plan_and_lint_beside_it_look_in_the_same_processes(two: Project) -> None:
    """Each costs half a second of a processor; one for each kind of database is enough."""
    assert (_starts(two, "plan"), _starts(two, "plan", "--service", "shop"), _starts(two, "lint")) == (2, 1, 2)


def test_a_file_that_is_slow_for_the_plan_does_not_make_lint_wait(two: Project) -> None:
    """The second process, which is worth its start then; what the first is busy with does not end here."""
    two.file("shop", "003", "time.sleep(600)")
    before = _children()
    with ThreadPoolExecutor() as pool, Sandbox(step_seconds=60) as sandbox:
        slow = pool.submit(rendered, two, "shop", sandbox, "003")
        until(lambda: _children() > before)
        (quick,) = rendered(two, "shop", sandbox.with_its_own_purse(), "001")
        assert not slow.done()
    assert (len(quick.commands), quick.opaque) == (1, "")


def _children() -> set[str]:
    """The processes that this one has started and that have not ended."""
    return {child for thread in Path("/proc/self/task").glob("*/children") for child in thread.read_text().split()}


# --- what will fail

FAILS = {
    "KeyError": "{}['x']",
    "ModuleNotFoundError": "import no_such_module",
    "NameError": "no_such_name",
    "AttributeError": "time.no_such_function()",
    "RuntimeError": "raise RuntimeError('no')",
    "FileNotFoundError": "import pathlib\npathlib.Path(__file__).with_name('missing.sql').read_text()",
    "SystemExit": "import os\nos._exit(0)",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize(("error", "body"), FAILS.items(), ids=FAILS)
@pytest.mark.parametrize("service", SERVICES)
def test_an_error_that_no_answer_could_change_is_told_with_its_line(
    two: Project, service: str, error: str, body: str
) -> None:
    first = "" if service == "bank" and error not in ("KeyError", "NameError") else FIRST[service] + "\n"
    path = two.file(service, "003", f"{first}{body}")
    line = line_of(path, body.splitlines()[-1])
    answer = two("plan", "--detailed-exitcode", "--json", "--service", service)
    step = answer.json["services"][0]["steps"][-1]
    assert answer.code == 4
    assert step["fails"].startswith(f"003.py:{line} in upgrade: {error}")
    assert (step["opaque"], len(step["commands"])) == (None, 1 if first else 0)
    lint = two("lint", "--json", "--service", service, "--no-squawk")
    assert lint.code == 4
    assert [each["line"] for each in lint.json["findings"] if each["code"] == "F001"] == [line]
    assert two("apply", "--yes", "--service", service).code == 1


NOT_SURE = {
    "shop": [
        "op.get_bind().exec_driver_sql('SELECT 1').scalar()",
        "from alembic import context\nif op.get_context().as_sql:\n    raise RuntimeError('not offline')",
        "import sqlalchemy\nassert 't_001' in sqlalchemy.inspect(op.get_bind()).get_table_names()",
        "with op.batch_alter_table('t_001') as batch:\n    batch.get_bind().exec_driver_sql('SELECT 1').scalar()",
        "if time.time() > 0:\n    import os\n    os.environ['NOT_SET_HERE']",
    ],
    "bank": [
        "db.t_001.find_one({'_id': 1})['_id']",
        "if db.t_001.update_many({}, {'$set': {'a': 1}}).matched_count == 0:\n    raise RuntimeError",
        "db.t_001.find_one_and_update({}, {'$set': {'a': 1}})['_id']",
        "db.many.insert_one({'_id': 1})\n[1][0 if db.many.count_documents({}) else 1]",
        "import os\nos.environ['NOT_SET_HERE']",
        "if 'go' not in open('/proc/self/environ').read():\n    open('/run/secrets/only-in-the-cluster')",
    ],
}


@pytest.mark.parametrize(
    ("service", "body"), [(service, body) for service, bodies in NOT_SURE.items() for body in bodies]
)
def test_a_good_step_is_never_called_failing(two: Project, service: str, body: str) -> None:
    two.file(service, "003", body)
    answer = two("plan", "--detailed-exitcode", "--json", "--service", service)
    step = answer.json["services"][0]["steps"][-1]
    assert (answer.code, step["fails"]) == (2, None)
    assert "003.py:" in step["opaque"]
    assert two("lint", "--json", "--service", service, "--no-squawk").code != 4
    assert two("apply", "--yes", env={"NOT_SET_HERE": "go", warm.COLD: "1"}).code == 0  # /proc knows how it was started


def test_every_format_says_which_step_will_fail(two: Project) -> None:
    line = line_of(two.file("shop", "003", "{}['x']"), "{}['x']")
    said = f"003.py:{line} in upgrade: KeyError: 'x'"
    assert f"FAILS HERE: {said}" in two("plan").stdout
    assert two("plan").code == 0
    assert f"::error file=shop/versions/003.py,line={line}," in two("plan", "--format", "github").stdout
    assert f'<failure type="fails" message="{said}"' in two("plan", "--format", "junit").stdout
    markdown = two("plan", "--format", "markdown").stdout
    assert "| will-fail, " in markdown
    assert f"FAILS HERE: {said}" in markdown
    sarif = json.loads(two("lint", "--format", "sarif", "--no-squawk").stdout)
    (found,) = (one for one in sarif["runs"][0]["results"] if one["ruleId"] == "F001")
    assert found["locations"][0]["physicalLocation"]["region"]["startLine"] == line


# --- values


VALUES = """
import datetime, decimal, enum, uuid
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

class Colour(enum.Enum):
    red = 1

TYPES = dict(
    j=sa.JSON(), jb=pg.JSONB(), nothing=pg.JSONB(), sqlnull=pg.JSONB(none_as_null=True), at=sa.DateTime(timezone=True),
    day=sa.Date(), hour=sa.Time(), period=sa.Interval(), price=sa.Numeric(), real=sa.Float(), odd=sa.Float(),
    id=sa.Uuid(), bytes=sa.LargeBinary(), slash=pg.BYTEA(), ints=pg.ARRAY(sa.Integer()), texts=pg.ARRAY(sa.Text()),
    text=sa.Text(), none=sa.Text(), address=pg.INET(), colour=sa.Enum(Colour, name="colour"), yes=sa.Boolean(),
)
ROW = dict(
    j={"a": None, "b": ["'", ":c", "%", chr(92)]}, jb={"beta": True, "x:true": "%s %% {}"}, nothing=None, sqlnull=None,
    at=datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=datetime.timezone.utc), day=datetime.date(2024, 2, 29),
    hour=datetime.time(1, 2), period=datetime.timedelta(days=1, seconds=2), price=decimal.Decimal("-1.50"), real=1.5,
    odd=float("-inf"),
    id=uuid.UUID(int=5), bytes=bytes(range(256)), slash=rb"a" + bytes([92]) + rb"001'", ints=[1, None, 2],
    texts=["a'b", "c,d", '"', "{}", ":x", "%"], text="it's 100% :true " + chr(92) + " %s %%", none=None,
    address="10.0.0.1", colour=Colour.red, yes=True,
)
def table(name):
    return sa.table(name, *[sa.column(key, kind) for key, kind in TYPES.items()])
"""

WRITES = {
    "bulk_insert": "op.bulk_insert(table('t'), [ROW, {**ROW, 'text': 'two'}])",
    "insert": "op.execute(table('t').insert().values(ROW))",
    "update": "op.execute(table('t').insert().values(text='x'))\nop.execute(table('t').update().values(ROW))",
    "text": "op.execute(sa.text('INSERT INTO t (jb, text, day) VALUES (:a, :b, :c)').bindparams("
    "sa.bindparam('a', ROW['jb'], type_=pg.JSONB), b=ROW['text'], c=ROW['day']))",
    "escaped": r"""op.execute(r'''INSERT INTO t (jb, text) VALUES ('{"beta"\:true}', '100% %s %% \:x 12:30')''')""",
    "function": "op.execute(table('t').insert().values(at=sa.text(\"date '2024-01-01'\"), text=sa.func.upper('x')))",
    "nothing": "op.execute(table('t').insert())",
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_plan_shows_values_as_a_run_sends_them(two: Project, pg_url: str, write: str) -> None:
    """The statements of the plan, sent as they are, make the same rows as the run."""
    two.file(
        "shop",
        "003",
        "colour = sa.Enum(Colour, name='colour')\ncolour.create(op.get_bind())\nTYPES['colour'].create_type = False\n"
        "for name in ('t', 'planned'):\n"
        "    kinds = {**TYPES, 'colour': pg.ENUM(Colour, name='colour', create_type=False)}\n"
        "    op.create_table(name, *[sa.Column(key, kind) for key, kind in kinds.items()])",
        head=VALUES,
    )
    assert two("apply", "--yes").code == 0
    two.file("shop", "004", write, head=VALUES)
    step = planned(two, "shop")
    assert (step["opaque"], step["fails"]) == (None, None)
    assert two("apply", "--yes").code == 0
    with psycopg.connect(pg_url) as connection:
        for command in step["commands"]:
            text = command.replace("INSERT INTO t ", "INSERT INTO planned ").replace("UPDATE t ", "UPDATE planned ")
            connection.execute(text)
        rows = [
            sorted(str(row[0]) for row in connection.execute(f"SELECT row_to_json({name}) FROM {name}"))
            for name in ("t", "planned")
        ]
    assert rows[0] == rows[1]
    assert rows[0]


def test_a_colon_that_is_taken_for_a_parameter_fails_here_and_in_the_run(two: Project) -> None:
    path = two.file("shop", "003", """op.execute("INSERT INTO t_001 VALUES ('{\\"beta\\":true}')")""")
    step = planned(two, "shop")
    line = line_of(path, "beta")
    assert step["fails"].startswith(f"003.py:{line} in upgrade: Unbound: A value is required for bind parameter 'true'")
    assert r"\:true" in step["fails"]
    assert step["commands"] == []
    answer = two("apply", "--yes", "--service", "shop")
    assert answer.code == 1
    assert "A value is required for bind parameter 'true'" in answer.stderr


def test_a_value_that_python_computes_is_not_shown_as_null(two: Project) -> None:
    body = """
        import uuid
        import sqlalchemy as sa
        columns = [sa.Column("x", sa.Uuid, default=uuid.uuid4), sa.Column("id", sa.Integer)]
        rows = sa.Table("t_001", sa.MetaData(), *columns)
        op.execute(rows.insert().values(id=1))
    """
    two.file("shop", "003", body)
    step = planned(two, "shop")
    assert "is computed when the statement runs" in step["opaque"]
    assert (step["fails"], step["commands"]) == (None, [])


def test_a_plan_that_shows_nothing_starts_nothing(two: Project) -> None:
    """A second Python would cost more than such a plan."""
    assert two("apply", "--yes").code == 0
    broken = {"PYTHONHOME": ""}
    assert two("plan", env=broken).code == 0
    loaded = "import sys; from dataops import cli; cli.run(['plan']); print('dataops.backends.sandbox' in sys.modules)"
    assert two.run("python", "-c", textwrap.dedent(loaded)).stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    "command",
    [
        ["plan"],
        *(["plan", "--format", form] for form in ("json", "markdown", "github", "junit")),
        ["lint", "--no-squawk"],
        ["lint", "--no-squawk", "--out", "found"],
        *(["lint", "--no-squawk", "--format", form] for form in ("json", "sarif", "github", "junit")),
    ],
    ids=" ".join,
)
def test_what_a_terminal_would_obey_in_an_error_is_shown(two: Project, command: list[str]) -> None:
    two.file("shop", "003", r"raise RuntimeError('x \x1b[2J \u202e \udc80 y')")
    answer = two(*command, "--service", "shop")
    written = (two.folder / "found").read_text() if "--out" in command else answer.stdout
    for text in (written, answer.stdout, answer.stderr):
        assert not {"\x1b", "\u202e"} & set(text)
    assert "202e" in written
