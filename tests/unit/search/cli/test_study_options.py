"""What init and run ask of a new study: the same options, which reach the study and its data."""

import io
import json
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from objectives.data.options import DataOptions
from objectives.errors import ProblemsError, UserError, WorldError
from objectives.pictures.figures import is_picture
from search.cli.action import with_options
from search.cli.app import app
from search.cli.study_options import StudyOptions
from search.cli.values import parse_split
from search.cli.written import request_of
from search.place import Place, open_database, open_place
from search.study.data_path import data_path
from search.study.setup import Request, prepare

RUNNER = CliRunner()
WORDS = [
    "--study",
    "s",
    "--set",
    "a=1",
    "--set",
    "b=2",
    "--size",
    "4x8",
    "--scored",
    "2,soil, 1",
    "--until",
    "2m",
    "--home",
    "/h",
]


def test_every_field_is_an_option_and_the_commands_own_follow(tmp_path: Path) -> None:
    heard: list[tuple[StudyOptions, int]] = []
    small = typer.Typer()

    @small.command()
    @with_options(StudyOptions)
    def command(asked: StudyOptions, workers: int = 3) -> None:
        """Help of its own."""
        heard.append((asked, workers))

    (tmp_path / "out.txt").write_text("7\n3\n")
    more = [
        "--min-labelled",
        "0.25",
        "--max-deviation",
        "3",
        "--ignore",
        "7",
        "--exif",
        "keep",
        "--workers",
        "5",
    ]
    more += ["--split", "72.5/17.5/10", "--leave-out", str(tmp_path / "out.txt")]
    for words in ([], [*WORDS, *more]):
        done = RUNNER.invoke(small, words)
        assert done.exit_code == 0, done.output
    assert heard[0] == (StudyOptions(), 3)
    asked, workers = heard[1]
    assert (workers, asked.home) == (5, Path("/h"))
    wanted = DataOptions(
        size=(4, 8),
        scored=(1, 2, "soil"),
        shares=(0.725, 0.175, 0.1),
        min_labelled=0.25,
        max_deviation=3.0,
        ignore="7",
        exif="keep",
        leave_out=("3", "7"),
    )
    assert request_of(asked) == Request(
        name="s",
        source="synthetic",
        space="small",
        trials=20,
        sets=("a=1", "b=2"),
        until_s=120.0,
        frames=wanted,
    )
    assert "Help of its own." in RUNNER.invoke(small, ["--help"]).output
    for wrong in (["--min-labelled", "1.5"], ["--max-deviation", "-1"], ["--trials", "0"]):
        assert RUNNER.invoke(small, wrong).exit_code == 2


def test_a_user_without_a_home_names_one_or_what_is_needed_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
        words = [
            command,
            "--storage",
            "postgresql://127.0.0.1:1/db",
            "--artifacts",
            str(tmp_path / "a"),
        ]
        words += ["--wait", "0s", "--port", "0"] if command == "dashboard" else []
        done = RUNNER.invoke(
            app, [*words, "--out", str(tmp_path / "x.html")] if command == "report" else words
        )
        assert isinstance(done.exception, WorldError), done.exception
        assert "Connection refused" in str(done.exception)


def test_init_and_run_take_the_same_options() -> None:
    parameters = {
        name: {each.name: (each.opts, each.default, each.envvar) for each in command.params}
        for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    }
    assert set(parameters["run"]) - set(parameters["init"]) == {
        "workers",
        "device",
        "per_gpu",
        "augment",
    }
    assert parameters["init"].items() <= parameters["run"].items()
    assert {"min_labelled", "max_deviation", "min_identical", "exif", "split", "leave_out"} <= set(
        parameters["init"]
    )


def test_data_check_tells_what_the_filter_drops_and_preview_draws_what_is_pasted(
    tmp_path: Path,
) -> None:
    plain, filtered = (
        json.loads(RUNNER.invoke(app, ["data", "check", "synthetic:40", "--json", *words]).output)
        for words in ([], ["--min-labelled", "0.5", "--max-deviation", "1.5"])
    )
    assert filtered["frames"] == plain["frames"] == filtered["kept"] + len(filtered["dropped"])
    more = [dropped["reason"] for dropped in filtered["dropped"] if dropped not in plain["dropped"]]
    assert (
        "its mean pixel value is more than 1.5 standard deviations from that of all frames "
        "(--max-deviation)" in more
    )
    pictures = []
    where = ["--cache", str(tmp_path / "cache")]
    asked = ([], ["--copy-paste", "1"], ["--vertical-flip"], ["--device", "cpu"])
    for number, words in enumerate(asked):
        out = tmp_path / f"{number}.png"
        done = RUNNER.invoke(
            app,
            ["data", "preview", "synthetic:40", "--frames", "3", "--out", str(out), *where, *words],
        )
        assert done.exit_code == 0, done.output
        pictures.append(out.read_bytes())
    assert len(set(pictures)) == 4
    alone, beside = (Image.open(io.BytesIO(pictures[number])).size for number in (0, 3))
    assert beside[0] > alone[0] * 0.9
    assert beside[1] > 1.5 * alone[1]  # eight rows, and six more of the device's


def test_data_are_stored_by_their_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    asked = Request(
        name="s",
        source="synthetic:40",
        space="tiny",
        trials=2,
        frames=DataOptions(max_deviation=1.5),
    )
    spec = prepare(asked, place).spec
    assert spec.frames.max_deviation == 1.5
    assert spec.frames == asked.frames
    whole = prepare(Request(name="s", source="synthetic:40", space="tiny", trials=2), place)
    assert whole.spec.data_fingerprint != spec.data_fingerprint
    assert "13 dropped" in whole.findings[0]
    with pytest.raises(UserError, match="min_labelled: must be a share"):
        prepare(replace(asked, frames=DataOptions(min_labelled=float("nan"))), place)
    with pytest.raises(
        UserError, match=r"train.crop: .* every frame: at most 64x128, got 9999x9999"
    ):
        prepare(replace(asked, sets=("train.crop=9999x9999",)), place)


@pytest.mark.parametrize(
    "split",
    ["90/10", "90/10/10", "100/0/0", "0/90/10", "80/10/10/0", "a/b/c", "-10/100/10", "80,10,10"],
)
def test_shares_that_cannot_be_are_one_line(split: str) -> None:
    with pytest.raises(UserError, match="--split must be the percentages"):
        parse_split(split)


def test_shares_are_those_that_are_written() -> None:
    assert parse_split("") == parse_split("80/10/10") == DataOptions().shares
    assert parse_split("90/10/0") == (0.9, 0.1, 0.0)
    assert parse_split("33.4/33.3/33.3") == (0.334, 0.333, 0.333)


def test_a_picture_of_the_data_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    def checked(*words: str) -> Result:
        return RUNNER.invoke(
            app, ["data", "check", "synthetic:40", "--picture", str(tmp_path / "data.png"), *words]
        )

    assert checked().exit_code == 0
    first = (tmp_path / "data.png").read_bytes()
    assert is_picture(tmp_path / "data.png")
    assert isinstance(checked().exception, UserError)  # it is there
    (tmp_path / "out.txt").write_text("3\n")
    assert checked("--force", "--leave-out", str(tmp_path / "out.txt")).exit_code == 0
    assert (tmp_path / "data.png").read_bytes() != first
    (tmp_path / "data.png").write_bytes(b"years of work")
    refused = checked("--force")
    assert "is no picture of this program" in str(refused.exception)
    assert (tmp_path / "data.png").read_bytes() == b"years of work"
    folder = RUNNER.invoke(app, ["data", "check", "synthetic:40", "--picture", str(tmp_path)])
    assert "--picture must be a file" in str(folder.exception)
    assert "must be a PNG" in str(
        RUNNER.invoke(app, ["data", "check", "synthetic:40", "--picture", "x.jpg"]).exception
    )
