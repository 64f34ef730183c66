"""What the server that forks trials does once, so that no trial pays for it. No tensor operation, no CUDA call."""

import atexit
import os

import matplotlib.backends.backend_agg
import torch._dynamo  # the first optimiser of a process imports it

import search.child
from objectives.pictures import curve_picture
from objectives.processor import Processor
from objectives.results import EpochResult
from search.lifeline import end_with_parent

__all__ = ["matplotlib", "search", "torch"]

end_with_parent()
ON = Processor("cpu", "any")
FIRST = [
    EpochResult(number=epoch, score=epoch / 10, loss=1.0, learning_rate=1e-3, iou=(), seconds=1.0, scored_on=ON)
    for epoch in (1, 2)
]
curve_picture(FIRST)  # the first picture of a process loads fonts, and much else
atexit.register(os._exit, 0)  # taken down in order, torch would keep its memory for ten seconds more
