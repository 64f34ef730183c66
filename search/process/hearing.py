"""What a worker accepts of what a trial's process says: checked before anything of it is written or
told to Optuna.

The process runs other people's networks, losses and libraries. Whatever comes out of it, a score
that is no number say, ends its own trial, never the worker.
"""

import math
import re
import reprlib
from collections.abc import Sequence

from objectives.device.processor import Processor
from objectives.errors import WorldError, one_line
from objectives.statistics.resampling import MOST_BLOCKS
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

BLOB = re.compile(r"[0-9a-f]{64}")
PICTURE_NAME = re.compile(r"[a-z0-9_-]{1,60}\.png")
PNG = b"\x89PNG\r\n\x1a\n"
LARGEST_PICTURE = 2**25  # bytes: a page of the dashboard shows it
LARGEST = 2**53  # of a count: beyond it JSON has no exact numbers


class UnusableError(WorldError):
    """What a trial's process says cannot be recorded; the message says what, and the rule."""


def usable(message: object, num_classes: int) -> Message:
    """Return the message, its texts fit for people; a picture that cannot be shown becomes a note
    that says so.

    Raises:
        UnusableError: It is no message, or holds what nobody can work with.
    """
    match message:
        case Checked(parameters, multiply_adds, memory_bytes, problem):
            counts = {
                "parameters": parameters,
                "multiply-adds": multiply_adds,
                "bytes of memory": memory_bytes,
            }
            for what, count in counts.items():
                _check_count(count, what)
            there = bool(message.on_device)
            return Checked(parameters, multiply_adds, memory_bytes, _text(problem), there)
        case Noted(text):
            return Noted(_text(text))
        case Trained() | Finished():
            return message
        case Saved(number, results, checkpoint, finished, left_out):
            _check_count(number, "the message's number")
            _check_results(results, num_classes)
            _check_checkpoint(checkpoint)
            _check_left_out(left_out)
            return Saved(number, tuple(results), checkpoint, bool(finished), tuple(left_out))
        case Timed(seconds):
            _check_number(seconds, "the seconds for a frame", 0.0)
            return message
        case Drawn(filename, png):
            why = _why_not_shown(filename, png)
            return Noted(f"lacks a picture: {why}") if why else message
        case Failed(cause, text):
            if not isinstance(cause, Cause):
                raise UnusableError(
                    f"the cause of its end must be a known one, got {_shown(cause)}"
                )
            return Failed(cause, _text(text))
        case _:
            raise UnusableError(f"its process must send messages of a trial, got {_shown(message)}")


def _check_results(results: object, num_classes: int) -> None:
    if not isinstance(results, Sequence) or not results:
        raise UnusableError(
            f"its results must be those of one epoch or more, got {_shown(results)}"
        )
    for number, result in enumerate(results, start=1):
        if not isinstance(result, EpochResult) or result.number != number:
            raise UnusableError(
                f"its results must be those of epochs 1, 2, ..., got {_shown(result)} in place "
                f"{number}"
            )
        _check_result(result, num_classes)


def _check_result(result: EpochResult, num_classes: int) -> None:
    epoch = f"of epoch {result.number}"
    _check_number(result.score, f"the score {epoch}", 0.0, 1.0)
    _check_number(result.loss, f"the loss {epoch}")
    _check_number_or_nan(result.validation_loss, f"the validation loss {epoch}")
    _check_number(result.learning_rate, f"the learning rate {epoch}")
    _check_number(result.seconds, f"the seconds {epoch}")
    _check_number_or_nan(result.soft_score, f"the score of probabilities {epoch}", 0.0, 1.0)
    _check_number_or_nan(result.balanced_nll, f"the balanced -ln p {epoch}")
    for what, values in (("IoU", result.iou), ("measure", result.measured)):
        if not isinstance(values, Sequence) or len(values) != num_classes:
            raise UnusableError(
                f"the {what} {epoch} must be one number for each of {num_classes} classes, got "
                f"{_shown(values)}"
            )
        for value in values:  # NaN of a class that does not occur
            _check_number_or_nan(value, f"{what} of a class {epoch}", 0.0, 1.0)
    match result.scored_on:
        case Processor(str() as kind, str() as name, int() as threads) if (
            len(kind + name) <= 500 and 0 <= threads < LARGEST
        ):
            return
    raise UnusableError(
        f"the processor {epoch} must be a type, a name and threads, got {_shown(result.scored_on)}"
    )


def _check_left_out(scores: object) -> None:
    if not isinstance(scores, Sequence) or len(scores) > MOST_BLOCKS:
        raise UnusableError(
            f"its scores without a block of places must be {MOST_BLOCKS} at most, got {_shown(scores)}"
        )
    for score in scores:
        _check_number(score, "the score without a block of places", 0.0, 1.0)


def _check_checkpoint(checkpoint: object) -> None:
    match checkpoint:
        case Checkpoint(str() as last, str() as best) if BLOB.fullmatch(last) and BLOB.fullmatch(
            best
        ):
            return
    raise UnusableError(f"its checkpoint must be the names of two blobs, got {_shown(checkpoint)}")


def _check_number(value: object, what: str, low: float = -math.inf, high: float = math.inf) -> None:
    if isinstance(value, bool):
        number = False
    elif isinstance(value, int):
        number = abs(value) <= LARGEST and low <= value <= high
    else:
        number = isinstance(value, float) and math.isfinite(value) and low <= value <= high
    if number:
        return
    within = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
    raise UnusableError(f"{what} must be a number{within}, got {_shown(value)}")


def _check_number_or_nan(
    value: object, what: str, low: float = -math.inf, high: float = math.inf
) -> None:
    if not (isinstance(value, float) and math.isnan(value)):
        _check_number(value, what, low, high)


def _check_count(value: object, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise UnusableError(f"{what} must be a count, got {_shown(value)}")


def _why_not_shown(filename: object, png: object) -> str:
    if not isinstance(filename, str) or not PICTURE_NAME.fullmatch(filename):
        return f"its name must be like curve.png, got {_shown(filename)}"
    if not isinstance(png, bytes) or not png.startswith(PNG):
        return f"{filename} is no PNG"
    return (
        ""
        if len(png) <= LARGEST_PICTURE
        else f"{filename} has {len(png)} bytes, {LARGEST_PICTURE} at most are shown"
    )


def _text(text: object) -> str:
    return one_line(text) if isinstance(text, str) else _shown(text)


def _shown(value: object) -> str:
    try:
        return one_line(reprlib.repr(value))
    except ValueError:  # Python writes no number of thousands of digits
        return f"a {type(value).__name__} too large to show"
