"""Which network a trial has: a value of one of the families."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Union

from pydantic import Field

from objectives.config.foreign import Architecture, ForeignNetwork, foreign_networks
from objectives.config.parts import ReadWhile
from objectives.config.pretrained import Startable


class Levelled(Startable):
    """A family that is written here: level i has ``base_filters * growth**i`` filters, rounded;
    ``depth`` is the last one.
    """

    halves: ClassVar[bool] = True  # each level sees the frames at half the size of the one before

    if TYPE_CHECKING:  # fields of each family, with its own bounds
        depth: int
        base_filters: int
        growth: float

    @property
    def halvings(self) -> int:
        """How often it halves the frames."""
        return self.depth if self.halves else 0

    @property
    def level_filters(self) -> list[int]:
        """The filters of each level, from full size (0) to the bottleneck (depth).

        A family that does not halve has ``depth`` levels and no bottleneck. Of a network with a
        second one for the background, the levels of the first are meant.
        """
        return [
            round(self.base_filters * self.growth**level)
            for level in range(self.depth + self.halves)
        ]


Block = Literal["plain", "residual"]
Norm = Literal["batch", "group"]
Skip = Literal["concat", "attention", "gated", "channel_attention", "spatial_channel_attention"]
Up = Literal["transpose", "bilinear", "nearest"]
Bottleneck = Literal[
    "plain",
    "residual",
    "dilated",
    "squeeze_excitation",
    "dilated_squeeze_excitation",
    "dilated_sequence_squeeze_excitation",  # in place of the block, the others follow it
]


class UNet(Levelled):
    """Composable U-Net (Ronneberger et al. 2015): level i has ``base_filters * growth**i`` filters;
    i = depth at the bottom.
    """

    kind: Literal["unet"] = "unet"
    depth: int = Field(3, ge=2, le=5)  # number of downsamplings
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    kernel_size: Literal[3, 5, 7] = 3
    block: Block = "plain"
    skip: Skip = "concat"
    up: Up = "transpose"
    bottleneck: Bottleneck = "plain"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)
    deep_supervision: bool = False  # a head at every level of the way up takes part in the loss


class EncoderUNet(Levelled):
    """A U-Net whose way down is an encoder of segmentation-models-pytorch by name.

    ``base_filters``, ``growth`` and ``kernel_size`` are those of the way up, of the bottleneck, and
    of the levels that the encoder has no map of: full size, in most. The fields are the U-Net's, named
    again: in a base of both they would come first, and stored configs of U-Nets have theirs last.
    """

    sized_by: ClassVar[str] = "encoder"

    kind: Literal["encoder_unet"] = "encoder_unet"
    encoder: str = Field("resnet18", min_length=1, max_length=100)
    depth: int = Field(4, ge=2, le=5)  # number of downsamplings
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    kernel_size: Literal[3, 5, 7] = 3
    block: Block = "plain"
    skip: Skip = "concat"
    up: Up = "transpose"
    bottleneck: Bottleneck = "plain"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)
    deep_supervision: bool = False


class NestedUNet(Levelled):
    """U-Net++ (Zhou et al. 2018): every skip is a chain of blocks; levels as in the U-Net."""

    kind: Literal["nested_unet"] = "nested_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    block: Block = "plain"
    # gated: what a node joins is weighed by adaptive gates
    fusion: Literal["concat", "gated"] = "concat"
    bottleneck: Literal["plain", "transformer"] = "plain"
    heads: Annotated[Literal[1, 2, 4, 8], ReadWhile("bottleneck", ("transformer",))] = 4
    up: Up = "bilinear"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)
    deep_supervision: bool = True


class DoubleUNet(Levelled):
    """Two paths side by side: a residual, gated one for detail and a transformer one for context,
    joined before the head.
    """

    kind: Literal["double_unet"] = "double_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    layers: int = Field(1, ge=1, le=6)  # of the transformer
    heads: Literal[1, 2, 4, 8] = 4
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


class DeepLab(Levelled):
    """DeepLabV3 (Chen et al. 2017) with a small encoder: atrous convolutions at ``rate`` times 1, 2
    and 3 side by side.
    """

    kind: Literal["deeplab"] = "deeplab"
    depth: int = Field(2, ge=1, le=4)  # number of downsamplings; the encoder has one level more
    base_filters: int = Field(32, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    rate: int = Field(6, ge=1, le=12)
    block: Block = "plain"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


class ConvStack(Levelled):
    """``depth`` convolutions at full size, each with ReLU, and a 1 x 1 head; depth 0 is the head
    alone.
    """

    halves: ClassVar[bool] = False

    kind: Literal["conv_stack"] = "conv_stack"
    depth: int = Field(3, ge=0, le=6)
    base_filters: Annotated[int, ReadWhile("depth")] = Field(64, ge=4, le=128)
    growth: Annotated[float, ReadWhile("depth")] = Field(2.0, ge=1.0, le=2.5)
    kernel_size: Annotated[Literal[3, 5, 7], ReadWhile("depth")] = 3


class BackgroundUNet(Levelled):
    """Two U-Nets: one tells classes apart; the other, of ``mask_filters``, tells label 0 from the
    rest and masks the first.
    """

    kind: Literal["background_unet"] = "background_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    mask_filters: int = Field(8, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


SmpDecoder = Literal[
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
]


class Smp(Startable):
    """A decoder and an encoder of segmentation-models-pytorch by name.

    Of its decoders DPT (Ranftl et al. 2021) is left out: it is made for vision transformers with
    patches of a fixed size, and refuses every encoder of smp's own.
    """

    sized_by: ClassVar[str] = "encoder"

    kind: Literal["smp"] = "smp"
    decoder: SmpDecoder = "unet"
    encoder: str = Field("resnet18", min_length=1, max_length=100)
    # in its blocks
    attention: Annotated[
        Literal["none", "scse"], ReadWhile("decoder", ("unet", "unetplusplus"))
    ] = "none"


OWN: tuple[type[Architecture], ...] = (
    UNet,
    NestedUNet,
    DoubleUNet,
    DeepLab,
    ConvStack,
    BackgroundUNet,
    EncoderUNet,
    Smp,
)

if TYPE_CHECKING:
    Model = (
        UNet
        | NestedUNet
        | DoubleUNet
        | DeepLab
        | ConvStack
        | BackgroundUNet
        | EncoderUNet
        | Smp
        | ForeignNetwork
    )
else:
    Model = Annotated[Union[(*OWN, *foreign_networks(OWN))], Field(discriminator="kind")]
