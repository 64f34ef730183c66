"""What predicts: the torch model of a bundle, or its ONNX program where torch is missing or not
wanted. Imports no torch.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, assert_never

import numpy as np

from objectives.data.spec import FrameSpec
from objectives.predict.layers import Layer
from objectives.predict.strips import Answer
from objectives.program.settings import FlipsWanted

EngineName = Literal["torch", "onnx"]


class Engine(Protocol):
    """A loaded model."""

    @property
    def spec(self) -> FrameSpec:
        """The frames that it takes, and its classes."""
        ...

    @property
    def no_disagreement(self) -> str:
        """Why it cannot answer with the disagreement of members; empty where it can."""
        ...

    def answers(self, images: Iterable[np.ndarray], wanted: Sequence[Layer]) -> Iterator[Answer]:
        """Yield the wanted layers of raw images (H, W, C) of any sizes, which they keep: strip by strip, in
        their order.
        """
        ...


@dataclass(frozen=True)
class EngineWanted:
    """By which engine to predict, where it computes, and over which mirrored frames it averages."""

    name: EngineName = "torch"
    device: str = "cpu"
    flips: FlipsWanted = "auto"


BY_TORCH = EngineWanted()


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
