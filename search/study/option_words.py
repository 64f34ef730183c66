"""What a person types to get a study's options again: each option with its value, empty where a
command does so by itself.
"""

from collections.abc import Callable
from decimal import Decimal

from objectives.data.options import DataOptions

DIGITS = 17  # which no float needs more of


def frame_words(frames: DataOptions) -> dict[str, str]:
    """Return how labelled frames are read and split, but for the seed and the file of frames to
    leave out.
    """
    usual = DataOptions()
    return {
        "--size": f"{frames.size[0]}x{frames.size[1]}" if frames.size else "",
        "--window": f"{frames.window[0]}x{frames.window[1]}" if frames.window else "",
        "--overlap": plain(frames.overlap) if frames.overlap != usual.overlap else "",
        "--exif": frames.exif if frames.exif != usual.exif else "",
        "--channels": frames.channels,
        "--ignore": frames.ignore,
        "--score": frames.measure if frames.measure != usual.measure else "",
        "--scored": ",".join(map(str, frames.scored)),
        "--min-identical": str(frames.min_identical)
        if frames.min_identical != usual.min_identical
        else "",
        "--min-labelled": plain(frames.min_labelled),
        "--max-deviation": plain(frames.max_deviation),
        "--folds": str(frames.folds or ""),
        "--fold": str(frames.fold or ""),
        "--split": _split(frames.shares) if frames.shares != usual.shares else "",
    }


def _split(shares: tuple[float, ...]) -> str:
    return "/".join(f"{(100 * Decimal(repr(share))).normalize():f}" for share in shares)


def plain(value: float, leads: Callable[[float], bool] | None = None) -> str:
    """Return a number in the fewest digits that lead to it, without an exponent; empty for 0."""
    if not value:
        return ""
    exact = leads or value.__eq__
    digits = next(
        (count for count in range(1, DIGITS) if exact(float(f"{value:.{count}g}"))), DIGITS
    )
    return f"{Decimal(f'{value:.{digits}g}'):f}"
