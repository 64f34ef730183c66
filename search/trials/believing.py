"""Writing down what a study's runs together say, where the dashboard, `search status` and what keeps
weights find it.
"""

import json

from sqlalchemy import Connection, TextClause, text

from search.database.connections import locked
from search.study.beliefs import Beliefs, read_beliefs
from search.study.record import BELIEVED, Believed
from search.study.stored import Study

BELIEF_LOCK = 7_215_007
FIRST = 20  # of the ranked, which are always written anew; of the others those that have moved
MOVED = 0.0005  # a mean or a deviation, by so much,
MOVED_CHANCE = 0.005  # or a probability by so much

STORED = text("""
    SELECT trial_id, key, value_json::float AS value FROM trial_user_attributes JOIN trials USING (trial_id)
    WHERE study_id = :study_id AND key = ANY(:keys)
""")

# of a trial that was deleted meanwhile nothing; in one order, so that no two wait for each other
WRITE = text("""
    INSERT INTO trial_user_attributes (trial_id, key, value_json)
    SELECT trial_id, key, value_json FROM unnest(
        cast(:trial_ids AS int[]), cast(:keys AS text[]), cast(:values AS text[])
    ) AS told (trial_id, key, value_json) JOIN trials USING (trial_id)
    ORDER BY trial_id, key FOR KEY SHARE OF trials
    ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
""")

# what is believed no more: of a trial that was pruned or has failed since, or that it beats a control
# that has failed
DROP = text("""
    DELETE FROM trial_user_attributes AS there
    USING unnest(cast(:trial_ids AS int[]), cast(:keys AS text[]), cast(:values AS text[])) AS gone (trial_id, key, value)
    WHERE gone.trial_id = there.trial_id AND gone.key = there.key
""")


def believe(study: Study) -> Beliefs:
    """Judge a study's trials by all of its runs, and store with each what is believed of it; what
    rests on more runs stays. Returns what is believed.

    It needs no fence: whoever does it last knows most.
    """
    beliefs = read_beliefs(study)
    if not beliefs.ranked:
        return beliefs
    now = {each.trial_id: each.believed for each in beliefs.ranked}
    first = {each.trial_id for each in beliefs.ranked[:FIRST]}
    with locked(study.engine, BELIEF_LOCK, study.id) as connection:
        told = {"study_id": study.id, "keys": list(BELIEVED)}
        stored: dict[int, dict[str, float]] = {}
        for trial_id, key, value in connection.execute(STORED, told):
            stored.setdefault(trial_id, {})[key] = value
        before = {trial_id: Believed.read(each) for trial_id, each in stored.items()}
        newest = max((each.runs for each in before.values() if each), default=-1)
        if newest > beliefs.ranked[0].believed.runs:
            return beliefs
        _execute(
            connection,
            WRITE,
            [
                (trial_id, key, json.dumps(value))
                for trial_id, each in now.items()
                if trial_id in first or _has_moved(before.get(trial_id), each)
                for key, value in each.attributes().items()
            ],
        )
        _execute(
            connection,
            DROP,
            [
                (trial_id, key, "")
                for trial_id, each in stored.items()
                for key in each
                if trial_id not in now or key not in now[trial_id].attributes()
            ],
        )
    return beliefs


def _execute(
    connection: Connection, statement: TextClause, rows: list[tuple[int, str, str]]
) -> None:
    if rows:
        trial_ids, keys, values = map(list, zip(*rows, strict=True))
        connection.execute(statement, {"trial_ids": trial_ids, "keys": keys, "values": values})


def _has_moved(before: Believed | None, now: Believed) -> bool:
    if before is None or before.standing != now.standing:
        return True
    chances = abs((before.beats_control or 0.0) - (now.beats_control or 0.0))
    moved = max(abs(before.mean - now.mean), abs(before.sd - now.sd))
    return moved > MOVED or chances > MOVED_CHANCE
