"""The contract of networks over every recipe's network, unscaled. Not part of the default run:
``make recipes-test``.
"""

import math
from pathlib import Path

import pytest
import torch

from objectives.config import ConvStack, DeepLab, Model, Smp
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.training.fit import fit, prepare
from spaces import Recipe, load_recipes
from tests.support import network_checks as checks

FULL = {"height": 64, "width": 128}  # pixels of the reports' frames
# a network once, under the name of the first recipe that has it: recipes also differ by what is
# around their network
FIRST_OF = {each.config.model: each.name for each in reversed(load_recipes())}
MODELS = {name: model for model, name in reversed(FIRST_OF.items())}
RATES = {"A1-convolution": 0.1}  # ten weights have a long way to go
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
pytestmark = pytest.mark.timeout(3600)


def block_of(model: Model) -> int:
    """Pixels a side of one label's area: the networks with named decoders and DeepLab resize coarse
    logits.
    """
    return 16 if isinstance(model, Smp | DeepLab) else 4


def test_every_recipe_has_its_network_here() -> None:
    assert {each.config.model for each in load_recipes()} == set(MODELS.values())
    assert len(MODELS) == len(set(MODELS.values())) > 30


@every_model
@pytest.mark.parametrize(
    ("channels", "classes", "height", "width"), [(1, 5, 64, 128), (3, 2, 37, 50)]
)
def test_logits_have_the_size_of_the_images(
    model: Model, channels: int, classes: int, height: int, width: int
) -> None:
    checks.check_size(model, channels=channels, classes=classes, height=height, width=width)


@pytest.mark.parametrize(
    "name", [name for name, model in MODELS.items() if not isinstance(model, ConvStack)]
)
def test_the_padding_does_not_touch_frames_that_fit(name: str) -> None:
    checks.check_padding(MODELS[name], **FULL)


@every_model
def test_a_gradient_reaches_every_parameter(model: Model) -> None:
    checks.check_gradients(model, seeds=4 if isinstance(model, Smp) else 1)


@every_model
def test_all_outputs_are_those_of_forward_and_of_the_auxiliary_heads(model: Model) -> None:
    checks.check_all_outputs(model)


@pytest.mark.parametrize("name", MODELS)
def test_it_overfits_eight_frames(name: str) -> None:
    """In more steps than small networks need: an EfficientNet's running statistics take in 1 % of
    each batch.
    """
    model = MODELS[name]
    checks.check_overfits(
        model, **FULL, block=block_of(model), rate=RATES.get(name, 1e-3), steps=400
    )


@every_model
def test_onnx_runtime_agrees(model: Model, tmp_path: Path) -> None:
    # as the export of a study allows: over so many pixels some tie
    checks.check_onnx(model, tmp_path, **FULL, tie=1e-5)


@every_model
def test_safetensors_round_trip(model: Model, tmp_path: Path) -> None:
    checks.check_safetensors(model, tmp_path)


@every_model
def test_it_runs_in_bf16_autocast(model: Model) -> None:
    checks.check_bf16(model)


@every_model
def test_the_same_seed_gives_the_same_network(model: Model) -> None:
    checks.check_seed(model)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The generated terrain with label 0 in the loss, as some systems had it."""
    options = DataOptions(ignore="none", scored=(1, 2, 3, 4))
    return open_dataset("synthetic:120", options, tmp_path_factory.mktemp("learnt"))


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda each: each.name)
def test_it_trains_two_steps_as_it_is(recipe: Recipe, terrain: Dataset, learnt: Dataset) -> None:
    """The whole system: its loss, weights, augmentation, repetitions, optimiser, schedule and what
    they watch.
    """
    train = recipe.config.train.model_copy(update={"epochs": 1, "steps_per_epoch": 2})
    config, data = (
        recipe.config.model_copy(update={"train": train}),
        learnt if recipe.learns_ignored else terrain,
    )
    training = prepare(config, data, seed=0, device=torch.device("cpu"))
    before = {name: weight.clone() for name, weight in training.state.model.named_parameters()}
    (result,) = fit(training)
    assert len(training.batches) == 2
    assert 0.0 <= result.score <= 1.0
    assert math.isfinite(result.loss)
    assert math.isfinite(result.validation_loss) == config.reads_validation_loss
    moved = [
        name
        for name, weight in training.state.model.named_parameters()
        if not torch.equal(weight, before[name])
    ]
    assert moved
