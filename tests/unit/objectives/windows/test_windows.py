"""Windows cover frames, are put together as they were cut, and hold no more than a row of them."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from objectives.windows.layout import Corner, Windows, cut, starts
from objectives.windows.mosaic import Strip, Tile, batches, stitched, tiles_of

Seen = Iterator[tuple[list[Tile], np.ndarray]]


def test_windows_lie_evenly_and_the_same_from_either_end() -> None:
    for length, window, overlap in itertools.product(
        range(1, 90), (1, 2, 7, 16), (0.0, 0.25, 0.5, 0.9)
    ):
        found = starts(length, window, overlap)
        room = max(0, length - window)
        assert (found[0], found[-1]) == (0, room)
        assert found == sorted(set(found))
        steps = np.diff(found)
        assert (steps <= max(1, int(window * (1 - overlap)))).all()
        assert not len(steps) or steps.max() - steps.min() <= 2
        assert [room - start for start in found[::-1]] == found


def test_weights_are_a_gaussian_and_never_nothing() -> None:
    for height, width in ((1, 1), (7, 300), (512, 512)):
        weights = Windows(height, width, 0.5).weights_HW
        assert weights.dtype == np.float32
        assert weights.min() > 0.0
        assert weights.max() <= 1.0
        np.testing.assert_array_equal(weights, weights[::-1, ::-1])
    rows = np.arange(512) - 255.5
    expected = np.exp(-(rows[:, None] ** 2 + rows[None] ** 2) / (2 * 64.0**2))
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_what_lies_beyond_a_frame_is_mirrored_or_filled() -> None:
    frame = np.arange(6).reshape(2, 3)
    assert cut(frame, Corner(0, 1), 2, 2).tolist() == [[1, 2], [4, 5]]
    assert cut(frame, Corner(0, 0), 3, 5).tolist() == [
        [0, 1, 2, 2, 1],
        [3, 4, 5, 5, 4],
        [3, 4, 5, 5, 4],
    ]
    assert cut(frame, Corner(0, 0), 2, 4, fill=9).tolist() == [[0, 1, 2, 9], [3, 4, 5, 9]]
    colours = np.stack([frame, frame + 10], axis=2)
    assert cut(colours, Corner(1, 1), 3, 3).shape == (3, 3, 2)


def seen_of(frames: list[np.ndarray], windows: Windows, at_once: int, tilt: float = 0.0) -> Seen:
    """Say of each window what the frame has there, and more of it the further to the right in the window."""
    slope = tilt * np.arange(windows.width)
    for tiles in batches(tiles_of(frames, windows), at_once):
        pixels = [np.moveaxis(tile.seen(windows), 2, 0) + slope for tile in tiles]
        yield tiles, np.stack(pixels).astype(np.float32)


def whole(frames: list[np.ndarray], strips: Iterator[Strip[np.ndarray]]) -> list[np.ndarray]:
    """Return what strips say of each frame, which they must cover once and in order."""
    parts: list[list[np.ndarray]] = [[] for _ in frames]
    for strip in strips:
        assert strip.rows.start == sum(part.shape[1] for part in parts[strip.frame])
        assert not any(parts[strip.frame + 1 :])
        parts[strip.frame].append(np.asarray(strip.values))
        assert parts[strip.frame][-1].shape[1] == strip.rows.stop - strip.rows.start
    return [np.moveaxis(np.concatenate(each, axis=1), 0, 2) for each in parts]


FRAMES = [
    np.random.default_rng(0).random((*size, 2)).astype(np.float32)
    for size in ((37, 53), (16, 24), (5, 90), (60, 7), (1, 1), (16, 25))
]


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.75])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_frames_come_back_as_they_were_cut(overlap: float, at_once: int) -> None:
    windows = Windows(16, 24, overlap)
    found = whole(FRAMES, stitched(seen_of(FRAMES, windows, at_once), windows, lambda array: array))
    for frame, again in zip(FRAMES, found, strict=True):
        np.testing.assert_allclose(again, frame, atol=1e-6)


def test_windows_are_averaged_by_their_weights_with_numpy_and_torch() -> None:
    windows = Windows(16, 24, 0.4)
    expected = []
    for frame in FRAMES:
        total = np.zeros(frame.shape)
        weight = np.zeros(frame.shape[:2])
        for row, column in windows.corners(*frame.shape[:2]):
            for y, x in itertools.product(range(16), range(24)):
                if row + y < frame.shape[0] and column + x < frame.shape[1]:
                    said = frame[row + y, column + x] + 0.1 * x
                    total[row + y, column + x] += windows.weights_HW[y, x] * said
                    weight[row + y, column + x] += windows.weights_HW[y, x]
        expected.append(total / weight[..., None])
    ours = whole(FRAMES, stitched(seen_of(FRAMES, windows, 5, 0.1), windows, lambda array: array))
    on_torch = ((tiles, torch.from_numpy(said)) for tiles, said in seen_of(FRAMES, windows, 5, 0.1))
    theirs = whole(FRAMES, stitched(on_torch, windows, torch.from_numpy))
    for truth, by_numpy, by_torch in zip(expected, ours, theirs, strict=True):
        np.testing.assert_allclose(by_numpy, truth, rtol=1e-5)
        np.testing.assert_allclose(by_torch, by_numpy, rtol=1e-6)


def test_of_a_high_frame_no_more_is_held_than_a_row_of_windows_covers() -> None:
    windows = Windows(16, 24, 0.25)
    held: list[int] = []

    def like(array: np.ndarray) -> np.ndarray:
        held.append(array.size)
        return array

    frame = np.zeros((1000, 30, 2), np.float32)
    strips = list(stitched(seen_of([frame], windows, 4), windows, like))
    assert max(held) == 2 * 16 * 30
    assert max(strip.values.shape[1] for strip in strips) <= 16
    assert sum(strip.values.shape[1] for strip in strips) == 1000


def test_frames_are_asked_for_once_and_one_after_the_other() -> None:
    asked = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(4):
            asked.append(number)
            yield np.zeros((40, 40, 1), np.uint8)

    tiles = tiles_of(frames(), Windows(16, 24, 0.25))
    first = next(tiles)
    assert asked == [0]
    assert len({tile.frame for tile in (first, *tiles)}) == 4
    assert asked == [0, 1, 2, 3]
