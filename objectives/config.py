"""One trial's configuration: a frozen, typed, complete value. Imports no torch.

Field paths (``model.depth``, ``loss.dice``, ``optimiser.learning_rate``) are the names that spaces, ``--set``, the
dashboard and error messages use. A union field (model, optimiser, schedule, class weights) is told apart by its ``kind``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """A value that never changes and accepts no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class ReadWhile:
    """A field's condition: it is read while ``governor`` is above 0 or, where there are ``options``, is one of them.

    ``governor`` is a field of the same section, or a path in another. Of several conditions all must hold.
    """

    governor: str
    options: tuple[str | bool, ...] = ()


@dataclass(frozen=True)
class Argument:
    """A field is an argument, by this name, of the loss while whose weight is above 0 it is read."""

    name: str


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


class UNet(Frozen):
    """Composable U-Net (Ronneberger et al. 2015): level i has ``base_filters * growth**i`` filters; i = depth at the bottom."""

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


class NestedUNet(Frozen):
    """U-Net++ (Zhou et al. 2018): every skip is a chain of blocks; levels as in the U-Net."""

    kind: Literal["nested_unet"] = "nested_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    block: Block = "plain"
    fusion: Literal["concat", "gated"] = "concat"  # gated: what a node joins is weighed by adaptive gates
    bottleneck: Literal["plain", "transformer"] = "plain"
    heads: Annotated[Literal[1, 2, 4, 8], ReadWhile("bottleneck", ("transformer",))] = 4
    up: Up = "bilinear"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)
    deep_supervision: bool = True


class DoubleUNet(Frozen):
    """Two paths side by side: a residual, gated one for detail and a transformer one for context, joined before the head."""

    kind: Literal["double_unet"] = "double_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    layers: int = Field(1, ge=1, le=6)  # of the transformer
    heads: Literal[1, 2, 4, 8] = 4
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


class DeepLab(Frozen):
    """DeepLabV3 (Chen et al. 2017) with a small encoder: atrous convolutions at ``rate`` times 1, 2 and 3 side by side."""

    kind: Literal["deeplab"] = "deeplab"
    depth: int = Field(2, ge=1, le=4)  # number of downsamplings; the encoder has one level more
    base_filters: int = Field(32, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    rate: int = Field(6, ge=1, le=12)
    block: Block = "plain"
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


class ConvStack(Frozen):
    """``depth`` convolutions at full size, each with ReLU, and a 1 x 1 head; depth 0 is the head alone."""

    kind: Literal["conv_stack"] = "conv_stack"
    depth: int = Field(3, ge=0, le=6)
    base_filters: Annotated[int, ReadWhile("depth")] = Field(64, ge=4, le=128)
    growth: Annotated[float, ReadWhile("depth")] = Field(2.0, ge=1.0, le=2.5)
    kernel_size: Annotated[Literal[3, 5, 7], ReadWhile("depth")] = 3


class BackgroundUNet(Frozen):
    """Two U-Nets: one tells classes apart; the other, of ``mask_filters``, tells label 0 from the rest and masks the first."""

    kind: Literal["background_unet"] = "background_unet"
    depth: int = Field(3, ge=2, le=5)
    base_filters: int = Field(16, ge=4, le=128)
    mask_filters: int = Field(8, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    norm: Norm = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


SmpDecoder = Literal[
    "unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "deeplabv3", "deeplabv3plus", "pan", "upernet", "segformer"
]


class Smp(Frozen):
    """A decoder and an encoder of segmentation-models-pytorch by name, with random weights.

    Of its decoders DPT (Ranftl et al. 2021) is left out: it is made for vision transformers with patches of a fixed size, and
    refuses every encoder of smp's own.
    """

    kind: Literal["smp"] = "smp"
    decoder: SmpDecoder = "unet"
    encoder: str = Field("resnet18", min_length=1, max_length=100)
    attention: Annotated[Literal["none", "scse"], ReadWhile("decoder", ("unet", "unetplusplus"))] = "none"  # in its blocks


Model = Annotated[UNet | NestedUNet | DoubleUNet | DeepLab | ConvStack | BackgroundUNet | Smp, Field(discriminator="kind")]


class NoClassWeights(Frozen):
    """Every scored class counts the same per pixel."""

    kind: Literal["none"] = "none"


class InverseFrequency(Frozen):
    """Weight of class k is proportional to (pixel share of k in training) ** -power."""

    kind: Literal["inverse_frequency"] = "inverse_frequency"
    power: float = Field(0.5, ge=0.0, le=1.0)


class GivenClassWeights(Frozen):
    """One weight per class, in label order; the ignored label's entry has no effect."""

    kind: Literal["given"] = "given"
    values: tuple[Annotated[float, Field(ge=0.0)], ...] = Field(min_length=2)


ClassWeights = Annotated[NoClassWeights | InverseFrequency | GivenClassWeights, Field(discriminator="kind")]

Share = Annotated[float, Field(ge=0.0, le=1.0)]
TERM = "the weight of a loss in a mixture"  # what marks such a field
TermWeight = Annotated[float, Field(ge=0.0, le=1.0), TERM]


class Mixture(Frozen):
    """A mixture of losses; the weights of its terms lie on the simplex, so they never rescale the learning rate.

    Of Tversky's index ``alpha`` weighs false positives, 1 - ``alpha`` false negatives; of unified focal ``delta`` weighs the
    rarer side, ``gamma`` is the focus on what is hard or rare.
    """

    cross_entropy: TermWeight = 1.0
    focal: TermWeight = 0.0
    dice: TermWeight = 0.0
    generalised_dice: TermWeight = 0.0
    tversky: TermWeight = 0.0
    unified_focal: TermWeight = 0.0
    jaccard: TermWeight = 0.0
    boundary: TermWeight = 0.0
    focal_gamma: Annotated[float, ReadWhile("focal"), Argument("gamma")] = Field(2.0, ge=0.0, le=8.0)
    tversky_alpha: Annotated[float, ReadWhile("tversky"), Argument("alpha")] = Field(0.3, ge=0.0, le=1.0)
    unified_delta: Annotated[float, ReadWhile("unified_focal"), Argument("delta")] = Field(0.6, ge=0.0, le=1.0)
    unified_gamma: Annotated[float, ReadWhile("unified_focal"), Argument("gamma")] = Field(0.5, ge=0.0, lt=1.0)

    @model_validator(mode="after")
    def _on_simplex(self) -> Self:
        total = sum(getattr(self, term) for term in LOSS_TERMS)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the weights of {', '.join(LOSS_TERMS)} must add up to 1, got {total:g}")
        return self

    def arguments_of(self, term: str) -> Mapping[str, float]:
        """Return the arguments of one loss, by name."""
        return {
            each.name: getattr(self, field)
            for field, info in type(self).model_fields.items()
            for each in info.metadata
            if isinstance(each, Argument) and ReadWhile(term) in info.metadata
        }


LOSS_TERMS = tuple(name for name, info in Mixture.model_fields.items() if TERM in info.metadata)


class Loss(Mixture):
    """What training minimises: a mixture, and the weights of classes in its terms."""

    class_weights: ClassWeights = NoClassWeights()


class NoSecondPhase(Frozen):
    """One mixture from the first epoch to the last."""

    kind: Literal["none"] = "none"


class SecondPhase(Mixture):
    """Another mixture takes over after the share ``start`` of all epochs; class weights stay those of the first."""

    kind: Literal["mixture"] = "mixture"
    start: float = Field(0.5, gt=0.0, lt=1.0)


SecondLoss = Annotated[NoSecondPhase | SecondPhase, Field(discriminator="kind")]


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
    elastic: Annotated[bool, ReadWhile("intensity")] = False  # the group of these two, of which a frame has one
    elastic_waves: InElastic = True
    grid_distortion: InElastic = True
    photometric: Annotated[bool, ReadWhile("intensity")] = True  # the group of these five
    brightness: InPhotometric = True
    contrast: InPhotometric = True
    gamma: InPhotometric = True
    noise: InPhotometric = True
    blur: InPhotometric = True
    keep_originals: bool = False  # of frames that appear several times in an epoch, the first appearance is as it is
    copy_paste: Share = 0.0  # share of the frames without the rarest class that get a piece of it pasted in
    copy_paste_edge: Annotated[Literal["feathered", "hard"], ReadWhile("copy_paste")] = "feathered"


class AdamW(Frozen):
    """AdamW (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0)


class Adam(Frozen):
    """Adam (Kingma and Ba 2015) with L2 regularisation."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(0.0, ge=0.0, le=1.0)


class SGD(Frozen):
    """Stochastic gradient descent with Nesterov momentum (none at momentum 0)."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(5e-2, gt=0.0, le=10.0)
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)


class Lion(Frozen):
    """Lion (Chen et al. 2023): sign of the averaged gradient; wants a tenth of AdamW's rate and ten times its decay."""

    kind: Literal["lion"] = "lion"
    learning_rate: float = Field(3e-4, gt=0.0, le=1.0)
    weight_decay: float = Field(0.1, ge=0.0, le=10.0)


Optimiser = Annotated[AdamW | Adam | SGD | Lion, Field(discriminator="kind")]


class Cosine(Frozen):
    """Linear warm-up over a share of all steps, then half a cosine down to zero."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0.0, le=0.5)


class OneCycle(Frozen):
    """One cycle (Smith and Topin 2018): up to the learning rate over ``warmup`` of all steps, then down."""

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(0.3, ge=0.0, le=0.9)


Watched = Literal["score", "loss"]  # of validation: the mean IoU, which should rise, or the loss, which should fall


class Plateau(Frozen):
    """Multiply the learning rate by ``factor`` when what it watches has got no better for more than ``patience`` epochs."""

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(0.3, gt=0.0, lt=1.0)
    patience: int = Field(5, ge=0, le=100)
    watch: Watched = "score"


Schedule = Annotated[Cosine | OneCycle | Plateau, Field(discriminator="kind")]


class Train(Frozen):
    """How long and on what a trial trains."""

    epochs: int = Field(30, ge=1, le=10_000)
    batch_size: int = Field(32, ge=1, le=4096)
    scale: float = Field(1.0, gt=0.0, le=1.0)  # frames are shrunk by this before the network; scores stay full size
    repeat: int = Field(1, ge=1, le=16)  # every frame appears so often in an epoch
    rare_repeat: int = Field(1, ge=1, le=16)  # frames that hold the rarest class so many times as often
    # copy-paste chooses its frames once, and rare_repeat counts them among those with the class
    rare_pasted: Annotated[bool, ReadWhile("augment.copy_paste")] = False
    steps_per_epoch: int = Field(0, ge=0)  # 0: one pass over the training frames
    early_stopping: int = Field(0, ge=0)  # epochs in which stop_on gets no better before training ends; 0: never
    stop_on: Annotated[Watched, ReadWhile("early_stopping")] = "score"  # the epoch that is kept is that of the best score
    ema: float = Field(0.99, ge=0.0, lt=1.0)  # decay of the averaged weights that are scored; 0: none
    bf16: bool = True  # mixed precision in training, where the device computes bfloat16 natively; scores are always float32
    gradient_clip: float = Field(0.0, ge=0.0)  # largest gradient norm; 0: no clipping


class Config(Frozen):
    """Everything that decides one trial's outcome, besides the data, the seed and the machine."""

    model: Model = UNet()
    loss: Loss = Loss()
    second_loss: SecondLoss = NoSecondPhase()
    augment: Augment = Augment()
    optimiser: Optimiser = AdamW()
    schedule: Schedule = Cosine()
    train: Train = Train()

    @property
    def reads_validation_loss(self) -> bool:
        """Whether anything in training goes by the loss on the validation part, which then is computed each epoch."""
        stops = self.train.early_stopping > 0 and self.train.stop_on == "loss"
        return stops or (isinstance(self.schedule, Plateau) and self.schedule.watch == "loss")
