"""What decides a study, written once by ``search init``."""

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import Field

from objectives.config import Frozen
from objectives.config.score import Score
from objectives.data.options import DataOptions
from objectives.errors import UserError
from objectives.version import OBJECTIVE_VERSION
from search.study.learned import Lessons
from search.study.names import LONGEST_NAME
from search.study.purpose import Purpose, Searching

if TYPE_CHECKING:
    # it decodes images: `search status` does not wait for that
    from objectives.data.dataset import Dataset

OPTUNA_MAJOR = version("optuna").partition(".")[0]


class StudySpec(Frozen):
    """Everything that decides what a study's trials are; equal specs are the same study."""

    name: str = Field(min_length=1, max_length=LONGEST_NAME)
    source: str  # where the data lies: a file, a folder, or ``synthetic``
    # how the data is read and split; its seed is also that of the sampler and the trials
    frames: DataOptions
    score: str  # what a score is, in words: see score_definition
    measure_package: str = ""  # that brings its measure; empty for one of ours
    data_fingerprint: str
    # which frames the test part holds, whatever is made of them: see Dataset.sealed
    sealed: str = ""
    given: tuple[str, ...] = ()  # parts that the data's owner has decided
    space: dict[str, Any]
    space_fingerprint: str
    trials: int = Field(ge=1)
    until_s: float = Field(ge=0.0)  # seconds from the first claim; 0: no deadline
    gpu_s: float = Field(default=0.0, ge=0.0)  # seconds on devices, over all trials; 0: no limit
    recipes: tuple[str, ...] = ()  # names of those that follow the control
    recipe_filters: float = 1.0  # their filters are multiplied by this
    purpose: Purpose = Searching()
    lessons: Lessons = Lessons()  # what it learns from other studies
    objective_version: str = OBJECTIVE_VERSION
    # its major version: two of them write different things into one database
    optuna: str = OPTUNA_MAJOR

    @property
    def fixed(self) -> bool:
        """Whether the study's first trials are all that was asked for, so that nothing takes the
        place of one.
        """
        return not self.purpose.searches or self.trials <= 1 + len(self.recipes)

    @property
    def seed(self) -> int:
        """The seed of the split, of the sampler and of the trials."""
        return self.frames.seed

    @property
    def score_words(self) -> str:
        """What a score is, in a few words: ``mean IoU``."""
        return Score.read(self.frames.measure).words

    @property
    def score_title(self) -> str:
        """The same to begin a line with: ``Mean IoU``."""
        return Score.read(self.frames.measure).title

    @property
    def has_test(self) -> bool:
        """Whether a part of the frames is sealed."""
        return self.frames.shares[2] > 0


def refuse_without_scores(spec: StudySpec) -> None:
    """Refuse a study that has trained a model on every labelled frame.

    Raises:
        UserError: Its trials have no scores.
    """
    if not spec.purpose.scored:
        raise UserError(f"study {spec.name!r} {spec.purpose.words}: name that one")


def refuse_derived(spec: StudySpec, advice: str) -> None:
    """Refuse a study that trains the trials of another again.

    Raises:
        UserError: It confirms or retrains; with ``advice`` on what to do with the study that it
            names.
    """
    if not spec.purpose.searches:
        raise UserError(f"study {spec.name!r} {spec.purpose.words}: {advice}")


def refuse_namesake(spec: StudySpec, data: str) -> None:
    """Refuse a study of other data than a bundle was made of, by their fingerprint.

    Raises:
        UserError: For another study of the same name.
    """
    if spec.data_fingerprint != data:
        raise UserError(
            f"the study {spec.name!r} here has other data than the bundle's study of that name: "
            f"give the --storage or --home of"
            " that one, where the look is to be counted"
        )


def score_definition(data: "Dataset") -> str:
    """Return what a score is: of which classes, those that count of the validation part, and which
    pixels it leaves out.
    """
    spec = data.spec
    pixels_K = data.pixels_in("validation")
    occurring = [label for label in spec.counting if pixels_K[label]]
    ignored = (
        ""
        if spec.ignore_label is None
        else f", pixels of {spec.class_names[spec.ignore_label]} left out"
    )
    missing = data.left_out("validation")
    words = spec.score.definition(spec.class_names, occurring)
    return f"{words}{ignored}" + (f" ({missing})" if missing else "")


def stable_seed(*parts: object) -> int:
    """Return a 31-bit seed that depends on its parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big") >> 1
