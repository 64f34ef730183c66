"""Cut the places of a file of frames into the parts of the bench, once: ``cut_places.py FILE.npz`` writes
``mars_places.csv``.

The list is committed: no place of *live* has been in a table, or had a part in any tuning. The order of places
is that of the hashes of their ids, which knows nothing of what they look like.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

SHARES = {"a": 0.22, "b": 0.22}  # of the places; the rest is live
OUT = Path(__file__).with_name("mars_places.csv")


def cut(places: list[int]) -> dict[int, str]:
    """Return the part of each place."""
    shuffled = sorted(places, key=lambda place: hashlib.sha256(str(place).encode()).digest())
    parts = dict.fromkeys(shuffled, "live")
    begin = 0
    for part, share in SHARES.items():
        end = begin + round(share * len(shuffled))
        parts |= dict.fromkeys(shuffled[begin:end], part)
        begin = end
    return {place: parts[place] for place in sorted(parts)}


if __name__ == "__main__":
    with np.load(sys.argv[1]) as arrays:
        ids = np.unique(arrays["training_groups"]).tolist()
    lines = [f"{place},{part}" for place, part in cut(ids).items()]
    OUT.write_text("\n".join(["place,part", *lines]) + "\n")
