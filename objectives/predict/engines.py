"""What predicts: the torch model of a bundle, or its ONNX program where torch is missing or not
wanted. Imports no torch.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol, assert_never

import numpy as np

from objectives.data.spec import FrameSpec
from objectives.predict.strips import Answer
from objectives.program.settings import FlipsWanted

EngineName = Literal["torch", "onnx"]


class Engine(Protocol):
    """A loaded model."""

    @property
    def spec(self) -> FrameSpec:
        """The frames that it takes, and its classes."""
        ...

    def labels(self, images: Iterable[np.ndarray]) -> Iterator[Answer]:
        """Yield labels uint8 (rows, W) of raw images (H, W, C) of any sizes, which they keep: strip by
        strip, in their order.
        """
        ...

    def probabilities(self, images: Iterable[np.ndarray]) -> Iterator[Answer]:
        """Yield the probabilities float32 (K, rows, W) of the classes in the same way, given that a pixel
        is of a scored one: 0 for classes that are never predicted.
        """
        ...


def open_engine(
    directory: Path, name: EngineName, *, device: str = "cpu", flips: FlipsWanted = "auto"
) -> Engine:
    """Return the engine of the bundle in ``directory``.

    Raises:
        UserError: The bundle cannot be used, or not so.
    """
    match name:
        case "torch":
            from objectives.predict.torch_engine import TorchEngine

            return TorchEngine.load(directory, device=device, flips=flips)
        case "onnx":
            from objectives.predict.onnx_engine import OnnxEngine

            return OnnxEngine.load(directory, device=device, flips=flips)
        case _:
            assert_never(name)


def torch_is_there() -> bool:
    """Return whether torch can be imported; the first call does so, which takes seconds."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True
