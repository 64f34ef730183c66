"""Batches that memory is too small for: parts of half the size, as if the step had begun with them,
or a clear refusal.
"""

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from objectives.beat import Beat, unheard
from objectives.config import SGD, Config, Loss, Plateau, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device.memory import DoesNotFitError, TooLarge, attempt
from objectives.training.fit import Training, fit, prepare, train_epoch
from objectives.training.micro_batches import StepStart, halved, part_sizes
from objectives.training.step import TrainingStep
from tests.support.training_checks import TOO_MUCH, assert_same_state, leave_room

CPU = torch.device("cpu")
FRAMES = st.integers(1, 5000)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bits are equal for equal thread counts only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(
    data: Dataset, model: UNet | None = None, loss: Loss | None = None, **train: Any
) -> Training:
    """A training of a tiny network, whose dropout and batch norm show what a repeated step has
    drawn and counted.
    """
    common = {
        "epochs": 2,
        "batch_size": 8,
        "scale": 0.25,
        "steps_per_epoch": 2,
        "bf16": False,
        "ema": 0.9,
    }
    config = Config(
        model=model or UNet(depth=2, base_filters=4, dropout=0.3),
        loss=loss or Loss(),
        optimiser=SGD(learning_rate=0.1),
        schedule=Plateau(),
        train=Train(**common | train),
    )
    return prepare(config, data, seed=0, device=CPU)


def end_of(training: Training, micro_batch: int = 8) -> bytes:
    """The state at the end of a run in parts of at most so many frames."""
    training.state.micro_batch = micro_batch
    list(fit(training))
    return training.state.to_bytes()


def step_of(training: Training, beat: Beat = unheard) -> TrainingStep:
    state = training.state
    return TrainingStep(state, training.losses.at(0), StepStart(state.model, CPU), beat)


def frames_of(training: Training, count: int) -> tuple[Tensor, Tensor]:
    """Frames (B, C, H, W) and masks (B, H, W) without a pixel that is ignored."""
    spec = training.data.spec
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(
        0,
        256,
        (count, spec.channels, spec.height, spec.width),
        generator=generator,
        dtype=torch.uint8,
    )
    labels = torch.tensor(spec.scored)[
        torch.randint(0, len(spec.scored), (count, spec.height, spec.width), generator=generator)
    ]
    return images.contiguous(memory_format=torch.channels_last), labels


@given(frames=FRAMES, most=FRAMES)
def test_a_batch_is_divided_evenly_and_no_frame_is_alone(frames: int, most: int) -> None:
    sizes = part_sizes(frames, most)
    assert sum(sizes) == frames
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(2, frames)
    assert max(sizes) <= max(most, 2 + frames % 2)
    if most >= frames:
        assert sizes == [frames]


@given(frames=FRAMES, most=FRAMES)
def test_parts_are_halved_down_to_the_smallest(frames: int, most: int) -> None:
    tried = [part_sizes(frames, most)[0]]
    while smaller := halved(frames, most):
        assert smaller <= max(2, -(-tried[-1] // 2))
        tried.append(part_sizes(frames, most := smaller)[0])
    assert all(one > other for one, other in pairwise(tried))
    assert tried[-1] == min(frames, 2 + frames % 2) or tried == [1]


def test_gradients_of_parts_add_up_to_those_of_the_batch(terrain: Dataset) -> None:
    """For a mean over pixels, all labelled, and a network in which frames do not see each other."""
    found = []
    for most, parts in ((8, 1), (4, 2), (2, 4)):
        training = start(terrain, UNet(depth=2, base_filters=4, norm="group"))
        training.state.micro_batch = most
        beats: list[int] = []
        images_BCHW, masks_BHW = frames_of(training, 8)
        loss = step_of(training, partial(beats.append, 1))._gradients_that_fit(
            images_BCHW, masks_BHW
        )
        assert len(beats) == parts
        gradients = [parameter.grad for parameter in training.state.model.parameters()]
        found.append(
            (
                loss,
                torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]),
            )
        )
    (loss, whole), *others = found
    assert whole.norm() > 0.01
    for other_loss, other in others:
        torch.testing.assert_close(other_loss, loss)
        torch.testing.assert_close(other, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("room", "micro_batch"), [(4, 4), (3, 2), (2, 2)])
def test_a_run_in_parts_is_that_which_began_with_them(
    terrain: Dataset, room: int, micro_batch: int
) -> None:
    """What failed attempts have drawn, counted and added is undone; the size stays for later steps
    and epochs.
    """
    found = start(terrain)
    leave_room(found, room)
    ended = end_of(found)
    assert found.state.micro_batch == micro_batch
    assert_same_state(ended, end_of(start(terrain), micro_batch))
    with pytest.raises(AssertionError):
        assert_same_state(ended, end_of(start(terrain)))


def test_memory_may_run_out_in_the_middle_of_a_batch_of_parts(terrain: Dataset) -> None:
    """Then gradients of parts before are dropped, not added twice."""
    found = start(terrain)
    model, complete, calls = found.state.model, found.state.model.training_outputs, list[int]()

    def training_outputs(pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        calls.append(len(pixels_BCHW))
        if len(calls) == 2:
            raise torch.OutOfMemoryError(TOO_MUCH)
        outputs: tuple[Tensor, ...] = complete(pixels_BCHW)
        return outputs

    model.training_outputs = training_outputs
    ended = end_of(found, 4)
    assert calls[:6] == [4, 4, 2, 2, 2, 2]
    assert_same_state(ended, end_of(start(terrain), 2))


def test_what_a_failed_attempt_held_is_free_when_it_is_repeated(terrain: Dataset) -> None:
    training = start(terrain, steps_per_epoch=1)
    model, complete, held = (
        training.state.model,
        training.state.model.training_outputs,
        list["weakref.ref[Tensor]"](),
    )

    def training_outputs(pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = complete(pixels_BCHW)
        assert [reference for reference in held if reference() is not None] == []
        if len(pixels_BCHW) > 2:
            held.extend(weakref.ref(output) for output in outputs)
            raise torch.OutOfMemoryError(TOO_MUCH)
        return outputs

    model.training_outputs = training_outputs
    train_epoch(training)
    assert len(held) == 2


def test_a_batch_whose_smallest_parts_do_not_fit_says_so_in_one_line(terrain: Dataset) -> None:
    training = start(terrain)
    leave_room(training, 1)
    with pytest.raises(DoesNotFitError) as caught:
        next(fit(training))
    message = str(caught.value)
    assert "\n" not in message
    for words in (
        "a batch of 8 frames of 64 x 128",
        "memory of cpu",
        "not even 2 at a time",
        "train.scale",
        "(no room for 2 frames",
    ):
        assert words in message
    assert caught.value.__context__ is None, (
        "an exception that hangs on to another keeps its tensors"
    )
    assert all(parameter.grad is None for parameter in training.state.model.parameters())


def test_a_lone_frame_and_an_odd_batch_are_as_small_as_they_can_be(terrain: Dataset) -> None:
    for frames, smallest in (
        (1, "1 at a time"),
        (2, "2 at a time"),
        (3, "3 at a time"),
        (5, "3 at a time"),
    ):
        training = start(terrain)
        leave_room(training, 0)
        with pytest.raises(DoesNotFitError, match=smallest):
            step_of(training)(*frames_of(training, frames))


def test_an_update_that_does_not_fit_is_not_repeated(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes weights as it goes: to do it twice would be another step."""
    training = start(terrain)
    tried = []

    def fill(optimiser: Any, arguments: Any, named: Any) -> None:
        tried.append(optimiser)
        raise torch.OutOfMemoryError(TOO_MUCH)

    training.state.optimiser.register_step_pre_hook(fill)
    with pytest.raises(
        DoesNotFitError, match=r"the update of all weights does not fit .*8 frames of 64 x 128"
    ):
        next(fit(training))
    assert len(tried) == 1
    assert training.state.micro_batch == 8


def raising(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


def test_only_memory_that_ran_out_is_taken_for_it() -> None:
    assert attempt(CPU, lambda: 7) == 7
    assert isinstance(attempt(CPU, lambda: torch.empty(2**55)), TooLarge), "a real one"
    unknown = RuntimeError(
        "could not create a primitive descriptor for a convolution forward propagation primitive"
    )
    for error in (
        RuntimeError("CUDA error: an illegal memory access"),
        unknown,
        ValueError("DefaultCPUAllocator"),
    ):
        with pytest.raises(type(error)):
            attempt(CPU, raising(error))


def test_other_errors_of_a_step_are_not_hidden(terrain: Dataset) -> None:
    training = start(terrain)

    def training_outputs(pixels_BCHW: Tensor) -> tuple[Tensor, ...]:
        raise RuntimeError("something else")

    training.state.model.training_outputs = training_outputs
    with pytest.raises(RuntimeError, match="something else"):
        next(fit(training))


def test_training_beats_with_every_part_and_every_batch_of_validation(terrain: Dataset) -> None:
    """Two batches of eight or nine frames an epoch in parts of four or less, and one batch of
    validation.
    """
    training, beats = start(terrain), list[int]()
    for _ in fit(training, lambda: beats.append(1)):
        beats.append(0)
    assert beats == [1, 1, 1, 0] * 2
    training, parts = start(terrain), list[int]()
    training.state.micro_batch = 4
    for _ in fit(training, lambda: parts.append(1)):
        parts.append(0)
    assert parts == [1, 1, 1, 1, 1, 0] * 2
