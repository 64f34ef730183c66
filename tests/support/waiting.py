"""How tests wait for what other processes do."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(
    what: Callable[[], Any], timeout_s: float = 120.0, *, told: Callable[[], object] = lambda: ""
) -> Any:
    """The first true answer of ``what``; too late, the test fails with what ``told`` gives."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited too long: {told()}"
        time.sleep(0.05)
    return answer
