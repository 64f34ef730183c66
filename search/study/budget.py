"""The budget of a study: trials, hours on devices, a deadline, and what people have said: pause,
stop, extend.
"""

import math
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum

from sqlalchemy import Connection, text

from objectives.errors import UserError
from search.database.schema import refuse_older_than
from search.study.known import Readable
from search.study.trainings import UNKNOWN, Expense, expense

INFEASIBLE_SHARE = 0.2  # of the trials, that those which cannot work may spend

LIMITS = text("""
    SELECT trials, gpu_s, until_s, search_study.state AS order,
           coalesce(extract(epoch FROM clock_timestamp() - started_at), 0)::float AS age_s,
           pg_postmaster_start_time() AS server, version, oldest
    FROM search_study JOIN studies USING (study_id) CROSS JOIN search_meta WHERE study_id = :study_id
""")


class Order(StrEnum):
    """What people have ordered a study to do, in words of the database."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Limit(Enum):
    """Why a study trains no trial any longer, though its number of trials is not spent; or NONE."""

    NONE = "none"
    PAUSED = "paused"
    STOPPED = "stopped"
    DEADLINE = "deadline"
    HOURS = "hours"


WHY = {  # a study trains nothing before its trials are spent
    Limit.PAUSED: "the study is paused",
    Limit.STOPPED: "stopped by hand",
    Limit.DEADLINE: "its time is over",
    Limit.HOURS: "its device hours are spent",
}


@dataclass(frozen=True)
class Budget:
    """What a study may spend, what it has spent, and what people have ordered, all at one
    moment.
    """

    trials: int
    gpu_s: float  # 0: no limit
    until_s: float  # 0: no deadline
    order: Order
    age_s: float  # since the first claim
    spent_s: float  # on devices
    total: int
    waiting: int
    running: int  # begun and not ended, at work or not
    held: int  # of these, those that a worker trains now
    infeasible: int
    # ended as failed by somebody else than a worker, in the dashboard say: these are replaced
    foreign_failures: int
    # the trials that it began with are all that was asked for: nothing takes the place of one
    fixed: bool
    expense: Expense = UNKNOWN  # of trainings, where hours or a deadline limit them

    def limit(self) -> Limit:
        """Return what keeps the study from taking further trials, and from training those at hand
        any longer.
        """
        match self.order:
            case Order.PAUSED:
                return Limit.PAUSED
            case Order.STOPPED:
                return Limit.STOPPED
        if self.until_s and self.age_s > self.until_s:
            return Limit.DEADLINE
        return Limit.HOURS if self.gpu_s and self.spent_s >= self.gpu_s else Limit.NONE

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, 0 after it; None without one."""
        return max(0.0, self.until_s - self.age_s) if self.until_s else None

    @property
    def room(self) -> float:
        """How many trials more may begin, so that each is expected to end within the deadline, and
        all together with those at hand within the hours; infinite where none is there, or where it
        is not known yet how long a training takes.
        """
        each_s = self.expense.each_s
        if not each_s:
            return math.inf
        by_hours = self._free_s // each_s if self.gpu_s else math.inf
        return 0.0 if self.is_late else by_hours

    @property
    def is_late(self) -> bool:
        """Whether a training that begins now is expected to end after the deadline."""
        return self.left_s is not None and self.left_s < self.expense.each_s

    @property
    def _free_s(self) -> float:
        """Seconds on devices that trials at hand leave to others."""
        return max(0.0, self.gpu_s - self.spent_s - self.expense.at_hand_s)

    @property
    def no_room(self) -> str:
        """Why no trial more begins, though no limit is reached and trials are left; empty where one
        may.
        """
        if self.limit() is not Limit.NONE or self.room >= 1 or self._spent:
            return ""
        left = (
            f"{time_text(self.left_s or 0.0)} are left"
            if self.is_late
            else f"{time_text(self._free_s)} on devices are left"
        )
        return f"nothing more is begun: a training takes about {time_text(self.expense.each_s)}, {left}"

    def closed(self) -> bool:
        """Return whether no further trial may begin."""
        if self.limit() is not Limit.NONE:
            return self.limit() is not Limit.PAUSED
        return self._spent or self.room < 1

    @property
    def _spent(self) -> bool:
        """Whether its number of trials is spent, or would be spent in vain."""
        hopeless = self.infeasible >= 2 * self.trials  # a space in which next to nothing works
        return not self.waiting and (self.counted >= self.trials or hopeless)

    @property
    def most(self) -> int:
        """How many trials there may be in all, by what is known now: what ends later may make room
        for more, never for fewer.
        """
        return 0 if self.closed() else self.trials + self.replaced

    @property
    def to_end(self) -> int:
        """Trials at hand that still keep the study from being over: under a limit nobody goes on
        with an interrupted one.
        """
        return self.running if self.limit() is Limit.NONE else self.held

    @property
    def over(self) -> bool:
        """Whether nobody trains a trial of it now, and nobody will as long as its limits are what
        they are.
        """
        return self.closed() and not self.to_end

    @property
    def unfinished(self) -> int:
        """Trials that the limit has cut: they stay as they are, and go on once it is lifted."""
        return self.running - self.held if self.limit() is not Limit.NONE else 0

    @property
    def counted(self) -> int:
        """Trials that count, in whatever state."""
        return self.total - self.replaced

    @property
    def replaced(self) -> int:
        """Trials that do not count: infeasible ones beyond their share, and those that somebody
        failed by hand.
        """
        return (
            0 if self.fixed else beyond_budget(self.infeasible, self.trials) + self.foreign_failures
        )


def beyond_budget(infeasible: int, budget: int) -> int:
    """Return how many of the infeasible trials do not count: they may spend a fifth of the budget,
    and no more.
    """
    return max(0, infeasible - max(1, int(INFEASIBLE_SHARE * budget)))


def read_budget(
    connection: Connection, study: Readable, *, but: str = "", device: str = ""
) -> Budget:
    """Return what has been spent of the study's budget by now; what a worker ``but`` holds counts as
    held by nobody. What a training takes is that on a kind of ``device``, or else on the kind that
    needs the least.

    Raises:
        UserError: The study was deleted.
        OutdatedError: Somebody has upgraded the database beyond this program.
    """
    limits = connection.execute(LIMITS, {"study_id": study.id}).mappings().first()
    if limits is None:
        raise UserError(f"study {study.spec.name!r} was deleted")
    values = dict(limits)
    refuse_older_than(values.pop("version"), values.pop("oldest"))
    server = values.pop("server")
    counts = study.tally.read(connection, server, but)
    takes = UNKNOWN
    if values["gpu_s"] or values["until_s"]:
        takes = expense(study.trainings.read(connection, server), device)
    fixed = not study.spec.purpose.searches or (
        study.spec.fixed and values["trials"] <= study.spec.trials
    )
    order = Order(values.pop("order"))
    return Budget(order=order, fixed=fixed, expense=takes, **values, **asdict(counts))


def time_text(seconds: float) -> str:
    """Return a time for people, like ``7 min``."""
    for unit, unit_s in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.{int(unit == 'h')}f} {unit}"
    return f"{seconds:.0f} s"


def is_over(study: Readable) -> bool:
    """Return whether nobody trains a trial of the study, and nobody will unless its
    limits change.
    """
    return current_budget(study).over


def current_budget(study: Readable) -> Budget:
    """Return what has been spent of the study's budget by now.

    Raises:
        UserError: The study was deleted.
    """
    with study.engine.connect() as connection:
        return read_budget(connection, study)
