"""The present tree's adapter: the one file to change when the program's functions do."""

import threading
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from optuna.trial import TrialState

from database_bench.adapter import (
    BUDGET,
    CLASSES,
    EPOCHS,
    FRAMES,
    SPACE,
    STUDY,
    Hold,
    score,
    unhurried,
)
from objectives.data.options import DataOptions
from objectives.data.spec import FrameSpec
from objectives.device.processor import Processor
from objectives.training.results import EpochResult
from search.process.messages import Cause, Checked
from search.study.budget import current_budget
from search.study.spec import StudySpec
from search.study.status import read_status
from search.study.stored import Study, create_study, open_study
from search.trials import roster
from search.trials.claims import Claimed
from search.trials.drawing import draw
from search.trials.leases import LEASE_S, Lease
from search.worker import loop
from search.worker.blame import judge_lease
from search.worker.context import Orders, Worker, WorkerSettings
from search.worker.endings import Ending, tell, unfinished_verdict
from search.worker.patience import Patience
from search.worker.pulse import Pulse
from search.worker.running import RunningTrial
from spaces import load_space

TREE = load_space(SPACE, (f"train.epochs={EPOCHS}",))
PROCESSOR = Processor("cpu", "x86_64, torch 2.9", 1)


@dataclass
class Running:
    """A trial at work, with what it has reported by now."""

    trial: Any
    lease: Lease
    running: RunningTrial
    history: tuple[EpochResult, ...] = ()
    cause: Cause = field(default=Cause.COMPLETED)


class NewSide:
    """This tree's functions."""

    hold = Hold.WITHIN

    def takes_lock(self, statement: str, parameters: object) -> bool:
        return "FOR NO KEY UPDATE" in statement

    def create(self, url: str) -> None:
        spec = StudySpec(
            name=STUDY,
            source="synthetic:40",
            frames=DataOptions(),
            score=f"mean IoU of {', '.join(CLASSES[1:])}",
            data_fingerprint="0" * 64,
            space=TREE.to_dict(),
            space_fingerprint=TREE.fingerprint,
            trials=BUDGET,
            until_s=0.0,
        )
        assert create_study(url, spec)

    def draw(self, source: Any) -> None:
        TREE.draw(source)

    def filled(self, url: str) -> None:
        pass  # nothing is kept beside Optuna's rows and the leases

    def open(self, url: str) -> Study:
        return open_study(url, STUDY)

    def warm(self, study: Study) -> None:
        with unhurried(study.storage.engine):
            current_budget(study)
        with study.engine.connect() as connection:
            study.history.read(connection)

    def detach(self, study: Study) -> None:
        study.storage.remove_session()
        study.close()

    def join(self, study: Study) -> Worker:
        orders = Orders()
        member = roster.join(study.engine, study.id, "cpu", uuid.uuid4().hex)
        return Worker(
            study=study,
            settings=WorkerSettings(artifacts="", cache=Path(), device="cpu"),
            data=SimpleNamespace(spec=FrameSpec(**FRAMES)),  # type: ignore[arg-type]
            blobs=SimpleNamespace(),
            pictures=SimpleNamespace(),  # type: ignore[arg-type]
            member=member,
            pulse=Pulse(study.engine, member, LEASE_S),
            marker="",
            orders=orders,
            patiently=Patience(orders.stop, print),
            say=lambda line: None,
        )

    def claim(self, worker: Worker) -> Lease:
        claimed = worker.patiently(lambda: loop._claim(worker))
        assert isinstance(claimed, Claimed), claimed
        return claimed.lease

    def holding(self, worker: Worker, lease: Lease) -> AbstractContextManager[None]:
        return loop.holding(worker, lease)

    def begin(self, worker: Worker, lease: Lease) -> Running:
        study = worker.study
        trial = study.trial(lease.trial_id)
        stored = draw(study, lease).trial
        assert not unfinished_verdict(stored)
        assert not judge_lease(study, lease)
        running = RunningTrial(worker, lease, trial, stored)
        running.note_needs(
            Checked(parameters=481_000, multiply_adds=10**9, memory_bytes=10**9, problem="")
        )
        return Running(trial, lease, running)

    def epoch(self, running: Running, number: int) -> bool:
        running.history += (
            EpochResult(
                number=number,
                score=score(running.trial.number, number),
                loss=0.5,
                learning_rate=1e-3,
                iou=(0.0, 0.5, 0.5, 0.5, 0.5),
                seconds=1.0,
                scored_on=PROCESSOR,
                measured=(0.0, 0.5, 0.5, 0.5, 0.5),
                soft_score=0.4,
                balanced_nll=0.7,
            ),
        )
        running.running.report(running.history)
        running.cause = running.running.verdict()
        if running.cause is Cause.COMPLETED:
            running.running.leave_at_limit(running.history)
        return running.cause is Cause.COMPLETED

    def end(self, worker: Worker, running: Running) -> None:
        pruned = running.cause is Cause.PRUNED
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        tell(
            worker,
            running.lease,
            running.trial,
            Ending(state, running.cause, history=running.history),
        )

    def end_cheaply(self, worker: Worker, lease: Lease) -> None:
        worker.study.storage.set_trial_state_values(lease.trial_id, TrialState.PRUNED)

    def look(self, running: Running) -> None:
        running.running.limit_reached()

    def wait(self, worker: Worker, seconds: float) -> None:
        start = time.monotonic()
        threading.Timer(seconds, worker.orders.leave.set).start()
        loop.pull(worker)
        assert time.monotonic() - start >= 0.9 * seconds, "there was nothing to wait for"

    def read_status(self, study: Study) -> object:
        return read_status(study)


ADAPTER = NewSide()
