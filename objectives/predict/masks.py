"""A bundle on new images: every image gets a mask of its own size, and what else is asked for. Imports
no torch: ONNX alone can predict.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from objectives.data.dataset import read_images
from objectives.data.reading.banded import BandedTiff
from objectives.errors import ProblemsError
from objectives.predict.checks import NamedImage, OnBad, foreign_problem, good_frames, refuse_bad
from objectives.predict.engines import BY_TORCH, Engine, EngineWanted, open_engine
from objectives.predict.layers import Extra, Layer, Layers, layers_beside
from objectives.predict.predicted import PredictedImage
from objectives.predict.prediction_files import writer_for
from objectives.predict.strips import Answer

# of which frame, how many rows are predicted, and of how many
Rows = Callable[[str, int, int], None]
Told = Callable[[str], None]  # of what a prediction lacks, a line


def untold(_name: str, _done: int, _of: int) -> None:
    """Tell nobody."""


def unsaid(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Heard:
    """Who hears how far a prediction is: of ``rows`` after each strip of a frame, of a ``lack`` where an
    uncertainty has no disagreement.
    """

    rows: Rows = untold
    lack: Told = unsaid


NOBODY = Heard()


def predict(
    directory: Path,
    source: str | Path,
    out: Path,
    *,
    engine: EngineWanted = BY_TORCH,
    beside: Collection[Extra] = (),
    force: bool = False,
    on_bad: OnBad = refuse_bad,
    heard: Heard = NOBODY,
) -> int:
    """Predict the frames of ``source`` (see `read_images`) into ``out`` (.npz, .csv or a folder), with
    what is asked for ``beside`` the masks; returns how many.

    Every frame is read before the first is predicted; where ``on_bad`` lets frames that cannot be
    used pass, they are left out. With ``force`` an npz or CSV of masks that is there is replaced.

    Raises:
        UserError: The bundle, the frames or ``out`` cannot be used; nothing is written then.
        WorldError: ``out`` cannot be written.
    """
    write = writer_for(out, source=str(source), force=force, beside=beside)
    opened = open_engine(directory, engine.name, device=engine.device, flips=engine.flips)
    frames = good_frames(
        str(source),
        read_images(source, opened.spec.reading, banded=opened.spec.windows is not None),
        opened.spec,
        out,
        on_bad,
        beside,
    )
    if "uncertainty" in beside and opened.no_disagreement:
        heard.lack(f"no disagreement of members: {opened.no_disagreement}")
    layers = layers_beside(beside, disagreement=not opened.no_disagreement)
    return write(predict_frames(opened, frames, layers, heard.rows), out)


def predict_frames(
    engine: Engine,
    frames: Iterable[NamedImage],
    layers: Sequence[Layer] = ("labels",),
    progress: Rows = untold,
) -> Iterator[PredictedImage]:
    """Yield the layers of every frame, in order and at its own size; frames are read as they are needed,
    and so are the strips of their layers: before the next frame is asked for.

    Raises:
        UserError: A frame has other channels or another bit depth than the bundle's.
    """
    taken: deque[NamedImage] = deque()

    def images() -> Iterator[np.ndarray]:
        for name, image_HWC in frames:
            if problem := foreign_problem(name, image_HWC, engine.spec):
                raise ProblemsError(name, [problem])
            taken.append((name, image_HWC))
            yield image_HWC

    for _, answers in groupby(engine.answers(images(), layers), key=lambda answer: answer.frame):
        name, image_HWC = taken.popleft()
        height, width = image_HWC.shape[:2]
        strips = _told(answers, name, height, progress)
        in_bands = isinstance(image_HWC, BandedTiff)
        tags = image_HWC.georeference if isinstance(image_HWC, BandedTiff) else ()
        yield PredictedImage(
            name, height, width, layers, engine.spec.class_names, strips, tags, as_tiff=in_bands
        )


def _told(answers: Iterator[Answer], name: str, height: int, progress: Rows) -> Iterator[Layers]:
    for answer in answers:
        progress(name, answer.rows.stop, height)
        yield answer.values
