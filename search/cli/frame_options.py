"""How labelled frames are read and split, as options of every command that prepares data."""

from dataclasses import dataclass

from objectives.config.score import IOU
from objectives.data.options import DataOptions
from search.cli.options import (
    ChannelsChoice,
    ExifChoice,
    Fold,
    Folds,
    Ignore,
    LeaveOut,
    MaxDeviation,
    MinIdentical,
    MinLabelled,
    Overlap,
    Score,
    Scored,
    Seed,
    Size,
    Split,
    Window,
)
from search.cli.values import parse_leave_out, parse_score, parse_scored, parse_size, parse_split


@dataclass(frozen=True, kw_only=True)
class FrameOptions:
    """The options as typed; each field is one of the command line."""

    size: Size = ""
    window: Window = ""
    overlap: Overlap = DataOptions.overlap
    min_identical: MinIdentical = 10
    min_labelled: MinLabelled = 0.0
    max_deviation: MaxDeviation = 0.0
    ignore: Ignore = ""
    exif: ExifChoice = "turn"
    channels: ChannelsChoice = ""
    scored: Scored = ""
    score: Score = IOU
    split: Split = ""
    folds: Folds = 0
    fold: Fold = 0
    leave_out: LeaveOut = None
    seed: Seed = 0

    def frames(self) -> DataOptions:
        """Return the options as read.

        Raises:
            UserError: One cannot be read.
        """
        return DataOptions(
            size=parse_size(self.size),
            window=parse_size(self.window, "--window"),
            overlap=self.overlap,
            min_identical=self.min_identical,
            shares=parse_split(self.split),
            seed=self.seed,
            scored=parse_scored(self.scored),
            min_labelled=self.min_labelled,
            max_deviation=self.max_deviation,
            ignore=self.ignore,
            exif=self.exif,
            channels=self.channels,
            leave_out=parse_leave_out(self.leave_out),
            measure=parse_score(self.score),
            folds=self.folds,
            fold=self.fold,
        )
