"""The texts beside the frames, data.yaml, classes.yaml, groups.csv and splits.csv, and files that
look like one of them and are not read.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from objectives.data.reading.image_forms import SUFFIXES
from objectives.errors import Problem

LAYOUT = ("data.yaml", "data.yml")
GROUPS = ("groups.csv",)
SPLITS = ("splits.csv",)
LABELMAP = "labelmap.txt"  # of a CVAT export
CLASSES = ("classes.yaml", "classes.yml", LABELMAP)  # the first that is there is read
ALIKE = {  # stems that say the same, in small letters
    GROUPS: {"group", "groups"},
    SPLITS: {"split", "splits"},
    CLASSES: {
        "class",
        "classes",
        "class_names",
        "classnames",
        "class-names",
        "labelmap",
        "label_map",
    },
}


def settings_file(root: Path, names: tuple[str, ...]) -> Path:
    """Return the file of these names that is there, if only as a broken link; else where it would
    be.
    """
    return next((root / name for name in names if os.path.lexists(root / name)), root / names[0])


def seen_files(root: Path) -> list[Path]:
    """Return every file that is read as one of them, or looks like one: what a change of the data
    may lie in.
    """
    layouts = [root / name for name in LAYOUT if os.path.lexists(root / name)]
    return [*layouts, *(path for path, _ in _alike(root))]


def unread_files(root: Path) -> Iterator[Problem]:
    """Yield a problem for each file that looks like one of them and is not read.

    A file of another format is left alone where the right one lies beside the frames: another
    program may need it.
    """
    if os.path.lexists(root / LAYOUT[0]) and os.path.lexists(root / LAYOUT[1]):
        rule = f"must not lie beside {LAYOUT[0]}: which one is meant?"
        yield Problem(LAYOUT[1], rule, LAYOUT[1])
    for path, names in _alike(root):
        read = settings_file(root, names)
        there = os.path.lexists(read)
        formats = {Path(name).suffix for name in names if name != LABELMAP}
        if path == read or (there and path.suffix.lower() not in formats):
            continue
        shown = path.relative_to(root).as_posix()
        if there:
            yield Problem(shown, f"must not lie beside {read.name}: which one is meant?", shown)
        else:
            rule = (
                f"is not read: write it as {names[0]}, beside images/ and masks/, or take it away"
            )
            yield Problem(shown, rule, shown)


def _alike(root: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the files whose names say that they are one of them, in the folder, in images/ and in
    masks/, and what they seem.
    """
    for folder in (root, root / "images", root / "masks"):
        for name in _names_in(folder):
            stem, suffix = os.path.splitext(name.lower())  # noqa: PTH122 - a Path for each of many files is slow
            for names, stems in ALIKE.items():
                if stem in stems and suffix not in SUFFIXES and not (folder / name).is_dir():
                    yield folder / name, names


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:  # whoever lists the frames says why
        return []
