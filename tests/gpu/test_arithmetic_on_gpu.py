"""What a real GPU computes: every loss on logits in bfloat16, networks of segmentation-models-pytorch,
and frames at half their size.
"""

import math
from typing import get_args

import pytest
import torch

from objectives.config import LOSS_TERMS, Config, Loss, Smp, SmpDecoder, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device.precision import autocast
from objectives.losses import build_loss
from objectives.program.segmenter import build_segmenter
from objectives.scoring.evaluate import evaluate
from objectives.training.batches import TrainingBatches
from objectives.training.fit import fit, prepare
from tests.support.on_device import DEVICE, on_device

pytestmark = on_device

BATCH = 4
ENCODER = "tu-test_efficientnet"  # the smallest
HALF = 0.02  # how far a loss of bfloat16 logits may be off: they have eight bits


def only(term: str) -> Loss:
    return Loss(**{"cross_entropy": 0, term: 1})


LOSSES = {term: only(term) for term in LOSS_TERMS} | {
    "all": Loss(**dict.fromkeys(LOSS_TERMS, 1 / len(LOSS_TERMS)))
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_loss_of_bfloat16_is_that_of_float32_within_its_digits(
    loss: Loss, terrain: Dataset
) -> None:
    torch.manual_seed(0)
    config = Config(model=UNet(depth=2, base_filters=8), train=Train(batch_size=BATCH))
    batches = TrainingBatches(config, terrain, 0, device=DEVICE, prefetchers=0)
    images_BCHW, masks_BHW = (part.to(DEVICE) for part in next(batches.epoch(0)))
    segmenter = build_segmenter(config, terrain.spec)
    segmenter = segmenter.to(DEVICE, memory_format=torch.channels_last).eval()
    weights_K = torch.ones(terrain.spec.num_classes, device=DEVICE)
    mixture = build_loss(loss, weights_K=weights_K, ignore_label=terrain.spec.ignore_label)
    values = {}
    for bf16 in (False, True):
        segmenter.zero_grad(set_to_none=True)
        with autocast(DEVICE, bf16=bf16):
            outputs = segmenter.training_outputs(images_BCHW)
        assert outputs[0].dtype == (torch.bfloat16 if bf16 else torch.float32)
        value = mixture.over_outputs(outputs, masks_BHW)
        value.backward()
        assert value.dtype == torch.float32
        gradients = [weight.grad for weight in segmenter.parameters()]
        assert all(
            gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients
        )
        assert any(bool(gradient.abs().max() > 0) for gradient in gradients if gradient is not None)
        values[bf16] = float(value.detach())
    assert values[True] == pytest.approx(values[False], rel=HALF, abs=HALF)


def trained(config: Config, data: Dataset) -> None:
    """Train, and score again what was scored."""
    training = prepare(config, data, seed=0, device=DEVICE)
    *_, result = fit(training)
    assert math.isfinite(result.loss)
    frames = data.parts["validation"]
    images, masks = data.images[frames], data.masks[frames]
    again = evaluate(training.state.average.model, images, masks, data.spec, device=DEVICE)
    assert again.score == result.score


@pytest.mark.parametrize("decoder", get_args(SmpDecoder))
def test_every_decoder_of_smp_trains(decoder: SmpDecoder, terrain: Dataset) -> None:
    train = Train(epochs=1, batch_size=BATCH, steps_per_epoch=2, ema=0.9)
    trained(Config(model=Smp(decoder=decoder, encoder=ENCODER), train=train), terrain)


@pytest.mark.parametrize("scale", [0.5, 0.75])
def test_frames_are_seen_smaller_and_scored_at_their_size(scale: float, terrain: Dataset) -> None:
    train = Train(epochs=2, batch_size=BATCH, steps_per_epoch=2, scale=scale)
    trained(Config(model=UNet(depth=2, base_filters=8), train=train), terrain)
