"""The npz: wrong keys, types, shapes, orders and headers, torn and lying archives, names that climb
out of their folder.
"""

import io
import pickle
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.data.dataset import DataOptions, open_dataset
from objectives.data.predicting import read_images
from objectives.data.preparing.check import check
from objectives.errors import ProblemsError
from tests.support.fuzzing import ODD_TEXT, cases, changed_bytes, good_or_refused

pytestmark = pytest.mark.long

FRAMES, HEIGHT, WIDTH = 24, 8, 12


def labelled() -> np.ndarray:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (FRAMES, HEIGHT, WIDTH))
    masks = generator.integers(0, 4, (FRAMES, HEIGHT, WIDTH))
    return np.stack([images, masks], axis=1).astype(np.uint8)


GOOD: dict[str, np.ndarray] = {
    "training_set": labelled(),
    "training_groups": np.arange(FRAMES) // 2,
    "test_set": labelled()[:4, 0],
    "class_names": np.array(["void", "soil", "sand", "rock"]),
}
SETS: dict[str, np.ndarray] = {
    "x_train": np.repeat(labelled()[:, 0, None], 3, axis=1),
    "y_train": labelled()[:, 1].astype(np.int64),
    "x_val": np.repeat(labelled()[:9, 0, :, :, None], 3, axis=3),
    "y_val": labelled()[:9, 1, None],
    "groups_train": np.arange(FRAMES) // 2,
    "groups_val": np.arange(9),
}


class Trap:
    """Whoever unpickles it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=allow_pickle)
    return stream.getvalue()


def stating(shape: str, descr: str = "|u1", order: str = "False", body: bytes = b"x" * 64) -> bytes:
    """An array whose header says what the caller likes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}".encode(
        "latin1", "replace"
    )
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


DTYPES = [
    "|u1",
    "<u2",
    ">u2",
    "<i8",
    "<f4",
    "<f2",
    "|b1",
    "|S3",
    "<U5",
    "<c8",
    "<M8[s]",
    "|V4",
    "|O",
    "bogus",
    "<U99999999999",
]
SHAPES = [
    "()",
    "(0,)",
    "(24, 2, 8, 12)",
    "(24,)",
    f"({2**40}, 2, 8, 8)",
    f"({2**62}, {2**62})",
    "(-1, 2)",
    "(2,) * 9",
    "[1]",
    "None",
]
ODD_ARRAYS = [
    np.zeros((0, 2, 8, 8), np.uint8),
    np.zeros((FRAMES, 2, 0, 8), np.uint8),
    labelled().astype(np.float32),
    labelled().astype(np.int64) - 1,
    labelled().astype(">u2"),
    labelled().astype(np.uint16) * 257,
    labelled()[:, :1],
    labelled()[:, 0],
    np.asfortranarray(labelled()),
    labelled()[:, :, ::-1, ::2],
    labelled()[:1],
    np.zeros((FRAMES, 2, 8, 8), np.uint8),
    np.full((FRAMES, 2, 8, 8), 255, np.uint8),
    np.zeros(FRAMES, [("a", "u1"), ("b", "f4")]),
    np.array(["a"] * FRAMES),
    np.array([b"\xff"] * FRAMES),
    np.array(["\ud800", "a\nb", "", " "]),
    np.array(["x" * 500, "y"]),
    np.frombuffer(b"\xff\xff\xff\x7f" * 4, "<U1"),
    np.arange(FRAMES, dtype=np.uint64) + np.uint64(2**63),
    np.array(np.nan),
    np.array([True, False]),
    np.array(["2020", "NaT"], "M8[Y]"),
    labelled()[:4, 0, :, :, None].repeat(5, axis=3),
]
PICKLES = [
    npy(np.array([{"a": 1}], object), allow_pickle=True),
    pickle.dumps([1]),
    npy(np.array([None] * 24), allow_pickle=True),
]
NAMES = st.one_of(
    st.sampled_from(
        [
            *GOOD,
            *(f"{key}.npy" for key in (*GOOD, *SETS, "images", "masks")),
            "../training_set.npy",
            "/etc/passwd",
            "TRAINING_SET.npy",
            ".",
        ]
    ),
    ODD_TEXT.filter(lambda name: name and name.isprintable()),
)


@st.composite
def members(draw: st.DrawFn) -> list[tuple[str, bytes]]:
    """The members of a good npz, some of them replaced, renamed, removed or doubled."""
    good = draw(st.sampled_from([GOOD, SETS]))
    found = [(f"{key}.npy", npy(array)) for key, array in good.items()]
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(found) - 1)) if found else 0
        match draw(
            st.sampled_from(
                ["array", "array", "header", "pickle", "bytes", "edit", "name", "remove", "double"]
            )
        ):
            case "remove" if found:
                del found[place]
            case "double":
                found.append((draw(NAMES), draw(st.sampled_from(found))[1] if found else b""))
            case "name" if found:
                found[place] = (draw(NAMES), found[place][1])
            case kind if found:
                found[place] = (found[place][0], _content(draw, kind, found[place][1]))
    return found


def _content(draw: st.DrawFn, kind: str, good: bytes) -> bytes:
    match kind:
        case "array":
            return npy(draw(st.sampled_from(ODD_ARRAYS)))
        case "header":
            return stating(
                draw(st.sampled_from(SHAPES)),
                draw(st.sampled_from(DTYPES)),
                draw(st.sampled_from(["True", "False", "3"])),
            )
        case "pickle":
            return draw(st.sampled_from(PICKLES))
        case "bytes":
            return draw(st.binary(max_size=200))
        case _:
            return draw(changed_bytes(good))


def packed(content: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(stream, "w", compression) as archive,
    ):
        for name, data in content:
            archive.writestr(name, data)
    return stream.getvalue()


def read_all(file: Path, cache: Path) -> None:
    """Every way in which the commands read an npz."""
    report = check(str(file), DataOptions())
    for problem in report.problems:
        str(problem).encode()
    for _, image in read_images(file):
        assert image.ndim == 3
    if not report.problems:
        open_dataset(str(file), DataOptions(), cache)


@cases(1800)
@given(
    content=members(),
    compression=st.sampled_from(
        [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    ),
)
def test_archives_of_wrong_members(content: list[tuple[str, bytes]], compression: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npz"
        file.write_bytes(packed(content, compression))
        with good_or_refused("npz, wrong members"):
            read_all(file, Path(folder) / "cache")
        assert {path.name for path in Path(folder).iterdir()} <= {"frames.npz", "cache"}


GOOD_FILE = packed(
    [(f"{key}.npy", npy(array)) for key, array in GOOD.items()], zipfile.ZIP_DEFLATED
)


@cases(900)
@given(content=changed_bytes(GOOD_FILE))
def test_torn_archives(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frames.npz"
        file.write_bytes(content)
        with good_or_refused("npz, torn"):
            read_all(file, Path(folder) / "cache")


def test_no_pickle_is_ever_loaded(tmp_path: Path) -> None:
    trap = np.empty(1, object)
    trap[0] = Trap(str(tmp_path / "sprung"))
    contents = [
        packed([("training_set.npy", npy(trap, allow_pickle=True))]),
        pickle.dumps(trap[0]),
        npy(trap, allow_pickle=True),
    ]
    for content in contents:
        (tmp_path / "frames.npz").write_bytes(content)
        report = check(str(tmp_path / "frames.npz"), DataOptions())
        assert "readable npz of plain arrays" in str(report.problems[0])
        with pytest.raises(ProblemsError):
            read_images(tmp_path / "frames.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_zip_bomb_is_seen_before_it_bursts(tmp_path: Path) -> None:
    file = tmp_path / "frames.npz"
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("training_set.npy", "w") as member,
    ):
        member.write(stating("(4096, 2, 64, 128)", body=b""))
        for _ in range(64):
            member.write(bytes(2**20))
    content = bytearray(file.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    # of 64 MiB it states 4 GiB
    content[entry + 24 : entry + 28] = (0xFFFF_FFF0).to_bytes(4, "little")
    name_length = int.from_bytes(content[entry + 28 : entry + 30], "little")
    assert content[entry + 46 : entry + 46 + name_length] == b"training_set.npy"
    file.write_bytes(content)
    with good_or_refused("npz, bombs"):
        assert check(str(file), DataOptions()).problems


def test_a_member_that_states_more_than_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "frames.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("training_set.npy", npy(GOOD["training_set"]))
        archive.filelist[0].file_size = 2**50
    (problem,) = check(str(file), DataOptions()).problems
    assert "GiB of memory are free" in str(problem)
    assert "1048576.0 GiB" in str(problem)


def test_bytes_that_are_no_array_and_letters_that_are_none_are_problems(tmp_path: Path) -> None:
    file = tmp_path / "frames.npz"
    file.write_bytes(packed([("training_set.npy", b"no array")]))
    assert "training_set is no array" in str(check(str(file), DataOptions()).problems[0])
    wrong = np.frombuffer(b"\xff\xff\xff\x7f" * FRAMES, "<U1")
    file.write_bytes(
        packed([("training_set.npy", npy(labelled())), ("training_groups.npy", npy(wrong))])
    )
    assert "plain arrays" in str(check(str(file), DataOptions()).problems[0])
    names = np.array(["void", "so\nil", "sand", "\ud800"])
    file.write_bytes(
        packed([("training_set.npy", npy(labelled())), ("class_names.npy", npy(names))])
    )
    assert [problem.where for problem in check(str(file), DataOptions()).problems] == [
        "class_names"
    ] * 2
