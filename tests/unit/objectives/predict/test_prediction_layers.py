"""Probabilities and uncertainty beside masks: in folders, in an npz, by the command; all of it or nothing."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from objectives.bundle.bundle_folder import write_bundle
from objectives.ensemble.program import build_program
from objectives.errors import ProblemsError, UserError
from objectives.predict.engines import EngineWanted
from objectives.predict.layers import Extra
from objectives.predict.masks import Heard, predict
from objectives.predict.predicted import PredictedImage
from objectives.predict.prediction_files import refuse_names
from objectives.predict.segmentation import load
from objectives.predict.tiff_files import BandsFile
from objectives.program.settings import ProgramSettings
from search.cli.app import app
from tests.support.small_bundles import IMAGES, SPEC, TWO, predicted, provenance_of

GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
]
BOTH = ("probabilities", "uncertainty")
LARGE = np.random.default_rng(0).integers(0, 256, (600, 301), dtype=np.uint8)


@pytest.fixture(scope="module")
def windowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble that sees windows."""
    spec = SPEC.model_copy(update={"overlap": 0.25})
    settings = ProgramSettings.of(TWO.members, spec)
    torch.manual_seed(0)
    program = build_program(settings).eval()
    directory = tmp_path_factory.mktemp("layers") / "bundle"
    write_bundle(directory, program, settings, provenance_of(program, 2), frames={})
    return directory


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of a small picture and, deeper, a GeoTIFF."""
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.fromarray(IMAGES[0, ..., 0]).save(tmp_path / "in" / "a.png")
    place = tmp_path / "in" / "deep" / "field.tif"
    tifffile.imwrite(place, LARGE, rowsperstrip=4, compression="deflate", extratags=GEO)
    return tmp_path / "in"


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_folder_gets_a_tiff_of_each_beside_the_same_masks(
    windowed: Path, images: Path, tmp_path: Path, engine: str
) -> None:
    lacks: list[str] = []
    out, alone = tmp_path / "out", tmp_path / "alone"
    predict(
        windowed,
        images,
        out,
        engine=EngineWanted(engine),
        beside=BOTH,
        heard=Heard(lack=lacks.append),
    )
    predict(windowed, images, alone, engine=EngineWanted(engine))
    extras = [f"{name}.{extra}.tif" for name in ("a", "deep/field") for extra in (*BOTH,)]
    assert files_in(out) == sorted(["a.png", "deep/field.tif", *extras])
    for mask in files_in(alone):
        assert (out / mask).read_bytes() == (alone / mask).read_bytes()
    segmentation = load(windowed, engine=engine)
    for name, image in (("a", IMAGES[0]), ("deep/field", LARGE)):
        uncertainty = segmentation.uncertainty(image)
        bands = [each for each in uncertainty if each is not None]
        assert len(bands) == (2 if engine == "torch" else 1)
        found = tifffile.imread(out / f"{name}.uncertainty.tif")
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.dstack([found]), np.dstack(bands), atol=1e-6)
        found_HWK = tifffile.imread(out / f"{name}.probabilities.tif")
        shares_KHW = segmentation.probabilities(image)
        np.testing.assert_allclose(found_HWK, np.moveaxis(shares_KHW, 0, -1), atol=1e-6)
    assert lacks == ([] if engine == "torch" else [lacks[0]])
    assert all("--engine torch has each" in line for line in lacks)


def test_bands_have_names_and_lie_where_the_image_does(
    windowed: Path, images: Path, tmp_path: Path
) -> None:
    predict(windowed, images, tmp_path / "out", beside=BOTH)
    for extra, bands in (
        ("probabilities", list(SPEC.class_names)),
        ("uncertainty", ["entropy", "disagreement"]),
    ):
        with tifffile.TiffFile(tmp_path / "out" / "deep" / f"field.{extra}.tif") as opened:
            page = opened.pages[0]
            assert page.is_tiled
            assert page.shape == (600, 301, len(bands))
            assert {code: page.tags[code].value for code, *_ in GEO} == {
                code: value for code, _, _, value, _ in GEO
            }
            assert json.loads(page.description) == {"bands": bands}
            assert [item for item in bands if f">{item}<" in page.tags[42112].value] == bands
    with tifffile.TiffFile(tmp_path / "out" / "a.probabilities.tif") as opened:
        assert 33550 not in opened.pages[0].tags


@pytest.mark.parametrize("bundle", ["single", "ensemble"])
def test_an_npz_gets_arrays_of_each(
    bundle: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = request.getfixturevalue(bundle)
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    out = tmp_path / "all.npz"
    assert predict(directory, tmp_path / "frames.npz", out, beside=BOTH) == len(IMAGES)
    segmentation = load(directory)
    with np.load(out, allow_pickle=False) as found:
        members = ["disagreement"] if bundle == "ensemble" else []
        assert sorted(found) == sorted(["masks", "names", "probabilities", "entropy", *members])
        assert found["names"].tolist() == [str(number) for number in range(len(IMAGES))]
        assert found["probabilities"].shape == (len(IMAGES), SPEC.num_classes, 16, 24)
        np.testing.assert_array_equal(found["masks"], predicted(directory, tmp_path))
        for number, image in enumerate(IMAGES):
            shares = segmentation.probabilities(image)
            np.testing.assert_allclose(found["probabilities"][number], shares, atol=1e-5)
            for name, values in segmentation.uncertainty(image)._asdict().items():
                if values is not None:
                    assert found[name].dtype == np.float32
                    np.testing.assert_allclose(found[name][number], values, atol=1e-5)


def test_an_npz_with_more_than_masks_is_replaced_with_force_alone(
    single: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    out = tmp_path / "all.npz"
    predict(single, tmp_path / "frames.npz", out, beside=BOTH)
    with pytest.raises(UserError, match="exists; choose another --out, or replace it"):
        predict(single, tmp_path / "frames.npz", out)
    predict(single, tmp_path / "frames.npz", out, force=True)
    assert sorted(np.load(out)) == ["masks", "names"]
    np.savez(out, masks=IMAGES, names=np.array(["a"]), mine=IMAGES)
    with pytest.raises(UserError, match="is no npz of masks of this program"):
        predict(single, tmp_path / "frames.npz", out, force=True, beside=BOTH)


@pytest.mark.parametrize("beside", [("probabilities",), ("uncertainty",), BOTH])
def test_a_csv_is_refused_before_anything_is_read(tmp_path: Path, beside: Sequence[str]) -> None:
    words = " and no ".join(beside)
    with pytest.raises(
        UserError, match=rf"x\.csv can hold labels alone, no {words}: give a folder"
    ):
        predict(tmp_path / "none", tmp_path / "none", tmp_path / "x.csv", beside=beside)


def test_nothing_is_written_where_an_image_breaks_off(
    windowed: Path, images: Path, tmp_path: Path
) -> None:
    place = images / "deep" / "field.tif"
    data = bytearray(place.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    place.write_bytes(data)
    (images / "a.png").unlink()
    for out in ("out", "all.npz"):
        with pytest.raises(ProblemsError, match="must be a readable image"):
            predict(windowed, images, tmp_path / out, beside=BOTH)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_names_that_meet_are_one_line_and_nothing_is_written(
    windowed: Path, images: Path, tmp_path: Path
) -> None:
    tifffile.imwrite(images / "a.uncertainty.tif", LARGE, extratags=GEO)
    predict(windowed, images, tmp_path / "alone")
    predict(windowed, images, tmp_path / "other", beside=["probabilities"])
    with pytest.raises(
        UserError, match=r"a\.uncertainty is an image, .* for a is called so: rename"
    ):
        predict(windowed, images, tmp_path / "out", beside=BOTH)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "beside", "said"),
    [
        (["x", "x.png/y"], (), r"x\.png is a folder of images"),
        (["x", "x.uncertainty.tif/y"], BOTH, r"x\.uncertainty\.tif is a folder of images"),
        (["d/" + "ä" * 126], (), "names of 255 bytes, not of 256: rename the image"),
        (["d/" + "a" * 240], BOTH, "names of 255 bytes, not of 258"),
        (["d/" + "a" * 251, "\udcff", "x", "y/x", "x.uncertainty.tif/y"], (), ""),
    ],
)
def test_names_that_nothing_can_be_written_under_are_refused_before_all_else(
    names: list[str], beside: Sequence[Extra], said: str
) -> None:
    if not said:
        refuse_names(names, beside)
        return
    with pytest.raises(UserError, match=said):
        refuse_names(names, beside)


@pytest.mark.parametrize("rows", [1, 7, 256, 300, 600])
@pytest.mark.parametrize("bands", [1, 2, 3, 5])
def test_rows_of_any_number_become_tiles(tmp_path: Path, rows: int, bands: int) -> None:
    values = np.random.default_rng(0).random((bands, 600, 301), dtype=np.float32)
    image = PredictedImage("a", 600, 301, (), (), iter([]))
    names = [f"band <{number}> & \N{GREEK SMALL LETTER BETA}" for number in range(bands)]
    path = tmp_path / "bands.tif"
    with BandsFile(path, image, names) as file:
        for start in range(0, 600, rows):
            file.add(values[:, start : start + rows])
    found = tifffile.imread(path)
    np.testing.assert_array_equal(np.dstack([found]), np.moveaxis(values, 0, -1))
    with tifffile.TiffFile(path) as opened:
        assert json.loads(opened.pages[0].description) == {"bands": names}


def test_the_command_says_what_is_written_and_what_lacks(
    single: Path, ensemble: Path, images: Path, tmp_path: Path
) -> None:
    def said(bundle: Path, out: str, *options: str) -> tuple[str, str]:
        words = ["predict", str(bundle), str(images), "--out", str(tmp_path / out), *options]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()[0], done.stderr

    line, lacks = said(ensemble, "both", "--probabilities", "--uncertainty", "--device", "cpu")
    assert (line, lacks) == (
        f"2 masks with probabilities and uncertainty written to {tmp_path / 'both'}",
        "",
    )
    _, lacks = said(single, "one", "--uncertainty")
    assert lacks == "no disagreement of members: the bundle is one network\n"
    assert files_in(tmp_path / "one") == [
        "a.png",
        "a.uncertainty.tif",
        "deep/field.png",
        "deep/field.uncertainty.tif",
    ]
    _, lacks = said(ensemble, "onnx", "--uncertainty", "--engine", "onnx")
    assert lacks.startswith("no disagreement of members: ONNX Runtime has the average")
    assert said(single, "plain") == (f"2 masks written to {tmp_path / 'plain'}", "")


PEAK = """
import sys
from pathlib import Path
from objectives.predict.layers import Extra
from objectives.predict.engines import EngineWanted
from objectives.predict.masks import predict
predict(*map(Path, sys.argv[1:4]), engine=EngineWanted(sys.argv[4]), beside=("probabilities", "uncertainty"))
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.long
@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_memory_is_bounded_by_the_width(tmp_path: Path, engine: str) -> None:
    """The peak of a fresh process for 3,072 and 9,216 rows of 2,048 pixels differs by at most 75 MB, where
    the layers differ by 350 MB. Shorter images have not yet filled what an allocator keeps.
    """
    spec = SPEC.model_copy(update={"overlap": 0.25, "height": 128, "width": 128})
    settings = ProgramSettings.of(TWO.members, spec)
    provenance = provenance_of(build_program(TWO).eval(), 2)
    bundle = tmp_path / "bundle"
    write_bundle(bundle, build_program(settings).eval(), settings, provenance, frames={})
    peaks = []
    for height in (3072, 9216):
        (tmp_path / str(height)).mkdir()
        image = np.resize(LARGE, (height, 2048))
        tifffile.imwrite(tmp_path / str(height) / "a.tif", image, rowsperstrip=16, extratags=GEO)
        words = [bundle, tmp_path / str(height), tmp_path / f"out{height}", engine]
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, *words], check=True, capture_output=True, text=True
        )
        peaks.append(int(ran.stdout))
        with tifffile.TiffFile(tmp_path / f"out{height}" / "a.probabilities.tif") as opened:
            assert opened.pages[0].shape == (height, 2048, SPEC.num_classes)
    assert peaks[1] - peaks[0] < 75 * 1024, peaks
