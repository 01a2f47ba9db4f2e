"""Elements of HTML, escaped by Python's own serializer, with what a reader cannot see made visible."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree

from dataops.text import visible

Element = ElementTree.Element
Content = Element | str | None


def el(tag: str, *content: Content | Iterable[Content], **attributes: object) -> Element:
    """An element. `class_` is its class; `_` in other names is a hyphen. An attribute that is None is left out."""
    made = Element(
        tag,
        {
            ("class" if name == "class_" else name.replace("_", "-")): visible(str(value))
            for name, value in attributes.items()
            if value is not None
        },
    )
    for one in content:
        add(made, one)
    return made


def add(parent: Element, content: Content | Iterable[Content]) -> None:
    """Put content at the end of an element."""
    if content is None:
        return
    if isinstance(content, str):
        text = visible(content)
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + text
        else:
            parent.text = (parent.text or "") + text
    elif isinstance(content, Element):
        parent.append(content)
    else:
        for one in content:
            add(parent, one)


def table(caption: str, headers: Iterable[str], rows: Iterable[tuple[str, list[Content]]]) -> Element:
    """A table whose rows have a class each, and whose first cells are the headers of their rows."""
    body = [
        el("tr", el("th", cells[0], scope="row"), [el("td", cell) for cell in cells[1:]], class_=kind or None)
        for kind, cells in rows
    ]
    head = el("tr", [el("th", header, scope="col") for header in headers])
    made = el("table", el("caption", caption), el("thead", head), el("tbody", body))
    return el("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)


def folded(summary: Content | Iterable[Content], *content: Content | Iterable[Content], open_: bool = False) -> Element:
    """Something that is shown when its summary is clicked on; in print it is open."""
    return el("details", el("summary", summary), *content, open="open" if open_ else None)


def document(title: str, sections: Iterable[tuple[str, str, Element]], style: str, foot: str) -> str:
    """A whole page without a network: for each section its id, its heading and what is below that."""
    sections = list(sections)
    nav = el(
        "nav", el("ul", [el("li", el("a", heading, href=f"#{id_}")) for id_, heading, _ in sections]), aria_label="Page"
    )
    parts = [
        el("section", el("h2", heading, id=id_), content, aria_labelledby=id_) for id_, heading, content in sections
    ]
    page = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", http_equiv="Content-Security-Policy", content="default-src 'none'; style-src 'unsafe-inline'"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", title),
            el("style", style),
        ),
        el(
            "body",
            el("a", "To the content", href="#content", class_="skip"),
            el("header", el("h1", title), nav if len(sections) > 1 else None),
            el("main", parts, id="content", tabindex=-1),
            el("footer", el("p", foot)),
        ),
        lang="en",
    )
    return "<!DOCTYPE html>\n" + ElementTree.tostring(page, encoding="unicode", method="html") + "\n"


__all__ = ["Content", "Element", "add", "document", "el", "folded", "table"]
