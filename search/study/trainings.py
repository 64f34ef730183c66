"""How long a study's trainings have taken, and how long another one will, to know whether it can
still end in time.
"""

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median

from sqlalchemy import Connection, text

from search.database.predicates import DEVICE_SECONDS
from search.study.record import DEVICE_NAME, EPOCHS, MULTIPLY_ADDS, TRAIN_S
from search.study.seen import UNREAD, Seen

# the weight of "seconds grow like multiply-adds": as much as trainings have whose logarithms of
# multiply-adds have this sum of squares about their mean. Two that are e-fold apart have half of it
PROPORTIONAL = 1.0

OPEN = ("RUNNING", "WAITING")

TRAININGS = text(f"""
    SELECT trials.trial_id, state NOT IN {OPEN} AND coalesce(owner, '') = '' AS settled,
           state::text, coalesce(told.device, ''), coalesce(told.multiply_adds, 0), coalesce(told.epochs, 0),
           coalesce(told.train_s, 0), coalesce({DEVICE_SECONDS}, 0)::float
    FROM trials LEFT JOIN search_lease USING (trial_id) LEFT JOIN LATERAL (
        SELECT max(value_json::json #>> '{{}}') FILTER (WHERE key = '{DEVICE_NAME}') AS device,
               max(value_json::float) FILTER (WHERE key = '{MULTIPLY_ADDS}') AS multiply_adds,
               max(value_json::float) FILTER (WHERE key = '{EPOCHS}') AS epochs,
               max(value_json::float) FILTER (WHERE key = '{TRAIN_S}') AS train_s
        FROM trial_user_attributes AS attributes WHERE attributes.trial_id = trials.trial_id
          AND key IN ('{DEVICE_NAME}', '{MULTIPLY_ADDS}', '{EPOCHS}', '{TRAIN_S}')) AS told ON true
    WHERE study_id = :study_id AND {UNREAD}
""")


@dataclass(frozen=True)
class Training:
    """What one trial took on its device."""

    state: str  # Optuna's
    device: str  # name of the kind; empty: not told
    multiply_adds: float  # of one frame, forward; 0: not known
    epochs: float
    train_s: float  # of these epochs
    held_s: float  # that workers have held it

    @property
    def timed(self) -> bool:
        """Whether it has ended and tells how long an epoch takes."""
        return self.state not in OPEN and min(self.epochs, self.train_s) > 0 and bool(self.device)


@dataclass(frozen=True)
class Expense:
    """Seconds that a whole training will take."""

    each_s: float = 0.0  # another one, in the median; 0: not known yet
    at_hand_s: float = 0.0  # those at hand together, until they end


UNKNOWN = Expense()


def expense(trainings: Sequence[Training], device: str = "") -> Expense:
    """Return what trainings on a kind of device will take by what the ended ones took; without a
    device on the kind that needs the least.

    It is not known before a training on that kind was timed, and one was trained to its end.
    """
    kinds = {device} if device else {each.device for each in trainings if each.timed}
    each_s = min(filter(None, (_whole_s(trainings, kind) for kind in kinds)), default=0.0)
    running = (each for each in trainings if each.state == "RUNNING")
    return Expense(each_s, sum(max(0.0, each_s - each.held_s) for each in running))


def _whole_s(trainings: Sequence[Training], device: str) -> float:
    """Return the seconds of a whole training on a kind of device; 0 where nothing is known.

    It has the median number of epochs of those that were trained to their end, each as long as
    `epoch_s` expects of a network in the middle of all the study's, and what a trial takes besides.
    """
    ended = [each for each in trainings if each.timed]
    timed = [each for each in ended if each.device == device]
    whole = [each for each in ended if each.state == "COMPLETE"]
    if not timed or not whole:
        return 0.0
    besides = [max(0.0, each.held_s - each.train_s) for each in timed]
    sizes = [each.multiply_adds for each in ended if each.multiply_adds]
    middle = median(sizes) if sizes else 0.0
    return median(each.epochs for each in whole) * epoch_s(timed, middle) + median(besides)


def epoch_s(timed: Sequence[Training], multiply_adds: float) -> float:
    """Return the expected seconds per epoch of a network with so many multiply-adds, in the median;
    0 for a number that is not known: then the median of all.

    A line through the logarithms of seconds and multiply-adds. Its slope is the ridge estimate
    towards 1, which is proportional, so that few trainings, or trainings of networks alike, turn it
    little; its height is the median of the residuals, which one slow training does not move. Source:
    Hoerl & Kennard, Ridge Regression, Technometrics 12 (1970), eq. 2.1, about 1 instead of 0.
    """
    known = [each for each in timed if each.multiply_adds]
    if not known or not multiply_adds:
        return median(each.train_s / each.epochs for each in timed)
    sizes = [math.log(each.multiply_adds) for each in known]
    seconds = [math.log(each.train_s / each.epochs) for each in known]
    middle = fmean(sizes)
    off = [size - middle for size in sizes]
    together = sum(away * log_s for away, log_s in zip(off, seconds, strict=True))
    slope = (together + PROPORTIONAL) / (sum(away**2 for away in off) + PROPORTIONAL)
    height = median(log_s - slope * away for away, log_s in zip(off, seconds, strict=True))
    return math.exp(height + slope * (math.log(multiply_adds) - middle))


class Trainings:
    """The trainings of one study: kept of trials that are settled, read anew of the others."""

    def __init__(self, study_id: int) -> None:
        self.study_id = study_id
        self._seen = Seen()
        self._settled: list[Training] = []
        self._lock = threading.Lock()

    def read(self, connection: Connection, server: datetime) -> list[Training]:
        """Return those of all trials, begun or not. ``server`` is when the server was started."""
        with self._lock:
            if server != self._seen.server:
                self._seen = Seen(server)
                self._settled = []
            which = {"study_id": self.study_id, **self._seen.parameters}
            rows = connection.execute(TRAININGS, which).all()
            read = {row.trial_id: Training(*row[2:]) for row in rows}
            still_open = {row.trial_id for row in rows if not row.settled}
            self._settled += [each for key, each in read.items() if key not in still_open]
            self._seen = self._seen.then(max(read, default=self._seen.after), still_open)
            return self._settled + [read[key] for key in sorted(still_open)]
