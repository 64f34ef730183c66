"""The numbers of a mask as its file stores them, and whether they are labels."""

import numpy as np

from objectives.data.options import LARGEST_LABEL
from objectives.data.reading.image_forms import ONE_LABEL
from objectives.data.reading.raster import Raster, RefusalError, Tags

COLOURED_MASK = (
    "a mask must be one channel of labels, not colours, unless `values:` of classes.yaml declares "
    "them"
)


def stored_numbers(raster: Raster) -> np.ndarray:
    """Return the numbers as stored, (H, W); colours (H, W, 3) where they are of 8 bits, which have
    none.

    Raises:
        RefusalError: It is no label image.
    """
    # readers disagree on whether they count from white or from black
    if raster.white_is_zero and raster.bits > 1:
        raise RefusalError(
            "a mask must count from black: save it anew", "a TIFF in which 0 is white"
        )
    labels = ~raster.pixels.astype(np.bool_) if raster.white_is_zero else raster.pixels
    if labels.ndim == 3 and (labels == labels[:, :, :1]).all():
        labels = labels[:, :, 0]  # grey saved as RGB
    if labels.ndim != 2:
        if labels.dtype == np.uint8 and labels.shape[2] == 3:
            return labels
        rule = COLOURED_MASK if labels.shape[2] in (3, 4) else ONE_LABEL
        raise RefusalError(rule, f"an array of shape {labels.shape}")
    return labels.astype(np.uint8) if labels.dtype == np.bool_ else labels


def refuse_no_labels(numbers: np.ndarray, tags: Tags) -> np.ndarray:
    """Return numbers as integers where all are labels.

    Raises:
        RefusalError: Some is none.
    """
    kind = numbers.dtype.kind
    least, most = numbers.min().item(), numbers.max().item()
    # what is no number compares with nothing
    if kind in "iuf" and least >= 0 and most <= LARGEST_LABEL:
        if kind != "f":
            return numbers
        if (numbers == (whole := numbers.astype(np.uint16))).all():
            return whole
    rule = f"labels must be whole numbers in 0..{LARGEST_LABEL}"
    if tags.no_data is not None:
        rule += ", but for no data that `no_data: ignored` of data.yaml gives the ignored label"
    raise RefusalError(rule, f"{numbers.dtype} {least}..{most}")
