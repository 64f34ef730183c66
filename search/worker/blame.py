"""Whose fault a death is: the trial's own, or that of where it ran.

A trial's process that dies or stands still says little about the trial: a broken GPU, a kernel out
of memory or a passing cosmic ray ends processes, too. So a trial is failed for it only after deaths
at two different workers, or, where no other worker is alive, after as many deaths at one whose
device has passed a test after each of them.
"""

from dataclasses import replace

from optuna.trial import TrialState

from objectives.errors import WorldError
from search.machine.cuda import device_fault
from search.process.messages import Cause
from search.process.parent import ChildDiedError, ChildHungError
from search.study.stored import Study
from search.trials import leases, roster
from search.trials.leases import Lease
from search.worker.endings import Ending

MOST_CRASHES = 3  # a trial whose process died so often without a result is failed
MOST_HANGS = 2  # or stood still so often
MOST_VANISHED = 10  # or whose worker was gone so often in a row, no checkpoint written


class BrokenDeviceError(WorldError):
    """This worker's device fails a test, so what ran on it says nothing; the worker leaves its
    trials to others.
    """


def check_device(gpu: str, error: ChildDiedError | ChildHungError) -> None:
    """Do nothing where the device of a worker still computes after a trial's process has died or
    stood still on it.

    Raises:
        BrokenDeviceError: The device fails its test.
    """
    if why := device_fault(gpu):
        raise BrokenDeviceError(
            f"GPU {gpu} is broken: {why} (seen after: {error}); this worker leaves, trials go on "
            f"elsewhere"
        )


def judge_death(
    study: Study, lease: Lease, error: ChildDiedError | ChildHungError
) -> Ending | None:
    """Note that a trial's process has died or stood still, and return the trial's end if that makes
    it one.
    """
    noted = leases.note_death(study.engine, lease, hung=isinstance(error, ChildHungError))
    ending = judge_lease(study, noted)
    return replace(ending, message=f"{error}; {ending.message}") if ending else None


def judge_lease(study: Study, lease: Lease) -> Ending | None:
    """Return the end of a trial that has taken too many processes or workers with it; its last
    worker may have been gone before it could tell.
    """
    if lease.vanished >= MOST_VANISHED:
        return _failed(
            Cause.CRASHED, f"{lease.vanished} workers in a row vanished while they ran it"
        )
    for cause, workers, most, happened in (
        (Cause.CRASHED, lease.crashed_by, MOST_CRASHES, "died"),
        (Cause.HUNG, lease.hung_by, MOST_HANGS, "stood still"),
    ):
        if len(workers) >= most and (
            len(set(workers)) > 1 or roster.is_alone(study.engine, study.id, lease.owner)
        ):
            return _failed(
                cause, f"the trial's process has {happened} {len(workers)} times, at {_at(workers)}"
            )
    return None


def _at(workers: tuple[str, ...]) -> str:
    different = len(set(workers))
    return (
        f"{different} different workers" if different > 1 else "one worker, whose device is sound"
    )


def _failed(cause: Cause, message: str) -> Ending:
    return Ending(TrialState.FAIL, cause, message)
