"""Labels of foreign masks: those that mask files write, not those under which a model
keeps them.
"""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectives.data.dataset import DataOptions, open_dataset, read_labelled
from objectives.data.reading.synthetic import write_folder
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError

CLASSES = "ignore: 255\nclasses: {0: ground, 1: soil, 2: rock}\n"


def write_masks(root: Path, rest: int) -> None:
    """Frames of three classes; what is of a fourth or fifth is ``rest``."""
    write_folder(root, 40)
    for path in (root / "masks").iterdir():
        mask_HW = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask_HW[mask_HW > 2] = rest
        cv2.imwrite(str(path), mask_HW)
    (root / "classes.yaml").write_text(CLASSES)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> FrameSpec:
    """The frames of a study whose classes.yaml names an ignored label beyond its classes."""
    folder = tmp_path_factory.mktemp("own")
    write_masks(folder, 255)
    return open_dataset(str(folder), DataOptions(), folder / "cache").spec


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Frames of somebody who has no classes.yaml."""
    write_masks(tmp_path / "foreign", 255)
    (tmp_path / "foreign" / "classes.yaml").unlink()
    return tmp_path / "foreign"


def test_a_bundle_knows_the_ignored_label_of_mask_files(spec: FrameSpec, foreign: Path) -> None:
    assert (spec.num_classes, spec.ignore_label, spec.raw_ignore) == (4, 3, 255)
    labelled = read_labelled(foreign, FrameSpec.model_validate_json(spec.model_dump_json()))
    assert set(np.unique(labelled.masks[0]).tolist()) <= {0, 1, 2, 3}
    assert any((mask == 3).any() for mask in labelled.masks)


@pytest.mark.parametrize("known", [True, False], ids=["this program's bundle", "an older one"])
def test_a_foreign_class_is_refused_and_not_taken_for_ignored(
    known: bool, spec: FrameSpec, foreign: Path
) -> None:
    write_masks(foreign, 3)
    (foreign / "classes.yaml").unlink()
    with pytest.raises(ProblemsError, match=r"value 3: labels must be among the 4 classes"):
        read_labelled(foreign, spec if known else spec.model_copy(update={"raw_ignore": None}))


def test_the_ignored_label_of_an_option_is_known_too(foreign: Path, tmp_path: Path) -> None:
    shutil.copytree(foreign, tmp_path / "own")
    spec = open_dataset(str(tmp_path / "own"), DataOptions(ignore="255"), tmp_path / "cache").spec
    assert spec.raw_ignore == 255
    assert read_labelled(foreign, spec).names
