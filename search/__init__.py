"""The service: studies, leases, workers, artifacts, export and the command line; and `load`, which takes an exported
bundle into a program of one's own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from objectives.predict.segmentation import Segmentation, load

__all__ = ["Segmentation", "load"]


def __getattr__(name: str) -> Any:
    """Import what programs of others use when it is used: the command line waits for none of it."""
    if name in __all__:
        from objectives.predict import segmentation

        return getattr(segmentation, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
