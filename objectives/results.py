"""What one epoch of training gave. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave; ``number`` counts from 1, ``loss`` is the mean over its steps, ``score`` that of the average."""

    number: int
    score: float
    loss: float
    learning_rate: float
    iou: tuple[float, ...]  # per class, NaN for a class that neither occurs nor is predicted
    seconds: float
