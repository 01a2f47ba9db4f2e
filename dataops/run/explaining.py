"""What is said of a step that failed: the error for a person, and what is left of the step in the database."""

from __future__ import annotations

from dataops import backends
from dataops.backends import Database, HalfDone, Locked, RolledBack
from dataops.backends.loading import place_of, traceback_from
from dataops.errors import DataopsError, InterruptedStep, LockLost, MigrationFailed, Unreachable
from dataops.model import Details, Step
from dataops.planning.recovery import decisions
from dataops.redaction import redact


def text_of(error: BaseException, database: Database) -> str:
    """The error in one line, for people and for the journal, without secrets."""
    cause = _redacted(error.cause if isinstance(error, backends.StepFailed) else error)
    if isinstance(cause, DataopsError):
        return cause.message
    return error.text if isinstance(error, backends.StepFailed) else database.error_text(error)


def _redacted(cause: BaseException) -> BaseException:
    """The same error. A file may raise one of our classes too, with a text of its own, which is redacted here."""
    if isinstance(cause, DataopsError):
        cause.message, cause.hint = redact(cause.message), redact(cause.hint)
    return cause


def details_of(locked: Locked, step: Step, error: BaseException) -> Details:
    cause = error.cause if isinstance(error, backends.StepFailed) else error
    return Details(place_of(cause, step), traceback_from(cause, step.migration), locked.sent())


def explained(step: Step, error: BaseException, text: str, details: Details) -> DataopsError:
    """Our error for a failed step. It says what is left of the step in the database."""
    cause = error.cause if isinstance(error, backends.StepFailed) else error
    left, decision = _what_is_left(step, error)
    if isinstance(cause, DataopsError):
        cause.service = cause.service or step.service
        if isinstance(error, HalfDone | RolledBack):
            cause.message += f"\n  {left}"
            cause.hint += f"; then: {decision}" if decision else ""
        return cause
    lines = [f"{step.direction.value} {step.migration.id} failed", text, f"at {details.place}", str(details.sent), left]
    cut_off = isinstance(error, HalfDone) and error.cut_off and not step.migration.repeatable
    failed = (InterruptedStep if cut_off else MigrationFailed)(
        "\n  ".join(lines),
        service=step.service,
        migration=step.migration.id,
        hint=decision or "mend the cause and run again",
    )
    failed.__cause__ = cause
    return failed


def _what_is_left(step: Step, error: BaseException) -> tuple[str, str]:
    """What is left of a failed step in the database, and what a person has to decide; "" when it is nothing."""
    id_ = step.migration.id
    if step.half or isinstance(error, HalfDone):
        done = "is committed" if step.migration.kind.transactional else "is done"
        left = f"Part of it {done} and stays; {id_} is half done, and has to be brought to an end before all else."
        if step.migration.repeatable:
            return left, ""
        return (
            left,
            f"look at the database, then say which: {decisions(step.id)}; "
            "more: dataops docs operations an-interrupted-step",
        )
    if isinstance(error, RolledBack):
        return f"The change was rolled back. {id_} is as it was before.", ""
    return f"It had changed nothing; {id_} is as it was before.", ""


def journal_out_of_reach(step: Step, error: BaseException, text: str) -> DataopsError:
    """Our error for a failed step whose end cannot be written, so that the journal goes on saying *started*."""
    if isinstance(error, LockLost | Unreachable):
        error.service = error.service or step.service
        return error
    lost = LockLost(
        f"{step.direction.value} {step.migration.id} failed, and the journal cannot be written\n  {text}",
        service=step.service,
        migration=step.migration.id,
    )
    lost.__cause__ = error
    return lost


__all__ = ["details_of", "explained", "journal_out_of_reach", "text_of"]
