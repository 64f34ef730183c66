"""How long a network takes for one frame, on the device at hand."""

import statistics
import time

import numpy as np
import torch
from torch import nn

from objectives.data.spec import FrameSpec
from objectives.scoring.evaluate import predict

PASSES = 5
MOST_S = 0.25  # in all; a network that is slower is timed once


def latency_s(segmenter: nn.Module, spec: FrameSpec, *, device: torch.device) -> float:
    """Return the seconds from one raw frame to its labels on the host: the median of five passes, or of
    those that a quarter of a second has time for, after one that counts only if there is none else. Leaves the
    model in evaluation mode.

    Raises:
        DoesNotFitError: Memory is too small for a single frame.
    """
    kind = np.uint8 if spec.max_value == 255 else np.uint16
    frame_1HWC = np.zeros((1, spec.height, spec.width, spec.channels), kind)
    taken = list[float]()
    while len(taken) <= PASSES and sum(taken) < MOST_S:
        start = time.perf_counter()
        predict(segmenter, frame_1HWC, spec, device=device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:] or taken)
