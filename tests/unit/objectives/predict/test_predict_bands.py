"""Large TIFFs and GeoTIFFs: read and written in bands, masks where the images lie, memory bounded by the
width.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.config import Config, ConvStack
from objectives.data.options import PixelReading
from objectives.data.reading import banded
from objectives.data.reading.banded import BandedTiff, open_banded
from objectives.data.reading.decode import decode_image
from objectives.errors import ProblemsError
from objectives.predict.engines import EngineWanted
from objectives.predict.masks import Heard, predict
from objectives.predict.segmentation import load
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.evaluate import predict as predict_labels_of
from tests.support import small_bundles
from tests.support.small_bundles import provenance_of

CPU = torch.device("cpu")
SPEC = small_bundles.SPEC.model_copy(update={"overlap": 0.25})
GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (42113, 2, 2, "0", True),
]
AS_FILES_SAY = PixelReading()
Written = Callable[..., Path]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Config(model=ConvStack(depth=1, base_filters=4))
    torch.manual_seed(0)
    program = build_segmenter(config, SPEC)
    directory = tmp_path_factory.mktemp("bands") / "bundle"
    settings = ProgramSettings.single(config, SPEC)
    provenance = provenance_of(program, 1)
    write_bundle(directory, program, settings, provenance, frames={})
    return directory


def pixels_of(height: int, width: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels))
    return pixels.astype(np.uint8)


LAYOUTS = {
    "strips of one row": {"rowsperstrip": 1},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "one strip": {},
    "tiles": {"tile": (32, 48)},
    "compressed tiles": {"tile": (16, 16), "compression": "deflate", "predictor": True},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (5, np.uint16)])
def test_bands_are_what_the_whole_file_holds(
    tmp_path: Path, layout: dict[str, object], channels: int, dtype: type
) -> None:
    image = pixels_of(75, 101, channels).astype(dtype) * (1 if dtype is np.uint8 else 257)
    path = tmp_path / "image.tif"
    stored = image if channels > 1 else image[..., 0]
    photometric = "rgb" if channels == 3 else "minisblack"
    tifffile.imwrite(
        path, stored, planarconfig="contig", photometric=photometric, **layout, extratags=GEO
    )
    bands = open_banded(path, "image.tif", AS_FILES_SAY)
    assert bands is not None
    np.testing.assert_array_equal(decode_image(path, "image.tif"), image)
    assert (bands.shape, bands.dtype) == (image.shape, image.dtype)
    for rows in (slice(0, 20), slice(13, 40), slice(39, 75), slice(70, 75), slice(2, 9)):
        for columns in (slice(0, 101), slice(40, 60)):
            np.testing.assert_array_equal(bands[rows, columns], image[rows, columns])


def test_what_is_not_stored_as_it_is_meant_is_read_whole(tmp_path: Path) -> None:
    grey = pixels_of(40, 50)[..., 0]
    kinds = {
        "planes": {"data": np.stack([grey] * 3), "photometric": "rgb", "planarconfig": "separate"},
        "white": {"data": grey, "photometric": "miniswhite"},
        "palette": {"data": grey, "photometric": "palette", "colormap": np.zeros((3, 256), "u2")},
        "turned": {"data": grey, "extratags": [(274, 3, 1, 6, True)]},
        "no place": {"data": grey},
    }
    for name, options in kinds.items():
        data = options.pop("data")
        tags = [*GEO[:1], *options.pop("extratags", [])] if name != "no place" else []
        tifffile.imwrite(tmp_path / f"{name}.tif", data, extratags=tags, **options)
        assert open_banded(tmp_path / f"{name}.tif", name, AS_FILES_SAY) is None
    assert open_banded(tmp_path / "turned.tif", "", PixelReading("keep")) is not None
    (tmp_path / "text.tif").write_text("II")
    assert open_banded(tmp_path / "text.tif", "text", AS_FILES_SAY) is None


def test_channels_and_ranges_are_made_alike_band_by_band(tmp_path: Path) -> None:
    heights = np.random.default_rng(0).normal(100, 30, (60, 40)).astype(np.float32)
    tifffile.imwrite(tmp_path / "dem.tif", heights, rowsperstrip=8, extratags=GEO)
    reading = PixelReading(channels="rgb", range=(0.0, 200.0))
    bands = open_banded(tmp_path / "dem.tif", "dem", reading)
    assert bands is not None
    whole = decode_image(tmp_path / "dem.tif", "dem", reading)
    assert (bands.shape, bands.dtype) == (whole.shape, whole.dtype) == ((60, 40, 3), np.uint16)
    np.testing.assert_array_equal(bands[10:50, 0:40], whole[10:50])


def test_a_geotiff_becomes_a_tiled_tiff_that_lies_where_it_does(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    image = pixels_of(700, 301)
    place = tmp_path / "in" / "deep" / "field.tif"
    tifffile.imwrite(place, image[..., 0], tile=(64, 64), extratags=GEO)
    plain = pixels_of(50, 40, seed=1)
    tifffile.imwrite(tmp_path / "in" / "plain.tif", plain[..., 0])
    told: list[tuple[str, int, int]] = []
    count = predict(
        bundle, tmp_path / "in", tmp_path / "out", heard=Heard(lambda *each: told.append(each))
    )
    assert count == 2
    with tifffile.TiffFile(tmp_path / "out" / "deep" / "field.tif") as opened:
        page = opened.pages[0]
        assert page.is_tiled
        assert {code: page.tags[code].value for code, *_ in GEO[:3]} == {
            code: value for code, _, _, value, _ in GEO[:3]
        }
        assert 42113 not in page.tags  # of the image's pixels, not of labels
        found = page.asarray()
    segmenter = load_bundle(bundle).segmenter
    (expected,) = predict_labels_of(segmenter, [image], SPEC, device=CPU)
    np.testing.assert_array_equal(found, expected)
    assert (tmp_path / "out" / "plain.png").exists()
    assert [each[1:] for each in told if each[0] == "deep/field"][-1] == (700, 700)
    predict(bundle, tmp_path / "in", tmp_path / "onnx", engine=EngineWanted("onnx"))
    other = tifffile.imread(tmp_path / "onnx" / "deep" / "field.tif")
    assert (other != expected).mean() < 1e-3


def test_arrays_of_any_size_are_seen_in_windows(bundle: Path) -> None:
    image = pixels_of(61, 47)
    for engine in ("torch", "onnx"):
        segmentation = load(bundle, engine=engine)
        probabilities = segmentation.probabilities(image)
        labels = segmentation.predict(image)
        np.testing.assert_array_equal(probabilities.argmax(axis=0), labels)
        np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, rtol=1e-5)
        (expected,) = predict_labels_of(load_bundle(bundle).segmenter, [image], SPEC, device=CPU)
        assert (labels != expected).mean() < 1e-3


def test_a_file_that_breaks_off_is_one_line_and_nothing_is_written(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    place = tmp_path / "in" / "field.tif"
    tifffile.imwrite(
        place, pixels_of(300, 100)[..., 0], rowsperstrip=4, compression="deflate", extratags=GEO
    )
    data = bytearray(place.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    place.write_bytes(data)
    with pytest.raises(ProblemsError, match=r"field\.tif: the file must be a readable image"):
        predict(bundle, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_large_files_are_read_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "image.tif", pixels_of(40, 50)[..., 0])
    assert open_banded(tmp_path / "image.tif", "image", AS_FILES_SAY) is None
    monkeypatch.setattr(banded, "LARGE", 2000)
    assert isinstance(open_banded(tmp_path / "image.tif", "image", AS_FILES_SAY), BandedTiff)


PEAK = """
import json, sys
from pathlib import Path
from objectives.predict.engines import EngineWanted
from objectives.predict.masks import predict
from tests.support.peaks import peak_bytes
predict(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), engine=EngineWanted(sys.argv[4]))
print(json.dumps(peak_bytes()))
"""


@pytest.mark.long
@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize(
    "layout", [{"rowsperstrip": 16}, {"tile": (256, 256)}], ids=["strips", "tiles"]
)
def test_memory_is_bounded_by_the_width(
    bundle: Path, tmp_path: Path, engine: str, layout: dict[str, object]
) -> None:
    """The peak of a fresh process for 2,048 x 4,096 and 2,048 x 32,768 pixels differs by at most 100 MB."""
    peaks = []
    for height in (4096, 32768):
        folder = tmp_path / str(height)
        folder.mkdir()
        image = np.resize(pixels_of(512, 2048)[..., 0], (height, 2048))
        tifffile.imwrite(
            folder / "image.tif", image, compression="deflate", extratags=GEO, **layout
        )
        ran = subprocess.run(
            [sys.executable, "-c", PEAK, bundle, folder, tmp_path / f"out{height}", engine],
            check=True,
            capture_output=True,
            text=True,
        )
        peaks.append(json.loads(ran.stdout))
        with tifffile.TiffFile(tmp_path / f"out{height}" / "image.tif") as opened:
            assert opened.pages[0].shape == (height, 2048)
    assert peaks[1] - peaks[0] < 100 * 2**20, peaks
