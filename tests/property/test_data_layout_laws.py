"""Laws of patterns and of data.yaml: a path leads back to its fields, a layout to its text."""

from string import ascii_lowercase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.reading.layout import Layout, read_layout
from objectives.data.reading.pattern import Pattern

TEXTS = st.text(ascii_lowercase + "0123456789 .+(", min_size=1, max_size=5).filter(
    lambda text: text not in {".", ".."}
)
FIELDS = st.lists(st.sampled_from(["stem", "city", "group"]), min_size=1, max_size=3, unique=True)


@st.composite
def patterns(draw: st.DrawFn) -> Pattern:
    """A path in which each field is between texts that no field holds."""
    fields = draw(FIELDS)
    parts = [f"{draw(TEXTS)}{draw(st.sampled_from(['/', '_']))}{{{name}}}" for name in fields]
    return Pattern("_".join(parts) + draw(st.sampled_from([".png", ".*", "_mask.tif"])))


@given(patterns(), st.data())
def test_a_path_leads_back_to_its_fields(pattern: Pattern, data: st.DataObject) -> None:
    assert not list(pattern.problems())
    # letters that no text of the pattern holds: else a path may be read in two ways
    fields = {
        name: data.draw(st.text("XYZ", min_size=1, max_size=4)) for name in sorted(pattern.fields)
    }
    path = pattern.filled(fields).replace(".*", ".jpg")
    assert pattern.values(path) == fields
    assert path.startswith(pattern.folder)
    assert pattern.values(f"x/{path}") is None


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_pattern_or_has_a_problem(text: str, path: str) -> None:
    pattern = Pattern(text)
    if not list(pattern.problems()):
        values = pattern.values(path)
        assert values is None or set(values) == pattern.fields


@given(
    st.sampled_from(["later", "smallest"]),
    st.sampled_from(["refuse", "background", "drop"]),
    st.sampled_from(["", "rgb", "grey"]),
    st.sampled_from(["", "ignored"]),
    st.one_of(
        st.none(),
        st.tuples(st.floats(-1e9, 0, exclude_max=True), st.floats(0, 1e9)),
    ),
    st.one_of(st.just(""), st.just("cut.csv")),
    st.integers(1, 65535),
)
def test_a_layout_is_what_its_text_says(
    tmp_path_factory: pytest.TempPathFactory,
    overlap: str,
    without: str,
    channels: str,
    no_data: str,
    pixel_range: tuple[float, float] | None,
    table: str,
    threshold: int,
) -> None:
    layout = Layout(
        (Pattern("a/{stem}.png"), Pattern("b/{stem}.*")),
        (Pattern("m/{class}/{stem}_{object}.png"),),
        parts_file=table,
        overlap=overlap,  # type: ignore[arg-type]
        threshold=threshold,
        without_mask=without,  # type: ignore[arg-type]
        channels=channels,  # type: ignore[arg-type]
        pixel_range=pixel_range,
        no_data=no_data,  # type: ignore[arg-type]
    )
    path = tmp_path_factory.mktemp("layout") / "data.yaml"
    path.write_text(layout.text())
    assert read_layout(path) == layout
