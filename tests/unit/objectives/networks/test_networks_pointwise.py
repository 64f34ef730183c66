"""Strided 1 x 1 convolutions of few channels: computed on fewer pixels, where oneDNN damages
memory.
"""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from objectives.config import Smp
from objectives.networks import build_network
from objectives.networks.pointwise import SubsampledPointwise, is_at_risk, subsample_first
from spaces import load_recipes

TRAIN = """
import torch
from objectives.config import Smp
from objectives.networks import build_network

torch.manual_seed(0)
torch.set_num_threads(1)
network = build_network(Smp(decoder="pspnet", encoder="mobileone_s0"), in_channels=4, num_classes=3)
network = network.to(memory_format=torch.channels_last)
images_BCHW = torch.randn(32, 4, 64, 128).contiguous(memory_format=torch.channels_last)
for _ in range(12):
    network.zero_grad()
    network(images_BCHW).square().mean().backward()
    assert all(p.grad.isfinite().all() and p.isfinite().all() for p in network.parameters())
"""


@pytest.mark.parametrize(
    ("stride", "groups", "bias"), [(2, 1, True), ((3, 2), 1, False), (2, 3, True)]
)
def test_values_and_gradients_are_those_of_the_convolution(
    stride: int | tuple[int, int], groups: int, bias: bool
) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 6, 1, stride, groups=groups, bias=bias)).double()
    theirs = copy.deepcopy(ours)
    subsample_first(ours)
    assert isinstance(ours[0], SubsampledPointwise)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    images_BCHW = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    found, wanted = ours(images_BCHW), theirs(images_BCHW)
    torch.testing.assert_close(found, wanted)
    for outputs in (found, wanted):
        outputs.square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)


def test_others_stay_as_they_are() -> None:
    kept = nn.Sequential(
        nn.Conv2d(3, 6, 1),
        nn.Conv2d(3, 6, 3, 2),
        nn.Conv2d(16, 6, 1, 2),
        nn.Conv2d(3, 6, 1, 2, padding=1),
    )
    before = list(kept)
    subsample_first(kept)
    assert list(kept) == before


@pytest.mark.long
@pytest.mark.parametrize("channels", [1, 3])
def test_no_recipe_has_one_at_risk(channels: int) -> None:
    models = dict.fromkeys(
        recipe.config.model for recipe in load_recipes() if isinstance(recipe.config.model, Smp)
    )
    with torch.device("meta"):
        networks = [build_network(model, in_channels=channels, num_classes=5) for model in models]
    assert not [
        module for network in networks for module in network.modules() if is_at_risk(module)
    ]
    assert any(
        isinstance(module, SubsampledPointwise)
        for network in networks
        for module in network.modules()
    )


@pytest.mark.long
def test_a_network_that_had_one_trains() -> None:
    """In a process of its own, which the convolutions as they came would kill."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
