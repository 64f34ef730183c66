"""Files that may lie beside images, and those that would be missed."""

from pathlib import Path

from objectives.data.reading.raster import form_of

_TEXTS = (
    ".txt .md .rst .csv .tsv .json .jsonl .geojson .xml .yaml .yml .toml .html .log .ini .py "
    ".ipynb .sh"
)
_LEFT_BY_PROGRAMS = ".db .lnk .sha256 .md5 .shp .shx .dbf .cpg .qml .aux .ovr .prj"
_WORLD_FILES = ".wld .tfw .tifw .tiffw .jgw .jpgw .jpegw .pgw .pngw .bpw .gfw"
# what may lie beside images and is none
COMPANIONS = frozenset(f"{_TEXTS} {_LEFT_BY_PROGRAMS} {_WORLD_FILES}".split())


def may_be_an_image(path: Path) -> bool:
    """Return whether a file with no suffix of an image would be missed: all but texts and other
    companions may be one.
    """
    if path.suffix:
        return path.suffix.lower() not in COMPANIONS
    try:
        with path.open("rb") as opened:
            return bool(form_of(opened.read(12)))
    except OSError:
        return True
