"""Frames in a few words, of which a test says what it is about."""

from collections.abc import Sequence
from typing import Any

from objectives.data.reading.classes import palette
from objectives.data.spec import FrameSpec


def frame_spec(
    size: tuple[int, int], classes: Sequence[str], channels: int = 1, **said: Any
) -> FrameSpec:
    """Of 8-bit frames of this height and width, whose label 0 is ignored and all others are scored, but for what
    is ``said``.
    """
    ignored = said.get("ignore_label", 0)
    usual: dict[str, Any] = {
        "max_value": 255,
        "mean": (0.4,) * channels,
        "std": (0.2,) * channels,
        "colours": palette(len(classes)),
        "ignore_label": ignored,
        "scored": tuple(label for label in range(len(classes)) if label != ignored),
    }
    return FrameSpec(
        height=size[0],
        width=size[1],
        channels=channels,
        class_names=tuple(classes),
        **usual | said,
    )
