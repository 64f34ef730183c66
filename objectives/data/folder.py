"""Reading of a folder with ``images/`` and ``masks/``, an optional ``groups.csv`` and an optional ``classes.yaml``."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectives.data.classes import Classes, numbered_classes, read_classes
from objectives.data.decode import read_label_image, read_picture
from objectives.data.frames import Frame
from objectives.data.raster import FORMS, SUFFIXES, form_of
from objectives.errors import Problem, ProblemsError, UserError

_TEXTS = ".txt .md .rst .csv .tsv .json .jsonl .geojson .xml .yaml .yml .toml .html .log .ini .py .ipynb .sh"
_LEFT_BY_PROGRAMS = ".db .lnk .sha256 .md5 .shp .shx .dbf .cpg .qml .aux .ovr .prj"
_WORLD_FILES = ".wld .tfw .tifw .tiffw .jgw .jpgw .jpegw .pgw .pngw .bpw .gfw"
COMPANIONS = frozenset(f"{_TEXTS} {_LEFT_BY_PROGRAMS} {_WORLD_FILES}".split())  # what may lie beside images and is none
UNREAD = f"must be a {FORMS} file (or lie elsewhere)"


@dataclass(frozen=True)
class FolderSource:
    """Frames as files: mask ``masks/a.png`` belongs to image ``images/a.jpg``; sub-folders count as part of the name."""

    root: Path
    names: tuple[str, ...]
    image_paths: tuple[Path, ...]
    mask_paths: tuple[Path, ...]
    groups: tuple[str, ...]
    classes: Classes | None
    problems: tuple[Problem, ...] = ()
    numbered: bool = False

    def guess(self, count: int) -> Classes:
        """Numbered classes, none of them ignored: only the owner of the data can say that a label means nothing."""
        return numbered_classes(count)

    def place(self, index: int) -> str:
        """The image file, as a problem names it."""
        return self.image_paths[index].relative_to(self.root).as_posix()

    def image(self, index: int) -> np.ndarray:
        """Image ``index`` as (H, W, C)."""
        return read_picture(self.image_paths[index], self.place(index)).pixels_HWC

    def mask(self, index: int) -> np.ndarray:
        """Its raw labels as (H, W)."""
        return read_label_image(self.mask_paths[index], _show(self.mask_paths[index], self.root)).labels_HW

    def frame(self, index: int) -> Frame:
        """Image and mask, with what their files say of them."""
        problems: list[Problem] = []
        try:
            picture = read_picture(self.image_paths[index], self.place(index))
        except ProblemsError as error:
            problems += error.problems
        try:
            mask = read_label_image(self.mask_paths[index], _show(self.mask_paths[index], self.root))
        except ProblemsError as error:
            problems += error.problems
        if problems:
            raise ProblemsError(self.place(index), problems)
        return Frame(picture.pixels_HWC, mask.labels_HW, picture.tags, mask.tags, mask.colours)


def read_folder(root: Path) -> FolderSource:
    """The labelled frames of a folder: every image that has a mask; what is missing stands in ``problems``.

    Masks are label images (palette indices or grey values). Without a ``classes.yaml`` the classes are the labels found,
    named ``class_0`` .., and no label is ignored.

    Raises:
        ProblemsError: ``images/`` or ``masks/`` is not there or holds no image.
    """
    missing = [name for name in ("images", "masks") if not (root / name).is_dir()]
    if missing:
        rule = f"must be a folder of {FORMS} files"
        raise ProblemsError(str(root), [Problem(f"{root / name}", rule, "nothing there") for name in missing])
    images, problems = find_images(root / "images", root)
    masks, mask_problems = find_images(root / "masks", root)
    if not images:
        raise ProblemsError(str(root), [*problems, Problem(f"{root / 'images'}", f"must hold {FORMS} files", "none")])
    problems += mask_problems
    unread = {Path(problem.where).with_suffix("").as_posix() for problem in problems if problem.rule == UNREAD}
    for ours, theirs, part in ((images, masks, "mask"), (masks, images, "image")):
        problems += [
            Problem(_show(ours[name], root), f"must have {'an' if part == 'image' else 'a'} {part}", f"no {part}s/{name}.*")
            for name in ours.keys() - theirs
            if f"{part}s/{name}" not in unread
        ]
    names = sorted(images.keys() & masks.keys())
    groups, group_problems = _read_groups(root / "groups.csv", names, images)
    classes, class_problems = _read_classes(root / "classes.yaml")
    return FolderSource(
        root,
        tuple(names),
        tuple(images[name] for name in names),
        tuple(masks[name] for name in names),
        groups,
        classes,
        tuple(sorted(problems, key=str) + group_problems + class_problems),
    )


def find_images(folder: Path, root: Path) -> tuple[dict[str, Path], list[Problem]]:
    """The image files below a folder by name (path without suffix), sorted; two of one name are a problem."""
    found: dict[str, Path] = {}
    problems = []
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or not path.is_file():
            continue
        if path.suffix.lower() not in SUFFIXES:
            if _may_be_an_image(path):
                problems.append(Problem(_show(path, root), UNREAD, f"a {path.suffix or 'nameless'} file"))
            continue
        name = relative.with_suffix("").as_posix()
        if name in found:
            problems.append(Problem(_show(path, root), "two files must not share one name", _show(found[name], root)))
        found.setdefault(name, path)
    return found, problems


def _may_be_an_image(path: Path) -> bool:
    """Whether a file with no suffix of an image would be missed: all but texts and other companions may be one."""
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
    if not path.exists():
        return None, []
    try:
        return read_classes(path), []
    except ProblemsError as error:
        return None, list(error.problems)


def _read_groups(path: Path, names: list[str], images: dict[str, Path]) -> tuple[tuple[str, ...], list[Problem]]:
    """The group of each name; a file may stand there with or without ``images/`` and its suffix."""
    if not path.exists():
        return (), []
    try:
        rows = _group_rows(path)
    except (OSError, UnicodeDecodeError, csv.Error, UserError) as error:
        return (), [Problem(path.name, "must be a CSV with the columns file,group", str(error))]
    folder = path.parent / "images"
    known = {alias: name for name, image in images.items() for alias in (name, image.relative_to(folder).as_posix())}
    groups: dict[str, str] = {}
    problems = []
    for line, (file, group) in enumerate(rows, start=2):
        file = file.removeprefix("./").removeprefix("images/")
        name = known.get(file) or known.get(_without_suffix(file))  # an image converted to another form keeps its group
        if name is None:
            problems.append(Problem(f"groups.csv line {line}", "must name a file in images/", file))
        elif not group:
            problems.append(Problem(f"groups.csv line {line}", "must name a group", f"{file} without one"))
        elif groups.setdefault(name, group) != group:
            problems.append(
                Problem(f"groups.csv line {line}", "a file must have one group", f"{file}: {groups[name]}, {group}")
            )
    problems += [
        Problem(_show(images[name], path.parent), "must have a group in groups.csv", "none")
        for name in names
        if name not in groups
    ]
    return (() if problems else tuple(groups[name] for name in names)), problems


def _without_suffix(file: str) -> str:
    name, dot, suffix = file.rpartition(".")
    return name if f"{dot}{suffix}".lower() in SUFFIXES else file


def _group_rows(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError("no file")
    with path.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened, strict=True, skipinitialspace=True)
        if not {"file", "group"} <= set(reader.fieldnames or ()):
            raise UserError(f"the columns {', '.join(reader.fieldnames or ()) or 'none'}")
        return [((row["file"] or "").strip(), (row["group"] or "").strip()) for row in reader]
