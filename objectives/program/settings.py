"""What a bundle's ``config.json`` holds: which networks its program combines, for which frames.
Imports no torch.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from objectives.config import Config, Frozen
from objectives.data.spec import FrameSpec
from objectives.errors import one_line

FORMAT_VERSION: Final = 2
MOST_MEMBERS = 64  # a bundle that states more is no bundle of ours
OLD_FORMAT = 1  # one network, no flips, no torch.export program

Flip = Literal["horizontal", "vertical"]
Combining = Literal["average", "stack"]
AnySize = Literal["any"]
# auto: where it raises the score, or as the bundle was exported
FlipsWanted = Literal["auto", "on", "off"]
AXES: dict[Flip, int] = {"horizontal": 3, "vertical": 2}  # of (B, C, H, W)


class Member(Frozen):
    """One network of a bundle and its share of an average; shares need not add up to 1. A stack has
    no shares.
    """

    config: Config
    weight: float = Field(1.0, gt=0.0, le=1e6)


class Axes(Frozen):
    """What the exported programs take along each axis: any size, or so many pixels."""

    frames: AnySize = "any"
    height: AnySize | int
    width: AnySize | int


class ProgramSettings(Frozen):
    """A bundle's program: members' probabilities, each over the frame as it is and flipped
    ``flips`` ways, ``combining`` them.

    That is their weighted average, or a second model that reads them. With both flips a frame is
    seen four ways. ``axes`` are those of the exported programs; the torch model takes frames of the
    spec's size.
    """

    format: Literal[2] = FORMAT_VERSION
    members: tuple[Member, ...] = Field(min_length=1, max_length=MOST_MEMBERS)
    combining: Combining = "average"
    flips: tuple[Flip, ...] = ()
    spec: FrameSpec
    axes: Axes

    @classmethod
    def of(
        cls,
        members: tuple[Member, ...],
        spec: FrameSpec,
        flips: tuple[Flip, ...] = (),
        combining: Combining = "average",
    ) -> Self:
        """Before any program is exported: the axes are the spec's."""
        return cls(
            members=members, combining=combining, flips=flips, spec=spec, axes=fixed_axes(spec)
        )

    @classmethod
    def single(cls, config: Config, spec: FrameSpec) -> Self:
        """Of one network, which sees each frame as it is."""
        return cls.of((Member(config=config),), spec)

    @property
    def plain(self) -> bool:
        """Whether the program is one network on frames as they are: nothing is averaged."""
        return len(self.members) == 1 and not self.flips and self.combining == "average"

    @model_validator(mode="after")
    def _flips_once(self) -> Self:
        if len(set(self.flips)) != len(self.flips):
            raise ValueError(f"flips must not repeat, got {', '.join(self.flips)}")
        return self


def fixed_axes(spec: FrameSpec) -> Axes:
    """Any number of frames, all of the spec's size."""
    return Axes(height=spec.height, width=spec.width)


def read_settings(stored: Mapping[str, Any], *, networks: bool = True) -> ProgramSettings:
    """Return the settings that a bundle of this version or the one before holds; without
    ``networks`` as far as ONNX needs them.

    Raises:
        ValueError: They are of another version, or not whole.
    """
    match stored.get("format"):
        case 2 if networks:
            return ProgramSettings.model_validate(stored)
        case 2:
            members = [
                {**member, "config": {"augment": member["config"]["augment"]}}
                for member in stored["members"]
            ]
            return ProgramSettings.model_validate({**stored, "members": members})
        case 1:
            return ProgramSettings.single(
                Config.model_validate(stored["config"]), FrameSpec.model_validate(stored["spec"])
            )
        case other:
            shown = one_line(str(other), 20)
            raise ValueError(
                f"it has bundle format {shown}, this program reads {OLD_FORMAT} and "
                f"{FORMAT_VERSION}"
            )


def sensible_flips(settings: ProgramSettings) -> tuple[Flip, ...]:
    """Return the flips that are worth trying: left to right always; upside down where every member
    was trained on such frames.

    Most scenes look the same in a mirror and no scene with a sky does on its head, whatever a
    network has learned to bear.
    """
    augments = [member.config.augment for member in settings.members]
    upside_down = all(augment.vertical_flip and augment.intensity > 0 for augment in augments)
    return ("horizontal", "vertical") if upside_down else ("horizontal",)


def ways_of(flips: Iterable[Flip]) -> tuple[tuple[int, ...], ...]:
    """Return the ways in which a frame is seen, each by the axes of (B, C, H, W) that it flips: as
    it is, then flipped.

    Two flips give four ways, both at once among them.
    """
    ways: tuple[tuple[int, ...], ...] = ((),)
    for flip in flips:
        ways += tuple((*axes, AXES[flip]) for axes in ways)
    return ways
