"""Reading of a folder with ``images/`` and ``masks/``, an optional ``groups.csv`` and an optional ``classes.yaml``."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from objectives.data.classes import Classes, numbered_classes, read_classes
from objectives.data.decode import SUFFIXES, decode_image, decode_mask
from objectives.errors import Problem, ProblemsError, UserError


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
        return decode_image(self.image_paths[index], self.place(index))

    def mask(self, index: int) -> np.ndarray:
        """Its raw labels as (H, W)."""
        path = self.mask_paths[index]
        return decode_mask(path, path.relative_to(self.root).as_posix())


def read_folder(root: Path) -> FolderSource:
    """The labelled frames of a folder: every image that has a mask; what is missing stands in ``problems``.

    Masks are label images (palette indices or grey values). Without a ``classes.yaml`` the classes are the labels found,
    named ``class_0`` .., and no label is ignored.

    Raises:
        ProblemsError: ``images/`` or ``masks/`` is not there or holds no image.
    """
    missing = [name for name in ("images", "masks") if not (root / name).is_dir()]
    if missing:
        rule = "must be a folder of PNG, JPG or TIFF files"
        raise ProblemsError(str(root), [Problem(f"{root / name}", rule, "nothing there") for name in missing])
    images, problems = find_images(root / "images", root)
    masks, mask_problems = find_images(root / "masks", root)
    if not images:
        raise ProblemsError(str(root), [Problem(f"{root / 'images'}", "must hold PNG, JPG or TIFF files", "none")])
    problems += mask_problems
    problems += [Problem(_show(images[name], root), "must have a mask", f"no masks/{name}.*") for name in images.keys() - masks]
    problems += [
        Problem(_show(masks[name], root), "must have an image", f"no images/{name}.*") for name in masks.keys() - images
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
        if hidden or path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = relative.with_suffix("").as_posix()
        if name in found:
            problems.append(Problem(_show(path, root), "two files must not share one name", _show(found[name], root)))
        found.setdefault(name, path)
    return found, problems


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
        name = known.get(file.removeprefix("./").removeprefix("images/"))
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


def _group_rows(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():  # a pipe would be waited for without end
        raise UserError("no file")
    with path.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened, strict=True, skipinitialspace=True)
        if not {"file", "group"} <= set(reader.fieldnames or ()):
            raise UserError(f"the columns {', '.join(reader.fieldnames or ()) or 'none'}")
        return [((row["file"] or "").strip(), (row["group"] or "").strip()) for row in reader]
