"""Orders to a study that runs: pause, stop, go on, and more budget. Workers see them after each
epoch and each claim.
"""

from sqlalchemy import ColumnElement, Double, func, update

from objectives.errors import UserError
from search.database.tables import STUDY
from search.study.budget import Limit, Order, current_budget
from search.study.spec import refuse_derived
from search.study.stored import Study


def give_order(study: Study, order: Order) -> str:
    """Set the study's state; says what it was and is."""
    before = current_budget(study)
    if before.order == order:
        return f"study {study.spec.name!r} is {order} already"
    _write(study, state=order.value)
    left = f", {before.running} trial(s) at hand" if before.running else ""
    return f"study {study.spec.name!r} was {before.order}, is {order}{left}"


def extend_budget(study: Study, *, trials: int, gpu_s: float, until_s: float) -> str:
    """Add to the study's budget; says what it is now. Time is added to a deadline that lies ahead,
    and counts from now on where it is over.

    Raises:
        UserError: Nothing is added, to a limit that the study does not have, or to a study that
            confirms or retrains.
    """
    refuse_derived(study.spec, study.spec.purpose.more)
    before = current_budget(study)
    if not (trials or gpu_s or until_s):
        raise UserError("say how much more: --trials +50, --gpu-hours 10 or --until 2h")
    for option, more, there in (
        ("--gpu-hours", gpu_s, before.gpu_s),
        ("--until", until_s, before.until_s),
    ):
        if more and not there:
            raise UserError(
                f"study {study.spec.name!r} has no limit that {option} could extend: it ends with "
                f"its trials"
            )
    _write(
        study,
        trials=STUDY.c.trials + trials,
        gpu_s=STUDY.c.gpu_s + gpu_s,
        until_s=_deadline_s() + until_s if until_s else STUDY.c.until_s,
    )  # added in the database: two people may extend at once
    now = current_budget(study)
    limits = [f"{now.trials} trials ({now.counted} spent)"]
    limits += (
        [f"{now.gpu_s / 3600:.4g} h on devices ({now.spent_s / 3600:.2f} spent)"]
        if now.gpu_s
        else []
    )
    limits += (
        [f"{now.until_s / 3600:.4g} h from the first trial on ({now.age_s / 3600:.2f} gone)"]
        if now.until_s
        else []
    )
    closed = (
        "; another limit still keeps it closed" if now.over or now.limit() is not Limit.NONE else ""
    )
    if now.no_room:
        closed = f"; {now.no_room}"
    return f"study {study.spec.name!r} now has {', '.join(limits)}{closed}"


def _deadline_s() -> ColumnElement[float]:
    """Seconds from the first claim to the deadline, or to now where it is over."""
    age = func.extract("epoch", func.clock_timestamp() - STUDY.c.started_at)
    return func.greatest(STUDY.c.until_s, func.ceil(func.coalesce(age, 0)).cast(Double))


def _write(study: Study, **values: object) -> None:
    with study.engine.begin() as connection:
        connection.execute(update(STUDY).where(STUDY.c.study_id == study.id).values(values))
