"""Prediction by a bundle's ONNX program alone, without torch: numpy, OpenCV and ONNX Runtime."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self, final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from objectives.bundle.files import ONNX, open_bundle
from objectives.data.preparing.resize import resize_image
from objectives.data.spec import FrameSpec
from objectives.errors import UserError
from objectives.program.settings import Flip, FlipsWanted, sensible_flips, ways_of

LEAST = np.finfo(np.float32).tiny  # of a probability whose logarithm is taken
Floats = npt.NDArray[np.float32]


@final
class OnnxEngine:
    """The program in a session of ONNX Runtime on the CPU; ``flips`` are done here, beside those
    that are inside it.
    """

    def __init__(self, session: Any, spec: FrameSpec, flips: tuple[Flip, ...] = ()) -> None:
        self.session = session
        self.spec = spec
        self.scored = np.array(spec.scored, dtype=np.uint8)
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
        return cls(_session(files.contents[ONNX], directory), files.settings.spec, outside)

    def labels(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Labels uint8 (N, H, W) of raw images (H, W, C) of one size."""
        return np.stack([self.scored[logs_SHW.argmax(axis=0)] for logs_SHW in self._logs(images)])

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities float32 (N, K, H, W) of the classes in raw images (H, W, C) of one size."""
        height, width = images[0].shape[:2]
        found = np.zeros((len(images), self.spec.num_classes, height, width), np.float32)
        for place, logs_SHW in enumerate(self._logs(images)):
            found[place, self.scored] = softmax(logs_SHW, axis=0)
        return found

    def _logs(self, images: Sequence[np.ndarray]) -> Iterator[Floats]:
        """Yield the logarithms (S, H, W) of each image's probabilities of the scored classes, at its own
        size.

        Logits are what the torch model resizes. Logarithms of the probabilities differ from them by
        one number for each pixel, which is the same for all classes, also after resizing: the
        highest is that of the same class, and their softmax is the same.
        """
        spec = self.spec
        height, width = images[0].shape[:2]
        sized = [resize_image(image, spec.height, spec.width) for image in images]
        pixels_NCHW = np.stack(sized).transpose(0, 3, 1, 2).astype(np.float32)
        for each_SHW in self._probabilities(pixels_NCHW):
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

    def _probabilities(self, pixels_NCHW: Floats) -> Floats:
        """Of the scored classes, (N, S, H, W)."""
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
