"""How a network is trained: optimiser, schedule, and how long on what."""

from typing import Annotated, Literal

from pydantic import Field

from objectives.config.parts import LATER, Frozen, Grown, ReadWhile, Written
from objectives.config.pretrained import WITH_WEIGHTS

NO_CROP = "none"
CROP = rf"^({NO_CROP}|[1-9][0-9]{{0,4}}x[1-9][0-9]{{0,4}})$"
CROP_FORM = Written(f"HxW, height and width in pixels like 256x256, or {NO_CROP}")


class Optimising(Grown):
    """What every optimiser has: ``encoder_rate`` times its learning rate is that of what was trained
    before.
    """

    encoder_rate: Annotated[float, WITH_WEIGHTS, LATER] = Field(1.0, gt=0.0, le=1.0)


class AdamW(Optimising):
    """AdamW (Loshchilov and Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(1e-2, ge=0.0, le=1.0)


class Adam(Optimising):
    """Adam (Kingma and Ba 2015) with L2 regularisation."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(2e-3, gt=0.0, le=1.0)
    weight_decay: float = Field(0.0, ge=0.0, le=1.0)


class SGD(Optimising):
    """Stochastic gradient descent with Nesterov momentum (none at momentum 0)."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(5e-2, gt=0.0, le=10.0)
    weight_decay: float = Field(1e-4, ge=0.0, le=1.0)
    momentum: float = Field(0.9, ge=0.0, lt=1.0)


class Lion(Optimising):
    """Lion (Chen et al. 2023): sign of the averaged gradient; wants a tenth of AdamW's rate and ten
    times its decay.
    """

    kind: Literal["lion"] = "lion"
    learning_rate: float = Field(3e-4, gt=0.0, le=1.0)
    weight_decay: float = Field(0.1, ge=0.0, le=10.0)


Optimiser = Annotated[AdamW | Adam | SGD | Lion, Field(discriminator="kind")]


# of validation: the score, which should rise, or the loss, which should fall
Watched = Literal["score", "loss"]


class Scheduled(Frozen):
    """A course of the learning rate."""

    @property
    def hears(self) -> Watched | None:
        """What of validation it goes by; None: nothing."""
        return None


class Cosine(Scheduled):
    """Linear warm-up over a share of all steps, then half a cosine down to zero."""

    kind: Literal["cosine"] = "cosine"
    warmup: float = Field(0.05, ge=0.0, le=0.5)


class OneCycle(Scheduled):
    """One cycle (Smith and Topin 2018): up to the learning rate over ``warmup`` of all steps, then
    down.
    """

    kind: Literal["one_cycle"] = "one_cycle"
    warmup: float = Field(0.3, ge=0.0, le=0.9)


class Plateau(Scheduled):
    """Multiply the learning rate by ``factor`` when what it watches has got no better for more than
    ``patience`` epochs.
    """

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(0.3, gt=0.0, lt=1.0)
    patience: int = Field(5, ge=0, le=100)
    watch: Watched = "score"

    @property
    def hears(self) -> Watched | None:
        """What it watches."""
        return self.watch


Schedule = Annotated[Cosine | OneCycle | Plateau, Field(discriminator="kind")]


class Train(Grown):
    """How long and on what a trial trains."""

    epochs: int = Field(30, ge=1, le=10_000)
    batch_size: int = Field(32, ge=1, le=4096)
    # frames are shrunk by this before the network; scores stay full size
    scale: float = Field(1.0, gt=0.0, le=1.0)
    repeat: int = Field(1, ge=1, le=16)  # every frame appears so often in an epoch
    # frames that hold the rarest class so many times as often
    rare_repeat: int = Field(1, ge=1, le=16)
    # copy-paste chooses its frames once, and rare_repeat counts them among those with the class
    rare_pasted: Annotated[bool, ReadWhile("augment.copy_paste")] = False
    steps_per_epoch: int = Field(0, ge=0)  # 0: one pass over the training frames
    # epochs in which stop_on gets no better before training ends; 0: never
    early_stopping: int = Field(0, ge=0)
    # the epoch that is kept is that of the best score
    stop_on: Annotated[Watched, ReadWhile("early_stopping")] = "score"
    # decay of the averaged weights that are scored; 0: none
    ema: float = Field(0.99, ge=0.0, lt=1.0)
    # mixed precision in training, where the device computes bfloat16 natively; scores are always
    # float32
    bf16: bool = True
    gradient_clip: float = Field(0.0, ge=0.0)  # largest gradient norm; 0: no clipping
    # epochs in which what was trained before stays as it is, its batch norm too
    frozen_epochs: Annotated[int, WITH_WEIGHTS, LATER] = Field(0, ge=0, le=10_000)
    # HxW of the crops that a network is trained on; none: as much as it sees of a frame at once when it
    # is scored
    crop: Annotated[str, LATER, CROP_FORM] = Field(NO_CROP, pattern=CROP)
    # regions from so many times smaller to so many times larger become a crop; 1: of its size
    crop_scale: Annotated[float, LATER] = Field(1.0, ge=1.0, le=8.0)
    # share of the crops that hold a class drawn evenly among those of their frame
    crop_balance: Annotated[float, LATER] = Field(0.33, ge=0.0, le=1.0)
    # the largest share of a crop's labelled pixels that one class may have
    crop_most: Annotated[float, LATER] = Field(1.0, gt=0.0, le=1.0)

    @property
    def crop_size(self) -> tuple[int, int] | None:
        """Height and width of the crops; None where they are what is seen at once."""
        if self.crop == NO_CROP:
            return None
        height, width = map(int, self.crop.split("x"))
        return height, width
