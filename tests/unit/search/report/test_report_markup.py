"""Markup that no text can break, scales and ticks, and numbers as they are shown."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from objectives.bundle.belief_in_one import chance
from search.report import shown
from search.report.drawing import Chart, Strip
from search.report.markup import LONGEST, Html, document, element, escape, join, style_sheet
from search.report.scales import Scale, linear_ticks, log_ticks, padded
from search.report.style import CSS

EVIL = '<script>alert(1)</script>&"'


@given(st.text(max_size=60))
def test_text_comes_back_as_it_was(text: str) -> None:
    page = element("p", text, title=text)
    parsed = ElementTree.fromstring(page)
    assert parsed.tag == "p"
    assert len(parsed) == 0
    if text.isprintable():
        assert (parsed.text or "") == text
        assert parsed.get("title", "") == text


def test_markup_is_nested_and_text_is_not() -> None:
    assert element("b", EVIL) == "<b>&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;</b>"
    assert element("i", element("b", "x"), "<") == "<i><b>x</b>&lt;</i>"
    assert join(["<", Html("<br />")]) == "&lt;<br />"


def test_attributes_are_escaped() -> None:
    parsed = ElementTree.fromstring(
        element("p", title=f"'{EVIL}", class_="a", stroke_width=2.0, role="")
    )
    assert parsed.attrib == {"title": f"'{EVIL}", "class": "a", "stroke-width": "2"}


def test_a_name_of_megabytes_is_cut() -> None:
    assert len(escape("x" * 10**6)) < LONGEST + 10


def test_the_style_sheet_is_written_as_it_is() -> None:
    page = document(style_sheet(CSS), element("p"))
    assert CSS in page
    ElementTree.fromstring(page)


@example(1.0, 400_001.0, 2)  # between two multiples of the step that fits best
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 9))
def test_ticks_are_few_and_within(low: float, width: float, most: int) -> None:
    high = low + width
    if high - low < 1e-9 * max(abs(low), abs(high)):
        return
    ticks = linear_ticks(low, high, most)
    assert 1 <= len(ticks) <= most + 1
    slack = 1e-6 * (high - low) + 1e-11
    assert all(low - slack <= tick <= high + slack for tick in ticks)


def test_ticks_are_round() -> None:
    assert linear_ticks(0.0, 1.0, 5) == (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    assert linear_ticks(0.583, 0.681, 5) == (0.6, 0.62, 0.64, 0.66, 0.68)
    assert log_ticks(1e-4, 1e-2, 5) == pytest.approx((1e-4, 3e-4, 1e-3, 3e-3, 1e-2))
    assert len(log_ticks(1e-12, 1e12, 6)) <= 7


def test_a_scale_goes_from_start_to_end_and_not_beyond() -> None:
    scale = Scale(0.0, 10.0, 100.0, 0.0)
    assert [scale(value) for value in (0.0, 2.5, 10.0, 99.0, -5.0)] == [
        100.0,
        75.0,
        0.0,
        0.0,
        100.0,
    ]
    assert Scale(1e-4, 1e-2, 0.0, 100.0, log=True)(1e-3) == pytest.approx(50.0)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5), st.booleans())
def test_a_padded_scale_has_room_for_all(values: list[float], log: bool) -> None:
    values = [abs(value) + 1e-3 for value in values] if log else values
    scale = padded(values, 0.0, 100.0, log=log)
    assert scale.low < min(values)
    assert max(values) < scale.high
    assert all(math.isfinite(scale(value)) for value in values)


def test_charts_are_well_formed() -> None:
    chart = Chart(Scale(0, 1, 50, 500), Scale(0, 1, 300, 20))
    chart.lines([[(0, 0), (1, 1)], [(0, 0)], []], "best")
    chart.dots([(0.5, 0.5)], "complete")
    chart.crosses([(0.5, 0.5)], "pruned")
    chart.dot((0.1, 0.2), "best", EVIL)
    chart.level(0.3, "control")
    chart.gate(0.4, EVIL)
    parsed = ElementTree.fromstring(chart.svg(EVIL, EVIL))
    kinds = [path.get("class") for path in parsed.iter("path")]
    assert kinds == [
        "grid",
        "axis",
        "line best",
        "dots complete",
        "cross pruned",
        "line level control",
        "gate",
    ]
    assert parsed.find("circle/title").text == EVIL  # type: ignore[union-attr]
    strip = Strip(Scale(0, 1, 0, 100))
    strip.reach(0.2, 0.4, "best")
    assert len(list(ElementTree.fromstring(strip.svg(EVIL)).iter("path"))) == 2


def test_numbers_for_people() -> None:
    assert shown.score(0.6543) == "0.654"
    assert shown.score(math.nan) == shown.change(math.nan) == "-"
    assert (shown.change(0.0123), shown.change(-0.05)) == ("+0.012", "\N{MINUS SIGN}0.050")
    assert shown.unit_of(7199.0).shown(90.0) == "1.50 min"
    assert shown.unit_of(7200.0).shown(5400.0) == "1.50 h"
    assert (shown.counted(1, "trial"), shown.counted(1200, "trial")) == ("1 trial", "1,200 trials")
    assert [chance(value) for value in (0.0, 0.5, 0.999)] == [
        "under 1 %",
        "50 %",
        "over 99 %",
    ]
    assert [shown.parameter(value) for value in (True, 3, 0.00123456, "adamw")] == [
        "yes",
        "3",
        "0.00123",
        "adamw",
    ]
