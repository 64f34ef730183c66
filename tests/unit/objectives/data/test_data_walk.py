"""Folders as they come: links, hidden files, names from other systems, and settings files called
otherwise.
"""

import os
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectives.data.dataset import DataOptions, check, open_dataset, read_images
from objectives.data.reading.folder import read_folder
from objectives.data.reading.source import source_stamp
from objectives.errors import ProblemsError

NOBODY = 65534


def add_frames(root: Path, names: list[str], *, masks: list[str] | None = None) -> None:
    """Noisy frames of two labels by these names, and their masks by the same or other ones."""
    for part, part_names in (("images", names), ("masks", masks or names)):
        for number, name in enumerate(part_names):
            path = root / part / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = (
                np.random.default_rng(number)
                .integers(0, 255 if part == "images" else 2, (8, 12))
                .astype(np.uint8)
            )
            assert cv2.imwrite(str(path), pixels)


def lines(root: Path) -> list[str]:
    return [str(problem) for problem in read_folder(root).problems]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """Twelve frames: half of them lie in folders on another disk, which links lead to."""
    root, disk = tmp_path / "frames", tmp_path / "disk"
    add_frames(root, [f"south/{number}" for number in range(6)])
    add_frames(disk, [f"deep/{number}" for number in range(6)])
    for part in ("images", "masks"):
        (root / part / "north").symlink_to(disk / part)
    return root


def test_folders_behind_links_are_read(linked: Path, tmp_path: Path) -> None:
    source = read_folder(linked)
    assert not source.problems
    assert source.names == (
        *(f"north/deep/{number}" for number in range(6)),
        *(f"south/{number}" for number in range(6)),
    )
    assert check(str(linked), DataOptions()).frames == 12
    assert [name for name, _ in read_images(linked)] == list(source.names)
    before = source_stamp(str(linked))
    add_frames(tmp_path / "disk", ["deep/6"])
    assert source_stamp(str(linked)) != before


def test_links_that_lead_to_a_folder_again_are_named_and_end(linked: Path) -> None:
    (linked / "images" / "loop").symlink_to(linked / "images")
    (linked / "images" / "again").symlink_to("south")
    assert [line for line in lines(linked) if "read twice" in line] == [
        "images/again: a folder must not be read twice: remove the link, got images/south again",
        "images/loop: a folder must not be read twice: remove the link, got images again",
    ]
    assert len(read_folder(linked).names) == 12


def test_links_that_lead_nowhere_and_what_is_no_file_are_named(linked: Path) -> None:
    before = source_stamp(str(linked))
    (linked / "images" / "west").symlink_to(linked / "gone")
    assert source_stamp(str(linked)) != before, "data that were prepared before would hide it"
    (linked / "images" / "self.png").symlink_to("self.png")
    os.mkfifo(linked / "images" / "pipe.png")
    assert lines(linked) == [
        "images/pipe.png: must be a file or a folder, got a pipe, a socket or a device",
        "images/self.png: a link must lead to a file or a folder, got Too many levels of symbolic "
        "links",
        "images/west: a link must lead to a file or a folder, got No such file or directory",
    ]
    with pytest.raises(ProblemsError, match="images/west: a link must lead to a file or a folder"):
        read_images(linked)[-1]


def test_a_link_to_a_single_file_is_a_frame(linked: Path) -> None:
    for part in ("images", "masks"):
        (linked / part / "one.png").symlink_to(linked / part / "south" / "0.png")
    assert not lines(linked)
    assert "one" in read_folder(linked).names


@contextmanager
def without_rights() -> Iterator[Path]:
    """An empty folder that a user without root's rights owns, and this process as that user."""
    with tempfile.TemporaryDirectory() as folder:
        user = os.geteuid() or NOBODY
        os.chown(folder, user, -1)
        before = os.geteuid()
        os.seteuid(user)
        try:
            yield Path(folder)
        finally:
            os.seteuid(before)


def test_a_folder_that_cannot_be_read_is_named() -> None:
    with without_rights() as root:
        add_frames(root, ["a", "shut/b", "c"])
        (root / "images" / "shut").chmod(0)
        assert (
            lines(root)[0]
            == "images/shut: must be a folder that can be read, got Permission denied"
        )
        with pytest.raises(ProblemsError, match="images/shut: must be a folder that can be read"):
            list(read_images(root))
        (root / "images").chmod(0)
        with pytest.raises(
            ProblemsError, match="images: must be a folder that can be read, got Permission denied"
        ):
            read_folder(root)
        (root / "images").chmod(0o700)
        (root / "images" / "shut").chmod(0o700)


def test_hidden_files_are_left_out(linked: Path) -> None:
    add_frames(linked, [".ipynb_checkpoints/0-checkpoint", "south/._0"], masks=["south/.1"])
    (linked / "images" / ".DS_Store").write_bytes(b"")
    (linked / "images" / "Thumbs.db").write_bytes(b"")
    assert not lines(linked)
    assert len(read_folder(linked).names) == 12


def test_names_in_another_normal_form_are_the_same_names(tmp_path: Path) -> None:
    mac, linux = unicodedata.normalize("NFD", "höhe"), unicodedata.normalize("NFC", "höhe")
    add_frames(tmp_path, [mac, "b"], masks=[linux, "b"])
    (tmp_path / "groups.csv").write_text(f"file,group\n{mac}.png,1\nb.png,2\n")
    source = read_folder(tmp_path)
    assert not source.problems
    assert source.names == ("b", linux)
    assert {name for name, _ in read_images(tmp_path)} == {mac, "b"}
    add_frames(tmp_path, [linux])
    assert any("two files must not share one name" in line for line in lines(tmp_path))


def test_names_that_differ_in_case_are_shown(tmp_path: Path) -> None:
    add_frames(tmp_path, ["A 1", "b"], masks=["a 1", "c"])
    assert lines(tmp_path) == [
        "images/A 1.png: must have a mask, got no masks/A 1.*, but masks/a 1.png: large and small "
        "letters count",
        "images/b.png: must have a mask, got no masks/b.*",
        "masks/a 1.png: must have an image, got no images/a 1.*, but images/A 1.png: large and "
        "small letters count",
        "masks/c.png: must have an image, got no images/c.*",
    ]


def test_suffixes_in_capitals_are_read(tmp_path: Path) -> None:
    add_frames(tmp_path, ["a", "b"])
    for part in ("images", "masks"):
        (tmp_path / part / "a.png").rename(tmp_path / part / "a.PNG")
    assert not lines(tmp_path)
    assert read_folder(tmp_path).names == ("a", "b")


CLASSES = "\ufeffclasses: {0: soil, 1: rock}\r\nignore: null\r\n"


def test_classes_yml_is_read(linked: Path) -> None:
    before = source_stamp(str(linked))
    (linked / "classes.yml").write_text(CLASSES)
    classes = read_folder(linked).classes
    assert classes is not None
    assert classes.names == ("soil", "rock")
    assert source_stamp(str(linked)) != before


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("Classes.yaml", "classes.yaml"),
        ("CLASSES.YML", "classes.yaml"),
        ("class.yaml", "classes.yaml"),
        ("classes.txt", "classes.yaml"),
        ("classes.json", "classes.yaml"),
        ("masks/classes.yaml", "classes.yaml"),
        ("images/classes.txt", "classes.yaml"),
        ("label_map.txt", "classes.yaml"),
        ("Groups.csv", "groups.csv"),
        ("group.csv", "groups.csv"),
        ("groups.tsv", "groups.csv"),
        ("images/groups.csv", "groups.csv"),
    ],
)
def test_a_settings_file_that_is_not_read_is_a_problem(
    linked: Path, name: str, called: str
) -> None:
    open_dataset(str(linked), DataOptions(), linked.parent / "cache")
    (linked / name).write_text("0: soil\n")
    line = (
        f"{name}: is not read: write it as {called}, beside images/ and masks/, or take it "
        f"away, got {name}"
    )
    assert lines(linked) == [line]
    with pytest.raises(ProblemsError, match="is not read"):
        open_dataset(str(linked), DataOptions(), linked.parent / "cache")


def test_two_files_of_classes_are_a_problem_and_those_of_other_programs_are_not(
    linked: Path,
) -> None:
    (linked / "classes.yaml").write_text(CLASSES)
    (linked / "images" / "classes.txt").write_text("soil\nrock\n")
    assert not lines(linked)
    (linked / "classes.yml").write_text(CLASSES)
    assert lines(linked) == [
        "classes.yml: must not lie beside classes.yaml: which one is meant?, got classes.yml"
    ]


@pytest.mark.parametrize("name", ["classes.yaml", "groups.csv"])
def test_a_settings_file_that_is_a_broken_link_is_a_problem(linked: Path, name: str) -> None:
    (linked / name).symlink_to("gone")
    assert [line for line in lines(linked) if line.startswith(f"{name}: must be")]


FILES = [f"{side}/{number}.png" for side in ("north/deep", "south") for number in range(6)]


@pytest.mark.parametrize(
    "text",
    [
        "file,group\n" + "".join(f"{file},p{file[0]}\n" for file in FILES),
        "\ufeffFile;Group\r\n" + "".join(f"{file};p{file[0]}\r\n" for file in FILES),
        "group\tfile\n" + "".join(f'p{file[0]}\t"{file}"\n' for file in FILES),
        "file , group, note\n\n" + "".join(f"./images/{file}, p{file[0]} ,x\n" for file in FILES),
        "file,group\n" + "".join(f"{file},p{file[0]}\n".replace("/", "\\") for file in FILES),
        "file,group\n" + "".join(f"{file},p{file[0]}\n" * 2 for file in FILES),
    ],
    ids=["plain", "semicolons", "tabs", "spaces", "backslashes", "twice"],
)
def test_groups_as_spreadsheets_write_them(linked: Path, text: str) -> None:
    (linked / "groups.csv").write_bytes(text.encode())
    source = read_folder(linked)
    assert not source.problems
    assert source.groups == ("pn",) * 6 + ("ps",) * 6


def test_a_row_of_too_many_cells_is_a_problem(linked: Path) -> None:
    rows = "".join(f"{file},1\n" for file in FILES[1:])
    (linked / "groups.csv").write_text(f"file,group\n{FILES[0]},north, far\n{rows}")
    (line,) = lines(linked)
    assert line.endswith("got line 2 with 3 cells, quote names that hold a ','")
