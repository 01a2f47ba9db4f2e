"""The documents say what the command does: every command, option, exit code, field, link and example."""

from __future__ import annotations

import ast
import dataclasses
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest

from dataops import cli, events, manual
from dataops.backends.postgres import sql
from dataops.config import Config, settings
from dataops.errors import ExitCode, Unreachable
from dataops.model import Entry, JournalEvent, Result, Timeouts
from dataops.show import json as answers
from dataops.show.log import JsonLog
from dataops.stash.entry import StashEntry
from tests.unit import test_report
from tests.unit.sample import step

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted((ROOT / "dataops" / "cli").glob("*.py"))
ANSWERS = [*COMMANDS, ROOT / "dataops" / "show" / "json.py"]
README = (ROOT / "README.md").read_text()
MANUAL = (ROOT / "docs" / "commands.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
JSON = (ROOT / "docs" / "json.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(group: click.Group = cli.main_group, path: str = "dataops") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")


EVERY = dict(commands())
LEAVES = {path: command for path, command in EVERY.items() if not isinstance(command, click.Group)}


def section(text: str, heading: str) -> str:
    """What stands under a heading, with the headings below it."""
    found = re.search(rf"^(#+) {re.escape(heading)}$(.*?)(?=^\1 |^#{{1,2}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading {heading!r}"
    return found[2]


# --- commands and options


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_a_section_with_an_example(path: str) -> None:
    text = section(MANUAL, path)
    assert re.search(rf"^\$ .*\b{path}\b", text, re.MULTILINE)


def options(command: click.Command) -> set[str]:
    found = {name for option in command.params if isinstance(option, click.Option) for name in option.opts}
    found |= {name for option in command.params if isinstance(option, click.Option) for name in option.secondary_opts}
    return found


SHARED = options(LEAVES["dataops plan"]) & options(LEAVES["dataops apply"]) - {
    "--to",
    "--steps",
    "--onto-existing",
    "--background",
    "--allow",
    "--policy",
    "--jobs",
}


@pytest.mark.parametrize("path", LEAVES)
def test_every_option_is_in_the_manual(path: str) -> None:
    """In the command's section, or above all of them where every command has it."""
    before = MANUAL.partition("\n## ")[0]
    text = section(MANUAL, path)
    for option in options(LEAVES[path]):
        where = before if option in SHARED else text
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", where), option


@pytest.mark.parametrize("path", ["dataops", *EVERY])
def test_help_ends_in_a_worked_example(path: str) -> None:
    command = EVERY.get(path, cli.main_group)
    text = command.get_help(click.Context(command, info_name=path))
    last = text.rstrip().split("\n\n")[-1].splitlines()
    assert last[0].strip() == "Example:"
    assert last[1:]
    for line in last[1:]:
        assert re.search(r"\bdataops ", line)


def examples(text: str) -> Iterator[str]:
    """Every `dataops ...` of a document's consoles, or of a help's example."""
    for line in text.splitlines():
        for found in re.findall(r"""(?:^|[\s"(])(dataops (?:"[^"]*"|[^|&;)#"])*)""", line):
            yield re.sub(r"  +[a-z].*$", "", found).strip()  # a remark beside it


def understood(line: str) -> None:
    """It parses: command, options and arguments are there. Nothing is run."""
    words = shlex.split(line)
    group: click.Command = cli.main_group
    name = words.pop(0)
    while isinstance(group, click.Group):
        assert words, f"{line}: no command"
        if words[0].startswith("-"):
            group.make_context(name, words, resilient_parsing=True)
            return
        name = words.pop(0)
        command = group.get_command(click.Context(group), name)
        assert command is not None, line
        group = command
    group.make_context(name, [word for word in words if word != "..."])


def consoles(text: str) -> str:
    blocks: list[str] = re.findall(r"^ *```console\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(re.sub(r"^ *\$ ", "", line) for block in blocks for line in block.splitlines() if "$ " in line)


SHOWN = [
    *dict.fromkeys(line for document in DOCUMENTS for line in examples(consoles(document.read_text()))),
    *dict.fromkeys(line for command in EVERY.values() for line in examples(command.epilog or "")),
]


@pytest.mark.parametrize("line", SHOWN)
def test_every_example_is_a_command_line_that_parses(line: str) -> None:
    understood(line)


def test_there_are_examples() -> None:
    assert len(SHOWN) > 40


def test_an_example_that_is_wrong_would_be_found() -> None:
    for wrong in ("dataops plans", "dataops plan --too x", "dataops resolve api/x --applied", "dataops stash"):
        with pytest.raises((click.ClickException, AssertionError)):
            understood(wrong)


def test_the_man_page_is_what_the_commands_say_of_themselves() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "script" / "manpage.py", "--print"], capture_output=True, text=True, check=True
    ).stdout
    assert (ROOT / "docs" / "dataops.1").read_text() == made, "make it again: .venv/bin/python script/manpage.py"
    for name, command in EVERY.items():
        assert isinstance(command, click.Group) or f'.SS "{name}'.replace("-", "\\-") in made
    assert "\\-\\-lock\\-timeout" in made and "hint" not in made


def test_the_set_up_is_exactly_two_commands() -> None:
    first = re.search(r"```console\n(.*?)```", section(README, "Set-up"), re.DOTALL)
    assert first
    assert re.findall(r"^\$ (\S+)", first[1], re.MULTILINE) == ["script/demo", "script/test"]
    for script in ("script/demo", "script/test"):
        assert (ROOT / script).stat().st_mode & 0o111


# --- exit codes, configuration


def table(text: str) -> dict[str, str]:
    """The first two columns of every table."""
    return dict(re.findall(r"^\| *(.+?) *\| *(.*?) *\|", text, re.MULTILINE))


def test_every_exit_code_is_in_both_tables() -> None:
    for text in (section(MANUAL, "Exit codes"), section(OPERATIONS, "Exit codes in a Job")):
        rows = table(text)
        assert {key for key in rows if key.isdigit()} == {str(code.value) for code in ExitCode}
        assert all(rows[str(code.value)] for code in ExitCode)


def test_every_timeout_is_in_the_manual_with_its_default() -> None:
    text = CONFIGURATION
    units = {"s": 1.0, "m": 60.0, "": 1.0}
    found = dict(re.findall(r"^\| `(\w+)` \| (\d+[sm]?) \|", text, re.MULTILINE))
    told = {name: float(value.rstrip("sm")) * units[value.lstrip("0123456789")] for name, value in found.items()}
    assert told == dataclasses.asdict(Timeouts())


def test_every_key_and_variable_of_the_configuration_is_in_the_manual() -> None:
    text = CONFIGURATION
    source = "".join(path.read_text() for path in (ROOT / "dataops" / "config").glob("*.py"))
    for key in settings.SERVICE_KEYS | settings.OBSERVED_KEYS | settings.LINT_KEYS:
        assert re.search(rf"\b{key}\b", text), key
    prefixed = {f"MONGODB_{end}" for end in re.findall(r"\{prefix\}_([A-Z]+)\b", source)}
    ours = set(re.findall(r'"((?:DATAOPS|NO)_[A-Z_]+)"', "".join(path.read_text() for path in CODE)))
    everywhere = text + MANUAL.partition("\n## ")[0]
    for variable in prefixed | ours | {"PG_CON", "API_KEYS_PG_CON", "NOTIFICATIONS_PG_CON", "VOUCHER_PG_CON"}:
        assert variable in everywhere, variable


CODE = sorted((ROOT / "dataops").rglob("*.py"))


def test_our_own_configuration_is_what_the_manual_says(tmp_path: Path) -> None:
    """The paragraph in docs/configuration.md is one that is read without a complaint."""
    from dataops import config

    block = re.search(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert block
    (tmp_path / "dataops.toml").write_text(block[1] + '\n[services.api]\nengine = "mongodb"\nfolder = "m"\n')
    (tmp_path / "m").mkdir()
    (tmp_path / "pg_migrations" / "voucher" / "versions").mkdir(parents=True)
    found: Config = config.load(tmp_path / "dataops.toml", environ={}, environment="compose", selected=["voucher"])
    assert found.services[0].depends_on == ("api",)


# --- what machines read


def names_in_tables(text: str) -> set[str]:
    """Every `name` in the first column of a table."""
    first = re.findall(r"^\| *(`.*?) *\|", text, re.MULTILINE)
    return {name for cell in first for name in re.findall(r"`([\w]+)`", cell)}


def fields(content: object) -> set[str]:
    if isinstance(content, dict):
        return {str(key) for key in content} | {name for value in content.values() for name in fields(value)}
    if isinstance(content, list):
        return {name for value in content for name in fields(value)}
    return set()


def test_every_field_of_an_answer_is_in_docs_json() -> None:
    known = names_in_tables(section(JSON, "Answers"))
    api = test_report.API
    of_reports = fields(
        [
            test_report.PLANNED,
            test_report.ENTRY,
            answers.status_of("api", api, None),
            answers.status_of("api", Unreachable("no"), None),
            answers.stash_entries("api", StashEntry("n", "p", "s", 0, 0, None)),
            answers.result(Result("r", test_report.PLAN), {}),
        ]
    )
    of_commands: set[str] = set()
    nodes = (node for path in ANSWERS for node in ast.walk(ast.parse(path.read_bytes())))
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("answer", "_print_json", "document")):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Dict):
                    of_commands |= {str(key.value) for key in inner.keys if isinstance(key, ast.Constant)}
    assert {"saved", "urls", "kept"} <= of_commands
    assert (of_reports | of_commands) - known == set()


def test_every_field_of_a_plan_file_is_in_docs_json() -> None:
    source = (ROOT / "dataops" / "planning" / "planfile.py").read_bytes()
    written: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name in ("written", "_service"):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Dict):
                    written |= {str(key.value) for key in inner.keys if isinstance(key, ast.Constant)}
    assert {"format", "marks", "fingerprint"} <= written
    text = section(JSON, "The plan file")
    assert {name for name in written if f'"{name}"' not in text} == set()


def test_every_event_of_the_log_and_its_fields_are_in_docs_json() -> None:
    lines: list[tuple[str, dict[str, object]]] = []

    class Spy(JsonLog):
        def line(self, level: str, event: str, service: str, text: str, fields: Mapping[str, object]) -> None:
            lines.append((event, dict(fields)))

    spy = Spy(None, "run-2")  # type: ignore[arg-type]
    a_step = step(test_report.API, "n")
    for kind in events.Event.__subclasses__():
        event = kind()
        if "step" in kind.__dataclass_fields__:
            object.__setattr__(event, "step", a_step)
        if isinstance(event, events.RunFinished):
            object.__setattr__(event, "result", Result("r", test_report.PLAN))
        spy(event)
    spy.error(Unreachable("no"))
    for name, found in re.findall(
        r'log\.line\(\s*"\w+",\s*("\w+"(?: if \w+ else "\w+")?),[^{]*\{([^}]*)\}',
        "{}".join(path.read_text() for path in COMMANDS),  # each file ends what the one before it leaves open
    ):
        lines.extend((one, dict.fromkeys(re.findall(r'"(\w+)":', found))) for one in re.findall(r'"(\w+)"', name))
    assert {name for name, _ in lines} >= {"run_started", "printed", "waiting", "ready", "error", "bug"}
    text = section(JSON, "Log lines")
    rows = {}
    for cell, told in re.findall(r"^\| *(`.*?) *\| *(.*?) *\|$", text, re.MULTILINE):
        rows.update(dict.fromkeys(re.findall(r"`(\w+)`", cell), told))
    stream = io.StringIO()
    JsonLog(stream, "run-2", trace={"trace_id": "0"})(events.LockTaken("api"))
    everywhere = {"migration", "direction", *json.loads(stream.getvalue())}
    assert everywhere <= set(rows)
    for name, found_fields in lines:
        assert name in rows, name
        for field in set(found_fields) - everywhere:
            assert f"`{field}`" in rows[name], f"{name}: {field}"


def test_every_kind_of_journal_entry_is_explained() -> None:
    rows = table(section(OPERATIONS, "The journals"))
    assert {key.strip("`") for key in rows if key.startswith("`")} == {kind.value for kind in JournalEvent}


def test_every_column_of_the_journal_has_a_comment() -> None:
    columns = {field.name for field in dataclasses.fields(Entry)} | {"previous", "hash"}
    text = sql.CREATE_JOURNAL + "".join(sql.WIDEN.values())
    assert set(re.findall(r"COMMENT ON COLUMN \{journal\}\.(\w+)", text)) == columns


# --- links


def anchors(path: Path) -> set[str]:
    """As GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-") for heading in headings}


def broken(target: str, beside: Path) -> bool:
    path, _, anchor = target.partition("#")
    file = (beside / path).resolve() if path else None
    if file is not None and not file.exists():
        return True
    return bool(anchor) and anchor not in anchors(file or beside)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors(document), target
        elif "://" not in target:
            assert not broken(target, document.parent), target


def test_every_hint_in_the_code_leads_somewhere() -> None:
    places = [*CODE, ROOT / "dataops.toml", *(ROOT / "pg_migrations").rglob("*.py"), *(ROOT / "script").iterdir()]
    found = {
        target: path
        for path in places
        if path.is_file()
        for target in re.findall(r"(?:README\.md|CHANGELOG\.md|docs/[\w/.-]*?\w\.md)(?:#[\w-]+)?", path.read_text())
    }
    assert {target: path for target, path in found.items() if broken(target, ROOT)} == {}


def told_pages() -> Iterator[tuple[str, str]]:
    """Every page, with its section or "", that a message, a help or a document tells a user to read."""
    for path in [*CODE, *DOCUMENTS]:
        yield from re.findall(
            r"dataops docs ([a-z][\w/-]*\b)(?: ([a-z]+-[\w-]+|[a-z]+(?=[\"\n`;])))?", path.read_text()
        )


def test_every_page_that_a_message_names_can_be_printed() -> None:
    told = set(told_pages())
    assert {("operations", "a-held-lock"), ("operations", "rights"), ("configuration", "")} <= told
    for name, heading in told:
        assert not heading or manual.part(manual.read(name), heading), (name, heading)


def test_messages_name_the_command_and_not_the_file() -> None:
    """Who has installed a wheel has no docs/ to look into."""
    for path in CODE:
        tree = ast.parse(path.read_bytes())
        documented = [
            node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ]
        said = {node for node in ast.walk(tree) if isinstance(node, ast.Constant)} - {node.value for node in documented}
        assert not [node.value for node in said if re.search(r"docs/[\w-]+\.md", str(node.value))], path


def test_every_page_is_in_the_list_that_the_command_prints() -> None:
    listed = [name for name, _ in manual.index()]
    mine = {name for name in manual.names() if not name.startswith(("adr/", "readme"))}
    assert set(listed) == mine
    assert len(listed) == len(mine)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, new = set(), [ROOT / "README.md"]
    while new:
        page = new.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
            path = (page.parent / target).resolve()
            if path.suffix == ".md" and path.exists() and path not in reached:
                new.append(path)
    assert set(DOCUMENTS) - reached == set()
