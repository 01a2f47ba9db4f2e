"""resume: backfills of a database that were paused go on."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dataops import backends
from dataops.cli import completing
from dataops.cli.errors import code_of
from dataops.cli.session import Session, command
from dataops.errors import ExitCode
from dataops.planning.grouping import labels
from dataops.run.reading import of_the_reachable
from dataops.show import json


@command("resume", services=False)
@click.argument("names", metavar="SERVICE", nargs=-1, required=True, shell_complete=completing.services)
def resume_command(session: Session, names: Sequence[str]) -> ExitCode:
    """Let the backfills of a service go on that `dataops pause` has stopped.

    \b
    Example:
      dataops resume shop
    """
    services = session.config(with_files=False, selected=names).services
    resumed, errors = of_the_reachable(lambda service: (service.name, backends.resume(service)), services)
    code = code_of(errors)
    if session.as_json:
        going = [name for name, paused in resumed if paused]
        session.answer({"resumed": going, "troubles": json.troubles(errors)}, code)
    else:
        for was, said in ((True, "backfills go on"), (False, "was not paused")):
            those = [name for name, paused in resumed if paused is was]
            shown = those if session.verbose else labels(those)
            session.console.data([(f"{name}: {said}", "") for name in shown])
    session.console.errors(errors)
    return code
