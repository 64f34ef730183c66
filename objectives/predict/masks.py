"""A bundle on new images: every image gets a mask of its own size. Imports no torch: ONNX alone can
predict.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from objectives.data.dataset import read_images
from objectives.errors import ProblemsError
from objectives.predict.checks import NamedImage, OnBad, foreign_problem, good_frames, refuse_bad
from objectives.predict.engines import Engine, EngineName, open_engine
from objectives.predict.prediction_files import NamedMask, writer_for
from objectives.predict.strips import whole
from objectives.program.settings import FlipsWanted


def predict(
    directory: Path,
    source: str | Path,
    out: Path,
    *,
    engine: EngineName = "torch",
    device: str = "cpu",
    flips: FlipsWanted = "auto",
    force: bool = False,
    on_bad: OnBad = refuse_bad,
) -> int:
    """Predict the frames of ``source`` (see `read_images`) into ``out`` (.npz, .csv or a folder);
    returns how many.

    Every frame is read before the first is predicted; where ``on_bad`` lets frames that cannot be
    used pass, they are left out. With ``force`` an npz or CSV of masks that is there is replaced.

    Raises:
        UserError: The bundle, the frames or ``out`` cannot be used; nothing is written then.
        WorldError: ``out`` cannot be written.
    """
    write = writer_for(out, source=str(source), force=force)
    opened = open_engine(directory, engine, device=device, flips=flips)
    frames = good_frames(
        str(source), read_images(source, opened.spec.reading), opened.spec, out, on_bad
    )
    return write(predict_frames(opened, frames), out)


def predict_frames(engine: Engine, frames: Iterable[NamedImage]) -> Iterator[NamedMask]:
    """Yield the labels (H, W) uint8 of every frame, in order and at its own size; frames are read
    as they are needed.

    Raises:
        UserError: A frame has other channels or another bit depth than the bundle's.
    """
    names: deque[str] = deque()

    def images() -> Iterator[np.ndarray]:
        for name, image_HWC in frames:
            if problem := foreign_problem(name, image_HWC, engine.spec):
                raise ProblemsError(name, [problem])
            names.append(name)
            yield image_HWC

    for labels_HW in whole(engine.labels(images())):
        yield names.popleft(), labels_HW
