"""What every preset promises, and what the two main ones are for."""

import subprocess
import sys
from typing import get_args

import pytest

from objectives.config import LOSS_TERMS
from objectives.errors import ProblemsError
from spaces import load_space, load_stored_space, preset_names
from spaces.domains import Choice, Fixed, Int, Weight
from spaces.fields.schema import FIXED_PER_STUDY, leaves, leaves_by_path
from spaces.fields.walk import named_domain
from spaces.fitting import VALUES
from spaces.pruning import ModelStopping, NoPruning, TopK


@pytest.mark.parametrize("name", preset_names())
def test_the_control_lies_in_the_space(name: str) -> None:
    space = load_space(name)

    assert space.encode(space.default()) == space.control
    assert load_stored_space(space.to_dict()) == space
    assert len(space.control) >= 5


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize(
    "override", ["model.depth=2", "model.base_filters=8", "train.epochs=2", "loss.cross_entropy=1"]
)
def test_a_preset_can_be_narrowed_to_one_value(name: str, override: str) -> None:
    path, _, value = override.partition("=")

    assert str(load_space(name, [override]).domains[path]) in (value, f"{value}.0")


@pytest.mark.parametrize("name", preset_names())
def test_epochs_are_the_same_for_all_trials(name: str) -> None:
    space = load_space(name)

    assert all(isinstance(space.domains[path], Fixed) for path in FIXED_PER_STUDY)
    with pytest.raises(ProblemsError, match=r"train\.epochs: must be a plain value"):
        load_space(name, ["train.epochs={int: [2, 3]}"])


# fields that are not worth searching, or not yet: a new one has a domain in mars.yaml or stands here
# what is for given weights alone is for those who give some
LEFT_OUT: set[str] = {leaf.path for leaf in leaves() if leaf.is_later}
KINDS_LEFT_OUT = {"encoder_unet"}  # beside smp worth its time with given weights only


def test_mars_varies_every_field_of_every_network_and_loss_and_every_optimiser_and_schedule() -> (
    None
):
    space = load_space("mars")

    for leaf in leaves():
        if not leaf.path.startswith("train.") and leaf.path not in LEFT_OUT:
            found = named_domain(space.domains, leaf)
            assert found is not None, f"{leaf.own_path} has no domain in mars.yaml"
            assert not isinstance(found[1], Fixed) or leaf.path == VALUES, leaf.own_path
    assert all(
        isinstance(space.domains[f"{loss}.{term}"], Weight)
        for loss in ("loss", "second_loss")
        for term in LOSS_TERMS
        if f"{loss}.{term}" not in LEFT_OUT
    )
    for union in (
        "model.kind",
        "loss.class_weights.kind",
        "second_loss.kind",
        "optimiser.kind",
        "schedule.kind",
    ):
        domain = space.domains[union]
        assert isinstance(domain, Choice)
        assert all(
            leaves_by_path()[union][0].broken_rule(option) is None for option in domain.options
        )
        every = set(get_args(leaves_by_path()[union][0].annotation))
        assert set(domain.options) == every - KINDS_LEFT_OUT


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_stored_trials_of_cheap_presets_stay_readable(name: str) -> None:
    names = {
        "small": {
            "model.depth",
            "model.block",
            "model.bottleneck",
            "augment.elastic",
            "optimiser.weight_decay",
            "train.ema",
        },
        "tiny": set[str](),
    }
    shared = {
        "model.base_filters",
        "model.dropout",
        "loss.cross_entropy.weight",
        "loss.dice.on",
        "loss.dice.weight",
    }
    shared |= {
        "loss.class_weights.power",
        "augment.intensity",
        "optimiser.learning_rate",
        "train.rare_repeat",
        "train.batch_size",
    }

    assert load_space(name).control.keys() == shared | names[name]


def test_one_epoch_and_recipes_are_mars_pruned_and_begun_otherwise() -> None:
    mars, one_epoch, recipes = (load_space(name) for name in ("mars", "one-epoch", "recipes"))

    assert mars.domains == one_epoch.domains == recipes.domains
    assert (mars.pruning, mars.recipes) == (ModelStopping(), ())
    assert (one_epoch.pruning, one_epoch.recipes) == (TopK(epoch=1, keep=5), ())
    assert (recipes.pruning, recipes.recipes) == (NoPruning(), ("all",))
    assert len({mars.fingerprint, one_epoch.fingerprint, recipes.fingerprint}) == 3


def test_small_stays_cheap() -> None:
    space = load_space("small")
    filters = space.domains["model.base_filters"]

    assert space.default().train.scale == 0.5
    assert isinstance(space.domains["model.depth"], Int)
    assert space.domains["model.depth"].high <= 4
    assert isinstance(filters, Choice)
    assert max(int(option) for option in filters.options if isinstance(option, int)) <= 24


def test_importing_spaces_loads_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, spaces; spaces.load_space('small'); print(sorted({'torch', 'optuna', "
        "'numpy'} & sys.modules.keys()))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
