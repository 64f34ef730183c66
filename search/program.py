"""Which program this is: its package, and the version of it that is installed."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PACKAGE = "segmentation-search"


@cache
def program_version() -> str:
    """Return the version of the installed package; empty where none is, as in an unpacked
    archive.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""
