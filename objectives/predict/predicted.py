"""A predicted image on its way to a file. Imports no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from objectives.data.reading.banded import ExtraTag
from objectives.predict.layers import Layer, Layers
from objectives.predict.strips import joined


@dataclass(frozen=True)
class PredictedImage:
    """Layers of one image in strips from above to below, which are made as they are taken.

    ``georeference`` are tags of the image's file that are those of its mask, too; ``as_tiff`` where the mask may be
    too large for anything but a TIFF.
    """

    name: str
    height: int
    width: int
    layers: Sequence[Layer]
    class_names: Sequence[str]
    strips: Iterator[Layers]
    georeference: tuple[ExtraTag, ...] = ()
    as_tiff: bool = False

    def whole(self) -> Layers:
        """Return its layers as a whole."""
        return joined(self.strips)
