"""An upgrade of the database by a later program, while workers of this one train."""

import time

from audit import Row, audit
from laws import told_apart
from scene import INJECTED, scene

SOON_S = 30.0  # from the upgrade until the last worker of before has left
LATER = {"PYTHONPATH": INJECTED, "FAULTS_INJECT": "later"}
VERSION = "SELECT version, oldest FROM search_meta"


def upgraded() -> Row:
    """A later program upgrades the tables under three workers that train, and asks for its like: they
    give their trials back and leave with code 2, and workers of the later program go on.
    """
    with scene(6, 30, "--set", "pruning={kind: none}") as at:
        before = [at.start() for _ in range(3)]
        at.wait(lambda: all(at.epochs_done(number) >= 1 for number in range(3)), "epochs of all")
        (here,) = at.query(VERSION)
        done = at.run("upgrade", **LATER)
        began = time.monotonic()
        at.wait(lambda: not any(each.alive for each in before), "workers to leave", 120)
        left_s = time.monotonic() - began
        held = at.query("SELECT 1 FROM search_lease WHERE owner <> ''")
        refused = at.start()
        at.wait(lambda: not refused.alive, "a worker of before to be refused", 60)
        at.settings = dict(LATER)
        at.finish(3)
        row = audit(
            at,
            "the database upgraded under running workers",
            1,
            note=f"{done.stdout.strip()}; the last of three left after {left_s:.0f} s",
        )
        row.wrong += told_apart(at)
        row.wrong += [] if done.returncode == 0 else [f"the upgrade failed: {done.stderr}"]
        row.wrong += [] if at.query(VERSION) != [here] else ["nothing was upgraded"]
        row.wrong += ["a trial was not given back"] if held else []
        row.wrong += [] if left_s <= SOON_S else [f"the last left after {left_s:.0f} s"]
        codes = [each.process.returncode for each in (*before, refused)]
        row.wrong += [] if codes == [2] * 4 else [f"workers of before ended with {codes}"]
        return row


ALL = [upgraded]
