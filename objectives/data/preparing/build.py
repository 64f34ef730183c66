"""Writing of a prepared data set: arrays and index.json in one directory that appears at once. Every
file of the source is read once.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from objectives.config.measure_names import IOU, measure_package
from objectives.data.options import PARTS, DataOptions, PixelReading
from objectives.data.preparing.draft import Draft, npy_header
from objectives.data.preparing.facts import Look, look_at
from objectives.data.preparing.in_order import in_order
from objectives.data.preparing.passing_tally import PassingTally
from objectives.data.preparing.progress import Progress, untold
from objectives.data.preparing.streamed_file import StreamedFile
from objectives.data.preparing.survey import Survey, survey
from objectives.data.preparing.training_pixels import TrainingPixels
from objectives.data.preparing.undeclared import accepting
from objectives.data.reading.frames import FrameSource
from objectives.data.reading.source import open_labelled
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, condensed

FORMAT_VERSION = 6  # counted up whenever the files or the way to them change


def build(source: str, options: DataOptions, directory: Path, progress: Progress = untold) -> None:
    """Prepare a source in ``directory``, replacing what is there; the caller holds the lock for it.

    What a builder before has read when it was killed is not read again.

    Raises:
        ProblemsError: The source cannot be used.
        OSError: The disk cannot take it.
    """
    opened = open_labelled(source, options)
    folder = directory.parent / f".{directory.name}.draft"
    try:
        _fill(folder, opened, options, source, progress)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)  # a full disk has no room for a half
        raise
    if directory.exists():
        shutil.rmtree(directory)
    folder.rename(directory)


def _fill(
    folder: Path, opened: FrameSource, options: DataOptions, source: str, progress: Progress
) -> None:
    """Write all files of a data set."""
    with Draft(folder) as draft, PassingTally() as passing:
        surveyed = survey(
            opened, options, lambda: _looks(opened, options, draft, passing, progress)
        )
        if surveyed.problems:
            shutil.rmtree(folder)
            raise ProblemsError(source, condensed(surveyed.problems), accepting(surveyed.remedy))
        index = _write(opened, surveyed, options, draft, passing)
    draft.forget_raw()
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _looks(
    source: FrameSource,
    options: DataOptions,
    draft: Draft,
    passing: PassingTally,
    progress: Progress,
) -> Iterator[Look]:
    """Yield a look at every frame, and keep in the draft what it has not yet."""
    count = len(source.names)
    yield from tuple(draft.looks)
    rest = range(len(draft.looks), count)
    looks = in_order(lambda index: look_at(source, index, options.size), rest)
    for index, looked in zip(rest, looks, strict=True):
        if looked.image_HWC is not None:
            passing.add(index, looked.image_HWC)
        draft.add(looked)
        progress(len(draft.looks), count)
        yield looked.look


def _write(
    source: FrameSource,
    surveyed: Survey,
    options: DataOptions,
    draft: Draft,
    passing: PassingTally,
) -> dict[str, Any]:
    """Write what follows from the judgement over all frames, and return the index."""
    dtype = np.dtype(surveyed.dtype)
    draft.finish_images(dtype)
    draft.give_to_disk()
    trained = [surveyed.kept[index] for index in surveyed.parts[0]]
    with ThreadPoolExecutor() as pool:  # reading, hashing and counting leave Python's lock
        hashed = pool.submit(passing.hash_of, surveyed.kept, draft.images)
        pixels = pool.submit(passing.pixels_of, trained, surveyed.channels, dtype, draft.images)
        labels = _write_masks(surveyed, draft)
    counts_NK = surveyed.pixel_counts.astype(np.int64)
    _write_array(
        draft.directory / "class_pixels.npy", counts_NK.shape, counts_NK.dtype, iter(counts_NK)
    )
    spec = _spec(surveyed, options, source.reading, pixels.result())
    index = _index(source, surveyed, spec, (hashed.result(), labels))
    return index | {"sizes": surveyed.sizes, "starts": draft.starts(surveyed.kept, dtype)}


def _write_masks(surveyed: Survey, draft: Draft) -> str:
    """Write the stored labels of the kept frames; return the SHA-256 over them."""
    labels = hashlib.sha256()

    def masks() -> Iterator[np.ndarray]:
        for raw_HW in draft.masks(surveyed.kept):
            mask_HW = np.ascontiguousarray(surveyed.classes.encode(raw_HW))
            labels.update(mask_HW.data)
            yield mask_HW

    values = sum(height * width for height, width in surveyed.sizes)
    _write_array(draft.directory / "masks.npy", (values,), np.dtype(np.uint8), masks())
    return labels.hexdigest()


def _write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], parts: Iterator[np.ndarray]
) -> None:
    """Write part after part: a map written to on a full disk would kill the process instead of
    raising OSError.
    """
    with StreamedFile(path) as written:
        written.go_on_from(0)
        written.write(npy_header(shape, dtype))
        for part in parts:
            written.write(np.asarray(part, dtype))
        written.settle()


def _spec(
    surveyed: Survey, options: DataOptions, reading: PixelReading, seen: TrainingPixels
) -> FrameSpec:
    height, width = surveyed.window
    return FrameSpec(
        height=height,
        width=width,
        channels=surveyed.channels,
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
        overlap=options.overlap if surveyed.tiled else None,
    )


def _index(
    source: FrameSource, surveyed: Survey, spec: FrameSpec, hashes: tuple[str, str]
) -> dict[str, Any]:
    parts = {name: indices.tolist() for name, indices in zip(PARTS, surveyed.parts, strict=True)}
    sizes = list(set(surveyed.sizes)) if len(set(surveyed.sizes)) == 1 else [surveyed.sizes]
    meaning = {
        "pixels": [*hashes, surveyed.dtype, len(surveyed.kept), *sizes[0], surveyed.channels],
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
        "given": list(surveyed.given),
        "dropped": [asdict(dropped) for dropped in surveyed.dropped],
        "warnings": list(surveyed.warnings),
    }
