"""How frames are changed for training."""

from typing import Annotated, Literal

from pydantic import Field

from objectives.config.parts import Frozen, ReadWhile, Share

InGeometry = Annotated[bool, ReadWhile("intensity"), ReadWhile("geometry", (True,))]
InElastic = Annotated[bool, ReadWhile("intensity"), ReadWhile("elastic", (True,))]
InPhotometric = Annotated[bool, ReadWhile("intensity"), ReadWhile("photometric", (True,))]


class Augment(Frozen):
    """Augmentation: one intensity for all groups, a switch for each and for each transform of one.

    ``copy_paste`` has a share of its own.
    """

    intensity: float = Field(0.5, ge=0.0, le=1.0)
    flip: Annotated[bool, ReadWhile("intensity")] = True  # left to right
    vertical_flip: Annotated[bool, ReadWhile("intensity")] = False
    geometry: Annotated[bool, ReadWhile("intensity")] = True  # the group of the four that follow
    rotation: InGeometry = True
    shift: InGeometry = True
    zoom: InGeometry = True
    shear: InGeometry = True
    # the group of these two, of which a frame has one
    elastic: Annotated[bool, ReadWhile("intensity")] = False
    elastic_waves: InElastic = True
    grid_distortion: InElastic = True
    photometric: Annotated[bool, ReadWhile("intensity")] = True  # the group of these five
    brightness: InPhotometric = True
    contrast: InPhotometric = True
    gamma: InPhotometric = True
    noise: InPhotometric = True
    blur: InPhotometric = True
    # of frames that appear several times in an epoch, the first appearance is as it is
    keep_originals: bool = False
    # share of the frames without the rarest class that get a piece of it pasted in
    copy_paste: Share = 0.0
    copy_paste_edge: Annotated[Literal["feathered", "hard"], ReadWhile("copy_paste")] = "feathered"
