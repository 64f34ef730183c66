"""Which run's weights a study hands out: the confirmed winner's, else those of the trial that is
believed best; or those of a named one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from optuna.trial import TrialState
from sqlalchemy import Row, text

from objectives.bundle.belief import Belief
from objectives.bundle.belief_in_one import Believed, Confirmed, Named, Unconfirmed
from objectives.errors import UserError
from objectives.statistics.interval import Interval, Unknown
from search.confirm.standing import Standing, read_standing
from search.posterior.standing import SURE
from search.study.beliefs import Beliefs, TrialBelief, read_beliefs
from search.study.record import Notes
from search.study.spec import StudySpec, refuse_derived, refuse_without_scores
from search.study.stored import Study, open_study
from search.study.unfinished import read_unfinished
from search.trials.checkpoints import BEST
from spaces import FromParams

WITH_WEIGHTS = text("""
    SELECT trial_id FROM search_checkpoint JOIN trials USING (trial_id)
    WHERE study_id = :study_id AND kind = :kind
""")


@dataclass(frozen=True)
class Winner:
    """A run to export: the trial of ``study`` with this id, which trained the config of a trial of
    the search.

    Of an ensemble it is the first run, which has the largest weight or is the best, with the
    ensemble's score and belief.
    """

    study: Study  # that holds the run: the search itself, or the one that confirms it; close it
    trial_id: int
    run_number: int  # in that study
    number: int  # of the trial in the search
    score: float  # of this very run, on its validation part
    belief: Belief
    # why the study's confirmation does not count, or counts less; that the run is unfinished
    remarks: tuple[str, ...] = ()


def find_winner(searched: Study, storage: str, *, within: float = 0.0) -> Winner:
    """Return the run to export: the confirmed winner's, or the trial that is believed best as long
    as the confirmation chooses none. With ``within`` the cheapest of those that are no more than so
    much worse, with a probability of `SURE`.

    Its validation part is the study's own, or of a confirmation on folds the first of those.

    Raises:
        UserError: Without a complete trial, and for a study that confirms another.
    """
    refuse_confirmation(searched.spec)
    standing = read_standing(searched, storage, within=within)
    if standing is None:
        return best_trial(searched, within=within)
    if standing.choice is None:
        best = best_trial(searched, within=within)
        return replace(best, remarks=(*best.remarks, *standing.remarks))
    confirmed = confirmed_winner(open_study(storage, standing.study), standing)
    remarks = (*confirmed.remarks, *_cheaper_candidate(standing, within))
    return replace(confirmed, remarks=remarks)


def named_trial(searched: Study, number: int) -> Winner:
    """Return a trial of the search, complete or cut by the study's limit, whether it is confirmed
    or not.

    Raises:
        UserError: For any other number, and for a study that confirms another.
    """
    refuse_confirmation(searched.spec)
    cut = {trial.number: trial for trial in read_unfinished(searched)}
    if number in cut:
        return _unfinished(searched, cut[number].trial_id, cut[number].score, Named())
    complete = searched.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    wanted = next((trial for trial in complete if trial.number == number), None)
    if wanted is None or wanted.value is None:
        raise UserError(
            f"--trial must be the number of a complete trial of study {searched.spec.name!r}, got "
            f"{number}: see `search status`"
        )
    return Winner(searched, wanted._trial_id, number, number, wanted.value, Named())


def refuse_confirmation(spec: StudySpec) -> None:
    """Refuse a study that confirms or retrains another.

    Raises:
        UserError: It does.
    """
    refuse_without_scores(spec)
    refuse_derived(spec, "export that one, which picks by what was confirmed")


def best_trial(searched: Study, *, within: float = 0.0) -> Winner:
    """Return the trial to hand out among those whose weights can be had, complete or cut by the study's
    limit: the network of the highest posterior mean of those that surely beat the control's, else the
    control's best. With
    ``within`` as in `find_winner`.

    Raises:
        UserError: Without one.
    """
    cut = {trial.number for trial in read_unfinished(searched)}
    beliefs = read_beliefs(searched)
    places = [
        place for place, each in enumerate(beliefs.ranked) if each.complete or each.number in cut
    ]
    if not places:
        if unjudged := _highest(searched):
            return unjudged
        name = searched.spec.name
        raise UserError(
            f"study {name!r} has no complete trial yet: wait for one (`search status --watch`)"
        )
    there = {row.trial_id for row in _kept(searched)}
    kept = [place for place in places if beliefs.ranked[place].trial_id in there] or places[:1]
    first = beliefs.ranked[kept[0]]
    best = beliefs.ranked[_cheapest(beliefs, kept, within)]
    belief = _belief(best)
    winner = (
        Winner(searched, best.trial_id, best.number, best.number, best.score, belief)
        if best.complete
        else _unfinished(searched, best.trial_id, best.score, belief)
    )
    missed = _without_weights(first, beliefs.ranked[places[0]])
    return replace(winner, remarks=(*winner.remarks, *missed, *_cheaper(best, first, within)))


def _highest(searched: Study) -> Winner | None:
    """Return the complete trial with the highest score where none is judged: somebody else has written
    them, with parameters that are none of the space's.
    """
    complete = searched.optuna.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    best = max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)
    if best is None or best.value is None:
        return None
    belief = Unconfirmed(reason="its parameters are none of the space's")
    return Winner(searched, best._trial_id, best.number, best.number, best.value, belief)


def _cheapest(beliefs: Beliefs, places: Sequence[int], within: float) -> int:
    """Return the place of the network with the fewest multiply-adds, of those that are close to the
    best; of equals the better one.
    """
    if not within:
        return places[0]
    close = [place for place in places[1:] if beliefs.within(place, within, places[0]) >= SURE]
    known = [place for place in close if beliefs.ranked[place].multiply_adds]
    return min([places[0], *known], key=lambda place: beliefs.ranked[place].multiply_adds)


def _cheaper(best: TrialBelief, first: TrialBelief, within: float) -> tuple[str, ...]:
    if best.number == first.number:
        return ()
    share = best.multiply_adds / first.multiply_adds
    more = best.believed.mean - first.believed.mean
    return (
        f"It is the cheapest that is within {within:g} of the best, trial {first.number}, with a "
        f"probability of {SURE:.0%} or more: {share:.2f} of its multiply-adds, "
        f"{abs(more):.4f} {'more' if more > 0 else 'less'} expected.",
    )


def _kept(searched: Study) -> Sequence[Row[tuple[int]]]:
    with searched.engine.connect() as connection:
        return connection.execute(WITH_WEIGHTS, {"study_id": searched.id, "kind": BEST}).all()


def _belief(best: TrialBelief) -> Belief:
    if best.believed.runs <= 1:
        return Unconfirmed(reason="no other run says anything of it", alone=True)
    believed = best.believed
    return Believed(
        weights=True,
        mean=believed.mean,
        sd=believed.sd,
        beats_control=believed.beats_control,
        runs=believed.runs,
    )


def _cheaper_candidate(standing: Standing, within: float) -> tuple[str, ...]:
    assert standing.verdict, standing
    assert standing.choice, standing
    first = standing.verdict.candidates[0].candidate
    if not within or standing.choice.candidate == first:
        return ()
    return (
        f"It is the cheapest candidate that is within {within:g} of the best, trial {first}, with a "
        f"probability of {SURE:.0%} or more, or tied with it.",
    )


def _without_weights(best: TrialBelief, first: TrialBelief) -> tuple[str, ...]:
    if best.number == first.number or first.believed.mean <= best.believed.mean:
        return ()
    return (
        f"Trial {first.number} is believed better by now ({first.believed.mean:.4f} instead of "
        f"{best.believed.mean:.4f}), but its weights were not kept: `search confirm` trains it again.",
    )


def _unfinished(searched: Study, trial_id: int, score: float, belief: Belief) -> Winner:
    trial = searched.storage.get_trial(trial_id)
    epochs = Notes.of(trial).epochs
    planned = searched.space.draw(FromParams(trial.params)).train.epochs
    said = (
        f"Trial {trial.number} is unfinished: cut after {epochs} of up to {planned} epochs, it "
        f"goes on when its study does."
    )
    return Winner(searched, trial_id, trial.number, trial.number, score, belief, (said,))


def confirmed_winner(confirming: Study, standing: Standing) -> Winner:
    """Return the chosen candidate's run with the first seed, on the study's own parts, or on the
    first fold.

    Never the best of its runs: that would be chosen by luck again.
    """
    verdict = standing.verdict
    choice = standing.choice
    assert verdict, standing
    assert choice, standing
    cell = next(run for run in standing.runs if (run.candidate, run.seed) == (choice.candidate, 0))
    chosen = next(each for each in verdict.candidates if each.candidate == choice.candidate)
    belief = Confirmed(
        seeds=chosen.runs,
        folds=bool(standing.plan.folds),
        candidates=len(verdict.candidates),
        mean=chosen.mean,
        expected=choice.expected,
        interval=_bounds(choice.interval),
        beats_control=choice.beats_control if isinstance(choice.beats_control, float) else None,
        corrected=choice.corrected,
    )
    number = confirming.storage.get_trial(cell.trial_id).number
    return Winner(
        confirming, cell.trial_id, number, choice.candidate, cell.score, belief, standing.remarks
    )


def _bounds(interval: Interval | Unknown) -> tuple[float, float] | None:
    return interval.of_shares() if isinstance(interval, Interval) else None
