"""``search export-best``: the winner's weights as a bundle, checked after it was written."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load
from sqlalchemy import update

from objectives.bundle import allowed_difference, check_bundle, refuse_taken, write_bundle
from objectives.bundle_settings import Settings, sensible_flips
from objectives.data.dataset import Dataset, open_dataset
from objectives.ensemble import Ensemble, reflipped
from objectives.errors import WorldError
from objectives.evaluate import evaluate
from objectives.inspection import Inspection, inspect_frames
from objectives.interval import Interval
from objectives.provenance import FlipScores, Origin, PartScore, Provenance, current_versions
from objectives.resampling import iou_interval
from objectives.revision import program_revision
from objectives.segmenter import Segmenter, build_segmenter
from search import checkpoints
from search.blobs import open_blobs
from search.commands.options import Place
from search.passwords import redacted
from search.reproduction import reproduction
from search.retrain import retrained, write_retraining
from search.status import read_status
from search.study import Study, check_worker
from search.tables import STUDY
from search.winner import Winner, find_winner
from spaces import FromParams

RetrainChoice = Literal["none", "all"]
FlipsChoice = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Candidate:
    """The run to export: its numbers, config and trained program, and the data of its study."""

    winner: Winner
    settings: Settings
    epoch: int
    device: torch.device  # of the type on which the trial was scored, where this host has it
    scored_on: str
    segmenter: Segmenter | Ensemble
    data: Dataset
    flips: FlipScores | None = None  # None: not measured

    @property
    def score(self) -> float:
        """Of its program on the validation part: the run's own score, as it was told, unless it averages over flips."""
        return self.flips.averaged if self.flips and self.flips.used else self.winner.score

    def inspect(self, part: str) -> Inspection:
        """Its scores on one part of the study's frames, with a confusion matrix for each place."""
        images_NHWC, masks_NHW = self.pixels(part)
        groups_N = self.data.groups[self.data.parts[part]]
        return inspect_frames(self.segmenter, images_NHWC, masks_NHW, self.data.spec, groups_N=groups_N, device=self.device)

    def pixels(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Frames (N, H, W, C) and masks (N, H, W) of one part."""
        indices = self.data.parts[part]
        return self.data.images[indices], self.data.masks[indices]


def export_best(
    study: Study,
    place: Place,
    out: Path,
    *,
    source: str = "",
    force: bool = False,
    test: bool = True,
    flips: FlipsChoice = "off",
    retrain: RetrainChoice = "none",
    device: str = "auto",
) -> Provenance:
    """Write the bundle of the confirmed winner, else of the best trial; nothing appears at ``out`` unless every check passed.

    ``test`` opens the sealed test part; the look is counted in the study and printed in the model card. ``flips`` averages over
    flipped frames; ``auto`` only where that raises the validation score. ``retrain`` exports the config trained on every
    labelled frame instead, by a worker on ``device`` of this host, with the scores of the model before.
    Raises: UserError without a complete trial, or when ``out`` is taken; WorldError when a check fails.
    """
    refuse_taken(out, force=force)
    winner = find_winner(study, place.storage)
    candidate = with_flips(restore(study, winner, place, source), flips)
    images_NHWC, masks_NHW = candidate.pixels("validation")
    retraining = write_retraining(study, candidate, place) if retrain == "all" else ""
    provenance = describe(study, candidate, test=test)
    if retraining:
        candidate, provenance = retrained(retraining, candidate, provenance, place, device=device, source=source)
    if winner.study is not study:
        winner.study.close()
    write_bundle(
        out,
        candidate.segmenter,
        candidate.settings,
        provenance,
        frames={part: [candidate.data.frame_hashes[i] for i in indices] for part, indices in candidate.data.parts.items()},
        force=force,
        check=lambda bundle: check_bundle(bundle, images_NHWC, masks_NHW, device=candidate.device),
    )
    return provenance


def restore(study: Study, winner: Winner, place: Place, source: str) -> Candidate:
    """The winner with its weights restored.

    Raises: UserError with other data than the study's; WorldError without its weights.
    """
    data = open_dataset(source or study.spec.source, study.spec.data_options, place.cache)
    check_worker(study, data)
    frozen = study.storage.get_trial(winner.trial_id)
    config = study.space.draw(FromParams(frozen.params))
    pointer = checkpoints.pointers_of(study.engine, winner.trial_id).get("best")
    if pointer is None:
        raise WorldError(f"the weights of trial {winner.number} are gone from the study: run the study anew")
    segmenter = build_segmenter(config, data.spec)
    segmenter.load_state_dict(load(open_blobs(place.artifacts).read(pointer.blob)))
    scored_on = "cpu" if frozen.user_attrs.get("device", "cpu") == "cpu" else "cuda"
    device = torch.device(scored_on if scored_on == "cpu" or torch.cuda.is_available() else "cpu")
    segmenter = segmenter.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return Candidate(winner, Settings.single(config, data.spec), pointer.epoch, device, scored_on, segmenter, data)


def with_flips(candidate: Candidate, choice: FlipsChoice) -> Candidate:
    """The candidate with its program averaging over flips, as chosen, and both scores; as it is for ``off``.

    Raises: WorldError when its score without flips is not the one that was told.
    """
    if choice == "off":
        return candidate
    device, flips = candidate.device, sensible_flips(candidate.settings)
    segmenter, settings = reflipped(candidate.segmenter, candidate.settings, flips)
    images_NHWC, masks_NHW = candidate.pixels("validation")
    without, averaged = (
        evaluate(program, images_NHWC, masks_NHW, candidate.data.spec, device=device).score
        for program in (candidate.segmenter, segmenter)
    )
    if not abs(without - candidate.winner.score) <= allowed_difference(device, candidate.scored_on):
        told = candidate.winner.score
        raise WorldError(f"trial {candidate.winner.number} scored {told:.6f}, its weights {without:.6f}; nothing was exported")
    used = choice == "on" or averaged > without
    scores = FlipScores(flips=flips, without=without, averaged=averaged, used=used)
    measured = replace(candidate, flips=scores)
    return replace(measured, segmenter=segmenter, settings=settings) if used else measured


def describe(study: Study, candidate: Candidate, *, test: bool) -> Provenance:
    """Where the model comes from, with its scores; opening the sealed test part counts as a look."""
    counts, winner = read_status(study).trials, candidate.winner
    # the run's own score, as it was told: the bundle's check measures it again
    validation = part_score(candidate, "validation", candidate.inspect("validation"), score=candidate.score)
    looks = count_look(study) if test else test_looks(study)  # counted first: no look without its count
    sealed = candidate.inspect("test") if test else None
    command, program = shlex.join(["search", *(redacted(word) for word in sys.argv[1:])]), program_revision()
    seed = winner.study.run(winner.run_number).seed
    return Provenance(
        study=study.spec.name,
        trial=winner.number,
        trials=sum(counts[state] for state in ("complete", "pruned", "failed")),
        seed=seed,
        epoch=candidate.epoch,
        data=study.spec.data_fingerprint,
        device=candidate.scored_on,
        command=command,
        versions=current_versions(),
        validation=validation,
        belief=winner.belief,
        test=part_score(candidate, "test", sealed, score=sealed.evaluation.score) if sealed else None,
        test_looks=looks,
        min_identical=study.spec.min_identical,
        min_labelled=study.spec.min_labelled,
        max_deviation=study.spec.max_deviation,
        program=program,
        space=study.spec.space_fingerprint,
        members=(Origin(study=winner.study.spec.name, trial=winner.run_number, seed=seed, epoch=candidate.epoch),),
        flips=candidate.flips,
        reproduce=reproduction(study.spec, winner, candidate.data.spec.num_classes, program, command),
    )


def part_score(candidate: Candidate, part: str, found: Inspection, *, score: float) -> PartScore:
    """A part's scores as the bundle stores them, with an interval over its places."""
    resampled = iou_interval(found.confusions_GKK, found.scored)
    interval = resampled.mean.interval
    return PartScore.measured(
        score,
        found.classes,
        found.calibration.error,
        len(candidate.data.parts[part]),
        interval=(interval.low, interval.high) if isinstance(interval, Interval) else None,
        places=resampled.places,
    )


def count_look(study: Study) -> int:
    """Count one look at the sealed test part; returns how many there have been."""
    with study.engine.begin() as connection:
        more = update(STUDY).where(STUDY.c.study_id == study.id).values(test_looks=STUDY.c.test_looks + 1)
        return int(connection.execute(more.returning(STUDY.c.test_looks)).scalar_one())


def test_looks(study: Study) -> int:
    """How often anybody has looked at the sealed test part."""
    with study.engine.connect() as connection:
        return int(connection.execute(STUDY.select().where(STUDY.c.study_id == study.id)).mappings().one()["test_looks"])
