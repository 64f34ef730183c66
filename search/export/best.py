"""``search export-best``: the winner's weights, or several runs' average, as a bundle, checked
after it was written.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
import torch

from objectives.bundle.bundle_folder import check_bundle, refuse_taken, write_bundle
from objectives.bundle.provenance import FlipScores, Provenance
from objectives.data.dataset import Dataset, has_labels
from objectives.data.resplit import dealt
from objectives.device.fallback import gpu_or_cpu
from objectives.ensemble.program import reflipped
from objectives.errors import UserError
from objectives.outputs.atomic import refuse_unwritable
from objectives.program.settings import FlipsWanted, ProgramSettings, sensible_flips
from objectives.scoring.inspection import Inspection
from objectives.statistics.resampling import score_covariances
from search.confirm.standing import read_standing
from search.export.description import describe
from search.export.ensemble import restore_ensemble
from search.export.ensemble_choice import Combined, EnsembleChoice, Listed, Single
from search.export.exported_program import ExportedProgram
from search.export.restored import open_data, restore_run, scoring_device
from search.export.retrain import retrained, write_retraining
from search.export.winner import Winner, best_trial, find_winner, named_trial, refuse_confirmation
from search.place import Place
from search.posterior.networks import probability_above
from search.posterior.standing import SURE
from search.study.looks import counted_look
from search.study.stored import Study

RetrainChoice = Literal["none", "all"]
SINGLE = Single()
OF_THE_SEARCH = (
    "The study has a confirmation, which says nothing of this: the members and the single model that "
    "they are weighed against are trials of the search."
)


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is to be exported, and how.

    ``test`` opens the sealed test part; the look is counted in the study and printed in the model
    card. ``flips`` averages over flipped frames; ``auto`` only where that is surely better.
    ``ensemble`` combines several runs instead of the one. ``retrain`` exports the config
    trained on every labelled frame instead, by a worker on ``device`` of this host, with the scores
    of the model before.
    """

    source: str = ""  # the study's data, where they lie elsewhere
    force: bool = False
    test: bool = True
    flips: FlipsWanted = "off"
    trial: int | None = None  # this one, instead of the winner
    ensemble: EnsembleChoice = SINGLE
    retrain: RetrainChoice = "none"
    device: str = "auto"
    within: float = 0.0  # of the best score: the cheapest that is so close

    def __post_init__(self) -> None:
        """Refuse choices that exclude each other.

        Raises:
            UserError: Two of them do.
        """
        if self.retrain == "all" and self.ensemble != SINGLE:
            raise UserError("--retrain all trains one config: leave out either it or --ensemble")
        if self.trial is not None and self.ensemble != SINGLE:
            raise UserError("--trial names one model: leave out either it or --ensemble")
        if not 0.0 <= self.within < 1.0:
            raise UserError(
                f"--within must be a share of the score from 0 to 1, got {self.within:g}"
            )
        if self.within and (self.trial is not None or self.ensemble != SINGLE):
            raise UserError("--within chooses one model: leave out --trial and --ensemble")


USUAL = ExportRequest()


def export_best(study: Study, place: Place, out: Path, asked: ExportRequest = USUAL) -> Provenance:
    """Write the bundle of the confirmed winner, else of the best trial, or of the one that is asked
    for.

    Nothing appears at ``out`` unless every check passed.

    Raises:
        UserError: There is no complete trial, or ``out`` is taken.
        WorldError: A check fails.
        NotBetterError: An ensemble is not surely better than the single model.
    """
    refuse_taken(out, force=asked.force)
    refuse_unwritable(out)  # before minutes of work, and before the seal is broken
    winner = _winner(study, place, asked)

    def export(scoring: torch.device) -> Provenance:
        chosen = restore_chosen(
            study, winner, place, asked.source, asked.ensemble, gpu=scoring.type == "cuda"
        )
        candidate = with_flips(chosen, asked.flips)
        # without labels: no score, nothing to open
        opens = asked.test and has_labels(candidate.data, "test")
        with counted_look(study) if opens else nullcontext():
            return _written(study, place, candidate, out, replace(asked, test=opens))

    try:
        return gpu_or_cpu(scoring_device(), export)
    finally:
        if winner.study is not study:
            winner.study.close()


def _winner(study: Study, place: Place, asked: ExportRequest) -> Winner:
    if asked.trial is not None:
        return named_trial(study, asked.trial)
    if not isinstance(asked.ensemble, Single) and asked.ensemble.searched:
        # whatever a confirmation says
        refuse_confirmation(study.spec)
        confirmed = read_standing(study, place.storage) is not None
        return replace(best_trial(study), remarks=(OF_THE_SEARCH,) if confirmed else ())
    return find_winner(study, place.storage, within=asked.within)


def _written(
    study: Study, place: Place, candidate: ExportedProgram, out: Path, asked: ExportRequest
) -> Provenance:
    """Write the candidate's bundle, checked; returns where it comes from."""
    images, masks = candidate.pixels("validation")
    retraining = write_retraining(study, candidate, place) if asked.retrain == "all" else ""
    provenance = describe(study, candidate, test=asked.test)
    if retraining:
        candidate, provenance = retrained(
            retraining, candidate, provenance, place, device=asked.device, source=asked.source
        )
    write_bundle(
        out,
        candidate.segmenter,
        candidate.settings,
        provenance,
        frames=candidate.data.hashes_by_part,
        force=asked.force,
        check=lambda bundle: check_bundle(bundle, images, masks, device=candidate.device),
    )
    return provenance


def restore_chosen(
    study: Study,
    winner: Winner,
    place: Place,
    source: str,
    ensemble: EnsembleChoice,
    *,
    gpu: bool = True,
) -> ExportedProgram:
    """Return the winner, or the ensemble that is asked for, with its weights restored.

    It raises as `restore` and `restore_ensemble` do.
    """
    match ensemble:
        case Single():
            return restore(study, winner, place, source, gpu=gpu)
        case Combined() | Listed():
            data = _data_of(winner, open_data(study, place, source))
            return restore_ensemble(winner, data, place, ensemble, gpu=gpu)
        case _:
            assert_never(ensemble)


def restore(
    study: Study, winner: Winner, place: Place, source: str, *, gpu: bool = True
) -> ExportedProgram:
    """Return the winner with its weights restored.

    Raises:
        UserError: With other data than the study's.
        WorldError: Without its weights.
    """
    data = _data_of(winner, open_data(study, place, source))
    restored = restore_run(winner.study, winner.trial_id, data, place.artifacts, gpu=gpu)
    settings = ProgramSettings.single(restored.config, data.spec)
    return ExportedProgram(
        winner,
        settings,
        (restored.origin,),
        restored.device,
        restored.scored_on,
        restored.segmenter,
        data,
    )


def _data_of(winner: Winner, data: Dataset) -> Dataset:
    """Return the study's frames with the parts on which the winner was trained and scored."""
    return dealt(data, winner.study.run(winner.run_number).dealing)


def with_flips(candidate: ExportedProgram, choice: FlipsWanted) -> ExportedProgram:
    """Return the candidate with its program averaging over flips, as chosen, and both scores; as it
    is for ``off``. For ``auto`` it does where that is better with more than `SURE`.

    Raises:
        WorldError: Its score without flips is not the one that was reported.
    """
    if choice == "off":
        return candidate
    flips = sensible_flips(candidate.settings)
    segmenter, settings = reflipped(candidate.segmenter, candidate.settings, flips)
    plain = candidate.inspect("validation")
    mirrored = candidate.inspect("validation", segmenter)
    without, averaged = plain.evaluation.score, mirrored.evaluation.score
    candidate.refuse_other_score(without)
    better = _better(plain, mirrored)
    used = choice == "on" or (better is not None and better > SURE)
    scores = FlipScores(flips=flips, without=without, averaged=averaged, used=used, better=better)
    measured = replace(candidate, flips=scores)
    return (
        replace(measured, segmenter=segmenter, settings=settings, scored_on=candidate.scores_on)
        if used
        else measured
    )


def _better(plain: Inspection, mirrored: Inspection) -> float | None:
    """Return how probably mirrored predictions of the same network are truly better, None with one
    place. Nobody has chosen anything by them, so the gain on the same frames needs no correction.
    """
    confusions = np.stack([mirrored.evaluation.judged_GKK, plain.evaluation.judged_GKK])
    places = confusions.shape[1]
    if places < 2:
        return None
    covariances = score_covariances(confusions, plain.scoring)
    sd = float(np.array([1.0, -1.0]) @ covariances @ np.array([1.0, -1.0])) ** 0.5
    return probability_above(mirrored.evaluation.score - plain.evaluation.score, sd, places)
