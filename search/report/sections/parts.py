"""What all sections are made of: headed parts, tables, figures with legends."""

from collections.abc import Iterable, Sequence

from search.report.drawing import swatch
from search.report.markup import Html, element, join

NOTHING = Html("")


def section(title: str, *children: str, name: str) -> Html:
    """Return a headed part of the page."""
    return element("section", element("h2", title), *children, id=name)


def paragraph(*words: str, kind: str = "") -> Html:
    """Return a paragraph."""
    return element("p", *words, class_=kind)


def figure(
    title: str, *content: str, legend: Sequence[tuple[str, str, str]] = (), caption: str = ""
) -> Html:
    """Return a titled picture; ``legend`` holds kind, mark and words of each sort of mark in it."""
    keys = [element("span", swatch(kind, mark), words) for kind, mark, words in legend]
    parts = [element("h3", title)]
    parts += [element("div", *keys, class_="legend")] if keys else []
    parts += [*(part if isinstance(part, Html) else paragraph(part) for part in content)]
    parts += [element("figcaption", caption)] if caption else []
    return element("figure", *parts)


def table(
    heads: Sequence[Html], rows: Iterable[Html], *, kind: str = "scroll", folds: bool = False
) -> Html:
    """Return a table that scrolls by itself where it is too wide; one that ``folds`` has its last
    cell below the others then.
    """
    head = element("thead", element("tr", *heads))
    return element(
        "div",
        element("table", head, element("tbody", *rows), class_="folds" if folds else ""),
        class_=kind,
    )


def heads(*names: str, words: int = 1) -> list[Html]:
    """Heads of columns: the first ``words`` hold words, the others numbers."""
    return [
        element("th", name, scope="col", class_="number" if index >= words else "")
        for index, name in enumerate(names)
    ]


def cell(content: str, kind: str = "") -> Html:
    """Return a cell of words or markup."""
    return element("td", content, class_=kind)


def number(content: str, kind: str = "") -> Html:
    """Return a cell whose content stands at the right."""
    return element("td", content, class_=f"number {kind}".strip())


def row_head(content: str) -> Html:
    """Return the first cell of a row, which names it."""
    return element("th", content, scope="row")


def bar(share: float) -> Html:
    """Return a bar of that share of its cell."""
    return element("span", class_="bar", style=f"width:{100 * min(1.0, max(0.0, share)):.1f}%")


def sentences(lines: Iterable[str]) -> Html:
    """Return a list of statements; nothing for none."""
    items = [element("li", line) for line in lines]
    return element("ul", *items) if items else NOTHING


def joined(*parts: str) -> Html:
    """Parts one after the other."""
    return join(parts)
