"""Where an exported model comes from: the study, the trial, its scores and the versions that made
it. Imports no torch.
"""

import math
import platform
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from objectives.bundle.belief import Belief
from objectives.bundle.belief_in_one import Bounds, Unconfirmed, chance
from objectives.config import LATER, Frozen, Grown
from objectives.config.pretrained import SHA256
from objectives.data.options import IGNORE, DataOptions
from objectives.device.processor import Processor
from objectives.program.settings import Flip, ways_of
from objectives.statistics.scores import ClassScores
from objectives.version import OBJECTIVE_VERSION

NO_TEST = (
    "The study has no sealed test part, so no score here is of frames by which nothing was chosen."
)
PACKAGES = (
    "segmentation-search",
    "torch",
    "numpy",
    "albumentations",
    "onnx",
    "onnxruntime",
    "safetensors",
)


class PartScore(Frozen):
    """The scores of a model on one part of a study's frames, fractions in 0..1; tuples have one
    value for each class.

    What follows ``iou`` is empty in bundles of earlier versions, and where it was not measured.
    """

    frames: int = Field(ge=1)
    score: float = Field(ge=0.0, le=1.0)  # see `Scoring`
    iou: tuple[float | None, ...]  # per class; None where a class does not occur
    precision: tuple[float | None, ...] = ()
    recall: tuple[float | None, ...] = ()
    dice: tuple[float | None, ...] = ()
    support: tuple[Annotated[int, Field(ge=0)], ...] = ()  # labelled pixels
    # None: not measured, or no pixel of a scored class
    calibration_error: float | None = Field(None, ge=0.0, le=1.0)
    # of the score over places like these, 95 %; None: not measured, or not known
    interval: Bounds | None = None
    no_interval: str = ""  # why it is not known
    places: int = 0
    left_out: str = ""  # which classes are not in the score, as they do not occur, in words

    @classmethod
    def of(cls, score: float, iou: "list[float] | tuple[float, ...]", frames: int) -> Self:
        """From an evaluation's ``score`` and ``iou.tolist()``, whose NaN become None."""
        return cls(frames=frames, score=score, iou=_known(iou))

    @classmethod
    def measured(
        cls,
        score: float,
        classes: ClassScores,
        calibration_error: float,
        frames: int,
        *,
        left_out: str = "",
    ) -> Self:
        """Return what an inspection tells; ``score`` may be the trial's own, NaN become None."""
        return cls(
            frames=frames,
            score=score,
            iou=_known(classes.iou.tolist()),
            precision=_known(classes.precision.tolist()),
            recall=_known(classes.recall.tolist()),
            dice=_known(classes.dice.tolist()),
            support=tuple(classes.support.tolist()),
            calibration_error=None if math.isnan(calibration_error) else calibration_error,
            left_out=left_out,
        )

    def with_interval(self, interval: Bounds | str, *, places: int) -> Self:
        """Return it with an interval of the mean over so many places, or with why there is none."""
        said = {"no_interval": interval} if isinstance(interval, str) else {"interval": interval}
        return type(self).model_validate({**self.model_dump(), **said, "places": places})

    @model_validator(mode="after")
    def _of_the_same_classes(self) -> Self:
        lengths = {len(values) for values in (self.precision, self.recall, self.dice, self.support)}
        if lengths not in ({0}, {len(self.iou)}):
            raise ValueError(
                f"precision, recall, dice and support must have {len(self.iou)} values, as iou "
                f"has, or all none"
            )
        return self


def _known(fractions: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(None if math.isnan(value) else value for value in fractions)


class Origin(Frozen):
    """The run that trained one member of a bundle: trial ``trial`` of the study ``study``, which
    may be a confirmation.
    """

    study: str
    trial: int = Field(ge=0)
    seed: int
    epoch: int = Field(ge=1)  # the one whose weights these are


class FlipScores(Frozen):
    """What averaging over flipped frames does to the score on the validation part; ``used``: the
    program does it. ``better`` is how probably the true score is higher: None in bundles of before,
    and with one place.
    """

    flips: tuple[Flip, ...]
    without: float
    averaged: float
    used: bool
    better: float | None = None

    def __str__(self) -> str:
        sure = "" if self.better is None else f", better with {chance(self.better)}"
        verdict = "The program does it." if self.used else "The program does without."
        return (
            f"Averaged over frames flipped ({' and '.join(self.flips)}), the validation score "
            f"is {self.averaged:.4f}, "
            f"without {self.without:.4f}{sure}, at {len(ways_of(self.flips))} times the "
            f"multiply-adds. {verdict}"
        )


class Retrained(Frozen):
    """The bundle's weights come from training the config once more on every labelled frame of the
    study, its sealed part too.

    No frame is left to score them on: every score of the bundle is of the model ``before``, which
    saw the training part alone.
    """

    frames: int = Field(ge=1)  # that it was trained on
    epochs: int = Field(ge=1)
    before: Origin

    def __str__(self) -> str:
        return (
            f"These weights were trained on all {self.frames} labelled frames, those of every part "
            f"of the study, for "
            f"{self.epochs} epochs, and no frame is left to score them on. Every score here is of "
            f"the model before (trial "
            f"{self.before.trial} of study {self.before.study}), trained on the training part "
            f"alone: it belongs to the recipe, "
            "not to these weights."
        )


class StartedFrom(Frozen):
    """Weights that were trained before, from which a network of a bundle started; the bundle needs
    them no more.
    """

    name: str  # as its study called them
    sha256: str = Field(pattern=SHA256)  # of their file
    source: str
    licence: str = ""  # as their file said; empty: it did not


class Provenance(Grown):
    """What the bundle's reader must know of its making; ``validation`` is the score by which the
    trial was chosen.

    Where the program averages over flipped frames, ``validation`` and ``test`` are scores of that.
    Of an ensemble, ``trial``, ``seed`` and ``epoch`` are those of the first member, which has the
    largest weight. What stands below ``max_deviation`` is empty in bundles of earlier versions.
    """

    study: str
    trial: int = Field(ge=0)
    trials: int = Field(ge=1)  # ended trials among which this one was chosen
    seed: int
    epoch: int = Field(ge=1)  # the one whose weights these are
    data: str  # fingerprint of the prepared data
    device: str  # type (cpu, cuda) on which the validation score was measured
    command: str
    versions: dict[str, str]
    validation: PartScore
    belief: Belief = Unconfirmed()  # in the validation score
    test: PartScore | None = None  # None: the test part has not been opened
    # how often anybody has looked at the test part, this one included
    test_looks: int = Field(0, ge=0)
    has_test: bool = True  # whether the study has a sealed test part at all
    foreign: dict[str, str] = Field(
        default_factory=dict
    )  # what other packages bring to its configs, each with its package and version
    # the study's rules for dropping frames: see DataOptions
    min_identical: int = DataOptions().min_identical
    min_labelled: float = DataOptions().min_labelled
    max_deviation: float = DataOptions().max_deviation
    ignore: str = Field(DataOptions().ignore, pattern=f"^({IGNORE})$")
    processor: str = ""  # its model and torch's build, and the threads of a CPU: see `Processor`
    threads: int = Field(0, ge=0, le=100_000)
    program: str = ""  # git revision or version, see `program_revision`
    space: str = ""  # fingerprint of the space that was searched
    members: tuple[Origin, ...] = ()  # in the order of the bundle's settings
    flips: FlipScores | None = None  # None: not measured
    retrained: Retrained | None = None  # None: the scores are of these very weights
    # sentences: what kept it from being whole and of the day of the export
    confirmation: tuple[str, ...] = ()
    reproduce: tuple[str, ...] = ()  # the commands that make the study and this model again
    weights: Annotated[tuple[StartedFrom, ...], LATER] = ()  # that its networks started from

    @property
    def scored_on(self) -> Processor:
        """What the validation score was measured on."""
        return Processor(self.device, self.processor, self.threads)

    @property
    def title(self) -> str:
        """What the model is, in words: its trial, or of how many runs it is made."""
        return (
            f"trial {self.trial}"
            if len(self.members) < 2
            else f"an ensemble of {len(self.members)} runs"
        )

    @property
    def confirmation_then(self) -> str:
        """What kept the confirmation from being whole and of the day of the export, in one line;
        empty: nothing.
        """
        return f"When it was exported: {' '.join(self.confirmation)}" if self.confirmation else ""

    @field_validator("command")
    @classmethod
    def _without_password(cls, command: str) -> str:
        return _anonymous(command)

    @field_validator("reproduce")
    @classmethod
    def _without_passwords(cls, commands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(_anonymous, commands))


def _anonymous(command: str) -> str:
    return re.sub(r"://[^/\s]*@", "://***@", command)


def current_versions() -> dict[str, str]:
    """Return the versions of Python, of the objective, and of the packages that a bundle depends
    on.
    """
    versions = {"python": platform.python_version(), "objective": OBJECTIVE_VERSION}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return versions
