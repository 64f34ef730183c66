"""The trials of a study, each in a line."""

from dataclasses import dataclass

from sqlalchemy import text

from search.database.predicates import NO_LIVE_LEASE
from search.study.known import Readable
from search.study.record import MESSAGE, RECIPE, State

# a running trial without a live lease has lost its worker: whoever comes next goes on with it
STATE = f"""CASE WHEN state = 'RUNNING' AND {NO_LIVE_LEASE} THEN '{State.INTERRUPTED}'
                WHEN state = 'FAIL' THEN '{State.FAILED}' ELSE lower(state::text) END AS state"""

BEGUN = text(f"""
    SELECT number, {STATE}, coalesce(step, 0) AS epochs, intermediate_value AS score, value,
           told.value_json::json #>> '{{}}' AS message, coalesce(named.value_json::json #>> '{{}}', '') AS recipe
    FROM trials LEFT JOIN search_lease USING (trial_id) LEFT JOIN trial_values USING (trial_id)
    LEFT JOIN LATERAL (SELECT step, intermediate_value FROM trial_intermediate_values AS v
                       WHERE v.trial_id = trials.trial_id ORDER BY step DESC LIMIT 1) AS last ON true
    LEFT JOIN trial_user_attributes AS told ON told.trial_id = trials.trial_id AND told.key = '{MESSAGE}'
    LEFT JOIN trial_user_attributes AS named ON named.trial_id = trials.trial_id AND named.key = '{RECIPE}'
    WHERE study_id = :study_id AND state <> 'WAITING' AND (state = 'RUNNING' OR number >= greatest(:since, (
        SELECT max(number) + 1 FROM trials WHERE study_id = :study_id AND state <> 'WAITING') - :newest))
    ORDER BY number
""")

ALL = 2**31 - 1


@dataclass(frozen=True)
class TrialLine:
    """One trial for people: its state, epochs done, last score and final value, why it failed, and
    its recipe's name.
    """

    number: int
    state: str
    epochs: int
    score: float | None
    value: float | None
    message: str | None
    recipe: str


def read_trials(study: Readable, *, since: int = 0, newest: int = ALL) -> list[TrialLine]:
    """Return the trials that have begun, by number: those that have not ended, and of the others
    those from number ``since`` on that are among the newest. Those of a study without scores have
    none.
    """
    nothing = {} if study.spec.purpose.scored else {"score": None, "value": None}
    with study.engine.connect() as connection:
        return [
            TrialLine(**{**row, **nothing})
            for row in connection.execute(
                BEGUN, {"study_id": study.id, "since": since, "newest": newest}
            ).mappings()
        ]
