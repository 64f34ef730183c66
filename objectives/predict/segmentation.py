"""A bundle in somebody's own program: arrays in, labels, probabilities or uncertainty out. Imports no torch:
ONNX alone can predict.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, final

import numpy as np
import numpy.typing as npt

from objectives.data.spec import FrameSpec
from objectives.errors import Problem, ProblemsError
from objectives.predict.checks import foreign_problem
from objectives.predict.engines import Engine, open_engine, torch_is_there
from objectives.predict.layers import Layer, Layers
from objectives.predict.strips import whole
from objectives.program.settings import FlipsWanted

Image = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def load(
    bundle: str | Path,
    *,
    engine: Literal["auto", "torch", "onnx"] = "auto",
    device: str = "cpu",
    flips: FlipsWanted = "auto",
) -> "Segmentation":
    """Return the model of a bundle's folder, ready to predict.

    Args:
        bundle: A folder that ``search export-best`` has written.
        engine: ``torch``, or ``onnx`` for ONNX Runtime; ``auto`` takes torch where it is installed.
        device: ``cpu``, or with torch a GPU such as ``cuda`` or ``cuda:1``.
        flips: Average over flipped frames, ``on`` or ``off``; ``auto``: as the bundle was exported.

    Raises:
        UserError: The bundle cannot be used, or not so.
    """
    name = engine if engine != "auto" else "torch" if torch_is_there() else "onnx"
    return Segmentation(open_engine(Path(bundle), name, device=device, flips=flips))


@final
class Uncertainty(NamedTuple):
    """How unsure a model is of each pixel, (H, W) float32 of 0..1 each.

    ``entropy`` is that of the classes' probabilities; ``disagreement`` the part of it that is between the
    members of an ensemble, or None where the model averages none or, with ONNX Runtime, does not
    give their own: see `objectives.predict.uncertainty`.
    """

    entropy: npt.NDArray[np.float32]
    disagreement: npt.NDArray[np.float32] | None


@final
class Segmentation:
    """A model that labels the pixels of images, each at its own size."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def spec(self) -> FrameSpec:
        """The images that it takes, and its classes."""
        return self._engine.spec

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label, from 0 on."""
        return self.spec.class_names

    def predict(self, image: Image) -> npt.NDArray[np.uint8]:
        """Return the label of each pixel, (H, W) uint8.

        Args:
            image: Raw pixels (H, W, C), or (H, W) where images are grey; uint8 or uint16, as those
                that the model was trained on.

        Raises:
            ProblemsError: It is none, or of another kind than those.
        """
        return self._layers(image, "labels")["labels"]

    def probabilities(self, image: Image) -> npt.NDArray[np.float32]:
        """Return the probability of each class at each pixel, (K, H, W) float32, in the order of
        ``class_names``: given that the pixel is of a class that may be predicted at all. Others have 0;
        the rest add up to 1, and the highest is that of the label.

        Args:
            image: Raw pixels, as for `predict`.

        Raises:
            ProblemsError: It is none, or of another kind than those that the model takes.
        """
        return self._layers(image, "probabilities")["probabilities"]

    def uncertainty(self, image: Image) -> Uncertainty:
        """Return how unsure the model is of each pixel, as parts of the most that its classes allow.

        Args:
            image: Raw pixels, as for `predict`.

        Raises:
            ProblemsError: It is none, or of another kind than those that the model takes.
        """
        if self._engine.no_disagreement:
            return Uncertainty(self._layers(image, "entropy")["entropy"], None)
        found = self._layers(image, "entropy", "disagreement")
        return Uncertainty(found["entropy"], found["disagreement"])

    def predict_many(self, images: Sequence[Image]) -> list[npt.NDArray[np.uint8]]:
        """Return the labels (H, W) uint8 of images, in their order; those of one size that follow
        each other are computed together.

        Args:
            images: Raw pixels (H, W, C) or (H, W) each, of any sizes; an array (N, H, W, C) is a
                sequence, too.

        Raises:
            ProblemsError: One is no image, or of another kind than those that the model takes; each is named.
        """
        found = [self._problem(image, f"image {place}") for place, image in enumerate(images)]
        if problems := [problem for problem in found if problem]:
            raise ProblemsError("images", problems)
        answers = self._engine.answers(map(_with_channels, images), ["labels"])
        return [layers["labels"] for layers in whole(answers)]

    def _layers(self, image: Image, *wanted: Layer) -> Layers:
        (layers,) = whole(self._engine.answers([self._checked(image, "image")], wanted))
        return layers

    def _checked(self, image: Image, where: str) -> np.ndarray:
        if problem := self._problem(image, where):
            raise ProblemsError(where, [problem])
        return _with_channels(image)

    def _problem(self, image: Image, where: str) -> Problem | None:
        """Return what keeps an array from being one of the images that the model takes."""
        if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
            shown = f"axes {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            return Problem(where, "must be an array of height, width and channels", shown)
        if image.dtype not in (np.uint8, np.uint16):
            return Problem(where, "must be raw pixels, uint8 or uint16", str(image.dtype))
        if 0 in image.shape:
            return Problem(where, "must have pixels", f"axes {image.shape}")
        return foreign_problem(where, _with_channels(image), self.spec)


def _with_channels(image: np.ndarray) -> np.ndarray:
    return image[:, :, None] if image.ndim == 2 else image
