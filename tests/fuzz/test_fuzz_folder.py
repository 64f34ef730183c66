"""A folder of frames: broken, odd and lying image files, links, names, and every wrong form of
groups.csv and classes.yaml.
"""

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.dataset import DataOptions, load_dataset, open_dataset
from objectives.data.preparing.check import check
from objectives.data.reading.classes_file import read_classes
from objectives.data.reading.folder import read_folder
from objectives.errors import ProblemsError
from tests.support.folder_parts import (
    CLASS_PARTS,
    CLASS_TREES,
    CLASSES,
    COLOUR,
    FRAMES,
    GREY,
    GROUP_PARTS,
    GROUPS,
    IMAGES,
    MASKS,
    ODD_FILES,
    encoded,
    jpeg_stating,
    png_stating,
    tiff,
    tiff_stating,
)
from tests.support.folders_read import read_all, write_good
from tests.support.fuzzing import (
    cases,
    changed_bytes,
    changed_texts,
    changed_trees,
    good_or_refused,
)

pytestmark = pytest.mark.long

Change = Callable[[Path], None]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One change of a good folder."""
    part = draw(st.sampled_from(["images", "masks"]))
    number = draw(st.integers(0, FRAMES - 1))
    name = f"{part}/f{number:02d}"
    kind = draw(
        st.sampled_from(
            ["odd", "odd", "torn", "torn", "name", "link", "remove", "groups", "classes", "shape"]
        )
    )
    suffix = draw(st.sampled_from([".png", ".jpg", ".tif", ".TIFF", ".jpeg", ".webp", ".heic", ""]))
    match kind:
        case "odd":
            return _replace(name, suffix, draw(st.sampled_from(ODD_FILES)))
        case "torn":
            good = draw(
                st.sampled_from(
                    [
                        encoded(GREY),
                        encoded(GREY, "JPEG"),
                        tiff(COLOUR),
                        tiff(GREY, compression="zlib"),
                        *ODD_FILES,
                    ]
                )
            )
            return _replace(name, suffix, draw(changed_bytes(good)))
        case "name":
            return _write(
                f"{part}/{draw(FILE_NAMES)}{suffix}".encode("utf-8", "surrogateescape"),
                encoded(GREY),
            )
        case "link":
            target = draw(
                st.sampled_from(
                    [
                        "/etc/passwd",
                        "/dev/zero",
                        "/nowhere",
                        ".",
                        "..",
                        f"f{number:02d}.png",
                        "/proc/self/mem",
                    ]
                )
            )
            return _link(name, target)
        case "groups":
            return _write(
                "groups.csv",
                draw(changed_texts(draw(st.sampled_from(GROUPS)), GROUP_PARTS)).encode(
                    errors="surrogatepass"
                ),
            )
        case "classes":
            return _write("classes.yaml", draw(class_files()))
        case "shape":
            side = draw(st.sampled_from([1, 7, 400]))
            return _replace(
                name, ".png", encoded(np.full((side, 5), draw(st.integers(0, 255)), np.uint8))
            )
        case _:
            return _remove(draw(st.sampled_from([f"{name}.png", "groups.csv", "classes.yaml"])))


FILE_NAMES = st.one_of(
    st.sampled_from(
        [
            "a\nb",
            "a\x1b[31m",
            "\udcff\udcfe",
            "sp ace",
            "-rf",
            ".hidden",
            "a" * 240,
            "日本",
            "f00",
            "f00.png",
            "sub/deep/a",
            "a\tb",
        ]
    ),
    st.text(max_size=8).filter(
        lambda text: "\0" not in text and ".." not in text and not text.startswith("/")
    ),
)


@st.composite
def class_files(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(changed_texts(draw(st.sampled_from(CLASSES)), CLASS_PARTS)).encode(
            errors="surrogatepass"
        )
    return json.dumps(draw(changed_trees(draw(st.sampled_from(CLASS_TREES))))).encode()


def _replace(name: str, suffix: str, content: bytes) -> Change:
    def change(root: Path) -> None:
        (root / f"{name}.png").unlink(missing_ok=True)
        (root / f"{name}{suffix}").write_bytes(content)

    return change


def _write(name: str | bytes, content: bytes) -> Change:
    def change(root: Path) -> None:
        file = root / os.fsdecode(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    return change


def _link(name: str, target: str) -> Change:
    def change(root: Path) -> None:
        (root / f"{name}.png").unlink(missing_ok=True)
        (root / f"{name}.png").symlink_to(target)

    return change


def _remove(name: str) -> Change:
    return lambda root: (root / name).unlink(missing_ok=True)


@cases(1500)
@given(
    changed=st.lists(changes(), min_size=1, max_size=3),
    size=st.sampled_from([None, None, (8, 8)]),
    min_labelled=st.sampled_from([0.0, 0.5]),
)
def test_folders(changed: list[Change], size: tuple[int, int] | None, min_labelled: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "frames"
        write_good(root)
        for change in changed:
            try:
                change(root)
            except OSError:  # a name that the file system refuses cannot be met
                return
        with good_or_refused("folder"):
            read_all(root, DataOptions(size, min_labelled=min_labelled), Path(folder) / "cache")


@cases(900)
@given(content=class_files())
def test_class_files(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "classes.yaml"
        file.write_bytes(content)
        with good_or_refused("classes.yaml"):
            found = read_classes(file)
            assert all(name.isprintable() for name in found.names)
            assert len(found.names) == len(found.colours)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("prepared")
    write_good(root / "frames")
    return open_dataset(str(root / "frames"), DataOptions(), root / "cache").directory


@cases(400)
@given(data=st.data())
def test_prepared_data_that_were_damaged(data: st.DataObject, prepared: Path) -> None:
    name = data.draw(st.sampled_from(["index.json", "index.json", "images.npy", "masks.npy"]))
    content = (prepared / name).read_bytes()
    if name == "index.json" and data.draw(st.booleans()):
        changed = json.dumps(data.draw(changed_trees(json.loads(content)))).encode()
    else:
        changed = data.draw(changed_bytes(content[:4000]))
    (prepared / name).write_bytes(changed)
    try:
        with good_or_refused("prepared data"):
            load_dataset(prepared)
    finally:
        (prepared / name).write_bytes(content)


@pytest.mark.parametrize("name", ["groups.csv", "classes.yaml"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    write_good(tmp_path / "frames")
    (tmp_path / "frames" / name).unlink()
    os.mkfifo(tmp_path / "frames" / name)
    (problem,) = read_folder(tmp_path / "frames").problems
    assert problem.where == name
    assert "no file" in problem.value


@pytest.mark.parametrize(
    "text",
    [
        "classes: {0: a, 1: b}\nwhen: 2020-99-99\n",
        "classes: {0: a, 1: b}\nignore: " + "1" * 5000,
        "classes: {0: a, 1: b}\nignore: 0x" + "f" * 9000,
        "classes: {0: a, 1: b}\ncolours: " + "[" * 2000,
        "classes: {0: a, 0: b, 1: c}\n",
        "classes: &c {0: a, 1: b}\ncolours: *c\n",
        'classes: {0: "a\\0b", 1: b}\n',
        'classes: {0: "\\ud800", 1: b}\n',
        "classes: {0: " + "a" * 101 + ", 1: b}\n",
        "classes: {0: a, 1: b}\n#" + "x" * 2**20,
    ],
)
def test_classes_that_once_were_tracebacks_or_bombs_are_problems(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(ProblemsError):
        read_classes(tmp_path / "classes.yaml")


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".png", png_stating(200_000, 200_000, 16, 2)),
        (".tif", tiff_stating(100_000, 100_000, 1)),
        (".jpg", jpeg_stating(65535)),
    ],
    ids=["PNG of 16 bit", "TIFF", "JPEG"],
)
def test_an_image_that_states_more_pixels_than_fit_is_a_problem(
    suffix: str, content: bytes, tmp_path: Path
) -> None:
    write_good(tmp_path / "frames")
    (tmp_path / "frames/groups.csv").unlink()
    _replace("images/f00", suffix, content)(tmp_path / "frames")
    with good_or_refused("folder, bombs"):
        (problem,) = check(str(tmp_path / "frames"), DataOptions()).problems
    assert problem.where == f"images/f00{suffix}"
    assert problem.rule.startswith("too large: cut it into tiles of at most ")
    assert problem.value.replace(" x ", "").partition(" ")[0].isdigit()


def test_a_name_that_is_no_text_is_read_and_shown_in_one_line(tmp_path: Path) -> None:
    write_good(tmp_path / "frames")
    (tmp_path / "frames/groups.csv").unlink()
    for part, frame in (("images", IMAGES[0]), ("masks", MASKS[0])):
        _write(f"{part}/a\nb\udcff.png".encode("utf-8", "surrogateescape"), encoded(frame))(
            tmp_path / "frames"
        )
    report = check(str(tmp_path / "frames"), DataOptions())
    assert (report.frames, report.problems) == (FRAMES + 1, ())
    data = open_dataset(str(tmp_path / "frames"), DataOptions(), tmp_path / "cache")
    assert "a\nb\udcff" in data.names
    _write("masks/a\nb\udcff.png".encode("utf-8", "surrogateescape"), b"")(tmp_path / "frames")
    (problem,) = check(str(tmp_path / "frames"), DataOptions()).problems
    assert str(problem).startswith(r"masks/a\nb\udcff.png: ")
