from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from objectives.data.reading.decode import decode_image, decode_mask
from objectives.errors import ProblemsError

GENERATOR = np.random.default_rng(0)
GREY = GENERATOR.integers(0, 256, (6, 9), np.uint8)
RGB = GENERATOR.integers(0, 256, (6, 9, 3), np.uint8)
RGB16 = GENERATOR.integers(0, 65536, (6, 9, 3), np.uint16)
FIVE16 = GENERATOR.integers(0, 65536, (6, 9, 5), np.uint16)


def test_png_grey_rgb_and_16_bit(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    cv2.imwrite(str(tmp_path / "rgb16.png"), RGB16[:, :, ::-1])
    cv2.imwrite(str(tmp_path / "grey16.png"), RGB16[:, :, 0])
    assert np.array_equal(decode_image(tmp_path / "grey.png", "x"), GREY[:, :, None])
    assert np.array_equal(decode_image(tmp_path / "rgb.png", "x"), RGB)
    assert np.array_equal(decode_image(tmp_path / "rgb16.png", "x"), RGB16)
    grey16 = decode_image(tmp_path / "grey16.png", "x")
    assert grey16.dtype == np.uint16
    assert np.array_equal(grey16[:, :, 0], RGB16[:, :, 0])


def test_alpha_of_a_png_is_left_out(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RGB, GREY])).save(tmp_path / "rgba.png")
    cv2.imwrite(str(tmp_path / "rgba16.png"), np.dstack([RGB16[:, :, ::-1], RGB16[:, :, 0]]))
    assert np.array_equal(decode_image(tmp_path / "rgba.png", "x"), RGB)
    assert np.array_equal(decode_image(tmp_path / "rgba16.png", "x"), RGB16)


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (GREY, {}),
        (RGB16, {"photometric": "rgb"}),
        (FIVE16, {"photometric": "minisblack"}),
        (FIVE16, {"photometric": "minisblack", "planarconfig": "contig"}),
        (RGB16, {"photometric": "rgb", "byteorder": ">"}),
    ],
)
def test_tiff_keeps_channels_and_depth(
    tmp_path: Path, array: np.ndarray, options: dict[str, str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    image = decode_image(tmp_path / "a.tif", "x")
    assert image.dtype == array.dtype
    assert np.array_equal(image, array.reshape(6, 9, -1))


def test_tiff_with_channels_first(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(FIVE16, 2, 0),
        photometric="minisblack",
        planarconfig="separate",
    )
    assert np.array_equal(decode_image(tmp_path / "a.tif", "x"), FIVE16)


def test_compressed_tiff(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tiff", compression="tiff_lzw")
    assert np.array_equal(decode_image(tmp_path / "a.tiff", "x"), RGB)


def test_jpg_is_close(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1))
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    image = decode_image(tmp_path / "a.jpg", "x")
    assert image.shape == (64, 64, 1)
    assert np.abs(image[:, :, 0].astype(int) - smooth).max() < 6


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_camera_that_was_turned_is_believed(tmp_path: Path, suffix: str) -> None:
    """As every viewer does, and the tool that drew the mask."""
    image = np.zeros((16, 32, 3), np.uint8)
    image[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned right by 90 degrees
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", exif=exif)
    assert (
        np.abs(decode_image(tmp_path / f"a.{suffix}", "x").astype(int) - np.rot90(image, -1)).max()
        < 6
    )


def test_masks_keep_their_labels(tmp_path: Path) -> None:
    labels = GREY % 4
    paletted = Image.fromarray(labels)
    paletted.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    paletted.save(tmp_path / "palette.png")
    paletted.save(tmp_path / "two_bits.png", bits=2)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([labels] * 3)).save(tmp_path / "rgb.png")
    cv2.imwrite(str(tmp_path / "deep.png"), labels.astype(np.uint16) + 300)
    tifffile.imwrite(tmp_path / "a.tif", labels.astype(np.int32))
    for name in ("palette.png", "two_bits.png", "grey.png", "rgb.png", "a.tif"):
        assert np.array_equal(decode_mask(tmp_path / name, "x"), labels), name
    assert np.array_equal(decode_mask(tmp_path / "deep.png", "x"), labels.astype(np.uint16) + 300)


def test_one_bit_masks_are_0_and_1(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "a.png")
    assert np.array_equal(decode_mask(tmp_path / "a.png", "x"), GREY > 127)


def test_greys_of_four_bits_are_not_stretched(tmp_path: Path) -> None:
    labels = (GREY % 16).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), labels)
    optimised = _png_of_four_bits(labels)
    (tmp_path / "b.png").write_bytes(optimised)
    assert np.array_equal(decode_mask(tmp_path / "b.png", "x"), labels)


def _png_of_four_bits(labels: np.ndarray) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    padded = np.pad(labels, ((0, 0), (0, labels.shape[1] % 2)))
    rows = b"".join(
        b"\0" + ((row[::2] << 4) | row[1::2]).astype(np.uint8).tobytes() for row in padded
    )
    header = struct.pack(">IIBBBBB", labels.shape[1], labels.shape[0], 4, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_damaged_files_are_problems(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "whole.png"), GENERATOR.integers(0, 256, (64, 64), np.uint8))
    cv2.imwrite(str(tmp_path / "whole16.png"), GENERATOR.integers(0, 65536, (64, 64, 3), np.uint16))
    Image.fromarray(GENERATOR.integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "whole.jpg")
    tifffile.imwrite(tmp_path / "whole.tif", GENERATOR.integers(0, 256, (64, 64), np.uint8))
    for whole in sorted(tmp_path.iterdir()):
        data = whole.read_bytes()
        for keep in (0, 5, 20, 40, len(data) // 2):
            cut = whole.with_name(f"cut{whole.suffix}")
            cut.write_bytes(data[:keep])
            with pytest.raises(ProblemsError, match="images/a"):
                decode_image(cut, "images/a")
            with pytest.raises(ProblemsError, match="masks/a"):
                decode_mask(cut, "masks/a")


def test_wrong_kinds_of_pixels_are_problems(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "float.tif", GREY.astype(np.float32))
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    with pytest.raises(
        ProblemsError,
        match=r"or `range:` of data.yaml must state theirs, got float32",
    ):
        decode_image(tmp_path / "float.tif", "a")
    np.testing.assert_array_equal(decode_mask(tmp_path / "float.tif", "a"), GREY)
    for odd, shown in ((0.5, r"float32 0\.5\.\."), (-1, r"float32 -1\.0"), (np.nan, "float32 nan")):
        floats = GREY.astype(np.float32) + 1
        floats[0, 0] = odd
        tifffile.imwrite(tmp_path / "odd.tif", floats)
        with pytest.raises(ProblemsError, match=rf"whole numbers in 0\.\.65535.*, got {shown}"):
            decode_mask(tmp_path / "odd.tif", "a")
    with pytest.raises(ProblemsError, match="one channel of labels, not colours"):
        decode_mask(tmp_path / "rgb.png", "a")
    tifffile.imwrite(tmp_path / "one_hot.tif", FIVE16, photometric="minisblack")
    with pytest.raises(ProblemsError, match=r"a pixel has one label.* argmax .*\(6, 9, 5\)"):
        decode_mask(tmp_path / "one_hot.tif", "a")
