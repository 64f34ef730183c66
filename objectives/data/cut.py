"""What is wrong, or to be known, about how frames were cut into train, validation and test."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from objectives.data.options import PARTS
from objectives.data.split import deal
from objectives.errors import Problem, listed

MANY_PLACES = 40  # never give few parts
DEALS, FEW_PARTS = 12, 8  # fewer different parts than this of so many deals is worth a warning


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

    def problems(self) -> Iterator[Problem]:
        """Why no study can be made of it."""
        for name, indices in self.parts.items():
            if not len(indices):
                value = (
                    f"none (the {len(self.groups)} kept frames form {len(set(self.groups.tolist()))} groups that stay whole)"
                )
                yield Problem(f"split: {name}", "every part must have frames", value)
        if absent := self._absent("train"):
            rule = "every scored class must have pixels in the training part"
            yield Problem("split: train", rule, f"none of {listed(absent)}")
        for name in PARTS[1:]:
            if len(self.parts[name]) and len(self._absent(name)) == len(self.scored):
                yield Problem(f"split: {name}", "some scored class must have pixels in every part", "none of any")

    def warnings(self) -> Iterator[str]:
        """What cannot be measured, and what makes scores higher than the model deserves."""
        for name in PARTS[1:]:
            if absent := self._absent(name):
                over = f"the mean there is over {len(self.scored) - len(absent)} of {len(self.scored)} scored classes"
                yield f"the {name} part has no pixel of {', '.join(absent)}: their IoU cannot be measured there, and {over}"
        if parts := self._few_parts():
            yield (
                f"places are few: training and validation dealt anew {DEALS} times give {parts} different validation part(s); "
                "`search confirm` counts parts, not seeds"
            )
        if len(self.scored) == 1:
            yield (
                f"{self.names[self.scored[0]]} alone is scored, so a model that says nothing else scores 1: "
                "when another label counts, too, name the ignored one with --ignore (none: all labels count)"
            )
        if not self.known:
            count, largest = len(set(self.groups.tolist())), int(np.bincount(self.groups).max())
            yield (
                f"no groups are known: the {len(self.groups)} frames form {count} by their looks, of {largest} at most; where "
                "frames of one scene look different, they may lie in several parts, and scores are too high"
            )
        trained = {self.hashes[index] for index in self.parts["train"]}
        again = sum(self.hashes[index] in trained for name in PARTS[1:] for index in self.parts[name])
        if again:
            yield f"{again} frames of validation and test are also in training, under other groups: scores are too high"

    def _few_parts(self) -> int:
        """How many validation parts some deals give, where they are so few that seeds must often share one; else 0."""
        open_frames = np.sort(np.concatenate([self.parts["train"], self.parts["validation"]]))
        names, groups = np.unique(self.groups[open_frames], return_inverse=True)
        if len(names) > MANY_PLACES:
            return 0
        share, counts_NS = len(self.parts["validation"]) / len(open_frames), self.pixel_counts[open_frames][:, self.scored]
        dealt = [deal(groups, counts_NS, (1 - share, share), seed)[1].tobytes() for seed in range(DEALS)]
        return len(set(dealt)) if len(set(dealt)) < FEW_PARTS else 0

    def _absent(self, part: str) -> list[str]:
        return [self.names[k] for k in self.scored if not self.pixel_counts[self.parts[part], k].sum()]
