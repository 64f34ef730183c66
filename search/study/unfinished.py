"""Trials that a limit of their study has cut: they go on once it is lifted, and until then their
weights can be had.

A deadline, hours on devices, `search stop` and `search pause` leave a trial where it stands: to the
sampler, the pruner's rungs and every statistic it is a trial that has not ended. Its best epoch is
a real model all the same, and may be all there is.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from search.database.predicates import NO_LIVE_LEASE
from search.study.budget import Budget, Limit, read_budget
from search.study.known import Readable
from search.study.record import BELIEVING, BEST_EPOCH, STANDING

# whose numbers are those of its best weights: a trial that went on after a limit and lost its
# worker then has reported older ones
CUT = text(f"""
    SELECT trials.trial_id, number, score, {STANDING} AS standing, coalesce(believing.mean, score) AS height
    FROM trials JOIN search_checkpoint USING (trial_id) {BELIEVING}
    JOIN trial_user_attributes AS told
         ON told.trial_id = trials.trial_id AND told.key = '{BEST_EPOCH}' AND told.value_json = search_checkpoint.epoch::text
    LEFT JOIN search_lease ON search_lease.trial_id = trials.trial_id
    WHERE study_id = :study_id AND state = 'RUNNING' AND kind = 'best'
      AND {NO_LIVE_LEASE}
    ORDER BY standing DESC, height DESC, score DESC, number
""")


@dataclass(frozen=True)
class Exportable:
    """A trial whose weights can be had, the score of its best epoch, of which they are, and by what
    it ranks.
    """

    trial_id: int
    number: int
    score: float
    standing: int  # see `search.posterior.standing`
    height: float  # its network's posterior mean, or else the score

    @property
    def rank(self) -> tuple[int, float]:
        """By what it ranks, the best highest."""
        return self.standing, self.height


def unfinished_trials(connection: Connection, study_id: int, budget: Budget) -> list[Exportable]:
    """Return what the study's limit has cut and what can be exported as it stands, the best first.

    None while no limit is reached: whoever comes next goes on with what was interrupted.
    """
    if budget.limit() is Limit.NONE:
        return []
    return [Exportable(*row) for row in connection.execute(CUT, {"study_id": study_id})]


def read_unfinished(study: Readable) -> list[Exportable]:
    """Return the same as the study is now.

    Raises:
        UserError: The study was deleted.
    """
    with study.engine.connect() as connection:
        return unfinished_trials(connection, study.id, read_budget(connection, study))
