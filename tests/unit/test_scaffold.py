"""`dataops new`: a file with the right name, parent and shape."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataops import scaffold
from dataops.errors import CannotWrite, ExitCode, UsageError
from dataops.files import chain
from dataops.kinds import MONGODB, POSTGRESQL, Kind
from dataops.model import Service
from dataops.scaffold import templates
from tests.unit.sample import NOW, migration, service

STAMP = "20261124093000"


def home(tmp_path: Path, kind: Kind, picture: str = "a -- b") -> Service:
    (tmp_path / "versions").mkdir(exist_ok=True)
    return replace(service(picture, kind=kind), folder=tmp_path)


@pytest.mark.parametrize(
    ("kind", "name", "id_"),
    [
        (POSTGRESQL, f"versions/{STAMP}_add_last_used_by.py", STAMP),
        (MONGODB, f"{STAMP}-add-last-used-by.py", f"{STAMP}-add-last-used-by"),
    ],
)
def test_a_new_file_follows_the_newest_one(tmp_path: Path, kind: Kind, name: str, id_: str) -> None:
    """a -- b -- new"""
    (path,) = scaffold.new(home(tmp_path, kind), "Add last_used_by", NOW).files
    assert path == tmp_path / name
    place = tmp_path if kind is MONGODB else tmp_path / "versions"
    for one in service("a -- b", kind=kind).migrations:
        (place / one.path).write_bytes(one.text)
    made = chain.load("voucher", kind, tmp_path)[-1]
    assert (made.id, made.parent, made.path) == (id_, "b", path)
    assert (made.title, made.reversible, made.repeatable) == ("Add last_used_by", True, False)
    compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_the_first_file_has_no_parent(tmp_path: Path, kind: Kind) -> None:
    scaffold.new(home(tmp_path, kind, ""), "first", NOW)
    (made,) = chain.load("voucher", kind, tmp_path)
    assert made.parent is None


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
@pytest.mark.parametrize(
    ("message", "title"),
    [
        ('  say "hello"\n to  it ', "say 'hello' to it"),
        ('ends in a quote"', "ends in a quote'"),
        ("a \\ backslash \\n and \\", "a \\ backslash \\n and \\"),
        ("Ümläute + {braces} %s", "Ümläute + {braces} %s"),
        ("x" * 300, "x" * 300),
    ],
)
def test_any_message_makes_a_file_that_python_can_read(tmp_path: Path, kind: Kind, message: str, title: str) -> None:
    (path,) = scaffold.new(home(tmp_path, kind, ""), message, NOW).files
    (made,) = chain.load("voucher", kind, tmp_path)
    assert made.title == title
    assert len(path.name) < 90


def test_accents_come_off_in_the_name_of_the_file_only(tmp_path: Path) -> None:
    (path,) = scaffold.new(home(tmp_path, MONGODB, ""), "Füge Café hinzu", NOW).files
    assert path.name.endswith("-fuge-cafe-hinzu.py") and "Füge Café hinzu" in path.read_text()


@pytest.mark.parametrize(
    ("message", "why"), [("", "is empty"), ("   ", "is empty"), ("---", "has no letter"), ("добавить", "has no letter")]
)
def test_a_message_that_makes_no_name_is_refused(tmp_path: Path, message: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        scaffold.new(home(tmp_path, POSTGRESQL), message, NOW)
    assert (caught.value.exit_code, f"the message {why}" in caught.value.message) == (ExitCode.USAGE, True)
    assert list((tmp_path / "versions").iterdir()) == []


@pytest.mark.parametrize("kind", [POSTGRESQL, MONGODB])
def test_a_file_that_is_there_is_never_written_over(tmp_path: Path, kind: Kind) -> None:
    (made,) = scaffold.new(home(tmp_path, kind), "one", NOW).files
    before = made.read_bytes()
    (next_,) = scaffold.new(home(tmp_path, kind), "one", NOW).files
    assert (made.read_bytes(), next_.name > made.name) == (before, True)


def test_an_alembic_id_of_this_second_is_never_given_twice(tmp_path: Path) -> None:
    """Ids are the time; the words after it are not part of them."""
    place = replace(home(tmp_path, POSTGRESQL), migrations=(migration(STAMP),))
    (made,) = scaffold.new(place, "other words", NOW).files
    assert made.name == f"{int(STAMP) + 1}_other_words.py"


def test_the_files_of_a_template_have_ids_of_their_own_also_in_a_second_that_is_taken(tmp_path: Path) -> None:
    place = replace(home(tmp_path, POSTGRESQL), migrations=(migration(STAMP),))
    wanted = templates.Wanted("contract", "orders.customer")
    made = scaffold.new_from_template(place, "away", NOW, wanted).files
    assert [int(path.name[:14]) - int(STAMP) for path in made] == [1, 2]
    assert f'down_revision = "{int(STAMP) + 1}"' in made[1].read_text()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "versions").write_text("a file")
    with pytest.raises(CannotWrite, match="Not a directory"):
        scaffold.new(replace(service("a"), folder=tmp_path), "one", NOW)
