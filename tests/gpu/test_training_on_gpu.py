"""Training on a real GPU: memory that really runs out, mixed precision, memory formats, and a
resume within its noise.
"""

import gc
import math
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from objectives.config import Config, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device.computing import processor_of
from objectives.device.memory import DoesNotFitError
from objectives.device.precision import computes_bf16
from objectives.scoring.evaluate import evaluate
from objectives.training.fit import Training, fit, prepare, train_epoch
from tests.support.training_checks import header_of, leave_room

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")

GPU = torch.device("cuda", 0)
BATCH = 16
MEBI = 2**20


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """All of the GPU's memory again after each test, and none of it held."""
    # its trials take memory of their own
    benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    release()
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, GPU)
    release()
    torch.backends.cudnn.benchmark = benchmark


def start(data: Dataset, *, epochs: int = 2, base_filters: int = 16, bf16: bool = True) -> Training:
    config = Config(
        model=UNet(depth=3, base_filters=base_filters, dropout=0.2),
        train=Train(epochs=epochs, batch_size=BATCH, steps_per_epoch=2, bf16=bf16, ema=0.9),
    )
    return prepare(config, data, seed=0, device=GPU)


def release() -> None:
    """Give the GPU back what nothing needs any more."""
    gc.collect()
    torch.cuda.empty_cache()


def limit(allowed_bytes: float) -> None:
    """From now on torch gets no more of the GPU's memory than that."""
    release()
    torch.cuda.set_per_process_memory_fraction(
        allowed_bytes / torch.cuda.get_device_properties(GPU).total_memory, GPU
    )


def peak_of(data: Dataset, micro_batch: int) -> int:
    """Bytes that an epoch in parts of so many frames takes from the GPU at its fullest."""
    training = start(data, base_filters=64, bf16=False)
    training.state.micro_batch = micro_batch
    release()
    torch.cuda.reset_peak_memory_stats(GPU)
    train_epoch(training)
    return torch.cuda.max_memory_reserved(GPU)


def assert_sound(training: Training) -> None:
    """Weights are finite and as channels-last as they were made."""
    for parameter in training.state.model.parameters():
        assert bool(parameter.isfinite().all())
        if parameter.ndim == 4:
            assert parameter.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_that_memory_is_too_small_for_is_trained_in_parts(terrain: Dataset) -> None:
    whole, half, quarter = (peak_of(terrain, frames) for frames in (BATCH, BATCH // 2, BATCH // 4))
    assert whole > half > quarter
    limit((half + quarter) / 2)
    training = start(terrain, base_filters=64, bf16=False)
    results = list(fit(training))
    assert [result.number for result in results] == [1, 2]
    assert all(math.isfinite(result.loss) for result in results)
    assert 2 <= training.state.micro_batch <= BATCH // 2
    assert header_of(training.state.to_bytes())["micro_batch"] == training.state.micro_batch
    assert_sound(training)


def test_a_step_whose_smallest_parts_do_not_fit_is_refused(terrain: Dataset) -> None:
    training = start(terrain, base_filters=64, bf16=False)
    release()
    # too little for the activations of two frames
    limit(torch.cuda.memory_reserved(GPU) + 24 * MEBI)
    with pytest.raises(
        DoesNotFitError, match=r"frames of 64 x 128 does not fit into the memory of cuda:0"
    ):
        next(fit(training))


def test_frames_are_scored_fewer_at_once_when_memory_is_small(terrain: Dataset) -> None:
    training = start(terrain, base_filters=64, bf16=False)
    frames = terrain.parts["train"]
    images, masks = terrain.images[frames], terrain.masks[frames]

    def score(beats: list[int]) -> float:
        model, beat = training.state.average.model, partial(beats.append, 1)
        return evaluate(model, images, masks, terrain.spec, device=GPU, beat=beat).score

    at_once, in_parts = list[int](), list[int]()
    release()
    torch.cuda.reset_peak_memory_stats(GPU)
    before = torch.cuda.memory_reserved(GPU)
    expected = score(at_once)
    limit(before + (torch.cuda.max_memory_reserved(GPU) - before) / 2)
    assert score(in_parts) == pytest.approx(expected, abs=0.01)
    assert len(in_parts) > len(at_once) == 1


def test_a_repeated_step_takes_the_generator_of_the_gpu_back(terrain: Dataset) -> None:
    """Dropout draws there: what a failed attempt drew must not count."""
    states = []
    for room, micro_batch in ((BATCH // 2, BATCH), (BATCH, BATCH // 2)):
        training = start(terrain)
        training.state.micro_batch = micro_batch
        leave_room(training, room)
        train_epoch(training)
        assert training.state.micro_batch == BATCH // 2
        states.append(torch.cuda.get_rng_state(GPU))
    assert torch.equal(*states)


def test_mixed_precision_stays_finite(terrain: Dataset) -> None:
    training = start(terrain, epochs=3)
    assert training.state.bf16 == computes_bf16(GPU)
    assert all(math.isfinite(result.loss) for result in fit(training))
    assert_sound(training)


def test_a_resumed_run_agrees_within_the_noise_of_a_gpu(terrain: Dataset) -> None:
    whole = start(terrain, epochs=4)
    saved = b""
    for result in fit(whole):
        if result.number == 2:
            saved = whole.state.to_bytes()
    resumed = start(terrain, epochs=4)
    torch.manual_seed(999)  # another process has drawn other numbers
    resumed.state.load_bytes(saved)
    assert_sound(resumed)
    list(fit(resumed))
    ours, theirs = resumed.state.history, whole.state.history
    assert [result.learning_rate for result in ours] == [result.learning_rate for result in theirs]
    assert [result.score for result in ours] == pytest.approx(
        [result.score for result in theirs], abs=0.05
    )
    assert [result.loss for result in ours] == pytest.approx(
        [result.loss for result in theirs], rel=0.05
    )
    assert_sound(resumed)


def test_a_score_can_be_measured_again_by_a_process_that_chose_its_algorithms_otherwise(
    terrain: Dataset,
) -> None:
    training = start(terrain, epochs=1)
    torch.backends.cudnn.benchmark = True  # as a trial's process has it
    (result,) = fit(training)
    assert result.scored_on == processor_of(GPU)
    torch.backends.cudnn.benchmark = False
    model, validation = training.state.average.model, terrain.parts["validation"]
    for _ in range(3):
        again = evaluate(
            model, terrain.images[validation], terrain.masks[validation], terrain.spec, device=GPU
        ).score
        assert again == result.score
