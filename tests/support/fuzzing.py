"""What all fuzz tests share: how many cases run, what counts as a good end, nasty values, and
mutations of good input.

With ``FUZZ=full`` (``make fuzz``) there are more than 10,000 cases; without, a slice of them that
is part of ``make test``.
"""

import copy
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from objectives.errors import SearchError

FULL = os.environ.get("FUZZ") == "full"
SLICE = 60  # one case of so many runs in the slice
# a case takes milliseconds; this is a hang, also on a machine that does much else
PATIENCE_S = 60.0
MOST_MEMORY = 3 * 2**30  # bytes that this process may ever have held more than before a case
CASES: Counter[tuple[str, str]] = Counter()  # by way (in process, through the command) and target
IN_PROCESS, COMMAND = "in process", "through the command"


def cases(full: int) -> settings:
    """Settings of a test that has so many cases in the full run."""
    return settings(
        max_examples=full if FULL else max(8, full // SLICE),
        deadline=None,
        database=None,
        derandomize=not FULL,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if FULL else [])],
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def good_or_refused(target: str) -> Iterator[None]:
    """One case: the block ends well, or with one of our own errors in clear words; nothing else,
    not late, not bloated.
    """
    CASES[IN_PROCESS, target] += 1
    before, started = _peak(), time.monotonic()
    try:
        yield
    except SearchError as error:
        assert_clear(str(error))
    assert time.monotonic() - started < PATIENCE_S, "this case hangs"
    assert _peak() - before < MOST_MEMORY, "this case fills the memory"


def assert_clear(words: str) -> None:
    """Fail unless the words can be shown: there are some, printable ones, in lines that a terminal
    can take.
    """
    assert words.strip()
    for line in words.split("\n"):
        assert line.isprintable() or "\t" in line, repr(line)
        assert len(line) < 5000
    assert "Traceback" not in words


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


ODD_TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "",
                " ",
                "\0",
                "a\0b",
                "\t",
                "\n",
                "a\nb",
                "\x1b[31mred",
                "\u202etxt",
                "\ufeff",
                "é",
                "日本",
                "🪨",
                "\udcff",
            ),
            *(
                "-",
                "--",
                "---x",
                "-1",
                "0",
                "00",
                "1e999",
                "nan",
                "inf",
                "-inf",
                "9" * 400,
                "0x" + "f" * 5000,
                "1_000",
                "١٢",
            ),
            *(
                "..",
                "../..",
                "../../etc/passwd",
                "a/../../b",
                "con",
                "%00",
                "%s%n",
                "{}",
                "${HOME}",
                "$(id)",
                "`id`",
                ";id",
            ),
            *(
                "' OR 1=1 --",
                '"; DROP TABLE studies; --',
                "a" * 300,
                "b" * 5000,
                "null",
                "true",
                "~",
                "~stranger",
                "[",
                "&a [*a]",
            ),
        ]
    ),
)
ODD_NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from(
        [
            0,
            -1,
            2**31,
            2**53 + 1,
            2**63,
            10**30,
            -0.0,
            1e-320,
            1e308,
            float("nan"),
            float("inf"),
            255,
            256,
            65536,
        ]
    ),
)
ODD_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(ODD_TEXT, ODD_NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(ODD_TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed_trees(draw: st.DrawFn, tree: Any) -> Any:
    """A good tree of mappings and lists with one to three places changed: replaced, removed, added
    or wrapped.
    """
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        holder: Any = [tree]
        key: Any = 0
        while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 4)):
            holder = holder[key]
            key = draw(
                st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder)))
            )
        match draw(st.sampled_from(["replace", "replace", "number", "remove", "add", "wrap"])):
            case "remove" if holder is not tree and not (
                isinstance(holder, list) and holder[0] is tree
            ):
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(ODD_TEXT)] = draw(ODD_VALUES)
            case "wrap":
                holder[key] = [holder[key]]
            case "number":
                holder[key] = draw(ODD_NUMBERS)
            case _:
                holder[key] = draw(ODD_VALUES)
        tree = (
            holder[0]
            if isinstance(holder, list) and len(holder) == 1 and key == 0 and holder[0] is not tree
            else tree
        )
    return tree


@st.composite
def changed_texts(draw: st.DrawFn, text: str, fragments: list[str]) -> str:
    """A good text with one to four edits: a fragment put in, a slice cut out, a line doubled, moved
    or indented otherwise.
    """
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        match draw(st.sampled_from(["fragment", "fragment", "odd", "cut", "line", "indent"])):
            case "fragment":
                text = text[:place] + draw(st.sampled_from(fragments)) + text[place:]
            case "odd":
                text = text[:place] + draw(ODD_TEXT) + text[place:]
            case "cut":
                text = text[:place] + text[place + draw(st.integers(1, 40)) :]
            case kind:
                lines = text.splitlines(keepends=True) or [""]
                number = draw(st.integers(0, len(lines) - 1))
                again = (
                    lines[number]
                    if kind == "line"
                    else draw(st.sampled_from(["\t", " ", "  - ", "? "])) + lines[number]
                )
                text = "".join([*lines[:number], again, *lines[number + (kind == "indent") :]])
    return text


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Good bytes, cut, or with some of them changed, doubled or overwritten by extremes."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(changed) - 1)))
        if draw(st.booleans()):  # headers decide what decoders do
            place = min(place, draw(st.integers(0, 64)))
        match draw(st.sampled_from(["flip", "extreme", "cut", "insert"])):
            case "flip" if changed:
                changed[place] ^= 1 << draw(st.integers(0, 7))
            case "extreme":
                changed[place : place + 4] = draw(
                    st.sampled_from([b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
                )
            case "cut":
                del changed[place : place + draw(st.sampled_from([1, 4, 64, 10**9]))]
            case _:
                changed[place:place] = draw(st.binary(max_size=8))
    return bytes(changed)
