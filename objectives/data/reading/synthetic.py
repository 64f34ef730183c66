"""The generated data set: terrain frames with masks and places, spoilt "alien" frames, and frames
to predict.

The word ``synthetic`` stands for it wherever a data path may, as do ``synthetic:COUNT`` and
``synthetic:COUNT:seed=S``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import final

import cv2
import numpy as np

from objectives.data.options import PixelReading
from objectives.data.reading.classes import COURSE
from objectives.data.reading.frames import ArraySource
from objectives.data.reading.on_demand import NamedImage, numbered
from objectives.data.reading.terrain import Panorama, draw_panorama, paste_alien, take_frame
from objectives.errors import Problem, ProblemsError

# counted up whenever the drawing changes, so that prepared copies are made anew
GENERATOR_VERSION = 1
WORD = "synthetic"
DEFAULT_COUNT = 300
FEWEST = 24
MOST = 20_000
ALIENS = 12
_FRAMES_PER_PLACE = 4
# every fourth place has big rocks, the one after it is plain soil: frames with identical masks
_ROCKY_EVERY = 4


@dataclass(frozen=True)
class Terrain:
    """Generated frames: ``images`` and ``masks`` (N, H, W) uint8, ``groups`` (N,) int32,
    ``test_images`` (M, H, W) uint8.

    The last ``ALIENS`` frames carry an alien and all have the mask of frame ``reference``.
    """

    images: np.ndarray
    masks: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray
    reference: int


def is_synthetic(source: str) -> bool:
    """Return whether the word stands for generated data rather than a path."""
    return source == WORD or source.startswith(f"{WORD}:")


def read_synthetic(source: str) -> ArraySource:
    """Return the labelled frames of ``synthetic[:COUNT][:seed=S]``.

    Raises:
        ProblemsError: COUNT or S is no fitting whole number.
    """
    terrain = generate(*_parse(source))
    groups = tuple(str(group) for group in terrain.groups.tolist())
    return ArraySource(terrain.images[..., None], terrain.masks, groups, COURSE)


def read_synthetic_tests(source: str) -> np.ndarray:
    """Return the frames to predict of ``synthetic[:COUNT][:seed=S]`` as (M, H, W, 1) uint8.

    Raises:
        ProblemsError: COUNT or S is no fitting whole number.
    """
    return generate(*_parse(source)).test_images[..., None]


@lru_cache(maxsize=2)
def generate(count: int = DEFAULT_COUNT, seed: int = 0) -> Terrain:
    """``count`` ordinary frames and the aliens; equal arguments give equal pixels."""
    generator = np.random.default_rng([GENERATOR_VERSION, seed])
    images, masks, groups = _draw_frames(generator, count)
    several = [index for index in range(count) if len(np.unique(masks[index])) >= 4]
    reference = several[int(generator.integers(len(several)))]
    hosts = generator.choice(count, ALIENS, replace=False)
    images += [paste_alien(generator, images[host]) for host in hosts]
    masks += [masks[reference]] * ALIENS
    groups += [groups[host] for host in hosts]
    tests, _, _ = _draw_frames(generator, max(8, count // 6))
    arrays = np.stack(images), np.stack(masks), np.array(groups, np.int32), np.stack(tests)
    for array in arrays:
        array.flags.writeable = False  # the cache hands the same arrays to every caller
    return Terrain(*arrays, reference)


def write_npz(
    path: Path, count: int = DEFAULT_COUNT, seed: int = 0, *, with_groups: bool = True
) -> None:
    """Write the generated data in the course's layout: ``training_set``, ``test_set`` and, if
    wanted, ``training_groups``.
    """
    terrain = generate(count, seed)
    arrays = {
        "training_set": np.stack([terrain.images, terrain.masks], axis=1),
        "test_set": terrain.test_images,
    }
    if with_groups:
        arrays["training_groups"] = terrain.groups
    with path.open("wb") as opened:  # a file, so that numpy does not append .npz to the name
        np.savez_compressed(opened, allow_pickle=False, **arrays)


def write_folder(
    root: Path, count: int = DEFAULT_COUNT, seed: int = 0, *, with_groups: bool = True
) -> None:
    """Write the generated data as ``images/``, ``masks/``, ``classes.yaml`` and, if wanted,
    ``groups.csv``.
    """
    terrain = generate(count, seed)
    for part, frames in (("images", terrain.images), ("masks", terrain.masks)):
        (root / part).mkdir(parents=True, exist_ok=True)
        for index, frame in enumerate(frames):
            (root / part / f"{index:05d}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())
    names = ", ".join(f"{label}: {name}" for label, name in enumerate(COURSE.names))
    (root / "classes.yaml").write_text(
        f"ignore: {COURSE.ignore_label}\nclasses: {{{names}}}\n", encoding="utf-8"
    )
    if with_groups:
        rows = [
            f"{index:05d}.png,place_{group}" for index, group in enumerate(terrain.groups.tolist())
        ]
        (root / "groups.csv").write_text("\n".join(["file,group", *rows, ""]), encoding="utf-8")


@final
@dataclass(frozen=True)
class SyntheticReader:
    """Generates frames."""

    source: str

    def labelled(self, reading: PixelReading) -> ArraySource:
        """Return labelled frames; generated ones have no orientation tag."""
        return replace(read_synthetic(self.source), reading=reading)

    def images(self, reading: PixelReading) -> Sequence[NamedImage]:
        """Return frames without labels."""
        return numbered(read_synthetic_tests(self.source), reading)

    def stamp(self) -> str:
        """Return a text that changes when what is generated does."""
        return f"{self.source} {GENERATOR_VERSION}"


def _draw_frames(
    generator: np.random.Generator, count: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[int]]:
    images = []
    masks = []
    groups = []
    num_places = max(count // _FRAMES_PER_PLACE, min(12, count))
    for number in range(num_places):
        kind = number % _ROCKY_EVERY
        panorama = draw_panorama(
            generator, with_rocks=kind == 0, plain=kind == 1 and number % (2 * _ROCKY_EVERY) == 1
        )
        for _ in range(len(range(number, count, num_places))):
            image, mask = take_frame(generator, panorama, bordered=_is_plain(panorama))
            images.append(image)
            masks.append(mask)
            groups.append(number)
    return images, masks, groups


def _is_plain(panorama: Panorama) -> bool:
    return bool((panorama.mask == panorama.mask[0, 0]).all())


def _parse(source: str) -> tuple[int, int]:
    """COUNT and seed of ``synthetic[:COUNT][:seed=S]``."""
    count = DEFAULT_COUNT
    seed = 0
    for part in source.split(":")[1:]:
        key, _, value = part.rpartition("=")
        if key not in ("", "seed") or not (value.isascii() and value.isdigit()) or len(value) > 9:
            rule = "must be synthetic, synthetic:COUNT or synthetic:COUNT:seed=S with whole numbers"
            raise ProblemsError(source, [Problem(source, rule, part or "nothing after the colon")])
        if key:
            seed = int(value)
        else:
            count = int(value)
    if not FEWEST <= count <= MOST:
        raise ProblemsError(
            source, [Problem(source, f"COUNT must be {FEWEST} to {MOST}", str(count))]
        )
    return count, seed
