"""Frames through a model, few at a time: every score, every picture and every ensemble's choice
takes this way.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from objectives.beat import Beat, unheard
from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.device.memory import DoesNotFitError, TooLarge, attempt, empty_cache
from objectives.device.portions import frames_at_once
from objectives.device.precision import exact
from objectives.device.transfer import sent
from objectives.program.pixels import pixels_on
from objectives.program.segmenter import scored_on, scored_probabilities
from objectives.windows.layout import Corner, Windows
from objectives.windows.mosaic import Strip, Tile, batches, stitched, tiles_of

Found = TypeVar("Found")
Item = TypeVar("Item")
LEAST = torch.finfo(torch.float32).tiny  # of a probability whose logarithm is taken


@dataclass(frozen=True)
class Part:
    """What goes through the model together: some frames whole, or some rows of one of them."""

    frames: slice
    rows: slice | None = None  # None: all

    def of(self, frames: Frames) -> np.ndarray:
        """Return these pixels of frames (H, W, ...), as one array (B, h, W, ...)."""
        rows = self.rows or slice(None)
        if isinstance(frames, np.ndarray) and self.rows is None:
            return np.asarray(frames[self.frames])
        return np.stack([frames[index][rows] for index in self.numbers])

    @property
    def numbers(self) -> range:
        """Which frames they are."""
        return range(self.frames.start, self.frames.stop)

    def pixels(
        self, places: npt.NDArray[np.integer], shape: tuple[int, ...]
    ) -> npt.NDArray[np.integer]:
        """Return which of these places in a flattened frame (H, W) lie in its rows, as places there."""
        if self.rows is None:
            return places
        first, end, _ = self.rows.indices(shape[0])
        low, high = np.searchsorted(places, (first * shape[1], end * shape[1]))
        return places[low:high] - first * shape[1]

    @property
    def begins(self) -> bool:
        """Whether it holds the first rows of its frames."""
        return self.rows is None or not self.rows.start


# is told the raw logits (B, K, h, w) of what the model saw: the frame and corner of each
Seen = Callable[[Sequence[tuple[int, Corner]], Tensor], None]


def unseen(_corners: Sequence[tuple[int, Corner]], _logits_BKhw: Tensor) -> None:
    """Look at nothing."""


def passes(
    segmenter: nn.Module,
    images: Frames,
    spec: FrameSpec,
    work: Callable[[Part, Tensor], Found],
    *,
    device: torch.device,
    beat: Beat = unheard,
    seen: Seen = unseen,
) -> Iterator[tuple[Part, Found]]:
    """Yield each part of raw frames (H, W, C), with what ``work`` makes of the part and its logits
    (B, K, h, W) in fp32, in the order of the frames.

    Where frames are seen in windows, the softmax of the logits among the scored classes is the mean of that
    of the windows; frames may be of any sizes then. A batch that memory is too small for is halved, and so
    are the rest. ``beat`` is called after each. Leaves the model in evaluation mode.

    Raises:
        DoesNotFitError: Memory is too small for a single frame or window.
    """
    if (windows := spec.windows) is None:
        yield from _whole(segmenter, images, spec, work, device=device, beat=beat, seen=seen)
        return
    for strip in window_strips(
        segmenter, images, spec, windows, device=device, beat=beat, seen=seen
    ):
        part = Part(slice(strip.frame, strip.frame + 1), strip.rows)
        with torch.inference_mode():
            yield part, work(part, _as_logits(strip.values, spec))


def window_strips(
    segmenter: nn.Module,
    images: Iterable[np.ndarray],
    spec: FrameSpec,
    windows: Windows,
    *,
    device: torch.device,
    beat: Beat = unheard,
    seen: Seen = unseen,
) -> Iterator[Strip[Tensor]]:
    """Yield strips of frames with the probabilities (S, rows, W) of the scored classes; see `passes`."""
    scored_S = scored_on(device, spec)

    def probable(tiles: Sequence[Tile], pixels_BChw: Tensor) -> Tensor:
        logits_BKhw: Tensor = segmenter.eval()(pixels_BChw)
        seen([(tile.frame, tile.corner) for tile in tiles], logits_BKhw)
        return scored_probabilities(logits_BKhw, scored_S)

    yield from stitched_planes(probable, images, spec, windows, device=device, beat=beat)


def stitched_planes(
    planes: Callable[[Sequence[Tile], Tensor], Tensor],
    images: Iterable[np.ndarray],
    spec: FrameSpec,
    windows: Windows,
    *,
    device: torch.device,
    beat: Beat = unheard,
) -> Iterator[Strip[Tensor]]:
    """Yield strips of frames with planes (P, rows, W) of any kind that may be averaged: ``planes`` gives
    those of some windows (B, P, h, w), from their raw pixels (B, C, h, w).

    Raises:
        DoesNotFitError: Memory is too small for a single window.
    """

    @torch.inference_mode()
    def found_in(tiles: list[Tile]) -> Tensor:
        pixels_BhwC = np.stack([tile.seen(windows) for tile in tiles])
        with exact():
            return planes(tiles, pixels_on(device, pixels_BhwC))

    def on_device(array: np.ndarray) -> Tensor:
        return sent(torch.from_numpy(array), device)

    size = frames_at_once(windows.height, windows.width)
    found = _halving(tiles_of(images, windows), found_in, size, spec, device, beat)
    with torch.inference_mode():
        yield from stitched(found, windows, on_device)


def seen_batches(images: Frames, spec: FrameSpec) -> Iterator[np.ndarray]:
    """Yield all that a model sees of frames, few at a time: raw pixels (B, h, w, C)."""
    size = frames_at_once(spec.height, spec.width)
    if windows := spec.windows:
        for tiles in batches(tiles_of(images, windows), size):
            yield np.stack([tile.seen(windows) for tile in tiles])
        return
    for start in range(0, len(images), size):
        yield Part(slice(start, min(start + size, len(images)))).of(images)


def _whole(
    segmenter: nn.Module,
    images: Frames,
    spec: FrameSpec,
    work: Callable[[Part, Tensor], Found],
    *,
    device: torch.device,
    beat: Beat,
    seen: Seen,
) -> Iterator[tuple[Part, Found]]:
    """Do it with frames that a network sees whole."""

    @torch.inference_mode()
    def passed(numbers: list[int]) -> tuple[Part, Found]:
        part = Part(slice(numbers[0], numbers[-1] + 1))
        with exact():
            logits_BKHW: Tensor = segmenter.eval()(pixels_on(device, part.of(images)))
        seen([(number, Corner(0, 0)) for number in numbers], logits_BKHW)
        return part, work(part, logits_BKHW)

    size = frames_at_once(spec.height, spec.width)
    for _, found in _halving(range(len(images)), passed, size, spec, device, beat):
        yield found


def _halving(
    items: Iterable[Item],
    work: Callable[[list[Item]], Found],
    size: int,
    spec: FrameSpec,
    device: torch.device,
    beat: Beat,
) -> Iterator[tuple[list[Item], Found]]:
    """Yield what ``work`` makes of so many items at once, or of half as many from where memory is too
    small.
    """
    remaining = iter(items)
    waiting: list[Item] = []
    while True:
        waiting += islice(remaining, max(0, size - len(waiting)))
        if not waiting:
            return
        batch = waiting[:size]
        outcome = attempt(device, work, batch)
        if not isinstance(outcome, TooLarge):
            del waiting[: len(batch)]
            yield batch, outcome
            beat()
            continue
        empty_cache(device)
        if len(batch) == 1:
            raise DoesNotFitError(
                f"a single frame of {spec.height} x {spec.width} does not fit through the model "
                f"into the memory of {device}: "
                f"take a smaller model or a device with more memory ({outcome.reason})"
            )
        size = len(batch) // 2


def _as_logits(probable_SHW: Tensor, spec: FrameSpec) -> Tensor:
    """Return logits (1, K, H, W) whose softmax among the scored classes these probabilities are."""
    logits_1KHW = torch.full(
        (1, spec.num_classes, *probable_SHW.shape[1:]), math.log(LEAST), device=probable_SHW.device
    )
    logits_1KHW[0, list(spec.scored)] = probable_SHW.clamp_min(LEAST).log()
    return logits_1KHW
