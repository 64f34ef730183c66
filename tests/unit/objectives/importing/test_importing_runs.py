"""Masks as lengths of runs, as the tools' own packages have written them."""

import numpy as np
import pytest

from objectives.importing.run_lengths import from_brush, from_counts, from_text

MASK = np.array(
    [
        [0, 0, 1, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1, 1, 0, 1],
        [1, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
        [0, 1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 0, 1, 0, 0, 0, 1, 0],
        [1, 0, 0, 0, 1, 0, 0, 1, 1],
    ],
    bool,
)
COCO_TEXT = "221012OM0231OONN032013MJ10"  # of MASK, by pycocotools 2.0.11
# of a rectangle of 35 x 5 in 40 x 50 pixels with a hole of four, by the same
LARGE_TEXT = "Si0S15TOMc03]OMc03900Uo0"
# of MASK, by label-studio-sdk 2.0's converter
BRUSH = bytes.fromhex(
    "000000fc391bfce011ffe13008fff09804fff180623ff8c0311ffc60186ffe3009ffe3008ffed8047ff18047ff6c023ff9c027ff00"
)


def test_cocos_text_is_the_mask_that_its_own_package_wrote() -> None:
    np.testing.assert_array_equal(from_counts(from_text(COCO_TEXT), 7, 9), MASK)
    large = np.zeros((40, 50), bool)
    large[3:38, 20:25] = True
    large[10:12, 21:23] = False
    np.testing.assert_array_equal(from_counts(from_text(LARGE_TEXT), 40, 50), large)


def test_a_brush_is_the_mask_that_label_studios_own_package_wrote() -> None:
    np.testing.assert_array_equal(from_brush(list(BRUSH), 7, 9), MASK)


def test_runs_that_are_cut_or_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="counts of 63 pixels"):
        from_counts(from_text(COCO_TEXT), 8, 9)
    with pytest.raises(ValueError, match="ends within a count"):
        from_text("2S")
    with pytest.raises(ValueError, match="the character"):
        from_text("2 2")
    with pytest.raises(ValueError, match="ends too early"):
        from_brush(list(BRUSH[:30]), 7, 9)
    with pytest.raises(ValueError, match="a brush of 252 values"):
        from_brush(list(BRUSH), 9, 9)
    for codes in ([-1], [256], [0.5]):
        with pytest.raises(ValueError, match="no list of bytes"):
            from_brush(codes, 7, 9)  # type: ignore[arg-type]
