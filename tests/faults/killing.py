"""Workers and their trials killed, stopped, frozen."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

from audit import Row, audit
from laws import BEGUN
from scene import INJECTED, Scene, Worker, descendants, descendants_marked, holds_open, scene

KILLS = 50
MOMENT_S = 90.0  # until a moment comes by
PICTURES = 3  # of a trial
TAKEN_S = 20.0  # until another worker has a trial that was given back, and its process trains


def killed_workers() -> Row:
    """Kill -9 fifty times over one study, at five kinds of moments in turn; whoever is killed is
    replaced at once. Their disk is slow, or a fast machine would hardly show a file half-written.
    """
    dice, hit = random.Random(0), Counter[str]()
    # short trials: three of the moments come once in each
    with scene(40, 12, "--set", "pruning={kind: none}") as at:
        moments: list[tuple[str, Callable[[], Worker | None]]] = [
            ("after the claim", lambda: just_claimed(at)),
            ("in an epoch", lambda: by_chance(at, dice)),
            ("writing a checkpoint", lambda: writing(at, "/blobs/partial/")),
            ("writing pictures", lambda: writing(at, "/pictures/partial/") or showing(at)),
            ("before the result", lambda: all_trained(at)),
        ]
        for _ in range(3):
            at.start(PYTHONPATH=INJECTED, FAULTS_INJECT="disk")
        for kill in range(KILLS):
            name, look = moments[kill % len(moments)]
            victim = at.wait(look, f"a worker to kill, {name}", MOMENT_S, pause_s=0.001)
            victim.kill()
            at.remember_saved(victim)
            hit[name] += 1
            at.start(PYTHONPATH=INJECTED, FAULTS_INJECT="disk")
        at.finish(3)
        export = at.run("export-best", "--no-test", "--out", str(at.root / "out"))
        row = audit(
            at,
            "kill -9 of a worker",
            sum(hit.values()),
            note=", ".join(f"{n} {name}" for name, n in hit.items()),
        )
        row.wrong += [] if export.returncode == 0 else [f"export-best: {export.stderr.strip()}"]
        return row


def just_claimed(at: Scene) -> Worker | None:
    """A worker that holds a trial without a checkpoint, which has not often lost one so: the tenth
    time would be its end.
    """
    pointers = "SELECT 1 FROM search_checkpoint AS each WHERE each.trial_id = trials.trial_id"
    return next(iter(at.holders(f"vanished < 5 AND NOT EXISTS ({pointers})")), None)


def all_trained(at: Scene) -> Worker | None:
    """A worker whose trial has ended its training, and has no result."""
    noted = (
        "SELECT 1 FROM trial_user_attributes AS each WHERE each.trial_id = trials.trial_id "
        "AND "
        "key = 'train_seconds'"
    )
    return next(iter(at.holders(f"EXISTS ({noted})")), None)


def showing(at: Scene) -> Worker | None:
    """A worker that has listed some of its trial's pictures, and not all."""
    of_it = "trial_system_attributes AS each WHERE each.trial_id = trials.trial_id"
    listed = f"SELECT count(*) FROM {of_it} AND key LIKE 'artifacts:%'"
    return next(iter(at.holders(f"({listed}) BETWEEN 1 AND {PICTURES - 1}")), None)


def writing(at: Scene, part: str) -> Worker | None:
    """A worker of which some process has a half-written file open."""
    return next(
        (worker for worker in at.workers if worker.alive and holds_open(worker.pid, part)), None
    )


def by_chance(at: Scene, dice: random.Random) -> Worker | None:
    """Any worker that trains, after a moment."""
    time.sleep(dice.uniform(0.1, 2.0))
    busy = [worker for worker in at.workers if worker.alive and worker.children()]
    return dice.choice(busy) if busy else None


def killed_trials() -> Row:
    """Kill -9 of the trial's process alone, twice for one trial, once for others: below what makes
    a trial poison.
    """
    with scene(4, 20) as at:
        worker, killed = at.start(), 0
        for number, times in ((0, 2), (1, 1)):
            for _ in range(times):
                after = at.epochs_done(number)
                at.wait(
                    lambda n=number, a=after: at.epochs_done(n) > a, f"an epoch of trial {number}"
                )
                for pid in worker.children():
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
                time.sleep(1.0)
        at.finish()
        return audit(at, "kill -9 of a trial's process", killed)


def terminated_workers() -> Row:
    """SIGTERM while a trial runs: the worker is gone in 10 s with code 0, and another has the trial
    within seconds.
    """
    # one trial, for which the other worker waits, and that outlasts five turns
    with scene(1, 600) as at:
        left_s, taken_s, codes, kept = [], [], [], []
        first = at.start()
        for _ in range(5):
            at.wait(lambda w=first: at.said("trial 0 epoch") and w.children(), "training")
            second = at.start()
            at.wait(lambda w=second: at.at_work(w), "another worker")
            time.sleep(6.0)  # it waits, with what forks its trials imported
            asked = time.monotonic()
            begun = beginnings(at)
            first.process.send_signal(signal.SIGTERM)
            codes.append(first.process.wait(30))
            kept += at.query(
                f"SELECT name FROM search_worker JOIN search_lease ON owner = id WHERE name LIKE "
                f"'%:{first.pid}'"
            )
            left_s.append(time.monotonic() - asked)
            at.wait(lambda b=begun: beginnings(at) > b or not at.runs(), "a take-over", 60)
            taken_s.append(time.monotonic() - asked)
            first = second
        at.stop()
        row = audit(
            at,
            "SIGTERM",
            5,
            note=f"gone in {max(left_s):.1f} s, taken over in {max(taken_s):.1f} s at most",
        )
        row.wrong += [f"exit codes {codes}"] if set(codes) != {0} else []
        row.wrong += ["a worker took more than 10 s"] if max(left_s) > 10.0 else []
        row.wrong += (
            [] if max(taken_s) <= TAKEN_S else [f"nobody trained it for {max(taken_s):.0f} s"]
        )
        row.wrong += [f"workers have kept their leases: {kept}"] if kept else []
        return row


def beginnings(at: Scene) -> int:
    """How often a worker has begun a trial, or gone on with one."""
    return sum(bool(BEGUN.search(line)) for _, line in at.heard)


def drained_and_hurried() -> Row:
    """--drain finishes the trial at hand; a further signal stops, one more ends the
    worker at once.
    """
    with scene(3, 12) as at:
        polite = at.start("--drain")
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        polite.process.send_signal(signal.SIGTERM)
        code = polite.process.wait(120)
        wrong = (
            []
            if (code, at.states().get("COMPLETE")) == (0, 1)
            else [f"drained with code {code}, trials {at.states()}"]
        )
        hasty = at.start("--drain")
        at.wait(lambda: at.epochs_done(1) >= 1, "an epoch")
        family = descendants(hasty.pid)
        hasty.process.send_signal(signal.SIGSTOP)
        # one of each kind can wait for a stopped process
        for number in (signal.SIGTERM, signal.SIGINT):
            hasty.process.send_signal(number)
        hasty.process.send_signal(signal.SIGCONT)
        hasty.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        hasty.process.wait(30)
        took_s = time.monotonic() - asked
        wrong += [] if took_s < 5.0 else [f"the third signal took {took_s:.1f} s"]
        at.wait(
            lambda: not set(family) & set(descendants_marked(at.mark)),
            "the trial's process to end",
            10,
        )
        at.finish()
        row = audit(
            at,
            "--drain, then a second and third signal",
            3,
            note=f"ended {took_s:.1f} s after the last",
        )
        row.wrong += wrong
        return row


def frozen_worker() -> Row:
    """SIGSTOP of a worker with its processes beyond the lease: another takes over, the sleeper
    wakes and writes nothing.
    """
    with scene(1, 90) as at:
        sleeper = at.start()
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        family = [sleeper.pid, *descendants(sleeper.pid)]
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        awake = at.start()
        at.wait(lambda: at.owner(0) is awake, "a take-over", 60)
        fence = at.query("SELECT max(fence) FROM search_lease")
        for pid in family:
            os.kill(pid, signal.SIGCONT)
        at.wait(
            lambda: (
                "has taken the trial over" in sleeper.words()
                or "was lost" in sleeper.words()
                or stopped(sleeper)
            ),
            "the sleeper to notice",
            60,
        )
        wrong = (
            []
            if at.query("SELECT max(fence) FROM search_lease") == fence or not at.runs()
            else ["the sleeper took the trial back"]
        )
        at.finish()
        row = audit(at, "worker frozen beyond its lease", 1)
        row.wrong += wrong
        return row


def stopped(worker: Worker) -> bool:
    """Whether it has no trial's process any more."""
    return not worker.children()


def frozen_trial() -> Row:
    """SIGSTOP of a trial's process: killed after --hang, resumed; the second time its trial fails
    and never comes back.
    """
    with scene(3, 40) as at:
        worker = at.start("--hang", "8s")
        for _ in range(2):
            after = at.epochs_done(0)
            at.wait(lambda a=after: at.epochs_done(0) > a and worker.children(), "an epoch")
            (child,) = worker.children()
            os.kill(child, signal.SIGSTOP)
            at.wait(
                lambda c=child: c not in descendants_marked(at.mark),
                "the end of the frozen process",
                60,
            )
        at.wait(lambda: at.states().get("FAIL") == 1, "the verdict")
        at.finish()
        row = audit(at, "trial's process stands still", 2, failed=1)
        causes = at.causes("state = 'FAIL'")
        row.wrong += (
            [] if causes == ["hung"] and worker.process.returncode == 0 else [f"causes {causes}"]
        )
        return row


def poison() -> Row:
    """A trial whose process dies of a segmentation fault each time: failed after three, the workers
    live on.
    """
    with scene(3, 40) as at:
        workers, killed = [at.start(), at.start()], 0
        while at.states().get("FAIL", 0) == 0:
            at.wait(
                lambda: any(worker.children() for worker in workers) or at.states().get("FAIL"),
                "a trial's process",
                60,
            )
            busy = at.owner(0)
            for pid in busy.children() if busy else []:
                os.kill(pid, signal.SIGSEGV)
                killed += 1
                at.wait(lambda p=pid: p not in descendants_marked(at.mark), "its end", 20)
        at.finish()
        row = audit(at, "poison: segmentation fault each time", killed, failed=1)
        deaths = at.query("SELECT max(cardinality(crashed_by)) FROM search_lease")[0][0]
        row.wrong += [] if killed == deaths == 3 else [f"{killed} deaths, {deaths} seen"]
        row.wrong += [] if at.causes("state = 'FAIL'") == ["crashed"] else ["the cause is another"]
        codes = [worker.process.returncode for worker in workers]
        row.wrong += [f"the workers ended with {codes}"] if any(codes) else []
        return row


def orphans() -> Row:
    """Two workers have nothing left to claim while a third runs the last trial and is killed: one
    of them finishes it.
    """
    with scene(1, 200) as at:
        owner = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        idle = [at.start(), at.start()]
        at.wait(lambda: at.query("SELECT count(*) FROM search_worker") == [(3,)], "the others")
        time.sleep(3.0)
        family = descendants(owner.pid)
        owner.kill()
        at.wait(
            lambda: not set(family) & set(descendants_marked(at.mark)),
            "the killed worker's processes to end",
            10,
        )
        at.finish()
        row = audit(at, "last worker killed while others wait", 1)
        row.wrong += (
            [f"the idle ended with {[worker.process.returncode for worker in idle]}"]
            if any(w.process.returncode for w in idle)
            else []
        )
        return row


ALL = [
    killed_workers,
    killed_trials,
    terminated_workers,
    drained_and_hurried,
    frozen_worker,
    frozen_trial,
    poison,
    orphans,
]
