"""Which forms of image files are read, in words and by their suffixes, and which never are."""

FORMS = "PNG, JPG, TIFF, BMP, GIF or WebP"
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
)
# of files that hold volumes: NIfTI, DICOM, NRRD, MetaImage, Analyze, MINC
_VOLUMES = (".nii", ".nii.gz", ".dcm", ".dicom", ".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".mgz")
NO_VOLUMES = (
    "volumes (3D) are not read: save their slices as PNG or TIFF, those of one volume in one group"
)
ONE_LABEL = (
    "a pixel has one label, several for one pixel are not learned: of one-hot channels take argmax "
    "over the classes"
)


def is_volume(name: str) -> bool:
    """Return whether a file is one of a volume, as its name says."""
    return name.lower().endswith(_VOLUMES)
