"""Preparing goes on from where a builder was killed, reads every file once, and comes to the same."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.data.preparing import build, facts, streamed_file
from objectives.data.preparing.draft import Draft
from objectives.data.preparing.training_pixels import training_pixels
from objectives.data.reading.frames import FrameSource
from objectives.errors import WorldError

COUNT = 30
KILLED = """
import os, signal, sys
from pathlib import Path
from objectives.data.dataset import DataOptions, open_dataset

def progress(done, of):
    if done == 17:
        os.kill(os.getpid(), signal.SIGKILL)

open_dataset(sys.argv[1], DataOptions(), Path(sys.argv[2]), progress)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames of several sizes and groups; the ignored label of some masks takes two bytes."""
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir()
    for number in range(COUNT):
        size = (24 + number % 5, 40 - number % 3)
        cv2.imwrite(
            str(root / "images" / f"{number:02}.png"), rng.integers(0, 256, (*size, 3), np.uint8)
        )
        mask = rng.integers(0, 3, size).astype(np.uint16)
        mask[0, :3] = 300 if number % 4 == 0 else 2
        cv2.imwrite(str(root / "masks" / f"{number:02}.png"), mask)
    (root / "classes.yaml").write_text("classes: {0: a, 1: b, 2: c}\nignore: 300\n")
    return root


def stop_at_20(done: int, _: int) -> None:
    if done == 20:
        raise KeyboardInterrupt


def same(one: Dataset, other: Dataset) -> bool:
    pairs = zip((one.images, one.masks), (other.images, other.masks), strict=True)
    pixels = all(
        np.array_equal(mine, its)
        for ours, theirs in pairs
        for mine, its in zip(ours, theirs, strict=True)
    )
    return pixels and (one.fingerprint, one.spec, one.warnings) == (
        other.fingerprint,
        other.spec,
        other.warnings,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The frames that were read, in order."""
    numbers: list[int] = []
    look_at = facts.look_at

    def noted(source: FrameSource, index: int, size: tuple[int, int] | None) -> facts.Looked:
        numbers.append(index)
        return look_at(source, index, size)

    monkeypatch.setattr(build, "look_at", noted)
    return numbers


def test_frames_keep_their_sizes_and_are_read_once(
    source: Path, tmp_path: Path, asked: list[int]
) -> None:
    told: list[tuple[int, int]] = []
    data = open_dataset(
        str(source), DataOptions(), tmp_path, lambda done, of: told.append((done, of))
    )
    assert sorted(asked) == list(range(COUNT))
    assert told == [(number, COUNT) for number in range(1, COUNT + 1)]
    for name, image, mask in zip(data.names, data.images, data.masks, strict=True):
        stored = cv2.imread(str(source / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, stored[..., ::-1])
        raw = cv2.imread(str(source / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, np.where(raw == 300, 3, raw))
    assert data.spec.windows
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [data.directory.name, f"{data.directory.name}.lock"]
    )
    assert sorted(path.name for path in data.directory.iterdir()) == [
        "class_pixels.npy",
        "images.npy",
        "index.json",
        "masks.npy",
    ]


def test_a_killed_builder_is_gone_on_from(source: Path, tmp_path: Path, asked: list[int]) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(source), str(tmp_path / "killed")], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    again = open_dataset(str(source), DataOptions(), tmp_path / "killed")
    assert sorted(asked) == list(range(17, COUNT))
    assert same(again, open_dataset(str(source), DataOptions(), tmp_path / "whole"))


@pytest.mark.parametrize("file", ["images.npy", "masks.raw", "looks.jsonl"])
@pytest.mark.parametrize("lost", [1, 700, 10**9])
def test_what_was_not_written_whole_is_read_again(
    source: Path, tmp_path: Path, file: str, lost: int
) -> None:
    """As after a power cut, when the end of any of the files may be missing."""

    with pytest.raises(KeyboardInterrupt):
        open_dataset(str(source), DataOptions(), tmp_path / "cut", stop_at_20)
    (folder,) = (tmp_path / "cut").glob(".*.draft")
    length = (folder / file).stat().st_size
    os.truncate(folder / file, max(0, length - lost))
    with Draft(folder) as draft:
        assert len(draft.looks) < 20
    again = open_dataset(str(source), DataOptions(), tmp_path / "cut")
    assert same(again, open_dataset(str(source), DataOptions(), tmp_path / "whole"))


@pytest.mark.parametrize("step", [1, 2000])
def test_frames_are_the_same_however_often_the_disk_is_given_them(
    source: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed_file, "STEP_BYTES", step)
    often = open_dataset(str(source), DataOptions(), tmp_path / "often")
    monkeypatch.undo()
    assert same(often, open_dataset(str(source), DataOptions(), tmp_path / "whole"))


@pytest.mark.parametrize("file", ["images.npy", "masks.raw", "looks.jsonl", "masks.npy"])
def test_an_error_of_the_disk_is_told_whichever_file_it_is_of(
    source: Path, tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network's disk tells it: not when a file is written, but when it is to be kept."""
    sync = os.fdatasync

    def fail(number: int) -> None:
        if Path(f"/proc/self/fd/{number}").readlink().name == file:
            raise OSError(errno.EIO, "Input/output error")
        sync(number)

    monkeypatch.setattr(streamed_file, "STEP_BYTES", 2000)
    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(WorldError, match="Input/output error"):
        open_dataset(str(source), DataOptions(), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_frame_of_another_type_that_is_left_out_moves_no_other(tmp_path: Path) -> None:
    """It fills an odd number of bytes among pixels of two bytes."""
    root = tmp_path / "frames"
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (33, 33), np.uint8)
        cv2.imwrite(
            str(root / "images" / f"{number:02}.png"),
            pixels if number in (0, 7) else pixels * np.uint16(250),
        )
        cv2.imwrite(str(root / "masks" / f"{number:02}.png"), pixels % 3)
    (root / "classes.yaml").write_text("classes: {0: a, 1: b, 2: c}\nignore: null\n")
    options = DataOptions(leave_out=("00", "07"))
    with pytest.raises(KeyboardInterrupt):  # and is gone on from
        open_dataset(str(root), options, tmp_path / "cache", stop_at_20)
    data = open_dataset(str(root), options, tmp_path / "cache")
    assert same(data, open_dataset(str(root), options, tmp_path / "whole"))
    assert data.spec.max_value == 65535
    for name, image in zip(data.names, data.images, strict=True):
        stored = cv2.imread(str(root / "images" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image[..., 0], stored)
    seen = training_pixels(data.images[data.parts["train"]])
    assert (data.spec.mean, data.spec.std) == (seen.mean, seen.deviation)


def test_a_source_that_cannot_be_used_leaves_no_draft(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="window: must not be larger than every frame"):
        open_dataset(str(source), DataOptions(window=(99, 20)), tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
