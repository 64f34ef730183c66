"""Whether an image and its mask have one size, and what may be why not."""

from objectives.data.reading.frames import Frame
from objectives.errors import Problem


def size_problem(frame: Frame, place: str, remedy: str = "") -> Problem | None:
    """Return a mask of another size than its image, and whether a tag that turns one of them, or
    would, may be why.

    ``remedy`` is what can be done about one that turns it.
    """
    image = frame.image_HWC.shape[:2]
    mask = frame.mask_HW.shape
    if image == mask:
        return None
    why = _turned_apart(frame, remedy) if image == mask[::-1] else ""
    return Problem(
        place,
        f"its mask must have the image's size {image[0]}x{image[1]}",
        f"{mask[0]}x{mask[1]}{why}",
    )


def _turned_apart(frame: Frame, remedy: str) -> str:
    """Return which of the two is turned by a quarter, or would be but for the user; empty for both
    or neither.
    """
    image = frame.image_tags
    mask = frame.mask_tags
    if (image.orientation >= 5) != (mask.orientation >= 5):
        return (
            f", and {'the image' if image.orientation >= 5 else 'its mask'} is turned by its "
            f"EXIF tag{remedy}"
        )
    if (image.kept >= 5) != (mask.kept >= 5):
        return (
            f", and --exif keep leaves the EXIF tag of "
            f"{'the image' if image.kept >= 5 else 'its mask'} aside"
        )
    return ""
