"""Writing down what a study's runs together say, where the dashboard, `search status` and what keeps
weights find it.
"""

import json

from sqlalchemy import text

from search.database.connections import locked
from search.study.beliefs import Beliefs, read_beliefs
from search.study.record import BELIEVED
from search.study.stored import Study

BELIEF_LOCK = 7_215_007
RUNS = BELIEVED[-1]

NEWEST = text(f"""
    SELECT coalesce(max(value_json::int), -1) FROM trial_user_attributes JOIN trials USING (trial_id)
    WHERE study_id = :study_id AND key = '{RUNS}'
""")

# of a trial that was deleted meanwhile nothing; in one order, so that no two wait for each other
WRITE = text("""
    INSERT INTO trial_user_attributes (trial_id, key, value_json)
    SELECT trial_id, key, value_json FROM unnest(
        cast(:trial_ids AS int[]), cast(:keys AS text[]), cast(:values AS text[])
    ) AS told (trial_id, key, value_json) JOIN trials USING (trial_id)
    ORDER BY trial_id, key FOR KEY SHARE OF trials
    ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
    WHERE trial_user_attributes.value_json <> excluded.value_json
""")


# of what was pruned or has failed since nothing is believed
DROP = text("""
    DELETE FROM trial_user_attributes USING trials
    WHERE trials.trial_id = trial_user_attributes.trial_id AND study_id = :study_id
      AND key = ANY(:keys) AND state IN ('PRUNED', 'FAIL')
""")


def believe(study: Study) -> Beliefs:
    """Judge a study's trials by all of its runs, and store with each what is believed of it; what
    rests on more runs stays. Returns what is believed.

    It needs no fence: whoever does it last knows most.
    """
    beliefs = read_beliefs(study)
    if not beliefs.ranked:
        return beliefs
    rows = [
        (each.trial_id, key, json.dumps(value))
        for each in beliefs.ranked
        for key, value in each.believed.attributes().items()
    ]
    trial_ids, keys, values = map(list, zip(*rows, strict=True))
    with locked(study.engine, BELIEF_LOCK, study.id) as connection:
        newest = connection.execute(NEWEST, {"study_id": study.id}).scalar_one()
        if newest <= beliefs.ranked[0].believed.runs:
            told = {"trial_ids": trial_ids, "keys": keys, "values": values}
            connection.execute(WRITE, told)
            connection.execute(DROP, {"study_id": study.id, "keys": list(BELIEVED)})
    return beliefs
