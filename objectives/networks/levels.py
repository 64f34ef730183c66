"""How many filters each level of a network has; known without building it."""

from objectives.config import BackgroundUNet, ConvStack, DeepLab, DoubleUNet, NestedUNet, UNet

OwnModel = UNet | NestedUNet | DoubleUNet | DeepLab | ConvStack | BackgroundUNet  # every family that is written here


def level_filters(model: OwnModel) -> list[int]:
    """Return the filters of each level, from full size (0) to the bottleneck (depth), rounded.

    A stack of convolutions has ``depth`` levels, all of full size, and no bottleneck. Of a network with a second one for
    the background, the levels of the first are meant.
    """
    levels = model.depth if isinstance(model, ConvStack) else model.depth + 1
    return [round(model.base_filters * model.growth**level) for level in range(levels)]
