"""What was trained before stays as it is while it is frozen, learns at its own rate after that, and
a training that goes on in the middle of either is the same training.
"""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Augment,
    Config,
    EncoderUNet,
    Lion,
    Optimiser,
    Smp,
    Start,
    Train,
    UNet,
)
from objectives.data.dataset import Dataset
from objectives.training.fit import Training, fit, prepare
from objectives.training.optimise import LearningRate, build_optimiser
from tests.support import pretrained
from tests.support.training_checks import assert_same_state

EPOCHS = 4
FROZEN = 2
START = Start(sha256="0" * 64, extent="encoder", mean=(0.5,) * 3, std=(0.5,) * 3)
SPECS = (AdamW, Adam, SGD, Lion)
OF_SMP = Smp(encoder=pretrained.ENCODER, weights="lite0", start=START)
OF_OURS = EncoderUNet(
    encoder=pretrained.ENCODER, base_filters=4, weights="lite0", start=START, deep_supervision=True
)


def config_of(optimiser: Optimiser, model: Smp | EncoderUNet = OF_SMP) -> Config:
    return Config(
        model=model,
        optimiser=optimiser,
        augment=Augment(intensity=0.0),
        train=Train(
            epochs=EPOCHS,
            batch_size=4,
            steps_per_epoch=1,
            scale=0.5,
            ema=0.9,
            frozen_epochs=FROZEN,
        ),
    )


def begun(config: Config, data: Dataset) -> Training:
    training = prepare(config, data, seed=3, device=torch.device("cpu"))
    training.state.start_from(pretrained.lite0_file())
    return training


def parts(training: Training) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Copies of the encoder's tensors, and of all others."""
    state = {name: value.clone() for name, value in training.state.model.state_dict().items()}
    encoder = {name: value for name, value in state.items() if ".encoder." in name}
    return encoder, {name: value for name, value in state.items() if name not in encoder}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("optimiser", "model"),
    [*((kind(), OF_SMP) for kind in SPECS), (AdamW(), OF_OURS)],
    ids=lambda each: each.kind,
)
def test_a_frozen_encoder_does_not_move_nor_do_its_statistics(
    optimiser: Optimiser, model: Smp | EncoderUNet, terrain: Dataset
) -> None:
    training = begun(config_of(optimiser, model), terrain)
    encoder, rest = parts(training)
    average = {n: v.clone() for n, v in training.state.average.model.state_dict().items()}
    for result in fit(training):
        now, others = parts(training)
        if result.number <= FROZEN:
            assert moved(encoder, now) == set()
            held = {n: v for n, v in average.items() if ".encoder." in n}
            assert moved(held, training.state.average.model.state_dict()) == set()
        if result.number == FROZEN:
            statistics = {name for name in others if name.endswith("running_mean")}
            assert statistics
            assert statistics <= moved(rest, others)
    changed = moved(encoder, now)
    assert {name for name in encoder if name.endswith("running_var")} <= changed
    assert any(name.endswith("conv_stem.weight") for name in changed)


@pytest.mark.long
@pytest.mark.parametrize(
    ("optimiser", "model"),
    [(AdamW(), OF_SMP), (SGD(), OF_SMP), (AdamW(), OF_OURS)],
    ids=lambda each: each.kind,
)
def test_a_training_that_goes_on_is_the_same_across_the_freeze(
    optimiser: Optimiser, model: Smp | EncoderUNet, terrain: Dataset
) -> None:
    config = config_of(optimiser.model_copy(update={"encoder_rate": 0.1}), model)
    blobs = list(states_of(begun(config, terrain)))
    for after in (1, FROZEN, FROZEN + 1):
        resumed = prepare(config, terrain, seed=3, device=torch.device("cpu"))
        resumed.state.load_bytes(blobs[after - 1])
        *_, last = states_of(resumed)
        assert_same_state(last, blobs[-1])


def states_of(training: Training) -> Iterator[bytes]:
    for _ in fit(training):
        yield training.state.to_bytes()


def test_a_rate_of_its_own_is_that_times_smaller_a_step() -> None:
    """Under SGD without momentum and decay a step is the rate times the gradient, by the formula."""
    config = SGD(learning_rate=0.5, weight_decay=0.0, momentum=0.0, encoder_rate=0.1)
    layer = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    before = [p.detach().clone() for p in layer.parameters()]
    optimiser = build_optimiser(config, layer, list(layer[0].parameters()))
    rate = LearningRate(Config().schedule, optimiser, config.learning_rate, 10)
    layer(torch.ones(1, 2)).sum().backward()
    expected = rate.value

    rate.before_step()
    optimiser.step()

    for index, (old, new) in enumerate(zip(before, layer.parameters(), strict=True)):
        share = 0.1 if index < 2 else 1.0
        assert new.grad is not None
        torch.testing.assert_close(new.detach(), old - share * expected * new.grad)


def test_without_given_weights_optimiser_and_state_are_as_they_ever_were(terrain: Dataset) -> None:
    config = Config(model=UNet(depth=2, base_filters=4), train=Train(epochs=1, scale=0.5))
    state = prepare(config, terrain, seed=0, device=torch.device("cpu")).state

    assert [sorted(group) for group in state.optimiser.param_groups] == [
        sorted(build_optimiser(AdamW(), state.model).param_groups[0])
    ] * 2
    assert state.carried.parameters == []
    assert "weights" not in config.model_dump()["model"]
    assert "frozen_epochs" not in config.model_dump()["train"]
    assert "encoder_rate" not in config.model_dump()["optimiser"]
