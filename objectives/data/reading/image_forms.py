"""Which forms of image files are read, in words and by their suffixes."""

FORMS = "PNG, JPG, TIFF, BMP, GIF or WebP"
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp"}
)
