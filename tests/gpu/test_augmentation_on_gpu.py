"""Batches that a real GPU augments: those of the CPU, but for noise, which each kind of device draws itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from objectives.config import Augment, Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.training.batches import TrainingBatches
from objectives.training.fit import fit, prepare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
QUIET = Augment(intensity=0.8, vertical_flip=True, noise=False)


def batches_of(config: Config, data: Dataset, device: torch.device) -> TrainingBatches:
    return TrainingBatches(config, data, 3, device=device, prefetchers=0, augment_on="device")


def of_16_bit(data: Dataset) -> Dataset:
    spec = data.spec.model_copy(update={"max_value": 65535})
    return replace(data, images=np.asarray(data.images).astype(np.uint16) * 257, spec=spec)


@pytest.mark.parametrize("wide", [False, True], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize(
    ("augment", "train"),
    [
        (QUIET, Train(batch_size=8)),
        (QUIET.model_copy(update={"elastic": True, "copy_paste": 0.5}), Train(batch_size=8)),
        (QUIET, Train(batch_size=8, crop="48x40", crop_scale=1.5)),
    ],
    ids=["moved", "banked", "scaled"],
)
def test_batches_of_a_gpu_are_those_of_the_cpu(
    terrain: Dataset, augment: Augment, train: Train, wide: bool
) -> None:
    data, config = of_16_bit(terrain) if wide else terrain, Config(augment=augment, train=train)
    step = 257 if wide else 1
    there, here = (batches_of(config, data, device).epoch(1) for device in (GPU, CPU))
    for (images, masks), (theirs, their_masks) in zip(there, here, strict=True):
        assert (images.device.type, images.dtype) == ("cuda", theirs.dtype)
        apart = (images.cpu().float() - theirs.float()).abs() / step
        assert (apart > 1.0).float().mean() < 1e-3
        assert (masks.cpu() != their_masks).float().mean() < 1e-3


def test_noise_of_a_gpu_is_the_same_again(terrain: Dataset) -> None:
    config = Config(augment=Augment(intensity=0.8), train=Train(batch_size=8))
    one, other = (list(batches_of(config, terrain, GPU).epoch(2)) for _ in range(2))
    assert all(torch.equal(left[0], right[0]) for left, right in zip(one, other, strict=True))


def test_a_training_on_it(terrain: Dataset) -> None:
    config = Config(
        model=UNet(depth=2, base_filters=4),
        augment=Augment(intensity=0.8, elastic=True),
        train=Train(epochs=2, batch_size=8),
    )
    training = prepare(config, terrain, seed=0, device=GPU, augment_on="device")
    assert len(list(fit(training))) == 2
