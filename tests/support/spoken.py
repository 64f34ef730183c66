"""What a trial's process may say, sound and unsound, for the tests of its worker."""

import math
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from objectives.device.processor import Processor
from objectives.training.results import EpochResult
from search.process.messages import (
    Cause,
    Checked,
    Checkpoint,
    Drawn,
    Failed,
    Finished,
    Message,
    Noted,
    Saved,
    Timed,
    Trained,
)

BLOB = "ab" * 32
SOUND = EpochResult(
    number=1,
    score=0.5,
    loss=1.0,
    learning_rate=1e-3,
    iou=(0.5, 0.5),
    seconds=1.0,
    scored_on=Processor("cpu", "any", 1),
    measured=(0.5, 0.5),
    soft_score=0.45,
    balanced_nll=0.7,
)


def epoch(number: int, **changed: Any) -> EpochResult:
    """A sound epoch's result, but for what is changed."""
    return replace(SOUND, number=number, **changed)


def checkpoint(name: str = BLOB) -> Checkpoint:
    return Checkpoint(name, name)


def saved(
    *results: Any,
    where: Any = Checkpoint(BLOB, BLOB),  # noqa: B008
    number: Any = 1,
    finished: Any = True,
    left_out: Any = (),
) -> Saved:
    return Saved(number, results, where, finished, left_out)


BAD_NUMBERS = st.sampled_from(
    [
        math.nan,
        math.inf,
        -math.inf,
        1e400,
        -1.0,
        1e308,
        10**400,
        10**5000,
        None,
        True,
        "",
        "nan",
        b"\0",
        (),
    ]
)
NUMBERS = st.one_of(st.floats(0.0, 1.0), BAD_NUMBERS)
TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["a\0b", "x" * 10_000_000, "two\nlines", "\ud800", "\x1b[2J", ""]),
    st.none(),
    st.binary(max_size=9),
)
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    NUMBERS, TEXTS, st.lists(NUMBERS, max_size=3), st.dictionaries(TEXTS, NUMBERS, max_size=2)
)
RESULTS = st.builds(
    EpochResult,
    number=st.one_of(st.integers(1, 3), BAD_NUMBERS),
    score=NUMBERS,
    loss=NUMBERS,
    learning_rate=NUMBERS,
    iou=st.one_of(st.tuples(NUMBERS, NUMBERS), st.lists(NUMBERS, max_size=5), st.none()),
    seconds=NUMBERS,
    scored_on=st.one_of(
        st.just(SOUND.scored_on), st.builds(Processor, TEXTS, TEXTS, NUMBERS), st.none()
    ),
)
# most of a message is sound, so that each fault is met by itself, too
SPOILT_RESULTS = st.one_of(
    RESULTS,
    *(
        st.builds(lambda value, name=name: replace(SOUND, **{name: value}), ANYTHING)
        for name in ("number", "score", "loss", "learning_rate", "iou", "seconds", "scored_on")
    ),
)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Checked, NUMBERS, NUMBERS, NUMBERS, TEXTS),
    st.builds(Noted, TEXTS),
    st.just(Trained()),
    st.builds(
        Saved,
        st.one_of(st.integers(1, 9), BAD_NUMBERS),
        st.one_of(st.tuples(SPOILT_RESULTS), st.lists(SPOILT_RESULTS, max_size=3), ANYTHING),
        st.one_of(st.just(Checkpoint(BLOB, BLOB)), st.builds(Checkpoint, TEXTS, TEXTS), st.none()),
        st.one_of(st.booleans(), BAD_NUMBERS),
        st.one_of(st.just(()), st.lists(NUMBERS, max_size=40), ANYTHING),
    ),
    st.builds(Timed, NUMBERS),
    st.builds(
        Drawn,
        TEXTS,
        st.one_of(st.binary(max_size=9), TEXTS, st.just(b"\x89PNG\r\n\x1a\n" + bytes(10_000_000))),
    ),
    st.just(Finished()),
    st.builds(
        Failed,
        st.one_of(st.sampled_from([Cause.ERROR, Cause.DIVERGED, Cause.INFEASIBLE]), TEXTS),
        TEXTS,
    ),
)
