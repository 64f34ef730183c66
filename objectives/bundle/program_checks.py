"""Exported programs against the torch model that they were made of, on the CPU."""

import io
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from objectives.bundle.pixel_program import pixel_program
from objectives.data.spec import FrameSpec
from objectives.errors import WorldError
from objectives.program.pixels import pixels_BCHW

TOLERANCE = 1e-4  # largest difference of a probability between a program and torch
TIE = 1e-5  # two classes closer than this are equally probable: rounding may pick either

Outputs = tuple[np.ndarray, np.ndarray]  # labels (N, H, W), probabilities (N, K, H, W)
Runner = Callable[[np.ndarray], Outputs]  # of raw pixels (N, C, H, W) float32


@dataclass(frozen=True)
class Comparison:
    """How close a program came to torch over ``frames``; ``ties`` are pixels that differ between
    equally likely classes.
    """

    frames: int
    largest_difference: float
    ties: int
    wrong: int = 0  # pixels with another label and no tie

    @classmethod
    def of(cls, ours: Outputs, theirs: Outputs) -> "Comparison":
        """Of a program's outputs (``theirs``) with those of torch."""
        labels_NHW, probabilities_NKHW = ours
        other_NHW, other_NKHW = theirs
        best_NKHW = np.sort(probabilities_NKHW, axis=1)
        differing = other_NHW != labels_NHW
        tied = differing & (best_NKHW[:, -1] - best_NKHW[:, -2] < TIE)
        largest = float(np.abs(other_NKHW - probabilities_NKHW).max())
        return cls(len(labels_NHW), largest, int(tied.sum()), int((differing & ~tied).sum()))

    def __add__(self, other: "Comparison") -> "Comparison":
        """Over the frames of both; a difference that is no number stays one."""
        largest = max(
            self.largest_difference,
            other.largest_difference,
            key=lambda value: (math.isnan(value), value),
        )
        return Comparison(
            self.frames + other.frames, largest, self.ties + other.ties, self.wrong + other.wrong
        )


def compare_programs(
    runners: Mapping[str, Runner],
    segmenter: nn.Module,
    batches: Iterable[np.ndarray],
    spec: FrameSpec,
) -> dict[str, Comparison]:
    """Compare programs, by name, with torch on batches of raw frames (B, H, W, C), each of one size.

    Raises:
        WorldError: A probability differs by more than 1e-4, or a label does without a tie.
    """
    program = pixel_program(segmenter, spec)
    comparisons: dict[str, Comparison] = {}
    for images_BHWC in batches:
        pixels = pixels_BCHW(images_BHWC).float().contiguous()
        ours = _of_torch(program, pixels)
        for name, run in runners.items():
            more = Comparison.of(ours, run(pixels.numpy()))
            comparisons[name] = comparisons[name] + more if name in comparisons else more
    for name, comparison in comparisons.items():
        _refuse_different(name, comparison)
    return comparisons


def onnx_runner(model: bytes) -> Runner:
    """Runs a serialised ONNX model by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and need not be printed too
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(pixels_NCHW: np.ndarray) -> Outputs:
        labels_NHW, probabilities_NKHW = session.run(
            ["labels", "probabilities"], {"pixels": pixels_NCHW}
        )
        return labels_NHW, probabilities_NKHW

    return run


def torch_export_runner(program: bytes) -> Runner:
    """Runs a saved torch.export program, which this process must have made itself.

    Those that we write hold no pickle, yet `torch.export.load` would unpickle whatever a forger put
    in.
    """
    module = torch.export.load(io.BytesIO(program)).module()

    def run(pixels_NCHW: np.ndarray) -> Outputs:
        return _of_torch(module, torch.from_numpy(pixels_NCHW))

    return run


@torch.inference_mode()
def _of_torch(program: nn.Module, pixels: torch.Tensor) -> Outputs:
    labels_NHW, probabilities_NKHW = program(pixels)
    return labels_NHW.numpy(), probabilities_NKHW.numpy()


def _refuse_different(name: str, comparison: Comparison) -> None:
    if not comparison.largest_difference <= TOLERANCE or comparison.wrong:
        raise WorldError(
            f"{name} differs from torch over {comparison.frames} frames: probabilities by up to "
            f"{comparison.largest_difference:.2g} (allowed {TOLERANCE:g}), {comparison.wrong} "
            f"pixels have another label; "
            "nothing was exported"
        )
