"""Which score a study goes by, as ``--score`` names it: a measure of each class, how those of several
classes are put together, and which classes count how much. Imports no numpy: a look at a study does not
wait for it.

    iou                      the mean IoU of the scored classes
    dice:big_rock            the Dice of one class, named or by its label
    iou:big_rock=3,soil      a weighted mean of two
    least-recall             the recall of the class that has the least
    boundary-iou             the mean IoU of the pixels near contours
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from objectives.config.foreign import NAME
from objectives.errors import Problem
from objectives.statistics.together import Together

IOU = "iou"
WORDS = {IOU: "IoU", "dice": "Dice"}
LONGEST = 30_000  # characters: every class by name
LISTED = 4  # classes that a heading names
LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e6
LABEL = re.compile("[0-9]{1,3}")
NEAR = 0.02  # of the diagonal, as Cheng et al. 2021 have it
FORM = (
    "like iou, least-recall, boundary-iou@0.02 or iou:big_rock=3,soil, where each class stands once"
)


@dataclass(frozen=True)
class Score:
    """What a score is, as a person names it.

    ``classes`` are those that count, each a name or a label, with its weight in the mean; none: all
    scored classes alike. The others are predicted, too, and count only by what is taken for a class
    that does. ``boundary`` is the share of a frame's diagonal within which of a contour pixels count;
    0: all do.
    """

    measure: str = IOU
    together: Together = "mean"
    classes: tuple[tuple[str, float], ...] = ()
    boundary: float = 0.0

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the score that a text names.

        Raises:
            ValueError: It has not the form of one; the rule is said.
        """
        form = re.fullmatch(
            rf"(least-)?(?:(boundary-)?({NAME.pattern})(?:@([0-9.]+))?)(?::(.+))?", text
        )
        if not form or len(text) > LONGEST:
            raise ValueError(f"must be {FORM}")
        words = form[5].split(",") if form[5] else []
        classes = tuple(sorted(map(_weighed, words), key=lambda each: _order(each[0])))
        if len({word for word, _ in classes}) < len(classes):
            raise ValueError(f"must be {FORM}")
        if form[1] and any(weight != 1 for _, weight in classes):
            raise ValueError("must have no weights where the least class counts")
        together: Together = "least" if form[1] else "mean"
        return cls(form[3], together, classes, _boundary(form[2], form[4]))

    def __str__(self) -> str:
        least = "least-" if self.together == "least" else ""
        classes = [word + (f"={_plain(weight)}" * (weight != 1)) for word, weight in self.classes]
        return f"{least}{self.by_class}{':' * bool(classes)}{','.join(classes)}"

    @property
    def by_class(self) -> str:
        """What is measured of each class: ``iou``, ``boundary-iou@0.01``."""
        if not self.boundary:
            return self.measure
        near = "" if self.boundary == NEAR else f"@{_plain(self.boundary)}"
        return f"boundary-{self.measure}{near}"

    @property
    def weighted(self) -> bool:
        """Whether some classes count more than others."""
        return len({weight for _, weight in self.classes}) > 1

    @property
    def gathering(self) -> str:
        """How classes are put together, in a word or two."""
        if self.together == "least":
            return "minimum"
        return "weighted mean" if self.weighted else "mean"

    @property
    def lead(self) -> str:
        """What it is, in words before the classes: ``mean IoU``, ``least recall``, ``IoU``."""
        measure = WORDS.get(self.measure, self.measure)
        if self.boundary:
            near = "" if self.boundary == NEAR else f" ({_plain(self.boundary)} of the diagonal)"
            measure = f"boundary {measure}{near}"
        if len(self.classes) == 1:
            return measure
        return f"{'least' if self.together == 'least' else self.gathering} {measure}"

    @property
    def words(self) -> str:
        """What it is, in a few words: ``mean IoU``, ``weighted mean IoU of big_rock (3), soil (1)``."""
        if not self.classes:
            return self.lead
        if len(self.classes) > LISTED:
            return f"{self.lead} of {len(self.classes)} classes"
        return self._of(
            (f"label {word}" if LABEL.fullmatch(word) else word, weight)
            for word, weight in self.classes
        )

    @property
    def title(self) -> str:
        """The same to begin a line with: ``Mean IoU``."""
        return f"{self.words[0].upper()}{self.words[1:]}"

    def weights(self, names: Sequence[str]) -> tuple[tuple[int, float], ...]:
        """Return the labels that count with their weights, by the names of all classes; none where all
        scored ones count alike. What `class_problems` yields is left aside.
        """
        labels = [(label_of(word, names), weight) for word, weight in self.classes]
        return tuple(sorted((label, weight) for label, weight in labels if label is not None))

    def class_problems(self, names: Sequence[str], scored: Sequence[int]) -> Iterator[Problem]:
        """Yield each class that is none of the scored ones, or that stands twice."""
        seen: set[int | None] = set()
        for word, _ in self.classes:
            label = label_of(word, names)
            if label not in scored:
                known = ", ".join(f"{each} ({names[each]})" for each in scored)
                yield Problem("score", f"must be of scored classes: {known}", word)
            elif label in seen:
                yield Problem("score", f"must be {FORM}", f"{word} again")
            seen.add(label)

    def definition(self, names: Sequence[str], labels: Iterable[int]) -> str:
        """Return what it is of these labels, by the names of all classes: ``mean IoU of soil, sand``."""
        weights = dict(self.weights(names))
        return self._of([(names[label], weights.get(label, 1.0)) for label in labels])

    def _of(self, classes: Iterable[tuple[str, float]]) -> str:
        shown = [name + f" ({_plain(weight)})" * self.weighted for name, weight in classes]
        return f"{self.lead} of {', '.join(shown)}"


def _boundary(prefix: str | None, share: str | None) -> float:
    """Return the share of the diagonal within which pixels count, 0 where all do."""
    if not prefix:
        if share:
            raise ValueError("must have a distance, @, of a boundary score alone")
        return 0.0
    try:
        near = float(share or NEAR)
    except ValueError as error:
        raise ValueError(f"must be {FORM}") from error
    if not LEAST_WEIGHT <= near <= 1:
        raise ValueError("must have a distance above 0, at most 1, of the diagonal")
    return near


def _weighed(text: str) -> tuple[str, float]:
    """Return a class and its weight, from ``big_rock=3``."""
    word, _, number = text.rpartition("=") if "=" in text else (text, "", "1")
    word = word.strip()
    if not word or not word.isprintable():
        raise ValueError(f"must be {FORM}")
    try:
        weight = float(number)
    except ValueError as error:
        raise ValueError(f"must be {FORM}") from error
    if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
        raise ValueError(f"must have weights above 0, {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}")
    return str(int(word)) if LABEL.fullmatch(word) else word, weight


def label_of(word: str, names: Sequence[str]) -> int | None:
    """Return the label that a word names, a number or the name of a class; None of a name that no class has."""
    if LABEL.fullmatch(word):
        return int(word)
    return names.index(word) if word in names else None


def _order(word: str) -> tuple[int, str]:
    return (int(word), "") if LABEL.fullmatch(word) else (-1, word)


def _plain(weight: float) -> str:
    return str(weight).removesuffix(".0")
