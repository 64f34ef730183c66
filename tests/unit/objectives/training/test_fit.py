"""Training: equal seeds give equal bits, a resumed run is the uninterrupted one, and every way in
which it ends.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

import objectives.training.fit
from objectives.config import (
    SGD,
    Adam,
    AdamW,
    Config,
    Cosine,
    Lion,
    Loss,
    OneCycle,
    Optimiser,
    Plateau,
    Schedule,
    SecondPhase,
    Train,
    UNet,
)
from objectives.data.dataset import Dataset
from objectives.device.processor import Processor
from objectives.program.pixels import pixels_BCHW
from objectives.scoring.evaluate import Evaluation, evaluate
from objectives.training.fit import DivergedError, Training, fit, prepare
from objectives.training.results import EpochResult
from tests.support.training_checks import assert_same_state

CPU = torch.device("cpu")
EPOCHS = 4
SOMEWHERE = Processor("cpu", "any")
RUNS = [
    (AdamW(), Cosine(), 0.9),
    (AdamW(), Plateau(factor=0.5, patience=0), 0.9),
    (AdamW(), Plateau(factor=0.5, patience=0, watch="loss"), 0.9),
    (Adam(weight_decay=0.01), OneCycle(), 0.99),
    (SGD(), Plateau(factor=0.5, patience=0), 0.0),
    (SGD(momentum=0.0), Cosine(), 0.5),
    (AdamW(), OneCycle(), 0.0),
    (Lion(), Cosine(), 0.9),
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bits are equal for equal thread counts only."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def config_of(
    optimiser: Optimiser | None = None, schedule: Schedule | None = None, **train: Any
) -> Config:
    """A tiny network with dropout, so that the random generator's state matters."""
    return Config(
        model=UNet(depth=2, base_filters=4, dropout=0.3),
        loss=Loss(cross_entropy=0.7, dice=0.3),
        optimiser=optimiser or AdamW(),
        schedule=schedule or Cosine(),
        train=Train(
            **{"epochs": EPOCHS, "batch_size": 16, "scale": 0.5, "steps_per_epoch": 2, "ema": 0.9}
            | train
        ),
    )


def start(config: Config, data: Dataset, seed: int = 0) -> Training:
    return prepare(config, data, seed=seed, device=CPU)


def resume(config: Config, data: Dataset, blob: bytes, seed: int = 0) -> Training:
    """A training as another process would go on with it: whatever random numbers that one has
    drawn.
    """
    training = start(config, data, seed)
    torch.manual_seed(999)
    training.state.load_bytes(blob)
    return training


def score_of_weights(training: Training) -> float:
    """The validation score of the weights that ``weights_bytes`` gives."""
    data, model = (
        training.data,
        start(training.state.config, training.data, seed=77).state.average.model,
    )
    model.load_state_dict(load(training.state.weights_bytes()))
    unseen = data.parts["validation"]
    return evaluate(model, data.images[unseen], data.masks[unseen], data.spec, device=CPU).score


def test_an_epoch_tells_what_it_gave(terrain: Dataset) -> None:
    training = start(config_of(), terrain)
    results = list(fit(training))
    assert [result.number for result in results] == [1, 2, 3, 4]
    assert results == training.state.history
    assert training.state.finished
    for result in results:
        assert 0.0 <= result.score <= 1.0
        assert result.loss > 0.0
        assert result.seconds > 0.0
        assert len(result.iou) == terrain.spec.num_classes
        scored = [result.iou[label] for label in terrain.spec.scored]
        assert result.score == pytest.approx(np.nanmean(scored))
    assert results[-1].loss < results[0].loss
    assert results[-1].learning_rate == pytest.approx(0.0)


def test_equal_seeds_give_equal_bits_and_others_do_not(terrain: Dataset) -> None:
    states = []
    for seed in (0, 0, 1):
        training = start(config_of(epochs=2), terrain, seed)
        list(fit(training))
        states.append(training.state.to_bytes())
    assert_same_state(states[0], states[1])
    with pytest.raises(AssertionError):
        assert_same_state(states[0], states[2])


@pytest.mark.parametrize(("optimiser", "schedule", "ema"), RUNS, ids=str)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(
    optimiser: Optimiser, schedule: Schedule, ema: float, terrain: Dataset
) -> None:
    config = config_of(optimiser, schedule, ema=ema)
    whole = start(config, terrain)
    saved = [whole.state.to_bytes()]
    for _ in fit(whole):
        saved.append(whole.state.to_bytes())
    for epoch in (1, 3):
        resumed = resume(config, terrain, saved[epoch])
        assert_same_state(resumed.state.to_bytes(), saved[epoch])
        for result in fit(resumed):
            assert_same_state(resumed.state.to_bytes(), saved[result.number])
        assert resumed.state.epoch == EPOCHS


def test_every_part_of_the_state_counts(terrain: Dataset) -> None:
    """What the test above compares would differ if a resume forgot the generator or the
    schedule.
    """
    config = config_of(epochs=2)
    whole = start(config, terrain)
    with closing(fit(whole)) as epochs:
        next(epochs)
        saved = whole.state.to_bytes()
        next(epochs)
    for forget in (
        lambda state: torch.manual_seed(5),
        lambda state: setattr(state.learning_rate, "steps", 0),
    ):
        resumed = resume(config, terrain, saved)
        forget(resumed.state)
        list(fit(resumed))
        with pytest.raises(AssertionError):
            assert_same_state(resumed.state.to_bytes(), whole.state.to_bytes())


def test_a_resumed_state_has_its_memory_format_back(terrain: Dataset) -> None:
    config = config_of(epochs=1)
    whole = start(config, terrain)
    list(fit(whole))
    resumed = resume(config, terrain, whole.state.to_bytes())
    for ours, theirs in zip(
        resumed.state.model.parameters(), whole.state.model.parameters(), strict=True
    ):
        assert ours.stride() == theirs.stride()
        for name, value in whole.state.optimiser.state[theirs].items():
            assert resumed.state.optimiser.state[ours][name].stride() == value.stride()


def test_the_scored_weights_are_those_that_are_saved(terrain: Dataset) -> None:
    training = start(config_of(epochs=2), terrain)
    for result in fit(training):
        assert score_of_weights(training) == result.score


def test_training_ends_early_and_the_best_weights_are_at_hand_when_they_are_made(
    terrain: Dataset,
) -> None:
    training = start(
        config_of(
            SGD(learning_rate=10.0), Plateau(patience=100), epochs=30, early_stopping=2, ema=0.0
        ),
        terrain,
    )
    best = (0.0, b"")
    for result in fit(training):
        if training.state.scored is result:
            best = (score_of_weights(training), training.state.weights_bytes())
            kept = training.state.confusions_GKK.clone()
    scores = [result.score for result in training.state.history]
    top = scores.index(max(scores)) + 1
    assert len(scores) == top + 2 < 30
    assert training.state.scored.number == top
    assert best[0] == max(scores)
    assert best[1] != training.state.weights_bytes(), "the last weights are not the best ones"
    assert torch.equal(training.state.confusions_GKK, kept)
    resumed = resume(training.state.config, terrain, training.state.to_bytes())
    assert resumed.state.finished
    assert list(fit(resumed)) == []


def test_of_equal_scores_the_first_is_the_best(terrain: Dataset) -> None:
    state = start(config_of(epochs=9, early_stopping=2), terrain).state
    for number, score in enumerate((0.1, 0.3, 0.3), start=1):
        state.history.append(EpochResult(number, score, 1.0, 0.1, (), 0.0, SOMEWHERE))
        assert not state.finished
    assert state.scored.number == 2
    state.history.append(EpochResult(4, 0.3, 1.0, 0.1, (), 0.0, SOMEWHERE))
    assert state.finished


def test_plateau_hears_the_scores(terrain: Dataset) -> None:
    training = start(config_of(schedule=Plateau(factor=0.5, patience=0), epochs=6), terrain)
    base, seen, best = training.state.config.optimiser.learning_rate, [], -1.0
    results = list(fit(training))
    factor = 1.0
    for result in results:
        seen.append(factor * base)
        factor, best = (factor, result.score) if result.score > best else (factor * 0.5, best)
    assert [result.learning_rate for result in results] == seen
    assert training.state.learning_rate.value == factor * base


def test_plateau_hears_the_scores_of_a_run_before_instead(terrain: Dataset) -> None:
    config = config_of(schedule=Plateau(factor=0.5, patience=0), epochs=4)
    told = (0.9, 0.1, 0.95, 0.2)
    training = prepare(config, terrain, seed=0, device=CPU, heard=told)
    full = config.optimiser.learning_rate
    assert [result.learning_rate for result in fit(training)] == [full, full, full / 2, full / 2]
    assert training.state.learning_rate.value == full / 4
    assert [result.score for result in training.state.history] != list(told)


def loss_by_hand(training: Training) -> float:
    """The mixture of the first phase on the whole validation part, by the averaged weights."""
    data, unseen = training.data, training.data.parts["validation"]
    masks_BHW = torch.from_numpy(np.array(data.masks[unseen])).long()
    with torch.inference_mode():
        logits_BKHW = training.state.average.model.eval()(pixels_BCHW(data.images[unseen]))
        return float(training.losses.first(logits_BKHW, masks_BHW))


def test_the_validation_loss_is_that_of_the_mixture_and_computed_where_something_goes_by_it(
    terrain: Dataset,
) -> None:
    watching = config_of(schedule=Plateau(factor=0.5, patience=0, watch="loss"), epochs=5)
    training, rate, best, factor = (
        start(watching, terrain),
        watching.optimiser.learning_rate,
        math.inf,
        1.0,
    )
    for result in fit(training):
        assert result.validation_loss == pytest.approx(loss_by_hand(training), rel=1e-5)
        assert result.learning_rate == factor * rate
        factor, best = (
            (factor, result.validation_loss)
            if result.validation_loss < best
            else (factor * 0.5, best)
        )
    assert training.state.learning_rate.value == factor * rate
    assert config_of(early_stopping=2, stop_on="loss").reads_validation_loss
    for silent in (
        config_of(early_stopping=2),
        config_of(stop_on="loss"),
        config_of(schedule=Plateau()),
    ):
        assert not silent.reads_validation_loss
    (first,) = fit(start(config_of(epochs=1), terrain))
    assert math.isnan(first.validation_loss)


def test_a_plateau_that_watches_the_loss_trains_otherwise_than_one_that_watches_the_score(
    terrain: Dataset,
) -> None:
    """The learning rates differ where score and loss disagree: at a rate by which both go up and
    down.
    """
    rates = []
    for watch in ("score", "loss"):
        config = config_of(
            SGD(learning_rate=3.0), Plateau(factor=0.5, patience=0, watch=watch), epochs=8
        )
        rates.append([result.learning_rate for result in fit(start(config, terrain))])
    assert rates[0] != rates[1]


@pytest.mark.parametrize(("stop_on", "ends"), [("score", 6), ("loss", 4)])
def test_training_stops_on_what_it_watches_and_keeps_the_best_score(
    stop_on: str, ends: int, terrain: Dataset
) -> None:
    state = start(config_of(epochs=9, early_stopping=2, stop_on=stop_on), terrain).state
    for number, (score, loss) in enumerate(
        [(0.1, 0.9), (0.2, 0.5), (0.3, 0.6), (0.4, 0.7), (0.3, 0.8), (0.2, 0.9)], start=1
    ):
        assert not state.finished
        state.history.append(EpochResult(number, score, 1.0, 0.1, (), 0.0, SOMEWHERE, loss))
        if state.finished:
            break
    assert number == ends
    assert state.scored.number == 4


def test_losses_of_the_first_mixture_are_no_measure_for_the_second(terrain: Dataset) -> None:
    config = config_of(epochs=10, early_stopping=2, stop_on="loss").model_copy(
        update={"second_loss": SecondPhase(start=0.3)}
    )
    state = start(config, terrain).state
    # the second begins with the fourth epoch
    for number, loss in enumerate([0.1, 0.2, 0.2, 0.9, 0.8, 0.85, 0.83], start=1):
        state.history.append(EpochResult(number, 0.5, 1.0, 0.1, (), 0.0, SOMEWHERE, loss))
        assert state.finished == (number in (3, 7))


def test_a_validation_loss_that_is_not_finite_ends_training_and_names_the_epoch(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = start(config_of(early_stopping=2, stop_on="loss"), terrain)
    found = Evaluation(
        np.eye(terrain.spec.num_classes, dtype=np.int64)[None], terrain.spec.scoring, math.inf
    )
    monkeypatch.setattr(objectives.training.fit, "evaluate", lambda *_, **__: found)
    with pytest.raises(DivergedError, match="the validation loss is inf in epoch 1"):
        next(fit(training))
    assert training.state.epoch == 0


def test_a_loss_that_is_not_finite_ends_training_and_names_the_epoch(terrain: Dataset) -> None:
    training = start(config_of(), terrain)
    epochs = fit(training)
    next(epochs)
    with torch.no_grad():
        next(training.state.model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="nan in epoch 2"):
        next(epochs)
    assert training.state.epoch == 1
    assert list(epochs) == []


def test_gradients_are_clipped_to_their_largest_norm(terrain: Dataset) -> None:
    """Plain gradient descent moves by learning rate times gradient, so a clip bounds how far one
    step goes.
    """
    for clip, holds in ((0.01, True), (0.0, False)):
        optimiser = SGD(learning_rate=1.0, weight_decay=0.0, momentum=0.0)
        config = config_of(optimiser, Plateau(), epochs=1, steps_per_epoch=1, gradient_clip=clip)
        training = start(config, terrain)
        before = [parameter.detach().clone() for parameter in training.state.model.parameters()]
        next(fit(training))
        moved = [
            (a - b).norm() for a, b in zip(before, training.state.model.parameters(), strict=True)
        ]
        assert (torch.stack(moved).norm() <= 0.01 * 1.001) == holds


def test_an_abandoned_training_closes_between_two_epochs_and_can_go_on(terrain: Dataset) -> None:
    config = config_of()
    training = start(config, terrain)
    with closing(fit(training)) as epochs:
        assert [result.number for result in islice(epochs, 2)] == [1, 2]
    assert list(epochs) == []
    assert training.state.epoch == 2
    resumed = resume(config, terrain, training.state.to_bytes())
    assert [result.number for result in fit(resumed)] == [3, 4]
    torch.manual_seed(1)
    whole = start(config, terrain)
    list(fit(whole))
    assert_same_state(resumed.state.to_bytes(), whole.state.to_bytes())
