"""A trial at work, as its worker sees it: each of its calls waits out an outage by itself."""

import time
from dataclasses import replace
from functools import partial
from typing import Any, final

import optuna
from optuna.trial import FrozenTrial

from objectives.config import Config
from objectives.device.shortage import host_memory, share_of
from objectives.training.augment_on import AugmentOn
from objectives.training.results import EpochResult, scored_epoch
from search.artifacts import BlobMissingError
from search.artifacts.pictures import attach_picture
from search.machine.driver import Gpu
from search.machine.slots import Slot
from search.process.hearing import UnusableError, usable
from search.process.messages import Cause, Checked, Checkpoint, Job, Message
from search.process.parent import InterruptedTrialError, SurroundingsError, TrialProcess
from search.study.budget import WHY, Limit, current_budget
from search.study.names import CONTROL
from search.study.pruners import judging
from search.study.record import AGAIN, Notes
from search.trials import checkpoints, roster
from search.trials.checkpoints import BEFORE, BEST, LAST, Pointer
from search.trials.leases import Lease
from search.trials.writing import write_epochs, write_notes
from search.worker.context import BY_DEVICE, Worker
from search.worker.endings import numbers

# between two looks at the limits, at least: a trial of short epochs asks no more often
LOOK_S = 1.0


@final
class RunningTrial:
    """One trial under a lease, with what Optuna knows of it by now.

    Epochs are reported in order, each once, also those that a resumed trial's checkpoint holds and
    Optuna lacks.
    """

    def __init__(
        self, worker: Worker, lease: Lease, trial: optuna.Trial, stored: FrozenTrial
    ) -> None:
        self.worker = worker
        self.lease = lease
        self.trial = trial
        self.number = trial.number
        self.stored = stored  # with what has been reported since
        self.pruned = Notes.of(stored).pruned
        self.looked_at = time.monotonic()

    @property
    def is_control(self) -> bool:
        """Whether it is a run of the control."""
        return self.number == CONTROL or Notes.of(self.stored).recipe == AGAIN

    def say(self, text: str) -> None:
        """Tell people what the trial does."""
        self.worker.say(f"trial {self.number} {text}")

    def interrupted(self) -> bool:
        """Return whether to leave the trial."""
        return self.worker.interrupted()

    def job(self, config: Config) -> Job:
        """Return what its process gets."""
        augmented_on = Notes.of(self.stored).augmented_on
        return self.worker.patiently(
            lambda: build_job(self.worker, self.lease, self.number, config, augmented_on)
        )

    def process(self, job: Job) -> TrialProcess:
        """Return its process, which starts when it is entered."""
        return TrialProcess(job, hang_s=self.worker.settings.hang_s)

    def usable(self, message: object) -> Message:
        """Return a message of its process.

        Raises:
            UnusableError: It is no message, or holds what nobody can work with.
        """
        return usable(message, len(self.worker.data.spec.class_names))

    def note_needs(self, needs: Checked) -> None:
        """Show in the dashboard what its config needs, and keep where its frames are augmented."""
        # a start before may have been on the device
        on_host = "host" if Notes.of(self.stored).augmented_on else ""
        needed = Notes(
            parameters=needs.parameters,
            multiply_adds=needs.multiply_adds,
            memory_bytes=needs.memory_bytes,
            augmented_on="device" if needs.on_device else on_host,
        )
        self.worker.patiently(lambda: self._write(needed))

    def note_latency(self, seconds: float) -> None:
        """Keep how long its network takes for a frame."""
        self.worker.patiently(lambda: self._write(Notes(latency_s=round(seconds, 6))))

    def _write(self, notes: Notes) -> None:
        write_notes(self.worker.study.engine, self.lease, notes)

    def point(self, history: tuple[EpochResult, ...], checkpoint: Checkpoint) -> None:
        """Make the saved blobs its checkpoint."""
        self.worker.patiently(lambda: self._point(history, checkpoint))

    def _point(self, history: tuple[EpochResult, ...], checkpoint: Checkpoint) -> None:
        study = self.worker.study
        top = scored_epoch(history, last=bool(study.run(self.number).last_epoch))
        pointers = {
            LAST: Pointer(checkpoint.last, history[-1].number, history[-1].score),
            BEST: Pointer(checkpoint.best, top.number, top.score),
        }
        try:
            checkpoints.point(study.engine, self.worker.blobs, self.lease, pointers)
        except BlobMissingError as error:  # the trial goes on from the checkpoint before
            raise SurroundingsError(f"trial {self.number}: {error}") from error

    def report(self, history: tuple[EpochResult, ...]) -> None:
        """Report the epochs that Optuna lacks."""
        self.worker.patiently(lambda: self._report(history))

    def _report(self, history: tuple[EpochResult, ...]) -> None:
        reported = self.stored.intermediate_values
        lacking = [each for each in history if each.number not in reported]
        if lacking:
            write_epochs(self.worker.study.engine, self.lease, lacking)
            reported.update({each.number: each.score for each in lacking})

    def verdict(self) -> Cause:
        """Return whether the trial is to be pruned; else ``completed``. The control never is, nor is
        its second run.
        """
        return self.worker.patiently(self._verdict)

    def _verdict(self) -> Cause:
        # asked for the control too, which takes its place in the rungs
        study = self.worker.study.optuna
        ends = self.pruned or study.pruner.prune(study, self.stored)
        self.pruned = ends and not self.is_control
        if not self.pruned:
            return Cause.COMPLETED
        # the pruner says it once: whoever takes the trial over must know
        self._write(Notes(pruned=True))
        return Cause.PRUNED

    def limit_reached(self) -> bool:
        """Return whether a limit of the study has been reached, or a person has said so.

        It is looked up once in a second at most.
        """
        if time.monotonic() - self.looked_at < LOOK_S:
            return False
        limit = self._limit()
        self.looked_at = time.monotonic()
        return limit is not Limit.NONE

    def leave_at_limit(self, history: tuple[EpochResult, ...], left_out: tuple[float, ...]) -> None:
        """Leave the trial where it stands, if a limit keeps the study from training on.

        Raises:
            InterruptedTrialError: One does; what is trained by now is shown.
        """
        limit = self._limit()
        if limit is Limit.NONE:
            return
        self.show(history, left_out)
        self.say(f"is left where it stands: {WHY[limit]}")
        raise InterruptedTrialError(WHY[limit])

    def _limit(self) -> Limit:
        return self.worker.patiently(lambda: current_budget(self.worker.study).limit())

    def show(self, history: tuple[EpochResult, ...], left_out: tuple[float, ...]) -> None:
        """Show in the dashboard what was trained so far, and keep how its score moves with the places."""
        self.worker.patiently(
            lambda: self._write(
                replace(numbers(self.worker, self.trial, history), left_out=left_out)
            )
        )

    def attach(self, filename: str, png: bytes) -> None:
        """Keep a picture of it."""
        storage = self.worker.study.storage
        pictures = self.worker.pictures
        self.worker.patiently(partial(attach_picture, self.trial, storage, pictures, png, filename))

    def refuse_untrained(self, history: tuple[EpochResult, ...]) -> None:
        """Refuse the end of a process that has sent no epoch.

        Raises:
            UnusableError: There is none.
        """
        if not history:
            raise UnusableError(
                "its process must send the result of an epoch before it is finished, got none"
            )


def build_job(worker: Worker, lease: Lease, number: int, config: Config, augmented_on: str) -> Job:
    """Return the job of a trial, with its checkpoints when it has some; ``augmented_on`` is where its frames
    were augmented before.
    """
    pointers = checkpoints.pointers_of(worker.study.engine, lease.trial_id)
    pairs = [
        (pointers.get(last), pointers.get(best))
        for last, best in ((LAST, BEST), (BEFORE[LAST], BEFORE[BEST]))
    ]
    gpu = worker.member.gpu
    settings = worker.settings
    cores = settings.threads or roster.threads(worker.study.engine)
    saved = tuple(Checkpoint(last.blob, best.blob) for last, best in pairs if last and best)
    return Job(
        number=number,
        config=config.model_dump_json(),
        dataset=worker.data.directory,
        blobs=settings.artifacts,
        cache=settings.cache,
        marker=worker.marker,
        run=worker.study.run(number),
        gpu=gpu,
        threads=lease.threads,
        prefetchers=prefetchers(settings.prefetchers, on_gpu=bool(gpu), cores=cores),
        rungs=judging(worker.study.space).rungs,
        checkpoints=saved,
        verbose=settings.verbose,
        alone=runs_alone(lease, worker.member.device),
        augment_on=augment_on(settings.augment_on, augmented_on, begun=bool(saved)),
        **device_limits(worker.member.device, worker.member.slot),
    )


def prefetchers(wanted: int, *, on_gpu: bool, cores: int) -> int:
    """Return how many processes augment ahead of training: ``wanted``, else on a GPU one for each of
    so many cores but one.

    They change no batch, so unlike its threads they are no part of a trial: the cores are those of
    its worker now.
    """
    if wanted != BY_DEVICE:
        return wanted
    return max(1, cores - 1) if on_gpu else 0


def augment_on(asked: AugmentOn, before: str, *, begun: bool) -> AugmentOn:
    """Return where a trial's frames are augmented: as its worker is asked, but one that goes on does so where
    it began, or it would go on with other numbers.
    """
    if not begun:
        return asked
    return "device" if before == "device" else "host"


def runs_alone(lease: Lease, gpu: Gpu) -> bool:
    """Return whether a trial shares no context with others of its GPU from now on: its process has
    died, or stood still, before.

    Under MPS a fault of one ends all, and none is told whose it was. Apart, who is to blame dies by
    itself, and the others live: each can be taken along by a neighbour once. A GPU in exclusive mode
    admits nobody beside its server of MPS.
    """
    return bool(lease.crashed_by or lease.hung_by) and not gpu.exclusive


def device_limits(gpu: Gpu, slot: Slot) -> dict[str, Any]:
    """Return what a trial may count on: the memory of the whole device or of its slot, and bf16 on a
    GPU.

    Others may share the device for a while, but an infeasible trial is so for ever: it must not
    depend on who is there.
    """
    if not gpu.uuid:
        return {"memory_bytes": share_of(host_memory()), "limited": False, "gpu_bf16": False}
    memory_bytes = share_of(gpu.memory_bytes, slot.of)
    return {"memory_bytes": memory_bytes, "limited": slot.of > 0, "gpu_bf16": gpu.bf16}
