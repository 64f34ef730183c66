"""What the server that forks trials does once, so that no trial pays for it. No tensor operation,
no CUDA call.
"""

import atexit
import os

import matplotlib.backends.backend_agg
import numpy as np
import torch._dynamo  # the first optimiser of a process imports it

import search.process.child
from objectives.data.spec import FrameSpec
from objectives.device.processor import Processor
from objectives.lifeline import end_with_parent
from objectives.pictures.charts import curve_picture
from objectives.pictures.panels import prediction_panel
from objectives.training.results import EpochResult

__all__ = ["matplotlib", "search", "torch"]

end_with_parent()
ON = Processor("cpu", "any")
FIRST = [
    EpochResult(
        number=epoch,
        score=epoch / 10,
        loss=1.0,
        learning_rate=1e-3,
        iou=(),
        seconds=1.0,
        scored_on=ON,
    )
    for epoch in (1, 2)
]
LABELS_NHW = np.zeros((1, 8, 8), np.uint8)
SPEC = FrameSpec(
    height=8,
    width=8,
    channels=1,
    max_value=255,
    mean=(0.5,),
    std=(0.5,),
    class_names=("one", "two"),
    colours=((0, 0, 0), (255, 255, 255)),
    ignore_label=None,
    scored=(0, 1),
)
curve_picture(FIRST)  # the first picture of a process loads fonts, and much else
prediction_panel(LABELS_NHW[..., None], LABELS_NHW, LABELS_NHW, SPEC)
# taken down in order, torch would keep its memory for ten seconds more
atexit.register(os._exit, 0)
