"""What is wrong, or to be known, about how frames were cut into train, validation and test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from objectives.data.options import PARTS
from objectives.data.preparing.split import deal
from objectives.data.reading.classes import MOST_CLASSES
from objectives.errors import Problem, listed

LONE = {  # what a part of one frame does
    "train": "a model of it knows nothing of other frames, and its batches are of one frame (or of "
    "that frame repeated)",
    "validation": "trials are compared by that frame alone",
    "test": "the exported model is measured on that frame alone",
}
MANY_PLACES = 40  # never give few parts
# fewer different parts than this of so many deals is worth a warning
DEALS = 12
FEW_PARTS = 8


@dataclass(frozen=True)
class Cut:
    """Frames in three parts, and what is known of them."""

    parts: Mapping[str, np.ndarray]  # indices of frames
    groups: np.ndarray  # (N,) int64
    known: bool  # whether groups are places that somebody named; else they go by looks
    hashes: tuple[str, ...]  # (N,)
    pixel_counts: np.ndarray  # (N, K)
    scored: tuple[int, ...]
    names: tuple[str, ...]  # of the classes
    without_test: bool = False  # as asked for
    cleaning: str = ""  # what was dropped before, and the switch that changes it; empty: nothing
    # pixels in dropped frames
    dropped_counts_K: np.ndarray = field(default_factory=lambda: np.zeros(MOST_CLASSES, np.int64))

    def problems(self) -> Iterator[Problem]:
        """Yield why no study can be made of it."""
        left = f"; {self.cleaning}" if self.cleaning else ""
        labels_left = left if self.dropped_counts_K[list(self.scored)].any() else ""
        for name, indices in self.parts.items():
            if not len(indices) and not (name == "test" and self.without_test):
                groups = f"{len(set(self.groups.tolist()))} groups that stay whole"
                value = f"none (the {len(self.groups)} kept frames form {groups}{left})"
                yield Problem(f"split: {name}", "every part must have frames", value)
        if absent := self._absent("train"):
            rule = "every scored class must have pixels in the training part"
            gone = any(self.dropped_counts_K[k] and self.names[k] in absent for k in self.scored)
            yield Problem("split: train", rule, f"none of {listed(absent)}{left if gone else ''}")
        if len(self.parts["validation"]) and len(self._absent("validation")) == len(self.scored):
            rule = "the validation part must have labelled pixels of at least one scored class"
            yield Problem("split: validation", rule, f"{self._labelled()}{labels_left}")

    def warnings(self) -> Iterator[str]:
        """Yield what cannot be measured, and what makes scores higher than the model deserves."""
        if self.without_test:
            yield (
                "there is no test part: the score of the exported model will be that on "
                "validation, by which it was chosen, "
                "or that of a confirmation"
            )
        for name in PARTS[1:-1] if self.without_test else PARTS[1:]:
            absent = self._absent(name)
            if len(absent) == len(self.scored):
                yield (
                    f"the {name} part has no labelled pixel of a scored class: an exported "
                    f"model "
                    f"gets no score of it"
                )
            elif absent:
                over = (
                    f"the mean there is over {len(self.scored) - len(absent)} of "
                    f"{len(self.scored)} scored classes"
                )
                yield (
                    f"the {name} part has no pixel of {', '.join(absent)}: they cannot be "
                    f"scored there, and {over}"
                )
        if parts := self._few_parts():
            yield (
                f"places are few: training and validation dealt anew {DEALS} times give {parts} "
                f"different validation part(s); "
                "`search confirm` counts parts, not seeds"
            )
        if len(self.scored) == 1:
            yield (
                f"{self.names[self.scored[0]]} alone is scored, so a model that says nothing else "
                f"scores 1: "
                "when another label counts, too, name the ignored one with --ignore (none: all "
                "labels count)"
            )
        if not self.known:
            count = len(set(self.groups.tolist()))
            largest = int(np.bincount(self.groups).max())
            yield (
                f"no groups are known: the {len(self.groups)} frames form {count} by their looks, "
                f"of {largest} at most; where "
                "frames of one scene look different, they may lie in several parts, and scores are "
                "too high"
            )
        for name, indices in self.parts.items():
            if len(indices) == 1:
                yield f"the {name} part is a single frame: {LONE[name]}"
        trained = {self.hashes[index] for index in self.parts["train"]}
        again = sum(
            self.hashes[index] in trained for name in PARTS[1:] for index in self.parts[name]
        )
        if again:
            yield (
                f"{again} frames of validation and test are also in training, under other "
                f"groups: scores are too high"
            )

    def _labelled(self) -> str:
        """Return how few frames have a pixel of any scored class."""
        labelled = np.flatnonzero(self.pixel_counts[:, self.scored].sum(axis=1))
        groups = len(set(self.groups[labelled].tolist()))
        have = (
            f"{len(labelled)} of {len(self.groups)} frames have any, in {groups} "
            f"group{'s' * (groups != 1)}"
        )
        return (
            f"none: {have} that go{'es' * (groups == 1)} to other parts; label frames of more "
            f"groups"
        )

    def _few_parts(self) -> int:
        """Return how many validation parts some deals give, where they are so few that seeds must
        often share one; else 0.
        """
        open_frames = np.sort(np.concatenate([self.parts["train"], self.parts["validation"]]))
        names, groups = np.unique(self.groups[open_frames], return_inverse=True)
        if not 1 < len(names) <= MANY_PLACES:
            return 0
        share = len(self.parts["validation"]) / len(open_frames)
        counts_NS = self.pixel_counts[open_frames][:, self.scored]
        dealt = [
            deal(groups, counts_NS, (1 - share, share), seed)[1].tobytes() for seed in range(DEALS)
        ]
        return len(set(dealt)) if len(set(dealt)) < FEW_PARTS else 0

    def _absent(self, part: str) -> list[str]:
        return [
            self.names[k] for k in self.scored if not self.pixel_counts[self.parts[part], k].sum()
        ]
