"""Running one claimed trial: its own process trains; this side points, reports, prunes
and ends it.
"""

import time
from functools import partial
from typing import Any, assert_never

import optuna
from optuna.trial import TrialState

from objectives.config import Config
from objectives.device.shortage import host_memory, share_of
from objectives.training.results import EpochResult, scored_epoch
from search.artifacts import BlobMissingError
from search.artifacts.pictures import attach_picture
from search.machine.driver import Gpu
from search.process.hearing import UnusableError, usable
from search.process.messages import (
    Cause,
    Checked,
    Checkpoint,
    Drawn,
    Failed,
    Finished,
    Job,
    Noted,
    Saved,
    Trained,
)
from search.process.parent import (
    ChildDiedError,
    ChildHungError,
    InterruptedTrialError,
    SurroundingsError,
    TrialProcess,
)
from search.study.budget import WHY, Limit, current_budget
from search.study.draws import FromTrial
from search.study.pruners import judging
from search.study.record import Notes
from search.study.sampling import CONTROL
from search.trials import checkpoints, roster
from search.trials.checkpoints import BEFORE, BEST, LAST, Pointer
from search.trials.leases import Lease
from search.worker.blame import check_device, judge_death, judge_lease
from search.worker.context import BY_DEVICE, Worker
from search.worker.endings import Ending, numbers, show, tell, unfinished_verdict, unrecordable

RETRY_S = 10.0  # what killed a process may be gone by then
# between two looks at the limits, at least: a trial of short epochs asks no more often
LOOK_S = 1.0


def run_trial(worker: Worker, lease: Lease) -> None:
    """Run a trial to its end, or until the worker is interrupted; a trial claimed before goes on
    where it stood.

    Whatever its result holds, the worker goes on: what cannot be recorded ends the trial with that
    as its cause.

    Raises:
        SurroundingsError: It could not be run here, through no fault of its own.
        LeaseLostError: Another worker has taken the trial.
        BrokenDeviceError: The device fails its test.
    """
    patiently = worker.patiently
    study = worker.study
    trial = patiently(lambda: study.trial(lease.trial_id))
    try:
        config = patiently(lambda: study.space.draw(FromTrial(trial)))
        ending = patiently(lambda: unfinished_verdict(study, lease) or judge_lease(study, lease))
        ending = ending or train(worker, lease, trial, config)
        patiently(partial(tell, worker, trial, ending))
    except (ChildDiedError, ChildHungError) as error:
        check_device(worker.member.gpu, error)
        ending = patiently(partial(judge_death, study, lease, error))
        if ending is None:
            worker.say(f"trial {trial.number}: {error}; it will be tried again")
            worker.orders.stop.wait(RETRY_S)
            return
        patiently(partial(tell, worker, trial, ending))
    except Exception as error:
        # not patiently: what it raises again is no call that may work later
        ending = unrecordable(worker, error)
        patiently(partial(tell, worker, trial, ending))
    kept = checkpoints.kept(study.spec)
    patiently(lambda: checkpoints.drop_unneeded(study.engine, worker.blobs, study.id, keep=kept))
    worker.say(f"trial {trial.number} {ending}")


def train(worker: Worker, lease: Lease, trial: optuna.Trial, config: Config) -> Ending:
    """Train in a process of its own: after each save move the pointers first, then report, then
    prune.

    A limit that is reached between two saves asks for the next one at once. From there the trial
    goes on once it is lifted.
    """
    patiently = worker.patiently
    cause = Cause.COMPLETED
    history = tuple[EpochResult, ...]()
    job = patiently(lambda: build_job(worker, lease, trial.number, config))
    if not job.checkpoints:
        worker.say(f"trial {trial.number} starts")
    reporter = Reporter(worker, trial)
    with TrialProcess(job, hang_s=worker.settings.hang_s) as process:
        for message in process.messages(worker.interrupted):
            match usable(message, len(worker.data.spec.class_names)):
                case Checked() as needs:
                    patiently(partial(note_needs, trial, needs))
                    if needs.problem:
                        return Ending(TrialState.PRUNED, Cause.INFEASIBLE, needs.problem)
                case Noted(text):
                    worker.say(f"trial {trial.number} {text}")
                case Trained():
                    if patiently(reporter.limit_reached):
                        process.save_now()
                case Saved(number, history, checkpoint, finished):
                    patiently(lambda: point(worker, lease, trial.number, history, checkpoint))
                    patiently(lambda: reporter.report(history))
                    # a verdict stands, also if the process has not heard it yet
                    if cause is Cause.COMPLETED and not finished:
                        cause = patiently(reporter.verdict)
                        if (
                            cause is Cause.COMPLETED
                            and (limit := patiently(reporter.limit)) is not Limit.NONE
                        ):
                            patiently(
                                lambda: show(trial, numbers(worker, trial, history), there={})
                            )
                            worker.say(
                                f"trial {trial.number} is left where it stands: {WHY[limit]}"
                            )
                            raise InterruptedTrialError(WHY[limit])
                    process.reply(number, stop=cause is not Cause.COMPLETED)
                    if finished or cause is not Cause.COMPLETED:  # while the process draws
                        patiently(lambda: show(trial, numbers(worker, trial, history), there={}))
                case Drawn(filename, png):
                    patiently(
                        partial(
                            attach_picture,
                            trial,
                            worker.study.storage,
                            worker.pictures,
                            png,
                            filename,
                        )
                    )
                case Finished():
                    if not history:
                        raise UnusableError(
                            "its process must send the result of an epoch before it is finished, "
                            "got none"
                        )
                    state = TrialState.PRUNED if cause is Cause.PRUNED else TrialState.COMPLETE
                    return Ending(state, cause, history=history)
                case Failed(Cause.SURROUNDINGS, text):
                    raise SurroundingsError(f"trial {trial.number} cannot go on here: {text}")
                # its process cannot go on, and ends after this word
                case Failed(Cause.CRASHED, text):
                    raise ChildDiedError(f"the trial's process has died: {text}")
                # it cannot be built, or looked possible and does not fit into memory
                case Failed(Cause.INFEASIBLE, text):
                    return Ending(TrialState.PRUNED, Cause.INFEASIBLE, text, history)
                case Failed(cause, text):
                    return Ending(TrialState.FAIL, cause, text, history)
                case _:
                    assert_never(message)
    raise AssertionError("messages() ends with an ending or raises")


def build_job(worker: Worker, lease: Lease, number: int, config: Config) -> Job:
    """Return the job of a trial, with its checkpoints when it has some."""
    pointers = checkpoints.pointers_of(worker.study.engine, lease.trial_id)
    pairs = [
        (pointers.get(last), pointers.get(best))
        for last, best in ((LAST, BEST), (BEFORE[LAST], BEFORE[BEST]))
    ]
    gpu = worker.member.gpu
    settings = worker.settings
    cores = settings.threads or roster.threads(worker.study.engine)
    return Job(
        number=number,
        config=config.model_dump_json(),
        dataset=worker.data.directory,
        blobs=settings.artifacts,
        marker=worker.marker,
        run=worker.study.run(number),
        gpu=gpu,
        threads=lease.threads,
        prefetchers=prefetchers(settings.prefetchers, on_gpu=bool(gpu), cores=cores),
        rungs=judging(worker.study.space).rungs,
        checkpoints=tuple(
            Checkpoint(last.blob, best.blob) for last, best in pairs if last and best
        ),
        verbose=settings.verbose,
        **device_limits(worker.member.device),
    )


def prefetchers(told: int, *, on_gpu: bool, cores: int) -> int:
    """Return how many processes augment ahead of training: as told, else on a GPU one for each of
    so many cores but one.

    They change no batch, so unlike its threads they are no part of a trial: the cores are those of
    its worker now.
    """
    if told != BY_DEVICE:
        return told
    return max(1, cores - 1) if on_gpu else 0


def device_limits(gpu: Gpu) -> dict[str, Any]:
    """Return what a trial may count on: the memory of the whole device, and bf16 on a GPU.

    Others may share the device for a while, but an infeasible trial is so for ever: it must not
    depend on who is there.
    """
    if not gpu.uuid:
        return {"memory_bytes": share_of(host_memory()), "gpu_bf16": False}
    return {"memory_bytes": share_of(gpu.memory_bytes), "gpu_bf16": gpu.bf16}


def note_needs(trial: optuna.Trial, needs: Checked) -> None:
    """Show in the dashboard what a trial's config needs."""
    needed = Notes(
        parameters=needs.parameters,
        multiply_adds=needs.multiply_adds,
        memory_bytes=needs.memory_bytes,
    )
    show(trial, needed, there={})


def point(
    worker: Worker,
    lease: Lease,
    number: int,
    history: tuple[EpochResult, ...],
    checkpoint: Checkpoint,
) -> None:
    """Make the saved blobs the checkpoint of the trial with this number."""
    top = scored_epoch(history, last=bool(worker.study.run(number).last_epoch))
    pointers = {
        LAST: Pointer(checkpoint.last, history[-1].number, history[-1].score),
        BEST: Pointer(checkpoint.best, top.number, top.score),
    }
    try:
        checkpoints.point(worker.study.engine, worker.blobs, lease, pointers)
    except BlobMissingError as error:  # the trial goes on from the checkpoint before
        raise SurroundingsError(f"trial {number}: {error}") from error


class Reporter:
    """Sends epochs to Optuna in order, each once, also those that a resumed trial's checkpoint
    holds and Optuna lacks.
    """

    def __init__(self, worker: Worker, trial: optuna.Trial) -> None:
        self.worker = worker
        self.trial = trial
        frozen = worker.patiently(lambda: worker.study.storage.get_trial(trial._trial_id))
        self.reported = set(frozen.intermediate_values)
        self.pruned = Notes.of(frozen).pruned
        self.looked_at = time.monotonic()

    def report(self, history: tuple[EpochResult, ...]) -> None:
        """Report the epochs that Optuna lacks."""
        for result in history:
            if result.number not in self.reported:
                self.trial.report(result.score, step=result.number)
                self.reported.add(result.number)

    def limit_reached(self) -> bool:
        """Return whether a limit of the study has been reached, or a person has said so; looked up
        once in a second at most.
        """
        if time.monotonic() - self.looked_at < LOOK_S:
            return False
        limit = self.limit()
        self.looked_at = time.monotonic()
        return limit is not Limit.NONE

    def limit(self) -> Limit:
        """Return what keeps the study from training on."""
        return current_budget(self.worker.study).limit()

    def verdict(self) -> Cause:
        """Return whether the trial is to be pruned; else ``completed``. The control never is."""
        # asked for the control too, which takes its place in the rungs
        self.pruned = self.pruned or (self.trial.should_prune() and self.trial.number != CONTROL)
        if not self.pruned:
            return Cause.COMPLETED
        # the pruner says it once: whoever takes the trial over must know
        show(self.trial, Notes(pruned=True), there={})
        return Cause.PRUNED
