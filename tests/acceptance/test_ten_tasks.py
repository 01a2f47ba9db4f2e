"""The ten tasks of an operator, as docs/operations.md writes them down: each on a terminal of 80 columns.

Every command that is run here has to stand under its task in the page, so that the page cannot go its own way.
"""

from __future__ import annotations

import re
import resource
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext

from dataops.dev import postgres_server
from tests.projects import Project
from tests.servers import ROOT
from tests.terminal import Terminal

COLUMNS = 80
PAGE = (ROOT / "docs" / "operations.md").read_text().partition("## Ten tasks")[2].partition("\n## ")[0]
TASKS = dict(re.findall(r"^### (.*?)\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Processes that are started meanwhile can write no file that is bigger, in bytes, as if a disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Task:
    """`task("dataops status")`: what stands on the screen then. The words in capitals of the page become `values`."""

    def __init__(self, project: Project, title: str, **values: str) -> None:
        self.project, self.text, self.values = project, TASKS[title], values

    def __call__(
        self,
        line: str,
        code: int = 0,
        *,
        yes: bool = False,
        env: Mapping[str, str] | None = None,
        largest_file: int = 0,
    ) -> str:
        assert re.search(rf"^\$ {re.escape(line)}(  |$)", self.text, re.MULTILINE), f"{line} is not in {self.text}"
        words = [self.values.get(word, word) for word in shlex.split(line)]
        for name, value in self.values.items():
            words = [re.sub(rf"\b{name}\b", value, word) for word in words]
        with small_files(largest_file) if largest_file else nullcontext():
            started = Terminal(self.project, *words[1:], env=env, columns=COLUMNS)
        with started as terminal:
            if yes:
                terminal.read_until("[y/N]", 60)
                terminal.press("y\n")
            ended = terminal.ended(60)
        assert ended == code, terminal.text
        return "\n".join(terminal.lines)


def fits(screen: str) -> bool:
    """Whether no line is wider than the terminal."""
    return all(len(line) <= COLUMNS for line in screen.split("\n"))


def table(screen: str) -> str:
    """What stands above the messages, whose long lines the terminal folds: a command in them can be copied whole."""
    return re.split("^(?:error|hint|warning|note): ", screen, maxsplit=1, flags=re.MULTILINE)[0]


def unfolded(screen: str) -> str:
    """The same words on one line: a table breaks its texts."""
    return " ".join(screen.split())


def test_who_ran_what_last_night_and_undo_it(two: Project) -> None:
    assert two("apply", "--yes", "--steps", "1").code == 0
    assert two("apply", "--yes").code == 0
    last = Task(two, "Who ran what last night?")
    runs = last("dataops history --since 24h")
    assert fits(runs)
    assert "3 applied in 2 services" in runs and "1 applied in " in runs
    run = runs.split("\n")[1].split()[0]
    last.values = {"RUN": run}
    steps = last("dataops history RUN")
    assert fits(steps)
    assert steps.startswith("Run ") and steps.count(" applied ") == 4  # its head, and a line for each of the three

    undo = Task(two, "Undo it", RUN=run)
    shown = undo("dataops plan --direction rollback")
    assert "Plan: 3 to roll back in 2 services" in shown and "> DROP TABLE t_002" in shown
    undone = undo("dataops rollback", yes=True)
    assert "3 rolled back in 2 services" in undone
    stands = undo("dataops status")
    assert fits(stands) and stands.count("1 pending") + stands.count("2 pending") == 2
    again = undo("dataops rollback", 7)
    assert "left nothing to undo" in unfolded(again)


def test_a_lock_that_is_held_and_how_far_the_step_is_that_runs(two: Project) -> None:
    batches = (
        "from dataops.progress import track\nfor n in track(range(10), 10, 'rows'):\n    n == 4 and here('middle')"
    )
    two.file("shop", "003", "op.execute('CREATE TABLE long_one (id int)')\n" + batches)
    held, far = Task(two, "Somebody holds the lock"), Task(two, "How far is the step that runs?")
    with Terminal(two, "apply", "--yes", columns=COLUMNS) as first:
        two.reached("middle", 60)
        first.read_until("4 of 10 rows")
        stands = held("dataops status")
        assert fits(stands)
        assert "running: apply 003 for " in unfolded(stands) and "process " in stands
        refused = held("dataops apply --yes --lock-timeout 5s", 3)
        assert "the migration lock is held by" in refused and "gave up after 5 s" in refused
        assert "running: apply 003" in unfolded(far("dataops status"))
        run = re.search(r"run (\d{8}T\d{6}-\w{6})", unfolded(stands))
        assert run is not None
        far.values = {"RUN": run[1]}
        assert re.search(r"003 +shop .* apply is running", far("dataops history RUN"))
        two.go("middle")
        assert first.ended() == 0
    assert "left" in first.text
    assert "up to date" in far("dataops status")


def test_a_step_that_was_interrupted(two: Project) -> None:
    two.file("bank", "003", "db.half.insert_one({'_id': 1})\nhere('middle', db)", "db.half.drop()")
    with two.running("apply", "--yes", "--service", "bank") as process:
        two.reached("middle")
        process.kill()
        process.wait()
    two.go("middle")
    task = Task(two, "A step was interrupted", ID="bank/003", **{"SERVICE/ID": "bank/003"})
    refused = task("dataops apply", 6)
    assert "and never ended; nobody knows how far it came" in refused
    stands = task("dataops status")
    assert fits(table(stands)) and "interrupted: apply 003" in unfolded(stands)
    decided = task('dataops resolve SERVICE/ID --applied --reason "it had inserted all of it"')
    assert "bank/003 is recorded as applied" in decided
    assert "2 applied in 1 service" in task("dataops apply", yes=True)


def test_a_plan_that_is_stale(two: Project) -> None:
    task = Task(two, "The saved plan is stale")
    assert "Plan: 4 to apply in 2 services" in task("dataops plan --out today.plan")
    assert two("apply", "--yes", "--service", "shop", "--steps", "1").code == 0
    refused = task("dataops apply today.plan", 5)
    assert "today.plan is stale: shop: 001 has been applied" in refused
    assert "hint: make a new plan: dataops plan --out FILE" in refused
    task("dataops plan --out today.plan")
    assert "3 applied in 2 services" in task("dataops apply today.plan")  # it was read: nothing is asked


def test_an_image_that_is_too_old(two: Project) -> None:
    assert two("apply", "--yes").code == 0
    two.path("shop", "002").unlink()
    task = Task(two, "The image is too old")
    stands = task("dataops status")
    assert fits(table(stands)) and "ahead" in stands
    refused = task("dataops apply", 9)
    assert "002" in refused and "hint: " in refused
    assert "left nothing" not in task("dataops wait --allow-ahead")


def test_a_wrong_password(two: Project, pg_url: str) -> None:
    wrong = {"SHOP_URL": re.sub(r"//dataops:[^@]*@", "//dataops:of-yesterday@", pg_url)}
    task = Task(two, "The password is wrong", SERVICE="shop")
    stands = task("dataops status", 10, env=wrong)
    assert fits(table(stands)) and "refuses the user" in unfolded(table(stands))
    assert "hint: check the user and the password in the URL" in stands
    assert "2 pending" in table(stands)  # the other service is shown all the same
    found = task("dataops doctor --service SERVICE", 10, env=wrong)
    assert "shop, connection: check the user and the password in the URL" in found
    assert "of-yesterday" not in stands + found


def test_a_disk_that_is_full(project: Project) -> None:
    with ExitStack() as servers:
        with small_files(20 * 1024**2 + 100):
            server = servers.enter_context(postgres_server())
        project.add("shop", server.create_database("shop"))
        rows = "SELECT repeat(md5(n::text), 60) AS text FROM generate_series(1, 30000) AS n"
        project.table("shop", "001")
        project.file("shop", "002", f'op.execute("CREATE TABLE big AS {rows}")', 'op.execute("DROP TABLE big")')
        task = Task(project, "A disk is full", FILE="today.plan")
        failed = task("dataops apply", 1, yes=True)
        assert "error: shop: apply 002 failed" in failed and "could not extend file" in failed
        assert "The change was rolled back. 002 is as it was before." in unfolded(failed)
        stands = task("dataops status")
        assert fits(stands) and "failed: apply 002, 1 pending" in unfolded(stands)
        assert "size" in task("dataops doctor")
        full = task("dataops plan --out FILE", 10, largest_file=64)
        assert "error: today.plan: File too large\nhint: nothing was written" in full
        assert not (project.folder / "today.plan").exists()


def test_which_migration_added_this_index(two: Project) -> None:
    two.file("shop", "003", 'op.execute("CREATE TABLE users (id int, mail text)")')
    two.file("shop", "004", 'op.execute("CREATE INDEX ON users (mail)")')
    two.file("bank", "003", 'db.users.create_index("mail", unique=True)')
    assert two("apply", "--yes").code == 0
    task = Task(two, "Which migration added this index?", SERVICE="shop", TABLE="users")
    shown = task("dataops inspect SERVICE")
    assert fits(shown) and "users" in shown
    shown = task("dataops inspect SERVICE TABLE")
    assert fits(shown)
    assert re.search(r"^users_mail_idx +index +btree \(mail\) .* 004$", shown, re.MULTILINE)
    task.values = {"SERVICE": "bank", "TABLE": "users"}
    assert re.search(r"^mail_1 +index +\(mail: 1\) unique .* 003$", task("dataops inspect SERVICE TABLE"), re.MULTILINE)
    task.values = {"ID": "003"}
    assert "7 applied in 2 services" in task("dataops history --migration ID")


def test_the_page_has_ten_tasks() -> None:
    assert len(TASKS) == 10
