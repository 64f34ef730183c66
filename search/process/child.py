"""What runs in a trial's own process: training, saving blobs, and telling the worker over a pipe.
It knows no database.
"""

import os
import signal
import threading
from contextlib import suppress
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from objectives.config import Config
from objectives.data.dataset import Dataset, load_dataset
from objectives.data.resplit import dealt, trained_on_everything
from objectives.device.convolutions import search_for
from objectives.device.memory import limit_memory
from objectives.device.precision import computes_bf16
from objectives.device.running_out import shortage_in
from objectives.errors import first_line
from objectives.lifeline import end_with_parent
from objectives.networks.pretrained import started_from
from objectives.scoring.latency import latency_s
from objectives.training.batches import TrainingBatches
from objectives.training.feasibility import Unmeasurable, Verdict, check
from objectives.training.fit import Training, begin, fit
from objectives.training.order import EpochOrder
from objectives.training.results import EpochResult
from objectives.training.state import TrainingState
from objectives.training.ways import choose
from search.artifacts import open_blobs
from search.artifacts.kept import KEPT, read_once
from search.artifacts.marker import check_mounted
from search.process.causes import UNKNOWN, cause_of, dies_of, said_by
from search.process.link import Link
from search.process.messages import Cause, Checked, Drawn, Failed, Finished, Job, Timed, Trained
from search.process.on_gpu import use_gpu
from search.process.parent import Count
from search.process.patient_blobs import PatientBlobs
from search.process.pictures import draw_pictures
from search.process.question import Question, StopTrainingError
from search.process.resume import restore
from search.process.saver import Save, Saver

VICTIM = "1000"  # of all processes, the first that the kernel ends when memory runs out


def main(pipe: Connection, job: Job, beats: Count) -> None:
    """Train one trial; every message goes to the worker through the pipe."""
    # the worker decides when to stop, so signals to the whole process group are not for this
    # process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()  # the process that forks trials, which ends with the worker in the same way
    threading.Thread(target=_exit_with_worker, daemon=True).start()
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(VICTIM)
    if job.gpu:
        use_gpu(job.gpu, alone=job.alone)
    torch.set_num_threads(job.threads)
    link = Link(pipe, beats)
    try:
        config = Config.model_validate_json(job.config)
        data = dealt(load_dataset(job.dataset), job.run.dealing)
        if job.run.everything:
            data = trained_on_everything(data)
        if job.checkpoints or can_work(config, data, job, pipe):
            train(job, config, data, link)
            link.send(Finished())
    except (ConnectionError, EOFError):
        os._exit(3)
    # whatever goes wrong ends this trial's process alone, and its cause is reported
    except Exception as error:
        short = shortage_in(error, device_of(job))
        cause = Cause.CRASHED if short is None and dies_of(error) else cause_of(error, short)
        link.send(
            Failed(
                cause, short.taken() if short and cause is Cause.SURROUNDINGS else said_by(error)
            )
        )


def can_work(config: Config, data: Dataset, job: Job, pipe: Connection) -> bool:
    """Tell the worker what the config needs, where that can be said; False when it cannot work
    here. No device is touched.
    """
    bf16 = config.train.bf16 and (job.gpu_bf16 if job.gpu else computes_bf16(torch.device("cpu")))
    try:
        order = EpochOrder(config, data, job.run.seed)
        held = choose(
            job.augment_on,
            config,
            data,
            order,
            device=device_of(job),
            memory_bytes=job.memory_bytes,
        )
        verdict = check(
            config,
            data.spec,
            memory_bytes=job.memory_bytes,
            frames=len(order.frames),
            bf16=bf16,
            divides=bool(job.gpu),
            held_bytes=held.held_bytes,
        )
    except UNKNOWN:  # an encoder by name may do what cannot be estimated, and train all the same
        return True
    match verdict:
        case Verdict(need, problem):
            pipe.send(
                Checked(
                    need.parameters,
                    need.multiply_adds,
                    need.memory_bytes,
                    problem,
                    held.on_device,
                )
            )
        case Unmeasurable(problem):
            pipe.send(Failed(Cause.INFEASIBLE, problem))
    return not problem


def train(job: Job, config: Config, data: Dataset, link: Link) -> None:
    """Train from the beginning, or from the last good state, until all epochs are done or the
    worker says stop; then draw.
    """
    device = device_of(job)
    # before all else: prefetchers are forked here, and must inherit neither CUDA nor the threads of
    # an artifact store
    batches = batches_of(job, config, data, link)
    search_for(config.train.epochs * len(batches))
    if job.limited:
        limit_memory(device, job.memory_bytes)
    blobs = PatientBlobs(
        open_blobs(job.blobs), link.note, partial(check_mounted, job.blobs, job.marker), link.beat
    )

    def prepared() -> Training:
        return begin(batches, last_epoch=job.run.last_epoch, heard=job.run.heard)

    training, checkpoint = restore(job.checkpoints, blobs, prepared, link.note, device)
    state = training.state
    start = started_from(config.model)
    if start and not state.epoch:
        state.start_from(read_once(start.sha256, blobs, job.cache / KEPT))
    saver = Saver(training.state, blobs, checkpoint.best)
    if not (checkpoint.last and stopped_before(saver.at(checkpoint), link)):
        run(training, saver, job, link)
    shown = not job.run.everything  # else no frame is left that would show what it does on new ones
    if shown:
        draw(state, data, link)
    saver.wait()
    if shown:
        note_latency(state, data, link)


def stopped_before(save: Save, link: Link) -> bool:
    """Return whether the worker says stop to a trial as it was left. Nothing that it could say matters
    to a training that is finished.
    """
    number = link.tell(save)
    return not save.finished and bool(link.answer(number))


def run(training: Training, saver: Saver, job: Job, link: Link) -> None:
    """Train until all epochs are done or the worker says stop, and tell it of each epoch."""
    state = training.state
    question = Question(link, saver)
    at_once = whole = state.config.train.batch_size
    try:
        for result in fit(training, question.beat, question.settle):
            if state.micro_batch < at_once:
                at_once = state.micro_batch
                link.note(
                    f"has too little memory for {whole} frames: {at_once} at a time, in the same "
                    f"steps"
                )
            if job.verbose:
                with suppress(OSError):  # a full disk under the log
                    print(f"trial {job.number} {describe(result, state)}", flush=True)
            if state.finished:
                saver.begin(link.tell)
            elif link.called() or result.number in job.rungs:
                question.ask()
            else:
                if saver.due():
                    saver.begin(link.tell)
                link.send(Trained())
    except StopTrainingError:
        pass
    except Exception:
        # of an epoch that the worker may not have wanted
        if not question.stops():
            raise


def batches_of(job: Job, config: Config, data: Dataset, link: Link) -> TrainingBatches:
    """Return what a trial trains on, and tell people how it is made."""
    batches = TrainingBatches(
        config,
        data,
        job.run.seed,
        device=device_of(job),
        prefetchers=job.prefetchers,
        augment_on=job.augment_on,
        memory_bytes=job.memory_bytes,
    )
    if batches.choice.said:
        link.note(batches.choice.said)
    if batches.crowded:
        link.note(
            f"has room in shared memory for {batches.prefetchers} of {job.prefetchers} "
            f"prefetchers: give /dev/shm more"
        )
    return batches


def device_of(job: Job) -> torch.device:
    """Return the device that a trial trains on."""
    return torch.device("cuda" if job.gpu else "cpu")


def draw(state: TrainingState, data: Dataset, link: Link) -> None:
    """Send each picture as soon as it is drawn; where one cannot be, the score stands without it."""
    try:
        for filename, png in draw_pictures(state, data, state.scored_weights):
            link.send(Drawn(filename, png))
    except Exception as error:  # of a plotting library, a font, the device's memory
        link.note(f"lacks pictures: {first_line(error)}")


def note_latency(state: TrainingState, data: Dataset, link: Link) -> None:
    """Send how fast the network is, where it can be timed."""
    try:
        link.send(Timed(latency_s(state.average.model, data.spec, device=state.device)))
    except Exception as error:  # the device's memory
        link.note(f"is not timed: {first_line(error)}")


def describe(result: EpochResult, state: TrainingState) -> str:
    """Return an epoch in one line."""
    return (
        f"epoch {result.number} of {state.last_epoch}: {result.score:.4f}, loss "
        f"{result.loss:.4f}, {result.seconds:.2f} s"
    )


def _exit_with_worker() -> None:
    worker = parent_process()
    if worker is not None:
        worker.join()
    os._exit(3)
