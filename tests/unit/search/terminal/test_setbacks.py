"""What workers say into their logs of what is tried again, for whoever watches `search run`."""

from pathlib import Path

from search.terminal.local import Setbacks
from search.waits import AGAIN


def test_each_reason_is_said_once_and_whole(tmp_path: Path) -> None:
    logs = [tmp_path / "one", tmp_path / "two"]
    for log in logs:
        log.touch()
    setbacks = Setbacks(logs)
    assert setbacks() == []
    away = "trial 3 cannot go on here: the store is away: no route"
    with logs[0].open("a") as one, logs[1].open("a") as two:
        one.write(f"worker 7: trial 3 starts\nworker 7: {away}{AGAIN} 10 s\nworker 7: trial 3 can")
        one.flush()
        assert setbacks() == [f"{away}; trying again"]
        two.write(f"worker 8: {away}{AGAIN} 10 s\n")
        one.write(f"not go on here: no memory{AGAIN} 20 s\n")
        two.flush()
        one.flush()
        assert setbacks() == ["trial 3 cannot go on here: no memory; trying again"]
    assert setbacks() == []
