"""prove: applies, rolls back and applies again every migration on a scratch database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataops.cli.errors import worst
from dataops.cli.options import reported, scratch_option
from dataops.cli.session import Session, checkout, command
from dataops.cli.signals import signals
from dataops.errors import DataopsError, ExitCode
from dataops.model import Migration, Service
from dataops.planning.target import find_migration
from dataops.run.reading import side_by_side
from dataops.show import paragraphs
from dataops.show.reports import ProofReport

if TYPE_CHECKING:
    from dataops.proof import Proof, Report


@command("prove", databases=False)
@click.option("--since", metavar="REV", help="Begin with this migration: an id, its beginning, or SERVICE/ID.")
@click.option(
    "--seed",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.py",
    help="A Python file that fills the database with data.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="How many services at once; by default all.")
@scratch_option
@reported("proof")
def prove_command(
    session: Session,
    since: str | None,
    seed: Path | None,
    jobs: int | None,
    server: tuple[str, ...],
    form: str,
    report_path: Path | None,
) -> ExitCode:
    """Apply, roll back and apply again every migration on a scratch database, and compare after each.

    Needs no database of yours and no URL. Exit 8 if anything is not as it was before, 1 if a migration fails.

    \b
    Example:
      dataops prove
      dataops prove --service docs --since 20240412030143 --seed tests/seed.py
      dataops prove --format junit --report prove.xml
    """
    from dataops import proof
    from dataops.scratch import Scratch

    form = session.form(form)
    config = session.config(with_urls=False)
    services, first = _since(config.services, since)
    seeding = proof.Seeding(seed)
    with signals(session) as stop, Scratch(session.author, servers=server, stop=stop) as scratch:
        scratch.start(service.kind for service in services)
        with session.running_files():
            one = partial(
                proof.prove,
                scratch=scratch,
                author=session.author,
                since=first,
                seeding=seeding,
                report=_reporter(session),
                stop=stop,
            )
            proofs = side_by_side(one, [service for service in services if service.migrations], jobs)
    code = _code(proofs)
    report = ProofReport(proofs, checkout(config.path.parent), code)
    if not session.deliver(form, "proof", report, report_path):
        session.console.data(paragraphs.proof_lines(proofs, verbose=session.verbose))
    return code


def _since(services: Sequence[Service], since: str | None) -> tuple[Sequence[Service], Migration | None]:
    if since is None:
        return services, None
    service, migration = find_migration(services, since, not_base="everything is since base", hint="leave out --since")
    return [service], migration


def _reporter(session: Session) -> Report:
    def report(service: str, migration: Migration, number: int, total: int) -> None:
        text = f"{service}: {number} of {total}, {migration.id}"
        if session.logs_lines:
            fields = {"migration": migration.id, "number": number, "total": total}
            session.log.line("info", "proving", service, text, fields)
        else:
            session.console.say(text)

    return report


def _code(proofs: Sequence[Proof]) -> ExitCode:
    errors: list[DataopsError] = [proof.error for proof in proofs if proof.error is not None]
    if errors:
        return worst(errors).exit_code
    return ExitCode.DRIFT if any(proof.disproved for proof in proofs) else ExitCode.OK
