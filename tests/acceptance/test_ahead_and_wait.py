"""An old image meets a newer database; init containers wait."""

from __future__ import annotations

import pytest

from tests.projects import Project, ended


@pytest.fixture
def old_image(two: Project) -> Project:
    """Both databases have 001 and 002; the code knows 001 only."""
    assert two("apply", "--yes").code == 0
    for service in ("shop", "bank"):
        two.path(service, "002").unlink()
    return two


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_ahead_is_a_state_with_a_name_and_a_code(old_image: Project, service: str) -> None:
    status = old_image("status", "--service", service)
    assert (status.code, "ahead" in status.stdout) == (0, True)
    for command in (
        ["plan"],
        ["apply", "--yes"],
        ["rollback", "--yes"],
        ["status", "--check"],
        ["wait", "--timeout", "5s"],
    ):
        answer = old_image(*command, "--service", service)
        assert (command, answer.code) == (command, 9)
        assert "002" in answer.stderr
        assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_ahead_may_be_allowed(old_image: Project, service: str) -> None:
    assert old_image("wait", "--allow-ahead", "--timeout", "5s", "--service", service).code == 0
    old_image.configure(**{service: {"ahead": "allow"}})
    for command in (["plan"], ["apply", "--yes"], ["status", "--check"], ["wait", "--timeout", "5s"]):
        assert old_image(*command, "--service", service).code == 0


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_a_file_that_is_missing_in_the_middle_is_no_old_image(two: Project, service: str) -> None:
    assert two("apply", "--yes").code == 0
    two.path(service, "002").unlink()
    two.file(service, "003", parent="001")
    answer = two("apply", "--yes", "--service", service)
    assert answer.code == 4
    assert "002 is applied but has no file here" in answer.stderr


def test_wait_ends_when_somebody_has_applied(two: Project) -> None:
    with two.running("wait", "--timeout", "60s") as process:
        assert process.stderr is not None
        assert "pending" in process.stderr.readline()
        assert two("apply", "--yes").code == 0
        assert ended(process).code == 0


def test_wait_gives_up_in_time_and_says_for_what(two: Project) -> None:
    answer = two("wait", "--timeout", "300ms")
    assert answer.code == 3
    assert "2 migrations pending" in answer.stderr


def test_wait_outlives_a_server_that_is_not_there(two: Project) -> None:
    answer = two("wait", "--timeout", "1s", "--service", "shop", env={"SHOP_URL": "postgres://u:p@127.0.0.1:1/x"})
    assert answer.code == 10


def test_status_check_and_detailed_exit_codes_tell_pending_from_nothing(two: Project) -> None:
    assert (two("status").code, two("status", "--check").code) == (0, 2)
    assert (two("plan").code, two("plan", "--detailed-exitcode").code) == (0, 2)
    assert two("apply", "--yes").code == 0
    assert (two("status", "--check").code, two("plan", "--detailed-exitcode").code) == (0, 0)


@pytest.mark.parametrize("service", ["shop", "bank"])
def test_wait_does_not_wait_for_what_no_waiting_can_mend(two: Project, service: str) -> None:
    assert two("apply", "--yes").code == 0
    file = two.path(service, "001")
    file.write_text(file.read_text().replace("t_001", "t_other"))
    answer = two("wait", "--timeout", "180s", timeout=90)
    assert (answer.code, file.name in answer.stderr) == (4, True)


def test_wait_goes_on_while_a_step_is_interrupted_because_somebody_may_decide_it(two: Project) -> None:
    two.file("shop", "003", "with op.get_context().autocommit_block():\n    here('x')")
    assert two("apply", "--yes", "--service", "bank").code == 0
    with two.running("apply", "--yes") as process:
        two.reached("x")
        process.kill()
        process.wait()
    assert two("wait", "--timeout", "100ms").code == 6
    with two.running("wait", "--timeout", "60s") as process:
        assert process.stderr is not None
        while "never ended" not in (line := process.stderr.readline()):
            assert line
        assert two("resolve", "shop/003", "--applied", "--reason", "r").code == 0
        assert two("apply", "--yes").code == 0
        assert ended(process).code == 0
