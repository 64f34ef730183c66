"""Laws of the table from stored values to labels, against a dictionary of one value each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.reading.classes import numbered_classes
from objectives.data.reading.classes_file import read_classes
from objectives.data.reading.classes_text import classes_text
from objectives.data.values import Values, key_problems

GREYS = st.integers(0, 300)
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


@given(st.dictionaries(GREYS, st.integers(0, 9), max_size=12), st.lists(GREYS, min_size=1))
def test_greys_mean_what_a_dictionary_says(ends: dict[int, int], stored: list[int]) -> None:
    """Each value with a label ends a range that begins in the middle to the one before."""
    order = sorted(ends)
    firsts = [(before + last) // 2 + 1 for before, last in zip([-1, *order], order, strict=False)]
    entries = tuple(
        (f"{first}-{last}" if last > first else str(first), ends[last])
        for first, last in zip(firsts, order, strict=True)
    )
    assert not list(key_problems(key for key, _ in entries))
    meaning = {
        value: ends[last]
        for first, last in zip(firsts, order, strict=True)
        for value in range(first, last + 1)
    }
    if not entries:
        meaning = {value: value for value in stored}
    found = Values(entries).read(np.array(stored)[None])
    assert found.labels_HW.tolist() == [[meaning.get(value, 0) for value in stored]]
    unknown = [value for value in stored if value not in meaning]
    assert found.undeclared == {str(value): unknown.count(value) for value in unknown}


@given(
    st.dictionaries(COLOURS, st.integers(0, 9), min_size=1, max_size=9),
    st.lists(COLOURS, max_size=9),
)
def test_colours_mean_what_a_dictionary_says(
    meaning: dict[tuple[int, int, int], int], others: list[tuple[int, int, int]]
) -> None:
    entries = tuple((",".join(map(str, colour)), label) for colour, label in meaning.items())
    pixels = [*meaning, *others]
    found = Values(entries).read(np.array(pixels, np.uint8)[None])
    assert found.labels_HW.tolist() == [[meaning.get(colour, 0) for colour in pixels]]
    unknown = [",".join(map(str, colour)) for colour in pixels if colour not in meaning]
    assert found.undeclared == {key: unknown.count(key) for key in unknown}


@given(
    st.integers(2, 9),
    st.sampled_from([None, 0, 1, 200]),
    st.dictionaries(st.integers(0, 65535).map(str), st.integers(0, 1), max_size=9),
)
def test_a_written_file_says_the_same_when_read(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    ignore: int | None,
    entries: dict[str, int],
) -> None:
    classes = numbered_classes(count).ignoring("" if ignore is None else str(ignore))
    path = tmp_path_factory.mktemp("classes") / "classes.yaml"
    path.write_text(classes_text(classes, tuple(entries.items())))
    read = read_classes(path)
    assert (read.names, read.colours) == (classes.names, classes.colours)
    assert (read.ignore_label, read.raw_ignore) == (classes.ignore_label, classes.raw_ignore)
    assert entries.items() <= dict(read.values.entries).items()
    led_to = set(entries.values())
    for key, label in dict(read.values.entries).items():
        itself = key == str(label) and (label not in led_to or label == ignore)
        assert entries.get(key) == label or itself
