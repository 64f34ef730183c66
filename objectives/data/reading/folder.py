"""Reading of a folder with ``images/`` and ``masks/``, an optional ``groups.csv`` and an optional
``classes.yaml``.
"""

import os
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from objectives.data.options import Exif
from objectives.data.reading.classes import Classes, numbered_classes
from objectives.data.reading.classes_file import classes_of
from objectives.data.reading.decode import (
    LabelImage,
    Picture,
    read_label_image,
    read_picture,
    refuse_undeclared,
)
from objectives.data.reading.frames import Frame
from objectives.data.reading.groups_file import read_groups
from objectives.data.reading.raster import FORMS, SUFFIXES, form_of
from objectives.data.reading.settings_files import CLASSES, GROUPS, settings_file, unread_files
from objectives.data.reading.walk import list_files
from objectives.data.values import AS_STORED, Values
from objectives.errors import Problem, ProblemsError

_TEXTS = (
    ".txt .md .rst .csv .tsv .json .jsonl .geojson .xml .yaml .yml .toml .html .log .ini .py "
    ".ipynb .sh"
)
_LEFT_BY_PROGRAMS = ".db .lnk .sha256 .md5 .shp .shx .dbf .cpg .qml .aux .ovr .prj"
_WORLD_FILES = ".wld .tfw .tifw .tiffw .jgw .jpgw .jpegw .pgw .pngw .bpw .gfw"
# what may lie beside images and is none
COMPANIONS = frozenset(f"{_TEXTS} {_LEFT_BY_PROGRAMS} {_WORLD_FILES}".split())
UNREAD = f"must be a {FORMS} file (or lie elsewhere)"


@dataclass(frozen=True)
class FolderSource:
    """Frames as files: mask ``masks/a.png`` belongs to image ``images/a.jpg``; sub-folders count as
    part of the name.

    Names are in Unicode's normal form NFC: a Mac writes the same name in other bytes. ``exif`` says
    what an orientation tag of either file does.
    """

    root: Path
    names: tuple[str, ...]
    image_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    groups: tuple[str, ...]
    classes: Classes | None
    problems: tuple[Problem, ...] = ()
    numbered: bool = False
    exif: Exif = "turn"
    values: Values = AS_STORED
    layout_text: str = "images: images/{path}.*\nmasks: masks/{path}.*\n"

    def guess(self, count: int) -> Classes:
        """Numbered classes, none of them ignored: only the owner of the data can say that a label
        means nothing.
        """
        return numbered_classes(count)

    def place(self, index: int) -> str:
        """Return the image file, as a problem names it."""
        return self.image_paths[index].relative_to(self.root).as_posix()

    def image(self, index: int) -> np.ndarray:
        """Image ``index`` as (H, W, C)."""
        return self._picture(index).pixels_HWC

    def mask(self, index: int) -> np.ndarray:
        """Return its raw labels as (H, W)."""
        mask = self._label_image(index)
        place = _show(self.mask_paths[index], self.root)
        refuse_undeclared(mask.undeclared, place, self.values)
        return mask.labels_HW

    def frame(self, index: int) -> Frame:
        """Image and mask, with what their files say of them."""
        problems: list[Problem] = []
        try:
            picture = self._picture(index)
        except ProblemsError as error:
            problems += error.problems
        try:
            mask = self._label_image(index)
        except ProblemsError as error:
            problems += error.problems
        if problems:
            raise ProblemsError(self.place(index), problems)
        return Frame(
            picture.pixels_HWC,
            mask.labels_HW,
            picture.tags,
            mask.tags,
            mask.colours,
            mask.undeclared,
        )

    def read_by(self, values: Values) -> Self:
        """Return the same frames, the values of their masks read by this table."""
        return replace(self, values=values)

    def _picture(self, index: int) -> Picture:
        return read_picture(self.image_paths[index], self.place(index), self.exif)

    def _label_image(self, index: int) -> LabelImage:
        path = self.mask_paths[index]
        return read_label_image(path, _show(path, self.root), self.exif, self.values)


def read_folder(root: Path, exif: Exif = "turn") -> FolderSource:
    """Return the labelled frames of a folder: every image that has a mask; what is missing stands
    in ``problems``.

    Masks are label images (palette indices or grey values). Without a ``classes.yaml`` the classes
    are the labels found, named ``class_0`` .., and no label is ignored.

    Raises:
        ProblemsError: ``images/`` or ``masks/`` is not there or holds no image.
    """
    missing = [name for name in ("images", "masks") if not (root / name).is_dir()]
    if missing:
        rule = f"must be a folder of {FORMS} files"
        raise ProblemsError(
            str(root), [Problem(f"{root / name}", rule, "nothing there") for name in missing]
        )
    images, problems = find_images(root / "images", root)
    masks, mask_problems = find_images(root / "masks", root)
    if not images:
        problems += mask_problems or [
            Problem(f"{root / 'images'}", f"must hold {FORMS} files", "none")
        ]
        raise ProblemsError(str(root), problems)
    problems += mask_problems
    unread = {
        Path(problem.where).with_suffix("").as_posix()
        for problem in problems
        if problem.rule == UNREAD
    }
    problems += _without_partner(images, masks, root, "mask", unread)
    problems += _without_partner(masks, images, root, "image", unread)
    names = sorted(images.keys() & masks.keys())
    groups, group_problems = read_groups(settings_file(root, GROUPS), names, images)
    classes, class_problems = _read_classes(settings_file(root, CLASSES))
    return FolderSource(
        root,
        tuple(names),
        tuple(images[name] for name in names),
        tuple(masks[name] for name in names),
        groups,
        classes,
        tuple(sorted(problems, key=str) + group_problems + class_problems + [*unread_files(root)]),
        exif=exif,
        values=classes.values if classes else AS_STORED,
    )


def find_images(folder: Path, root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """Return the image files below a folder by name (path without suffix), sorted; two of one name
    are a problem.
    """
    listing = list_files(folder, root)
    images: dict[str, Path] = {}
    problems = [*listing.problems]
    for path in map(Path, listing.files):
        if path.suffix.lower() not in SUFFIXES:
            if _may_be_an_image(path):
                problems.append(
                    Problem(_show(path, root), UNREAD, f"a {path.suffix or 'nameless'} file")
                )
            continue
        name = frame_name(path, folder)
        if name in images:
            problems.append(
                Problem(
                    _show(path, root),
                    "two files must not share one name",
                    _show(images[name], root),
                )
            )
        images.setdefault(name, path)
    return images, problems


def frame_name(path: Path, folder: Path) -> str:
    """Return what a frame is called: its path below the folder without suffix, in Unicode's normal
    form NFC.
    """
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _without_partner(
    these: dict[str, Path], those: dict[str, Path], root: Path, partner: str, unread: set[str]
) -> list[Problem]:
    """Return a problem for each image without its mask, or mask without its image; names that
    differ in case alone are shown.

    One whose partner is there and ``unread`` has its problem already.
    """
    folded = {name.casefold(): path for name, path in those.items()}
    problems = []
    for name in these.keys() - those.keys():
        if f"{partner}s/{name}" in unread:
            continue
        near = folded.get(name.casefold())
        hint = f", but {_show(near, root)}: large and small letters count" if near else ""
        article = "an" if partner == "image" else "a"
        problems.append(
            Problem(
                _show(these[name], root),
                f"must have {article} {partner}",
                f"no {partner}s/{name}.*{hint}",
            )
        )
    return problems


def _may_be_an_image(path: Path) -> bool:
    """Return whether a file with no suffix of an image would be missed: all but texts and other
    companions may be one.
    """
    if path.suffix:
        return path.suffix.lower() not in COMPANIONS
    try:
        with path.open("rb") as opened:
            return bool(form_of(opened.read(12)))
    except OSError:
        return True


def _show(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _read_classes(path: Path) -> tuple[Classes | None, list[Problem]]:
    if not os.path.lexists(path):
        return None, []
    try:
        return classes_of(path), []
    except ProblemsError as error:
        return None, list(error.problems)
