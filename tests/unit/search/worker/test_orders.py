"""A worker's orders: signals that tell it something, and those that do not."""

import subprocess
import sys

CODE = """
import os, signal, time
from search.worker.context import Orders

signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's loader of batches does
orders = Orders.from_signals(drain=False)
orders.at_work = True
for _ in range(3):
    os.kill(os.getpid(), signal.SIGCHLD)
time.sleep(0.5)
print(orders.stop.is_set(), orders.leave.is_set())
os.kill(os.getpid(), signal.SIGTERM)
print(orders.stop.wait(30), orders.leave.wait(30))
"""


def test_a_signal_that_somebody_else_handles_is_no_order() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["False", "False", "True", "True"]), (
        done.stderr
    )
