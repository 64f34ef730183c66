"""Decoding of image and mask files (PNG, JPG, TIFF) into arrays; a damaged file is a problem, never a crash."""

import io
import logging
import math
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from objectives.errors import Problem, ProblemsError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
MOST_PIXELS = 178_956_970  # beyond them Pillow takes a file for a bomb, and so do we where others decode
MOST_VALUES = 4 * MOST_PIXELS  # with their channels
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # its complaints reach the user as problems

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_GREY, PNG_RGB, PNG_GREY_ALPHA, PNG_RGB_ALPHA = 0, 2, 4, 6  # colour types of the PNG specification


def decode_image(path: Path, where: str) -> np.ndarray:
    """The image as (H, W, C), uint8 or uint16; colour is RGB, an alpha channel of a PNG is left out, TIFF keeps all channels.

    Raises:
        ProblemsError: with ``where`` as the place, when the file cannot be decoded or its pixels are of another type.
    """
    image = _decode(path, where, as_labels=False)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or 0 in image.shape:
        raise _problem(where, "an image must be (H, W) or (H, W, channels)", f"an array of shape {image.shape}")
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * 255
    if image.dtype.kind != "u" or image.dtype.itemsize > 2:
        raise _problem(where, "pixels must be 8 or 16 bit without sign", str(image.dtype))
    return np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def decode_mask(path: Path, where: str) -> np.ndarray:
    """The label image as (H, W), uint8 or uint16: palette indices of a paletted file, else the grey values as stored.

    Raises:
        ProblemsError: with ``where`` as the place, when the file cannot be decoded or is no label image.
    """
    mask = _decode(path, where, as_labels=True)
    if mask.ndim == 3 and mask.shape[2] > 0 and (mask == mask[:, :, :1]).all():
        mask = mask[:, :, 0]  # grey saved as RGB
    if mask.ndim != 2 or mask.size == 0:
        raise _problem(where, "a mask must be one channel of labels, not colours", f"an array of shape {mask.shape}")
    if mask.dtype == np.bool_:
        mask = mask.astype(np.uint8)
    if mask.dtype.kind not in "iu" or int(mask.min()) < 0 or int(mask.max()) > 65535:
        raise _problem(where, "labels must be whole numbers in 0..65535", f"{mask.dtype} {mask.min()}..{mask.max()}")
    return np.ascontiguousarray(mask, np.uint8 if mask.max() < 256 else np.uint16)


def _problem(where: str, rule: str, value: str) -> ProblemsError:
    return ProblemsError(where, [Problem(where, rule, value)])


def _decode(path: Path, where: str, *, as_labels: bool) -> np.ndarray:
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # decoders warn about odd metadata, which is not the user's concern here
            if path.suffix.lower() in {".tif", ".tiff"}:
                return _decode_tiff(data, as_labels=as_labels)
            if data.startswith(PNG_SIGNATURE):
                return _decode_png(data, as_labels=as_labels)
            return _decode_with_pillow(data, as_labels=as_labels)
    except Exception as error:  # what a decoder raises on foreign bytes is open-ended
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _problem(where, "the file must be a readable image", reason[:200]) from error


def _decode_png(data: bytes, *, as_labels: bool) -> np.ndarray:
    depth, colour_type = data[24], data[25]
    if depth == 16 and colour_type != PNG_GREY:  # Pillow would cut these to 8 bit
        if b"IEND" not in data[-12:]:
            raise ValueError("the file is truncated")
        if math.prod(struct.unpack(">II", data[16:24])) > MOST_PIXELS:
            raise ValueError(f"it states more than {MOST_PIXELS} pixels")
        image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
        if image.ndim < 2:
            raise ValueError("the file is damaged")
        return image[:, :, 0] if colour_type == PNG_GREY_ALPHA else image[:, :, 2::-1]  # blue, green, red to red, green, blue
    image = _decode_with_pillow(data, as_labels=as_labels)
    if as_labels and colour_type == PNG_GREY and depth in (2, 4):
        image = image // (255 // (2**depth - 1))  # Pillow stretches 2 and 4 bit greys to 0..255
    return image


def _decode_with_pillow(data: bytes, *, as_labels: bool) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as stored:
        stored.load()
        opened = ImageOps.exif_transpose(stored)  # a camera says which side is up
        if as_labels and opened.mode == "P":
            return np.array(opened)
        match opened.mode:
            case "P" | "PA" | "RGBA" | "RGBa" | "CMYK" | "YCbCr" | "LAB" | "HSV":
                return np.array(opened.convert("RGBA").convert("RGB"))
            case "LA" | "La":
                return np.array(opened.convert("L"))
            case _:
                return np.array(opened)


def _decode_tiff(data: bytes, *, as_labels: bool) -> np.ndarray:
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as opened:
            series = opened.series[0]
            if math.prod(series.shape) > MOST_VALUES:  # memory is filled for what is stated and missing, too
                raise OverflowError(f"it states {' x '.join(map(str, series.shape))} values, more than {MOST_VALUES}")
            array, axes = np.asarray(series.asarray()), str(series.axes)
    except ValueError:  # a compression that needs a further package: Pillow knows the common ones
        return _decode_with_pillow(data, as_labels=as_labels)
    if array.ndim == 3 and not axes.endswith("S") and _channels_first(array, axes):
        array = np.moveaxis(array, 0, -1)
    return array


def _channels_first(array: np.ndarray, axes: str) -> bool:
    """Whether the first axis is the channels; of axes that the file does not name, the shortest is."""
    return axes[0] in "SC" or array.shape[0] < array.shape[2]
