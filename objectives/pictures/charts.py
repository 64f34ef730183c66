"""Charts as PNG bytes: what a data set holds, confusion, calibration, and how a training went."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from objectives.data.preparing.check import Report
from objectives.data.spec import FrameSpec
from objectives.pictures.figures import drawn, png
from objectives.scoring.calibration import Calibration
from objectives.scoring.metrics import iou_K
from objectives.training.results import EpochResult

TICKS = 5  # at most, on each axis of a curve: they are what drawing it takes
TITLE_IN = 3.0  # of a confusion matrix, inches
# of histograms: the height of a bar, inches, and how many
BAR_IN = 0.3
BINS = 50
CONFUSION_IN = 30.0  # inches, the longest side of a confusion matrix


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
    return png(drawn(figure))


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
    return png(drawn(figure))


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
    return png(drawn(figure))


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
    return png(drawn(figure))


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
