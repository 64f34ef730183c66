"""How many frames go through a model at once. Imports no torch."""

# scored at once; no batch statistics are used, so it changes nothing but memory
PIXELS = 64 * 64 * 128


def frames_at_once(height: int, width: int) -> int:
    """Return how many frames of a size to score at once: large ones are few, or scoring would need
    more memory than training.
    """
    return max(1, PIXELS // (height * width))
