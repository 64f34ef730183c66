"""``search data check``: what a source holds, what is dropped, how it would be cut, and every
problem.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from objectives.data.options import PARTS, DataOptions
from objectives.data.preparing.facts import Look, look_at
from objectives.data.preparing.in_order import in_order
from objectives.data.preparing.progress import Progress, untold
from objectives.data.preparing.survey import Dropped, Survey, survey
from objectives.data.preparing.undeclared import accepting
from objectives.data.reading.classes_text import classes_text
from objectives.data.reading.frames import FrameSource
from objectives.data.reading.settings_files import LAYOUT
from objectives.data.reading.source import open_labelled
from objectives.data.spec import Colour
from objectives.errors import Problem, ProblemsError


@dataclass(frozen=True)
class Report:
    """The findings over one source; ``problems`` empty means that a study can be made of it."""

    frames: int
    kept: int
    dropped: tuple[Dropped, ...] = ()
    classes: tuple[tuple[str, float], ...] = ()  # name and share of the kept frames' pixels, 0..1
    parts: tuple[tuple[str, int], ...] = ()  # name and frames
    groups: int = 0
    colours: tuple[Colour, ...] = ()  # of the classes
    frames_with: tuple[int, ...] = ()  # kept frames in which a class has pixels
    means: tuple[float, ...] = ()  # mean pixel values of the kept frames, 0..1
    dropped_means: tuple[float, ...] = ()  # of the dropped ones that could be read
    warnings: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    remedy: str = ""  # lines to be copied that would mend some of them
    # data.yaml and classes.yaml as they were assumed, by name, where they are not there
    assumed: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the findings as plain values, for ``--json``."""
        return {
            "frames": self.frames,
            "kept": self.kept,
            "dropped": [asdict(dropped) for dropped in self.dropped],
            "classes": dict(self.classes),
            "parts": dict(self.parts),
            "groups": self.groups,
            "warnings": list(self.warnings),
            "problems": [asdict(problem) for problem in self.problems],
            "remedy": self.remedy,
            "assumed": dict(self.assumed),
        }


def check(source: str, options: DataOptions, progress: Progress = untold) -> Report:
    """Judge a source without writing anything; bad data ends up in ``problems`` and never
    raises.
    """
    try:
        opened = open_labelled(source, options)
        surveyed = survey(opened, options, lambda: _looks(opened, options, progress))
    except ProblemsError as error:
        return Report(0, 0, problems=error.problems)
    totals = surveyed.pixel_counts.sum(axis=0)
    shares = (totals / max(int(totals.sum()), 1)).tolist()
    sizes = tuple(
        (name, len(indices)) for name, indices in zip(PARTS, surveyed.parts, strict=False)
    )
    return Report(
        surveyed.frames,
        len(surveyed.kept),
        surveyed.dropped,
        tuple(zip(surveyed.classes.names, shares, strict=True)) if np.any(totals) else (),
        sizes,
        len(set(surveyed.groups)),
        surveyed.classes.colours,
        tuple((surveyed.pixel_counts > 0).sum(axis=0).tolist()),
        surveyed.means,
        surveyed.dropped_means,
        surveyed.warnings,
        surveyed.problems,
        accepting(surveyed.remedy),
        dict(_assumed(opened, surveyed)),
    )


def _looks(source: FrameSource, options: DataOptions, progress: Progress) -> Iterator[Look]:
    count = len(source.names)
    looks = in_order(lambda index: look_at(source, index, options.size).look, range(count))
    for done, look in enumerate(looks, start=1):
        progress(done, count)
        yield look


def _assumed(source: FrameSource, surveyed: Survey) -> Iterator[tuple[str, str]]:
    """Yield the name and text of each file that could be written."""
    for name in source.unwritten:
        if name in LAYOUT:
            yield name, source.layout_text
        elif not surveyed.problems:  # what does not work is no help
            yield name, classes_text(surveyed.classes, surveyed.classes.values.entries)
