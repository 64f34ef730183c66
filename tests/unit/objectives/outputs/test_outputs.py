"""Outputs destroy nothing: for every command that takes --out, and for every kind of thing that may
stand there.
"""

import os
import stat
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from objectives.errors import SearchError, UserError, WorldError
from objectives.outputs import atomic
from objectives.outputs.atomic import directory_at_once, file_at_once, refuse_unwritable
from objectives.outputs.place import refuse_output
from objectives.outputs.renaming import exchange
from search.cli.app import app

RUNNER = CliRunner()
# what each command with --out needs so that it gets as far as to look there
WORDS: Mapping[str, tuple[Sequence[str], str]] = {
    "export-best": ((), "model"),
    "demo": ((), "model"),
    "predict": (("no-bundle", "frames.npz"), "masks.npz"),
    "report": ((), "report.html"),
    "data preview": (("synthetic:40",), "preview.png"),
    "recipes run": (("--workers", "1"), "recipes.md"),
}

# what people go on to change by hand, so that it is replaced by nothing
NEVER_REPLACED = {"data import"}


def commands_with_out() -> Iterator[tuple[str, set[str]]]:
    """Each command of the program that takes --out, and all its options."""

    def walk(group: object, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))
            elif "--out" in (
                options := {option for each in command.params for option in each.opts}
            ):
                yield " ".join((*path, name)), options

    yield from walk(typer.main.get_command(app), ())


def test_every_command_with_an_output_is_tried_here_and_takes_force() -> None:
    found = dict(commands_with_out())
    assert found.keys() == WORDS.keys() | NEVER_REPLACED
    assert {name for name, options in found.items() if "--force" in options} == WORDS.keys()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a working folder to write to."""
    monkeypatch.setenv("SEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def refused(command: str, out: Path, *more: str) -> str:
    """What the command says instead of doing anything."""
    done = RUNNER.invoke(app, [*command.split(), *WORDS[command][0], "--out", str(out), *more])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize("standing", ["a file", "a link to a file", "a folder with a file in it"])
def test_what_somebody_else_wrote_stays_also_with_force(
    command: str, standing: str, tmp_path: Path, home: Path
) -> None:
    out, mine = tmp_path / WORDS[command][1], tmp_path / "mine"
    match standing:
        case "a file":
            mine = out
        case "a link to a file":
            out.symlink_to(mine)
        case _:
            out.mkdir()
            mine = out / "mine"
    mine.write_text("years of work")
    before = sorted(path.name for path in tmp_path.iterdir())
    for more in ((), ("--force",)):
        assert str(out) in refused(command, out, *more)
    assert mine.read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not home.exists()  # it was said before any work


@pytest.mark.parametrize("name", ["masks.npz", "masks.csv"])
def test_the_input_is_no_output(name: str, tmp_path: Path, home: Path) -> None:
    frames = tmp_path / name
    with frames.open("wb") as opened:
        np.savez(opened, test_set=np.zeros((2, 8, 8), np.uint8))
    linked = tmp_path / f"linked-{name}"
    linked.symlink_to(frames)
    before = frames.read_bytes()
    for out in (frames, linked):
        done = RUNNER.invoke(
            app, ["predict", "no-bundle", str(frames), "--out", str(out), "--force"]
        )
        assert isinstance(done.exception, UserError)
        assert "is the input" in str(done.exception)
    assert frames.read_bytes() == before


def test_a_file_of_this_program_is_replaced_with_force_alone(tmp_path: Path, home: Path) -> None:
    out = tmp_path / "preview.png"
    words = ["data", "preview", "synthetic:40", "--frames", "1", "--out", str(out)]
    assert RUNNER.invoke(app, words).exit_code == 0
    first = out.read_bytes()
    again = RUNNER.invoke(app, [*words, "--seed", "1"])
    assert isinstance(again.exception, UserError)
    assert "--force" in str(again.exception)
    assert out.read_bytes() == first
    assert RUNNER.invoke(app, [*words, "--seed", "1", "--force"]).exit_code == 0
    assert out.read_bytes() != first
    # the data was prepared once, where init finds it
    assert len(list((home / "cache").glob("*.lock"))) == 1


def write(out: Path, text: str, *, replace: bool = False) -> None:
    with file_at_once(out, replace=replace) as draft:
        draft.write_text(text)


@pytest.mark.parametrize("replace", [False, True])
def test_a_device_is_written_to_and_stays(replace: bool, tmp_path: Path) -> None:
    node = tmp_path / "null.csv"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("devices are made by root")
    write(node, "gone", replace=replace)
    assert stat.S_ISCHR(node.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["null.csv"]
    linked = tmp_path / "linked.csv"
    linked.symlink_to("null.csv")
    write(linked, "gone", replace=replace)
    assert linked.is_symlink()
    with pytest.raises(UserError, match="no folder"):
        predict_into(node.rename(tmp_path / "null"))
    full = tmp_path / "full.csv"
    os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    with pytest.raises(WorldError, match="No space left"):
        write(full, "no room")


def predict_into(out: Path) -> None:
    words = ["predict", "no-bundle", "synthetic:24", "--out", str(out), "--engine", "onnx"]
    RUNNER.invoke(app, words, catch_exceptions=False)


def test_a_pipe_hears_what_is_written(tmp_path: Path) -> None:
    pipe = tmp_path / "p.csv"
    os.mkfifo(pipe)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text()))
    reader.start()
    write(pipe, "masks " * 50_000)
    reader.join(10)
    assert heard == ["masks " * 50_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_an_open_file_of_this_process_goes_on_where_it_stands(tmp_path: Path) -> None:
    with (tmp_path / "all.txt").open("w+b", buffering=0) as opened:
        opened.write(b"first\n")
        write(Path(f"/dev/fd/{opened.fileno()}"), "second\n")
        opened.write(b"third\n")
        opened.seek(0)
        assert opened.read() == b"first\nsecond\nthird\n"


def test_disks_and_sockets_are_refused(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s.csv"))
        with pytest.raises(UserError, match="is a socket"):
            write(tmp_path / "s.csv", "x")
    try:
        # no such disk
        os.mknod(tmp_path / "sda.csv", stat.S_IFBLK | 0o600, os.makedev(259, 1_000_000))
    except PermissionError:
        pytest.skip("devices are made by root")
    with pytest.raises(UserError, match="is a disk"):
        write(tmp_path / "sda.csv", "x", replace=True)


def test_of_a_link_the_file_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out.csv"
    link.symlink_to("disk/real.csv")  # not there yet
    write(link, "one")
    write(link, "two", replace=True)
    assert link.is_symlink()
    assert [path.read_text() for path in (tmp_path / "disk").iterdir()] == ["two"]
    circle = tmp_path / "circle.csv"
    circle.symlink_to("circle.csv")
    with pytest.raises(WorldError, match="leads to itself"):
        write(circle, "x")


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def late() -> None:
        with file_at_once(out, replace=False) as draft:
            draft.write_text("ours")
            out.write_text("mine")

    with pytest.raises(UserError, match="has come there meanwhile"):
        late()
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def fill(folder: Path, text: str, *, replace: bool = True) -> None:
    with directory_at_once(folder, replace=replace) as draft:
        (draft / "file").write_text(text)


def test_of_a_link_the_folder_it_names_is_replaced(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    link = tmp_path / "model"
    link.symlink_to("disk/real")
    for text in ("one", "two"):
        fill(link, text)
        assert link.is_symlink()
        assert (disk / "real" / "file").read_text() == text
    assert [path.name for path in disk.iterdir()] == ["real"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "model"]


def test_a_folder_that_holds_something_takes_replace(tmp_path: Path) -> None:
    fill(tmp_path / "out", "one")
    with pytest.raises(WorldError, match="cannot write"):
        fill(tmp_path / "out", "two", replace=False)
    assert (tmp_path / "out" / "file").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems lack the call")
def test_a_folder_is_there_at_every_moment_of_its_exchange(tmp_path: Path) -> None:
    out = tmp_path / "out"
    fill(out, "0")
    missing, over = [], threading.Event()

    def look() -> None:
        while not over.is_set():
            if not (out / "file").exists():
                missing.append(1)

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(300):
        fill(out, str(number))
    over.set()
    watcher.join()
    assert not missing


def test_where_folders_cannot_be_exchanged_they_are_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a network's file system
    monkeypatch.setattr(atomic, "exchange", lambda one, other: False)
    fill(tmp_path / "out", "one")
    fill(tmp_path / "out", "two")
    assert (tmp_path / "out" / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_there_cannot_be_exchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "b")


def test_a_place_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "new")
    fill(tmp_path / "out", "one")
    refuse_unwritable(tmp_path / "out")
    assert (tmp_path / "out" / "file").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(WorldError, match="cannot write /proc/x/model"):
        refuse_unwritable(Path("/proc/x/model"))


def test_an_empty_file_is_replaced_with_force(tmp_path: Path) -> None:
    (tmp_path / "made.csv").touch()  # by mktemp, say
    refuse_output(tmp_path / "made.csv", "CSV", written_here=lambda path: False, force=True)
    with pytest.raises(SearchError, match="--force"):
        refuse_output(tmp_path / "made.csv", "CSV", written_here=lambda path: False, force=False)
