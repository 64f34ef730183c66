"""What the exported programs compute, as a torch module: raw pixels in, labels and probabilities
out.
"""

import copy
from typing import final

import torch
from torch import Tensor, nn

from objectives.data.spec import FrameSpec
from objectives.program.segmenter import class_probabilities, predict_labels


@final
class PixelProgram(nn.Module):
    """``pixels`` (N, C, H, W) float32, raw -> ``labels`` and ``probabilities``.

    Labels are uint8 (N, H, W); probabilities float32 (N, K, H, W), the softmax over the scored
    classes and 0 for all others.
    """

    scored: Tensor

    def __init__(self, segmenter: nn.Module, spec: FrameSpec) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.spec = spec
        self.register_buffer("scored", torch.tensor(spec.scored), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and probabilities of raw pixels."""
        logits_BKHW = self.segmenter(pixels).float()
        probabilities = class_probabilities(logits_BKHW, self.scored)
        return predict_labels(logits_BKHW, self.spec).to(torch.uint8), probabilities


def pixel_program(segmenter: nn.Module, spec: FrameSpec) -> PixelProgram:
    """Return the program of a copy of a model, on the CPU and in evaluation mode; every tensor is
    contiguous and by itself.

    torch.export saves whole storages: a channels-last weight would be taken for a slice of one.
    """
    program = PixelProgram(copy.deepcopy(segmenter).cpu(), spec).eval()
    for tensor in (*program.parameters(), *program.buffers()):
        tensor.data = tensor.detach().clone(memory_format=torch.contiguous_format)
    return program
