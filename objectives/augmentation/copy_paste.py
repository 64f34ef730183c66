"""Copy-paste: pieces of the rarest class, cut from training frames, are pasted into those that have
none.

Source: Ghiasi et al. 2021 (arXiv:2012.07177), section 3, with components of one class instead of
labelled instances.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import assert_never

import cv2
import numpy as np

from objectives.augmentation.transforms import Augmenter
from objectives.config import Augment
from objectives.data.dataset import Dataset, rare_frames, rarest_class

# pixels of a piece, 3 x 3: a smaller one has no inside, and is as often a slip of the labeller's as
# a thing
SMALLEST = 9
# in the pool: every process that augments has one
MOST_PIECES = 2_000
MOST_BYTES = 64 * 2**20
MOST_AT_ONCE = 3  # pieces pasted into one frame
SCALES = (0.5, 1.5)
MARGIN = 3  # pixels around a piece that are cut out with it, for its feathered edge
# deviation of the edge's Gaussian, pixels: of the surroundings 62 %, 13 % and 1 % show next to the
# piece
FEATHER = 1.0
# keep these draws apart from others of the same seed
_STREAM = 1
_FRAMES = 2


@dataclass(frozen=True)
class Piece:
    """A connected thing with a little of what surrounds it."""

    image_HWC: np.ndarray  # uint8 or uint16
    mask_HW: np.ndarray  # bool, the thing itself


class FrameAugmenter:
    """What training does to a frame: copy-paste, then the transforms; a function of frame, mask and
    seed alone.

    Copy-paste has a share of its own: it happens at intensity 0, too.
    """

    def __init__(self, augment: Augment, data: Dataset) -> None:
        self.paste = CopyPaste(augment, data)
        self.transform = Augmenter(augment, data.spec)

    def __call__(
        self, image_HWC: np.ndarray, mask_HW: np.ndarray, seed: int, share: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the augmented frame and mask; the originals stay as they are. See `Augmenter` for shapes
        and the seed.

        ``share`` is the chance of copy-paste for this frame, where it is not that of all.
        """
        return self.transform(*self.paste(image_HWC, mask_HW, seed, share), seed)


class CopyPaste:
    """Pastes one to three pieces of the rarest class into a share of the frames that have no pixel
    of it.

    Each is rotated and scaled at random; its centre falls on a pixel that is not ignored, as far as
    the frame's border allows. What is ignored stays in front: there neither frame nor mask changes.
    Without pieces nothing does.
    """

    def __init__(self, augment: Augment, data: Dataset) -> None:
        self.share = augment.copy_paste
        self.edge = augment.copy_paste_edge
        self.data = data
        self.label = rarest_class(data)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The pool of pieces, cut out at the first use."""
        return find_pieces(self.data)

    def __call__(
        self, image_HWC: np.ndarray, mask_HW: np.ndarray, seed: int, share: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frame and mask with what was pasted, as copies; the same arrays where nothing was."""
        share = self.share if share is None else share
        if share == 0.0:
            return image_HWC, mask_HW
        generator = np.random.default_rng((seed, _STREAM))
        if generator.random() >= share or (mask_HW == self.label).any() or not self.pieces:
            return image_HWC, mask_HW
        ignored = self.data.spec.ignore_label
        labelled_HW = np.ones(mask_HW.shape, bool) if ignored is None else mask_HW != ignored
        if not labelled_HW.any():
            return image_HWC, mask_HW
        image_HWC, mask_HW = image_HWC.copy(), mask_HW.copy()
        for _ in range(int(generator.integers(1, MOST_AT_ONCE, endpoint=True))):
            self._paste_one(image_HWC, mask_HW, labelled_HW, generator)
        return image_HWC, mask_HW

    def _paste_one(
        self,
        image_HWC: np.ndarray,
        mask_HW: np.ndarray,
        labelled_HW: np.ndarray,
        generator: np.random.Generator,
    ) -> None:
        piece = self.pieces[int(generator.integers(len(self.pieces)))]
        angle = generator.uniform(0.0, 360.0)
        scale = generator.uniform(*SCALES)
        piece = turned(piece, angle, scale, most=mask_HW.shape)
        spot = _place(piece.mask_HW.shape, labelled_HW, generator)
        mask_HW[spot][piece.mask_HW & labelled_HW[spot]] = self.label
        alpha_HW1 = (self._alpha(piece.mask_HW) * labelled_HW[spot])[..., None]
        blended_HWC = alpha_HW1 * piece.image_HWC + (1 - alpha_HW1) * image_HWC[spot]
        image_HWC[spot] = np.rint(blended_HWC).astype(image_HWC.dtype)

    def _alpha(self, mask_HW: np.ndarray) -> np.ndarray:
        """Return how much of the piece shows, 0..1: all of what its label covers; feathered, a
        fading edge around that, too.
        """
        alpha_HW = mask_HW.astype(np.float32)
        match self.edge:
            case "hard":
                return alpha_HW
            case "feathered":
                blurred_HW = cv2.GaussianBlur(
                    alpha_HW, (0, 0), FEATHER, borderType=cv2.BORDER_CONSTANT
                )
                # a straight edge is blurred to one half
                return np.maximum(alpha_HW, np.minimum(2 * blurred_HW, 1.0))
            case _:
                assert_never(self.edge)


def pasted_frames(data: Dataset, share: float, seed: int) -> np.ndarray:
    """Return a share of the training frames without the rarest class, drawn once: each of them gets
    pieces. Sorted int64 indices.
    """
    without = np.setdiff1d(data.parts["train"], rare_frames(data))
    if not find_pieces(data):
        return without[:0]
    generator = np.random.default_rng((seed, _FRAMES))
    return np.sort(generator.choice(without, round(share * len(without)), replace=False))


def find_pieces(data: Dataset) -> tuple[Piece, ...]:
    """Return the components of the rarest class in the training part; where they are too many or
    too large, those of some frames.
    """
    label = rarest_class(data)
    room = MOST_BYTES
    pieces = list[Piece]()
    for frame in np.random.default_rng(0).permutation(data.parts["train"]):
        for piece in cut_out(
            np.asarray(data.images[frame]), np.asarray(data.masks[frame]) == label
        ):
            room -= piece.image_HWC.nbytes + piece.mask_HW.nbytes
            if room < 0 or len(pieces) == MOST_PIECES:
                return tuple(pieces)
            pieces.append(piece)
    return tuple(pieces)


def cut_out(image_HWC: np.ndarray, mask_HW: np.ndarray) -> Iterator[Piece]:
    """Yield the connected components (8 neighbours) of a mask (bool), each with its part of the
    frame; not the tiniest.
    """
    count, components_HW, facts, _ = cv2.connectedComponentsWithStats(
        mask_HW.astype(np.uint8), connectivity=8
    )
    for component in range(1, count):
        left, top, width, height, pixels = facts[component].tolist()
        if pixels >= SMALLEST:
            rows = slice(max(0, top - MARGIN), top + height + MARGIN)
            columns = slice(max(0, left - MARGIN), left + width + MARGIN)
            yield Piece(image_HWC[rows, columns].copy(), components_HW[rows, columns] == component)


def turned(piece: Piece, angle: float, scale: float, *, most: tuple[int, ...]) -> Piece:
    """Return the piece rotated by degrees and scaled, less than asked when it would not fit into
    ``most`` (H, W).
    """
    height, width = piece.mask_HW.shape
    sine = abs(math.sin(math.radians(angle)))
    cosine = abs(math.cos(math.radians(angle)))
    box = (height * cosine + width * sine, height * sine + width * cosine)
    scale = min(scale, most[0] / box[0], most[1] / box[1])
    rows, columns = (
        min(limit, max(1, math.ceil(scale * side - 1e-6)))
        for limit, side in zip(most, box, strict=True)
    )
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)
    matrix[:, 2] += ((columns - width) / 2, (rows - height) / 2)
    mask_HW = cv2.warpAffine(
        piece.mask_HW.astype(np.uint8), matrix, (columns, rows), flags=cv2.INTER_NEAREST
    )
    planes = [  # channel by channel: OpenCV takes four at most in one call
        cv2.warpAffine(
            np.ascontiguousarray(plane_HW),
            matrix,
            (columns, rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for plane_HW in np.moveaxis(piece.image_HWC, 2, 0)
    ]
    return Piece(np.stack(planes, axis=2), mask_HW.astype(bool))


def _place(
    size: tuple[int, ...], labelled_HW: np.ndarray, generator: np.random.Generator
) -> tuple[slice, slice]:
    """Rows and columns of a box of this size around a labelled pixel, moved so that it lies in the
    frame.
    """
    centre = divmod(int(generator.choice(np.flatnonzero(labelled_HW))), labelled_HW.shape[1])
    starts = [
        min(max(0, middle - side // 2), whole - side)
        for middle, side, whole in zip(centre, size, labelled_HW.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + size[0]), slice(starts[1], starts[1] + size[1])
