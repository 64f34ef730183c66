"""What a cheaper model than the best would cost in score."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, text

from search.study.record import BELIEVING, LATENCY_S, MULTIPLY_ADDS

COMPLETE = text(f"""
    SELECT number, mean, cost.value_json::bigint AS multiply_adds, coalesce(timed.value_json::float, 0) AS latency_s
    FROM trials JOIN trial_user_attributes AS cost USING (trial_id) {BELIEVING}
    LEFT JOIN trial_user_attributes AS timed ON timed.trial_id = trials.trial_id AND timed.key = '{LATENCY_S}'
    WHERE study_id = :study_id AND state = 'COMPLETE' AND cost.key = '{MULTIPLY_ADDS}' AND mean IS NOT NULL
    ORDER BY number
""")


@dataclass(frozen=True)
class Model:
    """A complete trial: the posterior mean of its network's score, its multiply-adds of one
    frame, and how long that takes.
    """

    number: int
    mean: float
    multiply_adds: int
    latency_s: float = 0.0  # for one frame, as its worker measured it; 0: not known


def front(models: Iterable[Model], best: int) -> tuple[Model, ...]:
    """Return the model of trial ``best``, then of the cheaper ones those of which no other has a mean
    that is as high and fewer multiply-adds, the highest mean first; of equals the first. Nothing where
    the best is none of the models.
    """
    there = list(models)
    found = [model for model in there if model.number == best]
    if not found:
        return ()
    for model in sorted(there, key=lambda each: (-each.mean, each.multiply_adds, each.number)):
        if model.multiply_adds < found[-1].multiply_adds:
            found.append(model)
    return tuple(found)


def read_front(connection: Connection, study_id: int, best: int) -> tuple[Model, ...]:
    """Return the front of a study's complete trials, by what is stored with them."""
    rows = connection.execute(COMPLETE, {"study_id": study_id})
    return front((Model(*row) for row in rows), best)
