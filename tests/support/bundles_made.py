"""What the tests of bundles share: a statement of origin, and checksums set right after a
change.
"""

import hashlib
from pathlib import Path
from typing import Any

from objectives.bundle.bundle_folder import SUMS
from objectives.bundle.provenance import PartScore, Provenance


def origin(validation: PartScore, **stated: Any) -> Provenance:
    """A statement of origin with this score, and with whatever else is stated."""
    plain = {
        "study": "terrain",
        "trial": 7,
        "trials": 12,
        "seed": 3,
        "epoch": 20,
        "data": "f" * 64,
        "device": "cpu",
    }
    return Provenance(
        **{
            **plain,
            "command": "search export-best",
            "versions": {},
            "validation": validation,
            **stated,
        }
    )


def seal(directory: Path) -> None:
    """Set a bundle's checksums right, as whoever wrote its files on purpose would."""
    files = sorted(path for path in directory.iterdir() if path.name != SUMS)
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (directory / SUMS).write_text("".join(sums))
