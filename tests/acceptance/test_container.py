"""As Kubernetes runs it: no name, no home, no terminal; last words in a file; a backup first; a hang-up is a stop."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.otlp import receiver
from tests.projects import Project, await_line, ended, until
from tests.servers import COMMAND, clean_environment
from tests.terminal import Terminal


@pytest.fixture
def log(two: Project, tmp_path: Path) -> Path:
    """The termination log of every command of `two`."""
    path = tmp_path / "termination-log"
    path.touch()
    two.env["DATAOPS_TERMINATION_LOG"] = str(path)
    return path


# --- last words


def test_the_last_words_say_how_it_went(two: Project, log: Path) -> None:
    assert two("apply", "--yes", "--json").code == 0
    first, second = log.read_text().splitlines()
    assert first == "exit 0: done, or nothing to do"
    assert second.startswith("Run 2") and ": 4 applied in 2 services" in second
    two.file("shop", "003", "op.execute('INSERT INTO nothing VALUES (1)')")
    assert two("apply", "--yes", "--service", "shop", "--log-format", "json").code == 1
    told = log.read_text()
    assert told.startswith("exit 1: a migration failed; what was done before it stands and is recorded\nerror: shop: ")
    assert 'relation "nothing" does not exist' in told
    assert "hint: mend the cause and run again" in told
    assert two("status", "--check").code == 2
    assert log.read_text() == "exit 2: something is pending"


def test_the_last_words_of_a_refusal_and_of_a_server_that_is_gone(two: Project, log: Path) -> None:
    password = "s3cr3t-word"
    answer = two("apply", "--yes", "--service", "shop", env={"SHOP_URL": f"postgres://u:{password}@127.0.0.1:1/x"})
    assert answer.code == 10
    told = log.read_text()
    assert told.startswith("exit 10: no connection, no permission, or a file that cannot be written\nerror: shop: ")
    assert password not in told
    assert two("plan", "--service", "none").code == 64
    assert log.read_text().startswith("exit 64: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_last_words_after_a_signal(two: Project, log: Path, number: signal.Signals) -> None:
    two.file("shop", "003", "here('x')", "pass")
    two.table("shop", "004")
    with two.running("apply", "--yes", "--service", "shop") as process:
        two.reached("x")
        process.send_signal(number)
        await_line(process, "stopping after the running steps")
        two.go("x")
        assert ended(process).code == 75
    told = log.read_text().splitlines()
    assert told[0] == "exit 75: stopped by a signal, or not confirmed; run again to go on"
    assert "3 applied in 1 service, 0 failed, 1 left" in told[-1]


def test_the_last_words_of_one_that_is_stopped_in_the_middle(two: Project, log: Path) -> None:
    two.file("shop", "003", "here('x')")
    with two.running("apply", "--yes", "--service", "shop") as process:
        two.reached("x")
        process.send_signal(signal.SIGTERM)
        await_line(process, "stopping after the running steps")
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 75
    assert "error: stopped now, in the middle of a step" in log.read_text()


# --- a hang-up


def test_a_hang_up_stops_at_a_safe_point_and_a_second_one_changes_nothing(two: Project) -> None:
    """A terminal that closes sends it, and so does its shell."""
    two.file("shop", "003", "here('x')\nop.execute('CREATE TABLE t_003 (id int)')", "op.execute('DROP TABLE t_003')")
    two.table("shop", "004")
    with two.running("apply", "--yes", "--json", "--service", "shop") as process:
        two.reached("x")
        process.send_signal(signal.SIGHUP)
        await_line(process, "SIGHUP: stopping after the running steps")
        process.send_signal(signal.SIGHUP)
        two.go("x")
        answer = ended(process)
    assert (answer.code, answer.json["done"]) == (75, ["shop/001", "shop/002", "shop/003"])
    assert "SIGHUP" not in answer.stderr
    assert two("apply", "--yes").code == 0


def test_a_terminal_that_closes_stops_at_a_safe_point(two: Project) -> None:
    two.file("shop", "003", "here('x')", "pass")
    two.table("shop", "004")
    with Terminal(two, "apply", "--yes", "--service", "shop") as terminal:
        two.reached("x")
        terminal.hang_up()
        two.go("x")
        until(lambda: terminal.process.poll() is not None, what="it ends")
        assert terminal.process.returncode == 75
    entries = two("history", "--json").json["entries"]
    assert [(e["migration"], e["event"]) for e in entries][:2] == [("003", "succeeded"), ("003", "started")]


def test_a_hang_up_at_the_question_ends_the_command(two: Project) -> None:
    with Terminal(two, "apply") as terminal:
        terminal.read_until("migrations?")
        terminal.signal(signal.SIGHUP)
        assert terminal.ended() == 75
    assert two("history").stdout == ""


def test_under_nohup_a_hang_up_is_ignored(two: Project) -> None:
    two.file("shop", "003", "here('x')")
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with two.running("apply", "--yes", "--service", "shop", **ignore) as process:
        two.reached("x")
        process.send_signal(signal.SIGHUP)
        two.go("x")
        assert ended(process).code == 0


# --- a backup first


def test_without_a_new_backup_nothing_is_done(two: Project, tmp_path: Path, log: Path) -> None:
    marker = tmp_path / "done"
    asked = ["--yes", "--json", "--require-backup-marker", str(marker)]
    for content in (None, "", "backup-0"):
        if content is not None:
            marker.write_text(content)
            os.utime(marker, (1e9, 1e9))
        answer = two("apply", *asked)
        assert (answer.code, answer.json["error"]["kind"]) == (7, "Blocked")
        assert "no backup, nothing was done" in answer.json["error"]["message"]
        assert "dataops docs operations a-backup-first" in answer.json["error"]["hint"]
        assert log.read_text().startswith("exit 7: blocked by a policy\nerror: no backup, nothing was done")
    assert two("history").stdout == ""
    marker.write_text("backup-1")
    assert two("apply", *asked).code == 0


def test_a_plan_without_a_step_needs_no_backup_and_a_rollback_does(two: Project, tmp_path: Path) -> None:
    asked = ["--yes", "--require-backup-marker", str(tmp_path / "none")]
    assert two("apply", "--yes").code == 0
    assert two("apply", *asked).code == 0
    assert two("rollback", "--steps", "1", *asked).code == 7
    assert two("apply", "--backup-max-age", "1h").code == 64


def test_a_saved_plan_needs_one_too(two: Project, tmp_path: Path) -> None:
    assert two("plan", "--out", "saved.plan").code == 0
    marker = tmp_path / "done"
    marker.write_text("x")
    os.utime(marker, (time.time() - 600, time.time() - 600))
    asked = ["apply", "saved.plan", "--require-backup-marker", str(marker), "--backup-max-age"]
    answer = two(*asked, "5m")
    assert answer.code == 7
    assert "10 min old, and 5 min is the most" in answer.stderr
    assert two(*asked, "15m").code == 0


# --- whoever runs it


_AS_NOBODY = [
    "setpriv",
    "--reuid=54321",
    "--regid=54321",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
]
"""As root: become a user who may read everything, because Python may be in root's home, and write nothing of others."""


def test_a_user_without_a_name_and_a_home_can_do_everything(two: Project) -> None:
    """An arbitrary user id, as OpenShift gives one. A folder of its own: pytest's is closed to others."""
    with pytest.raises(KeyError):
        pwd.getpwuid(54321)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        subprocess.run(["cp", "-r", f"{two.folder}/.", made], check=True)
        subprocess.run(["chmod", "-R", "a+rX,go-w", made], check=True)
        env = {key: value for key, value in clean_environment().items() if key != "HOME"} | two.env

        def run(*command: str, **more: str) -> None:
            done = subprocess.run(
                [*(_AS_NOBODY if os.getuid() == 0 else []), str(COMMAND), *command],
                cwd=folder,
                env=env | more,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, (command, done.stderr)

        run("apply", "--yes")
        run("rollback", "--yes", "--steps", "4", HOME="/nonexistent")
        run("plan", HOME="/proc")
        run("history", "--log-format", "json", HOME="/proc")
        assert sorted(path.name for path in folder.iterdir()) == ["bank", "dataops.toml", "shop"]
    actors = {entry["actor"] for entry in two("history", "--json").json["entries"]}
    if os.getuid() == 0:
        assert actors == {"uid 54321"}


def test_memory_stays_flat_while_a_migration_goes_on_and_on(two: Project, tmp_path: Path) -> None:
    """Ten times as many statements and reports of progress, all of them listened to, cost no more memory."""
    up = """
        def work(number):
            for _ in track(range(number)):
                op.execute("UPDATE t_001 SET id = id")
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if not op.get_context().as_sql:
            print("used", work(2_000), work(20_000))
    """
    two.file("shop", "003", up, head="import resource\nfrom dataops.progress import track")
    with receiver() as received:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        options = ["--log-format", "json", "--metrics-file", str(tmp_path / "x.prom")]
        answer = two("apply", "--yes", "--service", "shop", *options, env=env, timeout=120)
    assert answer.code == 0
    (said,) = (line["msg"] for line in map(json.loads, answer.stderr.splitlines()) if line["event"] == "printed")
    before, after = map(int, said.split()[1:])
    assert after - before < 4_000, said  # kB
