"""Panels of frames as PNG bytes: with their truth and predictions, and what augmentation does to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from objectives.augmentation.transforms import frame_seed
from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.pictures.cells import cell_for, coloured, displayable, error_map, fitted
from objectives.pictures.figures import drawn, png

# of the frame and mask at a position, by a seed
Augmentation = Callable[[int, int], tuple[np.ndarray, np.ndarray]]
DPI = 100  # pixels of a picture for each inch of its figure
WIDTH_PX = 260  # of one frame
GAP = 4  # pixels between two frames
# beside a grid of pictures
NAMES_PX = 30
MARGIN_PX = 5
LEGEND_COLUMNS = 6
LEGEND_ROW_PX = 20


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
    return png(drawn(figure))


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
    whole = drawn(figure)
    whole.paste(
        Image.fromarray(canvas).resize((wide, high), Image.Resampling.NEAREST),
        (NAMES_PX, MARGIN_PX),
    )
    return png(whole)


def _legend(spec: FrameSpec) -> Iterator[Patch]:
    for label, (name, colour) in enumerate(zip(spec.class_names, spec.colours, strict=True)):
        suffix = "" if label in spec.scored else " (not scored)"
        red, green, blue = (part / 255 for part in colour)
        yield Patch(
            facecolor=(red, green, blue), edgecolor="black", label=f"{label} {name}{suffix}"
        )
