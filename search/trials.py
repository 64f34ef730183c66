"""Running one claimed trial: its own process trains; this side points, reports, prunes and tells."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import optuna
from optuna.trial import TrialState

from objectives.config import Config
from objectives.results import EpochResult
from search import checkpoints
from search.checkpoints import Pointer
from search.claims import past_deadline
from search.draws import FromTrial
from search.gpus import list_gpus
from search.hosts import memory
from search.leases import Lease, count_crash
from search.messages import SURROUNDINGS, Checked, Failed, Finished, Job, Saved
from search.pictures_store import attach_picture
from search.process import ChildDiedError, TrialProcess
from search.sampling import CONTROL, rungs
from search.worker import Worker

PREFETCHERS = 4  # processes that augment ahead of one GPU
RETRY_S = 10.0  # what failed may come back meanwhile
MEMORY_SHARE = 0.9  # of a device's memory, for a trial; the rest is for the driver's and the libraries' own
MOST_CRASHES = 3  # a trial whose process died so often without a result is failed


NOTHING = Finished({})
INFEASIBLE = "infeasible"


@dataclass(frozen=True)
class Ending:
    """How a trial ended. ``cause``: completed, pruned, deadline, infeasible, or one word for a failure."""

    state: TrialState
    cause: str
    message: str = ""
    history: tuple[EpochResult, ...] = ()
    finished: Finished = NOTHING

    @property
    def best(self) -> EpochResult:
        """The epoch whose score is the trial's value."""
        return max(self.history, key=lambda result: result.score)

    def __str__(self) -> str:
        if self.message:
            return f"{self.cause}: {self.message}"
        return f"{self.cause} with {self.best.score:.4f} after {len(self.history)} epochs"


def run_trial(worker: Worker, lease: Lease) -> None:
    """Run a trial to its end, or until the worker is interrupted; a trial claimed before goes on where it stood."""
    patiently = worker.patiently
    trial = patiently(lambda: worker.study.trial(lease.trial_id))
    config = patiently(lambda: worker.study.space.draw(FromTrial(trial)))
    try:
        ending = patiently(lambda: unfinished_verdict(worker, lease)) or train(worker, lease, trial, config)
    except ChildDiedError as error:
        crashes = patiently(lambda: count_crash(worker.study.engine, lease))
        if crashes < MOST_CRASHES:
            worker.say(f"trial {trial.number}: {error}; it will be tried again")
            worker.orders.stop.wait(RETRY_S * crashes)
            return
        ending = Ending(TrialState.FAIL, "crashed", str(error))
    patiently(lambda: tell(worker, trial, ending))
    patiently(lambda: checkpoints.drop_unneeded(worker.study.engine, worker.blobs, worker.study.id))
    worker.say(f"trial {trial.number} {ending}")


def unfinished_verdict(worker: Worker, lease: Lease) -> Ending | None:
    """The verdict of a worker that died while it told that this trial cannot work; a constraint once set stays."""
    found = worker.study.storage.get_trial(lease.trial_id)
    if found.constraints.get(INFEASIBLE, 0.0) > 0:
        return Ending(TrialState.PRUNED, INFEASIBLE, found.user_attrs["message"])
    return None


def train(worker: Worker, lease: Lease, trial: optuna.Trial, config: Config) -> Ending:
    """Train in a process of its own: after each save move the pointers first, then report, then prune."""
    patiently, cause, history = worker.patiently, "completed", tuple[EpochResult, ...]()
    job = patiently(lambda: build_job(worker, lease, trial.number, config))
    worker.say(f"trial {trial.number} {'goes on' if job.last else 'starts'}")
    reporter = Reporter(worker, trial)
    with TrialProcess(job) as process:
        for message in process.messages(worker.interrupted):
            match message:
                case Checked() as needs:
                    patiently(partial(note_needs, trial, needs))
                    if needs.problem:
                        return Ending(TrialState.PRUNED, INFEASIBLE, needs.problem)
                case Saved(number, history, last, best, finished):
                    patiently(lambda: point(worker, lease, history, last, best))
                    patiently(lambda: reporter.report(history))
                    if cause == "completed" and not finished:  # a verdict stands, also if the process has not heard it yet
                        cause = patiently(reporter.verdict)
                    process.reply(number, stop=cause != "completed")
                case Finished():
                    state = TrialState.PRUNED if cause == "pruned" else TrialState.COMPLETE
                    return Ending(state, cause, history=history, finished=message)
                case Failed(cause, text) if cause == SURROUNDINGS:
                    raise ChildDiedError(text)
                case Failed(cause, text):
                    return Ending(TrialState.FAIL, cause, text, history)
                case _:
                    assert_never(message)
    raise AssertionError("messages() ends with an ending or raises")


def build_job(worker: Worker, lease: Lease, number: int, config: Config) -> Job:
    """The job of a trial, from its checkpoint when it has one."""
    pointers = checkpoints.pointers_of(worker.study.engine, lease.trial_id)
    gpu = worker.member.gpu
    return Job(
        config=config.model_dump_json(),
        dataset=worker.data.directory,
        blobs=worker.settings.artifacts,
        seed=worker.study.trial_seed(number),
        gpu=gpu,
        threads=lease.threads,
        prefetchers=PREFETCHERS if gpu else 0,
        rungs=rungs(worker.study.space),
        last=pointers["last"].blob if "last" in pointers else "",
        best=pointers["best"].blob if "best" in pointers else "",
        **device_limits(gpu),
    )


def device_limits(uuid: str) -> dict[str, Any]:
    """What a trial may count on: the memory of the whole device, and bf16 on a GPU.

    Others may share the device for a while, but an infeasible trial is so for ever: it must not depend on who is there.
    """
    if not uuid:
        return {"memory_bytes": int(MEMORY_SHARE * memory()), "gpu_bf16": False}
    (gpu,) = (gpu for gpu in list_gpus() if gpu.uuid == uuid)
    return {"memory_bytes": int(MEMORY_SHARE * gpu.memory_bytes), "gpu_bf16": gpu.bf16}


def note_needs(trial: optuna.Trial, needs: Checked) -> None:
    """Show in the dashboard what a trial's config needs."""
    for key in ("parameters", "multiply_adds", "memory_bytes"):
        trial.set_user_attr(key, getattr(needs, key))


def point(worker: Worker, lease: Lease, history: tuple[EpochResult, ...], last: str, best: str) -> None:
    """Make the saved blobs the trial's ``last`` and ``best``."""
    top = max(history, key=lambda result: result.score)
    pointers = {
        "last": Pointer(last, history[-1].number, history[-1].score),
        "best": Pointer(best, top.number, top.score),
    }
    checkpoints.point(worker.study.engine, worker.blobs, lease, pointers)


class Reporter:
    """Sends epochs to Optuna in order, each once, also those that a resumed trial's checkpoint holds and Optuna lacks."""

    def __init__(self, worker: Worker, trial: optuna.Trial) -> None:
        self.worker = worker
        self.trial = trial
        frozen = worker.patiently(lambda: worker.study.storage.get_trial(trial._trial_id))
        self.reported = set(frozen.intermediate_values)
        self.pruned = bool(frozen.user_attrs.get("pruned"))

    def report(self, history: tuple[EpochResult, ...]) -> None:
        """Report the epochs that Optuna lacks."""
        for result in history:
            if result.number not in self.reported:
                self.trial.report(result.score, step=result.number)
                self.reported.add(result.number)

    def verdict(self) -> str:
        """``pruned`` or ``deadline`` when the trial must stop, else ``completed``. The control is never pruned."""
        # asked for the control too, which takes its place in the rungs
        self.pruned = self.pruned or (self.trial.should_prune() and self.trial.number != CONTROL)
        if self.pruned:
            self.trial.set_user_attr("pruned", True)  # the pruner says it once: whoever takes the trial over must know
            return "pruned"
        return "deadline" if past_deadline(self.worker.study) else "completed"


def tell(worker: Worker, trial: optuna.Trial, ending: Ending) -> None:
    """End a trial: pictures and attributes first, since nothing can be added to a trial that has ended.

    May be repeated when its answer was lost.
    """
    found = worker.study.storage.get_trial(trial._trial_id)
    if found.state.is_finished():
        return
    for filename, png in ending.finished.pictures.items():
        attach_picture(trial, worker.study.storage, worker.pictures, png, filename)
    for key, value in attributes(worker, ending).items():
        trial.set_user_attr(key, value)
    if ending.cause == INFEASIBLE and INFEASIBLE not in found.constraints:
        trial.set_constraint(INFEASIBLE, 1.0)  # so the sampler learns the border; of a failed trial it would learn nothing
    score = ending.best.score if ending.state == TrialState.COMPLETE else None
    worker.study.optuna.tell(trial, score, state=ending.state, skip_if_finished=True)


def attributes(worker: Worker, ending: Ending) -> dict[str, object]:
    """What the dashboard shows of a trial beside its parameters."""
    found: dict[str, object] = {"end_cause": ending.cause, "device": worker.member.gpu or "cpu"}
    if ending.message:
        found["message"] = ending.message
    if ending.history:
        names, iou = worker.data.spec.class_names, ending.best.iou
        found |= {f"iou {names[k]}": iou[k] for k in worker.data.spec.scored if not math.isnan(iou[k])}
        found |= {"best_epoch": ending.best.number, "epochs": len(ending.history)}
        found |= {"train_seconds": round(sum(result.seconds for result in ending.history), 3)}
    return found
