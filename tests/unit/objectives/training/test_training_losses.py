"""What a training minimises: the mixture of its epoch, with the config's class weights, over all
outputs of the network.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from objectives.beat import unheard
from objectives.config import (
    SGD,
    ClassWeights,
    Config,
    GivenClassWeights,
    InverseFrequency,
    Loss,
    Model,
    NestedUNet,
    NoClassWeights,
    Plateau,
    SecondPhase,
    Train,
    UNet,
)
from objectives.data.dataset import Dataset
from objectives.training.fit import Training, fit, prepare
from objectives.training.micro_batches import StepStart
from objectives.training.step import TrainingStep

CPU = torch.device("cpu")


def start(data: Dataset, **parts: Any) -> Training:
    plain = {
        "model": UNet(depth=2, base_filters=4),
        "optimiser": SGD(learning_rate=0.1, weight_decay=0.0),
        "schedule": Plateau(patience=100),
        "train": Train(epochs=4, batch_size=8, scale=0.25, steps_per_epoch=1, ema=0.0, bf16=False),
    }
    return prepare(Config(**plain | parts), data, seed=0, device=CPU)


def weights_of_epochs(training: Training) -> list[bytes]:
    return [training.state.weights_bytes() for _ in fit(training)]


@pytest.mark.parametrize(("begins", "alike"), [(0.25, 1), (0.5, 2), (0.75, 3)])
def test_the_second_mixture_trains_from_its_first_epoch_on_and_not_before(
    terrain: Dataset, begins: float, alike: int
) -> None:
    alone = weights_of_epochs(start(terrain))
    both = weights_of_epochs(
        start(terrain, second_loss=SecondPhase(cross_entropy=0.0, dice=1.0, start=begins))
    )

    assert [one == other for one, other in zip(alone, both, strict=True)] == [
        epoch < alike for epoch in range(4)
    ]


def inverse_shares(data: Dataset, power: float) -> list[float]:
    """Shares among the labelled pixels of the training part to the power -power, of mean 1 over
    those pixels.
    """
    counts_K = np.bincount(
        np.asarray(data.masks[data.parts["train"]]).ravel(), minlength=data.spec.num_classes
    ).astype(float)
    share_K = counts_K[1:] / counts_K[1:].sum()
    return [0.0, *(share_K**-power / (share_K * share_K**-power).sum())]


@pytest.mark.parametrize(
    "weights",
    [NoClassWeights(), InverseFrequency(power=0.7), GivenClassWeights(values=(9, 1, 2, 3, 4))],
)
def test_a_training_weighs_classes_as_its_config_says(
    terrain: Dataset, weights: ClassWeights
) -> None:
    match weights:
        case NoClassWeights():
            expected = [0.0, 1.0, 1.0, 1.0, 1.0]
        case InverseFrequency(power=power):
            expected = inverse_shares(terrain, power)
            assert max(expected) > 1.5
        case GivenClassWeights():
            expected = [0.0, 1.0, 2.0, 3.0, 4.0]
    losses = start(
        terrain, loss=Loss(class_weights=weights), second_loss=SecondPhase(cross_entropy=1.0)
    ).losses

    assert losses.first is not losses.second
    for mixture in (losses.first, losses.second):
        assert mixture.weights_K.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "heads"),
    [
        (UNet(depth=3, base_filters=4, deep_supervision=True), 2),
        (NestedUNet(depth=2, base_filters=4, deep_supervision=True), 2),
    ],
    ids=["unet", "nested_unet"],
)
def test_a_step_trains_the_auxiliary_heads_by_a_loss_of_their_own(
    terrain: Dataset, model: Model, heads: int
) -> None:
    """A nested network's heads take part in its average; against that alone, their gradients
    differ.
    """
    training = start(terrain, model=model)
    network = training.state.model.network
    auxiliary = network.auxiliary if isinstance(model, UNet) else network.heads
    assert isinstance(auxiliary, nn.ModuleList)
    assert len(auxiliary) == heads
    before = [head.weight.detach().clone() for head in auxiliary]
    images_BCHW, mask_BHW = next(iter(training.batches.epoch(0)))
    TrainingStep(
        training.state, training.losses.at(0), StepStart(training.state.model, CPU), unheard
    )(images_BCHW, mask_BHW)

    again = start(terrain, model=model)
    outputs = again.state.model.train().training_outputs(images_BCHW)
    losses = [again.losses.at(0)(logits_BKHW, mask_BHW) for logits_BKHW in outputs]
    total = sum(0.5**i for i in range(len(losses)))
    loss = torch.stack([0.5**i / total * each for i, each in enumerate(losses)]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    fresh = (
        again.state.model.network.auxiliary
        if isinstance(model, UNet)
        else again.state.model.network.heads
    )
    for old, head, reference in zip(before, auxiliary, fresh, strict=True):
        assert not torch.equal(head.weight, old)
        # Nesterov's first step, momentum 0.9
        torch.testing.assert_close(head.weight, old - 0.1 * 1.9 * reference.weight.grad)
