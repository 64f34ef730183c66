"""Sixteen workers that begin at the same moment, and a budget of trials, of hours on devices, of
time: each is met.
"""

import time

from audit import Row, audit
from scene import EPOCH, Scene, scene

WORKERS = 16
TRIALS = 24  # each worker takes one at once; then they compete for the rest
HOURS = 0.2  # 45 s for each worker
UNTIL_S = 60.0  # most have begun to train by then
END_S = 60.0  # of sixteen trials that save at once on few cores
# after a limit an epoch may begin: a look each second, its answer and an epoch, on cores that
# sixteen share
LATEST_S = 8.0
LEFT = "is left where it stands"
SHORT = ("--set", "train.steps_per_epoch=1", "--set", "pruning={kind: none}")
# their hearts beat: nothing but a claim is missing
AT_WORK = "SELECT count(*) FROM search_worker WHERE seen_at > started_at"
LATE = """
    SELECT extract(epoch FROM max(datetime_start) - ends_at)::float, extract(epoch FROM ends_at)::float
    FROM trials, (SELECT started_at AT TIME ZONE 'UTC' + make_interval(secs => until_s) AS ends_at FROM search_study) AS limits
    GROUP BY ends_at
"""


def trials_of_sixteen() -> Row:
    """A budget of 24 trials and sixteen workers at once: 24 trials begin, each once."""
    with scene(TRIALS, 1, *SHORT) as at:
        begin_at_once(at)
        at.finish()
        row = audit(at, f"budget of {TRIALS} trials, 16 workers at once", WORKERS, note=shares(at))
        begun = sum(line.endswith(" starts") for _, line in at.heard)
        row.wrong += [] if begun == TRIALS else [f"{begun} beginnings"]
        return row


def hours_of_sixteen() -> Row:
    """Hours on devices and sixteen workers at once: what runs when they are spent is left soon, and
    nothing begins.
    """
    with scene(100, 2000, *SHORT, "--gpu-hours", str(HOURS)) as at:
        row = _limited(
            at, f"budget of {HOURS} h on devices, 16 workers at once", "its device hours are spent"
        )
        (spent_s,) = at.query("SELECT sum(spent_s) FROM search_lease")[0]
        row.note += f", {spent_s:.0f} s of {3600 * HOURS:.0f} s spent"
        most_s = 3600 * HOURS + WORKERS * END_S
        row.wrong += (
            []
            if 3600 * HOURS <= spent_s <= most_s
            else [f"{spent_s:.0f} s were spent of {3600 * HOURS:.0f} s"]
        )
        return row


def deadline_of_sixteen() -> Row:
    """A deadline and sixteen workers at once: what runs then is left soon, and nothing begins."""
    with scene(100, 2000, *SHORT, "--until", f"{UNTIL_S:g}s") as at:
        row = _limited(at, f"deadline of {UNTIL_S:g} s, 16 workers at once", "its time is over")
        begun_s, ends_at = at.query(LATE)[0]
        left_s = (
            since_1970()
            + max((when for when, line in at.heard if LEFT in line), default=0.0)
            - ends_at
        )
        late_s = last_epoch_began(at) - ends_at
        row.note += (
            f", the last epoch began {late_s:.1f} s after it, the last was left "
            f"{left_s:.0f} s after it"
        )
        row.wrong += (
            [] if late_s <= LATEST_S else [f"an epoch began {late_s:.1f} s after the deadline"]
        )
        row.wrong += [] if begun_s <= 0 else [f"a trial began {begun_s:.0f} s after the deadline"]
        row.wrong += (
            [] if 0 <= left_s <= END_S else [f"the last trial was left {left_s:.0f} s after it"]
        )
        return row


def begin_at_once(at: Scene) -> None:
    """Start sixteen workers on a study that is paused; when all are there, it goes on, and each
    wants a trial.
    """
    paused = at.run("pause")
    for _ in range(WORKERS):
        at.start()
    at.wait(lambda: at.query(AT_WORK) == [(WORKERS,)], "sixteen workers", 900)
    resumed = at.run("resume")
    assert (paused.returncode, resumed.returncode) == (0, 0), paused.stderr + resumed.stderr


def last_epoch_began(at: Scene) -> float:
    """When the last epoch of all trials began, in seconds since 1970."""
    began = [heard - float(match[3]) for heard, line in at.heard if (match := EPOCH.search(line))]
    return since_1970() + max(began)


def since_1970() -> float:
    """What to add to a moment at which a line was heard."""
    return time.time() - time.monotonic()


def shares(at: Scene) -> str:
    """How many workers had a trial."""
    return f"{sum(' starts' in worker.words() for worker in at.workers)} workers had one"


def _limited(at: Scene, fault: str, why: str) -> Row:
    """Nobody's trial ends before the limit: so each worker has begun exactly one, and has left it
    there for whoever goes on.
    """
    begin_at_once(at)
    at.finish()
    states = at.states()
    waiting = states.get("WAITING", 0)
    at.halted = True
    at.budget = sum(states.values())
    (begun,) = at.query("SELECT count(*) FROM search_lease")[0]
    row = audit(at, fault, WORKERS, note=f"{begun} trials begun")
    left = [line for _, line in at.heard if line.endswith(f"{LEFT}: {why}")]
    row.wrong += (
        []
        if begun == len(left) == states["RUNNING"] == WORKERS
        else [f"{begun} trials begun, {states}: {left}"]
    )
    row.wrong += (
        []
        if begun + waiting == at.budget
        else [f"{begun} begun and {waiting} waiting of {at.budget}"]
    )
    return row


ALL = [trials_of_sixteen, hours_of_sixteen, deadline_of_sixteen]
