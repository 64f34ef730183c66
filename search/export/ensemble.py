"""``search export-best --ensemble``: members chosen among a study's runs, judged, and put into one
program.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np
import torch

from objectives.bundle.belief_in_ensemble import Judged, Share, Weighed
from objectives.bundle.belief_in_one import Named
from objectives.data.dataset import Dataset, rarest_class
from objectives.device.computing import processor_of, threads_of
from objectives.device.processor import refuse_other_score
from objectives.ensemble.judging import JudgedEnsemble, judged_ensemble, refuse_one_place
from objectives.ensemble.library import Rule
from objectives.ensemble.probabilities import Codes, LabelledFrames, measure_member, share_that_fits
from objectives.ensemble.program import Ensemble, combined, stacked
from objectives.ensemble.selection import Even, Greedy, RarePair, Stacked, Strategy, members_in
from objectives.ensemble.stacking import Stack
from objectives.errors import NotBetterError, UserError
from objectives.program.segmenter import Segmenter, placed
from objectives.program.settings import Member, ProgramSettings
from objectives.scoring.evaluate import evaluate
from search.export.ensemble_choice import Combined, Listed
from search.export.exported_program import ExportedProgram
from search.export.member_runs import listed_runs, member_runs
from search.export.restored import Restored, restore_run
from search.export.winner import Winner
from search.place import Place
from search.posterior.networks import Networks, Seen, advantage
from search.posterior.standing import SURE
from search.study.record import Notes
from search.study.spec import stable_seed
from search.study.stored import Study
from search.study.trained import read_networks

BOTH = "the run with the highest score is the best on the rarest class, too, so the average"
OTHERS = ", or --ensemble-searched to combine the search's own trials"


def restore_ensemble(
    winner: Winner, data: Dataset, place: Place, wanted: Combined | Listed, *, gpu: bool = True
) -> ExportedProgram:
    """Return the ensemble of runs that the winner's study holds, which is what is handed out
    instead of the winner.

    Its score is that of its program on the validation part, where it was chosen; the belief in it
    is what it is expected to have over the winner. Without ``gpu`` all is computed on the CPU.

    Raises:
        UserError: With fewer than two runs or places.
        NotBetterError: It is not surely better than the winner.
        WorldError: A run's weights are gone, or score otherwise than they did.
    """
    _refuse_contours(data)
    candidates = (
        listed_runs(winner.study, wanted.members)
        if isinstance(wanted, Listed)
        else member_runs(winner.study)
    )
    runs = [*dict.fromkeys([*candidates, winner.trial_id])]
    frames = _validation_frames(data, members=len(runs))
    refuse_one_place(frames.places)
    library = frames.library(
        tuple(_measured(winner.study, run, data, place, frames, gpu=gpu) for run in runs)
    )
    seed = stable_seed(winner.study.spec.seed, "ensemble")
    judged = judged_ensemble(library, _strategy(wanted, data), seed=seed)
    chosen = members_in(judged.rule)
    members = [
        restore_run(winner.study, runs[run], data, place.artifacts, gpu=gpu) for run in chosen
    ]
    weights = [1.0 if isinstance(judged.rule, Stack) else judged.rule[run] for run in chosen]
    belief = _belief(judged, members, weights, winner, runs, listed=isinstance(wanted, Listed))
    others = "" if winner.study.spec.purpose.searches else OTHERS
    why = BOTH if wanted.members == "rare" else "the best of all averages"
    _refuse_unproven(belief, anyway=wanted.anyway, others=others, why=why)
    settings, program = _program(judged.rule, members, weights, data)
    device = _device(members)
    score = evaluate(program, frames.images, frames.masks, data.spec, device=device).score
    leader = _leader(winner, runs[chosen[0]], score, belief)
    origins = tuple(member.origin for member in members)
    return ExportedProgram(leader, settings, origins, device, processor_of(device), program, data)


def _refuse_contours(data: Dataset) -> None:
    if data.spec.score.boundary:
        raise UserError(
            f"an ensemble is chosen by single pixels, and {data.spec.score_words} goes by contours of whole "
            f"frames: export without --ensemble"
        )


def _validation_frames(data: Dataset, *, members: int) -> LabelledFrames:
    indices = data.parts["validation"]
    masks = data.masks[indices]
    share = share_that_fits(masks, data.spec, members)
    return LabelledFrames(data.images[indices], masks, data.groups[indices], data.spec, share)


def _measured(
    holder: Study, run: int, data: Dataset, place: Place, frames: LabelledFrames, *, gpu: bool
) -> Codes:
    """Return one run's probabilities; its network is let go of.

    Raises:
        WorldError: The network scores otherwise than the run did.
    """
    member = restore_run(holder, run, data, place.artifacts, gpu=gpu)
    with threads_of(member.scored_on):
        measured = measure_member(member.segmenter, frames, device=member.device)
    name = f"trial {member.origin.trial} of study {holder.spec.name!r}"
    here = processor_of(member.device)
    refuse_other_score(
        name, member.score, measured.evaluation.score, now=here, then=member.scored_on
    )
    return measured.codes_PK


def _strategy(wanted: Combined | Listed, data: Dataset) -> Strategy:
    match wanted.members:
        case tuple():
            return Even(len(wanted.members))
        case "rare":
            return RarePair(data.spec.scored.index(rarest_class(data)))
        case int(most):
            return Greedy(most)
        case "stack":
            return Stacked()
        case _:
            assert_never(wanted.members)


def _refuse_unproven(belief: Weighed, *, anyway: bool, others: str, why: str) -> None:
    """Refuse an ensemble that is not surely better than the single model; ``others`` could be, too, and
    ``why`` begins to say how it came to a single member.

    Raises:
        NotBetterError: For any other, unless it is wanted ``anyway``; and for one of a single
            member.
    """
    if len(belief.members) == 1:
        share = belief.members[0]
        raise NotBetterError(
            f"{why} is trial {share.trial} of study {share.study!r} alone: nothing was exported. "
            f"Without --ensemble the run that is believed best is"
        )
    if not (belief.better > SURE or anyway):
        raise NotBetterError(
            f"{belief.what} {belief.verdict} That is no more than {SURE:.0%}: nothing was exported. "
            f"Export without an ensemble, or add --ensemble-anyway{others}"
        )


def _belief(
    judged: JudgedEnsemble,
    members: Sequence[Restored],
    weights: Sequence[float],
    winner: Winner,
    runs: Sequence[int],
    *,
    listed: bool,
) -> Weighed:
    """Return what the ensemble of these members is expected to have over the winner, which is one of
    the runs that were measured.
    """
    assert not isinstance(winner.belief, Weighed | Judged | Named), winner.belief
    study = winner.study
    # a confirmation's runs were not chosen by their scores
    networks = read_networks(study, runs) or Networks.observed(judged.scores_M)
    shares_M = np.array(judged.shares_M)
    seen = Seen(shares_M, judged.over_members, judged.optimism, judged.covariances, judged.places)
    found = advantage(networks, seen, runs.index(winner.trial_id))
    costs = [member.multiply_adds for member in members]
    alone = Notes.of(study.storage.get_trial(winner.trial_id)).multiply_adds
    return Weighed(
        stacked=isinstance(judged.rule, Stack),
        listed=listed,
        members=tuple(
            Share(study=member.origin.study, trial=member.origin.trial, weight=weight)
            for member, weight in zip(members, weights, strict=True)
        ),
        against=Share(study=study.spec.name, trial=winner.run_number, weight=1.0),
        gain=found.gain,
        sd=found.sd,
        better=found.probability,
        believed=found.members,
        over_members=judged.over_members,
        optimism=judged.optimism,
        places=judged.places,
        times=sum(costs) / alone if alone and all(costs) else None,
        single=winner.belief,
    )


def _program(
    rule: Rule, members: Sequence[Restored], weights: Sequence[float], data: Dataset
) -> tuple[ProgramSettings, Segmenter | Ensemble]:
    """Return the members as one program on one device, in their order, and what describes it."""
    pairs = zip(members, weights, strict=True)
    parts = tuple(Member(config=member.config, weight=weight) for member, weight in pairs)
    segmenters = [member.segmenter for member in members]
    if isinstance(rule, Stack):
        settings = ProgramSettings.of(parts, data.spec, combining="stack")
        program: Segmenter | Ensemble = stacked(segmenters, settings, rule)
    else:
        settings = ProgramSettings.of(parts, data.spec)
        program = combined(segmenters, settings)
    return settings, placed(program, _device(members)).eval()


def _device(members: Sequence[Restored]) -> torch.device:
    return max((member.device for member in members), key=lambda each: each.type == "cuda")


def _leader(winner: Winner, run: int, score: float, belief: Weighed) -> Winner:
    """Return the ensemble as the winner that is handed out, under the number of its first run."""
    first = winner.study.storage.get_trial(run)
    confirmed = Notes.of(first).confirmed
    # of the trial whose config it trained
    number = confirmed.candidate if confirmed else first.number
    return Winner(winner.study, run, first.number, number, score, belief, winner.remarks)
