"""The averaged model: its formula, its batch-norm statistics, and what it is worth after
200 steps.
"""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from objectives.config import AdamW, Config, Loss, Plateau, Train, UNet
from objectives.data.dataset import Dataset
from objectives.program.pixels import pixels_BCHW
from objectives.program.segmenter import Segmenter
from objectives.scoring.evaluate import evaluate
from objectives.training.ema import AveragedModel
from objectives.training.fit import Training, prepare, train_epoch

STEPS = 200
CPU = torch.device("cpu")


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)).to(
        memory_format=torch.channels_last
    )


def walk(model: nn.Module) -> None:
    """Move weights and statistics as a training step does."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    model.train()(torch.randn(4, 1, 8, 8) * 3 + 1)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999])
def test_the_average_follows_its_formula_for_weights_and_statistics(decay: float) -> None:
    model = small_model()
    average = AveragedModel(model, decay)
    expected = {name: value.double().clone() for name, value in model.state_dict().items()}
    for update in range(1, 31):
        walk(model)
        average.update()
        share = min(decay, (1 + update) / (10 + update)) if decay else 0.0
        for name, value in model.state_dict().items():
            expected[name] = share * expected[name] + (1 - share) * value.double()
    assert average.updates == 30
    for name, value in average.model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert value == 30
        else:
            torch.testing.assert_close(value.double(), expected[name], atol=1e-5, rtol=1e-5)


def test_a_model_that_counts_nothing_is_averaged_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4))
    average = AveragedModel(model, 0.9)
    walk(model)
    average.update()
    assert torch.equal(
        average.model.state_dict()["0.weight"].isfinite(), torch.ones(4, 1, 3, 3) > 0
    )
    assert not torch.equal(average.model.state_dict()["0.weight"], model.state_dict()["0.weight"])


def test_constants_of_the_program_are_no_part_of_the_average() -> None:
    """Buffers that are not saved are the same in both: averaging them at each step would cost more
    than the weights do.
    """
    model = small_model()
    model.register_buffer("matrix", torch.rand(300, 300), persistent=False)
    average = AveragedModel(model, 0.9)
    model.matrix.add_(1.0)
    walk(model)
    average.update()
    torch.testing.assert_close(average.model.matrix, model.matrix - 1.0)


def test_without_decay_the_average_is_the_model_itself() -> None:
    model = small_model()
    average = AveragedModel(model, 0.0)
    walk(model)
    average.update()
    for ours, theirs in zip(
        average.model.state_dict().values(), model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_the_random_start_is_forgotten_at_once() -> None:
    model = small_model()
    average = AveragedModel(model, 0.999)
    start = average.model[0].bias.clone()
    walk(model)
    end = model[0].bias.detach().clone()
    for _ in range(30):
        average.update()
    left = (average.model[0].bias - end).abs().max() / (start - end).abs().max()
    assert left < 1e-4  # a decay of 0.999 from the first step on would leave 0.97


def test_the_average_is_a_copy_that_no_gradient_reaches() -> None:
    model = small_model()
    average = AveragedModel(model, 0.9)
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert not average.model.training
    assert average.model[0].weight.data_ptr() != model[0].weight.data_ptr()
    assert average.model[0].weight.stride() == model[0].weight.stride()


def test_the_average_follows_a_model_whose_state_was_loaded() -> None:
    model = small_model()
    average = AveragedModel(model, 0.0)
    model.load_state_dict(
        {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    )
    average.update()
    assert (average.model[0].weight == 1).all()


@dataclass(frozen=True)
class After:
    """A training of 200 steps, and (loss, score) of the plain weights after each of its last
    epochs.
    """

    training: Training
    plain: list[tuple[float, float]]


@pytest.fixture(scope="module")
def after(terrain: Dataset) -> After:
    """A tiny network after 200 steps at a constant learning rate, where plain weights
    jump about.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = Config(
        model=UNet(depth=2, base_filters=4),
        loss=Loss(cross_entropy=0.7, dice=0.3),
        optimiser=AdamW(learning_rate=2e-2),
        schedule=Plateau(patience=100),
        train=Train(batch_size=8, scale=0.5, steps_per_epoch=5, ema=0.95),
    )
    training, plain = prepare(config, terrain, seed=0, device=CPU), []
    while training.state.average.updates < STEPS:
        train_epoch(training)
        training.batches.order.seed += 1  # other batches: no epoch is recorded here
        if training.state.average.updates > STEPS - 50:
            plain.append(judge(training, training.state.model))
    assert training.state.average.updates == STEPS
    torch.set_num_threads(threads)
    return After(training, plain)


def judge(training: Training, model: Segmenter) -> tuple[float, float]:
    """Loss and score on the frames that the training has not seen."""
    data = training.data
    unseen = np.concatenate([data.parts["validation"], data.parts["test"]])
    masks_BHW = torch.from_numpy(np.asarray(data.masks[unseen], np.int64))
    with torch.inference_mode():
        loss = training.losses.at(0)(model.eval()(pixels_BCHW(data.images[unseen])), masks_BHW)
    return float(loss), evaluate(
        model, data.images[unseen], data.masks[unseen], data.spec, device=CPU
    ).score


def test_after_200_steps_the_average_is_better_than_the_plain_weights(after: After) -> None:
    loss, score = judge(after.training, after.training.state.average.model)
    plain_loss, plain_score = np.mean(after.plain, axis=0)
    assert loss < 0.9 * plain_loss
    assert score > plain_score + 0.02  # 0.043 on one processor, over 0.05 on another


def test_averaged_weights_need_their_averaged_statistics(after: After) -> None:
    average = after.training.state.average.model
    fresh = deepcopy(average)
    for module in fresh.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
    assert judge(after.training, fresh)[0] > 10 * judge(after.training, average)[0]
