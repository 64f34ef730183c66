"""The whole program from raw pixels to logits: scaling, normalisation and resizing around one
network.

Training, validation, checkpoints and the exported model all run this one module, so that none of
them can prepare a frame in its own way.
"""

from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Config, Model, Startable
from objectives.data.spec import FrameSpec
from objectives.device.transfer import sent
from objectives.networks import all_outputs, build_network

Program = TypeVar("Program", bound=nn.Module)


class Segmenter(nn.Module):
    """A network that takes raw pixels: ``forward(pixels_BCHW)`` gives ``logits_BKHW`` of the same
    height and width.

    Shape: pixels (B, C, H, W), any dtype, 0..max_value; logits (B, K, H, W) in float32 outside
    autocast. At ``scale`` below 1 the network sees frames shrunk by the area average and its logits
    are enlarged bilinearly: labels keep their full size.
    """

    gain: Tensor
    shift: Tensor
    rows: Tensor | None  # None where frames keep their size
    columns: Tensor | None

    def __init__(self, network: nn.Module, spec: FrameSpec, scale: float) -> None:
        super().__init__()
        self.network = network
        self.size = (spec.height, spec.width)
        self.scale = scale
        self.shrunk = shrunk(*self.size, scale)
        mean, std = (
            torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)
            for values in (spec.mean, spec.std)
        )
        self.register_buffer("gain", (1 / (std * spec.max_value)).float(), persistent=False)
        self.register_buffer("shift", (-mean / std).float(), persistent=False)
        shrinks = self.shrunk != self.size
        rows, columns = _shrinking(*self.size, scale) if shrinks else (None, None)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) of raw pixels (B, C, H, W)."""
        return self.enlarge(self.network(self._images(pixels_BCHW)), pixels_BCHW)

    def training_outputs(self, pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return what the loss reads: the logits of ``forward``, then those of a deeply supervised
        network's other heads.
        """
        return tuple(
            self.enlarge(logits, pixels_BCHW)
            for logits in all_outputs(self.network, self._images(pixels_BCHW))
        )

    def _images(self, pixels_BCHW: Tensor) -> Tensor:
        """Return the frames as the network sees them, (B, C, h, w)."""
        images_BCHW = pixels_BCHW.float() * self.gain + self.shift
        if self.rows is None or self.columns is None:
            return images_BCHW
        rows, columns = self.rows, self.columns
        if images_BCHW.shape[2:] != self.size:
            height, width = images_BCHW.shape[2:]
            rows, columns = (
                matrix.to(images_BCHW.device) for matrix in _shrinking(height, width, self.scale)
            )
        with torch.autocast(images_BCHW.device.type, enabled=False):
            small_BChw = rows @ images_BCHW @ columns
        return small_BChw.contiguous(memory_format=torch.channels_last)

    def enlarge(self, logits_BKhw: Tensor, pixels_BCHW: Tensor) -> Tensor:
        """Logits of the network (B, K, h, w) at the size of the frames that it has seen, (B, K, H, W)."""
        if self.rows is None:
            return logits_BKhw
        return functional.interpolate(
            logits_BKhw.float(), size=pixels_BCHW.shape[2:], mode="bilinear", align_corners=False
        )


def shrunk(height: int, width: int, scale: float) -> tuple[int, int]:
    """Return the size at which a network sees frames of a size."""
    return max(1, round(height * scale)), max(1, round(width * scale))


@lru_cache(maxsize=8)
def _shrinking(height: int, width: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return the matrices that frames are multiplied with from the left and the right."""
    h, w = shrunk(height, width, scale)
    return area_matrix(height, h), area_matrix(width, w).T.contiguous()


def area_matrix(size: int, shrunk: int) -> Tensor:
    """Matrix (shrunk, size) whose product with a signal is its area average over ``shrunk`` equal
    intervals.
    """
    edges = np.linspace(0.0, size, shrunk + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.clip(overlap, 0.0, None)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True)).float()


def build_segmenter(config: Config, spec: FrameSpec) -> Segmenter:
    """Return the untrained program of one config for frames of one spec."""
    network = build_network(config.model, in_channels=spec.channels, num_classes=spec.num_classes)
    return Segmenter(network, normalised_for(config.model, spec), config.train.scale)


def normalised_for(model: Model, spec: FrameSpec) -> FrameSpec:
    """Return the spec with the mean and deviation by which a network's frames are normalised: the
    data's, or those of the weights that it started from.
    """
    if not isinstance(model, Startable) or model.start is None or model.normalise == "data":
        return spec
    mean, std = model.start.normalisation(spec.channels)
    return spec.model_copy(update={"mean": mean, "std": std})


def placed(program: Program, device: torch.device) -> Program:
    """Return the same program on a device, channels last: the format in which convolutions are
    fastest.

    Whatever is scored is placed by this, because another format adds up in another order and may
    flip a pixel.
    """
    return program.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stub lacks it


def predict_labels(logits_BKHW: Tensor, spec: FrameSpec) -> Tensor:
    """Labels (B, H, W) int64: the scored class with the largest logit; a class that is never scored
    is never predicted.
    """
    scored = scored_on(logits_BKHW.device, spec)
    return scored[logits_BKHW.index_select(1, scored).argmax(dim=1)]


def at_size(logits_PHW: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a frame's logits resized bilinearly to ``size``, height and width, as predictions of
    frames of another size than the network's are.
    """
    if logits_PHW.shape[-2:] == size:
        return logits_PHW
    resized_BPHW: Tensor = functional.interpolate(
        logits_PHW[None], size=size, mode="bilinear", align_corners=False
    )
    return resized_BPHW[0]


def scored_on(device: torch.device, spec: FrameSpec) -> Tensor:
    """Return the scored classes (S,) int64 on a device."""
    return sent(torch.tensor(spec.scored), device)


def scored_probabilities(logits_BKHW: Tensor, scored_S: Tensor) -> Tensor:
    """Return the softmax (B, S, H, W) of logits among the scored classes: of the class, given that
    it is a scored one.
    """
    return torch.softmax(logits_BKHW.float().index_select(1, scored_S), dim=1)


def class_probabilities(logits_BKHW: Tensor, scored_S: Tensor) -> Tensor:
    """Return the same for all classes, (B, K, H, W): 0 for those that are never predicted."""
    probable = scored_probabilities(logits_BKHW, scored_S)
    return torch.zeros_like(logits_BKHW.float()).index_copy(1, scored_S, probable)
