"""Parts that are given by folders, lists or a table, what is missing of them, and folds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from objectives.data.dataset import DataOptions, Dataset, check, open_dataset
from objectives.data.preparing.parting import cut_parts
from objectives.data.preparing.split import split
from objectives.data.reading.folder import read_folder

COUNT, SIDE = 40, 6
OPTIONS = DataOptions()


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty frames of twenty places, two each."""
    root = tmp_path_factory.mktemp("parts") / "frames"
    rng = np.random.default_rng(0)
    for part, most in (("images", 256), ("masks", 2)):
        (root / part).mkdir(parents=True)
        for number in range(COUNT):
            array = rng.integers(0, most, (SIDE, SIDE), np.uint8)
            Image.fromarray(array).save(root / part / f"{number:02d}.png")
    rows = "".join(f"{number:02d},place{number // 2}\n" for number in range(COUNT))
    (root / "groups.csv").write_text(f"file,group\n{rows}")
    return root


def table(frames: Path, tmp_path: Path, parts: dict[int, str]) -> Path:
    """The same frames with a table of parts."""
    root = tmp_path / "frames"
    root.mkdir()
    for name in ("images", "masks", "groups.csv"):
        (root / name).symlink_to(frames / name)
    rows = "".join(f"{number:02d}.png,{part}\n" for number, part in parts.items())
    (root / "splits.csv").write_text(f"file,part\n{rows}")
    return root


def opened(root: Path, options: DataOptions = OPTIONS) -> tuple[Dataset, dict[str, set[int]]]:
    data = open_dataset(str(root), options, root.parent / "cache")
    names = np.array([int(name) for name in data.names])
    return data, {part: set(names[indices].tolist()) for part, indices in data.parts.items()}


def test_parts_that_are_all_given_are_the_study_s(frames: Path, tmp_path: Path) -> None:
    given = dict.fromkeys(range(20), "train")
    given |= dict.fromkeys(range(20, 26), "val") | dict.fromkeys(range(26, 30), "Testing")
    data, parts = opened(table(frames, tmp_path, given))
    assert parts["train"] == set(range(20))
    assert parts["validation"] == set(range(20, 26))
    assert parts["test"] == set(range(26, 30))
    assert "10 images are in none of the given parts, and left out" in data.warnings
    assert data.sealed
    other, everything = opened(frames)
    assert other.fingerprint != data.fingerprint
    assert sum(map(len, everything.values())) == COUNT


@pytest.mark.parametrize("shares", [(0.8, 0.1, 0.1), (0.6, 0.2, 0.2)])
def test_a_given_test_part_leaves_the_rest_to_be_cut_by_groups(
    frames: Path, tmp_path: Path, shares: tuple[float, float, float]
) -> None:
    given = dict.fromkeys(range(10), "test")
    _, parts = opened(table(frames, tmp_path, given), replace(OPTIONS, shares=shares))
    assert parts["test"] == set(range(10))
    assert parts["train"] | parts["validation"] == set(range(10, COUNT))
    places = [{number // 2 for number in parts[part]} for part in ("train", "validation")]
    assert not places[0] & places[1]
    expected = 30 * shares[1] / (shares[0] + shares[1])
    assert abs(len(parts["validation"]) - expected) <= 2


def test_what_is_missing_is_cut_from_a_given_training_part(frames: Path, tmp_path: Path) -> None:
    given = dict.fromkeys(range(30), "train") | dict.fromkeys(range(30, 36), "valid")
    root = table(frames, tmp_path, given)
    data, parts = opened(root)
    assert parts["validation"] == set(range(30, 36))
    assert parts["train"] | parts["test"] == set(range(30))
    assert 2 <= len(parts["test"]) <= 6
    (line,) = (each for each in data.warnings if "no test part is given" in each)
    assert f"its {len(parts['test'])} frames were cut from the given training part" in line
    _, without = opened(root, replace(OPTIONS, shares=(0.9, 0.1, 0.0)))
    assert without["train"] == set(range(30))
    assert not without["test"]


def test_a_place_in_two_given_parts_is_told(frames: Path, tmp_path: Path) -> None:
    given = dict.fromkeys(range(30), "train") | dict.fromkeys(range(30, 35), "val")
    given |= dict.fromkeys(range(35, 40), "test")
    data, _ = opened(table(frames, tmp_path, given))
    (line,) = (each for each in data.warnings if "several of the given parts" in each)
    assert line.startswith("1 groups lie")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ({0: "train", 1: "dev"}, OPTIONS, "splits.csv: a part must be one of train, training"),
        ({0: "test"}, replace(OPTIONS, shares=(0.9, 0.1, 0.0)), "as a test part is given"),
        ({0: "val"}, replace(OPTIONS, folds=3, fold=1), "as a validation part is given"),
        ({0: "val", 99: "test"}, OPTIONS, "splits.csv line 3: must name one of the images"),
        (dict.fromkeys(range(COUNT), "test"), OPTIONS, "split: train: every part"),
    ],
)
def test_parts_that_cannot_be_are_named(
    frames: Path, tmp_path: Path, given: dict[int, str], options: DataOptions, message: str
) -> None:
    report = check(str(table(frames, tmp_path, given)), options)
    assert message in "\n".join(map(str, report.problems))


def test_lists_and_tables_are_named_in_data_yaml(frames: Path, tmp_path: Path) -> None:
    root = table(frames, tmp_path, {})
    (root / "splits.csv").rename(root / "mine.csv")
    (root / "mine.csv").write_text("part;file\ntest;03.png\n")
    layout = "images: images/{path}.*\nmasks: masks/{path}.*\n"
    (root / "data.yaml").write_text(f"{layout}parts: mine.csv\n")
    assert read_folder(root).parts == ("", "", "", "test", *[""] * 36)
    lists = "parts: {train: [one.txt, two.txt], test: three.txt}\n"
    (root / "data.yaml").write_text(f"{layout}{lists}")
    texts = {"one": "00\n01.png\n\n", "two": "images/02.png masks/02.png\n", "three": "./04.jpg\n"}
    for name, text in texts.items():
        (root / f"{name}.txt").write_text(text)
    source = read_folder(root)
    assert not source.problems
    assert dict(zip(source.names, source.parts, strict=True)) == {
        "00": "train",
        "01": "train",
        "02": "train",
        "04": "test",
    }
    (root / "three.txt").write_text("00\n77\n")
    (root / "two.txt").unlink()
    assert [str(problem).partition(", got")[0] for problem in read_folder(root).problems] == [
        "two.txt: must be a text file with the name of one frame a line",
        "three.txt line 1: a file must have one part",
        "three.txt line 2: must name one of the images",
    ]


def test_folds_share_one_test_part_and_validate_each_frame_once(frames: Path) -> None:
    cut = [opened(frames, replace(OPTIONS, folds=4, fold=fold)) for fold in range(1, 5)]
    tests = [parts["test"] for _, parts in cut]
    assert tests[0]
    assert all(test == tests[0] for test in tests)
    assert len({data.sealed for data, _ in cut}) == 1
    assert len({data.fingerprint for data, _ in cut}) == 4
    validated = [number for _, parts in cut for number in parts["validation"]]
    assert sorted(validated) == sorted(set(range(COUNT)) - tests[0])
    for _, parts in cut:
        assert parts["train"] == set(range(COUNT)) - tests[0] - parts["validation"]
        assert not {n // 2 for n in parts["train"]} & {n // 2 for n in parts["validation"]}


def test_folds_leave_a_given_test_part_alone(frames: Path, tmp_path: Path) -> None:
    root = table(frames, tmp_path, dict.fromkeys(range(10), "test"))
    validated: set[int] = set()
    for fold in (1, 2, 3):
        _, parts = opened(root, replace(OPTIONS, folds=3, fold=fold))
        assert parts["test"] == set(range(10))
        validated |= parts["validation"]
    assert validated == set(range(10, COUNT))


@pytest.mark.parametrize(
    ("folds", "fold", "message"),
    [
        (1, 1, "folds: must be 2 to 1000, or 0 for none, got 1"),
        (5, 0, "fold: must be 1 to 5, got 0"),
        (5, 6, "fold: must be 1 to 5, got 6"),
        (0, 2, "fold: must come with --folds, got 2"),
    ],
)
def test_folds_that_cannot_be_are_named(folds: int, fold: int, message: str) -> None:
    assert [str(each) for each in replace(OPTIONS, folds=folds, fold=fold).problems()] == [message]


def test_without_given_parts_and_folds_the_cut_is_the_one_of_before() -> None:
    groups = np.arange(30) // 2
    counts = np.random.default_rng(1).integers(0, 9, (30, 3))
    whole = cut_parts(groups, counts, OPTIONS, ())
    before = split(groups, counts, OPTIONS.shares, 0)
    assert all(np.array_equal(whole[part], before[part]) for part in before)
