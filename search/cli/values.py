"""What the texts of options mean."""

import re
from decimal import Decimal
from pathlib import Path

from objectives.config.score import LABEL, Score
from objectives.data.options import DataOptions
from objectives.data.preparing.leave_out import read_leave_out
from objectives.errors import UserError, one_line

LONGEST_S = 366 * 86400.0


def parse_scored(text: str) -> tuple[int | str, ...]:
    """``1,2,soil`` as labels and names of classes, labels first; none for an empty text.

    Raises:
        UserError: For anything else.
    """
    words = {word.strip() for word in text.split(",")} if text else set()
    if not all(word and word.isprintable() for word in words):
        raise UserError(f"--scored must be classes, by label or name, like 1,2,soil, got {text!r}")
    labels = {word for word in words if LABEL.fullmatch(word)}
    return (*sorted({int(word) for word in labels}), *sorted(words - labels))


def parse_score(text: str) -> str:
    """``recall:soil=1,3=2`` as it is stored: classes in one order, without weights of 1.

    Raises:
        UserError: It has not the form of a score.
    """
    try:
        return str(Score.read(text))
    except ValueError as error:
        raise UserError(f"--score {error}, got {one_line(text)!r}") from error


def parse_split(split: str) -> tuple[float, float, float]:
    """``90/10/0`` as shares of train, validation and test; the usual ones for an empty text.

    Raises:
        UserError: For anything else.
    """
    if not split:
        return DataOptions().shares
    match = re.fullmatch("/".join([r"([0-9]{1,3}(?:\.[0-9]{1,15})?)"] * 3), split)
    train, validation, test = map(Decimal, match.groups()) if match else (Decimal(0),) * 3
    if not train or not validation or train + validation + test != 100:
        rule = (
            "must be the percentages of train, validation and test like 80/10/10: 100 "
            "together, "
            "and only the last may be 0"
        )
        raise UserError(f"--split {rule}, got {split!r}")
    return float(train / 100), float(validation / 100), float(test / 100)


def parse_leave_out(path: Path | None) -> tuple[str, ...]:
    """Return the names in a file; none without one.

    Raises:
        UserError: It cannot be read, or names nothing.
    """
    return () if path is None else read_leave_out(path)


def parse_size(size: str, option: str = "--size") -> tuple[int, int] | None:
    """``64x128`` as (height, width); None for an empty text.

    Raises:
        UserError: For anything else.
    """
    if not size:
        return None
    if not (match := re.fullmatch(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", size)):
        raise UserError(f"{option} must be HEIGHTxWIDTH like 64x128, got {size!r}")
    return int(match[1]), int(match[2])


def parse_duration(text: str, option: str = "--until", *, least_s: float = 1e-9) -> float:
    """``90s``, ``60m``, ``1.5h`` or ``2d`` in seconds; 0 for an empty text.

    Raises:
        UserError: For anything else.
    """
    if not text:
        return 0.0
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text)
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]] if match else 0.0
    if not match or not least_s <= seconds <= LONGEST_S:
        least = f"at least {least_s:g}s and " if least_s >= 1 else ""
        raise UserError(
            f"{option} must be a time like 90s, 60m, 1.5h or 2d, and {least}at most 366d, got "
            f"{text!r}"
        )
    return seconds
