"""A training state as bytes: what is no state of this trial is refused in one line."""

import dataclasses
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from objectives.config import SGD, AdamW, Config, Optimiser, Train, UNet
from objectives.data.dataset import Dataset
from objectives.errors import WorldError
from objectives.statistics.resampling import blocks_of
from objectives.training import state as training_state
from objectives.training.fit import Training, fit, prepare
from objectives.training.results import EpochResult
from tests.support.training_checks import header_of


def config_of(optimiser: Optimiser | None = None, steps_per_epoch: int = 1) -> Config:
    train = Train(epochs=1, batch_size=16, scale=0.5, steps_per_epoch=steps_per_epoch)
    return Config(model=UNet(depth=2, base_filters=4), optimiser=optimiser or AdamW(), train=train)


def start(config: Config, data: Dataset) -> Training:
    return prepare(config, data, seed=0, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def written(terrain: Dataset) -> tuple[Training, bytes]:
    """A training of one epoch, and its state as bytes."""
    training = start(config_of(), terrain)
    list(fit(training))
    return training, training.state.to_bytes()


def with_header(blob: bytes, state: Any) -> bytes:
    return save(load(blob), metadata={"state": json.dumps(state)})


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(written: tuple[Training, bytes], noise: bytes) -> None:
    for blob in (noise, len(noise).to_bytes(8, "little") + noise):
        with pytest.raises(WorldError, match=r"the checkpoint is no state of this trial: .+"):
            written[0].state.load_bytes(blob)


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_a_truncated_state_is_refused(written: tuple[Training, bytes], share: float) -> None:
    training, blob = written
    with pytest.raises(WorldError, match="no state of this trial"):
        training.state.load_bytes(blob[: int(share * len(blob))])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
PARTS = (
    "tensors",
    "learning_rate",
    "updates",
    "history",
    "optimiser",
    "groups",
    "config",
    "micro_batch",
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(part=st.sampled_from(PARTS), value=JSON)
def test_a_header_of_another_shape_is_refused_or_read_but_never_a_traceback(
    written: tuple[Training, bytes], part: str, value: Any
) -> None:
    training, blob = written
    for state in (value, header_of(blob) | {part: value}):
        with suppress(WorldError):
            training.state.load_bytes(with_header(blob, state))
    training.state.load_bytes(blob)
    assert training.state.to_bytes() == blob


@pytest.mark.parametrize(
    "left_out", ["model.network", "average.network", "optimiser.3", "random", "confusion", "scored"]
)
def test_a_state_that_lacks_a_part_is_refused(
    left_out: str, written: tuple[Training, bytes]
) -> None:
    training, blob = written
    kept = {name: value for name, value in load(blob).items() if not name.startswith(left_out)}
    assert len(kept) < len(load(blob))
    with pytest.raises(WorldError, match="no state of this trial"):
        training.state.load_bytes(save(kept, metadata={"state": json.dumps(header_of(blob))}))


def test_weights_alone_and_the_state_of_another_config_are_refused(
    written: tuple[Training, bytes], terrain: Dataset
) -> None:
    training, blob = written
    with pytest.raises(WorldError, match="no state of this trial"):
        training.state.load_bytes(training.state.weights_bytes())
    wider = training.state.config.model_copy(update={"model": UNet(depth=2, base_filters=8)})
    with pytest.raises(WorldError) as caught:
        start(wider, terrain).state.load_bytes(
            with_header(blob, header_of(blob) | {"config": wider.model_dump(mode="json")})
        )
    assert "\n" not in str(caught.value), "torch's message has many lines"
    for other in (config_of(steps_per_epoch=2), config_of(SGD())):
        with pytest.raises(WorldError, match="another config"):
            start(other, terrain).state.load_bytes(blob)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
)
def test_a_device_at_fault_is_not_taken_for_a_state_that_is_none(
    error: Exception, written: tuple[Training, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    training, blob = written
    monkeypatch.setattr(training.state.optimiser, "load_state_dict", Mock(side_effect=error))
    with pytest.raises(type(error)):
        training.state.load_bytes(blob)


def test_a_state_holds_the_weights_that_are_scored(terrain: Dataset) -> None:
    training = start(config_of(), terrain)
    epochs = fit(training)
    next(epochs)
    best = training.state.weights_bytes()
    assert training.state.scored_weights == best
    training.state.note(
        replace(training.state.history[0], number=2, score=0.0), training.state.confusions_GKK
    )
    assert training.state.scored_weights == best
    other = start(config_of(), terrain).state
    other.load_bytes(training.state.to_bytes())
    assert other.scored_weights == best
    assert other.scored.number == 1


def test_a_state_knows_what_it_scores_without_some_places(terrain: Dataset) -> None:
    """Of the epoch that counts, also after it was written and read; a state of before has one matrix."""
    training = start(config_of(), terrain)
    state = training.state
    assert state.left_out() == ()
    next(fit(training))
    blocks = blocks_of(terrain.groups[terrain.parts["validation"]])
    found = state.left_out()
    assert len(found) == len(set(blocks.tolist())) >= 2
    without = np.delete(state.confusions_GKK.numpy(), 1, axis=0).sum(axis=0)
    assert found[1] == pytest.approx(terrain.spec.scoring.of(without))
    again = start(config_of(), terrain).state
    again.load_bytes(state.to_bytes())
    assert again.left_out() == found
    whole = state.confusions_GKK.sum(0)
    state.confusions_GKK = whole
    again.load_bytes(state.to_bytes())
    assert torch.equal(again.confusions_GKK.sum(0), whole)
    assert again.left_out() == ()


def test_a_state_is_plain_data(written: tuple[Training, bytes]) -> None:
    _, blob = written
    assert {field.name for field in dataclasses.fields(EpochResult)} == header_of(blob)["history"][
        0
    ].keys()
    assert all(isinstance(value, torch.Tensor) for value in load(blob).values())


@pytest.mark.parametrize("began_in_bf16", [False, True])
def test_a_trial_goes_on_in_the_precision_it_began_with(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch, began_in_bf16: bool
) -> None:
    monkeypatch.setattr(training_state, "computes_bf16", lambda device: began_in_bf16)
    first = start(config_of(), terrain)
    assert first.state.bf16 is began_in_bf16
    monkeypatch.setattr(training_state, "computes_bf16", lambda device: not began_in_bf16)
    second = start(config_of(), terrain)
    second.state.load_bytes(first.state.to_bytes())
    assert second.state.bf16 is began_in_bf16
    for one, other in zip(fit(first), fit(second), strict=True):
        assert (one.loss, one.score) == (other.loss, other.score)


def test_bf16_is_off_when_the_config_says_so_and_changes_the_loss_when_it_is_on(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_state, "computes_bf16", lambda device: True)
    config = config_of()
    plain = start(
        config.model_copy(update={"train": config.train.model_copy(update={"bf16": False})}),
        terrain,
    )
    mixed = start(config, terrain)
    assert (plain.state.bf16, mixed.state.bf16) == (False, True)
    (one,), (other,) = list(fit(plain)), list(fit(mixed))
    assert one.loss != other.loss
    assert one.loss == pytest.approx(other.loss, rel=0.05)


def test_a_state_remembers_how_many_frames_memory_has_room_for(
    written: tuple[Training, bytes], terrain: Dataset
) -> None:
    training, blob = written
    whole = training.state.config.train.batch_size
    assert header_of(blob)["micro_batch"] == whole
    other = start(training.state.config, terrain).state
    other.load_bytes(with_header(blob, header_of(blob) | {"micro_batch": 3}))
    assert other.micro_batch == 3
    older = {name: value for name, value in header_of(blob).items() if name != "micro_batch"}
    other.load_bytes(with_header(blob, older))
    assert other.micro_batch == whole, "a state from before there were parts"
    for impossible in (0, -1, whole + 1, "many", None):
        with pytest.raises(WorldError, match="no state of this trial"):
            other.load_bytes(with_header(blob, header_of(blob) | {"micro_batch": impossible}))
