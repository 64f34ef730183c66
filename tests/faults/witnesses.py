"""What a trial says that nobody can record, a device that fails under it, and engines that read
exit codes.
"""

import time
from collections.abc import Callable

from audit import Row, audit
from scene import INJECTED, Scene, Worker, scene

BROKEN, LEAVE = 1, 75
TURNS = 4  # of an engine that starts a worker on a broken GPU
TAKEN_AWAY = 4


def no_number() -> Row:
    """Every other trial's score becomes NaN: it fails with that as its cause, and no worker dies of
    it.
    """
    with scene(10, 6, "--set", "pruning={kind: none}") as at:
        workers = [at.start(PYTHONPATH=INJECTED, FAULTS_INJECT="score") for _ in range(2)]
        at.finish()
        messages = at.causes("state = 'FAIL'", "message")
        row = audit(
            at,
            "a result that is no number",
            len(messages),
            failed=len(messages),
            note=next(iter(messages), ""),
        )
        row.wrong += [] if messages and at.states().get("COMPLETE") else [f"states {at.states()}"]
        row.wrong += [
            f"message {message}"
            for message in messages
            if "must be a number from 0 to 1, got nan" not in message
        ]
        begun = sum(line.endswith(" starts") for _, line in at.heard)
        row.wrong += [] if begun == at.budget else [f"{begun} beginnings of {at.budget} trials"]
        codes = [worker.process.returncode for worker in workers]
        row.wrong += [f"the workers ended with {codes}"] if any(codes) else []
        return row


def broken_gpu() -> Row:
    """A GPU fails whatever is computed on it, and an engine starts its worker again and again,
    beside one on the CPU.
    """
    with scene(4, 60, "--set", "pruning={kind: none}") as at:
        healthy = at.start()
        at.wait(lambda: at.said("trial 0 epoch"), "training")
        broken: list[Worker] = []
        while not ended(at) and len(broken) < TURNS:
            broken.append(at.start("--device", "cuda", PYTHONPATH=INJECTED, FAULTS_INJECT="gpu"))
            at.wait(
                lambda: not broken[-1].alive or ended(at),
                "the end of the worker on the broken GPU",
                120,
            )
        at.finish()
        row = audit(at, "a device that fails", len(broken), note=line_with(at, "is broken")[:120])
        codes = [worker.process.returncode for worker in broken]
        told = sum("is broken" in line for _, line in at.heard)
        row.wrong += (
            [] if told == codes.count(BROKEN) >= 2 else [f"told {told} times, codes {codes}"]
        )
        blamed = at.query(
            "SELECT count(*) FROM search_lease WHERE cardinality(crashed_by || hung_by) > 0"
        )[0][0]
        row.wrong += [f"{blamed} trials are blamed"] if blamed else []
        row.wrong += ["the healthy worker died of it"] if healthy.process.returncode else []
        return row


def ended(at: Scene) -> bool:
    """Whether every trial of the budget has ended."""
    return (
        sum(count for state, count in at.states().items() if state not in ("RUNNING", "WAITING"))
        == at.budget
    )


def line_with(at: Scene, words: str) -> str:
    """The first line with these words."""
    return next((line for _, line in at.heard if words in line), "")


def leave_codes() -> Row:
    """An engine starts whoever does not end with 0 again, and takes machines away: it stops with
    the study, not before.
    """
    with scene(3, 50, "--set", "pruning={kind: none}") as at:
        slots, codes = [engine_start(at) for _ in range(2)], list[int]()
        for turn in range(TAKEN_AWAY):
            victim = slots[turn % 2]
            at.wait(
                lambda w=victim: not w.alive or (w.children() and at.at_work(w)), "a worker at work"
            )
            time.sleep(1.0)
            victim.process.terminate()
            codes.append(victim.process.wait(30))
            slots[turn % 2] = engine_start(at)
        while running := [slot for slot in slots if slot.process.wait(300) != 0]:
            slots = [engine_start(at) for _ in running]
        row = audit(
            at,
            "exit codes: an engine takes workers away",
            TAKEN_AWAY,
            note=f"codes {codes}, then 0",
        )
        row.wrong += [] if set(codes) == {LEAVE} else [f"codes {codes}"]
        return row


def engine_start(at: Scene) -> Worker:
    """A worker as an engine starts it."""
    return at.start(SEARCH_LEAVE_CODE=str(LEAVE))


ALL: list[Callable[[], Row]] = [no_number, broken_gpu, leave_codes]
