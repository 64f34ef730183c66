"""Every option of every command with odd words, in process and through the real command, over a
study that stays as it was.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.reading.synthetic import write_folder
from search.cli.actions import recipes_list
from search.place import Place
from search.study.setup import Request, set_up
from spaces import load_recipes
from tests.support.commands import (
    ABSENT,
    COMMANDS,
    NOWHERE,
    PINS,
    STUDY,
    assert_good_end,
    command_lines,
    dump,
    run_in_process,
)
from tests.support.fuzzing import CASES, COMMAND, FULL, cases, good_or_refused

pytestmark = pytest.mark.long

PATIENCE_S = 120.0


class Workplace(NamedTuple):
    """A folder with good and torn files, and a study in a database of its own."""

    folder: Path
    database: str
    artifacts: Path
    untouched: str  # everything in the database and the artifact store before the first case


@pytest.fixture(scope="module")
def workplace(make_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("work")
    url, artifacts = make_database(), tmp_path_factory.mktemp("artifacts")
    place = Place(url, str(artifacts), folder / "cache")
    list(set_up(Request(name=STUDY, source="synthetic:40", space="tiny", trials=4), place))
    frames_N2HW = np.random.default_rng(0).integers(0, 3, (24, 2, 8, 12)).astype(np.uint8)
    np.savez(folder / "frames.npz", training_set=frames_N2HW, test_set=frames_N2HW[:2, 0])
    (folder / "torn.npz").write_bytes((folder / "frames.npz").read_bytes()[:999])
    write_folder(folder / "frames", 24)
    (folder / "space.yaml").write_text("extends: tiny\nmodel.depth: 3\n")
    (folder / "bundle").mkdir()
    (folder / "bundle/SHA256SUMS").write_text("0  model.safetensors\n")
    settings = {
        "SEARCH_STORAGE": url,
        "SEARCH_ARTIFACTS": str(artifacts),
        "SEARCH_HOME": str(folder / "home"),
        "COLUMNS": "80",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("SEARCH_")]:
            patch.delenv(name)
        for name, value in {**settings, "CUDA_VISIBLE_DEVICES": ""}.items():
            patch.setenv(name, value)
        known = {
            each.name: recipes_list.count_trainable(each) for each in load_recipes()
        }  # of 45 networks: once, not in every case
        patch.setattr(recipes_list, "count_trainable", lambda recipe: known[recipe.name])
        patch.chdir(folder)
        yield Workplace(folder, url, artifacts, dump(url, artifacts))


def test_every_command_that_trains_or_changes_a_study_is_pinned() -> None:
    changing = {
        name for name, known in COMMANDS.items() if "--study" in {each.name for each in known}
    } - {"export-best"}
    assert changing | {"demo", "dashboard", "serve"} == PINS.keys()


@cases(1000)
@given(words=command_lines())
def test_commands_in_process(words: list[str], workplace: Workplace) -> None:
    with good_or_refused(named(words)):
        run_in_process(words)
    assert dump(workplace.database, workplace.artifacts) == workplace.untouched


@pytest.mark.skipif(not FULL, reason="200 processes take minutes: make fuzz")
@cases(60)
@given(lines=st.lists(command_lines(), min_size=4, max_size=4))
def test_commands_as_processes(lines: list[list[str]], workplace: Workplace) -> None:
    passable = [[word.replace("\0", "0")[:100_000] for word in words] for words in lines]
    with ThreadPoolExecutor(2) as pool:
        for words, done in zip(lines, pool.map(run_process, passable), strict=True):
            CASES[COMMAND, named(words)] += 1
            assert_good_end(done.returncode, done.stdout, done.stderr)
    assert dump(workplace.database, workplace.artifacts) == workplace.untouched


def named(words: list[str]) -> str:
    """The command's name for the table of cases."""
    known = next(
        (name for name in COMMANDS if words[: len(name.split())] == name.split()),
        "with an odd name",
    )
    return f"search {known}"


def run_process(words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", *(os.fsencode(word) for word in words)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="backslashreplace", timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "--study", "a\0b"], "null byte"),
        (["data", "preview", "synthetic:24", "--intensity", "nan"], "--intensity"),
        (["data", "preview", "synthetic:24", "--copy-paste=nan"], "--copy-paste"),
        (["extend", *ABSENT, "--gpu-hours", "nan"], "--gpu-hours"),
        (["data", "preview", "synthetic:24", "--seed", "9" * 40], "--seed"),
        (["demo", "--workers", "100000"], "--workers"),
        (["data", "check", "~stranger/x"], "~stranger"),
        (["data", "check", "not\nthere"], r"not\nthere"),
        (["predict", "\x1b[31m", "frames.npz", "--out", "x.npz"], r"\x1b[31m"),
        (["dashboard", "--host", "a" * 70], "--host"),
        (["status", "--storage", NOWHERE.replace("//", "/")], "***"),
        (["status", "--storage", "team:top-secret@host/x"], "***"),
        (
            ["status", "--storage", "postgresql://u:top-secret@127.0.0.1:1/x?port=a&host=b"],
            "--storage",
        ),
    ],
)
def test_what_once_ended_wrongly_ends_in_one_line(
    words: list[str], said: str, workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    from search.cli.app import answer

    assert answer(words) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert len(printed.err.splitlines()) == 1
    assert "unexpected" not in printed.err
    assert "top-secret" not in printed.out + printed.err
