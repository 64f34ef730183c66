"""What a sampler and the posterior learn from: parameters, scores and constraints of a study's trials,
read by queries that ask for nothing else. What has ended is read once.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, RowMapping, text

from search.process.messages import Cause
from search.study.record import CAUSE
from search.study.seen import UNREAD, Seen

SERVER = text("SELECT pg_postmaster_start_time()")

TRIALS = text(f"""
    SELECT trial_id, number, state, value, cause
    FROM trials LEFT JOIN trial_values USING (trial_id)
    LEFT JOIN LATERAL (
        SELECT value_json AS cause FROM trial_user_attributes AS told
        WHERE told.trial_id = trials.trial_id AND trials.state = 'FAIL' AND key = '{CAUSE}'
    ) AS why ON true
    WHERE study_id = :study_id AND {UNREAD}
""")

PARAMETERS = text("""
    SELECT trial_id, param_name, param_value, distribution_json FROM trial_params
    WHERE trial_id = ANY(:ids) ORDER BY param_id
""")

CURVES = text("""
    SELECT trial_id, array_agg(step ORDER BY step), array_agg(
        CASE intermediate_value_type WHEN 'FINITE' THEN intermediate_value
        WHEN 'INF_POS' THEN 'Infinity' WHEN 'INF_NEG' THEN '-Infinity' ELSE 'NaN' END ORDER BY step
    ) FROM trial_intermediate_values WHERE trial_id = ANY(:ids) GROUP BY 1
""")

CONSTRAINTS = text("""
    SELECT trial_id, key, value_json FROM trial_system_attributes
    WHERE trial_id = ANY(:ids) AND starts_with(key, 'constraints')
""")

LEARNT = ("RUNNING", "COMPLETE", "PRUNED")  # of a failed trial nothing is learnt,
DIVERGED = f'"{Cause.DIVERGED}"'  # as JSON; but of a config at which training diverges


@dataclass
class _Rows:
    """What is stored with one trial."""

    parameters: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    constraints: dict[str, Any] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)


class History:
    """The trials of one study, as Optuna's samplers take them, without attributes for people."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self._seen = Seen()
        self._ended: dict[int, FrozenTrial] = {}

    def read(self, connection: Connection) -> list[FrozenTrial]:
        """Return the running, complete, pruned and diverged trials by number, as they are now."""
        server: datetime = connection.execute(SERVER).scalar_one()
        if server != self._seen.server:
            self._seen = Seen(server)
            self._ended = {}
        which = {"study_id": self.study_id, **self._seen.parameters}
        unread = connection.execute(TRIALS, which).mappings().all()
        learnt = [row for row in unread if row["state"] in LEARNT or row["cause"] == DIVERGED]
        rows = _rows_of(connection, [row["trial_id"] for row in learnt])
        trials = {row["number"]: _trial(row, rows[row["trial_id"]]) for row in learnt}
        self._ended |= {number: each for number, each in trials.items() if each.state.is_finished()}
        newest = max((row["trial_id"] for row in unread), default=self._seen.after)
        still_open = (row["trial_id"] for row in unread if row["state"] in ("RUNNING", "WAITING"))
        self._seen = self._seen.then(newest, still_open)
        return [each for _, each in sorted((self._ended | trials).items())]


def _rows_of(connection: Connection, ids: list[int]) -> dict[int, _Rows]:
    rows = defaultdict[int, _Rows](_Rows)
    for trial_id, name, value, stored in connection.execute(PARAMETERS, {"ids": ids}):
        distribution = _distribution(stored)
        rows[trial_id].distributions[name] = distribution
        rows[trial_id].parameters[name] = distribution.to_external_repr(value)
    for trial_id, key, value in connection.execute(CONSTRAINTS, {"ids": ids}):
        rows[trial_id].constraints[key] = json.loads(value)
    for trial_id, steps, scores in connection.execute(CURVES, {"ids": ids}):
        rows[trial_id].scores = dict(zip(steps, scores, strict=True))
    return rows


def _trial(row: RowMapping, rows: _Rows) -> FrozenTrial:
    return FrozenTrial(
        number=row["number"],
        trial_id=row["trial_id"],
        state=TrialState[row["state"]],
        value=row["value"],
        datetime_start=None,
        datetime_complete=None,
        params=rows.parameters,
        distributions=rows.distributions,
        user_attrs={},
        system_attrs=rows.constraints,
        intermediate_values=rows.scores,
    )


@cache
def _distribution(stored: str) -> BaseDistribution:
    """Return a distribution as Optuna stores it; a study has few, and stores them with each
    trial.
    """
    return json_to_distribution(stored)
