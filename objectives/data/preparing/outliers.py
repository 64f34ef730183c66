"""Which frames are hardly labelled or of unusual brightness: filters that a study may ask for, off
by default.
"""

import numpy as np

_LEAST_DEVIATION = 1e-9  # of means in 0..1: below it all frames are alike, and the rest is rounding


def unfit_frames(
    labelled: np.ndarray, means: np.ndarray, *, min_labelled: float, max_deviation: float
) -> dict[int, str]:
    """Return the frames to leave out, and why, in ascending order.

    ``labelled`` (N,) is each frame's share of labelled pixels, ``means`` (N,) its mean pixel value,
    both in 0..1. First go those with less than ``min_labelled``; then, of the others, those whose
    mean lies more than ``max_deviation`` standard deviations of the means from their mean. 0
    switches either off.
    """
    few = labelled < min_labelled
    far = np.zeros(len(means), bool)
    if max_deviation > 0 and not few.all():
        distance = np.abs(means - means[~few].mean())
        far = ~few & (distance > max_deviation * max(float(means[~few].std()), _LEAST_DEVIATION))
    reasons = dict.fromkeys(
        np.flatnonzero(few).tolist(),
        f"less than {min_labelled:g} of its pixels are labelled (--min-labelled)",
    )
    reason = (
        f"its mean pixel value is more than {max_deviation:g} standard deviations from that "
        f"of all frames (--max-deviation)"
    )
    return dict(sorted((reasons | dict.fromkeys(np.flatnonzero(far).tolist(), reason)).items()))
