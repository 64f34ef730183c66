"""Sets of images and masks that an npz holds in arrays of their own, put together as one source."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from objectives.data.options import PixelReading
from objectives.data.reading.array_frames import frames_of, groups_of, labels_of
from objectives.data.reading.array_layout import ArrayLayout, ArrayNames, part_problems
from objectives.data.reading.classes import Classes
from objectives.data.reading.frames import ArraySource
from objectives.data.reading.part_words import part_named
from objectives.data.reading.raster import RefusalError
from objectives.data.reading.settings_files import LAYOUT
from objectives.errors import Problem, ProblemsError, listed

Made = TypeVar("Made")


def made_of(
    name: str, problems: list[Problem], make: Callable[..., Made], *given: object
) -> Made | None:
    """Return what ``make`` makes of an array; None where it is refused, which is a problem."""
    try:
        return make(*given)
    except RefusalError as refusal:
        problems.append(Problem(name, refusal.rule, refusal.value))
        return None


@dataclass
class ArraySets:
    """Sets of images and masks that are being put together."""

    path: Path
    arrays: dict[str, np.ndarray]
    layout: ArrayLayout
    held: Sequence[str]
    reading: PixelReading
    images: list[np.ndarray] = field(default_factory=list)
    masks: list[np.ndarray] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def source(
        self, classes: Classes | None, class_problems: list[Problem], assumed: bool
    ) -> ArraySource:
        """Return the frames of all sets.

        Raises:
            ProblemsError: An array is missing, or not what it must be.
        """
        named = self.layout.named(self.held)
        if not named:
            rule = f"must hold the arrays that images: names ({listed(self.layout.images)})"
            self.problems.append(Problem(self.path.name, rule, listed(self.held)))
        self.problems += part_problems(named)
        for each in named:
            self._add(each)
        if self.problems:
            raise ProblemsError(str(self.path), self.problems)
        return ArraySource(
            self.images,
            self.masks,
            tuple(self.groups),
            classes,
            tuple(class_problems),
            reading=self.reading,
            parts=tuple(self.parts) if any(self.parts) else (),
            places=tuple(self.places),
            layout_text=self.layout.text(),
            unwritten=(LAYOUT[0],) if assumed else (),
        )

    def _add(self, names: ArrayNames) -> None:
        """Take one set in; what is wrong with it becomes a problem."""
        missing = [name for name in names[1:3] if name and name not in self.held]
        if missing or not names.masks:
            wanted = listed(missing) or "masks: in data.yaml"
            self.problems.append(Problem(names.images, f"must have {wanted} beside it", "none"))
            return
        masks = made_of(names.masks, self.problems, labels_of, self.arrays[names.masks])
        if masks is None:
            return
        ranged = self.reading.range is not None
        images = made_of(
            names.images,
            self.problems,
            lambda array: frames_of(array, masks, self.layout.axes, ranged=ranged),
            self.arrays[names.images],
        )
        if images is None:
            return
        if names.groups:
            of_array = self.arrays[names.groups]
            self.groups += (
                made_of(names.groups, self.problems, groups_of, of_array, len(masks)) or ()
            )
        self.images += [*images]
        self.masks += [*masks]
        self.parts += [part_named(names.part)] * len(masks)
        self.places += [f"{names.images}[{index}]" for index in range(len(masks))]
