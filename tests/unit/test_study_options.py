"""What init and run ask of a new study: the same options, which reach the study and its data."""

import json
import os
import pwd
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from objectives.errors import ProblemsError, UserError, WorldError
from search.commands.options import Place, open_database, open_place
from search.commands.study_options import StudyOptions, with_study_options
from search.main import app
from search.setup import Request, prepare
from search.spec import StudySpec, data_path

RUNNER = CliRunner()
WORDS = ["--study", "s", "--set", "a=1", "--set", "b=2", "--size", "4x8", "--scored", "2,1", "--until", "2m", "--home", "/h"]


def test_every_field_is_an_option_and_the_commands_own_follow() -> None:
    heard: list[tuple[StudyOptions, int]] = []
    small = typer.Typer()

    @small.command()
    @with_study_options
    def command(asked: StudyOptions, workers: int = 3) -> None:
        """Help of its own."""
        heard.append((asked, workers))

    for words in (
        [],
        [*WORDS, "--min-labelled", "0.25", "--max-deviation", "3", "--ignore", "7", "--exif", "keep", "--workers", "5"],
    ):
        done = RUNNER.invoke(small, words)
        assert done.exit_code == 0, done.output
    assert heard[0] == (StudyOptions(), 3)
    asked, workers = heard[1]
    assert (workers, asked.home) == (5, Path("/h"))
    wanted = Request(name="s", source="synthetic", space="small", trials=20, sets=("a=1", "b=2"), until_s=120.0, size=(4, 8))
    assert asked.request() == Request(
        **(vars(wanted) | {"scored": (1, 2), "min_labelled": 0.25, "max_deviation": 3.0, "ignore": "7", "exif": "keep"})
    )
    assert "Help of its own." in RUNNER.invoke(small, ["--help"]).output
    for wrong in (["--min-labelled", "1.5"], ["--max-deviation", "-1"], ["--trials", "0"]):
        assert RUNNER.invoke(small, wrong).exit_code == 2


def test_a_user_without_a_home_names_one_or_what_is_needed_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("SEARCH_HOME", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    monkeypatch.setattr(pwd, "getpwuid", unknown)  # as in a container whose user is a bare number
    for words in (["status"], ["init"], ["worker", "--storage", "postgresql://h/db"]):
        done = RUNNER.invoke(app, words)
        assert isinstance(done.exception, UserError), done.exception
        assert "HOME is not set" in str(done.exception)
    with open_database("postgresql://h/db") as url:  # as status, stop, pause and so on
        assert url == "postgresql://h/db"
    with open_place("postgresql://h/db", "/a", cache=tmp_path) as place:  # as worker and run
        assert place == Place("postgresql://h/db", "/a", tmp_path)
    for command in ("report", "gc", "dashboard"):  # which need no cache
        words = [command, "--storage", "postgresql://127.0.0.1:1/db", "--artifacts", str(tmp_path / "a")]
        words += ["--wait", "0s", "--port", "0"] if command == "dashboard" else []
        done = RUNNER.invoke(app, [*words, "--out", str(tmp_path / "x.html")] if command == "report" else words)
        assert isinstance(done.exception, WorldError), done.exception
        assert "Connection refused" in str(done.exception)


def test_init_and_run_take_the_same_options() -> None:
    parameters = {
        name: {each.name: (each.opts, each.default, each.envvar) for each in command.params}
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    }
    assert set(parameters["run"]) - set(parameters["init"]) == {"workers", "device"}
    assert parameters["init"].items() <= parameters["run"].items()
    assert {"min_labelled", "max_deviation", "min_identical", "exif"} <= set(parameters["init"])


def test_data_check_tells_what_the_filter_drops_and_preview_draws_what_is_pasted(tmp_path: Path) -> None:
    plain, filtered = (
        json.loads(RUNNER.invoke(app, ["data", "check", "synthetic:40", "--json", *words]).output)
        for words in ([], ["--min-labelled", "0.5", "--max-deviation", "1.5"])
    )
    assert filtered["frames"] == plain["frames"] == filtered["kept"] + len(filtered["dropped"])
    more = [dropped["reason"] for dropped in filtered["dropped"] if dropped not in plain["dropped"]]
    assert "its mean pixel value is more than 1.5 standard deviations from that of all frames (--max-deviation)" in more
    pictures = []
    where = ["--cache", str(tmp_path / "cache")]
    for number, words in enumerate(([], ["--copy-paste", "1"], ["--vertical-flip"])):
        out = tmp_path / f"{number}.png"
        done = RUNNER.invoke(app, ["data", "preview", "synthetic:40", "--frames", "3", "--out", str(out), *where, *words])
        assert done.exit_code == 0, done.output
        pictures.append(out.read_bytes())
    assert len(set(pictures)) == 3


def test_data_are_stored_by_their_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker may be started anywhere, and only the generator's own word is no path."""
    (tmp_path / "synthetic_rocks").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for word in ("synthetic_rocks", "./synthetic_rocks/", "~/synthetic_rocks"):
        assert data_path(word) == str(tmp_path / "synthetic_rocks")
    assert data_path("synthetic:40:seed=1") == "synthetic:40:seed=1"
    with pytest.raises(ProblemsError, match="must be an npz file, a folder"):
        data_path("synthetic_sand")


def test_the_filter_belongs_to_the_study(tmp_path: Path) -> None:
    place = Place("", str(tmp_path / "artifacts"), tmp_path / "cache")
    asked = Request(name="s", source="synthetic:40", space="tiny", trials=2, max_deviation=1.5)
    spec = prepare(asked, place).spec
    assert spec.max_deviation == 1.5
    assert spec.data_options == asked.data_options
    whole = prepare(Request(name="s", source="synthetic:40", space="tiny", trials=2), place)
    assert whole.spec.data_fingerprint != spec.data_fingerprint
    assert "13 dropped" in whole.findings[0]
    with pytest.raises(UserError, match="min_labelled: must be a share"):
        prepare(Request(name="s", source="synthetic:40", space="tiny", trials=2, min_labelled=float("nan")), place)


def test_a_study_from_before_the_filter_reads_as_one_without() -> None:
    spec = StudySpec(
        name="s", source="synthetic", size=None, min_identical=10, scored=(), score="", data_fingerprint="",
        space={}, space_fingerprint="", trials=1, until_s=0.0, seed=0,
    )  # fmt: skip
    stored = spec.model_dump(mode="json")
    del stored["min_labelled"], stored["max_deviation"], stored["ignore"], stored["exif"]
    assert StudySpec.model_validate(stored) == spec
    assert spec.data_options == Request(name="s", source="synthetic", space="small", trials=1).data_options
