"""Orders and more budget, with odd words, to a study that has them carried out: what changes is
what was said, or nothing.
"""

from pathlib import Path
from typing import Any

import psycopg2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from search.cli.app import answer
from search.place import Place
from search.study.setup import Request, set_up
from tests.support.commands import TEXT, assert_good_end, dump
from tests.support.fuzzing import cases, good_or_refused

pytestmark = pytest.mark.long

STUDY = "ordered"
STATES = {"stop": "stopped", "pause": "paused", "resume": "running"}
MORE = {
    "--trials": ["+5", "0", "7", "-3", "1e3", "9" * 12, "99999999", "2147483647", "٣"],
    "--gpu-hours": ["0.5", "+1", "0", "-1", "nan", "inf", "1e6", "1e-320", "1e308"],
    "--until": ["1h", "+2m", "0s", "-1h", "soon", "365d", "1e9h", "nan"],
}


@pytest.fixture(scope="module")
def place(make_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study that nobody works on, with every limit that can be extended."""
    folder = tmp_path_factory.mktemp("ordered")
    place = Place(make_database(), str(folder / "artifacts"), folder / "cache")
    request = Request(
        name=STUDY, source="synthetic:40", space="tiny", trials=4, gpu_s=3600.0, until_s=3600.0
    )
    list(set_up(request, place))
    return place


@st.composite
def orders(draw: st.DrawFn) -> list[str]:
    """A command line."""
    command = draw(st.sampled_from([*STATES, "extend", "extend", "extend"]))
    known = sorted(MORE) if command == "extend" else []
    options = (
        draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)) if known else []
    )
    return [
        command,
        *(
            f"{each}={draw(st.sampled_from(MORE[each]) if draw(st.integers(0, 4)) else TEXT)}"
            for each in options
        ),
        "--study",
        STUDY,
    ]


@cases(600)
@example(lines=[["extend", "--trials=+5", "--gpu-hours=0.5", "--until=+2m", "--study", STUDY]])
@given(lines=st.lists(orders(), min_size=1, max_size=6))
def test_an_order_changes_what_it_says_and_nothing_else(
    lines: list[list[str]], place: Place
) -> None:
    untouched = beside_the_budget(place)
    for words in lines:
        before = budget(place)
        code = 2
        with good_or_refused("search orders"):
            code = run(words, place)
        after = budget(place)
        assert after == expected(words, before, after) if code == 0 else after == before, (
            words,
            before,
            after,
        )
    assert beside_the_budget(place) == untouched


def run(words: list[str], place: Place) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEARCH_STORAGE", place.storage)
        code = answer(words)
    assert_good_end(code, "", "said elsewhere")
    return code


def expected(words: list[str], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The budget after an order that was taken: ``after`` tells the time alone, in whose many
    notations it may come.
    """
    if words[0] in STATES:
        return before | {"state": STATES[words[0]]}
    given = dict(word.split("=", 1) for word in words if "=" in word)
    assert after["until_s"] >= before["until_s"]
    return before | {
        "trials": before["trials"] + int(given.get("--trials") or 0),
        "gpu_s": before["gpu_s"] + 3600.0 * float(given.get("--gpu-hours") or 0.0),
        "until_s": after["until_s"],
    }


def budget(place: Place) -> dict[str, Any]:
    with psycopg2.connect(place.storage) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT state, trials, gpu_s, until_s FROM search_study")
        (row,) = cursor.fetchall()
    connection.close()
    return dict(zip(("state", "trials", "gpu_s", "until_s"), row, strict=True))


def beside_the_budget(place: Place) -> list[str]:
    rows = dump(place.storage, Path(place.artifacts)).split("\n")
    return [row for row in rows if not row.startswith("search_study ")]


def test_some_of_them_were_taken(place: Place) -> None:
    """Runs after the cases, on their study."""
    assert budget(place)["trials"] > 4
