"""What is stored with a trial beside parameters and scores: one writer and one reader of its
attributes.

They are attributes of Optuna's trial, so the dashboard shows them. A trial has those of what has
happened to it so far.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from objectives.device.processor import Processor
from search.posterior.standing import BETTER, CONTROL, SURE, UNCLEAR, standing_of
from search.process.messages import Cause

if TYPE_CHECKING:
    # a look at a study does not wait for Optuna
    from optuna.trial import FrozenTrial

# names of attributes that queries look for, too
CAUSE = "end_cause"
MESSAGE = "message"
RECIPE = "recipe"
AGAIN = "control again"  # the recipe of the control's second run, which is never pruned either
BEST_EPOCH = "best_epoch"
MULTIPLY_ADDS = "multiply_adds"
DEVICE_NAME = "device_name"
EPOCHS = "epochs"
TRAIN_S = "train_seconds"
LATENCY_S = "frame_seconds"
MEAN = "posterior_mean"
BEATS = "beats_control"
BELIEVED = (MEAN, "posterior_sd", BEATS, "posterior_runs")
INFEASIBLE = f'"{Cause.INFEASIBLE}"'  # a cause as JSON, which is how Optuna stores it

# of a query on ``trials`` and ``trial_values``: by what a trial ranks. One of which nothing is believed
# yet does by its score, which is higher than what will be
BELIEVING = f"""LEFT JOIN LATERAL (
    SELECT max(value_json::float) FILTER (WHERE key = '{MEAN}') AS mean,
           max(value_json::float) FILTER (WHERE key = '{BEATS}') AS beats_control
    FROM trial_user_attributes AS told
    WHERE told.trial_id = trials.trial_id AND key IN ('{MEAN}', '{BEATS}')) AS believing ON true"""
HEIGHT = "coalesce(believing.mean, value)"
# first of all what surely beats the control, then the control: see `standing_of`
STANDING = f"""CASE WHEN beats_control IS NULL THEN {CONTROL} WHEN beats_control > {SURE} THEN {BETTER}
                    ELSE {UNCLEAR} END"""

IOU = "iou "  # followed by a class
CONFIRMED = ("confirms", "seed")
PROCESSOR = ("scored_on", "processor", "threads")
ORIGINAL = "migrated_from"
EXPECTED = "expected_score"
LEFT_OUT = "scores_without_places"
LEFT_OUT_DIGITS = 7  # of differences of scores without one block, the spread counts
FITTED = "the fit to frames that were trained on, no score"


class State(StrEnum):
    """What became of a trial so far."""

    WAITING = "waiting"
    RUNNING = "running"
    INTERRUPTED = "interrupted"  # begun, and no worker is at it
    UNFINISHED = "unfinished"  # interrupted by a limit of its study, with weights that can be had
    COMPLETE = "complete"
    PRUNED = "pruned"
    INFEASIBLE = "infeasible"  # its config cannot work; Optuna is told that it was pruned
    FAILED = "failed"


@dataclass(frozen=True)
class ConfirmationRun:
    """What a run of a confirmation trains again."""

    candidate: int  # the trial's number in the study that is confirmed
    seed: int  # 0, 1, ...


@dataclass(frozen=True)
class Original:
    """What a trial was copied from, which was trained there."""

    study: str
    number: int
    seed: int


@dataclass(frozen=True)
class Expected:
    """What a model expected of the config that it proposed."""

    by: str  # where its candidate came from: see `Origin`
    mean: float  # score
    sd: float


@dataclass(frozen=True)
class Believed:
    """What all runs of the study together say of a trial's network, or of its config: see
    `search.study.beliefs`.
    """

    mean: float  # expected score, of a config in the mean over seeds
    sd: float  # how far off that mean may be
    beats_control: float | None  # probability; None: it is the control, or that has no score
    runs: int  # of the study that had ended by then

    @property
    def standing(self) -> int:
        """By what it ranks before its mean."""
        return standing_of(self.beats_control)

    def attributes(self) -> dict[str, float]:
        """Return it as attributes of a trial."""
        values = (self.mean, self.sd, self.beats_control, self.runs)
        return {
            key: round(value, 6)
            for key, value in zip(BELIEVED, values, strict=True)
            if value is not None
        }

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> "Believed | None":
        """Return what attributes of a trial say, if anything."""
        mean, sd, beats_control, runs = (attributes.get(key) for key in BELIEVED)
        if mean is None or sd is None or runs is None:
            return None
        return cls(mean, sd, beats_control, runs)


@dataclass(frozen=True, kw_only=True)
class Notes:
    """The attributes of one trial; empty, 0 or None where nothing of the kind has happened."""

    recipe: str = ""  # what it was enqueued as; empty: the sampler drew it
    confirmed: ConfirmationRun | None = None
    original: Original | None = None
    expected: Expected | None = None  # before it was trained
    parameters: int = 0  # of the network
    multiply_adds: int = 0  # of one frame, forward
    memory_bytes: int = 0  # of training, estimated
    augmented_on: str = ""  # host or device; empty: the host
    pruned: bool = False  # judged so, and to be ended
    cause: str = ""  # why it ended: a `Cause`, or words with one for a copy
    message: str = ""
    device: str = ""  # cpu, or the GPU's uuid
    device_name: str = ""  # CPU, or the GPU's kind
    epochs: int = 0  # trained
    best_epoch: int = 0  # the one that counts
    train_s: float = 0.0
    latency_s: float = 0.0  # for one frame, alone, on that device
    losses: tuple[float, ...] = ()  # on validation, of each epoch, where training goes by them
    # IoU of the scored classes that occur
    per_class: Mapping[str, float] = field(default_factory=dict)
    scored_on: Processor | None = None
    left_out: tuple[
        float, ...
    ] = ()  # scores without each block of validation places: see `blocks_of`
    places: str = ""  # of the validation part, where a study deals parts anew: see `places_text`
    fitted: bool = False  # its value is no score: it was trained on all frames
    believed: Believed | None = None  # of its network

    @classmethod
    def of(cls, trial: "FrozenTrial") -> "Notes":
        """Return what is stored with a trial."""
        return cls.read(trial.user_attrs)

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> "Notes":
        """Return what these attributes say; those of other programs are left aside."""
        plain = {name: attributes[key] for name, key in _PLAIN.items() if key in attributes}
        candidate, seed = (attributes.get(key) for key in CONFIRMED)
        kind, model, threads = (attributes.get(key) for key in PROCESSOR)
        original = attributes.get(ORIGINAL)
        expected = attributes.get(EXPECTED)
        return cls(
            **plain,
            confirmed=None
            if candidate is None or seed is None
            else ConfirmationRun(candidate, seed),
            original=None if original is None else Original(**original),
            expected=None if expected is None else Expected(**expected),
            losses=tuple(attributes.get("validation_losses", ())),
            left_out=tuple(attributes.get(LEFT_OUT, ())),
            per_class={
                key.removeprefix(IOU): iou for key, iou in attributes.items() if key.startswith(IOU)
            },
            scored_on=None
            if kind is None or model is None or threads is None
            else Processor(kind, model, threads),
            fitted="value_is" in attributes,
            believed=Believed.read(attributes),
        )

    def attributes(self) -> dict[str, Any]:
        """Return the attributes that say this, in the order in which they are to be written."""
        empty = Notes()
        attributes = {
            key: getattr(self, name)
            for name, key in _PLAIN.items()
            if getattr(self, name) != getattr(empty, name)
        }
        if self.confirmed:
            attributes |= dict(
                zip(CONFIRMED, (self.confirmed.candidate, self.confirmed.seed), strict=True)
            )
        if self.original:
            attributes[ORIGINAL] = asdict(self.original)
        if self.expected:
            attributes[EXPECTED] = asdict(self.expected)
        attributes |= {f"{IOU}{name}": iou for name, iou in self.per_class.items()}
        if self.scored_on:
            attributes |= dict(
                zip(
                    PROCESSOR,
                    (self.scored_on.type, self.scored_on.name, self.scored_on.threads),
                    strict=True,
                )
            )
        attributes |= {"validation_losses": list(self.losses)} if self.losses else {}
        if self.left_out:
            attributes[LEFT_OUT] = [round(score, LEFT_OUT_DIGITS) for score in self.left_out]
        attributes |= {"value_is": FITTED} if self.fitted else {}
        attributes |= self.believed.attributes() if self.believed else {}
        verdict = {key: attributes.pop(key) for key in (CAUSE, MESSAGE) if key in attributes}
        return attributes | verdict  # last: whoever writes them may be killed on the way


_PLAIN = {
    "recipe": RECIPE,
    "parameters": "parameters",
    "multiply_adds": MULTIPLY_ADDS,
    "memory_bytes": "memory_bytes",
    "augmented_on": "augmented_on",
    "pruned": "pruned",
    "cause": CAUSE,
    "message": MESSAGE,
    "device": "device",
    "device_name": DEVICE_NAME,
    "epochs": EPOCHS,
    "best_epoch": BEST_EPOCH,
    "train_s": TRAIN_S,
    "latency_s": LATENCY_S,
    "places": "validation_places",
}
