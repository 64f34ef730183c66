"""Pictures of a trial as PNG bytes: predictions, confusion, curves, and what augmentation does to
frames.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from objectives.augmentation.transforms import frame_seed
from objectives.data.preparing.check import Report
from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.scoring.calibration import Calibration
from objectives.scoring.metrics import iou_K
from objectives.training.results import EpochResult

GREY, RED, GREEN = np.array([(60, 60, 60), (214, 39, 40), (200, 225, 200)], dtype=np.uint8)
# of the frame and mask at a position, by a seed
Augmentation = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
PROGRAM = "segmentation-search"  # as each picture says
DPI = 100  # pixels of a picture for each inch of its figure
WIDTH_PX = 260  # of one frame
GAP = 4  # pixels between two frames
LARGEST_CELL_PX = 1024  # a side of one frame before it is shrunk to WIDTH_PX
# beside a grid of pictures
NAMES_PX = 30
MARGIN_PX = 5
LEGEND_COLUMNS = 6
LEGEND_ROW_PX = 20
TICKS = 5  # at most, on each axis of a curve: they are what drawing it takes
TITLE_IN = 3.0  # of a confusion matrix, inches
# of histograms: the height of a bar, inches, and how many
BAR_IN = 0.3
BINS = 50
CONFUSION_IN = 30.0  # inches, the longest side of a confusion matrix
rcParams["text.parse_math"] = False  # a $ in the name of a class is one


def prediction_panel(images: Frames, masks: Frames, predictions: Frames, spec: FrameSpec) -> bytes:
    """Return one column a frame; rows: frame, truth, prediction, errors (red wrong, green right,
    grey not scored).
    """
    rows = [
        ("frame", [displayable(image) for image in images]),
        ("truth", [coloured(mask, spec) for mask in masks]),
        ("prediction", [coloured(labels, spec) for labels in predictions]),
        (
            "errors",
            [
                error_map(mask, labels, spec)
                for mask, labels in zip(masks, predictions, strict=True)
            ],
        ),
    ]
    return _grid(rows, spec)


def frame_panel(
    image_HWC: np.ndarray, mask_HW: np.ndarray, labels_HW: np.ndarray, spec: FrameSpec, title: str
) -> bytes:
    """Return one frame side by side with its truth, the prediction and the errors (red wrong, green
    right, grey not scored).
    """
    shown = [
        displayable(image_HWC),
        coloured(mask_HW, spec),
        coloured(labels_HW, spec),
        error_map(mask_HW, labels_HW, spec),
    ]
    height, width = cell_for(shown)
    across = width + GAP
    canvas = np.full((height, across * len(shown) - GAP, 3), 255, np.uint8)
    for column, picture in enumerate(shown):
        canvas[:, column * across :][:, :width] = fitted(picture, height, width)
    width_in = WIDTH_PX / DPI
    figure = Figure(
        figsize=(0.2 + width_in * len(shown), width_in * height / width + 1.1),
        layout="constrained",
    )
    axes = figure.add_subplot(frame_on=False)
    axes.imshow(canvas, interpolation="nearest")
    axes.set_title(title, fontsize="medium")
    axes.set_xticks(
        [column * across + width / 2 for column in range(4)],
        ["frame", "truth", "prediction", "errors"],
    )
    axes.tick_params(length=0)
    axes.set_yticks([])
    figure.legend(
        handles=list(_legend(spec)),
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        fontsize="small",
    )
    return _png(_drawn(figure))


def preview_sheet(
    images: Frames,
    masks: Frames,
    spec: FrameSpec,
    augmenters: Mapping[str, Augmentation],
    seed: int,
) -> bytes:
    """Return one column a frame; rows: frame and mask as they are, then three augmented versions of
    both, by each augmenter, whose name stands beside its rows.
    """
    rows = [
        ("frame", [displayable(image) for image in images]),
        ("mask", [coloured(mask, spec) for mask in masks]),
    ]
    for version in range(1, 4):
        seeds = [frame_seed(seed, version, index, 0) for index in range(len(images))]
        for name, augmenter in augmenters.items():
            moved = [augmenter(index, each) for index, each in enumerate(seeds)]
            what = f"{version} {name}".strip()
            rows.append((f"frame {what}", [displayable(image) for image, _ in moved]))
            rows.append((f"mask {what}", [coloured(mask, spec) for _, mask in moved]))
    return _grid(rows, spec)


def data_picture(report: Report) -> bytes:
    """Of a data set: the pixels of each class as a share, with the frames that hold it, and the
    frames by mean pixel value.
    """
    names = [name for name, _ in report.classes]
    shares = [100 * share for _, share in report.classes]
    figure = Figure(figsize=(7.0, 3.4 + BAR_IN * len(names)), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(0.9 + BAR_IN * len(names), 2.5))
    colours = [tuple(part / 255 for part in colour) for colour in report.colours]
    bars = above.barh(names, shares, color=colours, edgecolor="black")
    counts = [
        f"{share:.2f} %, in {held} frames"
        for share, held in zip(shares, report.frames_with, strict=True)
    ]
    above.bar_label(bars, counts, padding=3, fontsize="small")
    above.invert_yaxis()
    above.set(xlabel="share of the kept frames' pixels, %", xlim=(0, 1.45 * max([*shares, 1.0])))
    above.set_title(f"{report.kept} of {report.frames} frames are kept", fontsize="medium")
    both = [report.means, report.dropped_means]
    labels = [f"kept ({len(both[0])})", f"dropped ({len(both[1])})"]
    below.hist(both, bins=BINS, stacked=True, color=["tab:blue", "tab:orange"], label=labels)
    below.set(xlabel="mean pixel value of a frame, 0..1", ylabel="frames")
    below.yaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    below.legend(loc="upper right", fontsize="small")
    return _png(_drawn(figure))


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture of this module."""
    with Image.open(path) as opened:
        return bool(opened.info.get("Software") == PROGRAM)


def confusion_picture(confusion_KK: np.ndarray, spec: FrameSpec) -> bytes:
    """Return the confusion of the scored classes, each row (truth) as shares of its pixels, with
    the IoU at each class name.
    """
    scored = list(spec.scored)
    counts = confusion_KK[np.ix_(scored, scored)].astype(np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    names = [spec.class_names[label] for label in scored]
    ious = ["IoU -" if np.isnan(iou) else f"IoU {iou:.3f}" for iou in iou_K(confusion_KK)[scored]]
    cell = min(0.9, CONFUSION_IN / len(scored))  # inches
    side_in = cell * len(scored)
    # names there rise by 30 degrees
    left_in = 0.5 + _longest_in([*names, *ious])
    below_in = 0.6 + _longest_in(names) / 2
    width_in = left_in + max(side_in, TITLE_IN - left_in) + 0.15
    height_in = below_in + side_in + 0.4
    figure = Figure(figsize=(width_in, height_in))
    axes = figure.add_axes(
        (left_in / width_in, below_in / height_in, side_in / width_in, side_in / height_in)
    )
    figure.suptitle("share of each true class's pixels", fontsize="medium")
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    # narrower cells hold no number
    for row, column in product(range(len(scored) if cell > 0.5 else 0), repeat=2):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{share:.3f}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else "black",
        )
    axes.set_xticks(range(len(scored)), names, rotation=30, ha="right")
    axes.set_yticks(
        range(len(scored)), [f"{name}\n{iou}" for name, iou in zip(names, ious, strict=True)]
    )
    axes.set(xlabel="prediction", ylabel="truth")
    return _png(_drawn(figure))


def reliability_picture(calibration: Calibration) -> bytes:
    """Return the share of right pixels in each bin of their top probability, the line of perfect
    calibration, and the pixels below.

    Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), figure 1.
    """
    figure = Figure(figsize=(5.0, 6.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    table = [row for row in calibration.table if row.pixels]
    middles = [(row.low + row.high) / 2 for row in table]
    width = 1 / len(calibration.pixels_M)
    above.bar(
        middles,
        [row.accuracy for row in table],
        width=width,
        edgecolor="white",
        label="pixels that are right",
    )
    above.plot(
        [row.confidence for row in table],
        [row.accuracy for row in table],
        "o",
        color="tab:orange",
        label="bin means",
    )
    above.plot((0, 1), (0, 1), "--", color="tab:grey", label="perfect")
    error = "-" if np.isnan(calibration.error) else f"{calibration.error:.4f}"
    above.set(
        ylabel="share of pixels that are right",
        ylim=(0, 1),
        title=f"expected calibration error {error}",
    )
    above.legend(loc="upper left")
    total = max(int(calibration.pixels_M.sum()), 1)
    below.bar(middles, [row.pixels / total for row in table], width=width, edgecolor="white")
    below.set(
        xlabel="probability of the predicted class",
        ylabel="share of pixels",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    return _png(_drawn(figure))


def curve_picture(history: Sequence[EpochResult]) -> bytes:
    """Score per epoch with its best marked, and below it the losses and the learning rate."""
    figure = Figure(figsize=(7.0, 5.0))
    above, below = figure.subplots(2, 1)
    # a layout engine draws it all twice
    figure.subplots_adjust(left=0.11, right=0.87, bottom=0.1, top=0.98, hspace=0.08)
    epochs = [epoch.number for epoch in history]
    _plot_score(above, epochs, [epoch.score for epoch in history])
    rate = below.twinx()
    lines = below.plot(
        epochs, [epoch.loss for epoch in history], ".-", color="tab:orange", label="training loss"
    )
    if history and np.isfinite(history[-1].validation_loss):
        losses = [epoch.validation_loss for epoch in history]
        lines += below.plot(epochs, losses, ".-", color="tab:purple", label="validation loss")
    lines += rate.plot(
        epochs,
        [epoch.learning_rate for epoch in history],
        ":",
        color="tab:grey",
        label="learning rate",
    )
    above.set_xticks([])
    below.xaxis.set_major_locator(MaxNLocator(TICKS, integer=True))
    for axes in (above, below, rate):
        axes.yaxis.set_major_locator(MaxNLocator(TICKS))
    below.set(xlabel="epoch", ylabel="loss")
    rate.set_ylabel("learning rate")
    below.legend(handles=lines, loc="upper right")
    return _png(_drawn(figure))


def _plot_score(axes: Axes, epochs: list[int], scores: list[float]) -> None:
    axes.plot(epochs, scores, ".-", color="tab:blue")
    axes.set_ylabel("validation score")
    if scores:
        best = max(range(len(scores)), key=scores.__getitem__)
        axes.plot(
            epochs[best],
            scores[best],
            "o",
            color="tab:green",
            label=f"best {scores[best]:.4f}, epoch {epochs[best]}",
        )
        axes.legend(loc="lower right")
    axes.grid(alpha=0.3)


def displayable(image_HWC: np.ndarray) -> np.ndarray:
    """Return an RGB picture (H, W, 3) of a frame of any dtype and channels, stretched between its
    1st and 99th percentile.

    One or two channels show the first as grey, more show the first three as red, green and blue.
    """
    shown = image_HWC[..., :1] if image_HWC.shape[-1] < 3 else image_HWC[..., :3]
    low, high = np.percentile(shown, (1, 99))
    stretched = np.clip((shown.astype(np.float64) - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.broadcast_to((stretched * 255).astype(np.uint8), (*shown.shape[:2], 3))


def coloured(labels_HW: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Return the mask (H, W, 3) in the colours of its classes."""
    return np.asarray(np.array(spec.colours, dtype=np.uint8)[labels_HW])


def error_map(mask_HW: np.ndarray, predicted_HW: np.ndarray, spec: FrameSpec) -> np.ndarray:
    """Wrong pixels red, right ones green, those that are not scored grey, as (H, W, 3)."""
    judged = np.where((mask_HW == predicted_HW)[..., None], GREEN, RED)
    return np.asarray(np.where(np.isin(mask_HW, spec.scored)[..., None], judged, GREY))


def cell_for(pictures: Sequence[np.ndarray]) -> tuple[int, int]:
    """Return the height and width that each of some pictures (H, W, 3) is shown in: as large as the
    largest, shrunk where that is more than can be seen.
    """
    height, width = (max((each.shape[axis] for each in pictures), default=1) for axis in (0, 1))
    shrink = min(1.0, LARGEST_CELL_PX / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def fitted(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture (H, W, 3) as large as a cell allows, in a corner of it; the rest is white."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(height / picture.shape[0], width / picture.shape[1])
    high, wide = (max(1, round(side * scale)) for side in picture.shape[:2])
    cell = np.full((height, width, 3), 255, np.uint8)
    shown = Image.fromarray(np.ascontiguousarray(picture))
    cell[:high, :wide] = np.asarray(shown.resize((wide, high), Image.Resampling.NEAREST))
    return cell


def _grid(rows: Sequence[tuple[str, Sequence[np.ndarray]]], spec: FrameSpec) -> bytes:
    """Named rows of pictures with the legend of the classes below."""
    columns = max(len(rows[0][1]), 1)
    height, width = cell_for([picture for _, pictures in rows for picture in pictures])
    down = height + GAP
    across = width + GAP
    canvas = np.full((down * len(rows) - GAP, across * columns - GAP, 3), 255, np.uint8)
    for row, (_, pictures) in enumerate(rows):
        for column, picture in enumerate(pictures):
            cell = canvas[row * down :, column * across :][:height, :width]
            cell[:] = fitted(picture, height, width)
    # placed by hand: a layout engine draws it all twice, and axes take longer to fill than pixels
    # to paste
    wide = round(WIDTH_PX * columns)
    high = round(WIDTH_PX * len(rows) * down / across)
    abreast = min(columns, LEGEND_COLUMNS)
    legend = round(15 + LEGEND_ROW_PX * ceil(spec.num_classes / abreast))
    figure = Figure(
        figsize=((NAMES_PX + wide + MARGIN_PX) / DPI, (MARGIN_PX + high + legend) / DPI), dpi=DPI
    )
    for row, (name, _) in enumerate(rows):
        centre = MARGIN_PX + (row * down + height / 2) * high / canvas.shape[0]
        where = (NAMES_PX / 2, figure.bbox.height - centre)
        figure.text(*where, name, transform=None, rotation=90, ha="center", va="center")
    figure.legend(
        handles=list(_legend(spec)),
        loc="lower center",
        ncols=abreast,
        fontsize="small",
        borderaxespad=0.2,
    )
    drawn = _drawn(figure)
    drawn.paste(
        Image.fromarray(canvas).resize((wide, high), Image.Resampling.NEAREST),
        (NAMES_PX, MARGIN_PX),
    )
    return _png(drawn)


def _longest_in(texts: Sequence[str]) -> float:
    """Return the length of the longest text in the font of axes, in inches."""
    font = FontProperties(size=10.0)
    return (
        max(
            (
                text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
                for text in texts
            ),
            default=0.0,
        )
        / 72
    )


def _legend(spec: FrameSpec) -> Iterator[Patch]:
    for label, (name, colour) in enumerate(zip(spec.class_names, spec.colours, strict=True)):
        suffix = "" if label in spec.scored else " (not scored)"
        red, green, blue = (part / 255 for part in colour)
        yield Patch(
            facecolor=(red, green, blue), edgecolor="black", label=f"{label} {name}{suffix}"
        )


def _drawn(figure: Figure) -> Image.Image:
    """Return what is in a figure, in its own pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's own
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    made = PngInfo()
    made.add_text("Software", PROGRAM)
    picture.save(buffer, format="png", compress_level=1, pnginfo=made)  # a panel is a fifth larger
    return buffer.getvalue()
