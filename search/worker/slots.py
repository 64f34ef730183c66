"""Into how many slots a worker wants its GPU divided, and how it waits for one."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from objectives.data.dataset import Dataset
from objectives.errors import WorldError
from objectives.lifeline import end_with_parent
from search.machine.gpus import offer
from search.machine.hosts import cores
from search.machine.slots import MOST_FITTING, Division, Fitting, Into
from search.process.asking import asked
from search.study.budget import current_budget
from search.study.spec import StudySpec
from search.study.stored import Study
from search.trials import roster
from search.trials.choosing import NoSlotError
from search.trials.roster import RosterEntry
from search.waits import growing_waits
from search.worker.context import BY_NEED, WorkerSettings
from search.worker.patience import Patience

LONGEST_S = 600.0  # for the estimates of some dozens of networks
FRAGMENTS = 1.1  # of the estimate, which knows no workspaces and no fragments
LOOKS_S = (1.0, 15.0)  # the first and the longest wait between two looks for a slot


def division(
    study: Study,
    settings: WorkerSettings,
    data: Callable[[], Dataset],
    say: Callable[[str], None],
) -> Division:
    """Return how a worker wants its GPU divided: as it is told, or by what the study's trials need.

    The largest of the configs that are known before any is drawn decides, not the control alone: a
    trial for which its slot is too small is trained in parts, or refused. Needs `preload`, and
    ``data`` only for that.
    """
    if settings.per_gpu != BY_NEED:
        return Into(settings.per_gpu)
    gpus = offer(settings.device).gpus
    most = min(MOST_FITTING, int(cores() / max(1, len(gpus))))
    if not gpus or most < 2:
        return Fitting(0, 1)
    say("estimates what trials need of a GPU's memory, for --per-gpu auto")
    try:
        need = asked(
            _largest_need, study.spec, data().directory, name="estimate", longest_s=LONGEST_S
        )
    except OSError as error:
        raise WorldError(
            f"--per-gpu auto: what trials need cannot be estimated: {error}; give a number"
        ) from error
    return Fitting(int(FRAGMENTS * need), most)


def _largest_need(pipe: Connection, spec: StudySpec, directory: Path) -> None:
    """Say what `largest_need` does: in a process of its own, which alone loads what that needs."""
    from search.worker.largest_need import largest_need

    end_with_parent()
    pipe.send(largest_need(spec, directory))


def joined(
    study: Study,
    settings: WorkerSettings,
    name: str,
    wanted: Division,
    patiently: Patience,
) -> RosterEntry | None:
    """Register a worker as soon as there is a slot for it; None when the study was over before, or the
    worker was asked to stop.

    It waits like a worker for which there is no trial: as a stand-by it takes the slot of the next
    that leaves.

    Raises:
        UserError: There is no such GPU, or the study was deleted.
        WorldError: The GPUs do not answer, or are divided in another way.
        InterruptedTrialError: The worker was asked to stop during an outage.
    """
    told = False
    for wait_s in growing_waits(*LOOKS_S):
        try:
            return patiently(
                lambda: roster.join(study.engine, study.id, settings.device, name, wanted)
            )
        except NoSlotError as error:
            if patiently(lambda: current_budget(study)).over:
                return None
            if not told:
                patiently.say(f"{error}: waits for one")
            told = True
        if patiently.stop.wait(wait_s):
            return None
    raise AssertionError("the waits do not end")
