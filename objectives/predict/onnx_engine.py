"""Prediction by a bundle's ONNX program alone, without torch: numpy, OpenCV and ONNX Runtime."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, final

import cv2
import numpy as np
import numpy.typing as npt

from objectives.bundle.files import ONNX, open_bundle
from objectives.data.preparing.resize import resize_image
from objectives.device.portions import frames_at_once
from objectives.errors import UserError
from objectives.predict.layers import Layer, Opinion, no_disagreement
from objectives.predict.strips import Answer, alike_batches
from objectives.program.settings import Flip, FlipsWanted, ProgramSettings, sensible_flips, ways_of
from objectives.windows.layout import Windows
from objectives.windows.mosaic import Strip, Tile, batches, stitched, tiles_of

LEAST = np.finfo(np.float32).tiny  # of a probability whose logarithm is taken
ALONE = "ONNX Runtime has the average of members alone (--engine torch has each)"
Floats = npt.NDArray[np.float32]


@final
class OnnxEngine:
    """The program in a session of ONNX Runtime on the CPU; ``flips`` are done here, beside those
    that are inside it.
    """

    def __init__(
        self, session: Any, settings: ProgramSettings, flips: tuple[Flip, ...] = ()
    ) -> None:
        self.session = session
        self.spec = settings.spec
        self.no_disagreement = no_disagreement(settings) or ALONE
        self.scored = np.array(self.spec.scored, dtype=np.uint8)
        self.ways = ways_of(flips)

    @classmethod
    def load(cls, directory: Path, *, device: str, flips: FlipsWanted) -> Self:
        """Return the engine of the bundle in ``directory``.

        Raises:
            UserError: The bundle cannot be used, or ONNX Runtime cannot run it, or not on this
                device or with these flips.
        """
        if device not in ("cpu", "auto"):
            raise UserError(
                f"ONNX Runtime predicts on the CPU here, got --device {device}; use --device cpu "
                f"or --engine torch"
            )
        files = open_bundle(directory, networks=False)
        inside = files.settings.flips
        if flips == "off" and inside:
            raise UserError(
                f"{directory}/{ONNX} flips inside ({' and '.join(inside)}): use --engine torch for "
                f"--flips off"
            )
        if flips == "on" and not inside and files.settings.combining == "stack":
            raise UserError(
                f"{directory}/{ONNX} is a stack, which flips inside or not at all: use --engine "
                f"torch for --flips on"
            )
        outside = sensible_flips(files.settings) if flips == "on" and not inside else ()
        return cls(_session(files.contents[ONNX], directory), files.settings, outside)

    def answers(self, images: Iterable[np.ndarray], wanted: Sequence[Layer]) -> Iterator[Answer]:
        """Yield the wanted layers of raw images (H, W, C)."""
        assert "disagreement" not in wanted, self.no_disagreement
        for strip in self._strips(images):
            labels_HW = self.scored[strip.values.argmax(axis=0)]
            opinion = Opinion(labels_HW, partial(np.asarray, strip.values), self.spec)
            yield Strip(strip.frame, strip.rows, opinion.layers(wanted))

    def _strips(self, images: Iterable[np.ndarray]) -> Iterator[Strip[Floats]]:
        """Yield the logarithms (S, rows, W) of the probabilities of the scored classes, at the images' sizes.

        Logits are what the torch model resizes. Logarithms of the probabilities differ from them by
        one number for each pixel, which is the same for all classes, also after resizing: the
        highest is that of the same class, and their softmax is the same.
        """
        if windows := self.spec.windows:
            for frame, rows, probable_SHW in stitched(
                self._windows(images, windows), windows, lambda array: array
            ):
                yield Strip(frame, rows, np.log(np.maximum(probable_SHW, LEAST)))
            return
        for first, alike in alike_batches(images, self.spec):
            for number, logs_SHW in enumerate(self._resized(alike), start=first):
                yield Strip(number, slice(0, logs_SHW.shape[1]), logs_SHW)

    def _windows(
        self, images: Iterable[np.ndarray], windows: Windows
    ) -> Iterator[tuple[list[Tile], Floats]]:
        size = frames_at_once(windows.height, windows.width)
        for tiles in batches(tiles_of(images, windows), size):
            yield tiles, self._probabilities(np.stack([tile.seen(windows) for tile in tiles]))

    def _resized(self, images: Sequence[np.ndarray]) -> Iterator[Floats]:
        """Yield the same (S, H, W) of each of some images of one size, which the program sees at its own."""
        spec = self.spec
        height, width = images[0].shape[:2]
        sized_BHWC = np.stack([resize_image(image, spec.height, spec.width) for image in images])
        for each_SHW in self._probabilities(sized_BHWC):
            logs_SHW = np.log(np.maximum(each_SHW, LEAST))
            if (height, width) == (spec.height, spec.width):
                yield logs_SHW
                continue
            yield np.stack(
                [
                    cv2.resize(plane_HW, (width, height), interpolation=cv2.INTER_LINEAR)
                    for plane_HW in logs_SHW
                ]
            )

    def _probabilities(self, images_NHWC: np.ndarray) -> Floats:
        """Of the scored classes, (N, S, H, W)."""
        pixels_NCHW = images_NHWC.transpose(0, 3, 1, 2).astype(np.float32)
        total = np.zeros((), dtype=np.float32)
        for axes in self.ways:
            seen = np.ascontiguousarray(np.flip(pixels_NCHW, axes))
            (mapped_NKHW,) = self.session.run(["probabilities"], {"pixels": seen})
            total = total + np.flip(mapped_NKHW[:, self.scored], axes)
        return (total / len(self.ways)).astype(np.float32)


def _session(model: bytes, directory: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime has an error for each way in which a model can be wrong, with no common base
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"ONNX Runtime cannot run {directory}/{ONNX}: {reason}; export it again"
        ) from error
