"""Work of many threads, handed on in order and not far ahead: decoding leaves Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

MOST_THREADS = 32
AHEAD = 2  # items a thread that are begun before the first of them is taken


def threads_at_hand() -> int:
    """Return how many threads may decode at once: one for each core that this process may use."""
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


def in_order(work: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """Yield what ``work`` makes of each item, in their order; a few are made ahead, so that few are held."""
    threads = threads_at_hand()
    remaining = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Made]] = deque()
        try:
            begun += [pool.submit(work, item) for item in islice(remaining, AHEAD * threads)]
            while begun:
                made = begun.popleft().result()
                begun += [pool.submit(work, item) for item in islice(remaining, 1)]
                yield made
        finally:
            for waiting in begun:
                waiting.cancel()
