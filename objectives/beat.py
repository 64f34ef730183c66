"""How long work tells whoever drives it that it gets on."""

from collections.abc import Callable

Beat = Callable[[], None]  # called after every piece of work that went well


def unheard() -> None:
    """Tell nobody."""
