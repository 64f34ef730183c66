"""The prepared frames of a study: built once per host into memory-mapped files that all processes share.

    source --look--> draft --survey--> kept frames, classes, parts --build--> .npy, index.json --load_dataset--> Dataset

Everything that other packages need of the data is importable from here.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from objectives.config.measure_names import measure_package
from objectives.data.options import LEFT_OUT, PARTS, DataOptions
from objectives.data.predicting import Labelled, read_images, read_labelled
from objectives.data.preparing.build import FORMAT_VERSION, build
from objectives.data.preparing.check import Report, check
from objectives.data.preparing.progress import Progress, untold
from objectives.data.preparing.survey import Dropped, drop_reasons
from objectives.data.ragged import Ragged, one_behind_the_other
from objectives.data.reading.source import source_stamp
from objectives.data.spec import FrameSpec, left_out
from objectives.errors import (
    Problem,
    ProblemsError,
    SearchError,
    WorldError,
    listed,
    one_line,
)

__all__ = [
    "DataOptions",
    "Dataset",
    "Dropped",
    "Labelled",
    "Report",
    "check",
    "drop_reasons",
    "has_labels",
    "load_dataset",
    "open_dataset",
    "rare_frames",
    "rarest_class",
    "read_images",
    "read_labelled",
]


@dataclass(frozen=True)
class Dataset:
    """Prepared frames. A child process is handed ``directory`` and loads it again: pickling would
    copy the pixels.
    """

    directory: Path
    spec: FrameSpec
    # SHA-256 over kept pixels, masks, names, groups, parts and classes: equal on every host
    fingerprint: str
    images: Ragged  # N frames (H, W, C) uint8 or uint16, mapped read-only
    masks: Ragged  # N masks (H, W) uint8, mapped read-only
    names: tuple[str, ...]
    groups: np.ndarray  # (N,) int32
    parts: Mapping[str, np.ndarray]  # train, validation, test: sorted int64 indices
    class_pixels: np.ndarray  # (N, K) int64: pixels of each label in each frame, mapped read-only
    frame_hashes: tuple[str, ...]  # of each frame's pixels as read, see frames.frame_hash
    dropped: tuple[Dropped, ...]
    warnings: tuple[str, ...]
    left_out_hashes: tuple[str, ...] = ()  # of the frames that were left out by name
    given: tuple[str, ...] = ()  # parts that the data's owner has decided

    @property
    def pixel_counts(self) -> np.ndarray:
        """Pixels of each label in the training part, (K,) int64."""
        return self.pixels_in("train")

    def pixels_in(self, part: str) -> np.ndarray:
        """Pixels of each label in a part, (K,) int64."""
        return np.asarray(self.class_pixels[self.parts[part]].sum(axis=0))

    @property
    def sealed(self) -> str:
        """SHA-256 over the frames of the test part as they were read: equal whatever size or
        classes are made of them.

        Empty where the part is.
        """
        frames = sorted(self.frame_hashes[index] for index in self.parts["test"])
        if not frames:
            return ""
        return hashlib.sha256("\n".join(frames).encode()).hexdigest()

    @property
    def hashes_by_part(self) -> dict[str, list[str]]:
        """Of which part each frame is, by its hash; those that were left out by name are a part of
        their own.
        """
        parts = {
            part: [self.frame_hashes[index] for index in indices]
            for part, indices in self.parts.items()
        }
        return parts | ({LEFT_OUT: list(self.left_out_hashes)} if self.left_out_hashes else {})

    def left_out(self, part: str) -> str:
        """Return which classes the score of a part leaves out, in words; empty where all of them occur."""
        return left_out(self.spec, self.pixels_in(part), part)


# options of which what was prepared before there was a choice stays found
CHOSEN_SINCE = ("exif", "leave_out", "measure", "channels", "folds", "fold", "window", "overlap")


def open_dataset(
    source: str, options: DataOptions, cache: Path, progress: Progress = untold
) -> Dataset:
    """Return the prepared data set of a source, built below ``cache`` when no process has done so
    yet; milliseconds otherwise.

    Any number of processes may call it at once: one builds, and tells ``progress`` of it, the others
    wait for it.

    Raises:
        ProblemsError: The source cannot be used; every problem is named.
        WorldError: The cache cannot be written.
    """
    key = _key(source, options)
    directory = cache / key
    if _is_whole(directory):
        return _scorable(source, load_dataset(directory))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{key}.lock"):
            if not _is_whole(directory):
                build(source, options, directory, progress)
    except OSError as error:
        raise WorldError(
            f"cannot write the prepared data to {directory}: {error}; free space or choose another "
            f"place"
        ) from error
    return _scorable(source, load_dataset(directory))


def load_dataset(directory: Path) -> Dataset:
    """Return the data set prepared in ``directory``; costs milliseconds, pixels are read when they
    are used.

    Raises:
        WorldError: It is not there or damaged.
    """
    try:
        index = json.loads((directory / "index.json").read_text(encoding="utf-8"))
        spec = FrameSpec.model_validate(index["spec"])
        sizes_N2 = np.array(index["sizes"], np.int64)
        starts_N = np.array(index["starts"], np.int64)
        images = np.load(directory / "images.npy", mmap_mode="r", allow_pickle=False)
        masks = np.load(directory / "masks.npy", mmap_mode="r", allow_pickle=False)
        return Dataset(
            directory,
            spec,
            index["fingerprint"],
            Ragged(images, sizes_N2, starts_N, spec.channels),
            one_behind_the_other(masks, sizes_N2),
            tuple(index["names"]),
            np.array(index["groups"], np.int32),
            {name: np.array(index["parts"][name], np.int64) for name in PARTS},
            np.load(directory / "class_pixels.npy", mmap_mode="r", allow_pickle=False),
            tuple(index["frame_hashes"]),
            tuple(Dropped(**dropped) for dropped in index["dropped"]),
            tuple(index["warnings"]),
            # not in what was prepared before there were any
            tuple(index.get("left_out_hashes", ())),
            tuple(index.get("given", ())),
        )
    # what numpy's header parser and the index raise on foreign bytes is open-ended
    except Exception as error:
        reason = one_line(str(error) or type(error).__name__)
        raise WorldError(
            f"no whole prepared data set in {directory} ({reason}); open its source again"
        ) from error


def _scorable(source: str, data: Dataset) -> Dataset:
    if has_labels(data, "validation"):
        return data
    absent = listed(data.spec.class_names[label] for label in data.spec.counting)
    rule = "the validation part must have labelled pixels of a class that counts"
    raise ProblemsError(source, [Problem("score", rule, f"none of {absent}")])


def rarest_class(dataset: Dataset) -> int:
    """Return the scored label with the fewest training pixels."""
    scored = list(dataset.spec.scored)
    return scored[int(np.argmin(dataset.pixel_counts[scored]))]


def rare_frames(dataset: Dataset) -> np.ndarray:
    """Return the training frames that hold the rarest class. Sorted int64 indices."""
    train = dataset.parts["train"]
    return np.asarray(train[dataset.class_pixels[train, rarest_class(dataset)] > 0])


def has_labels(dataset: Dataset, part: str) -> bool:
    """Return whether any pixel of a part has a label that counts, without which there is no
    score of it.
    """
    return bool(dataset.pixels_in(part)[list(dataset.spec.counting)].any())


def _key(source: str, options: DataOptions) -> str:
    decided = asdict(options)
    for name in CHOSEN_SINCE:
        if decided[name] == getattr(DataOptions(), name):
            del decided[name]
    if package := measure_package(options.measure):
        decided["measure"] = [options.measure, package]
    return hashlib.sha256(
        json.dumps([FORMAT_VERSION, source_stamp(source), decided]).encode()
    ).hexdigest()[:24]


def _is_whole(directory: Path) -> bool:
    if not directory.exists():
        return False
    try:
        load_dataset(directory)
    except SearchError:
        return False
    return True
