"""A bundle of a study with a table of values, a range or converted channels reads new files as its
study did.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import PartScore
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.ensemble.program import build_program
from objectives.errors import ProblemsError
from objectives.program.settings import ProgramSettings
from tests.support.bundles_made import origin
from tests.support.small_bundles import SMALL, predicted

COUNT, HEIGHT, WIDTH = 20, 16, 24
RNG = np.random.default_rng(5)
TRUTH = RNG.integers(0, 2, (COUNT, HEIGHT, WIDTH))


def bundle_of(data: Dataset, place: Path) -> Path:
    """A bundle of an untrained network for this data."""
    torch.manual_seed(0)
    settings = ProgramSettings.single(SMALL, data.spec)
    provenance = origin(PartScore(frames=COUNT, score=0.5, iou=(0.5, 0.5)))
    write_bundle(
        place, build_program(settings).eval(), settings, provenance, frames=data.hashes_by_part
    )
    return place


@pytest.mark.long
def test_values_and_channels_are_the_bundle_s(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(COUNT):
        shape = (HEIGHT, WIDTH, 3) if number % 2 else (HEIGHT, WIDTH)
        image = RNG.integers(0, 256, shape, np.uint8)
        Image.fromarray(image).save(root / f"images/{number:02d}.png")
        mask = (TRUTH[number] * 255).astype(np.uint8)
        Image.fromarray(mask).save(root / f"masks/{number:02d}.png")
    (root / "classes.yaml").write_text("classes: {0: a, 1: b}\nvalues: {255: 1}\n")
    data = open_dataset(str(root), DataOptions(channels="grey"), tmp_path / "cache")
    bundle = bundle_of(data, tmp_path / "bundle")
    assert load_bundle(bundle).spec == data.spec
    first = evaluate_bundle(bundle, root)
    assert first.own == len(data.parts["validation"])
    (root / "classes.yaml").unlink()  # what the study knew is enough
    again = evaluate_bundle(bundle, root)
    assert again.own == first.own
    assert again.evaluation.score == first.evaluation.score
    for engine in ("torch", "onnx"):
        masks = predicted(bundle, tmp_path, engine=engine, source="frames")
        assert masks.shape == (COUNT, HEIGHT, WIDTH)
    assert "Colours go in as grey" in (bundle / "README.md").read_text()
    plain = data.spec.model_copy(update={"values": ()})
    other = bundle_of(Dataset(**{**vars(data), "spec": plain}), tmp_path / "plain")
    with pytest.raises(ProblemsError, match="masks: value 255: labels must be among the 2 classes"):
        evaluate_bundle(other, root)


@pytest.mark.long
def test_a_range_is_the_bundle_s(tmp_path: Path) -> None:
    root = tmp_path / "frames"
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in range(COUNT):
        heights = RNG.normal(100, 20, (HEIGHT, WIDTH)).astype(np.float32)
        tifffile.imwrite(root / f"images/{number:02d}.tif", heights)
        Image.fromarray(TRUTH[number].astype(np.uint8)).save(root / f"masks/{number:02d}.png")
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\nrange: [0, 200]\n"
    (root / "data.yaml").write_text(layout)
    data = open_dataset(str(root), DataOptions(), tmp_path / "cache")
    bundle = bundle_of(data, tmp_path / "bundle")
    with_layout = predicted(bundle, tmp_path, source="frames")
    first = evaluate_bundle(bundle, root)
    (root / "data.yaml").unlink()
    out = tmp_path / "frames-again"
    root.rename(out)
    assert np.array_equal(predicted(bundle, tmp_path, flips="off", source=out.name), with_layout)
    again = evaluate_bundle(bundle, out)
    assert (again.own, again.evaluation.score) == (first.own, first.evaluation.score)
    assert "pixels of 0 to 200 become" in (bundle / "README.md").read_text()
