"""Running one claimed trial: its own process trains; this side points, reports, prunes
and ends it.
"""

from functools import partial
from typing import assert_never

from optuna.trial import TrialState

from objectives.config import Config
from objectives.training.results import EpochResult
from search.process.messages import (
    Cause,
    Checked,
    Drawn,
    Failed,
    Finished,
    Noted,
    Saved,
    Timed,
    Trained,
)
from search.process.parent import ChildDiedError, ChildHungError, SurroundingsError
from search.trials import checkpoints
from search.trials.believing import believe
from search.trials.drawing import draw
from search.trials.leases import Lease
from search.worker.blame import check_device, judge_death, judge_lease
from search.worker.context import Worker
from search.worker.endings import Ending, tell, unfinished_verdict, unrecordable
from search.worker.running import RunningTrial

RETRY_S = 10.0  # what killed a process may be gone by then


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
        drawn = patiently(lambda: draw(study, lease))
        ending = unfinished_verdict(drawn.trial) or patiently(lambda: judge_lease(study, lease))
        ending = ending or train(RunningTrial(worker, lease, trial, drawn.trial), drawn.config)
        patiently(partial(tell, worker, lease, trial, ending))
    except (ChildDiedError, ChildHungError) as error:
        check_device(worker.member.gpu, error)
        ending = patiently(partial(judge_death, study, lease, error))
        if ending is None:
            worker.say(f"trial {trial.number}: {error}; it will be tried again")
            worker.orders.stop.wait(RETRY_S)
            return
        patiently(partial(tell, worker, lease, trial, ending))
    except Exception as error:
        # not patiently: what it raises again is no call that may work later
        ending = unrecordable(worker, error)
        patiently(partial(tell, worker, lease, trial, ending))
    patiently(lambda: believe(study))
    kept = checkpoints.kept(study.spec)
    patiently(lambda: checkpoints.drop_unneeded(study.engine, worker.blobs, study.id, keep=kept))
    worker.say(f"trial {trial.number} {ending}")


def train(running: RunningTrial, config: Config) -> Ending:
    """Train in a process of its own: after each save move the pointers first, then report, then
    prune.

    A limit that is reached between two saves asks for the next one at once. From there the trial
    goes on once it is lifted.
    """
    cause = Cause.COMPLETED
    history = tuple[EpochResult, ...]()
    job = running.job(config)
    if not job.checkpoints:
        running.say("starts")
    with running.process(job) as process:
        for message in process.messages(running.interrupted):
            match running.usable(message):
                case Checked() as needs:
                    running.note_needs(needs)
                    if needs.problem:
                        return Ending(TrialState.PRUNED, Cause.INFEASIBLE, needs.problem)
                case Noted(text):
                    running.say(text)
                case Trained():
                    if running.limit_reached():
                        process.save_now()
                case Saved(number, history, checkpoint, finished, left_out):
                    running.point(history, checkpoint)
                    running.report(history)
                    # a verdict stands, also if the process has not heard it yet
                    if cause is Cause.COMPLETED and not finished:
                        cause = running.verdict()
                        if cause is Cause.COMPLETED:
                            running.leave_at_limit(history, left_out)
                    process.reply(number, stop=cause is not Cause.COMPLETED)
                    if finished or cause is not Cause.COMPLETED:  # while the process draws
                        running.show(history, left_out)
                case Timed(seconds):
                    running.note_latency(seconds)
                case Drawn(filename, png):
                    running.attach(filename, png)
                case Finished():
                    running.refuse_untrained(history)
                    state = TrialState.PRUNED if cause is Cause.PRUNED else TrialState.COMPLETE
                    return Ending(state, cause, history=history)
                case Failed(Cause.SURROUNDINGS, text):
                    raise SurroundingsError(f"trial {running.number} cannot go on here: {text}")
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
