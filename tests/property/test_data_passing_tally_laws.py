"""Whatever has passed and whatever of it is kept: hash and counts are those of what is kept."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.data.preparing.passing_tally import PassingTally
from objectives.data.preparing.training_pixels import TrainingPixels, type_maximum

COUNT = 8


@st.composite
def frames(draw: st.DrawFn) -> list[np.ndarray]:
    """Small images of any sizes; of several types and channels in some sources."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kinds = [(np.dtype(np.uint8), 1), (np.dtype(np.uint8), 3), (np.dtype(np.uint16), 1)]
    allowed = draw(st.sampled_from([kinds[:1], kinds[1:2], kinds[2:], kinds]))
    made = []
    for _ in range(COUNT):
        dtype, channels = draw(st.sampled_from(allowed))
        size = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
        made.append(rng.integers(0, 200, (*size, channels)).astype(dtype))
    return made


def directly(images: list[np.ndarray], trained: list[int]) -> TrainingPixels:
    """Count these frames alone."""
    first = images[trained[0]]
    seen = TrainingPixels(first.shape[2], type_maximum(first.dtype))
    for index in trained:
        seen.add(images[index])
    return seen


@settings(deadline=None)
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
    # those before were kept by a process that was killed
    passed = data.draw(st.one_of(st.just(0), st.integers(0, COUNT)))
    some = st.sets(st.sampled_from(alike), min_size=1)
    kept = sorted(data.draw(st.one_of(st.just(set(alike)), some)))
    trained = sorted(data.draw(st.sets(st.sampled_from(kept), min_size=1)))
    again: list[int] = []

    def read_back(asked: Iterable[int]) -> Iterator[np.ndarray]:
        again.extend(asked)
        return (images[index] for index in sorted(asked))

    with PassingTally() as passing:
        for index in range(passed, COUNT):
            passing.add(index, images[index])
        hashed = passing.hash_of(kept, read_back)
        if kept == list(range(COUNT)) and not passed:
            assert not again
        seen = passing.pixels_of(trained, kind.shape[2], kind.dtype, read_back)
    assert hashed == hashlib.sha256(b"".join(images[index].tobytes() for index in kept)).hexdigest()
    direct = directly(images, trained)
    assert seen.count == direct.count
    np.testing.assert_array_equal(seen.histogram_CL, direct.histogram_CL)
    told = seen.mean, seen.deviation, seen.ranges
    assert told == (direct.mean, direct.deviation, direct.ranges)


def test_little_is_read_back() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (COUNT, 4, 4, 3), np.uint8))
    again: list[int] = []

    def read_back(asked: Iterable[int]) -> Iterator[np.ndarray]:
        again.extend(asked)
        return (images[index] for index in sorted(asked))

    with PassingTally() as passing:
        for index, image in enumerate(images):
            passing.add(index, image)
        passing.hash_of(range(COUNT), read_back)
        passing.pixels_of(range(6), 3, np.dtype(np.uint8), read_back)
    assert again == [6, 7]


def test_what_goes_wrong_in_passing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(TrainingPixels, "add", fail)
    image = np.zeros((4, 4, 3), np.uint8)
    with PassingTally() as passing:
        passing.add(0, image)
        with pytest.raises(MemoryError):
            passing.add(1, image)
