"""Whatever passed, in whatever order, and whatever of it is kept: hash and counts are those of what is kept."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.preparing.in_passing import InPassing
from objectives.data.preparing.training_pixels import TrainingPixels, largest

COUNT = 8


@st.composite
def frames(draw: st.DrawFn) -> list[np.ndarray]:
    """Small images of any sizes; some are of another type or of more channels than the first."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    made = []
    for _ in range(COUNT):
        dtype = draw(st.sampled_from([np.uint8, np.uint8, np.uint16]))
        shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 1, 3])))
        made.append(rng.integers(0, 200, shape).astype(dtype))
    return made


@given(frames(), st.data())
def test_it_is_as_if_only_what_is_kept_had_been_looked_at(
    images: list[np.ndarray], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(images))
    alike = [
        index
        for index, image in enumerate(images)
        if (image.dtype, image.shape[2]) == (kind.dtype, kind.shape[2])
    ]
    passed = data.draw(st.integers(0, COUNT))  # those before were kept by a process that was killed
    kept = sorted(data.draw(st.sets(st.sampled_from(alike), min_size=1)))
    trained = sorted(data.draw(st.sets(st.sampled_from(kept), min_size=1)))
    with InPassing() as passing:
        for index in range(passed, COUNT):
            passing.add(index, images[index])
        stored = lambda asked: (images[index] for index in sorted(asked))  # noqa: E731
        hashed = passing.hash_of(kept, stored)
        seen = passing.pixels_of(trained, stored)
    assert hashed == hashlib.sha256(b"".join(images[index].tobytes() for index in kept)).hexdigest()
    direct = TrainingPixels(kind.shape[2], largest(kind))
    for index in trained:
        direct.add(images[index])
    assert seen.count == direct.count
    np.testing.assert_array_equal(seen.histogram_CL, direct.histogram_CL)
    assert (seen.mean, seen.deviation, seen.ranges) == (
        direct.mean,
        direct.deviation,
        direct.ranges,
    )
