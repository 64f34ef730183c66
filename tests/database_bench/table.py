"""The Markdown table of both sides: what a time box has cut is a bound, and so is a ratio of it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by side and scene


@dataclass(frozen=True)
class Line:
    """One line: a scene's figure, and what the present tree's share of the old one's must be."""

    scene: str
    words: str
    key: str
    unit: str = "s"
    at_most: Fraction | None = None
    at_least: Fraction | None = None


CROWD = {
    "rate": ("trials ended", "/s"),
    "claim p50": ("claim, p50", "s"),
    "claim p99": ("claim, p99", "s"),
    "drawn p50": ("claim to config, p50", "s"),
    "drawn p99": ("claim to config, p99", "s"),
    "hold": ("claim lock, longest hold", "s"),
    "hold p50": ("claim lock, p50 of holds", "s"),
    "last claim": ("last first claim", "s"),
    "last drawn": ("last first config", "s"),
    "connections": ("connections a worker", ""),
}
NEWCOMER = {
    "first claim": ("the newcomer's first claim", "s"),
    "first drawn": ("the newcomer's first config", "s"),
    "before p50": ("claims of the seven before, p50", "s"),
    "before p99": ("before, p99", "s"),
    "before max": ("before, longest", "s"),
    "during p50": ("claims of the seven during its claim, p50", "s"),
    "during p99": ("during, p99", "s"),
    "during max": ("during, longest", "s"),
    "during claims": ("during, how many", ""),
    "hold": ("claim lock, longest hold", "s"),
}
STATUS = {
    "command": ("`search status`", "s"),
    "command cpu": ("of it on processors", "s"),
    "read_status": ("`read_status` alone", "s"),
}
TRAFFIC = {
    "training": ("statements of a worker that trains", "/min"),
    "training transactions": ("in transactions", "/min"),
    "waiting": ("statements of a worker that waits", "/min"),
    "waiting transactions": ("in transactions", "/min"),
}
KINDS = {"crowd": CROWD, "newcomer": NEWCOMER, "status": STATUS, "traffic": TRAFFIC}
TWENTIETH, THIRD, HALF = Fraction(1, 20), Fraction(1, 3), Fraction(1, 2)


def lines_of(
    scene: str, kind: str, targets: Mapping[str, Mapping[str, Fraction]]
) -> Iterator[Line]:
    """Yield the lines of a scene."""
    for key, (words, unit) in KINDS[kind].items():
        yield Line(scene, words, key, unit, **targets.get(key, {}))


def table(lines: list[Line], results: Results) -> str:
    """Return the table."""
    rows = [
        "| scene | measured | 1ef228e | this checkout | ratio | target |",
        "|---|---|--:|--:|--:|---|",
    ]
    for line in lines:
        old, new = (
            results.get(side, {}).get(line.scene, {}).get(line.key) for side in ("old", "new")
        )
        if old or new:
            cells = [line.scene, line.words, _shown(old, line), _shown(new, line)]
            rows.append(f"| {' | '.join([*cells, _ratio(old, new), _verdict(line, old, new)])} |")
    return "\n".join(rows)


def _shown(figure: Mapping[str, Any] | None, line: Line) -> str:
    if figure is None or math.isnan(figure["value"]):
        return "-"
    return f"{'> ' if figure['at_least'] else ''}{figure['value']:.3g} {line.unit}".strip()


def _bounds(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> tuple[float, float] | None:
    """Return between what the ratio of new to old lies."""
    if not old or not new or not old["value"] > 0 or math.isnan(new["value"]):
        return None
    ratio = new["value"] / old["value"]
    return 0.0 if old["at_least"] else ratio, math.inf if new["at_least"] else ratio


def _ratio(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    bounds = _bounds(old, new)
    if bounds is None or bounds == (0.0, math.inf):
        return "-"
    low, high = bounds
    if low == high:
        return f"{low:.2g}"
    ratio = new["value"] / old["value"] if old and new else math.nan
    return f"at most {ratio:.2g}" if low == 0.0 else f"at least {ratio:.2g}"


def _verdict(line: Line, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    wanted = line.at_most or line.at_least
    if wanted is None:
        return ""
    goal = f"at {'most' if line.at_most else 'least'} {wanted if wanted < 1 else float(wanted)}"
    bounds = _bounds(old, new)
    if bounds is None or not old or not new:
        return goal
    ratio = new["value"] / old["value"]
    low, high = bounds
    if line.at_most:
        # of a bound from above the ratio itself is the bound
        met = ratio <= wanted and not new["at_least"]
        missed = ratio > wanted and not old["at_least"]
    else:
        met = low >= wanted
        missed = high < wanted
    return f"{goal}: {'met' if met else 'not met' if missed else 'open'}"
