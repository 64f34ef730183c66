"""A folder with every wrong form of data.yaml and splits.csv."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.dataset import DataOptions
from tests.support.folders_read import read_all, write_good
from tests.support.fuzzing import cases, changed_texts, good_or_refused
from tests.support.layout_parts import LAYOUT_PARTS, LAYOUTS, SPLIT_PARTS, SPLITS

pytestmark = pytest.mark.long


@st.composite
def texts(draw: st.DrawFn) -> dict[str, str]:
    """One of the two files, or both, changed or as they are."""
    layout = draw(changed_texts(draw(st.sampled_from(LAYOUTS)), LAYOUT_PARTS))
    table = draw(changed_texts(draw(st.sampled_from(SPLITS)), SPLIT_PARTS))
    held = {"data.yaml": layout, "splits.csv": table, "a.txt": table, "b.txt": "f10\nf11\n"}
    left_out = draw(st.sets(st.sampled_from(["data.yaml", "splits.csv", "a.txt"]), max_size=1))
    return {name: text for name, text in held.items() if name not in left_out}


@cases(600)
@given(held=texts(), folds=st.sampled_from([0, 0, 3]))
def test_layouts_and_parts(held: dict[str, str], folds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "frames"
        write_good(root)
        for name, text in held.items():
            (root / name).write_bytes(text.encode(errors="surrogatepass"))
        options = DataOptions(folds=folds, fold=min(folds, 2))
        with good_or_refused("data.yaml"):
            read_all(root, options, Path(folder) / "cache")
