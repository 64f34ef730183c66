"""Options that several commands share, and their checks."""

import re
from pathlib import Path
from typing import Annotated, Optional

import typer

from objectives.data.options import MOST_FOLDS, MOST_OVERLAP, Channels, Exif
from objectives.errors import UserError, one_line
from search.study.names import LONGEST_NAME

MOST_SEED = 2**31 - 1
DEVICES = "auto, cpu, cuda or cuda:N"
AUTO = "auto"
SLOTS = 32  # of a GPU, at most


def check_study_name(name: str) -> str:
    """Return the name itself.

    Raises:
        UserError: It cannot name a study.
    """
    if not 1 <= len(name) <= LONGEST_NAME:
        raise UserError(
            f"--study must be a name of 1 to {LONGEST_NAME} characters, got {len(name)}"
        )
    if not name.isprintable() or name != name.strip():
        raise UserError(
            f"--study must be printable characters without space at its ends, got {name!r}"
        )
    return name


def check_device(device: str) -> str:
    """Return the device itself; whether this host has it is seen later.

    Raises:
        UserError: For anything but ``auto``, ``cpu``, ``cuda`` and ``cuda:N``.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device):
        raise UserError(f"--device must be {DEVICES}, got {device!r}")
    return device


def check_per_gpu(text: str) -> str:
    """Return the text itself.

    Raises:
        UserError: It is no number of slots, nor ``auto``.
    """
    if text not in ("", AUTO) and not (re.fullmatch(r"[1-9][0-9]?", text) and int(text) <= SLOTS):
        raise UserError(
            f"--per-gpu must be {AUTO} or a number from 1 to {SLOTS}, got {one_line(text)!r}"
        )
    return text


StudyName = Annotated[
    str,
    typer.Option(
        "--study", envvar="SEARCH_STUDY", callback=check_study_name, help="Name of the study."
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        "--storage",
        envvar="SEARCH_STORAGE",
        help="Postgres URL; without one, the embedded database of --home.",
    ),
]
Artifacts = Annotated[
    str,
    typer.Option(
        "--artifacts",
        envvar="SEARCH_ARTIFACTS",
        help="Folder or s3://bucket/prefix; without one, a folder of --home.",
    ),
]
Home = Annotated[
    Optional[Path],  # noqa: UP045  # typer reads the annotation
    typer.Option(
        "--home",
        envvar="SEARCH_HOME",
        help="Folder of embedded studies and the cache.  [default: user's data folder]",
    ),
]
Cache = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--cache",
        envvar="SEARCH_CACHE",
        help="Folder of prepared data, shared by the workers of a host.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        envvar="SEARCH_DEVICE",
        callback=check_device,
        help=f"{DEVICES[0].upper()}{DEVICES[1:]}: of the visible GPUs the one of number N in PCI "
        f"order, from 0.",
    ),
]
PerGpu = Annotated[
    str,
    typer.Option(
        "--per-gpu",
        envvar="SEARCH_PER_GPU",
        callback=check_per_gpu,
        metavar="N|auto",
        help="Divide each GPU into N slots of equal memory, one for a worker; auto: as many as a large "
        "trial of the study has room in.  [default: not divided]",
    ),
]
DataHere = Annotated[
    str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")
]
Scored = Annotated[
    str,
    typer.Option(
        "--scored",
        help="Classes that are predicted and scored, by label or name, like 1,2,soil.  [default: all but the ignored]",
    ),
]
Score = Annotated[
    str,
    typer.Option(
        "--score",
        help="What trials are compared by: the mean iou, dice, precision or recall of these "
        "labels (or a score of another package); iou:big_rock=3,soil of some, weighted; "
        "least-recall of the worst; boundary-iou of pixels near contours.",
    ),
]
Ignore = Annotated[
    str,
    typer.Option(
        "--ignore", help="Label left out of loss and score, or `none`.  [default: as the data say]"
    ),
]
ExifChoice = Annotated[
    Exif,
    typer.Option(
        "--exif",
        help="An orientation tag turns image and mask as in viewers, or pixels are kept as they "
        "lie.",
    ),
]
ChannelsChoice = Annotated[
    Channels,
    typer.Option(
        "--channels",
        help="Make all images RGB, or all grey.  [default: as they are, or as data.yaml says]",
    ),
]
Source = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="npz file, folder with images/ and masks/, data.yaml, s3://BUCKET/PREFIX, or `synthetic`.",
    ),
]
SpaceArgument = Annotated[
    str, typer.Argument(help="Preset (mars, one-epoch, recipes, small, tiny) or YAML file.")
]
RecipeNames = Annotated[str, typer.Argument(help="Rows and names like A5,C1, or all.")]
BundleDir = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder that `search export-best` wrote.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an output of this program that is there.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Sets = Annotated[
    list[str],
    typer.Option("--set", help="Fix or change a field of the space: model.depth=3. Repeats."),
]
Size = Annotated[
    str,
    typer.Option(
        "--size", help="Resize every frame to HxW, for example 64x128; else each keeps its size."
    ),
]
Window = Annotated[
    str,
    typer.Option(
        "--window",
        help="What a network sees at once, HxW; larger frames are seen in windows that overlap.  [default: whole "
        "frames; windows where sizes differ]",
    ),
]
Overlap = Annotated[
    float,
    typer.Option(
        "--overlap",
        min=0.0,
        max=MOST_OVERLAP,
        help="Share of a window's sides that neighbours share.",
    ),
]
Split = Annotated[
    str,
    typer.Option(
        "--split",
        help="Shares of train/validation/test in percent; the last may be 0.  [default: 80/10/10]",
    ),
]
Folds = Annotated[
    int,
    typer.Option(
        "--folds",
        min=0,
        max=MOST_FOLDS,
        help="Deal what is not test into so many folds; --fold N validates, the others train.",
    ),
]
Fold = Annotated[
    int, typer.Option("--fold", min=0, max=MOST_FOLDS, help="The fold that validates, from 1.")
]
LeaveOut = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--leave-out",
        help="Text file with frames to drop, one name a line (of an npz: its number).",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", min=0, max=MOST_SEED, help="Seed of the split, the sampler and the trials."
    ),
]
MinIdentical = Annotated[
    int,
    typer.Option(
        "--min-identical",
        min=2,
        help="Frames sharing one mask of several classes are dropped from so many on.",
    ),
]
MinLabelled = Annotated[
    float,
    typer.Option(
        "--min-labelled",
        min=0.0,
        max=1.0,
        help="Drop frames with a smaller share of labelled pixels.",
    ),
]
MaxDeviation = Annotated[
    float,
    typer.Option(
        "--max-deviation",
        min=0.0,
        help="Drop frames whose mean pixel is so many standard deviations off; 0: keep them.",
    ),
]
