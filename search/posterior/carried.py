"""Runs carried to the end of their training: what a run would score that was stopped early, and how
far off that may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LAST = 5  # epochs at the end of a whole run whose mean is its score, or a quarter of a short one
RECENT = 3  # of a run that was stopped
EARLY_SD = 0.045  # of what a look at a tenth of the training gets wrong, before any run says more
EARLY_RUNS = 5.0  # how many runs that belief is worth
LEAST_SD = 1e-4
SHORTEST = 4  # epochs of a run whose jumps are told
SEED_SD = 0.02  # of the score of one config, by seed, before any run is known
SEED_JUMPS = 2.5  # the same, by what single epochs of whole runs jump,
LEAST_SEED_SD = 0.002  # and that at least


@dataclass(frozen=True)
class Carried:
    """Scores (N,) of runs at the end of their training, and the deviations of what is wrong with
    them but for their seeds: of the epochs' own jumps, and of an early look, which errs alike for
    configs that are alike.
    """

    scores_N: Floats
    epoch_sds_N: Floats
    early_sds_N: Floats  # 0 for a whole run

    def some(self, places: Sequence[int]) -> "Carried":
        """Return some of the runs, by their places."""
        which = list(places)
        return Carried(self.scores_N[which], self.epoch_sds_N[which], self.early_sds_N[which])


def final_score(scores_E: Floats) -> float:
    """Return the score of a whole run: the mean of its last epochs. Its best epoch would be a score
    that was chosen for being high.
    """
    return float(scores_E[-last_epochs(len(scores_E)) :].mean())


def last_epochs(epochs: int) -> int:
    """Return how many epochs at the end of a training make its score."""
    return max(1, min(LAST, epochs // 4))


def carry(runs: Sequence[Floats], whole: Sequence[bool], epochs: int) -> Carried:
    """Return runs, each its scores by epoch (at least one), carried to ``epochs``; without any whole
    run all stay where they are. A run may be ``whole`` before: where it ended by itself.

    What a run leads the whole ones by at its last epoch is shrunk, the more the earlier that is:
    ``y = mean_J y_j + b_t (m(t) - mean_J m_j(t))`` over whole runs J, with m the mean of the last
    three scores and b rising from 1/2 to 1. The deviation of an early look begins as
    ``0.045 sqrt(T / 10 t) sqrt(1 - t / T)`` and moves to what it has been for the whole runs.
    """
    ended = [run for run, is_whole in zip(runs, whole, strict=True) if is_whole]
    ends_J = np.array([final_score(run) for run in ended])
    jumps = _jumps(ended or runs, last_epochs(epochs))
    then = {
        done: np.array([_recent(run, done) for run in ended])
        for done in {len(run) for run, is_whole in zip(runs, whole, strict=True) if not is_whole}
    }
    scores, epoch_sds, early_sds = [], [], []
    for run, is_whole in zip(runs, whole, strict=True):
        done = len(run)
        if is_whole:
            scores.append(final_score(run))
            epoch_sds.append(jumps / last_epochs(done) ** 0.5)
            early_sds.append(0.0)
            continue
        share = min(done / epochs, 1.0)
        shrink = 0.5 + 0.5 * share
        early_sd = EARLY_SD * (0.1 / share) ** 0.5 * (1 - share) ** 0.5
        score = _recent(run, done)
        if ended:
            then_J = then[done]
            score = float(ends_J.mean() + shrink * (score - then_J.mean()))
            wrong_J = (ends_J - ends_J.mean()) - shrink * (then_J - then_J.mean())
            early_sd = float(
                (
                    (EARLY_RUNS * early_sd**2 + (wrong_J**2).sum())
                    / (EARLY_RUNS + max(len(ended) - 1, 0))
                )
                ** 0.5
            )
        scores.append(score)
        epoch_sds.append(shrink * jumps / min(RECENT, done) ** 0.5)
        early_sds.append(early_sd)
    return Carried(np.array(scores), np.array(epoch_sds), np.array(early_sds))


def usual_seed_sd(runs: Sequence[Floats]) -> float:
    """Return the deviation by seed that is to be expected of the score of one config, from N whole runs of any
    configs: where single epochs jump little, seeds move little.

    It is the geometric mean of 0.02, as one run, and of 2.5 jumps, as N. Jumps are those of the second half of runs,
    from what neighbours on both sides tell of an epoch: ``mean (y_t-1 - 2 y_t + y_t+1)^2 / 6``. Source of that: Gasser,
    Sroka and Jennen-Steinmetz 1986 (Residual Variance and Residual Pattern in Nonlinear Regression), equation 2.2.
    """
    bends = [np.diff(run[len(run) // 2 - 1 :], 2) for run in runs if len(run) >= SHORTEST]
    if not bends:
        return SEED_SD
    jumps = float(np.sqrt((np.concatenate(bends) ** 2).mean() / 6.0))
    by_jumps = max(LEAST_SEED_SD, SEED_JUMPS * jumps)
    logs = np.log(SEED_SD) + len(bends) * np.log(by_jumps)
    return float(np.exp(logs / (1 + len(bends))))


def _recent(run: Floats, done: int) -> float:
    done = min(done, len(run))
    return float(run[max(0, done - RECENT) : done].mean())


def _jumps(runs: Sequence[Floats], last: int) -> float:
    """Return the deviation of a single epoch's score from what it is about, by differences of
    neighbours at the end of runs; the source of that is von Neumann 1941 (Distribution of the Ratio
    of the Mean Square Successive Difference to the Variance).
    """
    differences = [np.diff(run[-last - 1 :]) for run in runs if len(run) > 1]
    if not differences:
        return LEAST_SD
    squares = np.concatenate(differences) ** 2
    return max(LEAST_SD, float(np.sqrt(squares.mean() / 2)))
