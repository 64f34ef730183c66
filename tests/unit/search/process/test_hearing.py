"""What a worker accepts of a trial's process: what is recorded is a number where a number belongs,
whatever was said.
"""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.errors import LONGEST
from search.process.hearing import LARGEST_PICTURE, PNG, UnusableError, usable
from search.process.messages import (
    Cause,
    Checked,
    Drawn,
    Failed,
    Finished,
    Noted,
    Saved,
    Timed,
    Trained,
)
from tests.support.spoken import ANYTHING, MESSAGES, checkpoint, epoch, saved

CLASSES = 2


@pytest.mark.parametrize(
    "message",
    [
        saved(epoch(1)),
        saved(
            epoch(1, score=0.0, validation_loss=3.0),
            epoch(2, score=1.0, loss=-0.5, validation_loss=-0.25),
        ),
        Trained(),
        Finished(),
        Checked(10, 20, 30, ""),
        Checked(10, 20, 30, "", on_device=True),
        Noted("goes on after epoch 3"),
        Failed(Cause.DIVERGED, "the loss is nan in epoch 4"),
        Drawn("curve.png", PNG + b"..."),
        saved(epoch(1), left_out=(0.4, 0.6)),
        Timed(0.004),
    ],
)
def test_what_a_sound_trial_says_is_taken_as_it_is(message: Any) -> None:
    assert usable(message, CLASSES) == message


def test_a_class_that_neither_occurs_nor_is_predicted_has_no_iou() -> None:
    match usable(saved(epoch(1, iou=(math.nan, 1.0))), CLASSES):
        case Saved(results=(result,)):
            assert math.isnan(result.iou[0])
        case other:
            pytest.fail(f"{other} is no result")


NO_SCORES = (math.nan, math.inf, -math.inf, None, "0.5", 1.5, -0.1, True, [0.5], 10**400, 10**5000)


@pytest.mark.parametrize("score", NO_SCORES, ids=range(len(NO_SCORES)))
def test_a_score_that_is_no_number_is_named_with_its_epoch(score: Any) -> None:
    with pytest.raises(
        UnusableError, match=r"the score of epoch 2 must be a number from 0 to 1, got "
    ):
        usable(saved(epoch(1), epoch(2, score=score)), CLASSES)


@pytest.mark.parametrize(
    ("message", "rule"),
    [
        (saved(epoch(1, loss=math.nan)), "the loss of epoch 1 must be a number"),
        (
            saved(epoch(1, validation_loss=math.inf)),
            "the validation loss of epoch 1 must be a number",
        ),
        (saved(epoch(1, validation_loss=None)), "the validation loss of epoch 1 must be a number"),
        (saved(epoch(1, iou=(0.5,))), "must be one number for each of 2 classes"),
        (saved(epoch(1, iou=(0.5, None))), "IoU of a class of epoch 1 must be a number"),
        (saved(epoch(2)), "must be those of epochs 1, 2"),
        (saved(epoch(1), epoch(1)), "in place 2"),
        (saved(), "one epoch or more"),
        (saved(epoch(1), where=checkpoint("a/../b")), "the names of two blobs"),
        (saved(epoch(1), where=None), "the names of two blobs"),
        (saved(epoch(1), left_out=[0.5, math.nan]), "without a block of places must be a number"),
        (saved(epoch(1), left_out=(0.5,) * 33), "must be 32 at most"),
        (saved(epoch(1), left_out=None), "must be 32 at most"),
        (Timed(-1.0), "seconds for a frame must be a number from 0"),
        (Timed(math.inf), "seconds for a frame must be a number"),
        (Checked(math.nan, 1, 1, ""), "parameters must be a count"),  # type: ignore[arg-type]
        (Failed("tired", "so it was"), "must be a known one"),  # type: ignore[arg-type]
        (b"\0" * 10, "must send messages of a trial"),
        (None, "must send messages of a trial"),
    ],
)
def test_each_rule_is_told_in_one_line(message: Any, rule: str) -> None:
    with pytest.raises(UnusableError, match=rule) as caught:
        usable(message, CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "drawn",
    [
        Drawn("../curve.png", PNG),
        Drawn("curve\0.png", PNG),
        Drawn("curve.png", b"<svg onload=alert(1)>"),
        Drawn("curve.png", None),  # type: ignore[arg-type]
        Drawn("curve.png", PNG + bytes(LARGEST_PICTURE)),
    ],
)
def test_a_picture_that_cannot_be_shown_becomes_a_word_about_it(drawn: Drawn) -> None:
    match usable(drawn, CLASSES):
        case Noted(text):
            assert text.startswith("lacks a picture: ")
        case other:
            pytest.fail(f"{other} is taken for a picture")


@given(st.one_of(MESSAGES, ANYTHING))
def test_whatever_is_said_is_taken_or_refused_and_what_is_taken_can_be_recorded(
    message: Any,
) -> None:
    try:
        taken = usable(message, CLASSES)
    except UnusableError:
        return
    match taken:
        case Saved(results=results, left_out=left_out):
            assert all(0.0 <= score <= 1.0 for score in left_out)
            assert [result.number for result in results] == list(range(1, len(results) + 1))
            assert all(
                0.0 <= result.score <= 1.0 and len(result.iou) == CLASSES for result in results
            )
        case Noted(text) | Failed(_, text) | Checked(_, _, _, text):
            assert len(text) <= LONGEST + 3
            assert text.isprintable()
        case Timed(seconds):
            assert 0.0 <= seconds < math.inf
        case Drawn(_, png):
            assert png.startswith(PNG)
        case Trained() | Finished():
            pass
        case other:
            pytest.fail(f"{other} is no message")
