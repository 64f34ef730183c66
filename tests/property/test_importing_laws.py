"""Laws of drawing: any polygon, any order."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.importing.drawing import Outlines, Pixels, Shape, drawn, filled

HEIGHT, WIDTH = 9, 12
corners = st.tuples(
    st.floats(-4, WIDTH + 4, allow_nan=False), st.floats(-4, HEIGHT + 4, allow_nan=False)
)
polygons = st.lists(corners, min_size=3, max_size=8).map(np.array)


def windings(polygon_P2: np.ndarray, x: float, y: float) -> int:
    """Return how many edges a ray to the left crosses: textbook, one pixel at a time."""
    crossed = 0
    for (x1, y1), (x2, y2) in zip(polygon_P2, np.roll(polygon_P2, -1, axis=0), strict=True):
        if (y1 <= y) != (y2 <= y):
            crossed += x1 + (y - y1) / (y2 - y1) * (x2 - x1) <= x
    return crossed


@settings(deadline=None)
@given(polygons)
def test_a_pixel_is_inside_where_a_ray_from_its_centre_crosses_an_odd_number_of_edges(
    polygon_P2: np.ndarray,
) -> None:
    expected = [
        [windings(polygon_P2, column + 0.5, row + 0.5) % 2 == 1 for column in range(WIDTH)]
        for row in range(HEIGHT)
    ]
    np.testing.assert_array_equal(filled(polygon_P2, HEIGHT, WIDTH), expected)


@settings(deadline=None)
@given(st.integers(0, WIDTH), st.integers(0, HEIGHT), st.data())
def test_areas_that_share_an_edge_share_no_pixel_and_leave_none_out(
    column: int, row: int, data: st.DataObject
) -> None:
    shift = data.draw(st.sampled_from([0.0, 0.25, 0.5]))
    x, y = column + shift, row + shift
    boxes = [
        [(-1, -1), (x, -1), (x, y), (-1, y)],
        [(x, -1), (WIDTH + 1, -1), (WIDTH + 1, y), (x, y)],
        [(-1, y), (x, y), (x, HEIGHT + 1), (-1, HEIGHT + 1)],
        [(x, y), (WIDTH + 1, y), (WIDTH + 1, HEIGHT + 1), (x, HEIGHT + 1)],
    ]
    counts = sum(filled(np.array(box, float), HEIGHT, WIDTH).astype(int) for box in boxes)
    np.testing.assert_array_equal(counts, np.ones((HEIGHT, WIDTH)))


@settings(max_examples=30, deadline=None)
@given(st.lists(polygons, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_smallest_lies_on_top_whatever_the_order(
    shapes: list[np.ndarray], dice: object
) -> None:
    named = [Shape(str(number), Outlines((each,))) for number, each in enumerate(shapes)]
    label_of = {shape.name: 1 + number for number, shape in enumerate(named)}
    mask_HW = drawn(named, label_of, (HEIGHT, WIDTH), 0)
    areas = {shape.name: shape.where.area(HEIGHT, WIDTH) for shape in named}
    for row, column in np.ndindex(HEIGHT, WIDTH):
        over = [each for each in named if areas[each.name][row, column]]
        label = int(mask_HW[row, column])
        assert (label == 0) == (not over)
        if over:
            top = next(each for each in named if label_of[each.name] == label)
            assert top in over
            assert top.where.size == min(each.where.size for each in over)


@given(st.integers(-6, 14), st.integers(-6, 14))
def test_pixels_beyond_the_image_are_cut_off(row: int, column: int) -> None:
    inside = np.ones((3, 4), bool)
    area = Pixels(inside, row, column).area(HEIGHT, WIDTH)
    rows = [each for each in range(row, row + 3) if 0 <= each < HEIGHT]
    columns = [each for each in range(column, column + 4) if 0 <= each < WIDTH]
    assert area.sum() == len(rows) * len(columns)
    assert all(area[each, columns].all() for each in rows)
