"""Figures as PNG bytes that say which program has made them."""

import io
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

PROGRAM = "segmentation-search"  # as each picture says
rcParams["text.parse_math"] = False  # a $ in the name of a class is one


def is_picture(path: Path) -> bool:
    """Return whether a file is a picture of ours."""
    with Image.open(path) as opened:
        return bool(opened.info.get("Software") == PROGRAM)


def drawn(figure: Figure) -> Image.Image:
    """Return what is in a figure, in its own pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's own
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


def png(picture: Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG."""
    buffer = io.BytesIO()
    made = PngInfo()
    made.add_text("Software", PROGRAM)
    picture.save(buffer, format="png", compress_level=1, pnginfo=made)  # a panel is a fifth larger
    return buffer.getvalue()
