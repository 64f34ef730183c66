"""What frames are like, in the few words that a test is about."""

from collections.abc import Sequence
from typing import Any

from objectives.data.reading.classes import palette
from objectives.data.spec import FrameSpec


def frame_spec(
    size: tuple[int, int], classes: Sequence[str], channels: int = 1, **said: Any
) -> FrameSpec:
    """Return what frames of this height and width are like: of 8 bits, label 0 ignored and all others scored, but
    for what is ``said``.
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
