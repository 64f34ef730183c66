"""``make bench-images``: large images against what others do with them, each as a ratio in one run.

Preparing against a bare decode on the same cores, by Pillow and by the decoder that it uses itself;
training on crops against a bare loop over tensors in memory; prediction in windows against MONAI's
``sliding_window_inference``. ``--huge`` predicts one image of 16,000 x 16,000 pixels and says how much memory
that takes.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
import torch
from bench import alternate, ratio_of
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn, optim
from torch.nn import functional

from objectives.bundle.bundle_folder import write_bundle
from objectives.bundle.provenance import PartScore
from objectives.config import Augment, Config, Train, UNet
from objectives.data.dataset import DataOptions, Dataset, open_dataset
from objectives.data.preparing.in_order import threads_at_hand
from objectives.data.spec import FrameSpec
from objectives.device.portions import frames_at_once
from objectives.device.precision import autocast, computes_bf16
from objectives.networks import build_network
from objectives.predict.masks import predict
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.passes import window_strips
from objectives.training.fit import prepare, train_epoch
from objectives.windows.layout import Windows
from search.machine.hosts import cores
from tests.support.bundles_made import origin
from tests.support.frame_specs import frame_spec
from tests.support.peaks import peak_bytes

SIDE, FRAMES, PICTURES = 1024, 1000, 40  # pixels, frames of a source, and how many of them differ
CROP, BATCH, STEPS = 128, 16, 2
WINDOW, OVERLAP = 256, 0.25
HEIGHT, WIDTH, TURNS = 640, 1024, 6  # so large that windows lie as MONAI's do
HUGE, TILE = 16_000, 256
CPU = torch.device("cpu")


def main() -> None:
    """Measure what is asked for, and print a table each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=("prepare", "crops", "windows"))
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--predict-huge", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(max(1, int(cores())))
    console = Console(width=100)
    with tempfile.TemporaryDirectory(prefix="search-bench-") as made:
        folder = Path(made)
        if asked.predict_huge:
            predict_huge(asked.predict_huge)
        elif asked.huge:
            console.print(huge_table(folder))
        else:
            measures = {
                "prepare": lambda: prepare_table(folder, asked.frames),
                "crops": lambda: crops_table(folder),
                "windows": windows_table,
            }
            for name, measure in measures.items():
                if asked.only in (None, name):
                    console.print(measure())


def table_of(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    """Return a table of words."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def smooth(generator: np.random.Generator, height: int, width: int, channels: int) -> np.ndarray:
    """Return a picture with shapes and a little noise, as photographs have."""
    coarse = generator.random((height // 32 + 2, width // 32 + 2, channels))
    planes = [
        np.asarray(
            Image.fromarray(coarse[..., channel].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
        )
        for channel in range(channels)
    ]
    noisy = np.stack(planes, axis=2) * 220 + generator.normal(0, 3, (height, width, 1)) + 10
    return np.clip(noisy, 0, 255).astype(np.uint8)


def written(folder: Path, frames: int) -> Path:
    """Write PNG images (1024, 1024, 3) and masks of four classes; names differ, some contents are equal."""
    root = folder / "frames"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(frames):
        paths = [root / part / f"{number:04}.png" for part in ("images", "masks")]
        if number >= PICTURES:
            for path in paths:
                path.hardlink_to(path.with_name(f"{number % PICTURES:04}.png"))
            continue
        image = smooth(np.random.default_rng(number), SIDE, SIDE, 3)
        Image.fromarray(image).save(paths[0], compress_level=6)
        Image.fromarray(image[..., 0] // 64).save(paths[1])
    (root / "classes.yaml").write_text("classes: {0: a, 1: b, 2: c, 3: d}\nignore: null\n")
    return root


def by_pillow(paths: tuple[Path, ...]) -> int:
    """Decode some files, and nothing else."""
    return sum(np.asarray(Image.open(path)).size for path in paths)


def by_spng(paths: tuple[Path, ...]) -> int:
    """The same by the decoder that preparing uses for such files."""
    return sum(imagecodecs.spng_decode(path.read_bytes()).size for path in paths)


def prepare_table(folder: Path, frames: int) -> Table:
    """Preparing against bare decodes of the same files by as many threads, in turn."""
    root = written(folder, frames)
    pairs = [
        (root / "images" / f"{number:04}.png", root / "masks" / f"{number:04}.png")
        for number in range(frames)
    ]

    def bare(decoded: Callable[[tuple[Path, ...]], int]) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(threads_at_hand()) as pool:
            for _ in pool.map(decoded, pairs):
                pass
        return time.perf_counter() - start

    rows = []
    for turn in range(3):
        bare_s = bare(by_pillow), bare(by_spng)
        start = time.perf_counter()
        options = DataOptions(min_identical=10**6)
        open_dataset(str(root), options, folder / f"cache{turn}")
        ours_s = time.perf_counter() - start
        shutil.rmtree(folder / f"cache{turn}")
        ratios = (f"{each / ours_s:.3f}" for each in bare_s)
        rows.append((str(turn + 1), *(f"{each:.1f}" for each in (*bare_s, ours_s)), *ratios))
    return table_of(
        f"preparing {frames} frames of {SIDE}x{SIDE}x3",
        ("turn", "Pillow, s", "libspng, s", "preparing, s", "of Pillow", "of libspng"),
        rows,
    )


def crops_table(folder: Path) -> Table:
    """Training on crops of large frames against a bare loop over tensors in memory."""
    data = open_dataset(
        str(written(folder / "few", PICTURES)), DataOptions(window=(SIDE, SIDE)), folder / "few"
    )
    train = Train(
        batch_size=BATCH, steps_per_epoch=STEPS, epochs=100, crop=f"{CROP}x{CROP}", crop_scale=1.5
    )
    config = Config(
        model=UNet(depth=3, base_filters=16), augment=Augment(intensity=0.5), train=train
    )
    training = prepare(config, data, seed=0, device=CPU)
    loop, bare = alternate(lambda: train_epoch(training), bare_loop(data))
    shares = sorted(theirs / ours for ours, theirs in zip(loop, bare, strict=True))
    row = (f"{ratio_of(loop, bare):.3f}", f"{shares[0]:.3f}", f"{shares[-1]:.3f}", str(len(shares)))
    title = f"training on crops of {CROP}x{CROP} from frames of {SIDE}x{SIDE}x3, intensity 0.5"
    return table_of(title, ("loop / bare", "lowest", "highest", "turns"), [row])


def bare_loop(data: Dataset) -> Callable[[], object]:
    """One turn of forward, backward and optimiser over crops that are ready in memory."""
    spec = data.spec
    network = build_network(
        UNet(depth=3, base_filters=16), in_channels=spec.channels, num_classes=spec.num_classes
    )
    network = network.to(memory_format=torch.channels_last).train()
    optimiser = optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2, fused=True)
    shape = BATCH, spec.channels, CROP, CROP
    images = [torch.rand(shape).contiguous(memory_format=torch.channels_last) for _ in range(STEPS)]
    masks = [torch.randint(0, 4, (BATCH, CROP, CROP)) for _ in range(STEPS)]

    def turn() -> None:
        for images_BCHW, masks_BHW in zip(images, masks, strict=True):
            optimiser.zero_grad(set_to_none=True)
            with autocast(images_BCHW.device, bf16=computes_bf16(images_BCHW.device)):
                logits_BKHW = network(images_BCHW)
            functional.cross_entropy(logits_BKHW.float(), masks_BHW).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return turn


class Evenly(Windows):
    """Windows of which every pixel counts the same."""

    weights_HW = np.ones((WINDOW, WINDOW), np.float32)  # type: ignore[assignment]


class AsMonai(Windows):
    """Windows with the Gaussian of MONAI."""

    weights_HW = np.zeros((0, 0), np.float32)  # type: ignore[assignment]


def spec_of(channels: int) -> FrameSpec:
    """Return frames of four classes in windows."""
    return frame_spec(
        (WINDOW, WINDOW),
        ("a", "b", "c", "d"),
        channels,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        ignore_label=None,
        overlap=OVERLAP,
    )


def ours(
    program: nn.Module, image_HWC: np.ndarray, windows: Windows, spec: FrameSpec
) -> np.ndarray:
    """Return the probabilities (K, H, W) of one image."""
    strips = window_strips(program, [image_HWC], spec, windows, device=CPU)
    return np.concatenate([strip.values.numpy() for strip in strips], axis=1)


def windows_table() -> Table:
    """Windows against MONAI's, with the same network, overlap and batch, in turn."""
    from monai.data.utils import compute_importance_map  # type: ignore[import-not-found]
    from monai.inferers import sliding_window_inference  # type: ignore[import-not-found]

    spec = spec_of(3)
    torch.manual_seed(0)
    program = build_segmenter(Config(model=UNet(depth=3, base_filters=16)), spec).eval()
    image_HWC = smooth(np.random.default_rng(0), HEIGHT, WIDTH, 3)
    at_once = frames_at_once(WINDOW, WINDOW)
    importance = compute_importance_map(
        (WINDOW, WINDOW), mode="gaussian", sigma_scale=0.125, dtype=torch.float32
    )
    AsMonai.weights_HW = importance.numpy()  # type: ignore[assignment,misc]

    @torch.inference_mode()
    def theirs(mode: str) -> np.ndarray:
        pixels_1CHW = torch.from_numpy(image_HWC).permute(2, 0, 1)[None].float()

        def predictor(windows_BCHW: Tensor) -> Tensor:
            return torch.softmax(program(windows_BCHW), dim=1)

        found = sliding_window_inference(
            pixels_1CHW, (WINDOW, WINDOW), at_once, predictor, overlap=OVERLAP, mode=mode
        )
        return np.asarray(found[0].numpy())

    rows = []
    for mode, kind in (("constant", Evenly), ("gaussian", AsMonai)):
        windows = kind(WINDOW, WINDOW, OVERLAP)
        apart = np.abs(ours(program, image_HWC, windows, spec) - theirs(mode)).max()
        mine, monai = alternate(
            lambda windows=windows: ours(program, image_HWC, windows, spec),  # type: ignore[misc]
            lambda mode=mode: theirs(mode),  # type: ignore[misc]
            TURNS,
        )
        medians = statistics.median(mine), statistics.median(monai)
        rows.append(
            (
                mode,
                *(f"{each:.2f}" for each in medians),
                f"{ratio_of(mine, monai):.3f}",
                f"{apart:.1e}",
            )
        )
    title = f"windows of {WINDOW}x{WINDOW} over {HEIGHT}x{WIDTH}x3, overlap {OVERLAP}, {at_once} at once"
    return table_of(title, ("weights", "ours, s", "MONAI, s", "speed", "largest difference"), rows)


def huge_table(folder: Path) -> Table:
    """Predict one huge image in a fresh process."""
    spec = spec_of(3)
    torch.manual_seed(0)
    config = Config(model=UNet(depth=2, base_filters=8))
    program: Segmenter = build_segmenter(config, spec)
    provenance = origin(PartScore(frames=4, score=0.5, iou=(0.5, 0.5, 0.5, 0.5)))
    settings = ProgramSettings.single(config, spec)
    write_bundle(folder / "bundle", program, settings, provenance, frames={})
    (folder / "in").mkdir()
    picture = smooth(np.random.default_rng(0), 4 * TILE, 4 * TILE, 3)
    tiles = [
        np.ascontiguousarray(picture[row : row + TILE, column : column + TILE])
        for row in range(0, 4 * TILE, TILE)
        for column in range(0, 4 * TILE, TILE)
    ]
    count = (-(-HUGE // TILE)) ** 2
    tifffile.imwrite(
        folder / "in" / "huge.tif",
        (tiles[number % len(tiles)] for number in range(count)),
        shape=(HUGE, HUGE, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        photometric="rgb",
        compression="deflate",
        compressionargs={"level": 1},
    )
    ran = subprocess.run(
        [sys.executable, __file__, "--predict-huge", folder],
        check=True,
        capture_output=True,
        text=True,
    )
    peak, seconds = ran.stdout.split()
    title = f"one image of {HUGE:,} x {HUGE:,} x 3, windows of {WINDOW}x{WINDOW}, U-Net 8-16"
    return table_of(title, ("peak of the process, GB", "minutes"), [(peak, seconds)])


def predict_huge(folder: Path) -> None:
    """Print the peak of memory, GB, and the minutes that a prediction takes."""
    start = time.perf_counter()
    predict(folder / "bundle", folder / "in", folder / "out")
    with tifffile.TiffFile(folder / "out" / "huge.tif") as opened:
        assert opened.pages[0].shape == (HUGE, HUGE)
    print(f"{peak_bytes() / 1e9:.2f} {(time.perf_counter() - start) / 60:.1f}")


if __name__ == "__main__":
    main()
