"""Decoding of image and mask files into arrays: exactly what the file holds, or a problem in one
line, never a third.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from objectives.data.options import AS_FILES_SAY, Exif, PixelReading
from objectives.data.reading.conversion import converted
from objectives.data.reading.image_forms import FORMS
from objectives.data.reading.label_numbers import (
    COLOURED_MASK,
    refuse_no_labels,
    stored_numbers,
)
from objectives.data.reading.pillow_file import read_with_pillow
from objectives.data.reading.png_file import read_plain_png
from objectives.data.reading.raster import (
    Raster,
    RefusalError,
    Tags,
    form_of,
    turned,
)
from objectives.data.reading.tiff_file import read_tiff
from objectives.data.spec import Colour
from objectives.data.values import AS_STORED, LabelsRead, Values
from objectives.errors import Problem, ProblemsError, listed

__all__ = [
    "LOSSY_MASK",
    "LabelImage",
    "Picture",
    "decode_image",
    "decode_mask",
    "read_label_image",
    "read_picture",
]

LOSSY_MASK = "masks must be PNG or TIFF, {form} does not keep labels"
RENUMBERED_MASK = f"{LOSSY_MASK}, only colours that `values:` of classes.yaml declares"


class Picture(NamedTuple):
    """An image, and what its file says of it."""

    pixels_HWC: np.ndarray  # uint8 or uint16
    tags: Tags
    unmeasured_HW: np.ndarray | None  # pixels without data, where the file has such a value


class LabelImage(NamedTuple):
    """A mask, and what its file says of it."""

    labels_HW: np.ndarray  # uint8 or uint16; 0 where a value is not declared
    tags: Tags
    # of the values that it holds, where the file gives them any and they are not what is read
    colours: dict[int, Colour]
    undeclared: dict[str, int]  # stored values without a label, and their pixels
    unmeasured_HW: np.ndarray | None = None  # pixels that hold the file's no-data value


def decode_image(path: Path, where: str, reading: PixelReading = AS_FILES_SAY) -> np.ndarray:
    """Return the pixels of `read_picture`, which raises the same."""
    return read_picture(path, where, reading).pixels_HWC


def decode_mask(
    path: Path, where: str, exif: Exif = "turn", values: Values = AS_STORED
) -> np.ndarray:
    """Return the labels of `read_label_image`, which raises the same.

    Raises:
        ProblemsError: It holds a value without a label, too.
    """
    mask = read_label_image(path, where, exif, values)
    refuse_undeclared(mask.undeclared, where, values)
    return mask.labels_HW


def refuse_undeclared(undeclared: Mapping[str, int], where: str, values: Values) -> None:
    """Refuse a mask that holds such values.

    Raises:
        ProblemsError: It does.
    """
    if undeclared:
        coloured = "," in next(iter(undeclared)) and not values.by_colour
        rule = COLOURED_MASK if coloured else "every value must have a label"
        raise refused(where, rule, listed(undeclared))


def read_picture(path: Path, where: str, reading: PixelReading = AS_FILES_SAY) -> Picture:
    """Return the image as (H, W, C), uint8 or uint16, turned as its file says or kept as its pixels
    lie.

    Grey and RGB stay what they are, a palette becomes RGB, greys below 8 bit fill 0..255, and a
    TIFF keeps all channels. The alpha channel of other files is left out. Then range and channels
    are those of ``reading``.

    Raises:
        ProblemsError: With ``where`` as the place, when the file cannot be decoded or its pixels
            are of another type.
    """
    raster = _read(path, where, reading.exif)
    try:
        stored = turned(_meant(raster), raster.tags.orientation)
        if stored.ndim == 2:
            stored = stored[:, :, None]
        tags, unmeasured_HW = _unmeasured(raster)
        image = converted(stored, reading)
    except RefusalError as refusal:
        raise refused(where, refusal.rule, refusal.value) from refusal
    image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    return Picture(image, tags, unmeasured_HW)


def _unmeasured(raster: Raster) -> tuple[Tags, np.ndarray | None]:
    """Return which pixels hold the file's no-data value in every channel, or what is no number in
    any, and the tags with that value.

    The value is of numbers as they are stored, before any of them means a colour or a label.
    """
    tags = raster.tags
    stored = turned(raster.pixels, tags.orientation)
    stored_HWC = stored[:, :, None] if stored.ndim == 2 else stored
    unmeasured_HW = None
    if stored_HWC.dtype.kind == "f" and (odd_HW := np.isnan(stored_HWC).any(axis=2)).any():
        unmeasured_HW = odd_HW
    if tags.no_data is None:
        return replace(tags, no_data=None if unmeasured_HW is None else np.nan), unmeasured_HW
    with np.errstate(over="ignore"):  # a value beyond those of single precision
        alike_HW = (stored_HWC == tags.no_data).all(axis=2)
    return tags, alike_HW if unmeasured_HW is None else alike_HW | unmeasured_HW


def read_label_image(
    path: Path,
    where: str,
    exif: Exif = "turn",
    values: Values = AS_STORED,
    *,
    skips_no_data: bool = False,
) -> LabelImage:
    """Return the label image as (H, W), uint8 or uint16: what ``values`` makes of palette indices
    of a paletted file, else of grey values as stored; or of colours, where it has these.

    It is turned or kept like an image. With ``skips_no_data`` pixels without data may hold what is
    no label, like -9999: they are not looked up, and have label 0.

    Raises:
        ProblemsError: With ``where`` as the place, when the file cannot be decoded or is no label
            image.
    """
    raster = _read(path, where, exif)
    try:
        _refuse_changed(raster, values)
        tags, unmeasured_HW = _unmeasured(raster)
        stored = _colours_stored(raster) if values.by_colour else stored_numbers(raster)
        stored = turned(stored, tags.orientation)
        if values.by_colour or stored.ndim == 3:
            labels, undeclared = values.read(stored)
        else:
            skipped_HW = unmeasured_HW if skips_no_data else None
            labels, undeclared = _looked_up(stored, tags, skipped_HW, values)
    except RefusalError as refusal:
        raise refused(where, refusal.rule, refusal.value) from refusal
    colours = {} if values.by_colour else _colours(raster, stored)
    return LabelImage(labels, tags, colours, undeclared, unmeasured_HW)


def _read(path: Path, where: str, exif: Exif) -> Raster:
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            # decoders warn about odd metadata, which is not the user's concern here
            warnings.simplefilter("ignore")
            raster = _decoded(data)
        if raster.pixels.ndim not in (2, 3) or 0 in raster.pixels.shape:
            raise RefusalError(
                "an image must be (H, W) or (H, W, channels)",
                f"an array of shape {raster.pixels.shape}",
            )
        return _untagged(raster) if exif == "keep" else raster
    except RefusalError as refusal:
        raise refused(where, refusal.rule, refusal.value) from refusal
    except Exception as error:  # what a decoder raises on foreign bytes is open-ended
        reason = " ".join(str(error).split()) or type(error).__name__
        raise refused(where, "the file must be a readable image", reason[:200]) from error


def _untagged(raster: Raster) -> Raster:
    return replace(raster, tags=replace(raster.tags, orientation=1, kept=raster.tags.orientation))


def _decoded(data: bytes) -> Raster:
    match form_of(data[:12]):
        case "":
            raise ValueError(f"something that is neither {FORMS.replace(' or ', ' nor ')}")
        case "TIFF":
            return read_tiff(data)
        case "PNG" if plain := read_plain_png(data):
            return plain
        case form:
            return read_with_pillow(data, form)


def refused(where: str, rule: str, value: str) -> ProblemsError:
    """Return the refusal of one file."""
    return ProblemsError(where, [Problem(where, rule, value)])


def _meant(raster: Raster) -> np.ndarray:
    """Pixels as they are to be seen: colours for indices, white for the largest value, and 0..255
    for fewer than 8 bit.
    """
    if raster.palette is not None:
        if raster.pixels.size and int(raster.pixels.max()) >= len(raster.palette):
            raise RefusalError(
                f"palette indices must be below {len(raster.palette)}", str(raster.pixels.max())
            )
        return np.asarray(raster.palette[raster.pixels.astype(np.intp)])
    pixels = raster.pixels
    largest = 2**raster.bits - 1
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if raster.white_is_zero and pixels.dtype.kind == "u":
        pixels = (largest - pixels).astype(pixels.dtype)
    if raster.bits < 8 and 255 % largest:
        raise RefusalError("pixels must have 1, 2, 4 or 8 to 16 bits", str(raster.bits))
    return pixels * np.uint8(255 // largest) if raster.bits < 8 else pixels


def _refuse_changed(raster: Raster, values: Values) -> None:
    """Refuse a form that does not give back the values that were written, unless they may be a
    little off.
    """
    if not raster.lossless and not values.covers_bytes:
        raise RefusalError(LOSSY_MASK.format(form=raster.form), "one")
    if raster.renumbered and not values.by_colour:
        raise RefusalError(RENUMBERED_MASK.format(form=raster.form), "one")


def _looked_up(
    numbers_HW: np.ndarray, tags: Tags, skipped_HW: np.ndarray | None, values: Values
) -> LabelsRead:
    if skipped_HW is None or not skipped_HW.any():
        return values.read(refuse_no_labels(numbers_HW, tags))
    kept_HW = ~skipped_HW
    if not kept_HW.any():
        return LabelsRead(np.zeros(numbers_HW.shape, np.uint8), {})
    found, undeclared = values.read(refuse_no_labels(numbers_HW[kept_HW], tags))
    labels_HW = np.zeros(numbers_HW.shape, found.dtype)
    labels_HW[kept_HW] = found
    return LabelsRead(labels_HW, undeclared)


def _colours_stored(raster: Raster) -> np.ndarray:
    """Return what is seen: red, green and blue (H, W, 3) uint8, or greys (H, W)."""
    pixels = _meant(raster)
    if pixels.ndim == 3 and pixels.shape[2] == 4 and (pixels[:, :, 3] == 255).all():
        pixels = pixels[:, :, :3]
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
        raise RefusalError(
            "a mask that is read by colour must be RGB or grey of 8 bits",
            f"{pixels.dtype} {pixels.shape}",
        )
    return pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels


def _colours(raster: Raster, stored: np.ndarray) -> dict[int, Colour]:
    if raster.palette is None:
        return {}
    held = [
        label
        for label in np.flatnonzero(np.bincount(stored.ravel())).tolist()
        if label < len(raster.palette)
    ]
    return {label: tuple(raster.palette[label].tolist()) for label in held}
