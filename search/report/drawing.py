"""Charts as inline SVG: an area with two axes, marks on it, and strips of marks for the cells of a
table.

Colours come from the page's style sheet by class (``best``, ``control``, ``complete``, ``pruned``,
...), so that they fit light and dark. Many marks of one class are one path: a thousand trials stay
a small file.
"""

from collections.abc import Iterable, Sequence
from typing import final

from search.report.markup import Html, element, join
from search.report.scales import Scale

Point = tuple[float, float]
Tick = tuple[float, str]

LEFT = 50.0
RIGHT = 16.0
TOP = 20.0
BOTTOM = 46.0
STRIP_WIDTH = 480
STRIP_HEIGHT = 26
TICK_WIDTH = 90  # pixels that a tick of the x axis needs, at least
_CROSS = 3.5  # half a cross, pixels


@final
class Chart:
    """A chart that is being drawn; coordinates are the data's own, later marks lie on top."""

    def __init__(self, x: Scale, y: Scale, *, width: int = 560, height: int = 330) -> None:
        self.x = x
        self.y = y
        self.width = width
        self.height = height
        self._marks: list[Html] = []

    def lines(self, lines: Iterable[Sequence[Point]], kind: str) -> None:
        """Polylines."""
        self._path(
            "".join(self._polyline(points) for points in lines if len(points) > 1), f"line {kind}"
        )

    def dots(self, points: Iterable[Point], kind: str) -> None:
        """Small dots."""
        self._path("".join(f"M{self._place(point)}h0" for point in points), f"dots {kind}")

    def crosses(self, points: Iterable[Point], kind: str) -> None:
        """Mark where something ended early."""
        arms = f"l{2 * _CROSS:g} {2 * _CROSS:g}m0 {-2 * _CROSS:g}l{-2 * _CROSS:g} {2 * _CROSS:g}"
        moved = ((self.x(x) - _CROSS, self.y(y) - _CROSS) for x, y in points)
        self._path("".join(f"M{x:.1f} {y:.1f}{arms}" for x, y in moved), f"cross {kind}")

    def dot(self, point: Point, kind: str, title: str, *, radius: float = 4.0) -> None:
        """One dot with words for whoever points at it."""
        self._marks.append(_circle(self.x(point[0]), self.y(point[1]), radius, kind, title))

    def level(self, y: float, kind: str) -> None:
        """Draw a horizontal line across."""
        self._path(f"M{self.x.start:.1f} {self.y(y):.1f}H{self.x.end:.1f}", f"line level {kind}")

    def gate(self, x: float, label: str) -> None:
        """Draw a vertical line with a label above the area."""
        self._path(f"M{self.x(x):.1f} {self.y.start:.1f}V{self.y.end:.1f}", "gate")
        self._label(label, self.x(x), self.y.end - 6, "middle")

    def svg(self, title: str, x_label: str, *, x_ticks: Sequence[Tick] = ()) -> Html:
        """Return the finished chart; what the y axis shows is said by the title beside it."""
        ticks = x_ticks or [
            (value, f"{value:g}") for value in self.x.ticks(self.width // TICK_WIDTH)
        ]
        name = _text(x_label, (self.x.start + self.x.end) / 2, self.height - 5, "middle", "name")
        view = f"0 0 {self.width} {self.height}"
        return element(
            "svg",
            self._axes(ticks),
            name,
            *self._marks,
            viewBox=view,
            role="img",
            aria_label=title,
            class_="chart",
        )

    def _axes(self, x_ticks: Sequence[Tick]) -> Html:
        y_ticks = [(value, f"{value:g}") for value in self.y.ticks(5)]
        rows = "".join(
            f"M{self.x.start:.1f} {self.y(value):.1f}H{self.x.end:.1f}" for value, _ in y_ticks
        )
        parts = [element("path", d=rows, class_="grid")] if rows else []
        parts.append(
            element(
                "path", d=f"M{self.x.start:.1f} {self.y.start:.1f}H{self.x.end:.1f}", class_="axis"
            )
        )
        parts += [
            _text(label, self.x.start - 7, self.y(value) + 4, "end") for value, label in y_ticks
        ]
        parts += [
            _text(label, self.x(value), self.y.start + 17, "middle") for value, label in x_ticks
        ]
        return join(parts)

    def _label(self, label: str, x: float, y: float, anchor: str) -> None:
        self._marks.append(_text(label, x, y, anchor, "label"))

    def _path(self, d: str, kind: str) -> None:
        if d:
            self._marks.append(element("path", d=d, class_=kind))

    def _polyline(self, points: Sequence[Point]) -> str:
        return "M" + "L".join(self._place(point) for point in points)

    def _place(self, point: Point) -> str:
        return f"{self.x(point[0]):.1f} {self.y(point[1]):.1f}"


def across(width: int = 560) -> tuple[float, float]:
    """Pixels between which the x axis of a chart of this width lies."""
    return LEFT, width - RIGHT


def upwards(height: int = 330) -> tuple[float, float]:
    """Pixels between which the y axis of a chart of this height lies, from its low end."""
    return height - BOTTOM, TOP


@final
class Strip:
    """Marks on one line, for a cell of a table; all strips of a table share a scale."""

    def __init__(self, scale: Scale) -> None:
        self.scale = scale
        self._marks: list[Html] = []

    def level(self, value: float, kind: str) -> None:
        """Draw a line across, the same in every strip."""
        self._marks.append(
            element(
                "path", d=f"M{self.scale(value):.1f} 0V{STRIP_HEIGHT}", class_=f"line level {kind}"
            )
        )

    def reach(self, low: float, high: float, kind: str) -> None:
        """Draw an interval."""
        middle = STRIP_HEIGHT / 2
        ends = "".join(f"M{self.scale(value):.1f} {middle - 4:g}v8" for value in (low, high))
        d = f"M{self.scale(low):.1f} {middle:g}H{self.scale(high):.1f}{ends}"
        self._marks.append(element("path", d=d, class_=f"line reach {kind}"))

    def dot(self, value: float, kind: str, title: str, *, radius: float = 4.0) -> None:
        """One value."""
        self._marks.append(_circle(self.scale(value), STRIP_HEIGHT / 2, radius, kind, title))

    def svg(self, title: str) -> Html:
        """Return the finished strip."""
        view = f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}"
        base = element("path", d=f"M0 {STRIP_HEIGHT / 2:g}H{STRIP_WIDTH}", class_="grid")
        return element(
            "svg", base, *self._marks, viewBox=view, role="img", aria_label=title, class_="strip"
        )


def strip_axis(scale: Scale) -> Html:
    """Return the ticks below the strips of a table."""
    ticks = [_text(f"{value:g}", scale(value), 16, "middle") for value in scale.ticks(5)]
    return element(
        "svg",
        *ticks,
        viewBox=f"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}",
        role="img",
        aria_label="scale",
        class_="strip",
    )


def swatch(kind: str, mark: str = "line") -> Html:
    """Return the mark of a legend: ``line``, ``dots`` or ``cross``."""
    d = {"line": "M1 6H21", "dots": "M11 6h0", "cross": "M7.5 2.5l7 7m0 -7l-7 7"}[
        mark.split(maxsplit=1)[0]
    ]
    return element(
        "svg",
        element("path", d=d, class_=f"{mark} {kind}"),
        viewBox="0 0 22 12",
        class_="swatch",
        aria_hidden="true",
    )


def _circle(x: float, y: float, radius: float, kind: str, title: str) -> Html:
    return element("circle", element("title", title), cx=x, cy=y, r=radius, class_=kind)


def _text(label: str, x: float, y: float, anchor: str, kind: str = "tick") -> Html:
    return element("text", label, x=x, y=y, text_anchor=anchor, class_=kind)
