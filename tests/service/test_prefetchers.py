"""Prefetchers of a trial's process, which a server has forked: what they are, and what is left of
them after a kill.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from objectives.data.dataset import Dataset
from search.process import parent as process
from search.process.parent import TrialProcess
from tests.support import prefetching

GONE_S = 5.0


@pytest.fixture
def trial(
    terrain: Dataset, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[TrialProcess, list[str]]]:
    """A process that has prefetched an epoch, and its words."""
    monkeypatch.setattr(process, "_enter", prefetching.prefetches)
    with TrialProcess(terrain.directory, hang_s=60.0) as running:  # type: ignore[arg-type]  # no job is needed
        message = next(running.messages(lambda: False))
        yield running, message.text.split()  # type: ignore[union-attr]


def test_prefetchers_are_forked_from_their_trial_and_die_with_it(
    trial: tuple[TrialProcess, list[str]],
) -> None:
    running, (took_s, prefetched, in_line) = trial
    assert prefetched == in_line
    assert running.process.pid
    above = psutil.Process(running.process.pid)
    below = above.children(recursive=True)
    assert len(below) == prefetching.PREFETCHERS, "no further server, no tracker of resources"
    assert {each.ppid() for each in below} == {above.pid}
    # forked, and nothing else run since: it shares the memory into which torch was loaded
    for each in below:
        assert each.cmdline() == above.cmdline()
        assert inherited(each.pid) > 0.5 * inherited(above.pid)
        assert each.memory_full_info().uss < 100 * 2**20
    assert float(took_s) < 5.0
    above.kill()
    gone, alive = psutil.wait_procs(below, timeout=GONE_S)
    assert not alive
    assert len(gone) == prefetching.PREFETCHERS


def test_prefetchers_that_stand_still_die_with_their_trial(
    trial: tuple[TrialProcess, list[str]],
) -> None:
    running, _ = trial
    below = psutil.Process(running.process.pid).children(recursive=True)
    for each in below:
        each.suspend()
    running.process.kill()
    assert not psutil.wait_procs(below, timeout=GONE_S)[1]


def inherited(pid: int) -> int:
    """Bytes of a process that it shares with the one that it was forked from, or that was forked
    from it.
    """
    maps = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    return 1024 * int(maps[maps.index("Shared_Dirty:") + 1])
