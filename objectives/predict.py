"""A bundle on new images: every image gets a mask of its own size. Imports no torch: ONNX alone can predict."""

from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path

import numpy as np

from objectives.data.dataset import read_images
from objectives.data.spec import FrameSpec
from objectives.engines import Engine, EngineName, FlipsWanted, open_engine
from objectives.errors import UserError
from objectives.portions import frames_at_once
from objectives.prediction_files import NamedMask, writer_for

NamedImage = tuple[str, np.ndarray]  # a frame's name and its pixels (H, W, C)


def predict(
    directory: Path,
    source: str | Path,
    out: Path,
    *,
    engine: EngineName = "torch",
    device: str = "cpu",
    flips: FlipsWanted = "auto",
    force: bool = False,
) -> int:
    """Predict the frames of ``source`` (see `read_images`) into ``out`` (.npz, .csv or a folder); returns how many.

    With ``force`` an npz or CSV of masks that is there is replaced.

    Raises:
        UserError: the bundle, the frames or ``out`` cannot be used; nothing is written then.
        WorldError: ``out`` cannot be written.
    """
    write = writer_for(out, source=str(source), force=force)
    opened = open_engine(directory, engine, device=device, flips=flips)
    return write(predict_frames(opened, read_images(source)), out)


def predict_frames(engine: Engine, frames: Iterable[NamedImage]) -> Iterator[NamedMask]:
    """The labels (H, W) uint8 of every frame, in order and at its own size; frames are read as they are needed.

    Raises:
        UserError: a frame has other channels or another bit depth than the bundle's.
    """
    for (shape, _), alike in groupby(frames, key=lambda frame: (frame[1].shape, frame[1].dtype)):
        count = frames_at_once(max(engine.spec.height, shape[0]), max(engine.spec.width, shape[1]))
        while batch := list(islice(alike, count)):
            names, images = zip(*batch, strict=True)
            refuse_foreign_pixels(names[0], images[0], engine.spec)
            yield from zip(names, engine.labels(images), strict=True)


def refuse_foreign_pixels(name: str, image_HWC: np.ndarray, spec: FrameSpec) -> None:
    """Nothing when a frame has the channels and the bit depth of the bundle's frames.

    Raises:
        UserError: it has others.
    """
    found = f"{image_HWC.shape[2]} channel(s) of 0..{np.iinfo(image_HWC.dtype).max}"
    expected = f"{spec.channels} channel(s) of 0..{spec.max_value}"
    if found != expected:
        raise UserError(f"frame {name} has {found}, the bundle takes {expected}; convert the frames")
