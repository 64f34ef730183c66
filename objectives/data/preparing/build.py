"""Writing of a prepared data set: three arrays and index.json in one directory that appears at
once.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from objectives.config.measure_names import IOU, measure_package
from objectives.data.options import PARTS, DataOptions, PixelReading
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.data.preparing.survey import Survey, survey
from objectives.data.preparing.training_pixels import TrainingPixels
from objectives.data.preparing.undeclared import accepting
from objectives.data.reading.frames import FrameSource
from objectives.data.reading.source import open_source
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, WorldError, condensed

FORMAT_VERSION = 4  # counted up whenever the files or the way to them change


def build(source: str, options: DataOptions, directory: Path) -> None:
    """Prepare a source in ``directory``, replacing what is there; the caller holds the lock for it.

    Raises:
        ProblemsError: The source cannot be used.
        OSError: The disk cannot take it.
    """
    opened = open_source(source, options.reading)
    surveyed = survey(opened, options)
    if surveyed.problems:
        raise ProblemsError(source, condensed(surveyed.problems), accepting(surveyed.remedy))
    for left_over in directory.parent.glob(f".{directory.name}.*"):  # by a builder that was killed
        shutil.rmtree(left_over)
    draft = directory.parent / f".{directory.name}.{os.getpid()}"
    draft.mkdir()
    try:
        index = _write(opened, surveyed, options, draft)
        (draft / "index.json").write_text(json.dumps(index), encoding="utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(
    source: FrameSource, surveyed: Survey, options: DataOptions, draft: Path
) -> dict[str, Any]:
    height, width, _ = surveyed.shape
    pixels = hashlib.sha256()
    labels = hashlib.sha256()
    train = set(surveyed.parts[0].tolist())
    pixels_seen = TrainingPixels(surveyed.shape[2], int(np.iinfo(surveyed.dtype).max))

    def images() -> Iterator[np.ndarray]:
        for position, index in enumerate(surveyed.kept):
            image_HWC = resize_image(source.image(index), height, width)
            pixels.update(np.ascontiguousarray(image_HWC).data)
            if position in train:
                pixels_seen.add(image_HWC)
            yield image_HWC

    def masks() -> Iterator[np.ndarray]:
        for index in surveyed.kept:
            mask_HW = surveyed.classes.encode(resize_mask(source.mask(index), height, width))
            labels.update(np.ascontiguousarray(mask_HW).data)
            yield mask_HW

    _write_array(
        draft / "images.npy",
        (len(surveyed.kept), *surveyed.shape),
        np.dtype(surveyed.dtype),
        images(),
    )
    _write_array(
        draft / "masks.npy", (len(surveyed.kept), height, width), np.dtype(np.uint8), masks()
    )
    counts_NK = surveyed.pixel_counts.astype(np.int64)
    _write_array(draft / "class_pixels.npy", counts_NK.shape, counts_NK.dtype, iter(counts_NK))
    return _index(
        source,
        surveyed,
        _spec(surveyed, options, source.reading, pixels_seen),
        (pixels.hexdigest(), labels.hexdigest()),
    )


def _write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], frames: Iterator[np.ndarray]
) -> None:
    """Write frame after frame: a map written to on a full disk would kill the process instead of
    raising OSError.
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, header)
        for frame in frames:
            if frame.shape != shape[1:]:
                raise WorldError(
                    "the data changed while they were read; run the same command again"
                )
            opened.write(np.ascontiguousarray(frame, dtype).data)
        opened.flush()
        os.fsync(opened.fileno())


def _spec(
    surveyed: Survey, options: DataOptions, reading: PixelReading, seen: TrainingPixels
) -> FrameSpec:
    height, width, channels = surveyed.shape
    return FrameSpec(
        height=height,
        width=width,
        channels=channels,
        max_value=seen.max_value,
        mean=seen.mean,
        std=seen.deviation,
        ranges=seen.ranges,
        class_names=surveyed.classes.names,
        colours=surveyed.classes.colours,
        ignore_label=surveyed.classes.ignore_label,
        scored=surveyed.scored,
        raw_ignore=surveyed.classes.raw_ignore,
        exif=reading.exif,
        measure=options.measure,
        measure_package=measure_package(options.measure),
        values=surveyed.classes.values.entries,
        convert=reading.channels,
        pixel_range=reading.range,
    )


def _index(
    source: FrameSource, surveyed: Survey, spec: FrameSpec, hashes: tuple[str, str]
) -> dict[str, Any]:
    parts = {name: indices.tolist() for name, indices in zip(PARTS, surveyed.parts, strict=True)}
    meaning = {
        "pixels": [*hashes, surveyed.dtype, len(surveyed.kept), *surveyed.shape],
        "names": [source.names[index] for index in surveyed.kept],
        "groups": list(surveyed.groups),
        "parts": parts,
        "classes": [surveyed.classes.names, surveyed.classes.ignore_label, surveyed.scored],
    }
    if spec.measure != IOU:  # data of before there was a choice keep their fingerprint
        meaning["measure"] = [spec.measure, spec.measure_package]
    return {
        "spec": spec.model_dump(mode="json"),
        "fingerprint": hashlib.sha256(json.dumps(meaning).encode()).hexdigest(),
        "names": meaning["names"],
        "groups": meaning["groups"],
        "parts": parts,
        "frame_hashes": list(surveyed.hashes),
        "left_out_hashes": list(surveyed.left_out),
        "dropped": [asdict(dropped) for dropped in surveyed.dropped],
        "warnings": list(surveyed.warnings),
    }
