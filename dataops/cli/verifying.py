"""history --verify: whether the journals are as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dataops.backends import opened
from dataops.cli.errors import code_of
from dataops.cli.session import Session
from dataops.errors import DatabaseAhead, ExitCode
from dataops.model import Direction, Service, State
from dataops.planning import evidence, native
from dataops.planning.evidence import Damage, Verdict
from dataops.run.reading import of_the_reachable
from dataops.show import json
from dataops.text import visible


def verify_journals(session: Session, services: Sequence[Service], hashes: Sequence[str]) -> ExitCode:
    """Show what is wrong with the journals of these services, one line each. DRIFT when anything is.

    `hashes` were noted at an earlier time: each has to be that of an entry in one of the journals.
    """
    looked, errors = of_the_reachable(lambda service: (service.name, *_look(service)), services)
    verdicts = {name: verdict for name, verdict, _ in looked}
    there = {hash_ for _, _, found in looked for hash_ in found}
    # What does not answer may have them
    gone = [] if errors else [visible(hash_) for hash_ in hashes if hash_.lower() not in there]
    is_wrong = gone or any(verdict.damages for verdict in verdicts.values())
    code = ExitCode.DRIFT if is_wrong else code_of(errors)
    if session.as_json:
        session.answer({**json.verification(verdicts, gone), "troubles": json.troubles(errors)}, code)
        session.console.errors(errors)
        return code
    for name, verdict in verdicts.items():
        session.console.data(
            [(f"✗ {name}: {_place(damage)} {damage.what}", "bold red") for damage in verdict.damages]
            + [(f"{name}: {verdict.words}", "")]
        )
        if verdict.newest:
            session.console.data([(f"{name}: entry {verdict.newest.seq} has the hash {verdict.newest.hash}", "")])
    session.console.data([(f"✗ no entry has the hash {hash_}: newest entries are gone", "bold red") for hash_ in gone])
    session.console.errors(errors)
    return code


def _place(damage: Damage) -> str:
    return f"entry {damage.seq} ({damage.migration})" if damage.seq else damage.migration


def _look(service: Service) -> tuple[Verdict, frozenset[str]]:
    """What the journal of a service says about itself, and the hashes of the entries that are as they were written."""
    with opened(service) as database:
        links = database.links()
        verdict = evidence.verify(links)
        sound = frozenset(link.hash for link in links if link.hash == link.computed)
        try:
            against = tuple(_against_the_record(database.read()))
        except DatabaseAhead:  # an entry with a value that nobody writes: a changed one, or a newer version's
            against = ()
        return replace(verdict, damages=(*verdict.damages, *against)), sound


def _against_the_record(state: State) -> Iterator[Damage]:
    """Where the native record differs from the journal: newest entries may be gone, which no hash can say."""
    moved = native.moved(state)
    for migration, direction in moved.lines:
        done = "applied" if direction is Direction.APPLY else "rolled back"
        why = f"{moved.tool} did it by itself, or entries are gone"
        yield Damage(0, migration.id, f"is {done} by the native record and not by the journal: {why}")


__all__ = ["verify_journals"]
