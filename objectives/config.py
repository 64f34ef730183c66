"""One trial's configuration: a frozen, typed, complete value. Imports no torch.

Field paths (``model.depth``, ``loss.dice``, ``optimiser.learning_rate``) are the names that spaces, ``--set``, the
dashboard and error messages use. A union field (model, optimiser, schedule, class weights) is told apart by its ``kind``.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Frozen(BaseModel):
    """A value that never changes and accepts no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class UNet(Frozen):
    """Composable U-Net (Ronneberger et al. 2015): level i has ``base_filters * growth**i`` filters; i = depth at the bottom."""

    kind: Literal["unet"] = "unet"
    depth: int = Field(3, ge=2, le=5)  # number of downsamplings
    base_filters: int = Field(16, ge=4, le=128)
    growth: float = Field(2.0, ge=1.0, le=2.5)
    kernel_size: Literal[3, 5, 7] = 3
    block: Literal["plain", "residual"] = "plain"
    skip: Literal["concat", "attention"] = "concat"
    up: Literal["transpose", "bilinear"] = "transpose"
    bottleneck: Literal["plain", "dilated", "squeeze_excitation"] = "plain"
    norm: Literal["batch", "group"] = "batch"
    dropout: float = Field(0.0, ge=0.0, le=0.7)


Model = UNet  # becomes an Annotated union, discriminated by kind, with the second family


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

LOSS_TERMS = ("cross_entropy", "focal", "dice")


class Loss(Frozen):
    """A mixture of losses; the weights of its terms lie on the simplex, so they never rescale the learning rate."""

    cross_entropy: float = Field(1.0, ge=0.0, le=1.0)
    focal: float = Field(0.0, ge=0.0, le=1.0)
    dice: float = Field(0.0, ge=0.0, le=1.0)
    focal_gamma: float = Field(2.0, ge=0.0, le=8.0)  # read only when focal > 0
    class_weights: ClassWeights = NoClassWeights()

    @model_validator(mode="after")
    def _on_simplex(self) -> Self:
        total = sum(getattr(self, term) for term in LOSS_TERMS)
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the weights of {', '.join(LOSS_TERMS)} must add up to 1, got {total:g}")
        return self


class Augment(Frozen):
    """Augmentation: one intensity for all groups, a switch for each. Intensity 0 leaves frames as they are."""

    intensity: float = Field(0.5, ge=0.0, le=1.0)
    flip: bool = True
    geometry: bool = True  # shift, scale, rotate, shear
    elastic: bool = False  # elastic and grid distortion
    photometric: bool = True  # brightness, contrast, gamma, noise, blur


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


Optimiser = Annotated[AdamW | Adam | SGD, Field(discriminator="kind")]


class Cosine(Frozen):
    """Linear warm-up over a share of all steps, then half a cosine down to zero."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0.0, le=0.5)


class OneCycle(Frozen):
    """One cycle (Smith and Topin 2018): up to the learning rate over ``warmup`` of all steps, then down."""

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(0.3, ge=0.0, le=0.9)


class Plateau(Frozen):
    """Multiply the learning rate by ``factor`` when the score has not risen for ``patience`` epochs."""

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(0.3, gt=0.0, lt=1.0)
    patience: int = Field(5, ge=0, le=100)


Schedule = Annotated[Cosine | OneCycle | Plateau, Field(discriminator="kind")]


class Train(Frozen):
    """How long and on what a trial trains."""

    epochs: int = Field(30, ge=1, le=10_000)
    batch_size: int = Field(32, ge=1, le=4096)
    scale: float = Field(1.0, gt=0.0, le=1.0)  # frames are shrunk by this before the network; scores stay full size
    rare_repeat: int = Field(1, ge=1, le=16)  # frames that hold the rarest class appear so often in an epoch
    steps_per_epoch: int = Field(0, ge=0)  # 0: one pass over the training frames
    early_stopping: int = Field(0, ge=0)  # epochs without a better score before training ends; 0: never
    ema: float = Field(0.99, ge=0.0, lt=1.0)  # decay of the averaged weights that are scored; 0: none
    gradient_clip: float = Field(0.0, ge=0.0)  # largest gradient norm; 0: no clipping


class Config(Frozen):
    """Everything that decides one trial's outcome, besides the data, the seed and the machine."""

    model: Model = UNet()
    loss: Loss = Loss()
    augment: Augment = Augment()
    optimiser: Optimiser = AdamW()
    schedule: Schedule = Cosine()
    train: Train = Train()
