"""A primary that is lost, and its synchronous standby in its place: what was confirmed is there."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from audit import Row, audit
from laws import told_apart
from postgres import Server
from scene import Scene, scene

AWAY_S = 3.0  # until somebody promotes the standby
CLAIMS = "SELECT sum(fence) FROM search_lease"
IN_STEP = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"


def fail_over() -> Row:
    """The primary of a synchronous pair killed whole with -9, just after a claim and among reports;
    the standby is promoted, and the workers, who know both hosts, go on there.
    """
    with scene(8, 20, write=False) as at, standby(at) as other:
        at.init("--set", "pruning={kind: none}")
        both = f"127.0.0.1:{at.server.port},127.0.0.1:{other.port}"
        at.settings["SEARCH_STORAGE"] = (
            f"postgresql://postgres@{both}/search?target_session_attrs=read-write"
        )
        workers = [at.start() for _ in range(3)]
        at.wait(lambda: at.epochs_done(3) >= 1, "epochs of a second trial")
        before = at.query(CLAIMS)
        at.wait(lambda: at.query(CLAIMS) != before, "a claim", pause_s=0.001)
        lost = at.server
        lost.kill_whole()
        time.sleep(AWAY_S)
        other.promote()
        at.server = other
        at.finish()
        row = audit(at, "Postgres fails over to a synchronous standby", 1)
        row.note = f"promoted after {AWAY_S:g} s"
        row.wrong += told_apart(at)
        row.wrong += [] if at.said("does not answer") else ["no worker missed the primary"]
        row.wrong += [
            f"a worker died of it: {each.words().splitlines()[-1]}"
            for each in workers
            if each.process.returncode
        ]
        return row


@contextmanager
def standby(at: Scene) -> Iterator[Server]:
    """A standby of a scene's server, which from now on confirms nothing that the standby lacks."""
    made = Server(at.root / "standby", primary=at.server)
    try:
        # not on the standby: once promoted it has none of its own to wait for
        at.server.query("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
        at.server.query("SELECT pg_reload_conf()", database="postgres")
        at.wait(lambda: at.query(IN_STEP) == [(1,)], "the standby to be in step", 30)
        yield made
    finally:
        made.close()


ALL: list[Callable[[], Row]] = [fail_over]
