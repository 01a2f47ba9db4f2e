"""Migration files that do what files do: print, exit, decorate, compare dates. None of it may surprise the run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from dataops.model import NOT_ONE_TRANSACTION
from tests.projects import Project, until
from tests.servers import COMMAND, clean_environment
from tests.terminal import Terminal

pytestmark = pytest.mark.usefixtures("new_interpreters")

SERVICES = ["shop", "bank"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_migration_that_exits_the_interpreter_has_failed(two: Project, service: str) -> None:
    """sys.exit(0) in a migration must not look like success: exit 1, told, journalled."""
    two.file(service, "003", "import sys\nsys.exit(0)")
    assert two("plan").code == 0
    answer = two("apply", "--yes", "--json", "--service", service)
    assert (answer.code, answer.json["exit_code"]) == (1, 1)
    assert [failed["step"] for failed in answer.json["failed"]] == [f"{service}/003"]
    assert "SystemExit" in answer.json["failed"][0]["message"]
    entries = two("history", "--json", "--service", service).json["entries"]
    assert [e["event"] for e in entries if e["migration"] == "003"] == ["failed", "started"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_file_that_exits_on_import_is_refused(two: Project, service: str) -> None:
    two.file(service, "003", head="import sys\nsys.exit(0)")
    for command in (["plan"], ["apply", "--yes"]):
        answer = two(*command)
        assert answer.code == 4
        assert "003.py raises on import: SystemExit" in answer.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_file_means_what_it_means_to_python(two: Project, service: str) -> None:
    """Our own `from __future__` imports do not leak into it; a dataclass would trip over them."""
    head = "from dataclasses import dataclass\n\n@dataclass\nclass Row:\n    id: int = 1\n\n"
    head += "assert Row.__annotations__['id'] is int"
    two.file(service, "003", head=head)
    assert two("apply", "--yes").code == 0


def test_dates_have_no_zone_as_pymongo_migrate_hands_them_out(two: Project) -> None:
    body = """
    import datetime
    db.dated.replace_one({'_id': 1}, {'at': datetime.datetime(2020, 1, 1)}, upsert=True)
    for one in db.dated.find():
        assert one['at'] < datetime.datetime(2021, 1, 1)
    """
    two.file("bank", "003", body)
    answer = two("apply", "--yes", "--service", "bank")
    assert (answer.code, answer.stderr if answer.code else "") == (0, "")


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_migration_prints_is_no_part_of_an_answer(two: Project, service: str) -> None:
    up = "import sys, warnings\nprint('to stdout')\nprint('to stderr', file=sys.stderr)\nwarnings.warn('careful')"
    two.file(service, "003", up, head="print('on import')")
    plan = two("plan", "--json")
    assert plan.json["exit_code"] == 0
    assert plan.stderr == ""  # what is only planned has nothing to tell yet
    answer = two("apply", "--yes", "--json", "--log-format", "json")
    assert answer.json["exit_code"] == 0
    lines = [json.loads(line) for line in answer.stderr.splitlines()]
    printed = [line["msg"] for line in lines if line["event"] == "printed"]
    assert {"to stdout", "to stderr", "on import"} <= set(printed)
    assert any("careful" in line for line in printed)


def test_a_migration_that_drops_our_journal_fails_with_a_sentence(two: Project) -> None:
    two.file("shop", "003", "op.get_bind().exec_driver_sql('DROP TABLE dataops_history.dataops_journal')")
    answer = two("apply", "--yes", "--service", "shop")
    assert answer.code == 1
    assert "dataops_journal" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert len(two("history", "--service", "shop", "--json").json["entries"]) == 6


def test_a_migration_that_closes_or_ends_our_connection_is_not_recorded(two: Project, pg_url: str) -> None:
    two.file(
        "shop", "003", "op.execute('CREATE TABLE x ()')\nop.execute('SELECT pg_terminate_backend(pg_backend_pid())')"
    )
    answer = two("apply", "--yes", "--service", "shop")
    assert answer.code == 3
    assert "the connection was lost" in answer.stderr
    with psycopg.connect(pg_url) as connection:
        assert connection.execute("SELECT to_regclass('x'), version_num FROM alembic_version").fetchone() == (
            None,
            "002",
        )


@pytest.mark.parametrize("service", SERVICES)
def test_a_title_and_an_error_of_many_characters_survive_every_output(two: Project, service: str) -> None:
    nasty = "[red]<b> %s {x} \x1b[31m ✓ \\"
    two.file(service, "003", f"raise RuntimeError({nasty!r})")
    two.path(service, "003").write_text(
        two.path(service, "003").read_text().replace("The one called 003.", "[bold] ✓ {}")
    )
    for command in (["plan", "--json"], ["apply", "--yes", "--json"], ["history", "--json"], ["status", "--json"]):
        answer = two(*command)
        assert answer.json["exit_code"] == answer.code
    for command in (["plan"], ["status"], ["history"]):
        assert "Traceback" not in two(*command, env={"PYTHONIOENCODING": "ascii"}).stderr


WAYS_OUT = {
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "SystemExit": "raise SystemExit(0)",
    "CancelledError": "import asyncio\nraise asyncio.CancelledError",
    "GeneratorExit": "raise GeneratorExit",
    "os._exit": "import os\nos._exit(0)",
}


@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
@pytest.mark.parametrize("service", ["shop", "bank"])
def test_every_way_out_of_a_migration_is_a_failure_of_that_migration(two: Project, service: str, way: str) -> None:
    """While it is planned too: that happens in a process of its own."""
    two.file(service, "003", way)
    assert "FAILS HERE: 003.py:" in two("plan", "--service", service).stdout
    answer = two("apply", "--yes", "--service", service)
    assert (answer.code, "Traceback" in answer.stderr) == (1, False)
    assert "003 failed" in answer.stderr
    newest = two("history", "--json", "--limit", "1", "--service", service).json["entries"][0]
    assert (newest["migration"], newest["event"]) == ("003", "failed")
    assert two("status", "--json", "--service", service).json["services"][0]["pending"] == ["003"]


# Errors that run code of their own when they are looked at. Each of them left the step as interrupted; some made the
# command end with 0 and without a word.
ODD_ERRORS = {
    "a text that exits": "class Odd(Exception):\n    def __str__(self): raise SystemExit(0)\nraise Odd",
    "a text that interrupts": "class Odd(Exception):\n    def __str__(self): raise KeyboardInterrupt\nraise Odd",
    "a text that ends the process": ("import os\nclass Odd(Exception):\n    def __str__(self): os._exit(0)\nraise Odd"),
    "a cause that exits": (
        "class Odd(Exception):\n    @property\n    def __cause__(self): raise SystemExit(0)\nraise Odd"
    ),
    "a class that exits": (
        "class Odd(Exception):\n    @property\n    def __class__(self): raise SystemExit(0)\nraise Odd"
    ),
    "details that exit": (
        "class Odd(Exception):\n    @property\n    def details(self): raise SystemExit(0)\nraise Odd"
    ),
    "notes that are none": "error = type('Odd', (ValueError,), {})()\nerror.__notes__ = 5\nraise error",
    "a long chain": (
        "error = None\n"
        "for number in range(3000):\n"
        "    after = ValueError('Odd')\n"
        "    after.__cause__, error = error, after\n"
        "raise error"
    ),
    "deep groups": (
        "error = ValueError('x')\n"
        "for _ in range(3000):\n"
        "    error = type('Odd', (ExceptionGroup,), {})('Odd', [error])\n"
        "raise error"
    ),
}


@pytest.mark.parametrize("odd", ODD_ERRORS.values(), ids=ODD_ERRORS)
@pytest.mark.parametrize("service", SERVICES)
def test_an_error_that_does_something_when_it_is_looked_at_is_a_failure_like_any_other(
    two: Project, service: str, odd: str
) -> None:
    write = "op.execute('CREATE TABLE z ()')" if service == "shop" else "db.z.insert_one({'_id': 1})"
    two.file(service, "003", f"{write}\n{odd}")
    two.file(service, "004", head=odd)
    assert two("plan", "--service", service).code == 4  # 004 cannot be imported
    two.path(service, "004").unlink()
    answer = two("apply", "--yes", "--service", service)
    assert (answer.code, "Traceback" in answer.stderr) == (1, False)
    assert "003 failed" in answer.stderr
    assert "Odd" in answer.stderr
    assert "at 003.py:" in answer.stderr
    assert ("Part of it is done" if service == "bank" else "was rolled back") in answer.stderr
    newest = two("history", "--json", "--limit", "1", "--service", service).json["entries"][0]
    assert (newest["migration"], newest["event"]) == ("003", "failed")


@pytest.mark.parametrize("keyword", ["async def", "def"])
@pytest.mark.parametrize("service", SERVICES)
def test_a_function_of_which_nothing_is_run_has_failed(two: Project, service: str, keyword: str) -> None:
    write = "op.execute('CREATE TABLE z ()')" if service == "shop" else "db.z.insert_one({'_id': 1})"
    path = two.file(service, "003", write + ("\nyield" if keyword == "def" else ""))
    path.write_text(path.read_text().replace("def upgrade(", f"{keyword} upgrade("))
    kind = "generator" if keyword == "def" else "coroutine"
    assert f"upgrade() returned a {kind}, so that nothing of it was run" in two("plan", "--service", service).stdout
    assert two("plan", "--detailed-exitcode", "--service", service).code == 4
    answer = two("apply", "--yes", "--service", service)
    assert (answer.code, f"returned a {kind}" in answer.stderr) == (1, True)
    assert two("status", "--json", "--service", service).json["services"][0]["pending"] == ["003"]


@pytest.mark.parametrize(
    ("child", "status"),
    [("", 0), ("raise ValueError('of the child')", 1), ("raise SystemExit(7)", 7), ("os._exit(0)", 0)],
    ids=["that returns", "that raises", "that exits", "that ends"],
)
@pytest.mark.parametrize("service", SERVICES)
def test_a_process_that_a_file_forks_does_not_go_on_with_our_work(
    two: Project, service: str, child: str, status: int
) -> None:
    """The child has the same connections. One that came out of the file would commit and write into the journal."""
    up = f"import os\nif (child := os.fork()) == 0:\n    {child or 'return'}\n"
    two.file(service, "003", f"{up}assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == {status}")
    answer = two("apply", "--yes", "--json", "--service", service)
    assert (answer.code, answer.json["exit_code"]) == (0, 0)
    assert ("of the child" in answer.stderr) is (status == 1)
    entries = two("history", "--json", "--service", service).json["entries"]
    # What a child does beside PostgreSQL's transaction is not seen: such a step has marks in the journal.
    own = [e for e in entries if e["migration"] == "003" and e["reason"] != NOT_ONE_TRANSACTION]
    assert [e["event"] for e in own] == ["succeeded", "started"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_that_a_file_forks_at_its_import_does_not_go_on_either(two: Project, service: str) -> None:
    two.file(service, "003", head="import os\nif (child := os.fork()):\n    os.waitpid(child, 0)")
    answer = two("apply", "--yes", "--json", "--service", service)
    assert answer.json["exit_code"] == 0


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_failure_says_where_in_the_file_also_in_a_helper(two: Project, service: str) -> None:
    head = "def helper():\n    raise KeyError('no')"
    path = two.file(service, "003", "if time:\n    helper()", head=head)
    lines = path.read_text().splitlines()
    line = lines.index("    raise KeyError('no')") + 1
    answer = two("apply", "--yes", "--service", service)
    assert (answer.code, f"  at 003.py:{line} in helper\n" in answer.stderr) == (1, True)
    failed = two("apply", "--yes", "--service", service, "--json").json["failed"]
    assert f"at 003.py:{line} in helper" in failed[0]["message"]


# --- what is written below Python's own streams

WRITES = {
    "a child": "subprocess.run(['echo', 'below'], check=True)",
    "a child that gets stdout": "subprocess.run(['echo', 'below'], check=True, stdout=sys.stdout)",
    "a child that gets stderr": "subprocess.run(['echo', 'below'], check=True, stdout=sys.stderr)",
    "bytes": "sys.stdout.buffer.write(b'below\\n')",
    "what the encoding has": "sys.stdout.buffer.write('below\\n'.encode(sys.stdout.encoding))",
    "a child's stderr": "subprocess.run('echo below >&2', shell=True, check=True)",
    "os.write": "os.write(1, b'below\\n')",
    "os.write to 2": "os.write(2, b'below\\n')",
    "the first stdout": "sys.__stdout__.write('below\\n')",
    "C's buffer": "ctypes.CDLL(None).printf(b'below\\n')",
    "without an end of line": "os.write(1, b'below')",
    "a forked child": "child = multiprocessing.get_context('fork').Process(target=os.write, args=(1, b'below'))\n"
    "child.start()\nchild.join()",
}
HEAD = "import ctypes, multiprocessing, os, subprocess, sys"


def printed(stderr: str) -> list[str]:
    """What files printed, of JSON log lines; anything that is no such line fails."""
    lines = [json.loads(line) for line in stderr.splitlines()]
    return [line["msg"] for line in lines if line["event"] == "printed"]


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_written_below_python_is_no_part_of_an_answer(two: Project, service: str, write: str) -> None:
    two.file(service, "003", write, write, head=HEAD)
    answer = two("apply", "--yes", "--json", "--log-format", "json")
    assert answer.json["exit_code"] == 0
    assert printed(answer.stderr) == ["below"]
    answer = two("rollback", "--yes", "--json", "--steps", "1", "--service", service)
    assert answer.json["exit_code"] == 0
    assert "below" in answer.stderr.splitlines()


def test_what_child_processes_write_has_no_secrets_and_nothing_that_a_terminal_obeys(two: Project) -> None:
    two.file("shop", "003", "os.write(1, b'\\x1b[31mred\\n')", head=HEAD)
    secret = "q7w8e9secret"
    two.env["OTHER"] = f"postgres://someone:{secret}@db/x"
    two.file("shop", "004", "subprocess.run('echo $OTHER; echo $OTHER >&2', shell=True)", head=HEAD)
    with Terminal(two, "apply", "--yes") as terminal:
        assert terminal.ended(60) == 0
    assert secret not in terminal.raw
    assert terminal.raw.count("postgres://someone:***@db/x") == 2
    assert r"\x1b[31mred" in terminal.text
    assert "\x1b[31mred" not in terminal.raw


def test_a_child_that_writes_much_is_not_held_up_and_nothing_is_lost(two: Project) -> None:
    two.file("bank", "003", "subprocess.run(['seq', '200000'], check=True)", head=HEAD)
    answer = two("apply", "--yes", "--json")
    assert answer.json["exit_code"] == 0
    numbers = [line for line in answer.stderr.splitlines() if line.isdigit()]
    assert numbers == [str(number) for number in range(1, 200_001)]


def test_a_child_that_outlives_its_step_holds_nothing_up(two: Project) -> None:
    """It goes on writing, and never closes what it inherited."""
    body = (
        "import pathlib\nchild = subprocess.Popen('while echo alive; do :; done', shell=True, start_new_session=True)\n"
    )
    two.file("bank", "003", body + "pathlib.Path('child').write_text(str(child.pid))", head=HEAD)
    answer = two("apply", "--yes", "--json")
    assert answer.json["exit_code"] == 0
    child = int((two.folder / "child").read_text())
    until(lambda: not alive(child), what="the child gets EPIPE")


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


@pytest.mark.parametrize("service", SERVICES)
def test_a_file_that_takes_the_descriptors_away_changes_no_answer(two: Project, service: str) -> None:
    body = "os.close(1)\nos.close(2)\nfd = os.open('mine', os.O_WRONLY | os.O_CREAT)\nos.write(fd, b'x')"
    two.file(service, "003", body, head=HEAD)
    answer = two("apply", "--yes", "--json")
    assert (answer.code, answer.json["exit_code"]) == (0, 0)


@pytest.mark.parametrize("how", [">&-", "2>&-", ">/dev/null 2>&-", ">&- 2>&-"])
def test_children_write_also_where_our_streams_are_closed(two: Project, how: str) -> None:
    two.file("bank", "003", "subprocess.run(['echo', 'below'], check=True)\nos.write(1, b'x')", head=HEAD)
    command = f"exec {COMMAND} apply --yes {how}"  # the command as a shell starts it
    done = subprocess.run(["sh", "-c", command], env={**clean_environment(), **two.env}, cwd=two.folder, check=False)
    assert done.returncode == (10 if ">&- 2" in how or how == ">&-" else 0)
    assert two("status", "--json").json["services"][1]["applied"] == 3
