"""`dataops approve`, and a policy that wants approvals: journals of both engines, one of an earlier version."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from dataops.dev import PostgresServer
from tests.projects import Project
from tests.servers import Answer, fresh_postgres

OLD_EVENTS = "'started', 'succeeded', 'failed', 'resolved', 'adopted', 'pruned'"


@pytest.fixture
def both(project: Project, pg_url: str, mongo_url: str) -> Project:
    """One service of each kind with `001` applied and `002` pending. The PostgreSQL journal is of an earlier version:

    its constraint knows no approvals.
    """
    for name, url in (("pg", pg_url), ("docs", mongo_url)):
        project.add(name, url)
        project.table(name, "001")
    assert project("apply", "--yes").code == 0
    for name in ("pg", "docs"):
        project.table(name, "002")
    old(pg_url)
    path = project.folder / "dataops.toml"
    path.write_text(path.read_text() + "[policy]\napprovals = 2\n")
    return project


def old(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE dataops_history.dataops_journal DROP CONSTRAINT dataops_journal_event_check,"
            f" ADD CONSTRAINT dataops_journal_event_check CHECK (event IN ({OLD_EVENTS}));"
            " COMMENT ON COLUMN dataops_history.dataops_journal.event IS 'started, then succeeded or failed'".encode()
        )


def by(project: Project, who: str, *arguments: str) -> Answer:
    return project(*arguments, env={"DATAOPS_ACTOR": who})


def test_a_plan_is_applied_only_when_enough_people_have_approved_its_bytes(both: Project) -> None:
    bare = both("apply", "--yes")
    assert bare.code == 7
    assert "it has to be saved, and approved by 2 people (approvals = 2)" in bare.stderr
    assert "dataops plan --out FILE, then let others read it and run: dataops approve FILE" in bare.stderr
    planned = both("plan", "--out", "a.plan")
    assert planned.code == 0
    assert "the policy would refuse it now: approved by nobody (0 of 2) (approvals = 2)" in planned.stdout
    assert by(both, "ann", "approve", "a.plan").code == 64  # there is no terminal to ask
    for who, words in (("ann", "ann (1 of 2)"), ("ann", "ann (1 of 2)"), ("bob", "ann and bob (2 of 2)")):
        refused = both("apply", "a.plan")
        assert (refused.code, "dataops approve a.plan" in refused.stderr) == (7, True)
        approved = by(both, who, "approve", "a.plan", "--yes")
        assert (approved.code, approved.stdout) == (0, f"a.plan: approved by {words}\n")
        assert "2 to apply" in approved.stderr or "to apply" in approved.stderr
    shown = both("plan", "--json").json
    assert shown["forbidden"] == []
    assert (shown["approvals"]["people"], shown["approvals"]["wanted"]) == (["ann", "bob"], 2)
    assert "approved by ann and bob (2 of 2)" in both("plan").stdout
    text = (both.folder / "a.plan").read_text()
    Path(both.folder / "b.plan").write_text(text + "\n")
    assert both("apply", "b.plan").code == 7  # one more byte, and the approvals are void
    assert both("apply", "a.plan", "--allow", "destroys-data").code == 64
    assert both("apply", "a.plan").code == 0
    assert both("history", "--verify").code == 0


def test_an_approval_is_no_step_for_any_other_command(both: Project) -> None:
    """The newest run stays the newest, nothing is half done, and `history` tells who approved."""
    before = both("status", "--json").json
    assert both("plan", "--out", "a.plan").code == 0
    told = by(both, "ann", "approve", "a.plan", "--yes", "--json").json
    assert (sorted(told["approved"]), told["people"]) == (["docs", "pg"], ["ann"])
    after = both("status", "--json").json
    assert [one["last"] for one in after["services"]] == [one["last"] for one in before["services"]]
    assert both("status", "--check").code == 2
    runs = both("history", "--json").json["runs"]
    assert (runs[0]["done"], runs[0]["who"].partition("@")[0]) == ({"approved": 2}, "ann")
    assert "plan approved in 2 services" in both("history").stdout
    one = both("history", runs[0]["run"])
    assert (one.code, "a.plan: 1 step, up to 002" in one.stdout) == (0, True)
    refused = both("resolve", "pg/001", "--applied", "--reason", "x")
    assert "nothing about it is undecided" in refused.stderr
    nothing = both("rollback", "--run", runs[0]["run"], "--yes")
    assert (nothing.code, "has applied nothing" in nothing.stderr) == (64, True)
    assert "2 to roll back" in both("plan", "--direction", "rollback").stdout  # by the newest run that did something
    assert both("rollback", "--run", runs[1]["run"], "--yes").code == 0  # which needs no approval


def test_a_half_done_step_stays_half_done_under_an_approval(both: Project, pg_url: str) -> None:
    """An approval that got into the journal after the step began: `started` is still the newest of the steps."""
    both.file("pg", "003", "op.execute('CREATE TABLE x (a int)')")
    assert both("plan", "--service", "pg", "--out", "a.plan").code == 0
    for who in ("ann", "bob"):
        assert by(both, who, "approve", "a.plan", "--yes").code == 0
    with psycopg.connect(pg_url, autocommit=True) as connection:
        row = "run, migration, direction, event, actor, host, version, checksum, raw_checksum, reason"
        connection.execute(
            f"INSERT INTO dataops_history.dataops_journal ({row}) VALUES"
            " ('r', '002', 'apply', 'started', 'ann', 'h', '0', '', '', 'it is not one transaction'),"
            f" ('q', '', 'apply', 'approved', 'bob', 'h', '0', '{'a' * 64}', '', 'x')".encode()
        )
    assert both("status", "--check").code == 6
    assert both("apply", "a.plan").code == 6
    assert by(both, "cid", "approve", "a.plan", "--yes").code == 6
    assert both("resolve", "pg/002", "--not-applied", "--reason", "looked").code == 0
    assert both("status", "--check").code == 2


def test_who_does_not_own_the_old_journal_is_told_what_to_do(both: Project, pg_url: str) -> None:
    """The journal keeps its constraint, which is said by the approval that it does not let in."""
    assert both("plan", "--service", "pg", "--out", "a.plan").code == 0
    with psycopg.connect(pg_url, autocommit=True) as connection:
        role = f"approver_{connection.info.dbname}"
        connection.execute(f'CREATE ROLE "{role}"'.encode())
        connection.execute(f'ALTER TABLE dataops_history.dataops_journal OWNER TO "{role}"'.encode())
        connection.execute(f"CREATE ROLE \"{role}_me\" LOGIN PASSWORD 'x'".encode())
        connection.execute(f'GRANT ALL ON SCHEMA dataops_history TO "{role}_me"'.encode())
        connection.execute(f'GRANT ALL ON ALL TABLES IN SCHEMA dataops_history, public TO "{role}_me"'.encode())
        info = connection.info
        url = f"postgresql://{role}_me:x@{info.host}:{info.port}/{info.dbname}"
        try:
            refused = both("approve", "a.plan", "--yes", env={"PG_URL_CON": url, "PG_URL": url})
            assert "its constraint allows no entry that is approved" in refused.stderr
            assert refused.code == 10
        finally:
            connection.execute(f'ALTER TABLE dataops_history.dataops_journal OWNER TO "{info.user}"'.encode())
            connection.execute(f'DROP OWNED BY "{role}_me"; DROP ROLE "{role}_me", "{role}"'.encode())


def test_wrong_plans_are_not_approved(both: Project) -> None:
    (both.folder / "no.plan").write_text("no plan")
    assert both("approve", "no.plan", "--yes").code == 64
    assert both("approve", "gone.plan", "--yes").code == 64
    assert both("plan", "--service", "docs", "--out", "a.plan").code == 0
    content = json.loads((both.folder / "a.plan").read_text())
    (both.folder / "cut.plan").write_text(json.dumps({**content, "allowed": ["destroys-data"]}))
    assert both("approve", "cut.plan", "--yes").code == 5
    both.table("docs", "003")
    stale = both("approve", "a.plan", "--yes")
    assert (stale.code, "003 is a new file" in stale.stderr) == (5, True)


def policy(project: Project, text: str) -> None:
    path = project.folder / "dataops.toml"
    path.write_text(path.read_text().partition("[policy]")[0] + "[policy]\n" + text)


def test_an_approval_ends(both: Project) -> None:
    """It is given, is too old at once, and counts again where the policy says that it has no end."""
    policy(both, 'approvals = 1\napprovals_valid = "1ms"\n')
    assert both("plan", "--out", "a.plan").code == 0
    told = by(both, "ann", "approve", "a.plan", "--yes")
    assert (told.code, told.stdout) == (
        0,
        "a.plan: approved by nobody (0 of 1), no longer by ann: it was too long ago\n",
    )
    assert "no longer by ann: it was too long ago" in both("apply", "a.plan").stderr
    policy(both, "approvals = 1\napprovals_valid = 0\n")
    assert both("apply", "a.plan").code == 0


def test_what_was_rolled_back_has_to_be_approved_again(both: Project) -> None:
    policy(both, "approvals = 1\n")
    assert both("plan", "--out", "a.plan").code == 0
    assert by(both, "ann", "approve", "a.plan", "--yes").code == 0
    assert both("apply", "a.plan").code == 0
    assert both("rollback", "--steps", "1", "--service", "pg", "--yes").code == 0
    assert both("rollback", "--steps", "1", "--service", "docs", "--yes").code == 0
    refused = both("apply", "a.plan")
    assert refused.code == 7
    assert "no longer by ann: what it was for was taken back since" in refused.stderr
    void = both("plan", "--json").json["approvals"]["void"]
    assert void == {"ann": "what it was for was taken back since"}
    assert by(both, "ann", "approve", "a.plan", "--yes").stdout == "a.plan: approved by ann (1 of 1)\n"
    assert both("apply", "a.plan").code == 0


def test_one_person_counts_once_however_the_name_is_written(both: Project) -> None:
    assert both("plan", "--out", "a.plan").code == 0
    for who in ("Ann", "ann", " ANN ", "\uff21nn"):
        assert by(both, who, "approve", "a.plan", "--yes").stdout == "a.plan: approved by Ann (1 of 2)\n"
    assert [one["event"] for one in both("history", "--json").json["entries"]].count("approved") == 2  # one each


def test_two_people_approve_at_once(both: Project) -> None:
    assert both("plan", "--out", "a.plan").code == 0
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda who: by(both, who, "approve", "a.plan", "--yes"), ("ann", "bob", "ann", "bob")))
    assert [one.code for one in ended] == [0, 0, 0, 0], [one.stderr for one in ended]
    assert sorted(both("plan", "--json").json["approvals"]["people"]) == ["ann", "bob"]
    assert [one["event"] for one in both("history", "--json").json["entries"]].count("approved") == 4
    assert both("history", "--verify").code == 0


def test_a_plan_of_another_environment_is_not_approved(both: Project, postgres: PostgresServer) -> None:
    """It is for the databases for which it was made; a change of a byte in it is another plan, or none."""
    assert both("plan", "--service", "pg", "--out", "a.plan").code == 0
    with fresh_postgres(postgres) as other:
        env = {"PG_URL": other, "DATAOPS_ACTOR": "ann"}
        refused = both("approve", "a.plan", "--yes", env=env)
        assert (refused.code, refused.stdout) == (5, "")
        assert both("apply", "a.plan", env=env).code in (5, 7)


def test_a_reader_cannot_approve(both: Project, pg_url: str, postgres: PostgresServer) -> None:
    assert both("plan", "--service", "pg", "--out", "a.plan").code == 0
    with psycopg.connect(pg_url, autocommit=True) as connection:
        role = f"reader_{connection.info.dbname}"
        connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'secret-of-a-reader'; GRANT pg_read_all_data TO {role};"
            f" GRANT CONNECT ON DATABASE {connection.info.dbname} TO {role}".encode()
        )
    try:
        url = make_conninfo_url(pg_url, role, "secret-of-a-reader")
        refused = both("approve", "a.plan", "--yes", env={"PG_URL": url, "DATAOPS_ACTOR": "ann"})
        assert refused.code not in (0, 70), refused.stderr
        assert "Traceback" not in refused.stderr
        assert "hint: " in refused.stderr
        assert "secret-of-a-reader" not in refused.stderr
    finally:
        with psycopg.connect(pg_url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def make_conninfo_url(url: str, user: str, password: str) -> str:
    return f"postgresql://{user}:{password}@{url.partition('@')[2]}"
