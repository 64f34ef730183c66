"""Signals at bad moments, and a terminal or log that takes no more words."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from audit import Row, audit, leftovers
from outages import fill, full_disk
from postgres import Wire
from scene import Worker, descendants, descendants_marked, scene

GONE_S = 10.0
PAGE = 4096  # bytes of a file that a full tmpfs has given away already


def terminated_in_silence() -> Row:
    """SIGTERM while the database answers nothing and closes nothing: the worker is gone in 10 s all
    the same.
    """
    with scene(2, 40) as at:
        wire = Wire(at.server.port)
        worker = at.start(url=at.server.url_at(wire.port))
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        wire.freeze()
        time.sleep(10.0)  # until then it has asked for something, and waits for the answer
        took_s, code = ended_by(worker, signal.SIGTERM)
        wire.thaw()
        wire.reset()
        worker.kill()
        at.finish()
        wire.close()
        row = audit(at, "SIGTERM while the database is silent", 1, note=f"gone in {took_s:.1f} s")
        row.wrong += (
            []
            if took_s <= GONE_S and code == 0
            else [f"still there after {took_s:.0f} s, code {code}"]
        )
        return row


def signalled_twice() -> Row:
    """A second SIGTERM, without --drain: the worker ends at once with 143, and its trial
    with it.
    """
    with scene(2, 20) as at:
        worker = at.start()
        at.wait(lambda: at.epochs_done(0) >= 1 and worker.children(), "an epoch")
        family = descendants(worker.pid)
        # so that the second comes before the first has been obeyed
        worker.process.send_signal(signal.SIGSTOP)
        worker.process.send_signal(signal.SIGTERM)
        worker.process.send_signal(signal.SIGINT)
        worker.process.send_signal(signal.SIGCONT)
        code = worker.process.wait(30)
        at.wait(
            lambda: not set(family) & set(descendants_marked(at.mark)),
            "the trial's process to end",
            10,
        )
        at.finish()
        row = audit(at, "two signals at once", 2, note=f"code {code}")
        row.wrong += [] if code in (130, 143) else [f"code {code}"]
        return row


def ended_by(worker: Worker, number: signal.Signals) -> tuple[float, int]:
    """How long a worker took to end after a signal, 30 s at most, and its code (-1: it lives)."""
    asked = time.monotonic()
    worker.process.send_signal(number)
    try:
        code = worker.process.wait(30)
    except subprocess.TimeoutExpired:
        code = -1
    return time.monotonic() - asked, code


def nowhere_to_write() -> Row:
    """The disk that takes a worker's words is full for 20 s: it works on, unheard."""
    with full_disk() as folder, scene(2, 240) as at:
        words, environment = at.command(
            "worker", "--device", "cpu", "--threads", "1", "--verbose", "--lease", "8s"
        )
        log_file = folder / "log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                words, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        fill(folder / "ballast")
        at.wait(
            lambda: log_file.stat().st_size % PAGE == 0, "the last page of the log to be full", 180
        )
        full_bytes = log_file.stat().st_size
        time.sleep(20.0)
        unheard = log_file.stat().st_size == full_bytes
        alive = process.poll() is None
        (folder / "ballast").unlink()
        if not alive:
            at.finish(workers=1)
        code = process.wait(600)
        lines = log_file.read_text(errors="replace").splitlines()
        at.heard += [(0.0, line) for line in lines]
        row = audit(at, "the disk of a worker's log full", 1)
        row.wrong += [] if unheard else ["there was room for its words"]
        row.wrong += [f"the worker died of it, code {code}: {lines[-1:]}"] if code else []
        row.note = "" if alive else "the study ended meanwhile"
        return row


def cut_again_and_again() -> Row:
    """Every connection reset by the network, eight times, two seconds apart: nobody dies."""
    with scene(3, 240, "--set", "pruning={kind: none}") as at:
        wires = [Wire(at.server.port) for _ in range(2)]
        workers = [at.start(url=at.server.url_at(wire.port)) for wire in wires]
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        cut = 0
        for _ in range(8):
            for wire in wires:
                cut += len(wire.open) // 2
                wire.reset()
            time.sleep(2.0)
        in_time = at.runs()
        at.wait(lambda: at.owner(2), "the trial after these")
        at.stop()
        for wire in wires:
            wire.close()
        row = audit(at, "connections reset by the network", 8, note=f"{cut} connections cut")
        row.wrong += (
            ["a worker died of it"] if any(each.process.returncode for each in workers) else []
        )
        row.wrong += [] if cut and in_time else ["the study was over before the last cut"]
        return row


def study_deleted() -> Row:
    """Somebody deletes the study while it runs: every worker ends, with one line that says so."""
    with scene(3, 2000) as at:
        workers = [at.start(), at.start()]
        at.wait(lambda: at.epochs_done(0) >= 1, "an epoch")
        delete_study(at.server.url)
        codes = [each.process.wait(90) for each in workers]
        words = [each.words() for each in workers]
        wrong = [f"a traceback:\n{text[-1500:]}" for text in words if "Traceback" in text]
        silent = [text.splitlines()[-1] for text in words if "was deleted" not in text]
        wrong += [
            f"a worker does not say that the study was deleted, but: {line}" for line in silent
        ] + leftovers(at)
        return Row("study deleted while it runs", 1, 0, 0, 0, True, 0, 0.0, wrong, f"codes {codes}")


def delete_study(url: str) -> None:
    """Delete the study with Optuna's own command: rows alone."""
    optuna = Path(sys.executable).with_name("optuna")
    storage = url.replace("postgresql://", "postgresql+psycopg2://")
    words = [str(optuna), "delete-study", "--study-name", "faults", "--storage", storage]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


ALL = [terminated_in_silence, signalled_twice, cut_again_and_again, study_deleted]
if os.geteuid() == 0:
    ALL += [nowhere_to_write]
