"""When a config counts as better than the control. Imports no numpy: `search status` asks, too."""

# how probably a config must beat the control before it is handed out instead: see the decisions
SURE = 0.8

BETTER, CONTROL, UNCLEAR = 2, 1, 0


def standing_of(beats_control: float | None) -> int:
    """Return where a config stands by the probability that it beats the control, None for the control
    itself: what surely does comes first, then the control.
    """
    if beats_control is None:
        return CONTROL
    return BETTER if beats_control > SURE else UNCLEAR
