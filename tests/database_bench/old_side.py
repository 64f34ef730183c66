# mypy: ignore-errors
# ruff: noqa: I001  # what is not in this tree looks like another's
"""The adapter of revision 1ef228e, whose modules lay flat: the same work as ``new_side``."""

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
from objectives.data.spec import FrameSpec
from objectives.processor import Processor
from objectives.results import EpochResult
from search import roster, worker_loop
from search.claims import CLAIM_LOCK, Claimed
from search.draws import FromTrial
from search.endings import Ending, tell, unfinished_verdict
from search.leases import LEASE_S, Lease
from search.messages import Cause, Checked
from search.patience import Patience
from search.pulse import Pulse
from search.spec import StudySpec
from search.status import read_status
from search.study import Study, create_study, open_study
from search.trials import Reporter, judge_lease, note_needs
from search.worker import Orders, Settings, Worker
from spaces import load_space

TREE = load_space(SPACE, (f"train.epochs={EPOCHS}",))
PROCESSOR = Processor("cpu", "x86_64, torch 2.9", 1)


@dataclass
class Running:
    """A trial at work, with what it has reported by now."""

    worker: Worker
    trial: Any
    reporter: Reporter
    history: tuple[EpochResult, ...] = ()
    cause: Cause = field(default=Cause.COMPLETED)


class OldSide:
    """That tree's functions."""

    hold = Hold.FROM_ANSWER

    def takes_lock(self, statement: str, parameters: object) -> bool:
        return "pg_advisory_xact_lock" in statement and str(CLAIM_LOCK) in str(parameters)

    def create(self, url: str) -> None:
        spec = StudySpec(
            name=STUDY,
            source="synthetic:40",
            size=None,
            min_identical=10,
            scored=(),
            score=f"mean IoU of {', '.join(CLASSES[1:])}",
            data_fingerprint="0" * 64,
            space=TREE.to_dict(),
            space_fingerprint=TREE.fingerprint,
            trials=BUDGET,
            until_s=0.0,
            seed=0,
        )
        assert create_study(url, spec)

    def draw(self, source: Any) -> None:
        TREE.draw(source)

    def filled(self, url: str) -> None:
        pass

    def open(self, url: str) -> Study:
        return open_study(url, STUDY)

    def warm(self, study: Study) -> None:
        with unhurried(study.storage.engine):
            study.optuna.get_trials(deepcopy=False)

    def detach(self, study: Study) -> None:
        study.storage.remove_session()
        study.close()

    def join(self, study: Study) -> Worker:
        orders = Orders()
        member = roster.join(study.engine, study.id, "cpu", uuid.uuid4().hex)
        return Worker(
            study=study,
            settings=Settings(artifacts="", cache=Path(), device="cpu"),
            data=SimpleNamespace(spec=FrameSpec(**FRAMES)),
            blobs=SimpleNamespace(),
            pictures=SimpleNamespace(),
            member=member,
            pulse=Pulse(study.engine, member, LEASE_S),
            marker="",
            orders=orders,
            patiently=Patience(orders.stop, print),
            say=lambda line: None,
        )

    def claim(self, worker: Worker) -> Lease:
        claimed = worker.patiently(lambda: worker_loop._claim(worker))
        assert isinstance(claimed, Claimed), claimed
        return claimed.lease

    def holding(self, worker: Worker, lease: Lease) -> AbstractContextManager[None]:
        return worker_loop.holding(worker, lease)

    def begin(self, worker: Worker, lease: Lease) -> Running:
        study = worker.study
        trial = study.trial(lease.trial_id)
        study.space.draw(FromTrial(trial))
        assert not unfinished_verdict(study, lease)
        assert not judge_lease(lease)
        note_needs(
            trial, Checked(parameters=481_000, multiply_adds=10**9, memory_bytes=10**9, problem="")
        )
        return Running(worker, trial, Reporter(worker, trial))

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
            ),
        )
        patiently = running.worker.patiently
        patiently(lambda: running.reporter.report(running.history))
        running.cause = patiently(running.reporter.verdict)  # which asks for the limits, too
        return running.cause is Cause.COMPLETED

    def end(self, worker: Worker, running: Running) -> None:
        pruned = running.cause is Cause.PRUNED
        state = TrialState.PRUNED if pruned else TrialState.COMPLETE
        tell(worker, running.trial, Ending(state, running.cause, history=running.history))

    def end_cheaply(self, worker: Worker, lease: Lease) -> None:
        worker.study.storage.set_trial_state_values(lease.trial_id, TrialState.PRUNED)

    def look(self, running: Running) -> None:
        running.worker.patiently(running.reporter.limit_reached)

    def wait(self, worker: Worker, seconds: float) -> None:
        start = time.monotonic()
        threading.Timer(seconds, worker.orders.leave.set).start()
        worker_loop.pull(worker)
        assert time.monotonic() - start >= 0.9 * seconds, "there was nothing to wait for"

    def read_status(self, study: Study) -> object:
        return read_status(study)


ADAPTER = OldSide()
