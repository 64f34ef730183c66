"""One scene on one source tree, in a process whose path begins with that tree: prints JSON.

python -m database_bench.side old URL crowd '{"workers": 8, ...}'
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from database_bench.adapter import Side, load_side
from database_bench.figures import Diaries, Figure, longest, percentile
from database_bench.rows import fill, vacuum
from database_bench.watch import Traffic
from database_bench.workers import (
    FORK,
    STARTED_S,
    Board,
    Post,
    claim_only,
    come_late,
    end_all,
    pull,
    refuse_torch,
)

LOOK_S = 0.25  # between two looks at the workers and their connections
GRACE_S = 2.0  # for workers that were told to stop
LEAST_BYTES = 2**30  # free memory below which a scene ends: others live on this machine
REPEATS = 5
CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'search' AND pid <> pg_backend_pid()"
)
NOTHING_LEFT = """
    UPDATE trials SET state = 'COMPLETE' WHERE state = 'WAITING';
    UPDATE search_study SET trials = (SELECT count(*) FROM trials)
"""


@dataclass
class Watched:
    """What the parent has seen of a scene."""

    elapsed: float
    connections: int
    note: str


def prepare(side: Side, url: str, *, ended: int) -> dict[str, Any]:
    """Write the study, and so many trials that have ended."""
    side.create(url)
    found: dict[str, Any] = {}
    if ended:
        found = asdict(fill(url, side.draw, ended))
        side.filled(url)
    vacuum(url)
    return found


def crowd(side: Side, url: str, *, workers: int, box: float, least: float) -> dict[str, Any]:
    """Let workers begin at once, until each has a trial and ``least`` seconds are over."""
    board = Board(workers)
    with tempfile.TemporaryDirectory() as folder:
        diaries = [Path(folder) / f"{number}" for number in range(workers)]
        posts = [Post(side, url, number, board, diaries[number]) for number in range(workers)]
        processes = _started(posts, [pull] * workers)
        start = time.monotonic()
        seen = _watch(url, board, start, box, lambda: all(board.claimed) and _since(start) >= least)
        end = time.monotonic()
        board.stop.value = 1
        failed = end_all(processes, GRACE_S)
        read = Diaries.read(diaries, end)
    holds = read.holds(side.hold)
    ended = sum(time_s <= end for time_s in read.ended)
    return {
        "elapsed": seen.elapsed,
        "rate": Figure(ended / seen.elapsed),
        "claim p50": percentile(read.waits(), 0.5),
        "claim p99": percentile(read.waits(), 0.99),
        "drawn p50": percentile(read.drawn(), 0.5),
        "drawn p99": percentile(read.drawn(), 0.99),
        "hold": longest(holds),
        "hold p50": percentile(holds, 0.5),
        "last claim": longest([read.first_claims(number) for number in range(workers)]),
        "last drawn": longest([read.first_drawn(number) for number in range(workers)]),
        "connections": Figure(seen.connections / workers),
        "note": "; ".join(filter(None, [seen.note, f"{failed} workers failed" if failed else ""])),
    }


def newcomer(side: Side, url: str, *, workers: int, box: float, quiet: float) -> dict[str, Any]:
    """Let workers that know the history claim for a while, then one more come."""
    study = side.open(url)
    start = time.monotonic()
    side.warm(study)
    warm_s = time.monotonic() - start
    side.detach(study)
    board = Board(workers + 1)
    with tempfile.TemporaryDirectory() as folder:
        diaries = [Path(folder) / f"{number}" for number in range(workers + 1)]
        posts = [Post(side, url, k, board, diaries[k], study) for k in range(workers)]
        posts.append(Post(side, url, workers, board, diaries[workers]))
        processes = _started(posts, [claim_only] * workers + [come_late])
        time.sleep(quiet)
        came = time.monotonic()
        board.go.value = 1
        late = processes[-1]
        seen = _watch(url, board, came, box, lambda: late.exitcode is not None)
        claimed = board.claimed[workers] or time.monotonic()
        end = time.monotonic()
        board.stop.value = 1
        failed = end_all(processes, GRACE_S)
        old = Diaries.read(diaries[:-1], end)
        new = Diaries.read(diaries[-1:], end)
        both = Diaries.read(diaries, end)
    figures: dict[str, Any] = {"read once": Figure(warm_s)}
    spans = {"before": (came - quiet, came), "during": (came, claimed)}
    for name, (since, until) in spans.items():
        # of before those that ended before
        waits = old.waits(since, until) if name == "during" else _ended_waits(old, since, until)
        figures[f"{name} p50"] = percentile(waits, 0.5)
        figures[f"{name} p99"] = percentile(waits, 0.99)
        figures[f"{name} max"] = longest(waits)
        figures[f"{name} claims"] = Figure(len(waits))
    figures["first claim"] = new.first_claims(0)
    figures["first drawn"] = new.first_drawn(0)
    figures["hold"] = longest(both.holds(side.hold))
    figures["note"] = "; ".join(
        filter(None, [seen.note, f"{failed} workers failed" if failed else ""])
    )
    return figures


def status(side: Side, url: str) -> dict[str, Any]:
    """Read the status in this process, as often as asked, once more to warm up."""
    study = side.open(url)
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        side.read_status(study)
        seconds.append(time.perf_counter() - start)
    return {"read_status": Figure(statistics.median(seconds[1:]))}


def traffic(side: Side, url: str, *, seconds: float) -> dict[str, Any]:
    """Count what one worker sends while it trains, epochs of a second that are not saved, and what
    another sends that finds nothing left.
    """
    counts = {name: FORK.RawArray("d", 2) for name in ("training", "waiting")}
    barrier = FORK.Barrier(2)

    def train() -> None:
        seen = Traffic()
        seen.install()
        worker = side.join(side.open(url))
        with worker.pulse:
            lease = side.claim(worker)
            with side.holding(worker, lease):
                running = side.begin(worker, lease)
                _run_sql(url, NOTHING_LEFT)
                side.filled(url)
                barrier.wait()
                seen.reset()
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(1.0)
                    side.look(running)
                counts["training"][:] = [seen.statements, seen.transactions]
                barrier.wait()  # or the other would take the trial over

    def wait() -> None:
        seen = Traffic()
        seen.install()
        worker = side.join(side.open(url))
        with worker.pulse:
            barrier.wait()
            seen.reset()
            side.wait(worker, seconds)
            counts["waiting"][:] = [seen.statements, seen.transactions]
            barrier.wait()

    processes = [FORK.Process(target=train), FORK.Process(target=wait)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(3 * seconds + 60)
    failed = end_all(processes, 0.0)
    minutes = seconds / 60
    return {
        **{name: Figure(counts[name][0] / minutes) for name in counts},
        **{f"{name} transactions": Figure(counts[name][1] / minutes) for name in counts},
        "note": f"{failed} workers failed" if failed else "",
    }


def _started(posts: list[Post], loops: list[Callable[..., None]]) -> list[Any]:
    """Fork the workers, and return when all of them begin."""
    refuse_torch()
    pairs = zip(posts, loops, strict=True)
    processes = [FORK.Process(target=post.work, args=(loop,), daemon=True) for post, loop in pairs]
    for process in processes:
        process.start()
    posts[0].board.barrier.wait(STARTED_S)
    return processes


def _watch(url: str, board: Board, start: float, box: float, done: Callable[[], bool]) -> Watched:
    """Look at the workers until they are done, or their time or this machine's memory is over."""
    most = 0
    note = ""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while not done():
            cursor.execute(CONNECTIONS)
            ((count,),) = cursor.fetchall()
            most = max(most, count)
            if _since(start) >= box:
                note = f"cut after {box:g} s, {sum(map(bool, board.claimed))} of {len(board.claimed)} have claimed"
                break
            if psutil.virtual_memory().available < LEAST_BYTES:
                note = f"out of memory after {_since(start):.0f} s"
                break
            time.sleep(LOOK_S)
    return Watched(_since(start), most, note)


def _ended_waits(read: Diaries, since: float, until: float) -> list[Figure]:
    return [
        Figure(claim.got - claim.asked)
        for claims in read.claims
        for claim in claims
        if since <= claim.asked and claim.got < until
    ]


def _since(start: float) -> float:
    return time.monotonic() - start


def _run_sql(url: str, sql: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)


SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": prepare,
    "crowd": crowd,
    "newcomer": newcomer,
    "status": status,
    "traffic": traffic,
}


def main() -> None:
    """Run the scene that the command line names."""
    name, url, scene, options = sys.argv[1:]
    import search

    tree = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0])
    assert Path(search.__file__).is_relative_to(tree), f"{search.__file__} is not in {tree}"
    found = SCENES[scene](load_side(name), url, **json.loads(options))
    refuse_torch()
    print(json.dumps(found, default=asdict))


if __name__ == "__main__":
    main()
