"""`search export-best --retrain all`: the config once more on every labelled frame, with the scores
of the model before.
"""

import dataclasses
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.trial import TrialState
from safetensors.torch import load
from sqlalchemy import text

from objectives.bundle.bundle_folder import load_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.data.resplit import trained_on_everything
from objectives.device.shortage import MemoryTakenError
from objectives.errors import UserError, WorldError
from objectives.training.fit import fit, prepare
from search.export import best as export
from search.export.best import ExportRequest, export_best, restore
from search.export.ensemble_choice import Combined
from search.export.exported_program import ExportedProgram
from search.export.retrain import completed_trial, epochs_of, retrain_name, write_retraining
from search.export.winner import find_winner
from search.place import Place
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.study.trial_lines import read_trials
from search.trials import checkpoints
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker

Maker = Callable[..., None]
EPOCHS = 16
NAME = "small/retrain-0"
TERRAIN = "synthetic:40"
THREADS = text(
    "SELECT threads FROM search_lease JOIN trials USING (trial_id) WHERE study_id = :study_id"
)


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


@pytest.fixture
def make_trained(make_study: Maker, place: Place) -> Iterator[Callable[..., Study]]:
    """Makes a study of one trial, and trains it."""
    opened: list[Study] = []

    def make(*sets: str) -> Study:
        make_study(place.storage, trials=1, sets=sets, source=TERRAIN)
        opened.append(open_study(place.storage, "small"))
        work(opened[0], place)
        return opened[0]

    yield make
    for study in opened:
        study.close()


def work(study: Study, place: Place) -> None:
    run_worker(
        study,
        WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1),
        Orders(),
        print,
    )


def winner_of(study: Study, place: Place) -> ExportedProgram:
    return restore(study, find_winner(study, place.storage), place, "")


def weights_of_everything(
    candidate: ExportedProgram, study: Study
) -> tuple[dict[str, torch.Tensor], list[float]]:
    """What training on all frames gives in this process, uninterrupted, and its learning rates."""
    run = study.run(0)
    whole, config = trained_on_everything(candidate.data), candidate.settings.members[0].config
    with study.engine.connect() as connection:
        theirs = int(connection.execute(THREADS, {"study_id": study.id}).scalar_one())
    # bits are equal for equal thread counts only
    before, _ = torch.get_num_threads(), torch.set_num_threads(theirs)
    training = prepare(
        config, whole, seed=run.seed, device=torch.device("cpu"), last_epoch=EPOCHS, heard=run.heard
    )
    rates = [result.learning_rate for result in fit(training)]
    torch.set_num_threads(before)
    return load(training.state.weights_bytes()), rates


def test_an_export_that_a_gpu_has_no_memory_for_is_done_on_the_cpu_with_one_look(
    make_trained: Callable[..., Study],
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained, tried = make_trained("train.epochs=1"), list[int]()

    def write_bundle(*arguments: Any, **named: Any) -> None:
        tried.append(1)
        if len(tried) == 1:  # after the sealed test part was opened
            raise MemoryTakenError("others hold the memory of cuda:0")

    monkeypatch.setattr(export, "scoring_device", lambda: torch.device("cuda", 0))
    monkeypatch.setattr(export, "write_bundle", write_bundle)
    assert export_best(trained, place, tmp_path / "out").test_looks == 1
    assert (
        "cuda:0 has no memory for it (others hold the memory of cuda:0): the CPU does it instead"
        in capsys.readouterr().err
    )
    assert len(tried) == 2


@pytest.mark.long
def test_an_interrupted_retraining_goes_on_and_its_last_epoch_is_exported(
    search: Any, make_trained: Callable[..., Study], place: Place, tmp_path: Path
) -> None:
    trained = make_trained(f"train.epochs={EPOCHS}", "schedule.kind=plateau", "schedule.patience=0")
    words = [
        "export-best",
        "--study",
        "small",
        "--retrain",
        "all",
        "--no-test",
        "--device",
        "cpu",
        "--cache",
        place.cache,
    ]
    words += [
        "--storage",
        place.storage,
        "--artifacts",
        place.artifacts,
        "--out",
        tmp_path / "first",
    ]
    command = search.start(*words)
    retraining = until_it_trains(place, command)
    os.killpg(command.pid, signal.SIGINT)
    _, errors = command.communicate(timeout=120)
    assert (command.returncode, (tmp_path / "first").exists()) == (130, False), errors
    assert "the same command goes on where it stood" in errors
    work(retraining, place)  # any worker may go on with it

    told = trained.optuna.get_trials()[0]
    provenance = export_best(
        trained, place, tmp_path / "out", ExportRequest(retrain="all", device="cpu")
    )
    bundle, candidate = load_bundle(tmp_path / "out"), winner_of(trained, place)
    frames = len(candidate.data.frame_hashes)
    assert provenance.validation.score == told.value  # of the model before
    assert provenance.validation.frames == len(candidate.data.parts["validation"])
    assert provenance.test is not None
    assert provenance.test_looks == 1
    assert bundle.provenance == provenance
    assert provenance.retrained is not None
    assert (provenance.retrained.frames, provenance.retrained.epochs, provenance.epoch) == (
        frames,
        EPOCHS,
        EPOCHS,
    )
    assert (provenance.retrained.before.study, provenance.members[0].study) == ("small", NAME)
    assert bundle.frames == {"train": frozenset(candidate.data.frame_hashes)}

    run = retraining.run(0)
    assert run.seed == trained.run(0).seed
    assert run.heard == tuple(told.intermediate_values[epoch] for epoch in range(1, EPOCHS + 1))
    weights, rates = weights_of_everything(candidate, retraining)
    assert len(set(rates)) > 2  # the schedule heard that the model before had stopped rising
    assert load((tmp_path / "out" / "model.safetensors").read_bytes()).keys() == weights.keys()
    for name, tensor in load((tmp_path / "out" / "model.safetensors").read_bytes()).items():
        torch.testing.assert_close(tensor, weights[name], msg=name)
    assert (
        bundle.spec.mean
        == trained_on_everything(candidate.data).spec.mean
        != candidate.data.spec.mean
    )

    card = (tmp_path / "out" / "README.md").read_text()
    assert str(provenance.retrained) in card
    with pytest.raises(
        UserError, match=r"no frame .* counts: the bundle was trained on every labelled frame"
    ):
        evaluate_bundle(tmp_path / "out", TERRAIN, split="test")
    new = evaluate_bundle(tmp_path / "out", "synthetic:48")
    assert (new.own, new.looked_at_test) == (0, False)
    retraining.close()


def until_it_trains(place: Place, command: Any) -> Study:
    """The study that retrains, as soon as it has an epoch."""
    while command.poll() is None:
        try:
            study = open_study(place.storage, NAME)
        except UserError:
            time.sleep(0.2)
            continue
        while command.poll() is None:
            if read_trials(study) and read_trials(study)[0].epochs:
                return study
            time.sleep(0.02)
    raise AssertionError(command.communicate())


def test_a_retraining_has_no_score_and_is_taken_for_nothing_else(
    make_trained: Callable[..., Study], place: Place, tmp_path: Path
) -> None:
    trained = make_trained("train.epochs=2")
    candidate = winner_of(trained, place)
    assert write_retraining(trained, candidate, place) == NAME
    assert write_retraining(trained, candidate, place) == NAME  # with equal settings it is the same
    assert retrain_name(dataclasses.replace(candidate.winner, number=7)) == "small/retrain-7"
    retraining = open_study(place.storage, NAME)
    assert retraining.run(0).heard == ()  # its schedule hears none
    with pytest.raises(WorldError, match="goes on where it stood"):
        completed_trial(retraining)
    work(retraining, place)
    assert completed_trial(retraining).user_attrs["value_is"].endswith("no score")
    assert not [key for key in completed_trial(retraining).user_attrs if key.startswith("iou ")]
    status, (line,) = read_status(retraining), read_trials(retraining)
    assert (status.best, status.scored, status.trials["complete"]) == (None, False, 1)
    assert (line.score, line.value, line.epochs, line.recipe) == (
        None,
        None,
        2,
        "trial 0 on all frames",
    )
    pointers = checkpoints.pointers_of(retraining.engine, completed_trial(retraining)._trial_id)
    assert {kind: pointer.epoch for kind, pointer in pointers.items()} == {"best": 2}
    with pytest.raises(UserError, match="without a score: name that one"):
        find_winner(retraining, place.storage)
    retraining.close()

    # of a config that says 9, the run ended early: at the epoch that was best
    other = with_epochs(candidate, 9)
    assert epochs_of(other, trained.optuna.get_trials()[0]) == candidate.origins[0].epoch
    with pytest.raises(UserError, match="leave out either it or --ensemble"):
        export_best(
            trained, place, tmp_path / "model", ExportRequest(ensemble=Combined(2), retrain="all")
        )
    with pytest.raises(UserError, match="is there with other settings"):
        write_retraining(
            trained,
            dataclasses.replace(
                with_epochs(candidate, 9),
                origins=(candidate.origins[0].model_copy(update={"epoch": 1}),),
            ),
            place,
        )
    unlike = dataclasses.replace(
        candidate, winner=dataclasses.replace(candidate.winner, score=candidate.score + 0.01)
    )
    with pytest.raises(WorldError, match="nothing was exported"):
        write_retraining(trained, unlike, place)


def with_epochs(candidate: ExportedProgram, epochs: int) -> ExportedProgram:
    (member,) = candidate.settings.members
    train = member.config.train.model_copy(update={"epochs": epochs})
    changed = member.model_copy(
        update={"config": member.config.model_copy(update={"train": train})}
    )
    return dataclasses.replace(
        candidate, settings=candidate.settings.model_copy(update={"members": (changed,)})
    )


def test_a_name_that_somebody_else_has_is_left_alone(
    make_trained: Callable[..., Study], make_study: Callable[..., None], place: Place
) -> None:
    """Neither a search of the user's own under it, nor another program's study, is to be deleted
    for a retraining.
    """
    trained = make_trained("train.epochs=1")
    make_study(place.storage, trials=3, name=NAME)
    optuna.create_study(
        storage=trained.storage, study_name=f"{NAME}-2", direction="minimize"
    ).set_user_attr("of", "others")
    assert write_retraining(trained, winner_of(trained, place), place) == f"{NAME}-3"
    assert open_study(place.storage, NAME).spec.trials == 3


def test_a_retraining_that_ended_early_is_not_exported(
    make_trained: Callable[..., Study], place: Place
) -> None:
    trained = make_trained("train.epochs=1")
    retraining = open_study(
        place.storage, write_retraining(trained, winner_of(trained, place), place)
    )
    trial = retraining.optuna.ask()
    trial.set_user_attr("end_cause", "diverged")
    retraining.optuna.tell(trial, state=TrialState.FAIL)
    with pytest.raises(
        WorldError,
        match=r"ended as diverged .* delete it with `optuna delete-study --study-name "
        r"\S+/retrain-\d+`",
    ):
        completed_trial(retraining)
    retraining.close()


def test_a_schedule_that_went_by_the_validation_loss_hears_that_of_the_model_before(
    make_trained: Callable[..., Study], place: Place
) -> None:
    sets = "train.epochs=4", "schedule.kind=plateau", "schedule.patience=0", "schedule.watch=loss"
    trained = make_trained(*sets)
    write_retraining(trained, winner_of(trained, place), place)
    retraining = open_study(place.storage, NAME)
    losses = trained.optuna.get_trials()[0].user_attrs["validation_losses"]
    assert retraining.run(0).heard == tuple(-loss for loss in losses)
    assert len(losses) == 4
    work(retraining, place)
    assert completed_trial(retraining).user_attrs["epochs"] == 4
    retraining.close()
