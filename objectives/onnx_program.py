"""The exported ONNX program: raw pixels in, labels and probabilities out, and its comparison with torch."""

import copy
import logging
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from objectives.data.spec import FrameSpec
from objectives.errors import WorldError
from objectives.evaluate import frames_at_once, pixels_BCHW
from objectives.segmenter import Segmenter, predict_labels

TOLERANCE = 1e-4  # largest difference of a probability between ONNX Runtime and torch
TIE = 1e-5  # two classes closer than this are equally probable: rounding may pick either


@final
class OnnxProgram(nn.Module):
    """What ``model.onnx`` computes: ``pixels`` (N, C, H, W) float32, raw -> ``labels`` and ``probabilities``.

    Labels are uint8 (N, H, W); probabilities float32 (N, K, H, W), the softmax over the scored classes and 0 for all others.
    """

    scored: Tensor

    def __init__(self, segmenter: Segmenter, spec: FrameSpec) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.spec = spec
        self.register_buffer("scored", torch.tensor(spec.scored), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and probabilities of raw pixels."""
        logits_BKHW = self.segmenter(pixels).float()
        probable = torch.softmax(logits_BKHW.index_select(1, self.scored), dim=1)
        probabilities = torch.zeros_like(logits_BKHW).index_copy(1, self.scored, probable)
        return predict_labels(logits_BKHW, self.spec).to(torch.uint8), probabilities


def export_onnx(segmenter: Segmenter, spec: FrameSpec) -> bytes:
    """The serialised ONNX model of a trained segmenter, with a free number of frames N and the study's frame size."""
    program = OnnxProgram(copy.deepcopy(segmenter).cpu(), spec).eval()
    example = torch.zeros(2, spec.channels, spec.height, spec.width)
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        exported = torch.onnx.export(
            program,
            (example,),
            input_names=["pixels"],
            output_names=["labels", "probabilities"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("frames", min=1)}},
            dynamo=True,
            verbose=False,
        )
    finally:
        exporter.setLevel(level)
    assert exported is not None
    model = exported.model_proto
    for described in (model, model.graph, *model.graph.node, *model.graph.value_info, *model.graph.initializer):
        del described.metadata_props[:]  # stack traces, with paths of this machine
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class OnnxComparison:
    """How close ONNX Runtime came to torch over ``frames``; ``ties`` are pixels that differ between equally likely classes."""

    frames: int
    largest_difference: float
    ties: int


def compare_programs(model: bytes, segmenter: Segmenter, images_NHWC: np.ndarray, spec: FrameSpec) -> OnnxComparison:
    """Compare a serialised ONNX model with torch on raw frames (N, H, W, C), both on the CPU.

    Raises:
        WorldError: a probability differs by more than 1e-4, or a label does without a tie.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    program = OnnxProgram(copy.deepcopy(segmenter).cpu(), spec).eval()
    largest, wrong, ties = 0.0, 0, 0
    batch = frames_at_once(*images_NHWC.shape[1:3])
    for start in range(0, len(images_NHWC), batch):
        pixels = pixels_BCHW(images_NHWC[start : start + batch]).float().contiguous()
        with torch.inference_mode():
            labels_NHW, probabilities_NKHW = program(pixels)
        other_NHW, other_NKHW = session.run(["labels", "probabilities"], {"pixels": pixels.numpy()})
        largest = max(largest, float(np.abs(other_NKHW - probabilities_NKHW.numpy()).max()))
        differing = other_NHW != labels_NHW.numpy()
        best_NHW = probabilities_NKHW.sort(dim=1).values.numpy()
        tied = differing & (best_NHW[:, -1] - best_NHW[:, -2] < TIE)
        wrong, ties = wrong + int((differing & ~tied).sum()), ties + int(tied.sum())
    if not largest <= TOLERANCE or wrong:
        raise WorldError(
            f"the ONNX program differs from torch over {len(images_NHWC)} frames: probabilities by up to {largest:.2g} "
            f"(allowed {TOLERANCE:g}), {wrong} pixels have another label; nothing was exported"
        )
    return OnnxComparison(len(images_NHWC), largest, ties)
