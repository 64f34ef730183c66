"""The names of the measures that a study may choose by. Imports no numpy: a look at a study does not
wait for it.
"""

from objectives.config.foreign import foreign_packages
from objectives.config.score import IOU, Score

__all__ = ["IOU", "OWN", "measure_names", "measure_package"]

OWN = (IOU, "dice", "precision", "recall")


def measure_names() -> tuple[str, ...]:
    """Return the names of all measures that are here; one of ours hides one of a package."""
    return (*OWN, *(name for name in foreign_packages("scores") if name not in OWN))


def measure_package(score: str) -> str:
    """Return the package and version that brings the measure of a score; empty for our own, and for
    one that nobody brings.
    """
    try:
        name = Score.read(score).measure
    except ValueError:
        return ""
    return "" if name in OWN else foreign_packages("scores").get(name, "")
