"""An npz with images and masks in arrays of their own, in colour, in parts, with a data.yaml."""

from pathlib import Path

import numpy as np
import pytest

from objectives.data.dataset import DataOptions, open_dataset
from objectives.data.options import PixelReading
from objectives.data.predicting import read_images
from objectives.data.preparing.check import check
from objectives.data.reading.source import open_source, source_stamp
from objectives.errors import ProblemsError

N, H, W = 12, 8, 12
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (N, H, W, 3)).astype(np.uint8)
MASKS = RNG.integers(0, 3, (N, H, W)).astype(np.uint8)
FIRST = np.ascontiguousarray(np.moveaxis(IMAGES, 3, 1))


def save(folder: Path, layout: str = "", **arrays: np.ndarray) -> str:
    """Write the arrays, and a data.yaml that names them where there is one; returns the source."""
    np.savez(folder / "frames.npz", allow_pickle=False, **arrays)
    if not layout:
        return str(folder / "frames.npz")
    (folder / "colour.yaml").write_text(f"npz: frames.npz\n{layout}")
    return str(folder / "colour.yaml")


@pytest.mark.parametrize("images", [IMAGES, FIRST])
@pytest.mark.parametrize("masks", [MASKS, MASKS[:, None], MASKS[..., None], MASKS.astype(np.int64)])
def test_channels_may_stand_first_or_last(
    tmp_path: Path, images: np.ndarray, masks: np.ndarray
) -> None:
    source = open_source(save(tmp_path, images=images, masks=masks, groups=np.arange(N) // 2))
    assert not source.problems
    assert source.groups == tuple(str(number // 2) for number in range(N))
    for index in range(N):
        assert np.array_equal(source.image(index), IMAGES[index])
        assert np.array_equal(source.mask(index), MASKS[index])
        assert source.mask(index).dtype == np.uint8
    assert source.place(3) == "images[3]"


def test_both_ways_are_one_data_set_and_the_course_s_grey_one_too(tmp_path: Path) -> None:
    prints = []
    for number, images in enumerate((IMAGES, FIRST)):
        folder = tmp_path / str(number)
        folder.mkdir()
        data = open_dataset(
            save(folder, images=images, masks=MASKS), DataOptions(), folder / "cache"
        )
        assert data.spec.channels == 3
        assert data.spec.ignore_label == 0
        prints.append(data.fingerprint)
    grey = IMAGES[..., 0]
    (tmp_path / "grey").mkdir()
    (tmp_path / "course").mkdir()
    for source in (
        save(tmp_path / "grey", images=grey, masks=MASKS),
        save(tmp_path / "course", training_set=np.stack([grey, MASKS], axis=1)),
    ):
        prints.append(open_dataset(source, DataOptions(), tmp_path / "cache").fingerprint)
    assert prints[0] == prints[1] != prints[2] == prints[3]


@pytest.mark.parametrize(
    ("images", "masks"), [("x_{part}", "y_{part}"), ("{part}_images", "{part}_masks")]
)
def test_arrays_of_parts_are_known(tmp_path: Path, images: str, masks: str) -> None:
    arrays = {}
    for word, rows in (("train", slice(6)), ("val", slice(6, 9)), ("test", slice(9, 12))):
        arrays[images.format(part=word)] = IMAGES[rows]
        arrays[masks.format(part=word)] = MASKS[rows]
    source = open_source(save(tmp_path, **arrays))
    assert source.parts == ("train",) * 6 + ("validation",) * 3 + ("test",) * 3
    assert np.array_equal(source.image(7), IMAGES[7])
    assert source.place(7) == f"{images.format(part='val')}[1]"


def test_what_was_assumed_is_printed_and_read(tmp_path: Path) -> None:
    report = check(save(tmp_path, images=FIRST, masks=MASKS), DataOptions(min_identical=99))
    assert report.assumed == {"data.yaml": "npz: frames.npz\nimages: images\nmasks: masks\n"}
    for name, text in report.assumed.items():
        (tmp_path / name).write_text(text)
    again = check(str(tmp_path), DataOptions(min_identical=99))
    assert set(again.assumed) == {"classes.yaml"}
    assert again.kept == report.kept == N


def test_arrays_are_named_in_a_data_yaml(tmp_path: Path) -> None:
    source = save(
        tmp_path,
        "images: [a, b]\nmasks: [am, bm]\ngroups: [ag, bg]\naxes: NCHW\n",
        a=FIRST[:5],
        b=FIRST[5:],
        am=MASKS[:5],
        bm=MASKS[5:],
        ag=np.array(list("abcde")),
        bg=np.arange(7),
        other=np.zeros(3),
    )
    stamp = source_stamp(source)
    opened = open_source(source)
    assert opened.groups == tuple("abcde0123456")
    assert np.array_equal(opened.image(6), IMAGES[6])
    assert [np.array_equal(image, IMAGES[int(name)]) for name, image in read_images(source)] == [
        True
    ] * N
    (tmp_path / "classes.yaml").write_text("classes: {0: a, 1: b}\nvalues: {2: 1}")
    assert source_stamp(source) != stamp
    assert np.array_equal(
        open_source(source).read_as(opened.guess(3)).mask(0), MASKS[0]
    )  # as stored
    assert open_source(source).classes is not None


def test_values_of_classes_yaml_hold_for_arrays(tmp_path: Path) -> None:
    source = save(tmp_path, "images: images\nmasks: masks\n", images=IMAGES, masks=MASKS // 2 * 255)
    (tmp_path / "classes.yaml").write_text("classes: {0: ground, 1: cell}\nvalues: {255: 1}")
    data = open_dataset(source, DataOptions(min_identical=99), tmp_path / "cache")
    assert data.spec.class_names == ("ground", "cell")
    assert data.spec.ignore_label is None
    assert np.array_equal(data.masks[2], MASKS[2] // 2)


def test_floats_are_read_in_a_stated_range(tmp_path: Path) -> None:
    arrays = {"images": (IMAGES / 255).astype(np.float32), "masks": MASKS > 1}
    with pytest.raises(ProblemsError, match=r"images: must be uint8 or uint16, or `range:`"):
        open_source(save(tmp_path, **arrays))
    source = open_source(save(tmp_path, "images: images\nmasks: masks\nrange: [0, 1]\n", **arrays))
    assert np.array_equal(source.image(4), IMAGES[4].astype(np.uint16) * 257)
    assert np.array_equal(source.mask(4), MASKS[4] > 1)
    # and in the range of a bundle, which no file states anew
    reading = PixelReading(range=(0, 1))
    bare = open_source(save(tmp_path, **arrays, test_set=arrays["images"]), reading)
    assert np.array_equal(bare.image(4), source.image(4))
    to_predict = read_images(tmp_path / "frames.npz", reading)
    assert np.array_equal(to_predict[4][1], source.image(4))


def test_where_the_shape_does_not_tell_the_axes_are_asked_for(tmp_path: Path) -> None:
    cube = RNG.integers(0, 256, (9, 3, 3, 3)).astype(np.uint8)
    masks = RNG.integers(0, 2, (9, 3, 3)).astype(np.uint8)
    with pytest.raises(ProblemsError, match=r"images: the shape does not tell .* `axes: NHWC`"):
        open_source(save(tmp_path, images=cube, masks=masks))
    for axes, expected in (("NHWC", cube[2]), ("NCHW", np.moveaxis(cube[2], 0, 2))):
        source = save(
            tmp_path, f"images: images\nmasks: masks\naxes: {axes}\n", images=cube, masks=masks
        )
        assert np.array_equal(open_source(source).image(2), expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": IMAGES}, r"must hold training_set, or images and masks.*got pictures"),
        ({"images": IMAGES, "masks": MASKS[:9]}, r"images: must be as many .* \(9, 8, 12\)"),
        ({"images": IMAGES, "masks": MASKS[:, 1:]}, r"as large as their masks \(12, 7, 12\)"),
        (
            {"images": IMAGES, "masks": IMAGES},
            r"masks: must be labels \(N, H, W\); a pixel has one label.*argmax",
        ),
        ({"images": IMAGES[None], "masks": MASKS}, r"images: must be images .*volumes \(3D\)"),
        (
            {"images": IMAGES, "masks": MASKS[None, :, None]},
            r"masks: must be labels .*volumes \(3D\) are not read",
        ),
        ({"images": IMAGES, "masks": MASKS / 2}, r"masks: must be whole numbers, got float64"),
        ({"images": IMAGES, "masks": MASKS.astype(np.int8) - 1}, r"labels 0\.\.65535.* -1\.\.1"),
        ({"images": IMAGES, "masks": MASKS, "groups": np.zeros(3)}, "groups: must hold one whole"),
        ({"x_train": IMAGES, "y_train": MASKS, "x_dev": IMAGES}, r"x_dev: \{part\} must be one of"),
        ({"x_train": IMAGES, "y_train": MASKS, "x_val": IMAGES}, "x_val: must have y_val beside"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ProblemsError, match=message) as raised:
        open_source(save(tmp_path, **arrays))
    assert all(str(problem).count("\n") == 0 for problem in raised.value.problems)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("images: none\nmasks: masks\n", r"must hold the arrays that images: names \(none\)"),
        ("images: images\n", "must have masks: in data.yaml beside it"),
        ("images: images\nmasks: masks\naxes: NHC\n", r"axes: must be NHW or NHWC or NCHW"),
        ("images: images\nmasks: masks\naxes: NCHW\n", r"axes NHWC, but data.yaml says NCHW"),
        ("images: [images, images]\nmasks: [masks, a]\n", "must name each array once"),
        ("images: images\nmasks: [masks, a]\n", "masks: must be as many as images:, got 2"),
        ("images: images\nmasks: 'y_{part}'\n", r"may have \{part\} where images: has it"),
        ("images: 'x_{stem}'\nmasks: 'y_{stem}'\n", r"may have \{part\} only"),
        ("images: images\nmasks: masks\nno_data: ignored\n", "may hold npz, images, masks"),
        ("masks: masks\n", "images: must be the name of an array, like x_{part}, or a list"),
    ],
)
def test_a_wrong_data_yaml_of_an_npz(tmp_path: Path, layout: str, message: str) -> None:
    with pytest.raises(ProblemsError, match=message):
        open_source(save(tmp_path, layout, images=IMAGES, masks=MASKS))


@pytest.mark.parametrize("name", ["gone.npz", "~nobody-at-all/a.npz", "n" * 300])
def test_an_npz_that_is_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "data.yaml").write_text(f"npz: {name}\nimages: a\nmasks: b\n")
    with pytest.raises(ProblemsError, match=rf"data.yaml: npz: must be an npz file.*got {name}"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("name", ["test_set", "images"])
def test_frames_to_predict_in_colour(tmp_path: Path, name: str) -> None:
    for images in (IMAGES, FIRST):
        found = read_images(save(tmp_path, **{name: images}))
        assert [np.array_equal(image, IMAGES[int(name)]) for name, image in found] == [True] * N
    odd = RNG.integers(0, 256, (2, 5, 7, 9)).astype(np.uint8)
    with pytest.raises(ProblemsError, match="the shape does not tell"):
        read_images(save(tmp_path, **{name: odd}))
    found = read_images(save(tmp_path, f"images: {name}\naxes: NCHW\n", **{name: odd}))
    assert found[1][1].shape == (7, 9, 5)


def test_arrays_may_have_the_other_order_of_bytes(tmp_path: Path) -> None:
    images, masks = IMAGES.astype(">u2") * 200, MASKS.astype(">i4")
    source = open_source(save(tmp_path, images=images, masks=masks))
    assert source.image(0).dtype == np.uint16
    assert source.image(0).dtype.isnative
    np.testing.assert_array_equal(source.image(0).squeeze(), images[0].squeeze())
    np.testing.assert_array_equal(source.mask(0), MASKS[0])
