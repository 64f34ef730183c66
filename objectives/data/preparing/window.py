"""How much of a frame a network sees at once, where nobody says so."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from objectives.data.options import DataOptions
from objectives.data.preparing.marks import examples
from objectives.data.ragged import Size

LARGEST_WHOLE = 2**21  # pixels of frames that are seen whole without a word: 1024 x 2048
LARGEST_SIDE = 512  # of a window that is chosen here, pixels
_SHOWN = 3  # sizes that a line names
MULTIPLE = 32  # by which most networks halve


def window_for(sizes: Sequence[Size]) -> Size:
    """Return the height and width of a window for frames of these sizes: that of all of them, where they
    have one; else the medians of their sides, as multiples of 32 up to 512.
    """
    if not sizes:
        return 1, 1
    if len(set(sizes)) == 1:
        return sizes[0]
    medians = [statistics.median_low(size[axis] for size in sizes) for axis in (0, 1)]
    height, width = (
        min(LARGEST_SIDE, max(MULTIPLE, median // MULTIPLE * MULTIPLE)) for median in medians
    )
    return height, width


def size_warnings(
    options: DataOptions, sizes: Sequence[Size], window: Size, places: Sequence[str]
) -> Iterator[str]:
    """Yield what becomes of frames of several sizes, or of large ones, where nobody has said; where most have
    one size, ``places`` of the others are named.
    """
    if options.window:
        return
    if set(sizes) <= {window}:
        if window[0] * window[1] > LARGEST_WHOLE:
            yield (
                f"frames of {window[0]}x{window[1]} are seen whole, which takes much memory: --window HxW has "
                f"networks see less at once"
            )
        return
    counts = Counter(sizes).most_common()
    shown = ", ".join(f"{count} of {height}x{width}" for (height, width), count in counts[:_SHOWN])
    rest = f" and {len(counts) - _SHOWN} other sizes" if len(counts) > _SHOWN else ""
    (height, width), most = counts[0]
    odd = [place for place, size in zip(places, sizes, strict=True) if size != (height, width)]
    named, usual = "", "HxW"
    if most > len(odd):
        named, usual = f"; not {height}x{width}: {examples(odd)}", f"{height}x{width}"
    yield (
        f"frames keep their sizes ({shown}{rest}{named}) and are seen in windows of "
        f"{window[0]}x{window[1]}: --window HxW takes others, --size {usual} makes all frames one size"
    )
