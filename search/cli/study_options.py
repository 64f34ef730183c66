"""What ``init`` and ``run`` both ask of a new study: one value, whose fields are options of either command."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from search.cli.options import (
    Artifacts,
    Cache,
    ExifChoice,
    Home,
    Ignore,
    LeaveOut,
    MaxDeviation,
    MinIdentical,
    MinLabelled,
    Scored,
    Sets,
    Size,
    Split,
    Storage,
    StudyName,
    parse_duration,
    parse_labels,
    parse_leave_out,
    parse_size,
    parse_split,
)

if TYPE_CHECKING:
    from search.study.setup import Request

MOST_TRIALS = 100_000
MOST_SEED = 2**31 - 1

Data = Annotated[
    str, typer.Option("--data", envvar="SEARCH_DATA", help="npz file, folder with images/ and masks/, or `synthetic`.")
]
SpaceName = Annotated[
    str, typer.Option("--space", envvar="SEARCH_SPACE", help="Preset (mars, one-epoch, recipes, small, tiny) or YAML file.")
]
Trials = Annotated[int, typer.Option("--trials", min=1, max=MOST_TRIALS, help="Budget: trials in all, the control included.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed of the split, the sampler and the trials.")]
Recipes = Annotated[
    str, typer.Option("--recipes", help="Reports' systems to try after the control: all, or rows and names like A5,C1.")
]
GpuHours = Annotated[
    float,
    typer.Option(
        "--gpu-hours", min=0.0, max=1e6, help="Budget in hours on devices (CPU workers count too), checked each epoch; 0: none."
    ),
]
Until = Annotated[
    str, typer.Option("--until", help="Time from the first trial on, like 60m: then running trials end, none begins.")
]


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """A new study and its place, as typed; each field is an option."""

    study: StudyName = "default"
    data: Data = "synthetic"
    space: SpaceName = "small"
    trials: Trials = 20
    gpu_hours: GpuHours = 0.0
    until: Until = ""
    sets: Sets = field(default_factory=list)
    size: Size = ""
    min_identical: MinIdentical = 10
    min_labelled: MinLabelled = 0.0
    max_deviation: MaxDeviation = 0.0
    ignore: Ignore = ""
    exif: ExifChoice = "turn"
    scored: Scored = ""
    split: Split = ""
    leave_out: LeaveOut = None
    seed: Seed = 0
    recipes: Recipes = ""
    storage: Storage = ""
    artifacts: Artifacts = ""
    home: Home = None
    cache: Cache = None

    def request(self) -> "Request":
        """The study that is asked for.

        Raises: UserError for an option that cannot be read.
        """
        from objectives.data.options import DataOptions
        from search.study.setup import Request

        return Request(
            name=self.study,
            source=self.data,
            space=self.space,
            trials=self.trials,
            sets=tuple(self.sets),
            until_s=parse_duration(self.until),
            gpu_s=3600 * self.gpu_hours,
            frames=DataOptions(
                size=parse_size(self.size),
                min_identical=self.min_identical,
                shares=parse_split(self.split),
                scored=parse_labels(self.scored),
                min_labelled=self.min_labelled,
                max_deviation=self.max_deviation,
                ignore=self.ignore,
                exif=self.exif,
                leave_out=parse_leave_out(self.leave_out),
            ),
            seed=self.seed,
            recipes=self.recipes,
        )


def with_study_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command as one that takes every field of its first argument as an option; its own options follow."""
    hints, defaults = get_type_hints(StudyOptions, include_extras=True), StudyOptions()
    shared = [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=getattr(defaults, each.name), annotation=hints[each.name]
        )
        for each in fields(StudyOptions)
    ]
    own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in inspect.signature(command).parameters.values()][1:]

    @wraps(command)
    def spread(**given: Any) -> None:
        asked = StudyOptions(**{each.name: given.pop(each.name) for each in shared})
        command(asked, **given)

    spread.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]  # what typer reads
    return spread
