"""The names of the measures that a study may choose by, and their words. Imports no numpy: a look at
a study does not wait for it.
"""

from objectives.config.foreign import foreign_packages

IOU = "iou"
OWN = (IOU, "dice", "precision", "recall")
WORDS = {IOU: "IoU", "dice": "Dice"}


def measure_names() -> tuple[str, ...]:
    """Return the names of all measures that are here; one of ours hides one of a package."""
    return (*OWN, *(name for name in foreign_packages("scores") if name not in OWN))


def measure_package(name: str) -> str:
    """Return the package and version that brings a measure; empty for our own, and for one that
    nobody brings.
    """
    return "" if name in OWN else foreign_packages("scores").get(name, "")


def mean_of(name: str) -> str:
    """Return what a score by this measure is, in words: ``mean IoU``."""
    return f"mean {WORDS.get(name, name)}"


def title_of(name: str) -> str:
    """Return the same to begin a line with: ``Mean IoU``."""
    return f"Mean {WORDS.get(name, name)}"
