"""What runs in a trial's own process: training, saving blobs, and telling the worker over a pipe. It knows no database."""

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import Connection

import torch

from objectives.config import Config
from objectives.data.dataset import Dataset, load_dataset
from objectives.errors import WorldError
from objectives.feasibility import check
from objectives.fit import DivergedError, fit, prepare
from objectives.precision import computes_bf16
from objectives.training_state import TrainingState
from search.blobs import open_blobs
from search.messages import SURROUNDINGS, Checked, Failed, Finished, Job, Reply, Saved
from search.pictures import draw_pictures
from search.saver import Saver

UNKNOWN = (RuntimeError, TypeError, ValueError, LookupError, AttributeError)  # NotImplementedError is a RuntimeError
REPLY_S = 2.0  # how long to wait for the worker's word before training goes on without it


class Link:
    """The child's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe
        self.told = 0

    def tell(self, state: TrainingState, last: str, best: str) -> bool:
        """Tell the worker what is saved; True when it says stop.

        A worker that does not answer in time (its database is away) does not hold training up: its word counts later.
        """
        self.told += 1
        self.pipe.send(Saved(self.told, tuple(state.history), last, best, state.finished))
        while self.pipe.poll(REPLY_S):
            reply: Reply = self.pipe.recv()
            if reply.stop or reply.to == self.told:
                return reply.stop
        return False


def main(pipe: Connection, job: Job) -> None:
    """Train one trial; every message goes to the worker through the pipe."""
    # the worker decides when to stop, so signals to the whole process group are not for this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_worker, daemon=True).start()
    if job.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = job.gpu  # before the first CUDA call of this process
    torch.backends.cudnn.benchmark = True  # frames of one study have one size
    torch.set_num_threads(job.threads)
    try:
        config, data = Config.model_validate_json(job.config), load_dataset(job.dataset)
        if job.last or can_work(config, data, job, pipe):
            pipe.send(train(job, config, data, Link(pipe)))
    except (BrokenPipeError, EOFError):
        os._exit(3)
    except torch.OutOfMemoryError as error:
        pipe.send(Failed("out_of_memory", _line(error)))
    except DivergedError as error:
        pipe.send(Failed("diverged", _line(error)))
    except WorldError as error:
        pipe.send(Failed(SURROUNDINGS, _line(error)))
    except Exception as error:  # whatever else goes wrong ends this trial alone, and its cause is told
        pipe.send(Failed("error", f"{type(error).__name__}: {_line(error)}"))


def can_work(config: Config, data: Dataset, job: Job, pipe: Connection) -> bool:
    """Tell the worker what the config needs; False when it cannot work here. No device is touched."""
    bf16 = config.train.bf16 and (job.gpu_bf16 if job.gpu else computes_bf16(torch.device("cpu")))
    try:
        verdict = check(config, data.spec, memory_bytes=job.memory_bytes, bf16=bf16)
    except UNKNOWN:  # an encoder by name may do what cannot be estimated, and train all the same
        return True
    need = verdict.estimate
    pipe.send(Checked(need.parameters, need.multiply_adds, need.memory_bytes, verdict.problem))
    return not verdict.problem


def train(job: Job, config: Config, data: Dataset, link: Link) -> Finished:
    """Train from the beginning, or from the last state, until all epochs are done or the worker says stop."""
    blobs = open_blobs(job.blobs)
    device = torch.device("cuda" if job.gpu else "cpu")
    training = prepare(config, data, seed=job.seed, device=device, prefetchers=job.prefetchers)
    state, saver, stop = training.state, Saver(training.state, blobs, job.best), False
    if job.last:
        state.load_bytes(blobs.read(job.last))
        stop = link.tell(state, job.last, job.best)
    if not stop:
        for result in fit(training):
            saver.note_best()
            if saver.due() or result.number in job.rungs or state.finished:
                last, best = saver.save()
                stop = link.tell(state, last, best)
                saver.note_cost()
                if stop:
                    break
    return Finished(draw_pictures(state, data, blobs.read(saver.best)))


def _exit_with_worker() -> None:
    worker = parent_process()
    if worker is not None:
        worker.join()
    os._exit(3)


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
