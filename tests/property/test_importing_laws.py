"""Laws of drawing and of runs: any polygon, any order, any pixels."""

import tempfile
from pathlib import Path

import numpy as np
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from objectives.importing.drawing import Outlines, Pixels, Shape, drawn, filled
from objectives.importing.folder import write_export
from objectives.importing.formats import read_export
from objectives.importing.run_lengths import from_starts

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


def kaggle_runs(inside_HW: np.ndarray) -> str:
    """Starts and lengths down the columns, pixel by pixel."""
    down = [bool(inside_HW[row, column]) for column, row in np.ndindex(inside_HW.T.shape)]
    runs: list[list[int]] = []
    for number, inside in enumerate(down, 1):
        if inside and number > 1 and down[number - 2]:
            runs[-1][1] += 1
        elif inside:
            runs.append([number, 1])
    return " ".join(f"{start} {length}" for start, length in runs)


label_images = st.builds(
    lambda size, dice: np.random.default_rng(dice).integers(0, 4, size).astype(np.uint8),
    st.tuples(st.integers(1, HEIGHT), st.integers(1, WIDTH)),
    st.integers(0, 2**32),
)


@settings(deadline=None)
@given(label_images)
def test_runs_down_the_columns_come_back(labels_HW: np.ndarray) -> None:
    for label in range(4):
        text = kaggle_runs(labels_HW == label)
        np.testing.assert_array_equal(from_starts(text, *labels_HW.shape), labels_HW == label)


@settings(max_examples=20, deadline=None)
@given(st.lists(label_images, min_size=1, max_size=3), st.booleans(), st.booleans())
def test_a_table_of_runs_becomes_the_masks_that_it_was_made_of(
    masks: list[np.ndarray], joined: bool, suffixes: bool
) -> None:
    """Of labels 1, 2, 3, which no image but the first needs to hold."""
    masks[0] = np.arange(12, dtype=np.uint8).reshape(3, 4) % 4
    with tempfile.TemporaryDirectory() as made:
        lines = ["Image_Label,EncodedPixels" if joined else "ImageId,ClassId,EncodedPixels"]
        for number, labels_HW in enumerate(masks):
            Image.fromarray(labels_HW).save(Path(made) / f"{number}.png")
            name = f"{number}.png" if suffixes else str(number)
            for label in (1, 2, 3):
                runs = kaggle_runs(labels_HW == label)
                lines.append(f"{name}_{label},{runs}" if joined else f"{name},{label},{runs}")
        (Path(made) / "train.csv").write_text("\n".join(lines))
        frames = Path(made) / "frames"
        write_export(read_export(Path(made) / "train.csv", None, None), frames, "background")
        for number, labels_HW in enumerate(masks):
            with Image.open(frames / "masks" / f"{number}.png") as opened:
                np.testing.assert_array_equal(np.array(opened), labels_HW)
        classes = yaml.safe_load((frames / "classes.yaml").read_text())["classes"]
        assert [str(name) for name in classes.values()] == ["background", "1", "2", "3"]
