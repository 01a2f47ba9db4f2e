"""inspect: what is in a database, without any value of it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

from dataops import inspection
from dataops.backends import Database, Inspects, opened
from dataops.cli import completing
from dataops.cli.options import tabled
from dataops.cli.session import Session, command
from dataops.errors import ExitCode, UsageError
from dataops.inspection import Inspection, Place
from dataops.model import Service
from dataops.redaction import redact
from dataops.show import json, tables
from dataops.text import counted

SAMPLE = 1000
_MOST_SAMPLED = 100_000


@command("inspect", services=False)
@click.argument("service_name", metavar="SERVICE", shell_complete=completing.services)
@click.argument("name", metavar="[TABLE|COLLECTION]", required=False)
@click.option(
    "--sample",
    type=click.IntRange(1, _MOST_SAMPLED),
    default=SAMPLE,
    metavar="N",
    help=f"How many rows or documents to look at. Default: {SAMPLE}.",
)
@tabled
def inspect_command(session: Session, service_name: str, name: str | None, sample: int, form: str) -> None:
    """Show what is in a database: tables or collections; of one, its fields, indexes and rules.

    How often a field has a value is counted in a sample. Shows no value, writes nothing, never reads a big table
    as a whole. The last column has the applied migrations whose text names it.

    \b
    Example:
      dataops inspect shop
      dataops inspect shop users
    """
    form = session.form(form)
    service = session.service(service_name)
    with opened(service) as database:
        if not isinstance(database, Inspects):
            raise UsageError(f"{service.kind.title} cannot be inspected", service=service.name, hint="dataops status")
        places = database.places()
        if name is None:
            _show_places(session, service, places, form)
            return
        place = inspection.find(name, places)
        if place is None:
            raise _unknown(service, name, places)
        found = database.inspect(place.name, sample)
        texts = _applied_texts(database)
    named = [inspection.named_in(part, found.place, texts) for part in found.parts]
    if session.as_json:
        session.answer(json.inspection(service.name, found, named), ExitCode.OK)
        return
    if form in ("table", "wide"):
        session.console.data([(_summary(service, found), "bold"), ("", "")])
    session.console.table(tables.parts(found, named), form)
    for note in found.notes:
        session.console.say(note)


def _show_places(session: Session, service: Service, places: Sequence[Place], form: str) -> None:
    if session.as_json:
        session.answer(json.places(service.name, places), ExitCode.OK)
    elif places:
        session.console.table(tables.places(places), form)
    else:
        session.console.say(f"{service.name}: nothing is there but what dataops and other migration tools keep")


def _applied_texts(database: Database) -> dict[str, str]:
    """What the files of the applied migrations say, oldest first."""
    applied = {one.id for one in database.read().applied}
    return {m.id: m.text.decode(errors="replace") for m in database.service.migrations if m.id in applied}


def _summary(service: Service, found: Inspection) -> str:
    place = found.place
    text = f"{service.name}, {place.kind} {place.name}"
    if place.rows is not None:
        text += f": about {place.rows:,} rows" if place.rows != 1 else ": about 1 row"
    if found.sampled:
        text += f"{',' if place.rows is not None else ':'} sample of {counted(found.sampled, 'row')}"
    return text


def _unknown(service: Service, name: str, places: Sequence[Place]) -> UsageError:
    several = [place.name for place in places if place.name.rpartition(".")[2] == name]
    near = several or difflib.get_close_matches(name, [place.name for place in places], n=1)
    return UsageError(
        f"there is no table or collection {redact(name)}"
        if not several
        else f"there are {len(several)} tables with the name {redact(name)}",
        service=service.name,
        hint=f"did you mean dataops inspect {service.name} {near[0]}"
        if near
        else f"see dataops inspect {service.name}",
    )


__all__ = ["SAMPLE", "inspect_command"]
