"""HTML and SVG as values: text is escaped unless it was made here, so that no name or message can
become markup.

Everything written here is well-formed XML as well, which tests check.
"""

import html
import math
from collections.abc import Iterable
from typing import final

from objectives.errors import one_line

LONGEST = 3000  # characters of one piece of text: a file may hold a name of megabytes
# written <name /> when they hold nothing
_CLOSED = {"meta", "img", "path", "circle", "line", "rect"}


@final
class Html(str):
    """Finished markup. Only this module makes it from text, by escaping; others join and nest what
    they got.
    """

    __slots__ = ()


def element(name: str, *children: str, **attributes: str | float) -> Html:
    """``<name attributes>children</name>``; a child that is no Html is text, and escaped.

    ``class_`` and ``stroke_width`` are written ``class`` and ``stroke-width``. An attribute that is
    an empty text is left out.
    """
    written = "".join(
        f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value != ""
    )
    if not children and name in _CLOSED:
        return Html(f"<{name}{written} />")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Return the parts one after the other, texts escaped."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def escape(text: str) -> Html:
    """Text that shows as it is, on one line, cut when it is long; nothing in it is markup."""
    return Html(html.escape(one_line(text, LONGEST)))


def style_sheet(css: str) -> Html:
    """Return the page's own style sheet, which is no user's text."""
    assert not set("<&") & set(css), "a style sheet is written as it is"
    return Html(f"<style>{css}</style>")


def document(head: Html, body: Html) -> str:
    """Return a whole page."""
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>{head}</head>\n<body>{body}</body>\n</html>\n'


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape("".join(letter if letter.isprintable() else " " for letter in value))
    assert math.isfinite(value), value
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
