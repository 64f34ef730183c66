"""A good folder of frames, and every way in which the commands read one."""

import json
from contextlib import suppress
from pathlib import Path

from objectives.data.dataset import DataOptions, open_dataset
from objectives.data.predicting import read_images, read_labelled
from objectives.data.preparing.check import check
from objectives.errors import SearchError
from tests.support.folder_parts import CLASSES, GROUPS, HEIGHT, IMAGES, MASKS, WIDTH, encoded
from tests.support.frame_specs import frame_spec

SPEC = frame_spec((HEIGHT, WIDTH), ("void", "soil", "rock"), mean=(0.5,))


def write_good(root: Path) -> None:
    for part, frames in (("images", IMAGES), ("masks", MASKS)):
        (root / part).mkdir(parents=True)
        for number, frame in enumerate(frames):
            (root / part / f"f{number:02d}.png").write_bytes(encoded(frame))
    (root / "classes.yaml").write_text(CLASSES[0])
    (root / "groups.csv").write_text(GROUPS[0])


def read_all(root: Path, options: DataOptions, cache: Path) -> None:
    """Every way in which the commands read a folder."""
    report = check(str(root), options)
    for problem in report.problems:
        assert str(problem).isprintable()
    json.dumps(report.as_json())
    if not report.problems:
        data = open_dataset(str(root), options, cache)
        assert len(data.images) == len(data.masks) == report.kept
    with suppress(SearchError):
        read_labelled(str(root), SPEC)
    for _, image in read_images(root):
        assert image.ndim == 3
