"""Every listed PNG, JPG, WebP, BMP and GIF is what was written, or refused in one line: there is no
third outcome.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from objectives.data.reading.decode import decode_image, decode_mask, read_picture
from tests.support.raster_bytes import as_shown, exif_bytes, png_bytes, png_chunk
from tests.support.raster_cells import (
    COLOUR,
    GREY,
    HEIGHT,
    ORIENTATIONS,
    SMOOTH,
    WIDTH,
    as_image,
    assert_equal,
    assert_refused,
    numbers,
    read,
    saved,
    written,
)

# by colour type
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PNG_KINDS = [(colour_type, bits) for colour_type, depths in PNG_DEPTHS.items() for bits in depths]
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
COLOURS = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
# says how to show the numbers, which stay
BRIGHTER = png_chunk(b"gAMA", (100_000).to_bytes(4, "big"))


def png_of(colour_type: int, bits: int, **options: Any) -> tuple[np.ndarray, bytes]:
    stored = numbers(PNG_CHANNELS[colour_type], bits)
    chunks = options.pop("chunks", b"")
    if colour_type == 3:
        chunks += png_chunk(b"PLTE", COLOURS[: 2**bits].tobytes())
    return stored, png_bytes(stored, colour_type, bits, chunks=chunks, **options)


def png_seen(stored: np.ndarray, colour_type: int, bits: int) -> np.ndarray:
    if colour_type == 3:
        return COLOURS[stored[..., 0]]
    return as_image(stored[..., : {4: 1, 6: 3}.get(colour_type, 4)], bits)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour_type", "bits"), PNG_KINDS)
def test_png(place: Path, colour_type: int, bits: int, interlaced: bool, orientation: int) -> None:
    chunks = BRIGHTER + png_chunk(b"eXIf", exif_bytes(orientation))
    stored, content = png_of(colour_type, bits, interlaced=interlaced, chunks=chunks)
    assert_equal(read(place, content), as_shown(png_seen(stored, colour_type, bits), orientation))
    assert read_picture(place / "a", "a").tags.transparent == (colour_type in (4, 6))
    if PNG_CHANNELS[colour_type] <= 2:
        assert_equal(read(place, content, decode_mask), as_shown(stored[..., 0], orientation))
    else:
        assert_refused(place, content, "one channel of labels, not colours", decode_mask)


@pytest.mark.parametrize(("colour_type", "bits"), [kind for kind in PNG_KINDS if kind[0] in (0, 2)])
def test_png_with_one_colour_as_transparent(place: Path, colour_type: int, bits: int) -> None:
    transparent = png_chunk(
        b"tRNS",
        b"".join(
            int(value).to_bytes(2, "big") for value in [2**bits - 1] * PNG_CHANNELS[colour_type]
        ),
    )
    stored, content = png_of(colour_type, bits, chunks=transparent)
    assert_equal(read(place, content), png_seen(stored, colour_type, bits))
    assert read_picture(place / "a", "a").tags.transparent


@pytest.mark.parametrize(("colour_type", "bits"), [(4, 8), (4, 16), (6, 8), (6, 16)])
def test_an_opaque_alpha_hides_nothing(place: Path, colour_type: int, bits: int) -> None:
    stored = numbers(PNG_CHANNELS[colour_type], bits)
    stored[..., -1] = 2**bits - 1
    assert_equal(read(place, png_bytes(stored, colour_type, bits)), stored[..., :-1])
    assert not read_picture(place / "a", "a").tags.transparent


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpg(place: Path, mode: str, progressive: bool, orientation: int) -> None:
    """Nearly: JPG changes values."""
    image = Image.fromarray(SMOOTH).convert(mode)
    content = saved(
        image,
        "JPEG",
        quality=100,
        subsampling=0,
        progressive=progressive,
        exif=b"Exif\0\0" + exif_bytes(orientation),
    )
    expected = np.array(image.convert("RGB" if mode == "CMYK" else mode)).reshape(40, 56, -1)
    found = read(place, content)
    assert found.shape == as_shown(expected, orientation).shape
    assert np.abs(found.astype(int) - as_shown(expected, orientation)).max() <= 3
    assert_refused(place, content, "a JPG does not keep labels", decode_mask)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_webp(place: Path, mode: str, orientation: int) -> None:
    stored = numbers(len(mode), 8)
    content = saved(
        Image.fromarray(stored), "WEBP", lossless=True, exact=True, exif=exif_bytes(orientation)
    )
    assert_equal(read(place, content), as_shown(stored[..., :3], orientation))
    labels = np.repeat(numbers(1, 8), 3, axis=2)
    content = saved(Image.fromarray(labels), "WEBP", lossless=True, exif=exif_bytes(orientation))
    assert_equal(read(place, content, decode_mask), as_shown(labels[..., 0], orientation))


@pytest.mark.parametrize(
    ("form", "mode"),
    [*product(["BMP"], ["1", "L", "P", "RGB"]), *product(["GIF"], ["1", "L", "P"])],
)
def test_bmp_and_gif(place: Path, form: str, mode: str) -> None:
    image = Image.fromarray(numbers(3, 8)).convert(mode)
    seen = np.array(image.convert("RGB" if mode in ("P", "RGB") else "L")).reshape(
        HEIGHT, WIDTH, -1
    )
    found = read(place, saved(image, form))
    assert np.array_equal(found, np.broadcast_to(seen, found.shape))
    if form == "BMP" and mode != "RGB":
        assert_equal(read(place, saved(image, form), decode_mask), np.array(image).astype(np.uint8))


def animated(form: str) -> bytes:
    frames = [Image.fromarray(numbers(3, 8, seed)) for seed in range(3)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:])


ANIMATED = "must hold one image, got an animated"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "an animated PNG": (lambda: animated("PNG"), ANIMATED),
    "an animated GIF": (lambda: animated("GIF"), ANIMATED),
    "an animated WebP": (lambda: animated("WEBP"), ANIMATED),
    "a JPG of 12 bits": (
        lambda: imagecodecs.jpeg_encode(numbers(1, 12)[..., 0], bitspersample=12),
        "must have 8 bits a sample, got 12",
    ),
    "JPEG 2000": (
        lambda: imagecodecs.jpeg2k_encode(GREY),
        "neither PNG, JPG, TIFF, BMP, GIF nor WebP",
    ),
    "AVIF": (lambda: imagecodecs.avif_encode(COLOUR), "neither PNG"),
    "a portable greymap": (lambda: saved(Image.fromarray(GREY[..., 0]), "PPM"), "neither PNG"),
    "nothing": (lambda: b"", "neither PNG"),
    "a text": (lambda: b"not an image", "neither PNG"),
}


@pytest.mark.parametrize("reader", [decode_image, decode_mask])
@pytest.mark.parametrize("name", REFUSED)
def test_files_that_are_refused(place: Path, name: str, reader: Any) -> None:
    make, reason = REFUSED[name]
    assert_refused(place, make(), reason, reader)


LOSSY_MASKS: dict[str, Callable[[], bytes]] = {
    "JPG": lambda: saved(Image.fromarray(GREY[..., 0]), "JPEG"),
    "WebP": lambda: saved(Image.fromarray(np.repeat(GREY, 3, axis=2)), "WEBP"),
    "GIF": lambda: saved(Image.fromarray(GREY[..., 0]), "GIF"),
    "TIFF with JPEG compression": lambda: written(GREY[..., 0], compression="jpeg"),
    "TIFF with WEBP compression": lambda: written(COLOUR, compression="webp"),
    "TIFF with JPEG2000 compression": lambda: written(GREY[..., 0], compression="jpeg2000"),
}


@pytest.mark.parametrize("name", LOSSY_MASKS)
def test_masks_that_lost_their_labels(place: Path, name: str) -> None:
    assert_refused(
        place,
        LOSSY_MASKS[name](),
        f"masks must be PNG or TIFF, a {name} does not keep labels",
        decode_mask,
    )
    assert read(place, LOSSY_MASKS[name]()).shape[:2] == (HEIGHT, WIDTH)  # as images they are fine
