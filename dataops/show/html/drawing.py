"""Drawings of a report, as SVG: the migrations of a service, which service waits for which, and when runs were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dataops.model import Service
from dataops.planning.story import Story
from dataops.show.html.elements import Element, el

_STEP, _ROW, _MARGIN, _DOT = 18, 22, 12, 5
_BOX, _GAP, _HIGH = 150, 60, 30
_WIDE, _BAR = 900, 14


def _svg(width: float, height: float, title: str, content: Sequence[Element]) -> Element:
    picture = el(
        "svg", el("title", title), content, viewBox=f"0 0 {width:g} {height:g}", width=f"{width:g}",
        height=f"{height:g}", role="img", aria_label=title, xmlns="http://www.w3.org/2000/svg",
    )  # fmt: skip
    return el("div", picture, class_="scroll", tabindex=0, role="region", aria_label=title)


def history(service: Service, applied: frozenset[str], unknown: Sequence[str]) -> Element:
    """The migrations of a service from left to right: filled if applied, square if irreversible.

    Branches have rows of their own. Migrations that have no file here come last, as diamonds.
    """
    rows = _rows(service)
    places = {m.id: (_MARGIN + at * _STEP, _MARGIN + rows[m.id] * _ROW) for at, m in enumerate(service.migrations)}
    content: list[Element] = []
    for migration in service.migrations:
        x, y = places[migration.id]
        for parent in (*migration.parents, *migration.needs):
            if parent in places:
                px, py = places[parent]
                path = f"M{px} {py}L{x} {y}" if py == y else f"M{px} {py}C{px + _STEP} {py} {x - _STEP} {y} {x} {y}"
                content.append(el("path", d=path, class_="edge"))
    for migration in service.migrations:
        x, y = places[migration.id]
        kind = "applied" if migration.id in applied else "pending"
        title = el("title", f"{migration.id} {migration.title[:200]}: {kind}")
        if migration.reversible:
            content.append(el("circle", title, cx=x, cy=y, r=_DOT, class_=kind))
        else:
            side = 2 * _DOT
            content.append(el("rect", title, x=x - _DOT, y=y - _DOT, width=side, height=side, class_=kind))
    for at, id_ in enumerate(unknown, len(service.migrations)):
        x, y = _MARGIN + at * _STEP, _MARGIN
        points = f"{x},{y - _DOT} {x + _DOT},{y} {x},{y + _DOT} {x - _DOT},{y}"
        content.append(el("polygon", el("title", f"{id_}: there is no file here"), points=points, class_="ahead"))
    count = len(service.migrations) + len(unknown)
    width = 2 * _MARGIN + max(count - 1, 0) * _STEP
    height = 2 * _MARGIN + max(rows.values(), default=0) * _ROW
    return _svg(width, height, f"The {count} migrations of {service.name}, oldest first", content)


def _rows(service: Service) -> dict[str, int]:
    """A row for each migration: that of its first parent, unless another child has gone on there."""
    if not service.forked:
        return {migration.id: 0 for migration in service.migrations}
    rows: dict[str, int] = {}
    ends: dict[int, str] = {}  # the last migration of each row
    for migration in service.migrations:
        own = [rows[parent] for parent in migration.parents if ends.get(rows.get(parent, -1)) == parent]
        row = min(own) if own else max(ends, default=-1) + 1
        for other in own:
            del ends[other]  # a merge ends the rows of its other parents
        rows[migration.id], ends[row] = row, migration.id
    return rows


def waiting(services: Sequence[Service]) -> Element | None:
    """Boxes for services, with an arrow to each from those that it waits for; None where nothing waits."""
    needs: Mapping[str, tuple[str, ...]] = {service.name: service.depends_on for service in services}
    if not any(other in needs for others in needs.values() for other in others):
        return None
    level: dict[str, int] = {}
    for name in sorted(needs, key=lambda name: len(needs[name])):  # depends_on has those before it, all the way
        level[name] = 1 + max((level.get(other, -1) for other in needs[name]), default=-1)
    columns: dict[int, list[str]] = {}
    for service in services:
        columns.setdefault(level[service.name], []).append(service.name)
    places = {
        name: (_MARGIN + column * (_BOX + _GAP), _MARGIN + at * (_HIGH + 14))
        for column, names in columns.items()
        for at, name in enumerate(names)
    }
    content: list[Element] = []
    for name, others in needs.items():
        direct = [
            o for o in others if o in needs and not any(o in needs[between] for between in others if between in needs)
        ]
        for other in direct:
            (x, top), (left, other_top) = places[name], places[other]
            y, py, px = top + _HIGH / 2, other_top + _HIGH / 2, left + _BOX
            content.append(el("path", d=f"M{px} {py}C{px + 30} {py} {x - 30} {y} {x - 6} {y}", class_="edge"))
            content.append(el("path", d=f"M{x - 8} {y - 4}L{x} {y}L{x - 8} {y + 4}", class_="edge"))
    for name, (x, y) in places.items():
        shown = name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"
        content.append(el("rect", el("title", name), x=x, y=y, width=_BOX, height=_HIGH, rx=4, class_="box"))
        content.append(el("text", shown, x=x + 8, y=y + _HIGH / 2 + 4))
    width = max(x for x, _ in places.values()) + _BOX + _MARGIN
    height = max(y for _, y in places.values()) + _HIGH + _MARGIN
    return _svg(width, height, "Which service waits for which: an arrow leads to the one that waits", content)


_SHORT = 20


def timeline(stories: Sequence[Story]) -> Element | None:
    """When runs were and how long they took, a row for each service; None where no run has a time."""
    timed = [story for story in stories if story.began and story.ended]
    if not timed:
        return None
    first = min(story.began for story in timed if story.began)
    last = max(story.ended for story in timed if story.ended)
    span = max((last - first).total_seconds(), 1.0)
    names = list(dict.fromkeys(name for story in reversed(timed) for name in story.services))
    left = 12 + 7 * min(max(map(len, names)), _SHORT)
    scale = (_WIDE - left - _MARGIN) / span
    content: list[Element] = []
    for at, name in enumerate(names):
        y = _MARGIN + at * _ROW
        shown = name if len(name) <= _SHORT else f"{name[: _SHORT - 1]}…"
        content.append(el("text", el("title", name), shown, x=0, y=y + 4))
        content.append(el("path", d=f"M{left} {y}H{_WIDE - _MARGIN}", class_="edge", stroke_dasharray="1 5"))
    for story in timed:
        assert story.began is not None
        assert story.ended is not None
        x = left + (story.began - first).total_seconds() * scale
        width = max((story.ended - story.began).total_seconds() * scale, 3.0)
        kind = "run" if story.well else "failed"
        for name in story.services:
            top = _MARGIN + names.index(name) * _ROW - _BAR / 2
            title = el("title", f"{story.id} of {story.who}: {story.what}, {story.outcome}")
            content.append(el("rect", title, x=f"{x:.1f}", y=top, width=f"{width:.1f}", height=_BAR, class_=kind))
    y = _MARGIN + len(names) * _ROW
    content.append(el("text", f"{first:%Y-%m-%d %H:%M}", x=left, y=y + 6))
    content.append(el("text", f"{last:%Y-%m-%d %H:%M} UTC", x=_WIDE - _MARGIN, y=y + 6, text_anchor="end"))
    return _svg(_WIDE, y + _MARGIN, "When runs were, and which services they touched", content)


__all__ = ["history", "timeline", "waiting"]
