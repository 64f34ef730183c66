"""The files of labelled frames below a folder, as a layout says: pairs of an image and its mask
files.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from objectives.data.reading.companions import may_be_an_image
from objectives.data.reading.image_forms import FORMS, NO_VOLUMES, SUFFIXES, is_volume
from objectives.data.reading.layout import OF_MASKS, Layout
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.table_rows import UNREADABLE, TableRow, read_rows
from objectives.data.reading.walk import list_files
from objectives.errors import Problem, ProblemsError

UNREAD = f"must be a {FORMS} file (or lie elsewhere)"
Key = tuple[int, tuple[str, ...]]  # which pattern, and the fields that image and mask share


@dataclass(frozen=True)
class MaskFile:
    """One mask file of a frame; ``kind`` is the class whose pixels it holds, where its name says
    so.
    """

    path: Path
    kind: str = ""


@dataclass(frozen=True)
class FrameFiles:
    """An image and its masks, none where it has no file of them."""

    name: str  # of the image, below the folder that all images share, without its suffix
    image: Path
    masks: tuple[MaskFile, ...]
    part: str = ""  # as the image's path says it
    group: str = ""


@dataclass
class FoundFiles:
    """What lies below a folder: images, masks by the image that they belong to, and what is wrong."""

    root: Path
    layout: Layout
    images: dict[Key, FrameFiles] = field(default_factory=dict)
    masks: dict[Key, list[MaskFile]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unnamed: int = 0  # image files that no row of a table names
    _unread: set[tuple[bool, Key]] = field(default_factory=set)
    _seen: dict[tuple[object, ...], Path] = field(default_factory=dict)

    def paired(self, left_out: Iterable[str] = ()) -> list[FrameFiles]:
        """Return the frames that have an image and what they need of masks, by name; what lacks the
        other is a problem, but for those that are ``left_out`` by name.
        """
        without = set(left_out)
        needs_mask = self.layout.without_mask == "refuse"
        frames = []
        for key, frame in self.images.items():
            masks = self.masks.get(key, [])
            if frame.name in without:
                continue
            if masks or self.layout.without_mask == "background":
                held = tuple(sorted(masks, key=lambda mask: mask.path.as_posix()))
                frames.append(FrameFiles(frame.name, frame.image, held, frame.part, frame.group))
            elif needs_mask and (True, key) not in self._unread:
                self.problems.append(self._lonely(frame.image, key, "a mask"))
        for key, masks in self.masks.items():
            if key not in self.images and (False, key) not in self._unread:
                self.problems.append(self._lonely(masks[0].path, key, "an image"))
        return sorted(frames, key=lambda frame: frame.name)

    def add(self, path: Path, index: int, fields: Mapping[str, str], *, is_mask: bool) -> None:
        """Take a file in that fits a pattern."""
        shared = sorted(self.layout.masks_of(index).fields - OF_MASKS)
        key = index if len(self.layout.masks) > 1 else 0, tuple(fields[name] for name in shared)
        if path.suffix.lower() not in SUFFIXES:
            if may_be_an_image(path):
                self._unread.add((is_mask, key))
                rule = NO_VOLUMES if is_volume(path.name) else UNREAD
                value = f"a {path.suffix or 'nameless'} file"
                self.problems.append(Problem(self.shown(path), rule, value))
            return
        name = "" if is_mask else frame_name(path, self._above)
        marks: list[tuple[object, ...]] = [("image", key), ("name", name)]
        if is_mask:
            marks = [("mask", key, fields.get("class"), fields.get("object"))]
        if before := next((self._seen[mark] for mark in marks if mark in self._seen), None):
            rule = "two files must not share one name"
            self.problems.append(Problem(self.shown(path), rule, self.shown(before)))
            return
        self._seen |= dict.fromkeys(marks, path)
        if is_mask:
            self.masks.setdefault(key, []).append(MaskFile(path, fields.get("class", "")))
        else:
            part, group = fields.get("part", ""), fields.get("group", "")
            self.images[key] = FrameFiles(name, path, (), part, group)

    def add_row(self, table: Path, row: TableRow, part: str, *, masks: bool = True) -> None:
        """Take in the files that a row of a table names, without its mask unless ``masks``."""
        where = f"{self.shown(table)} line {row.line}"
        image = self._named(table, row.image, where, self.layout.columns[0])
        mask = self._named(table, row.mask, where, self.layout.columns[1]) if row.mask else None
        if image is None or (row.mask and mask is None and masks):
            return
        above = self._above if image.is_relative_to(self._above) else self.root
        name = frame_name(image, above)
        if before := self._seen.get(("name", name)):
            rule = "two rows must not name one image, nor two that share a name"
            self.problems.append(Problem(where, rule, self.shown(before)))
            return
        self._seen["name", name] = image
        key = 0, (name,)
        self.images[key] = FrameFiles(name, image, (), part)
        if mask:
            self.masks[key] = [MaskFile(mask)]

    def _named(self, table: Path, text: str, where: str, column: str) -> Path | None:
        """Return the file that a row names; None where it is none, which is a problem."""
        path = Path(os.path.normpath(table.parent / text))
        if text and path.is_relative_to(self.root) and path.suffix.lower() in SUFFIXES:
            with suppress(OSError, ValueError):  # a name too long; a null byte
                if path.is_file():
                    return path
        rule = f"{column} must be a {FORMS} file, as a path from where {table.name} lies"
        self.problems.append(Problem(where, rule, text or "nothing"))
        return None

    def shown(self, path: Path) -> str:
        """Return a path as problems name it."""
        return path.relative_to(self.root).as_posix()

    @cached_property
    def _above(self) -> Path:
        """The folder that names of frames begin in."""
        return self.root / self.layout.above

    @cached_property
    def _folded_masks(self) -> dict[tuple[object, ...], Path]:
        """A mask of each image, by what it is called in small letters; asked for when all are
        known.
        """
        return {
            (index, *map(str.casefold, values)): masks[0].path
            for (index, values), masks in self.masks.items()
        }

    @cached_property
    def _folded_images(self) -> dict[tuple[object, ...], Path]:
        """The same of the images."""
        return {
            (index, *map(str.casefold, values)): frame.image
            for (index, values), frame in self.images.items()
        }

    def _lonely(self, path: Path, key: Key, partner: str) -> Problem:
        """Return the problem of a file without its partner; one that differs in case alone is
        shown.
        """
        index, values = key
        if self.layout.table:
            value = f"nothing in its row's {self.layout.columns[1]}"
            return Problem(self.shown(path), f"must have {partner}", value)
        image, mask = self.layout.images[index], self.layout.masks_of(index)
        fields = dict(zip(sorted(mask.fields - OF_MASKS), values, strict=True))
        wanted = (mask if partner == "a mask" else image).filled(fields)
        near = (self._folded_masks if partner == "a mask" else self._folded_images).get(
            (index, *map(str.casefold, values))
        )
        hint = f", but {self.shown(near)}: large and small letters count" if near else ""
        return Problem(self.shown(path), f"must have {partner}", f"no {wanted}{hint}")


def find_files(root: Path, layout: Layout) -> FoundFiles:
    """Return the images and masks below a folder.

    Raises:
        ProblemsError: A folder that the layout names is not there, or there is no image.
    """
    folders = layout.folders
    missing = [folder for folder in folders if not (root / folder).is_dir()]
    if missing:
        rule = f"must be a folder of {FORMS} files, or data.yaml must say where they lie"
        problems = [Problem(f"{root / name}", rule, "nothing there") for name in missing]
        raise ProblemsError(str(root), problems)
    found = FoundFiles(root, layout)
    if layout.table:
        _take_rows(found, layout.table)
    else:
        for path in _listed(root, folders, found.problems):
            for fit in _fits(found.shown(path), layout):
                found.add(path, *fit[:2], is_mask=fit[2])
    if not found.images:
        where = ", ".join(str(root / pattern.text) for pattern in layout.of_images)
        none = Problem(where, f"must hold {FORMS} files", "none")
        raise ProblemsError(str(root), found.problems or [none])
    return found


def find_images(root: Path, layout: Layout) -> tuple[dict[str, Path], list[Problem]]:
    """Return the images alone by name, and what is wrong."""
    found = FoundFiles(root, layout)
    if layout.table:
        _take_rows(found, layout.table, masks=False)
    for path in _listed(root, sorted({each.folder for each in layout.images}), found.problems):
        for index, fields, is_mask in _fits(found.shown(path), layout):
            if not is_mask:
                found.add(path, index, fields, is_mask=False)
    return {frame.name: frame.image for frame in found.images.values()}, found.problems


def named_in_tables(root: Path, layout: Layout) -> list[Path]:
    """Return the files that rows of tables name, wherever they lie."""
    assert layout.table
    found = FoundFiles(root, layout)
    _take_rows(found, layout.table)
    masks = [mask.path for masks_of in found.masks.values() for mask in masks_of]
    return [*(frame.image for frame in found.images.values()), *masks]


def _take_rows(found: FoundFiles, table: Pattern, *, masks: bool = True) -> None:
    """Take in what the rows of all tables of a pattern name, and count the images in none."""
    files = list(_listed(found.root, [table.folder], found.problems))
    for path in files:
        fields = table.values(unicodedata.normalize("NFC", found.shown(path)))
        if fields is None:
            continue
        try:
            for row in read_rows(path, found.layout.columns):
                found.add_row(path, row, fields.get("part", ""), masks=masks)
        except UNREADABLE as error:
            rule = f"must be CSV or JSON lines with the columns {', '.join(found.layout.columns)}"
            found.problems.append(Problem(found.shown(path), rule, str(error)))
    named = {frame.image for frame in found.images.values()}
    named |= {mask.path for masks_of in found.masks.values() for mask in masks_of}
    found.unnamed = sum(path.suffix.lower() in SUFFIXES and path not in named for path in files)


def frame_name(path: Path, folder: Path) -> str:
    """Return what a frame is called: its path below the folder without suffix, in Unicode's normal
    form NFC.
    """
    return unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())


def _fits(place: str, layout: Layout) -> Iterator[tuple[int, dict[str, str], bool]]:
    """Yield for which image patterns a file is an image, or a mask: it is what the pattern with
    the most given letters says.
    """
    path = unicodedata.normalize("NFC", place)
    images = [
        (pattern.weight, index, fields)
        for index, pattern in enumerate(layout.images)
        if (fields := pattern.values(path)) is not None
    ]
    masks = [
        (pattern.weight, index, fields)
        for index, pattern in enumerate(layout.masks)
        if (fields := pattern.values(path)) is not None
    ]
    heaviest = max((weight for weight, _, _ in (*images, *masks)), default=0)
    heavy_images = [fit for fit in images if fit[0] == heaviest]
    for _, index, fields in heavy_images[:1] or [fit for fit in masks if fit[0] == heaviest]:
        yield index, fields, not heavy_images


def _listed(root: Path, folders: list[str], problems: list[Problem]) -> Iterator[Path]:
    """Yield each file below the folders once."""
    for folder in folders:
        if any(folder != other and _lies_in(folder, other) for other in folders):
            continue
        listing = list_files(root / folder, root)
        problems += listing.problems
        yield from map(Path, listing.files)


def _lies_in(folder: str, other: str) -> bool:
    return not other or folder.startswith(f"{other}/")
