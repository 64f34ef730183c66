"""What a study decides about its data: size, dropping, parts, seed, and what a score is."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pydantic import ConfigDict

from objectives.config.score import IOU
from objectives.errors import Problem

PARTS = ("train", "validation", "test")
LEFT_OUT = "left out"  # in a bundle's list of frames: those that the study left out by name
LARGEST_LABEL = 65535  # of mask files
MOST_FOLDS = 1000
MOST_OVERLAP = 0.9  # of a window's side: the rest is how far the next one is
IGNORE = "|none|[0-9]{1,5}"  # as the source says, none, or a label
Exif = Literal["turn", "keep"]
Channels = Literal["", "rgb", "grey"]


@dataclass(frozen=True)
class PixelReading:
    """What becomes of the pixels of image files, in a study and its bundle alike.

    ``exif`` as in `DataOptions`; ``channels`` is what grey and colour become, empty: each stays;
    ``range`` are the values that become 0 and 65535, None: 8 and 16 bits as they are.
    """

    exif: Exif = "turn"
    channels: Channels = ""
    range: tuple[float, float] | None = None

    def or_else(self, other: "PixelReading") -> "PixelReading":
        """Return this, where it says nothing of channels and range the other."""
        return PixelReading(self.exif, self.channels or other.channels, self.range or other.range)


AS_FILES_SAY = PixelReading()


@dataclass(frozen=True)
class Dealing:
    """How a run's training and validation come from those of its study, whose test part stays.

    They are dealt anew by ``seed``; where there are ``folds``, into so many equal parts, of which
    number ``fold``, from 1, validates. With neither they stay as they are.
    """

    seed: int = 0
    folds: int = 0
    fold: int = 0


AS_THEY_ARE = Dealing()


@dataclass(frozen=True)
class DataOptions:
    """How a source becomes a prepared data set; two studies with equal options and source share
    one.

    ``size`` is (H, W) that all frames are resized to, None: each keeps its own; ``min_identical`` frames that share one mask of
    several classes are dropped; so are those with a smaller share of labelled pixels than
    ``min_labelled``, and those whose mean pixel value lies more than ``max_deviation`` standard
    deviations from that of all (0: neither); ``shares`` are those of train, validation and test, of
    which there may be none; ``scored`` names classes by label or name, empty means all but the ignored one; ``ignore`` is
    the label out of loss and score, as mask files write it, or ``none``, and empty means as the
    source says; ``exif`` says whether images and masks with an orientation tag are turned as
    viewers turn them, or kept as their pixels lie in the file; frames that ``leave_out`` names are
    dropped unseen; ``measure`` names the score, see `objectives.config.score`;
    ``channels`` makes all images grey or RGB, empty keeps them; of ``folds`` that the frames
    outside the test part are dealt into, number ``fold``, from 1, validates (0: no folds); ``window``
    is (H, W) of what a network sees at once, None chooses, and ``overlap`` the share of its sides by
    which windows overlap.
    """

    # of a study's specification that has them
    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    size: tuple[int, int] | None = None
    min_identical: int = 10
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    scored: tuple[int | str, ...] = ()
    min_labelled: float = 0.0
    max_deviation: float = 0.0
    ignore: str = ""
    exif: Exif = "turn"
    leave_out: tuple[str, ...] = ()
    measure: str = IOU
    channels: Channels = ""
    folds: int = 0
    fold: int = 0
    window: tuple[int, int] | None = None
    overlap: float = 0.25

    @property
    def reading(self) -> PixelReading:
        """What they say of the pixels of image files."""
        return PixelReading(self.exif, self.channels)

    def problems(self) -> Iterator[Problem]:
        """Yield every option but the measure that cannot work, whatever the data."""
        if self.size is not None and not all(1 <= side <= 65535 for side in self.size):
            yield Problem(
                "size", "height and width must be 1 to 65535", f"{self.size[0]}x{self.size[1]}"
            )
        if self.window is not None and not all(1 <= side <= 65535 for side in self.window):
            shown = f"{self.window[0]}x{self.window[1]}"
            yield Problem("window", "height and width must be 1 to 65535", shown)
        if not 0.0 <= self.overlap <= MOST_OVERLAP:
            yield Problem("overlap", f"must be 0 to {MOST_OVERLAP:g}", f"{self.overlap:g}")
        if self.min_identical < 2:
            yield Problem("min_identical", "must be at least 2", str(self.min_identical))
        train, validation, test = self.shares
        if (
            min(train, validation) <= 0
            or not test >= 0
            or not abs(train + validation + test - 1) <= 1e-6
        ):
            rule = (
                "must be those of train and validation, above 0, and of test, 0 or more, that "
                "add up to 1"
            )
            yield Problem("shares", rule, "/".join(f"{share:g}" for share in self.shares))
        if self.seed < 0:
            yield Problem("seed", "must be 0 or more", str(self.seed))
        if self.folds == 1 or not 0 <= self.folds <= MOST_FOLDS:
            yield Problem("folds", f"must be 2 to {MOST_FOLDS}, or 0 for none", str(self.folds))
        elif not min(1, self.folds) <= self.fold <= self.folds:
            rule = f"must be 1 to {self.folds}" if self.folds else "must come with --folds"
            yield Problem("fold", rule, str(self.fold))
        if not re.fullmatch(IGNORE, self.ignore) or (
            self.ignore.isdigit() and int(self.ignore) > LARGEST_LABEL
        ):
            yield Problem("ignore", f"must be a label 0..{LARGEST_LABEL} or none", self.ignore)
        if self.exif not in get_args(Exif):
            yield Problem("exif", f"must be {' or '.join(get_args(Exif))}", self.exif)
        if self.channels not in get_args(Channels):
            yield Problem("channels", "must be rgb or grey", self.channels)
        if not 0 <= self.min_labelled <= 1:
            yield Problem(
                "min_labelled", "must be a share of pixels, 0 to 1", f"{self.min_labelled:g}"
            )
        if not (math.isfinite(self.max_deviation) and self.max_deviation >= 0):
            yield Problem(
                "max_deviation",
                "must be a number of standard deviations, 0 or more",
                f"{self.max_deviation:g}",
            )
