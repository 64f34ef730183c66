"""``search export-best --retrain all``: the winner's config once more on every labelled frame, as a study of one trial.

    write_retraining --> the sealed test part is opened with the model before --> retrained --> bundle

More frames make a better model, and leave none to score it on. So the scores are those of the model before, and belong to the
recipe: the same config, seed, number of epochs and schedule. The study goes through leases, checkpoints and workers like any
other: what was interrupted goes on, and a worker of another host may do it.
"""

import math
import shlex
from dataclasses import replace
from itertools import count

from optuna.trial import FrozenTrial, TrialState
from safetensors.torch import load

from objectives.bundle.provenance import Origin, Provenance, Retrained
from objectives.data.resplit import trained_on_everything
from objectives.ensemble.program import combined
from objectives.errors import UserError, WorldError
from objectives.program.segmenter import build_segmenter, placed
from search.artifacts import open_blobs
from search.export.exported_program import ExportedProgram
from search.export.winner import Winner
from search.place import Place
from search.process.messages import Cause
from search.study.budget import Order, current_budget, is_over
from search.study.learned import Lessons
from search.study.names import RETRAIN, derived_name
from search.study.purpose import Candidate, Retraining
from search.study.record import Notes
from search.study.spec import StudySpec
from search.study.stored import ForeignNameError, Study, create_study, open_study
from search.terminal.how import How
from search.terminal.local import run_locally
from search.trials import checkpoints
from spaces.space import unpruned

ONLY = 0  # the number of the one trial


def retrain_name(winner: Winner) -> str:
    """Return the name of the study that retrains a winner: another winner, or the same one once it
    is confirmed, is another study.

    Raises:
        UserError: It would be too long.
    """
    return derived_name(winner.study.spec.name, f"{RETRAIN}{winner.number}")


def plan(searched: Study, candidate: ExportedProgram) -> StudySpec:
    """Return the study that trains a candidate's config on every labelled frame, once, with the
    seed of the candidate's run.

    Raises:
        UserError: Its name would be too long.
    """
    winner = candidate.winner
    name = retrain_name(winner)
    space = unpruned(searched.space)
    trial = winner.study.storage.get_trial(winner.trial_id)
    epochs = epochs_of(candidate, trial)
    purpose = Retraining(
        study=searched.spec.name,
        candidate=Candidate(number=winner.number, params=dict(trial.params), last_epoch=epochs),
        seed=candidate.origins[0].seed,
        heard=heard_merits(candidate, trial, epochs),
    )
    return searched.spec.model_copy(
        update={
            "lessons": Lessons(),
            "name": name,
            "space": space.to_dict(),
            "space_fingerprint": space.fingerprint,
            "trials": 1,
            "until_s": 0.0,
            "gpu_s": 0.0,
            "recipes": (),
            "recipe_filters": 1.0,
            "purpose": purpose,
        }
    )


def epochs_of(candidate: ExportedProgram, trial: FrozenTrial) -> int:
    """To which epoch to train: the config's last, or the exported one where early stopping ended
    the run, or a limit cut it.
    """
    epochs = candidate.settings.members[0].config.train.epochs
    return candidate.origins[0].epoch if Notes.of(trial).epochs < epochs else epochs


def heard_merits(candidate: ExportedProgram, trial: FrozenTrial, epochs: int) -> tuple[float, ...]:
    """Return the merits by which the run's schedule went, to go the same way again; none for a
    schedule that hears none.

    Frames that are trained on score better and better: by those, the learning rate would never
    fall.
    """
    match candidate.settings.members[0].config.schedule.hears:
        case "loss":
            merits = tuple(-loss for loss in Notes.of(trial).losses)[:epochs]
        case "score":
            merits = tuple(
                trial.intermediate_values.get(epoch, math.nan) for epoch in range(1, epochs + 1)
            )
        case _:
            return ()
    return merits if len(merits) == epochs and all(map(math.isfinite, merits)) else ()


def write_retraining(searched: Study, candidate: ExportedProgram, place: Place) -> str:
    """Write the study that retrains a candidate, or find it there with equal settings; returns its
    name. It trains nothing.

    Raises:
        UserError: The candidate cannot be retrained, or something else stands under that name.
        WorldError: The candidate does not reach its score.
    """
    spec = plan(searched, candidate)
    # of what it trains there will be no score to check
    candidate.refuse_other_score(candidate.inspect("validation").evaluation.score)
    for number in count(1):
        named = (
            spec
            if number == 1
            else spec.model_copy(update={"name": derived_name(spec.name, f"-{number}")})
        )
        try:
            create_study(place.storage, named)
        except ForeignNameError:
            continue
        except UserError as error:
            # somebody's own study: its name is taken
            if not _retrains(place.storage, named.name, searched.spec.name):
                continue
            raise UserError(
                f"study {named.name!r} is there with other settings than this model's: "
                f"{_delete(named.name)}, then export again"
            ) from error
        return named.name
    raise AssertionError("there is no last number")


def _retrains(storage: str, name: str, searched: str) -> bool:
    """Return whether the study of this name is a retraining of a model of the search."""
    study = open_study(storage, name)
    study.close()
    return isinstance(study.spec.purpose, Retraining) and study.spec.purpose.study == searched


def retrained(
    name: str,
    candidate: ExportedProgram,
    before: Provenance,
    place: Place,
    *,
    device: str,
    source: str,
) -> tuple[ExportedProgram, Provenance]:
    """Return the candidate with weights of every labelled frame, and its provenance; trained first,
    unless that is done already.

    All its frames are in the training part. What was decided of the model before is kept: its
    scores, and its flips.

    Raises:
        WorldError: It could not be trained to its last epoch.
    """
    study = open_study(place.storage, name)
    try:
        if not is_over(study):
            run_locally(name, place, workers=1, how=How(device), source=source)
        trial = completed_trial(study)
        pointer = checkpoints.pointers_of(study.engine, trial._trial_id).get(checkpoints.BEST)
        run = study.run(ONLY)
    finally:
        study.close()
    if pointer is None:
        raise WorldError(
            f"the weights of study {name!r} are gone: {_delete(name)}, then export again"
        )
    origin = Origin(study=name, trial=ONLY, seed=run.seed, epoch=pointer.epoch)
    model = with_weights(candidate, open_blobs(place.artifacts).read(pointer.blob), origin)
    said = Retrained(
        frames=len(model.data.frame_hashes), epochs=pointer.epoch, before=before.members[0]
    )
    return model, before.model_copy(
        update={"epoch": pointer.epoch, "members": (origin,), "retrained": said}
    )


def with_weights(candidate: ExportedProgram, weights: bytes, origin: Origin) -> ExportedProgram:
    """Return the candidate with weights that were trained on every labelled frame, which normalise
    by all of them.
    """
    whole = trained_on_everything(candidate.data)
    settings = candidate.settings.model_copy(update={"spec": whole.spec})
    segmenter = build_segmenter(settings.members[0].config, whole.spec)
    segmenter.load_state_dict(load(weights))
    program = placed(combined([segmenter], settings), candidate.device).eval()
    data = replace(whole, parts={"train": whole.parts["train"]})
    return replace(candidate, settings=settings, segmenter=program, data=data, origins=(origin,))


def completed_trial(study: Study) -> FrozenTrial:
    """Return the one trial, trained to its last epoch.

    Raises:
        WorldError: It has not been.
    """
    name = study.spec.name
    trial = study.optuna.get_trials(deepcopy=False)[ONLY]
    if not trial.state.is_finished():
        halted = current_budget(study).order is not Order.RUNNING
        first = f"`search resume --study {shlex.quote(name)}`, then " if halted else ""
        raise WorldError(
            f"study {name!r} has not ended: {first}the same command goes on where it stood"
        )
    notes = Notes.of(trial)
    cause = notes.cause or trial.state.name.lower()
    if trial.state != TrialState.COMPLETE or cause != Cause.COMPLETED:
        why = notes.message or f"after {notes.epochs} epochs"
        raise WorldError(
            f"retraining in study {name!r} ended as {cause} ({why}): {_delete(name)} to try again"
        )
    return trial


def _delete(name: str) -> str:
    """Return how a study is deleted: by Optuna's own command, its rows first; what is left of it is
    garbage of the store.
    """
    return f"delete it with `optuna delete-study --study-name {shlex.quote(name)}`"
