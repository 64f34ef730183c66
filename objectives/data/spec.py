"""What a network must know of the data: the frame's size and scaling, and the classes. Travels inside the bundle."""

from typing import Annotated

from pydantic import Field

from objectives.config import Frozen

Colour = tuple[int, int, int]  # red, green, blue in 0..255


class FrameSpec(Frozen):
    """Shape, scaling and classes of the frames of one study.

    A raw pixel p becomes ``(p / max_value - mean[c]) / std[c]``; mean and std come from the training part alone.
    Labels are 0..K-1 in the order of ``class_names``; pixels of ``ignore_label`` are neither trained on nor scored, and
    only ``scored`` labels are ever predicted.
    """

    height: int = Field(ge=1)
    width: int = Field(ge=1)
    channels: int = Field(ge=1)
    max_value: int = Field(ge=1)  # 255 for 8-bit frames, 65535 for 16-bit ones
    mean: tuple[float, ...]  # one per channel, of pixels scaled to 0..1
    std: tuple[Annotated[float, Field(gt=0.0)], ...]
    class_names: tuple[str, ...] = Field(min_length=2)
    colours: tuple[Colour, ...]
    ignore_label: int | None
    scored: tuple[int, ...] = Field(min_length=1)

    @property
    def num_classes(self) -> int:
        """K: how many labels there are, the ignored one included."""
        return len(self.class_names)
