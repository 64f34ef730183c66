"""Workers that sleep through their lease in every way, and what they write when they wake: nothing,
says the ledger.
"""

import os
import signal
import time

from audit import Row, audit
from gates import gate, held
from laws import told_apart, trained_again
from ledger import Ledger
from scene import Scene, Worker, descendants, scene

from search.database.sessions import IDLE_S

# until a trial is another's: the lease of 8 s, and what a busy machine takes for a start. A
# transaction that the sleeper is in may still be committed, so others wait for its end, which the
# server makes
TAKEN_S = 40.0
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"


def frozen_with_its_trial() -> Row:
    """SIGSTOP of a worker and its trial (docker pause) until another has the trial; woken, it
    writes nothing more.
    """
    return _frozen("worker and trial frozen beyond the lease", alone=False)


def frozen_alone() -> Row:
    """SIGSTOP of a worker alone: its trial trains on behind its back, another has the trial; woken,
    it writes nothing more.
    """
    return _frozen("worker frozen beyond the lease, its trial not", alone=True)


def _frozen(fault: str, *, alone: bool) -> Row:
    with scene(1, 60) as at:  # one trial: whoever else is there waits for it
        ledger = Ledger(at)
        sleeper = ledger.start()
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        family = [sleeper.pid, *([] if alone else descendants(sleeper.pid))]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        fell_asleep = time.monotonic()
        time.sleep(1)  # what it had asked for before is answered, and nobody else is there yet
        inside = bool(at.query(OPEN)[0][0])
        other = ledger.start()
        at.wait(lambda: at.owner(0) is other, "a take-over", 120)
        took_s = time.monotonic() - fell_asleep
        reported = at.epochs_done(0)
        at.wait(
            lambda: at.owner(0) is not other or at.epochs_done(0) > reported,
            "an epoch of the other",
        )
        before = ledger.writes(sleeper)
        slept_s = time.monotonic() - fell_asleep
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)
        at.wait(lambda: not trains(sleeper, 0, at), "the sleeper to let go", 60)
        at.finish()
        where = " inside a transaction" if inside else ""
        note = (
            f"asleep{where}, taken over after {took_s:.0f} s, {trained_again(at)} epochs "
            f"trained by both"
        )
        row = audit(at, fault, 1, note=note, alone_s=slept_s if alone else 0.0)
        row.wrong += ledger.trespasses() + told_apart(at) + both_went_on([sleeper, other])
        within_s = TAKEN_S + (IDLE_S if inside else 0)
        row.wrong += (
            [] if took_s <= within_s else [f"nobody had it for {took_s:.0f} s, at a lease of 8 s"]
        )
        row.wrong += (
            []
            if before
            else ["the ledger saw no write of the sleeper before it slept: it cannot judge"]
        )
        return row


def trains(worker: Worker, number: int, at: Scene) -> bool:
    """Whether a worker still runs a process while another holds the trial."""
    return bool(worker.children()) and at.owner(number) is not worker


def both_went_on(workers: list[Worker]) -> list[str]:
    """That none of these workers has died of it."""
    return [
        f"worker {each.pid} ended with {each.process.returncode}"
        for each in workers
        if each.process.returncode
    ]


def frozen_in_a_claim() -> Row:
    """SIGSTOP of a worker whose claim holds the lock of all claims: the server finishes it alone,
    and the others go on.
    """
    with scene(4, 8) as at:
        ledger = Ledger(at)
        others = [ledger.start()]
        at.wait(lambda: at.epochs_done(0) >= 1, "training")
        with gate(at, "search_lease"):
            sleeper = ledger.start()
            caught = at.wait(lambda: held(at, "search_lease", "%for no key update%"), "a claim", 90)
            os.kill(caught.pid, signal.SIGSTOP)
            seen = at.query(CLAIMING)[0][0]
        opened = time.monotonic()
        at.wait(lambda: at.query(CLAIMING)[0][0] == 0, "the lock to be freed", 120)
        waited_s = time.monotonic() - opened
        others = [each for each in (*others, sleeper) if each is not caught] + [ledger.start()]
        at.wait(
            lambda: at.states().get("COMPLETE", 0) + at.states().get("PRUNED", 0) >= 2,
            "trials of the others",
            120,
        )
        os.kill(caught.pid, signal.SIGCONT)
        at.finish()
        row = audit(
            at,
            "worker frozen while it claims",
            1,
            note=f"its lock was free after {waited_s:.1f} s",
        )
        row.wrong += ledger.trespasses() + both_went_on([*others, caught])
        row.wrong += [] if seen else ["it was not frozen with the lock"]
        row.wrong += [] if waited_s <= 10 else ["the others waited for too long"]
        return row


CLAIMING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE pid <> pg_backend_pid() AND xact_start IS NOT NULL AND query ILIKE '%for no key update%'
"""

ALL = [frozen_with_its_trial, frozen_alone, frozen_in_a_claim]
