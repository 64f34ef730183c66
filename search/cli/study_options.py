"""What ``init`` and ``run`` both ask of a new study: one value, whose fields are options of either
command.
"""

from dataclasses import dataclass, field
from typing import Annotated

import typer

from search.cli.frame_options import FrameOptions
from search.cli.options import Artifacts, Cache, Home, Sets, Storage, StudyName

MOST_TRIALS = 100_000

Data = Annotated[
    str,
    typer.Option(
        "--data",
        envvar="SEARCH_DATA",
        help="npz file, folder with images/ and masks/, data.yaml, s3://BUCKET/PREFIX, or `synthetic`.",
    ),
]
SpaceName = Annotated[
    str,
    typer.Option(
        "--space",
        envvar="SEARCH_SPACE",
        help="Preset (mars, one-epoch, recipes, small, tiny) or YAML file.",
    ),
]
Trials = Annotated[
    int,
    typer.Option(
        "--trials", min=1, max=MOST_TRIALS, help="Budget: trials in all, the control included."
    ),
]
Recipes = Annotated[
    str,
    typer.Option(
        "--recipes",
        help="Reports' systems to try after the control: all, or rows and names like A5,C1.",
    ),
]
GpuHours = Annotated[
    float,
    typer.Option(
        "--gpu-hours",
        min=0.0,
        max=1e6,
        help="Budget in hours on devices (CPU workers count too), checked each epoch; 0: none.",
    ),
]
Until = Annotated[
    str,
    typer.Option(
        "--until",
        help="Time from the first trial on, like 60m: then running trials end, none begins.",
    ),
]
LearnFrom = Annotated[
    str,
    typer.Option(
        "--learn-from",
        help="Studies of this database with the same score to learn from, A,B or auto; empty: none.",
    ),
]
Weights = Annotated[
    list[str],
    typer.Option(
        "--weights",
        help="To start encoders from: FILE (safetensors, or torch tensors), the folder of a bundle, "
        "or imagenet; NAME= before it names it for model.weights. Repeats.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class StudyOptions(FrameOptions):
    """A new study and its place, as typed; each field is an option."""

    study: StudyName = "default"
    data: Data = "synthetic"
    space: SpaceName = "small"
    trials: Trials = 20
    gpu_hours: GpuHours = 0.0
    until: Until = ""
    sets: Sets = field(default_factory=list)
    recipes: Recipes = ""
    learn_from: LearnFrom = ""
    weights: Weights = field(default_factory=list)
    storage: Storage = ""
    artifacts: Artifacts = ""
    home: Home = None
    cache: Cache = None
