"""How far a network's score is off by the frames that it was validated on: what it scores without some
of their places was kept with each trial.
"""

import json

import numpy as np
from sqlalchemy import Connection, text

from objectives.statistics.resampling import covariances_of
from search.posterior.networks import luck_of
from search.study.record import LEFT_OUT

NETWORKS = 16  # those with the highest scores tell it

LEFT_OUT_SCORES = text(f"""
    SELECT told.value_json FROM trials JOIN trial_values USING (trial_id)
    JOIN trial_user_attributes AS told USING (trial_id)
    WHERE study_id = :study_id AND state = 'COMPLETE' AND told.key = '{LEFT_OUT}'
    ORDER BY value DESC, number LIMIT {NETWORKS}
""")


def read_luck(connection: Connection, study_id: int) -> float | None:
    """Return the deviation of a network's score by the frames alone; None as long as no two trials tell
    it, and where the validation part has but one place.
    """
    found = connection.execute(LEFT_OUT_SCORES, {"study_id": study_id}).scalars()
    rows = [json.loads(row) for row in found]
    same = [row for row in rows if len(row) == len(rows[0])]
    if len(same) < 2:
        return None
    return luck_of(covariances_of(np.array(same)))
