"""The files that predictions go to: an npz, a Kaggle CSV, or a folder of PNGs and TIFFs; each
appears whole or not at all.
"""

import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO, Final, final

import numpy as np
from PIL import Image

from objectives.errors import UserError
from objectives.outputs.atomic import directory_at_once, file_at_once
from objectives.outputs.place import refuse_output
from objectives.predict.layers import EXTRAS, Extra, Layer, Layers
from objectives.predict.predicted import PredictedImage
from objectives.predict.tiff_files import BandsFile, write_labels

Write = Callable[[Iterable[PredictedImage], Path], int]
LONGEST_NAME = 255  # bytes, of the usual file systems
# what the layers of all frames are called in an npz
ARRAYS: Final[dict[Layer, str]] = {
    "labels": "masks",
    "probabilities": "probabilities",
    "entropy": "entropy",
    "disagreement": "disagreement",
}


def writer_for(
    out: Path, *, source: str = "", force: bool = False, beside: Collection[Extra] = ()
) -> Write:
    """Return the function that writes predictions to ``out`` and returns how many; chosen by the
    suffix: .npz, .csv, none (a folder).

    With ``force`` it replaces a file of predictions. ``source`` is what they are made from, ``beside`` what
    they hold beside masks.

    Raises:
        UserError: The suffix is another one, what stands there must not be replaced, or masks are all
            that such a file can hold.
    """
    match "" if is_folder(out) else out.suffix.lower():
        case ".npz":
            refuse_output(
                out, "npz of masks", written_here=_holds_masks, force=force, source=source
            )
            return partial(write_npz, replace=force)
        case ".csv":
            if beside:
                raise UserError(
                    f"{out.name} can hold labels alone, no {' and no '.join(beside)}: give a folder "
                    f"or an npz for --out instead"
                )
            refuse_output(out, "CSV of masks", written_here=_holds_rows, force=force, source=source)
            return partial(write_csv, replace=force)
        case "":
            if out.exists() and not out.is_dir():
                raise UserError(
                    f"{out} is no folder; choose a new folder, a .npz or a .csv for --out"
                )
            if out.is_dir() and any(out.iterdir()):
                raise UserError(f"{out} is not empty; choose a new folder for --out")
            return write_folder
        case _:
            raise UserError(
                f"--out must be a .npz, a .csv or a folder (one with a dot in its name must be there), "
                f"got {out.name}"
            )


def is_folder(out: Path) -> bool:
    """Return whether predictions go into a folder of this name: one without a dot, or that is there."""
    return not out.suffix or (out.suffix.lower() not in (".npz", ".csv") and out.is_dir())


def write_npz(images: Iterable[PredictedImage], out: Path, *, replace: bool = False) -> int:
    """``masks`` uint8 (N, H, W), the ``names`` of the frames, in the order of the input, and each other
    layer under its name, (N, ...); until all are there they lie on the disk.
    """
    names: list[str] = []
    arrays: dict[Layer, _Growing] = {}
    with ExitStack() as stack:
        draft = stack.enter_context(file_at_once(out, replace=replace))
        for image in _of_one_size(images, out):
            names.append(image.name)
            for layer, values in image.whole().items():
                if layer not in arrays:
                    held = stack.enter_context(TemporaryFile(dir=draft.parent))
                    arrays[layer] = _Growing(held, values)
                arrays[layer].add(values)
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as opened:
            for layer, array in arrays.items():
                with opened.open(f"{ARRAYS[layer]}.npy", "w", force_zip64=True) as entry:
                    array.write_to(entry)
            with opened.open("names.npy", "w") as entry:
                np.lib.format.write_array(entry, np.array(names), allow_pickle=False)
    return len(names)


@final
class _Growing:
    """An array (N, ...) that a file holds while its parts come, all of them like the first."""

    def __init__(self, file: IO[bytes], first: np.ndarray) -> None:
        self.file = file
        self.shape = first.shape
        self.descr = np.lib.format.dtype_to_descr(first.dtype)
        self.count = 0

    def add(self, values: np.ndarray) -> None:
        self.file.write(values.tobytes())
        self.count += 1

    def write_to(self, entry: IO[bytes]) -> None:
        """Write it as a .npy file."""
        header = {"descr": self.descr, "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(entry, header)
        self.file.seek(0)
        shutil.copyfileobj(self.file, entry, 2**20)


def write_csv(images: Iterable[PredictedImage], out: Path, *, replace: bool = False) -> int:
    """Kaggle's layout: header ``id,0,1,...,H*W-1``, then one row a frame with its number from 0 and
    its flattened mask.
    """
    same = iter(_of_one_size(images, out))
    first = next(same)
    count = 0
    with file_at_once(out, replace=replace) as draft, draft.open("wb") as opened:
        opened.write(
            ",".join(["id", *map(str, range(first.height * first.width))]).encode() + b"\n"
        )
        for count, image in enumerate(chain([first], same), start=1):
            labels_HW = image.whole()["labels"]
            opened.write(
                b"%d%b\n"
                % (count - 1, _LABEL_TEXTS[labels_HW.ravel()].tobytes().translate(None, b" "))
            )
    return count


def write_folder(images: Iterable[PredictedImage], out: Path) -> int:
    """Write one greyscale PNG a frame, its pixels the labels, named as the frame and of its size;
    return their number. What is read in bands becomes a tiled TIFF with its georeference. What else
    is asked for stands beside it, as ``NAME.probabilities.tif`` and ``NAME.uncertainty.tif``.
    """
    count = 0
    with directory_at_once(out) as draft:
        for image in images:
            path = draft / f"{image.name}.{'tif' if image.as_tiff else 'png'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            with ExitStack() as stack:
                beside = {
                    layers: stack.enter_context(
                        BandsFile(draft / f"{image.name}.{extra}.tif", image, bands)
                    )
                    for extra, layers, bands in _beside(image)
                }
                _write_mask(image, _labels(image.strips, beside), path)
            count += 1
    return count


def _beside(image: PredictedImage) -> Iterator[tuple[Extra, Sequence[Layer], Sequence[str]]]:
    """Yield what is written beside an image's mask: the layers of each file, and its bands."""
    for extra, layers in EXTRAS.items():
        if there := tuple(layer for layer in layers if layer in image.layers):
            yield extra, there, image.class_names if extra == "probabilities" else there


def _labels(
    strips: Iterable[Layers], beside: Mapping[Sequence[Layer], BandsFile]
) -> Iterator[np.ndarray]:
    """Yield the labels of strips, whose other layers are written as they pass."""
    for strip in strips:
        for layers, file in beside.items():
            file.add(np.concatenate([_with_bands(strip[layer]) for layer in layers]))
        yield strip["labels"]


def _with_bands(values: np.ndarray) -> np.ndarray:
    return values[None] if values.ndim == 2 else values


def _write_mask(image: PredictedImage, strips: Iterator[np.ndarray], path: Path) -> None:
    if image.as_tiff:
        write_labels(image, strips, path)
    else:
        Image.fromarray(np.concatenate(list(strips))).save(path)


def _holds_masks(path: Path) -> bool:
    with zipfile.ZipFile(path) as opened:
        held = set(opened.namelist())
    known = {f"{name}.npy" for name in (*ARRAYS.values(), "names")}
    return {"masks.npy", "names.npy"} <= held <= known


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


def refuse_names(names: Collection[str], beside: Collection[Extra]) -> None:
    """Refuse frames of which something that is written would have the name of something else, or one
    that file systems do not take.

    Raises:
        UserError: There are such.
    """
    folders = {above.as_posix() for name in names for above in PurePosixPath(name).parents}
    for name in names:
        for extra in beside:
            if f"{name}.{extra}" in names:
                raise UserError(
                    f"{name}.{extra} is an image, and what --{extra} writes for {name} is called so: "
                    f"rename one of them"
                )
        for written in (f"{name}.png", f"{name}.tif", *(f"{name}.{extra}.tif" for extra in beside)):
            if written in folders:
                raise UserError(
                    f"{written} is a folder of images, and what is written for {name} may be called "
                    f"so: rename one of them"
                )
            if (size := len(os.fsencode(written.rpartition("/")[2]))) > LONGEST_NAME:
                raise UserError(
                    f"{written} would be written, and file systems take names of {LONGEST_NAME} "
                    f"bytes, not of {size}: rename the image, or give an npz for --out"
                )


def _of_one_size(images: Iterable[PredictedImage], out: Path) -> Iterator[PredictedImage]:
    """Yield the same images.

    Raises:
        UserError: They differ in size.
    """
    first: PredictedImage | None = None
    for image in images:
        first = first or image
        sizes = [(each.name, (each.height, each.width)) for each in (first, image)]
        refuse_mixed_sizes(sizes, out)
        yield image
