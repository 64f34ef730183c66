"""The files that predictions go to: an npz, a Kaggle CSV, or a folder of PNGs; each appears whole
or not at all.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from objectives.data.reading.banded import ExtraTag
from objectives.errors import UserError
from objectives.outputs.atomic import directory_at_once, file_at_once
from objectives.outputs.place import refuse_output

NamedMask = tuple[str, np.ndarray]  # a frame's name and its labels (H, W) uint8
TILE = 256  # pixels a side of the tiles of a TIFF
_CLASSIC = 2**31  # pixels of a mask for which a TIFF needs no 64-bit offsets


@dataclass(frozen=True)
class PredictedImage:
    """Labels of one image in strips (rows, W) uint8 from above to below, which are made as they are taken.

    ``georeference`` are tags of the image's file that are those of its mask, too; ``as_tiff`` where the mask may be
    too large for anything but a TIFF.
    """

    name: str
    height: int
    width: int
    strips: Iterator[np.ndarray]
    georeference: tuple[ExtraTag, ...] = ()
    as_tiff: bool = False

    def named(self) -> NamedMask:
        """Return its name and all of its labels."""
        return self.name, np.concatenate(list(self.strips))


Write = Callable[[Iterable[PredictedImage], Path], int]


def writer_for(out: Path, *, source: str = "", force: bool = False) -> Write:
    """Return the function that writes predictions to ``out`` and returns how many; chosen by the
    suffix: .npz, .csv, none (a folder).

    With ``force`` it replaces a file of predictions. ``source`` is what they are made from.

    Raises:
        UserError: The suffix is another one, or what stands there must not be replaced.
    """
    match out.suffix.lower():
        case ".npz":
            refuse_output(
                out, "npz of masks", written_here=_holds_masks, force=force, source=source
            )
            return lambda images, path: write_npz(map(_named, images), path, replace=force)
        case ".csv":
            refuse_output(out, "CSV of masks", written_here=_holds_rows, force=force, source=source)
            return lambda images, path: write_csv(map(_named, images), path, replace=force)
        case "":
            if out.exists() and not out.is_dir():
                raise UserError(
                    f"{out} is no folder; choose a new folder, a .npz or a .csv for --out"
                )
            if out.is_dir() and any(out.iterdir()):
                raise UserError(f"{out} is not empty; choose a new folder for --out")
            return write_folder
        case suffix:
            raise UserError(f"--out must be a .npz, a .csv or a folder, got {suffix}")


def write_npz(masks: Iterable[NamedMask], out: Path, *, replace: bool = False) -> int:
    """``masks`` uint8 (N, H, W) and the ``names`` of the frames, in the order of the input."""
    names, labels = zip(*_of_one_size(masks, out), strict=True)
    with file_at_once(out, replace=replace) as draft, draft.open("wb") as opened:
        np.savez_compressed(opened, masks=np.stack(labels), names=np.array(names))
    return len(names)


def write_csv(masks: Iterable[NamedMask], out: Path, *, replace: bool = False) -> int:
    """Kaggle's layout: header ``id,0,1,...,H*W-1``, then one row a frame with its number from 0 and
    its flattened mask.
    """
    same = iter(_of_one_size(masks, out))
    first = next(same)
    count = 0
    with file_at_once(out, replace=replace) as draft, draft.open("wb") as opened:
        opened.write(",".join(["id", *map(str, range(first[1].size))]).encode() + b"\n")
        for count, (_, labels_HW) in enumerate(chain([first], same), start=1):
            opened.write(
                b"%d%b\n"
                % (count - 1, _LABEL_TEXTS[labels_HW.ravel()].tobytes().translate(None, b" "))
            )
    return count


def write_folder(images: Iterable[PredictedImage], out: Path) -> int:
    """Write one greyscale PNG a frame, its pixels the labels, named as the frame and of its size;
    return their number. What is read in bands becomes a tiled TIFF with its georeference.
    """
    count = 0
    with directory_at_once(out) as draft:
        for image in images:
            path = draft / f"{image.name}.{'tif' if image.as_tiff else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if image.as_tiff:
                write_tiff(image, path)
            else:
                Image.fromarray(image.named()[1]).save(path)
            count += 1
    return count


def write_tiff(image: PredictedImage, path: Path) -> None:
    """Write labels as a tiled, compressed TIFF, a row of tiles at a time."""
    tifffile.imwrite(
        path,
        _tiles(image),
        shape=(image.height, image.width),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="minisblack",
        compression="deflate",
        bigtiff=image.height * image.width > _CLASSIC,
        extratags=image.georeference,
        metadata=None,
    )


def _tiles(image: PredictedImage) -> Iterator[np.ndarray]:
    """Yield the tiles of an image from left to right and from above to below; what lies beyond it is 0."""
    for band_HW in _bands(image.strips):
        across = -(-image.width // TILE)
        whole_HW = np.zeros((TILE, across * TILE), np.uint8)
        whole_HW[: len(band_HW), : image.width] = band_HW
        yield from (np.ascontiguousarray(tile) for tile in np.split(whole_HW, across, axis=1))


def _bands(strips: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the rows of strips as many at a time as a tile has, the last ones as they are left."""
    held: list[np.ndarray] = []
    rows = 0
    for strip in strips:
        held.append(strip)
        rows += len(strip)
        if rows < TILE:
            continue
        joined = np.concatenate(held)
        whole = rows // TILE * TILE
        yield from (joined[start : start + TILE] for start in range(0, whole, TILE))
        held, rows = [joined[whole:].copy()], rows - whole
    if rows:
        yield np.concatenate(held)


def _named(image: PredictedImage) -> NamedMask:
    return image.named()


def _holds_masks(path: Path) -> bool:
    with zipfile.ZipFile(path) as opened:
        return sorted(opened.namelist()) == ["masks.npy", "names.npy"]


def _holds_rows(path: Path) -> bool:
    with path.open("rb") as opened:
        return opened.read(5) == b"id,0,"


# (256, 4) characters
_LABEL_TEXTS = np.array(
    [list(f",{label}".ljust(4).encode()) for label in range(256)], dtype=np.uint8
)


def refuse_mixed_sizes(sizes: Iterable[tuple[str, tuple[int, ...]]], out: Path) -> None:
    """Refuse frames, a name and (H, W) each, that are not all of the first one's size.

    Raises:
        UserError: One has another: they fit in no single array or table.
    """
    first: tuple[int, ...] = ()
    for name, size in sizes:
        first = first or size
        if size != first:
            both = " and ".join(f"{height}x{width}" for height, width in (first, size))
            raise UserError(
                f"frames of sizes {both} ({name}) do not fit into {out.name}; give a folder for "
                f"--out instead"
            )


def _of_one_size(masks: Iterable[NamedMask], out: Path) -> Iterator[NamedMask]:
    """Yield the same masks.

    Raises:
        UserError: They differ in size.
    """
    first: NamedMask | None = None
    for name, labels_HW in masks:
        first = first or (name, labels_HW)
        refuse_mixed_sizes([(first[0], first[1].shape), (name, labels_HW.shape)], out)
        yield name, labels_HW
