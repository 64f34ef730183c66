from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.data.dataset import DataOptions, open_dataset

FRAMES = np.random.default_rng(0).integers(0, 256, (12, 2, 8, 8), np.uint8)
FRAMES[:, 1] %= 3


def _fingerprint(root: Path, name: str, frames: np.ndarray, groups: list[str]) -> str:
    np.savez(root / name, training_set=frames, training_groups=np.array(groups))
    return open_dataset(str(root / name), DataOptions(), root / f"cache of {name}").fingerprint


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 10**6),
    st.tuples(st.integers(0, 11), st.integers(0, 1), st.integers(0, 7), st.integers(0, 7)),
)
def test_renaming_changes_nothing_and_a_pixel_everything(
    shift: int, place: tuple[int, int, int, int]
) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        first = _fingerprint(root, "a.npz", FRAMES, [str(index // 2) for index in range(12)])
        renamed = _fingerprint(
            root, "b.npz", FRAMES, [str(index // 2 + shift) for index in range(12)]
        )
        changed = FRAMES.copy()
        changed[place] = (changed[place] + 1) % 3
        assert renamed == first
        assert (
            _fingerprint(root, "c.npz", changed, [str(index // 2) for index in range(12)]) != first
        )
