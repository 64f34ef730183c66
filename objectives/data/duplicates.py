"""Which frames are spoilt (many frames with one identical mask) and which look alike (near duplicates)."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import cv2
import numpy as np

THUMBNAIL = 16  # pixels a side
SEVERAL_CLASSES = 3  # masks of one or two values are often identical by nature (all soil with a border)
LIKENESS = (0.93, 0.95, 0.97, 0.99, 0.999)  # correlations of thumbnails tried, from loose to tight
_MOST_PAIRS = 64  # per frame, the most alike: a set where all look alike would fill the memory
_CHUNK = 1024  # rows of the table of correlations held at once


def spoilt_frames(mask_keys: Sequence[Hashable], label_counts: Sequence[int], min_identical: int) -> dict[int, str]:
    """The frames that share one identical mask of several classes with at least ``min_identical`` - 1 others, and why.

    ``mask_keys`` are equal for equal masks, ``label_counts`` say how many different labels each mask holds.
    """
    sharing: dict[Hashable, list[int]] = defaultdict(list)
    for index, key in enumerate(mask_keys):
        sharing[key].append(index)
    spoilt = {}
    for frames in sharing.values():
        labels = label_counts[frames[0]]
        if len(frames) >= min_identical and labels >= SEVERAL_CLASSES:
            reason = f"shares one identical mask of {labels} labels with {len(frames) - 1} other frames"
            reason += f" (--min-identical {len(frames) + 1} keeps them)"
            spoilt.update(dict.fromkeys(frames, reason))
    return dict(sorted(spoilt.items()))


def thumbnail(image_HWC: np.ndarray) -> np.ndarray:
    """The image's look in 256 numbers: grey, 16 x 16, of mean 0 and length 1 (all 0 for a flat image), float32."""
    planes = [cv2.resize(plane, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for plane in np.moveaxis(image_HWC, 2, 0)]
    small = np.mean(planes, axis=0, dtype=np.float32).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return small / length if length > 1e-3 else np.zeros_like(small)


def alike_clusters(thumbnails: np.ndarray, hashes: Sequence[str]) -> np.ndarray:
    """A cluster number per frame, (N,) int64: frames that look alike, directly or through others, share one.

    ``thumbnails`` (N, D) are rows of ``thumbnail``; frames of equal hash always share a cluster. A cluster of more than a
    third of the frames leaves too little for three parts: it alone is cut, by a tighter likeness among its own frames.
    """
    exact = np.unique(np.asarray(hashes), return_inverse=True)[1]
    pairs, likeness = _alike_pairs(thumbnails, LIKENESS[0])
    found: list[Hashable] = [(0.0, cluster) for cluster in exact.tolist()]
    uncut = np.ones(len(thumbnails), np.bool_)
    for threshold in LIKENESS:
        clusters = _components(exact, pairs[(likeness >= threshold) & uncut[pairs].all(axis=1)])
        fits = np.bincount(clusters)[clusters] <= -(-len(thumbnails) // 3)
        for frame in np.flatnonzero(uncut & fits).tolist():
            found[frame] = (threshold, int(clusters[frame]))
        uncut &= ~fits
    return in_order_of_appearance(found)


def _alike_pairs(thumbnails: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (P, 2) of frames whose thumbnails correlate at least so much, and the correlations (P,)."""
    pairs, likeness = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.float32)]
    for start in range(0, len(thumbnails), _CHUNK):
        rows = thumbnails[start : start + _CHUNK]
        table = rows @ thumbnails[start:].T
        alike = np.triu(table >= threshold, 1)  # column 0 is frame ``start``, so this leaves each pair once
        if alike.sum() > _MOST_PAIRS * len(rows):
            alike &= table >= np.partition(table, -_MOST_PAIRS, axis=1)[:, [-_MOST_PAIRS]]
        first, second = np.nonzero(alike)
        pairs.append(np.stack([first + start, second + start], axis=1))
        likeness.append(table[first, second])
    return np.concatenate(pairs), np.concatenate(likeness)


def _components(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The connected components of frames joined by equal labels and by pairs, numbered in order of first appearance."""
    parent = list(range(int(labels.max(initial=-1)) + 1))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for first, second in labels[pairs].tolist():
        parent[root(first)] = root(second)
    return in_order_of_appearance([root(label) for label in labels.tolist()])


def in_order_of_appearance(values: Sequence[Hashable]) -> np.ndarray:
    """A number per value, (N,) int64, counted from 0 as values first appear: what they are called drops out."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], np.int64)
