"""Which tool an export is of, by what lies there."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, assert_never

from objectives.errors import UserError
from objectives.importing.coco import read_coco
from objectives.importing.export import Export
from objectives.importing.label_studio import read_label_studio
from objectives.importing.labelme import read_labelme
from objectives.importing.run_table import is_run_table, read_run_table
from objectives.importing.yolo import PARTS, read_yolo

Form = Literal["coco", "labelme", "yolo", "label-studio", "kaggle"]
WANTED = (
    "a COCO JSON, a folder of LabelMe JSONs, a YOLO data.yaml with its labels, a Label Studio JSON, or a CSV of "
    "Kaggle's runs"
)


def read_export(source: Path, images: Path | None, form: Form | None) -> Export:
    """Return an export, of the tool that it is said to be of or looks to be; its images lie in ``images``, or else beside
    it or in a folder ``images`` there.

    Raises:
        UserError: Nothing is there, or none of these is recognised.
        ProblemsError: The file breaks its tool's rules.
    """
    if not source.exists():
        raise UserError(f"{source}: nothing is there; name {WANTED}")
    found = next(((path, kind) for path, kind in _seen(source) if form in (None, kind)), None)
    if found is None:
        wanted = f"nothing of {form}" if form else "no export"
        raise UserError(f"{source}: {wanted} is recognised; name {WANTED}")
    path, kind = found
    folder = path if path.is_dir() else path.parent
    folders: Sequence[Path] = [images] if images else [folder, folder / "images"]
    match kind:
        case "coco":
            return read_coco(path, folders)
        case "labelme":
            return read_labelme(path, folders)
        case "yolo":
            return read_yolo(path)
        case "label-studio":
            return read_label_studio(path, folders)
        case "kaggle":
            return read_run_table(path, folders)
        case _:
            assert_never(kind)


def _seen(source: Path) -> Iterator[tuple[Path, Form]]:
    """Yield what a file or the files of a folder look like."""
    if source.is_file():
        if kind := _kind_of(source):
            yield source, kind
        return
    for path in sorted([*source.glob("*.yaml"), *source.glob("*.yml")]):
        if any(line.partition(":")[0] in PARTS for line in _text(path).splitlines()):
            yield path, "yolo"
    for path in sorted(source.rglob("*.json")):
        match _kind_of(path):
            case "labelme":
                yield source, "labelme"
            case "coco" | "label-studio" as kind:
                yield path, kind


def _kind_of(path: Path) -> Form | None:
    if path.suffix.lower() in {".yaml", ".yml"}:
        return "yolo"
    if path.suffix.lower() == ".csv":
        return "kaggle" if is_run_table(path) else None
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return "coco" if path.suffix.lower() == ".json" else None  # whose reader says what is wrong
    if isinstance(content, list):
        return "label-studio"
    if isinstance(content, dict) and "shapes" in content:
        return "labelme"
    return "coco" if isinstance(content, dict) and "annotations" in content else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
