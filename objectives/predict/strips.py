"""What engines take and give: images one after the other, and answers in strips of rows, so that no
image needs to be answered as a whole. Imports no torch.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np

from objectives.data.spec import FrameSpec
from objectives.device.portions import frames_at_once
from objectives.predict.layers import Layers
from objectives.windows.mosaic import Strip

Answer = Strip[Layers]  # some rows of an image: the layers that are asked for


def alike_batches(
    images: Iterable[np.ndarray], spec: FrameSpec
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield images of one size that follow each other, as many as go through a model at once, and the
    number of the first.
    """
    batch: list[np.ndarray] = []
    first = 0
    for number, image_HWC in enumerate(images):
        height, width = image_HWC.shape[:2]
        most = frames_at_once(max(spec.height, height), max(spec.width, width))
        if batch and (batch[0].shape != image_HWC.shape or len(batch) == most):
            yield first, batch
            batch = []
        first = number - len(batch)
        batch.append(image_HWC)
    if batch:
        yield first, batch


def whole(answers: Iterable[Answer]) -> Iterator[Layers]:
    """Yield the answer on each image with whole layers, in their order."""
    for _, strips in groupby(answers, key=lambda answer: answer.frame):
        yield joined(strip.values for strip in strips)


def joined(strips: Iterable[Layers]) -> Layers:
    """Return the layers of strips that follow each other as one."""
    held = list(strips)
    return {layer: _concatenated([strip[layer] for strip in held]) for layer in held[0]}


def _concatenated(strips: list[np.ndarray]) -> np.ndarray:
    return strips[0] if len(strips) == 1 else np.concatenate(strips, axis=-2)
