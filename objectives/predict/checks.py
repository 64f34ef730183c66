"""A look at every frame to be predicted before anything is computed: what cannot be read, or is not
the bundle's kind.
"""

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectives.data.reading.on_demand import ReadOnDemand
from objectives.data.spec import FrameSpec
from objectives.errors import Problem, ProblemsError, UserError, condensed
from objectives.predict.layers import Extra
from objectives.predict.prediction_files import is_folder, refuse_mixed_sizes, refuse_names

NamedImage = tuple[str, np.ndarray]  # a frame's name and its pixels (H, W, C)
# is called with the source and its bad frames; raises, or they are left out
OnBad = Callable[[str, Sequence[Problem]], None]
MOST_SHOWN = 100  # of one kind of fault


def refuse_bad(source: str, problems: Sequence[Problem]) -> None:
    """Let nothing be predicted.

    Raises:
        ProblemsError: Always, with every bad frame.
    """
    raise ProblemsError(source, condensed(problems, MOST_SHOWN))


def good_frames(
    source: str,
    frames: Sequence[NamedImage],
    spec: FrameSpec,
    out: Path,
    on_bad: OnBad,
    beside: Collection[Extra] = (),
) -> Sequence[NamedImage]:
    """Return the frames that the bundle can predict into ``out``, with what is asked for
    ``beside`` masks, to be read once more; ``on_bad`` is called with the others, if any.

    Raises:
        UserError: No frame is good, or they do not fit into ``out``; what ``on_bad`` raises.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding leaves Python's lock
        looked = list(pool.map(lambda index: _look(frames, index, spec), range(len(frames))))
    good = [index for index, frame in enumerate(looked) if not frame.problems]
    problems = [problem for frame in looked for problem in frame.problems]
    if problems:
        on_bad(f"{source} (--skip-bad predicts the rest)" if good else source, problems)
        if not good:
            raise UserError(f"no frame of {source} can be predicted: {problems[0]}")
        if out.suffix.lower() == ".csv":
            raise UserError(
                f"{out.name} numbers its frames, so none can be left out: give a folder or an npz "
                f"for --out instead"
            )
    if not is_folder(out):
        refuse_mixed_sizes(((looked[index].name, looked[index].size) for index in good), out)
    else:
        refuse_names({looked[index].name for index in good}, beside)
    return ReadOnDemand(len(good), lambda index: frames[good[index]])


def foreign_problem(name: str, image_HWC: np.ndarray, spec: FrameSpec) -> Problem | None:
    """Return what keeps a frame that could be read from being one of the bundle's kind."""
    actual = f"{image_HWC.shape[2]} channel(s) of 0..{np.iinfo(image_HWC.dtype).max}"
    expected = f"{spec.channels} channel(s) of 0..{spec.max_value}"
    rule = f"the bundle takes {expected}: convert it"
    return None if actual == expected else Problem(f"frame {name}", rule, actual)


@dataclass(frozen=True)
class _Look:
    """What is kept of one frame."""

    name: str = ""
    size: tuple[int, int] = (0, 0)
    problems: tuple[Problem, ...] = ()


def _look(frames: Sequence[NamedImage], index: int, spec: FrameSpec) -> _Look:
    try:
        name, image_HWC = frames[index]
    except ProblemsError as error:
        return _Look(problems=error.problems)
    problem = foreign_problem(name, image_HWC, spec)
    return _Look(name, (image_HWC.shape[0], image_HWC.shape[1]), (problem,) if problem else ())
