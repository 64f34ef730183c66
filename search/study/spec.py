"""What decides a study, written once by ``search init``."""

import hashlib
from dataclasses import fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, Field

from objectives.config import Frozen
from objectives.data.options import DataOptions, Exif
from objectives.data.reading.source import existing_path
from objectives.data.reading.synthetic import is_synthetic
from objectives.errors import UserError
from objectives.version import OBJECTIVE_VERSION
from search.study.names import LONGEST_NAME

if TYPE_CHECKING:
    from objectives.data.dataset import Dataset  # it decodes images: `search status` does not wait for that

OPTUNA_MAJOR = version("optuna").partition(".")[0]


class Candidate(Frozen):
    """A trial of a study, to be trained again."""

    number: int  # in that study
    params: dict[str, Any]
    last_epoch: int  # the one that counts: the study's last, or where early stopping found the best


class Confirming(Frozen):
    """What a study trains again: each candidate once with each seed. No seeds: it searches."""

    study: str = ""
    study_id: int = 0  # Optuna's, for another study may get that name later; 0: not recorded by earlier versions
    top: int = Field(default=0, ge=0)  # how many of the best were asked for; 0: not recorded by earlier versions
    seeds: int = Field(default=0, ge=0)
    resplit: bool = True  # training and validation are dealt anew for each seed but the first
    everything: bool = False  # no confirmation: one model of all labelled frames, which nothing scores
    seed: int = 0  # of that model
    # merits of the winner's epochs, which that model's schedule hears; none: it hears nothing. `scores` in earlier versions
    heard: tuple[float, ...] = Field(default=(), validation_alias=AliasChoices("heard", "scores"))
    candidates: tuple[Candidate, ...] = ()

    @property
    def best(self) -> int:
        """How many of the best trials were asked for, beside the control."""
        return self.top or max(1, sum(each.number != 0 for each in self.candidates))


class StudySpec(Frozen):
    """Everything that decides what a study's trials are; equal specs are the same study."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    source: str  # where the data lies: a file, a folder, or ``synthetic``
    size: tuple[int, int] | None  # (H, W) that frames are resized to; None keeps theirs
    min_identical: int
    min_labelled: float = 0.0
    max_deviation: float = 0.0
    ignore: str = ""  # the ignored label, or none; empty: as the data say
    exif: Exif = "turn"
    scored: tuple[int, ...]  # labels, as asked; empty: all but the ignored one
    shares: tuple[float, float, float] = DataOptions().shares  # of train, validation and test
    leave_out: tuple[str, ...] = ()  # names of frames
    score: str  # what a score is, in words: see score_definition
    data_fingerprint: str
    sealed: str = ""  # which frames the test part holds, whatever is made of them: see Dataset.sealed
    space: dict[str, Any]
    space_fingerprint: str
    trials: int = Field(ge=1)
    until_s: float = Field(ge=0.0)  # seconds from the first claim; 0: no deadline
    gpu_s: float = Field(default=0.0, ge=0.0)  # seconds on devices, over all trials; 0: no limit
    seed: int
    recipes: tuple[str, ...] = ()  # names of those that follow the control
    recipe_filters: float = 1.0  # their filters are multiplied by this
    confirm: Confirming = Confirming()
    objective_version: str = OBJECTIVE_VERSION
    optuna: str = OPTUNA_MAJOR  # its major version: two of them write different things into one database

    @property
    def fixed(self) -> bool:
        """Whether the study's first trials are all that was asked for, so that nothing takes the place of one."""
        return bool(self.confirm.seeds) or self.trials <= 1 + len(self.recipes)

    @property
    def has_test(self) -> bool:
        """Whether a part of the frames is sealed."""
        return self.shares[2] > 0

    @property
    def data_options(self) -> DataOptions:
        """How the data is read and split."""
        return DataOptions(**{each.name: getattr(self, each.name) for each in fields(DataOptions)})


def refuse_without_scores(spec: StudySpec) -> None:
    """Nothing for a study whose trials have scores.

    Raises: UserError for one that has trained a model on every labelled frame.
    """
    if spec.confirm.everything:
        raise UserError(
            f"study {spec.name!r} trains on every frame of study {spec.confirm.study!r}, without a score: name that one"
        )


def refuse_namesake(spec: StudySpec, data: str) -> None:
    """Nothing for the study of a bundle that was made of ``data``, a fingerprint.

    Raises: UserError for another study of the same name.
    """
    if spec.data_fingerprint != data:
        raise UserError(
            f"the study {spec.name!r} here has other data than the bundle's study of that name: give the --storage or --home of"
            " that one, where the look is to be counted"
        )


def score_definition(data: "Dataset") -> str:
    """What a score is: which classes it averages over, those of the validation part, and which pixels it leaves out."""
    spec, pixels_K = data.spec, data.pixels_in("validation")
    occurring = ", ".join(spec.class_names[label] for label in spec.scored if pixels_K[label])
    ignored = "" if spec.ignore_label is None else f", pixels of {spec.class_names[spec.ignore_label]} left out"
    missing = data.left_out("validation")
    return f"mean IoU of {occurring}{ignored}" + (f" ({missing})" if missing else "")


def stable_seed(*parts: object) -> int:
    """A 31-bit seed that depends on its parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big") >> 1


def data_path(source: str) -> str:
    """A data source as the study stores it: an absolute path, or the generator's word.

    Raises: ProblemsError when nothing is there.
    """
    return source if is_synthetic(source) else str(existing_path(source).resolve())
