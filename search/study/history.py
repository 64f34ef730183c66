"""What a sampler learns from: parameters, results and constraints of a study's trials, read by
queries that ask for nothing else. What has ended is read once.
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

# of a pruned trial its last report is what it is known by
TRIALS = text(f"""
    SELECT trial_id, number, state, value, step, reported, cause
    FROM trials LEFT JOIN trial_values USING (trial_id)
    LEFT JOIN LATERAL (
        SELECT value_json AS cause FROM trial_user_attributes AS told
        WHERE told.trial_id = trials.trial_id AND trials.state = 'FAIL' AND key = '{CAUSE}'
    ) AS why ON true
    LEFT JOIN LATERAL (
        SELECT step, CASE intermediate_value_type WHEN 'FINITE' THEN intermediate_value
                     WHEN 'INF_POS' THEN 'Infinity' WHEN 'INF_NEG' THEN '-Infinity' ELSE 'NaN' END AS reported
        FROM trial_intermediate_values AS v WHERE v.trial_id = trials.trial_id AND trials.state = 'PRUNED'
        ORDER BY step DESC LIMIT 1
    ) AS last ON true
    WHERE study_id = :study_id AND {UNREAD}
""")

PARAMETERS = text("""
    SELECT trial_id, param_name, param_value, distribution_json FROM trial_params
    WHERE trial_id = ANY(:ids) ORDER BY param_id
""")

CURVES = text("""
    SELECT trial_id, array_agg(step ORDER BY step), array_agg(intermediate_value ORDER BY step)
    FROM trial_intermediate_values WHERE trial_id = ANY(:ids) AND intermediate_value_type = 'FINITE' GROUP BY 1
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
    """The trials of one study, as Optuna's samplers take them: without attributes for people, and of
    their reports only the last one of the pruned; or with ``curves`` all of all, and the trials that
    diverged.
    """

    def __init__(self, study_id: int, *, curves: bool = False) -> None:
        self.study_id = study_id
        self.curves = curves
        self._seen = Seen()
        self._ended: dict[int, FrozenTrial] = {}

    def read(self, connection: Connection) -> list[FrozenTrial]:
        """Return the running, complete and pruned trials by number, as they are now."""
        server: datetime = connection.execute(SERVER).scalar_one()
        if server != self._seen.server:
            self._seen = Seen(server)
            self._ended = {}
        which = {"study_id": self.study_id, **self._seen.parameters}
        unread = connection.execute(TRIALS, which).mappings().all()
        learnt = [row for row in unread if self._is_learnt(row)]
        rows = _rows_of(connection, [row["trial_id"] for row in learnt], curves=self.curves)
        trials = {row["number"]: _trial(row, rows[row["trial_id"]]) for row in learnt}
        self._ended |= {number: each for number, each in trials.items() if each.state.is_finished()}
        newest = max((row["trial_id"] for row in unread), default=self._seen.after)
        still_open = (row["trial_id"] for row in unread if row["state"] in ("RUNNING", "WAITING"))
        self._seen = self._seen.then(newest, still_open)
        return [each for _, each in sorted((self._ended | trials).items())]

    def _is_learnt(self, row: RowMapping) -> bool:
        return row["state"] in LEARNT or (self.curves and row["cause"] == DIVERGED)


def _rows_of(connection: Connection, ids: list[int], *, curves: bool) -> dict[int, _Rows]:
    rows = defaultdict[int, _Rows](_Rows)
    for trial_id, name, value, stored in connection.execute(PARAMETERS, {"ids": ids}):
        distribution = _distribution(stored)
        rows[trial_id].distributions[name] = distribution
        rows[trial_id].parameters[name] = distribution.to_external_repr(value)
    for trial_id, key, value in connection.execute(CONSTRAINTS, {"ids": ids}):
        rows[trial_id].constraints[key] = json.loads(value)
    if curves:
        for trial_id, steps, scores in connection.execute(CURVES, {"ids": ids}):
            rows[trial_id].scores = dict(zip(steps, scores, strict=True))
    return rows


def _trial(row: RowMapping, rows: _Rows) -> FrozenTrial:
    last = {} if row["step"] is None else {row["step"]: row["reported"]}
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
        intermediate_values=rows.scores or last,
    )


@cache
def _distribution(stored: str) -> BaseDistribution:
    """Return a distribution as Optuna stores it; a study has few, and stores them with each
    trial.
    """
    return json_to_distribution(stored)
