"""Laws of windows: whatever the frame, the window and the overlap."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.windows.layout import Windows
from objectives.windows.mosaic import stitched, tiles_of

sides = st.integers(1, 40)
laws = settings(max_examples=150, deadline=None)
windows = st.builds(
    Windows, st.integers(1, 20), st.integers(1, 20), st.floats(0.0, 0.9, allow_nan=False)
)


def put_together(frame_HWC: np.ndarray, seen: Windows, *, turn: tuple[int, ...] = ()) -> np.ndarray:
    """Return a frame as its windows say, each of which adds what is peculiar to its middle."""
    height, width = seen.height, seen.width
    bump_hw = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    turned = np.flip(frame_HWC, turn)
    tiles = list(tiles_of([turned], seen))
    said = np.stack([np.moveaxis(tile.seen(seen), 2, 0) + bump_hw for tile in tiles])
    strips = stitched([(tiles, said.astype(np.float32))], seen, lambda array: array)
    whole = np.concatenate([strip.values for strip in strips], axis=1)
    return np.flip(np.moveaxis(whole, 0, 2), turn)


@laws
@given(height=sides, width=sides, seen=windows)
def test_weights_sum_to_one_and_every_pixel_is_seen(height: int, width: int, seen: Windows) -> None:
    ones = np.ones((height, width, 3), np.float32)
    tiles = list(tiles_of([ones], seen))
    said = np.stack([np.moveaxis(tile.seen(seen), 2, 0) for tile in tiles])
    strips = list(stitched([(tiles, said)], seen, lambda array: array))
    whole = np.concatenate([strip.values for strip in strips], axis=1)
    assert whole.shape == (3, height, width)
    np.testing.assert_allclose(whole, 1.0, rtol=1e-6)


@laws
@given(extra=st.tuples(sides, sides), seen=windows, seed=st.integers(0, 99))
def test_flips_commute_where_windows_lie_within_the_frame(
    extra: tuple[int, int], seen: Windows, seed: int
) -> None:
    size = seen.height + extra[0] - 1, seen.width + extra[1] - 1
    frame = np.random.default_rng(seed).random((*size, 1)).astype(np.float32)
    plain = put_together(frame, seen)
    for turn in ((0,), (1,), (0, 1)):
        np.testing.assert_allclose(put_together(frame, seen, turn=turn), plain, atol=1e-5)
