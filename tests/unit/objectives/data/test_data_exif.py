"""``--exif keep`` takes pixels as they lie in their files, from the check of the data to the
prediction of a bundle.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import PartScore
from objectives.data.dataset import DataOptions, Dataset, check, open_dataset
from objectives.data.options import Exif
from objectives.data.reading.frames import frame_hash
from objectives.data.spec import FrameSpec
from objectives.ensemble.program import build_program
from objectives.errors import ProblemsError
from objectives.program.settings import ProgramSettings
from search.cli.app import app
from search.place import Place
from search.study.setup import Request, prepare
from tests.support.bundles_made import origin
from tests.support.raster_bytes import exif_bytes
from tests.support.small_bundles import SMALL, predicted
from tests.support.small_bundles import SPEC as PLAIN

FRAMES, HEIGHT, WIDTH = 12, 16, 24
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(1, 256, (FRAMES, HEIGHT, WIDTH), np.uint8)
MASKS = RANDOM.integers(0, 3, (FRAMES, HEIGHT, WIDTH), np.uint8)
TURN, KEEP = DataOptions(), DataOptions(exif="keep")
RUNNER = CliRunner()


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    """JPG of which every other one is to be shown on its head, with masks drawn on the
    bare pixels.
    """
    return made(tmp_path / "frames", dict.fromkeys(range(0, FRAMES, 2), 3))


def made(root: Path, orientations: dict[int, int]) -> Path:
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    rows = "".join(f"f{index:02d},place_{index}\n" for index in range(FRAMES))
    (root / "groups.csv").write_text(f"file,group\n{rows}")
    for index in range(FRAMES):
        exif = b"Exif\0\0" + exif_bytes(orientations.get(index, 1))
        Image.fromarray(IMAGES[index]).save(
            root / f"images/f{index:02d}.jpg", quality=100, exif=exif
        )
        Image.fromarray(MASKS[index]).save(root / f"masks/f{index:02d}.png")
    return root


def bare(root: Path, index: int) -> np.ndarray:
    """The pixels as they lie in a file."""
    # which turns nothing by itself
    return np.asarray(Image.open(root / f"images/f{index:02d}.jpg"))


def prepared(root: Path, options: DataOptions) -> Dataset:
    return open_dataset(str(root), options, root.parent / "cache")


def test_kept_frames_are_the_bare_pixels_and_no_warning_is_left(tagged: Path) -> None:
    turned, kept = prepared(tagged, TURN), prepared(tagged, KEEP)
    for index in range(FRAMES):
        assert np.array_equal(kept.images[index][..., 0], bare(tagged, index))
        assert np.array_equal(kept.masks[index], MASKS[index])
        seen = bare(tagged, index)[::-1, ::-1] if index % 2 == 0 else bare(tagged, index)
        assert np.array_equal(turned.images[index][..., 0], seen)
    (warning,) = (line for line in turned.warnings if "EXIF" in line)
    assert warning.startswith(
        f"{FRAMES // 2} images are turned by their EXIF tag, their masks are not"
    )
    assert warning.endswith("--exif keep takes the pixels of all files as they lie")
    assert not [line for line in kept.warnings if "EXIF" in line or "orientation" in line]
    assert kept.fingerprint != turned.fingerprint
    assert (kept.spec.exif, turned.spec.exif) == ("keep", "turn")


def test_where_no_file_has_a_tag_the_choice_changes_no_fingerprint(tmp_path: Path) -> None:
    root = made(tmp_path / "frames", {})
    assert prepared(root, KEEP).fingerprint == prepared(root, TURN).fingerprint
    # what the bundle is asked to predict may have tags
    assert prepared(root, KEEP).spec.exif == "keep"


def test_what_was_prepared_before_there_was_a_choice_is_found(tmp_path: Path) -> None:
    """The key and the fingerprint are those that the program gave before it had the option."""
    data = open_dataset("synthetic:24", TURN, tmp_path)
    assert data.directory.name == "12f79337c08239220df0116a"
    assert data.fingerprint == "f78c40ad9258fc4299a8c53dd72782b05ac1235ffed12473f1d99ef57c15bfa7"
    assert open_dataset("synthetic:24", KEEP, tmp_path).directory != data.directory
    assert FrameSpec.model_validate(data.spec.model_dump(exclude={"exif"})) == data.spec


def test_masks_with_a_tag_are_kept_like_their_images(tagged: Path) -> None:
    Image.fromarray(MASKS[0]).save(tagged / "masks/f00.png", exif=exif_bytes(3))
    assert np.array_equal(prepared(tagged, TURN).masks[0], MASKS[0][::-1, ::-1])
    assert np.array_equal(prepared(tagged, KEEP).masks[0], MASKS[0])


def test_a_quarter_turn_names_the_choice_that_parts_the_sizes(tmp_path: Path) -> None:
    root = made(tmp_path / "frames", {1: 6})
    assert [str(problem) for problem in check(str(root), TURN).problems] == [
        "images/f01.jpg: its mask must have the image's size 24x16, got 16x24, and the image is "
        "turned by its EXIF tag "
        "(--exif keep takes pixels as they lie)"
    ]
    assert not check(str(root), KEEP).problems
    # now drawn on what a viewer shows
    Image.fromarray(MASKS[1].T.copy()).save(root / "masks/f01.png")
    assert not check(str(root), replace(TURN, size=(HEIGHT, WIDTH))).problems
    assert [str(problem) for problem in check(str(root), KEEP).problems] == [
        "images/f01.jpg: its mask must have the image's size 16x24, got 24x16, and --exif keep "
        "leaves the EXIF tag "
        "of the image aside"
    ]


def test_another_word_is_a_problem(tagged: Path) -> None:
    (problem,) = check(str(tagged), replace(TURN, exif="mirror")).problems  # type: ignore[arg-type]
    assert str(problem) == "exif: must be turn or keep, got mirror"
    assert RUNNER.invoke(app, ["data", "check", str(tagged), "--exif", "mirror"]).exit_code == 2


def test_the_commands_on_data_take_the_choice(tagged: Path) -> None:
    plain, kept = (
        RUNNER.invoke(app, ["data", "check", str(tagged), *words]).output
        for words in ([], ["--exif", "keep"])
    )
    assert "turned by their EXIF tag" in plain
    assert "EXIF" not in kept
    pictures = []
    for exif in ("turn", "keep"):
        out = tagged.parent / f"{exif}.png"
        words = [
            "--intensity",
            "0",
            "--exif",
            exif,
            "--cache",
            str(tagged.parent / "cache"),
            "--out",
            str(out),
        ]
        assert RUNNER.invoke(app, ["data", "preview", str(tagged), *words]).exit_code == 0
        pictures.append(out.read_bytes())
    assert pictures[0] != pictures[1]


def test_the_choice_belongs_to_the_study(tagged: Path) -> None:
    place = Place("", str(tagged.parent / "artifacts"), tagged.parent / "cache")
    asked = Request(name="s", source=str(tagged), space="tiny", trials=2, frames=KEEP)
    found = prepare(asked, place)
    assert found.spec.frames == asked.frames == KEEP
    assert found.spec.data_fingerprint == prepared(tagged, KEEP).fingerprint


def bundle_of(root: Path, exif: Exif) -> Path:
    """A bundle of one network, equal for both words but for them."""
    torch.manual_seed(0)
    spec = PLAIN.model_copy(
        update={"class_names": ("a", "b", "c"), "colours": PLAIN.colours[:3], "scored": (1, 2)}
    )
    settings = ProgramSettings.single(SMALL, spec.model_copy(update={"exif": exif}))
    frames = {"validation": [frame_hash(bare(root, index)[..., None]) for index in range(FRAMES)]}
    provenance = origin(PartScore(frames=FRAMES, score=0.5, iou=(None, 0.5, 0.5)))
    write_bundle(
        root.parent / exif, build_program(settings).eval(), settings, provenance, frames=frames
    )
    return root.parent / exif


@pytest.mark.long
def test_a_bundle_predicts_and_evaluates_as_its_study_read(tmp_path: Path) -> None:
    root = made(tmp_path / "frames", dict.fromkeys(range(FRAMES), 6))
    turn, keep = bundle_of(root, "turn"), bundle_of(root, "keep")
    for engine in ("torch", "onnx"):
        shown, lain = (
            predicted(each, tmp_path, engine=engine, source="frames") for each in (turn, keep)
        )
        assert shown.shape == (FRAMES, WIDTH, HEIGHT)
        assert lain.shape == (FRAMES, HEIGHT, WIDTH)
    np.savez(
        tmp_path / "bare.npz", test_set=np.stack([bare(root, index) for index in range(FRAMES)])
    )
    assert np.array_equal(lain, predicted(keep, tmp_path, flips="off", source="bare.npz"))
    assert evaluate_bundle(keep, root).own == FRAMES
    with pytest.raises(ProblemsError, match="the image is turned by its EXIF tag"):
        evaluate_bundle(turn, root)
    assert "as they lie in a file" in (keep / "README.md").read_text()
    assert "as they lie in a file" not in (turn / "README.md").read_text()
    assert load_bundle(keep).spec.exif == "keep"
