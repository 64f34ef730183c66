"""What every preset promises, and what the two main ones are for."""

import subprocess
import sys

import pytest

from objectives.config import LOSS_TERMS, UNet
from objectives.errors import ProblemsError
from spaces import Space, load_space, preset_names
from spaces.domains import Choice, Fixed, Int, Weight
from spaces.layer import FIXED_PER_STUDY
from spaces.schema import leaves_by_path


@pytest.mark.parametrize("name", preset_names())
def test_the_control_lies_in_the_space(name: str) -> None:
    space = load_space(name)

    assert space.encode(space.default()) == space.control
    assert Space.from_dict(space.to_dict()) == space
    assert len(space.control) >= 5


@pytest.mark.parametrize("name", preset_names())
@pytest.mark.parametrize("override", ["model.depth=2", "model.base_filters=8", "train.epochs=2", "loss.cross_entropy=1"])
def test_a_preset_can_be_narrowed_to_one_value(name: str, override: str) -> None:
    path, _, value = override.partition("=")

    assert str(load_space(name, [override]).domains[path]) in (value, f"{value}.0")


@pytest.mark.parametrize("name", preset_names())
def test_epochs_are_the_same_for_all_trials(name: str) -> None:
    space = load_space(name)

    assert all(isinstance(space.domains[path], Fixed) for path in FIXED_PER_STUDY)
    with pytest.raises(ProblemsError, match=r"train\.epochs: must be a plain value"):
        load_space(name, ["train.epochs={int: [2, 3]}"])


def test_mars_varies_every_field_of_the_network_and_every_optimiser_and_schedule() -> None:
    space = load_space("mars")

    for field in UNet.model_fields.keys() - {"kind"}:
        assert not isinstance(space.domains[f"model.{field}"], Fixed), field
    assert all(isinstance(space.domains[f"loss.{term}"], Weight) for term in LOSS_TERMS)
    for union in ("optimiser.kind", "schedule.kind"):
        domain = space.domains[union]
        assert isinstance(domain, Choice)
        assert all(leaves_by_path()[union][0].broken_rule(option) is None for option in domain.options)
        assert len(domain.options) == 3


def test_small_stays_cheap() -> None:
    space = load_space("small")
    filters = space.domains["model.base_filters"]

    assert space.default().train.scale == 0.5
    assert isinstance(space.domains["model.depth"], Int)
    assert space.domains["model.depth"].high <= 4
    assert isinstance(filters, Choice)
    assert max(int(option) for option in filters.options if isinstance(option, int)) <= 24


def test_importing_spaces_loads_neither_torch_nor_optuna() -> None:
    code = "import sys, spaces; spaces.load_space('small'); print(sorted({'torch', 'optuna', 'numpy'} & sys.modules.keys()))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert loaded.stdout.strip() == "[]"
