"""docs: lists the pages of the documentation, and prints one of them or a part of it."""

from __future__ import annotations

import re

import click

from dataops import manual
from dataops.cli.session import Session, command
from dataops.errors import ExitCode, UsageError
from dataops.redaction import redact
from dataops.show import tables
from dataops.text import near


@command("docs", services=False)
@click.argument("name", metavar="[NAME", required=False)
@click.argument("heading", metavar="[SECTION]]", required=False)
def docs_command(session: Session, name: str | None, heading: str | None) -> None:
    """List the pages of the documentation, or print one. Needs no network and no configuration.

    \b
    Example:
      dataops docs
      dataops docs operations | less
      dataops docs operations a-held-lock
    """
    if name is None:
        _list(session)
        return
    page, _, behind = re.sub(r"^(\./)?docs/|\.md(?=#|$)", "", name).partition("#")  # as links name them, too
    page, heading = page.lower() if page.lower() == manual.FRONT else page, heading or behind
    try:
        text = manual.read(page)
    except KeyError as error:
        hint = near(page, manual.names())
        raise UsageError(f"there is no page {redact(page)}", hint=f"all of them: dataops docs; {hint}") from error
    try:
        text = manual.part(text, heading) if heading else text
    except KeyError as error:
        anchors = [manual.anchor(words) for _, _, words in manual.headings(text)]
        raise UsageError(
            f"there is no section {redact(heading)} in {page}",
            hint=f"the whole page: dataops docs {page}; {near(heading, anchors)}",
        ) from error
    if session.as_json:
        session.answer({"name": page, "section": heading or None, "text": text}, ExitCode.OK)
        return
    session.console.page(manual.without_links(text), manual.plain_page(text))


def _list(session: Session) -> None:
    pages = [(name, " ".join(manual.plain(about).split())) for name, about in manual.index()]
    if session.as_json:
        session.answer({"pages": [{"name": name, "about": about} for name, about in pages]}, ExitCode.OK)
        return
    session.console.table(tables.pages(pages))
    session.console.say("read one: dataops docs NAME, or a part of it: dataops docs NAME SECTION")
