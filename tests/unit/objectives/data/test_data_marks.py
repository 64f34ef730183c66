"""What files say beside their pixels reaches the user where it speaks against how they are used."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from objectives.data.dataset import DataOptions, check, open_dataset, read_images, read_labelled
from objectives.data.preparing.resize import resize_image
from objectives.data.reading.folder import read_folder
from objectives.errors import ProblemsError
from tests.support.raster_bytes import BLACK_IS_ZERO, LZW, RGB, exif_bytes, tiff_bytes

FRAMES, HEIGHT, WIDTH = 12, 6, 8
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(1, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
MASKS = GENERATOR.integers(0, 3, (FRAMES, HEIGHT, WIDTH), np.uint8)
NO_DATA = 42113
OPTIONS = DataOptions()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("images", "masks"):
        (tmp_path / "frames" / part).mkdir(parents=True)
    rows = "".join(f"{name(index)},place_{index}\n" for index in range(FRAMES))
    (tmp_path / "frames/groups.csv").write_text(f"file,group\n{rows}")
    for index in range(FRAMES):
        save(tmp_path / "frames", "images", index, Image.fromarray(IMAGES[index]))
        save(tmp_path / "frames", "masks", index, Image.fromarray(MASKS[index]))
    return tmp_path / "frames"


def name(index: int) -> str:
    return f"f{index:02d}"


def save(
    folder: Path,
    part: str,
    index: int,
    image: Image.Image | bytes,
    suffix: str = "png",
    **options: Any,
) -> None:
    """Put this in place of what is there."""
    for there in (folder / part).glob(f"{name(index)}.*"):
        there.unlink()
    path = folder / part / f"{name(index)}.{suffix}"
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)


def warnings_of(folder: Path, options: DataOptions = OPTIONS) -> list[str]:
    report = check(str(folder), options)
    assert not report.problems
    of_the_split = ("cannot be measured", "is a single frame")
    return [line for line in report.warnings if not any(words in line for words in of_the_split)]


def problems_of(folder: Path, options: DataOptions = OPTIONS) -> list[str]:
    return [str(problem) for problem in check(str(folder), options).problems]


def test_plain_files_say_nothing(folder: Path) -> None:
    assert warnings_of(folder) == []


def test_images_that_are_turned_without_their_masks_are_a_warning(folder: Path) -> None:
    for index in (1, 4):
        save(
            folder,
            "images",
            index,
            Image.fromarray(IMAGES[index]),
            "jpg",
            exif=b"Exif\0\0" + exif_bytes(3),
        )
    save(folder, "masks", 7, Image.fromarray(MASKS[7]), exif=exif_bytes(3))
    for part, array in (("images", IMAGES[9]), ("masks", MASKS[9])):  # turned together
        save(folder, part, 9, Image.fromarray(array), exif=exif_bytes(2))
    images, masks = warnings_of(folder)
    assert images.startswith(
        "2 images are turned by their EXIF tag, their masks are not (images/f01.jpg, "
        "images/f04.jpg): "
    )
    assert masks.startswith(
        "the masks of 1 images are turned by an orientation tag of their own (images/f07.png): "
    )
    assert open_dataset(str(folder), OPTIONS, folder.parent / "cache").warnings[:2] == (
        images,
        masks,
    )


def test_a_quarter_turn_that_parts_the_sizes_is_named(folder: Path) -> None:
    save(folder, "images", 1, Image.fromarray(IMAGES[1]), exif=exif_bytes(6))
    (line,) = problems_of(folder)
    assert line == (
        "images/f01.png: its mask must have the image's size 8x6, got 6x8, and the image is turned "
        "by its EXIF tag "
        "(--exif keep takes pixels as they lie)"
    )
    spec = open_dataset("synthetic:24", DataOptions(size=(8, 8)), folder.parent / "cache").spec
    with pytest.raises(ProblemsError, match="and the image is turned by its EXIF tag"):
        read_labelled(folder, spec)


def test_masks_that_lost_their_labels_are_one_problem(folder: Path) -> None:
    for index in range(FRAMES):
        save(folder, "masks", index, Image.fromarray(MASKS[index]), "jpg")
    rule = "masks must be PNG or TIFF, a JPG does not keep labels"
    expected = f"masks: {rule}, got 12 (masks/f00.jpg, masks/f01.jpg, masks/f02.jpg and 9 more)"
    assert problems_of(folder) == [expected]
    with pytest.raises(ProblemsError, match="1 problem"):
        open_dataset(str(folder), OPTIONS, folder.parent / "cache")


def test_palettes_that_differ_are_a_warning(folder: Path) -> None:
    for index in range(FRAMES):
        painted = Image.fromarray(MASKS[index] % 2)
        painted.putpalette([0, 0, 0, 200, 30, 30] if index < 5 else [0, 0, 0, 30, 200, 30])
        save(folder, "masks", index, painted)
    (line,) = warnings_of(folder)
    assert line == (
        "label 1 is drawn in (30, 200, 30) in 7 masks and in (200, 30, 30) in 5 masks: "
        "palette indices are the labels, not colours"
    )


def test_colours_of_labels_that_a_mask_does_not_hold_do_not_count(folder: Path) -> None:
    for index in range(FRAMES):
        painted = Image.fromarray(MASKS[index] % 2)
        painted.putpalette([0, 0, 0, 200, 30, 30, index, index, index])
        save(folder, "masks", index, painted)
    assert warnings_of(folder) == []


def test_transparency_is_a_warning_where_it_hides_something(folder: Path) -> None:
    for index, alpha in ((0, 255), (1, 254), (2, 0)):
        opacity = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
        opacity[0, 0] = alpha
        save(
            folder,
            "images",
            index,
            Image.fromarray(np.concatenate([IMAGES[index], opacity], axis=2)),
        )
    (line,) = warnings_of(folder)
    assert line.startswith("2 images have transparent pixels (images/f01.png, images/f02.png): ")


def tiffs(folder: Path, part: str, value: str) -> None:
    """All images or masks as TIFF with this no-data value."""
    tags = ((NO_DATA, 2, [*value.encode(), 0]),)
    for index in range(FRAMES):
        array, photometric = (
            (IMAGES[index], RGB) if part == "images" else (MASKS[index][..., None], BLACK_IS_ZERO)
        )
        save(folder, part, index, tiff_bytes(array, photometric, compression=LZW, tags=tags), "tif")


def test_no_data_pixels_of_images_are_a_warning_until_the_masks_ignore_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = IMAGES.copy(), MASKS.copy()
    images[:6, 0], masks[:6, 0] = 0, 255
    images[8, 3, 3, 0] = 0  # one channel alone is a dark pixel
    monkeypatch.setitem(globals(), "IMAGES", images)
    tiffs(folder, "images", "0")
    (line,) = warnings_of(folder)
    assert line == (
        "6 images hold no-data pixels (0 by TIFF tag 42113; images/f00.tif, images/f01.tif, "
        "images/f02.tif and 3 more), "
        "8.3% of all, under labels that count: they are trained and scored as such; give them the "
        "ignored label in the masks"
    )
    monkeypatch.setitem(globals(), "MASKS", masks)
    for index in range(FRAMES):
        save(folder, "masks", index, Image.fromarray(MASKS[index]))
    assert not [
        line for line in warnings_of(folder, replace(OPTIONS, ignore="255")) if "no-data" in line
    ]


def test_a_no_data_value_of_masks_must_be_ignored_or_the_user_decides(folder: Path) -> None:
    tiffs(folder, "masks", "0")
    (line,) = problems_of(folder)
    assert line == (
        "masks of images/f00.png, images/f01.png, images/f02.png and 9 more: the no-data value of "
        "a mask (TIFF tag 42113) "
        "must be the ignored label; name it with --ignore, or say --ignore none, got 0"
    )
    for ignore in ("0", "none"):
        assert problems_of(folder, replace(OPTIONS, ignore=ignore)) == []
    (folder / "classes.yaml").write_text("ignore: 0\nclasses: {0: void, 1: soil, 2: rock}\n")
    assert problems_of(folder) == []


def test_a_no_data_value_that_no_mask_holds_is_no_problem(folder: Path) -> None:
    tiffs(folder, "masks", "255")
    assert problems_of(folder) == []


def test_every_usual_kind_of_image_is_read_and_keeps_its_group(folder: Path) -> None:
    (folder / "groups.csv").write_text(
        (folder / "groups.csv").read_text().replace(",place", ".png,place")
    )
    for index, (suffix, options) in enumerate(
        [
            ("webp", {"lossless": True}),
            ("bmp", {}),
            ("tiff", {"compression": "tiff_lzw"}),
            ("PNG", {}),
        ]
    ):
        save(folder, "images", index, Image.fromarray(IMAGES[index]), suffix, **options)
    source = read_folder(folder)
    assert (len(source.names), source.problems) == (FRAMES, ())
    assert source.groups[0] == "place_0"
    for index in range(FRAMES):
        assert np.array_equal(source.image(index), IMAGES[index])


def test_a_kind_that_is_not_read_is_named_and_not_missed(folder: Path) -> None:
    (folder / "images/f00.png").rename(folder / "images/f00.heic")
    (folder / "masks/f01.png").rename(folder / "masks/f01.npy")
    (folder / "images/f02.png").rename(folder / "images/f02")
    for companion in ("f03.txt", "f03.tif.aux.xml", "f03.tfw", "README", "Thumbs.db"):
        (folder / "images" / companion).write_text("no image")
    (folder / "groups.csv").unlink()
    rule = "must be a PNG, JPG, TIFF, BMP, GIF or WebP file (or lie elsewhere)"
    assert [str(problem) for problem in read_folder(folder).problems] == [
        f"images/f00.heic: {rule}, got a .heic file",
        f"images/f02: {rule}, got a nameless file",
        f"masks/f01.npy: {rule}, got a .npy file",
    ]


def test_prediction_leaves_no_image_out_without_a_word(folder: Path) -> None:
    save(folder, "images", 3, Image.fromarray(IMAGES[3]), "webp", lossless=True)
    found = dict(read_images(folder))
    assert len(found) == FRAMES
    assert np.array_equal(found["f03"], IMAGES[3])
    (folder / "images/f04.png").rename(folder / "images/f04.heic")
    with pytest.raises(
        ProblemsError, match=r"images/f04\.heic: must be a PNG, JPG, TIFF, BMP, GIF or WebP file"
    ):
        list(read_images(folder))


def test_prepared_frames_are_what_the_files_hold(folder: Path) -> None:
    """Sixteen bits and five bands in, the same out, through survey, cache and memory map."""
    deep = GENERATOR.integers(0, 65536, (FRAMES, HEIGHT, WIDTH, 5)).astype(np.uint16)
    for index in range(FRAMES):
        save(
            folder,
            "images",
            index,
            tiff_bytes(deep[index], RGB, bits=16, compression=LZW, predictor=2, extra=(0, 0)),
            "tif",
        )
    data = open_dataset(str(folder), OPTIONS, folder.parent / "cache")
    assert (data.spec.channels, data.spec.max_value) == (5, 65535)
    assert np.array_equal(data.images, deep)
    assert np.array_equal(resize_image(data.images[0], HEIGHT, WIDTH), deep[0])
