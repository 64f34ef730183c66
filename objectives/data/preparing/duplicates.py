"""Which frames are spoilt (many frames with one identical mask) and which look alike (near
duplicates).
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import cv2
import numpy as np

THUMBNAIL = 16  # pixels a side
# masks of one or two values are often identical by nature (all soil with a border)
SEVERAL_CLASSES = 3
LIKENESS = (0.93, 0.95, 0.97, 0.99, 0.999)  # correlations of thumbnails tried, from loose to tight
_CELLS = 2**23  # of the table of correlations, held at once


def spoilt_frames(
    mask_keys: Sequence[Hashable], label_counts: Sequence[int], min_identical: int
) -> dict[int, str]:
    """Return the frames that share one identical mask of several classes with at least
    ``min_identical`` - 1 others, and why.

    ``mask_keys`` are equal for equal masks, ``label_counts`` say how many different labels each
    mask holds.
    """
    sharing: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(mask_keys):
        sharing[key].append(index)
    spoilt = {}
    for frames in sharing.values():
        labels = label_counts[frames[0]]
        if len(frames) >= min_identical and labels >= SEVERAL_CLASSES:
            reason = (
                f"shares one identical mask of {labels} labels with {len(frames) - 1} other frames"
            )
            reason += f" (--min-identical {len(frames) + 1} keeps them)"
            spoilt.update(dict.fromkeys(frames, reason))
    return dict(sorted(spoilt.items()))


def thumbnail(image_HWC: np.ndarray) -> np.ndarray:
    """Return the image's look in 256 numbers: grey, 16 x 16, of mean 0 and length 1 (all 0 for a
    flat image), float32.
    """
    groups = [  # OpenCV takes four channels at most in one call
        image_HWC[:, :, first : first + 4] for first in range(0, image_HWC.shape[2], 4)
    ]
    planes = np.concatenate(
        [
            cv2.resize(
                np.ascontiguousarray(group), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA
            ).reshape(THUMBNAIL, THUMBNAIL, -1)
            for group in groups
        ],
        axis=2,
    )
    small = np.mean(np.moveaxis(planes, 2, 0), axis=0, dtype=np.float32).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > 1e-3 else np.zeros_like(small)


def alike_clusters(thumbnails: np.ndarray, hashes: Sequence[str]) -> np.ndarray:
    """Return a cluster number per frame, (N,) int64: frames that look alike, directly or through
    others, share one.

    ``thumbnails`` (N, D) are rows of ``thumbnail``; frames of equal hash always share a cluster. A
    cluster of more than a third of the frames leaves too little for three parts: it alone is cut,
    by a tighter likeness among its own frames.
    """
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    keys: list[Hashable] = [(0.0, cluster) for cluster in exact.tolist()]
    uncut = np.arange(len(thumbnails))
    for threshold in LIKENESS:
        clusters = _joined_alike(_smallest_member(exact[uncut]), thumbnails[uncut], threshold)
        fits = (
            np.bincount(clusters)[clusters] <= -(-len(thumbnails) // 3)
            if len(clusters)
            else np.zeros(0, np.bool_)
        )
        for frame, cluster in zip(uncut[fits].tolist(), clusters[fits].tolist(), strict=True):
            keys[frame] = (threshold, cluster)
        uncut = uncut[~fits]
    return in_order_of_appearance(keys)


def _joined_alike(clusters: np.ndarray, thumbnails: np.ndarray, threshold: float) -> np.ndarray:
    """Clusters (N,), each called by its smallest frame, joined where thumbnails correlate at least
    so much.

    The table of correlations is made in parts, and clusters are joined while a part is at hand: no
    pair needs to be kept.
    """
    rows = max(1, _CELLS // max(1, len(thumbnails)))
    for start in range(0, len(thumbnails), rows):
        table = thumbnails[start : start + rows] @ thumbnails[start:].T
        apart = clusters[start : start + rows, None] != clusters[None, start:]
        first, second = np.nonzero((table >= threshold) & apart)
        clusters = _joined(clusters, first + start, second + start)
    return clusters


def _joined(clusters: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the clusters once each pair of frames is in one.

    Source: Shiloach and Vishkin 1982 (An O(log n) Parallel Connectivity Algorithm): each cluster
    hooks on to a smaller one that it touches, then all go to the end of their chain, until no pair
    is apart.
    """
    while True:
        one = clusters[first]
        other = clusters[second]
        apart = one != other
        if not apart.any():
            return clusters
        first, second, one, other = first[apart], second[apart], one[apart], other[apart]
        hooked = np.arange(len(clusters))
        np.minimum.at(hooked, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(hooked, hooked[hooked]):
            hooked = hooked[hooked]
        clusters = hooked[clusters]


def _smallest_member(labels: np.ndarray) -> np.ndarray:
    """For each frame, the smallest frame of equal label."""
    _, first, label = np.unique(labels, return_index=True, return_inverse=True)
    return first[label]


def in_order_of_appearance(values: Sequence[Hashable]) -> np.ndarray:
    """Return a number per value, (N,) int64, counted from 0 as values first appear: what they are
    called drops out.
    """
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
