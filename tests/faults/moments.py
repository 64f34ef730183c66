"""Workers killed at exact steps: not when chance has it, but between two writes that belong
together.
"""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

from audit import Row, audit
from gates import gate, held
from laws import told_apart, torn, trained_again
from ledger import Ledger
from scene import Scene, Worker, descendants, read, scene

TURNS = 2


@dataclass(frozen=True)
class Step:
    """A step of a trial: the table whose first write it waits for, and what must be true while it
    is held there.
    """

    name: str
    table: str
    words: str  # of the statement that waits
    proof: str  # a query that finds a row when the step before has happened and this one has not
    # the gate shuts when some trial has reported its last epoch: earlier writes there are no
    # concern
    late: bool = False


RUNNING = "FROM trials WHERE state = 'RUNNING'"
LAST_POINTER = "(SELECT max(epoch) FROM search_checkpoint AS c WHERE c.trial_id = trials.trial_id)"
LAST_STEP = (
    "(SELECT coalesce(max(step), 0) FROM trial_intermediate_values AS v WHERE v.trial_id "
    "= "
    "trials.trial_id)"
)

STEPS = (
    # the server goes on with it alone: the trial has an owner who never hears of it
    Step("claimed, and never heard", "search_study", "%for no key update%", "SELECT 1"),
    Step(
        "parameters drawn, not written", "trial_params", "insert into trial_params%",
        f"SELECT 1 {RUNNING} AND NOT EXISTS (SELECT 1 FROM trial_params AS p WHERE p.trial_id = "
        f"trials.trial_id)",
    ),
    Step("checkpoint stored, no pointer "
         "yet", "search_checkpoint", "insert into search_checkpoint%", f"SELECT 1 {RUNNING}"),
    Step(
        "pointer moved, epochs not "
        "reported", "trial_intermediate_values", "insert into trial_intermediate_values%",
        f"SELECT 1 {RUNNING} AND {LAST_POINTER} > {LAST_STEP}",
    ),
    Step(
        "picture stored, not "
        "listed", "trial_system_attributes", "insert into trial_system_attributes%artifacts:%",
        f"SELECT 1 {RUNNING} AND {LAST_STEP} = {{epochs}}", late=True,
    ),
    Step(
        "everything written but the result", "trial_values", "insert into trial_values%",
        f"SELECT 1 {RUNNING} AND {LAST_STEP} = {{epochs}} AND EXISTS (SELECT 1 FROM "
        f"trial_user_attributes AS a"
        " WHERE a.trial_id = trials.trial_id AND key = 'end_cause')", late=True,
    ),
)  # fmt: skip


def killed_at_steps() -> Row:
    """Kill -9 of a worker held between two writes that belong together: six such steps,
    twice each.
    """
    hit, wrong = Counter[str](), list[str]()
    # so that all trials come to the last step
    with scene(24, 6, "--set", "pruning={kind: none}") as at:
        ledger = Ledger(at)
        # those first that need trials not yet begun
        for step in [step for step in STEPS for _ in range(TURNS)]:
            if len(at.query("SELECT 1 FROM trials WHERE state = 'COMPLETE'")) == at.budget:
                wrong.append(f"{step.name}: the study had ended before")
                continue
            while sum(worker.alive for worker in at.workers) < 2:
                ledger.start()
            wrong += kill_at(at, step)
            hit[step.name] += 1
        at.finish()
        row = audit(
            at,
            "kill -9 between two writes",
            hit.total(),
            note=", ".join(f"{n} {name}" for name, n in hit.items()),
        )
        row.wrong += wrong + ledger.trespasses() + told_apart(at) + torn(at)
        return row


def kill_at(at: Scene, step: Step) -> list[str]:
    """Hold workers that come to a step until one is where it should be, and kill it there."""
    if step.late:
        at.wait(
            lambda: at.query(f"SELECT 1 {RUNNING} AND {LAST_STEP} = {at.epochs}"),
            "a trial that is trained",
        )
    deadline = time.monotonic() + 240.0
    while time.monotonic() < deadline:
        with gate(at, step.table):
            victim = held_soon(at, step)
            if victim and at.query(step.proof.format(epochs=at.epochs)):
                victim.kill()
                return []
        # they were there for other reasons: with the end of a trial, a lease on one that is adopted
        time.sleep(1.0)
    return [f"{step.name}: no worker was where it should be"]


def held_soon(at: Scene, step: Step) -> Worker | None:
    """A worker at the gate with the step's statement; none when for 5 s others only came, which
    wait there as well.
    """
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        if found := held(at, step.table, step.words):
            return found
        time.sleep(0.02)
    return None


def killed_half_written() -> Row:
    """Kill -9 of a worker and its trial in the middle of a file: caught, frozen, looked at, then
    killed. Three times.
    """
    with scene(4, 40) as at:
        kills, bytes_left = 0, list[int]()
        while kills < 3:
            worker = at.start()
            at.wait(worker.children, "a trial's process")
            draft_bytes = at.wait(
                lambda w=worker: frozen_while_writing(at, w), "a file half written", 120
            )
            bytes_left.append(draft_bytes)
            for pid in (worker.pid, *worker.children()):
                os.kill(pid, signal.SIGKILL)
            worker.process.wait(30)
            kills += 1
        drafts = len(list((at.artifacts / "blobs" / "partial").iterdir()))
        at.finish()
        row = audit(
            at,
            "kill -9 in the middle of a file",
            kills,
            note=f"drafts of {bytes_left} bytes were left",
        )
        row.wrong += (
            [] if drafts >= kills else [f"only {drafts} of {kills} kills have left a draft"]
        )
        row.wrong += torn(at) + told_apart(at)
        row.wrong += (
            [] if trained_again(at) else ["no epoch was trained again: nothing was compared"]
        )
        return row


def frozen_while_writing(at: Scene, worker: Worker) -> int:
    """Freeze a trial's process that writes a blob now; the draft's bytes so far plus one, or 0 when
    it was too late.
    """
    drafts = at.artifacts / "blobs" / "partial"
    old = set(drafts.iterdir()) if drafts.exists() else set()
    deadline = time.monotonic() + 2.0
    while time.monotonic() < deadline:
        new = set(drafts.iterdir()) - old if drafts.exists() else set()
        if not new:
            continue
        for pid in worker.children():
            os.kill(pid, signal.SIGSTOP)
            at.wait(
                lambda p=pid: ") T " in read(f"/proc/{p}/stat"), "the process to stand still", 10
            )
        still = [draft for draft in new if draft.exists()]
        if still:
            return still[0].stat().st_size + 1
        for pid in worker.children():
            os.kill(pid, signal.SIGCONT)
    return 0


def killed_forkserver() -> Row:
    """Kill -9 of the process that forks the trials (the largest that a worker has at rest): the
    worker makes another.
    """
    with scene(3, 12) as at:
        worker, killed = at.start(), 0
        for number in range(2):
            at.wait(lambda n=number: at.epochs_done(n) >= 1 and worker.children(), "training")
            os.kill(forkserver(worker), signal.SIGKILL)
            killed += 1
            at.wait(
                lambda n=number: at.epochs_done(n + 1) >= 1 or not worker.alive, "the next trial"
            )
        at.finish()
        row = audit(at, "kill -9 of the process that forks trials", killed)
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        return row


def forkserver(worker: Worker) -> int:
    """The parent of the trial's process, which is not the worker."""
    (child, *_) = worker.children()
    parent = int(read(f"/proc/{child}/stat").rpartition(")")[2].split()[1])
    assert parent in descendants(worker.pid)
    return parent


def lock_lost_in_a_claim() -> Row:
    """The connection that holds the lock of all claims is cut while a worker takes the last trial,
    and another claims.
    """
    with scene(2, 150) as at:
        at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "training")
        with gate(at, "trials"):
            at.start()
            at.start()
            at.wait(
                lambda: held(at, "trials", "%for no key update%"),
                "a claim with the lock",
                90,
            )
            at.wait(lambda: at.query(CLAIMING)[0][0] == 2, "another claim", 90)
            cut = at.query(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'trials'::regclass "
                "AND NOT granted"
            )
            at.wait(lambda: at.query(CLAIMING)[0][0] == 2, "both of them again", 60)
        at.finish(3)
        row = audit(at, "lock lost while a trial is claimed", len(cut))
        row.wrong += [] if cut else ["nobody held the lock"]
        return row


CLAIMING = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ILIKE '%for no key update%'
"""

ALL = [lock_lost_in_a_claim, killed_at_steps, killed_half_written, killed_forkserver]
