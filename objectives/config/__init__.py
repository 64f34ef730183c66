"""One trial's configuration: a frozen, typed, complete value. Imports no torch.

Field paths (``model.depth``, ``loss.dice``, ``optimiser.learning_rate``) are the names that spaces,
``--set``, the dashboard and error messages use. A union field (model, optimiser, schedule, class
weights) is distinguished by its ``kind``.
"""

from objectives.config.augmentation import Augment
from objectives.config.foreign import (
    Architecture,
    ForeignLoss,
    ForeignNetwork,
    ForeignScore,
    packages_here,
)
from objectives.config.losses import (
    LOSS_TERMS,
    ClassWeights,
    GivenClassWeights,
    InverseFrequency,
    Loss,
    Mixture,
    NoClassWeights,
    NoSecondPhase,
    SecondLoss,
    SecondPhase,
)
from objectives.config.networks import (
    BackgroundUNet,
    Block,
    Bottleneck,
    ConvStack,
    DeepLab,
    DoubleUNet,
    EncoderUNet,
    Levelled,
    Model,
    NestedUNet,
    Norm,
    Skip,
    Smp,
    SmpDecoder,
    UNet,
    Up,
)
from objectives.config.parts import (
    FILLED_IN,
    LATER,
    TERM,
    Argument,
    Frozen,
    Grown,
    ReadWhile,
    Scalar,
    Share,
    TermWeight,
    Written,
)
from objectives.config.pretrained import (
    HUB,
    NO_WEIGHTS,
    WEIGHTS,
    GivenWeights,
    Start,
    Startable,
)
from objectives.config.training import (
    SGD,
    Adam,
    AdamW,
    Cosine,
    Lion,
    OneCycle,
    Optimiser,
    Plateau,
    Schedule,
    Train,
    Watched,
)

__all__ = [
    "FILLED_IN",
    "HUB",
    "LATER",
    "LOSS_TERMS",
    "NO_WEIGHTS",
    "SGD",
    "TERM",
    "WEIGHTS",
    "Adam",
    "AdamW",
    "Architecture",
    "Argument",
    "Augment",
    "BackgroundUNet",
    "Block",
    "Bottleneck",
    "ClassWeights",
    "Config",
    "ConvStack",
    "Cosine",
    "DeepLab",
    "DoubleUNet",
    "EncoderUNet",
    "ForeignLoss",
    "ForeignNetwork",
    "ForeignScore",
    "Frozen",
    "GivenClassWeights",
    "GivenWeights",
    "Grown",
    "InverseFrequency",
    "Levelled",
    "Lion",
    "Loss",
    "Mixture",
    "Model",
    "NestedUNet",
    "NoClassWeights",
    "NoSecondPhase",
    "Norm",
    "OneCycle",
    "Optimiser",
    "Plateau",
    "ReadWhile",
    "Scalar",
    "Schedule",
    "SecondLoss",
    "SecondPhase",
    "Share",
    "Skip",
    "Smp",
    "SmpDecoder",
    "Start",
    "Startable",
    "TermWeight",
    "Train",
    "UNet",
    "Up",
    "Watched",
    "Written",
]


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
        """Whether anything in training goes by the loss on the validation part, which then is
        computed each epoch.
        """
        stops = self.train.early_stopping > 0 and self.train.stop_on == "loss"
        return stops or self.schedule.hears == "loss"

    @property
    def foreign(self) -> dict[str, str]:
        """What of it other packages bring, by kind and name, each with its package and version."""
        losses = [
            term
            for mixture in (self.loss, self.second_loss)
            for term in LOSS_TERMS
            if getattr(mixture, term, 0.0)
        ]
        used = {f"networks.{self.model.kind}", *(f"losses.{term}" for term in losses)}
        return {name: package for name, package in packages_here().items() if name in used}
