import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from objectives.data.dataset import DataOptions, check, has_labels, open_dataset
from objectives.data.preparing.duplicates import LIKENESS, alike_clusters, spoilt_frames, thumbnail
from objectives.data.preparing.leave_out import read_leave_out
from objectives.data.preparing.outliers import unfit_frames
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.data.reading.synthetic import ALIENS, write_folder, write_npz
from objectives.errors import Problem, ProblemsError, UserError, condensed

OPTIONS = DataOptions()


def _texts(source: Path | str, options: DataOptions = OPTIONS) -> str:
    return "\n".join(str(problem) for problem in check(str(source), options).problems)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "data", 24)
    return tmp_path / "data"


def test_report_of_good_data() -> None:
    report = check("synthetic:40", OPTIONS).as_json()
    assert json.loads(json.dumps(report)) == report
    assert report["problems"] == []
    assert report["frames"] == 40 + ALIENS
    assert report["kept"] == 40 - 1
    assert len(report["dropped"]) == ALIENS + 1
    assert {dropped["frame"] for dropped in report["dropped"]} >= set(range(40, 40 + ALIENS))
    assert "with 12 other frames" in report["dropped"][0]["reason"]
    assert list(report["classes"]) == ["background", "soil", "bedrock", "sand", "big_rock"]
    assert sum(report["classes"].values()) == pytest.approx(1)
    assert sum(report["parts"].values()) == report["kept"]


def test_dropping_starts_at_min_identical() -> None:
    assert check("synthetic:40", replace(OPTIONS, min_identical=13)).kept == 39
    assert check("synthetic:40", replace(OPTIONS, min_identical=14)).kept == 52


def filtered_npz(path: Path) -> Path:
    np.savez(path, training_set=filtered_frames())
    return path


def filtered_frames() -> np.ndarray:
    """Forty noisy frames: 3 is a quarter labelled, 5 exactly half, 7 not at all and black, 9 is
    bright.
    """
    rng = np.random.default_rng(0)
    frames = np.zeros((40, 2, 16, 16), np.uint8)
    frames[:, 0] = rng.integers(90, 110, (40, 16, 16)) + np.arange(40)[:, None, None] % 5
    frames[:, 1] = rng.integers(1, 4, (40, 16, 16))
    frames[3, 1, 4:] = frames[5, 1, 8:] = frames[7] = 0
    frames[9, 0] += 100
    return frames


@pytest.mark.parametrize(
    ("min_labelled", "max_deviation", "expected"),
    [
        (0.0, 0.0, set()),
        (0.5, 0.0, {3, 7}),
        (0.51, 0.0, {3, 5, 7}),
        (0.0, 3.0, {7, 9}),
        (0.1, 5.0, {7, 9}),
        (0.0, 9.0, set()),
    ],
)
def test_hardly_labelled_frames_and_outliers_are_dropped_when_asked(
    tmp_path: Path, min_labelled: float, max_deviation: float, expected: set[int]
) -> None:
    source = str(filtered_npz(tmp_path / "a.npz"))
    options = replace(OPTIONS, min_labelled=min_labelled, max_deviation=max_deviation)
    report = check(source, options)
    assert not report.problems
    assert {dropped.frame for dropped in report.dropped} == expected
    assert report.kept == 40 - len(expected)
    reasons = {dropped.frame: dropped.reason for dropped in report.dropped}
    if 3 in expected:
        assert (
            reasons[3] == f"less than {min_labelled:g} of its pixels are labelled (--min-labelled)"
        )
    if 9 in expected:
        assert reasons[9].startswith(
            f"its mean pixel value is more than {max_deviation:g} standard deviations"
        )


def test_spoilt_frames_do_not_count_as_looks() -> None:
    spoilt = {dropped.frame for dropped in check("synthetic:40", OPTIONS).dropped}
    asked = replace(OPTIONS, min_labelled=0.05, max_deviation=2.0)
    report = check("synthetic:40", asked)
    frames = [dropped.frame for dropped in report.dropped]
    assert frames == sorted(frames)
    assert len(set(frames)) == len(frames)
    assert spoilt < set(frames)
    assert sum("identical mask" in dropped.reason for dropped in report.dropped) == len(spoilt)


def test_the_ignored_label_of_a_folder_is_found_as_its_files_write_it(folder: Path) -> None:
    text = (folder / "classes.yaml").read_text().replace("ignore: 0", "ignore: 255")
    (folder / "classes.yaml").write_text(text)
    mask = cv2.imread(str(folder / "masks" / "00003.png"), cv2.IMREAD_UNCHANGED)
    mask[:] = 255
    mask[0] = 1
    cv2.imwrite(str(folder / "masks" / "00003.png"), mask)
    report = check(str(folder), replace(OPTIONS, min_labelled=0.2))
    assert "00003" in {dropped.frame for dropped in report.dropped if "labelled" in dropped.reason}


def test_a_share_of_labelled_pixels_needs_an_ignored_label(folder: Path) -> None:
    (folder / "classes.yaml").unlink()
    line = (
        "min_labelled: must be 0 for data without an ignored label, where every pixel is "
        "labelled, got 0.3"
    )
    assert _texts(folder, replace(OPTIONS, min_labelled=0.3)) == line


def test_means_that_are_all_alike_have_no_outliers() -> None:
    labelled, means = np.ones(5), np.full(5, 0.1) + np.array([0, 1, -1, 0, 0]) * 1e-17
    assert unfit_frames(labelled, means, min_labelled=0.0, max_deviation=0.001) == {}
    assert unfit_frames(np.zeros(5), means, min_labelled=0.5, max_deviation=1.0).keys() == set(
        range(5)
    )
    assert unfit_frames(np.zeros(0), np.zeros(0), min_labelled=0.5, max_deviation=1.0) == {}


def test_folder_frames_are_dropped_by_name(folder: Path) -> None:
    report = check(str(folder), OPTIONS)
    assert not report.problems
    assert "00035" in {dropped.frame for dropped in report.dropped}


def test_all_problems_at_once(folder: Path) -> None:
    (folder / "masks" / "00001.png").unlink()
    (folder / "images" / "00002.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    cv2.imwrite(str(folder / "masks" / "00003.png"), np.zeros((64, 100), np.uint8))
    cv2.imwrite(str(folder / "masks" / "00004.png"), np.full((64, 128), 9, np.uint8))
    cv2.imwrite(str(folder / "images" / "00005.png"), np.zeros((64, 128, 3), np.uint8))
    for part in ("images", "masks"):
        cv2.imwrite(str(folder / part / "00006.png"), np.zeros((32, 64), np.uint8))
    lines = _texts(folder).splitlines()
    assert len(lines) == 5
    expected = [
        "images/00001.png: must have a mask",
        "images/00002.png: the file must be a readable image",
        "images/00003.png: its mask must have the image's size 64x128, got 64x100",
        "masks: value 9: labels must be among the 5 classes, or `values:` of classes.yaml must lead",
        "% of all pixels, in 1 mask (of images/00004.png)",
        "1 channels of uint8 (images/00000.png, images/00004.png, images/00006.png and 29 more); 3 "
        "channels of uint8",
    ]
    for text in expected:
        assert any(text in line for line in lines), text


def test_frames_keep_their_sizes_unless_one_is_asked_for(folder: Path) -> None:
    cv2.imwrite(str(folder / "images" / "00006.png"), np.zeros((32, 64), np.uint8))
    cv2.imwrite(str(folder / "masks" / "00006.png"), np.zeros((32, 64), np.uint8))
    line = (
        "frames keep their sizes (22 of 64x128, 1 of 32x64; not 64x128: images/00006.png) and are seen in "
        "windows of 64x128: --window HxW takes others, --size 64x128 makes all frames one size"
    )
    assert line in check(str(folder), OPTIONS).warnings
    for options in (replace(OPTIONS, size=(32, 64)), replace(OPTIONS, window=(32, 64))):
        report = check(str(folder), options)
        assert not report.problems
        assert not any("sizes" in warning for warning in report.warnings)
    assert "window: must not be larger than every frame: at most 64x128" in _texts(
        folder, replace(OPTIONS, window=(65, 128))
    )


def test_labels_without_classes_file(folder: Path) -> None:
    (folder / "classes.yaml").unlink()
    report = check(str(folder), OPTIONS)
    assert [name for name, _ in report.classes] == [f"class_{label}" for label in range(5)]
    for path in (folder / "masks").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED) // 4 * 255)
    (line,) = _texts(folder).splitlines()
    assert line.startswith("masks: value 255: labels that no classes.yaml or class_names declares")


def test_a_stray_label_of_an_npz_is_named(tmp_path: Path) -> None:
    frames = np.ones((30, 2, 8, 8), np.uint8)
    frames[7, 1, 0, 0] = 255
    np.savez(tmp_path / "a.npz", training_set=frames)
    text = _texts(tmp_path / "a.npz")
    assert text.startswith("masks: value 255: labels that no classes.yaml or class_names declares")
    assert text.endswith("got 0.05% of all pixels, in 1 mask (of training_set[7])")
    assert not check(str(tmp_path / "a.npz"), OPTIONS).remedy


def test_a_dangling_link_is_a_problem(folder: Path) -> None:
    (folder / "images" / "00000.png").unlink()
    (folder / "images" / "00000.png").symlink_to("nowhere.png")
    assert "masks/00000.png: must have an image" in _texts(folder)
    with pytest.raises(ProblemsError, match=r"masks/00000\.png"):
        open_dataset(str(folder), OPTIONS, folder.parent / "cache")


def test_an_absent_class_is_a_problem(folder: Path) -> None:
    text = (folder / "classes.yaml").read_text().replace("}", ", 5: lava}")
    (folder / "classes.yaml").write_text(text)
    assert (
        _texts(folder)
        == "split: train: every scored class must have pixels in the training part, got none of "
        "lava"
    )
    assert _texts(folder, replace(OPTIONS, scored=(1, 2))) == ""
    assert _texts(folder, replace(OPTIONS, scored=(2, "soil"))) == ""


def test_a_class_absent_from_a_part_is_a_warning(tmp_path: Path) -> None:
    frames = np.ones((30, 2, 8, 8), np.uint8)
    frames[:, 0] = np.random.default_rng(0).integers(0, 255, (30, 8, 8))
    frames[0, 1, :4] = 2
    np.savez(tmp_path / "a.npz", training_set=frames)
    report = check(str(tmp_path / "a.npz"), OPTIONS)
    assert not report.problems
    assert [warning.split(":")[0] for warning in report.warnings] == [
        "the validation part has no pixel of class_2",
        "the test part has no pixel of class_2",
        "no groups are known",
    ]


def test_too_few_groups_for_three_parts(tmp_path: Path) -> None:
    frames = np.ones((6, 2, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", training_set=frames, training_groups=np.array([1, 1, 1, 2, 2, 2]))
    assert "every part must have frames, got none (the 6 kept frames form 2 groups" in _texts(
        tmp_path / "a.npz"
    )


def test_all_frames_spoilt(tmp_path: Path) -> None:
    write_npz(tmp_path / "whole.npz", 24)
    with np.load(tmp_path / "whole.npz") as whole:
        np.savez(tmp_path / "a.npz", training_set=whole["training_set"][24:])
    report = check(str(tmp_path / "a.npz"), OPTIONS)
    assert report.kept == 0
    assert [str(problem) for problem in report.problems] == [
        "frames: cleaning must leave some frames, got none: dropped: 12 frames, shares one "
        "identical mask of 4 labels "
        "with 11 other frames (--min-identical 13 keeps them)"
    ]
    assert not check(str(tmp_path / "a.npz"), replace(OPTIONS, min_identical=13)).dropped


def test_cleaning_is_named_where_it_leaves_too_little(tmp_path: Path) -> None:
    frames = filtered_frames()
    frames[2:, 1] = 0
    np.savez(tmp_path / "a.npz", training_set=frames)
    few = _texts(tmp_path / "a.npz", replace(OPTIONS, min_labelled=0.5))
    dropped = "dropped: 38 frames, less than 0.5 of its pixels are labelled (--min-labelled)"
    assert f"(the 2 kept frames form 2 groups that stay whole; {dropped})" in few


def sparsely_labelled(path: Path, groups: list[int]) -> str:
    """Twelve places of two frames; a pixel of label 1 and one of label 2 in each frame of these
    places, the rest is 0.
    """
    frames = np.random.default_rng(0).integers(0, 255, (24, 2, 8, 8)).astype(np.uint8)
    frames[:, 1] = 0
    for group in groups:
        frames[2 * group : 2 * group + 2, 1, 0, :2] = 1, 2
    np.savez(path, training_set=frames, training_groups=np.arange(24) // 2)
    return str(path)


def test_a_validation_part_without_labels_is_a_problem(tmp_path: Path) -> None:
    source = sparsely_labelled(tmp_path / "a.npz", [4])
    line = (
        "split: validation: the validation part must have labelled pixels of at least one scored "
        "class, got none: "
        "2 of 24 frames have any, in 1 group that goes to other parts; label frames of more groups"
    )
    for seed in range(3):
        assert _texts(source, replace(OPTIONS, seed=seed)) == line
    with pytest.raises(
        ProblemsError, match="must have labelled pixels of at least one scored class"
    ):
        open_dataset(source, OPTIONS, tmp_path / "cache")


def test_labels_that_are_not_scored_do_not_count_as_labelled(tmp_path: Path) -> None:
    source = Path(sparsely_labelled(tmp_path / "a.npz", list(range(12))))
    with np.load(source) as whole:
        frames, groups = whole["training_set"], whole["training_groups"]
    frames[2:, 1][frames[2:, 1] == 2] = 1
    np.savez(source, training_set=frames, training_groups=groups)
    assert _texts(source) == ""
    assert "the validation part must have labelled pixels" in _texts(
        source, replace(OPTIONS, scored=(2,))
    )


@pytest.mark.parametrize("seed", range(4))
def test_validation_has_labels_before_test_has(tmp_path: Path, seed: int) -> None:
    for labelled in ([0, 7], [3, 11], [5, 6]):
        report = check(sparsely_labelled(tmp_path / "a.npz", labelled), replace(OPTIONS, seed=seed))
        assert not report.problems
        assert (
            "the test part has no labelled pixel of a scored class: an exported model gets no "
            "score of it" in report.warnings
        )
    data = open_dataset(str(tmp_path / "a.npz"), replace(OPTIONS, seed=seed), tmp_path / "cache")
    assert [has_labels(data, part) for part in ("train", "validation", "test")] == [
        True,
        True,
        False,
    ]


def test_parts_of_one_frame_are_warned_of(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 3, (3, 2, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", training_set=frames, training_groups=np.arange(3))
    warnings = [
        warning.partition(":")[0] for warning in check(str(tmp_path / "a.npz"), OPTIONS).warnings
    ]
    single = [f"the {part} part is a single frame" for part in ("train", "validation", "test")]
    assert warnings == ["places are few", *single]


def test_wrong_options_and_sources_do_not_raise(tmp_path: Path) -> None:
    wrong = DataOptions(size=(0, 4), min_identical=1, shares=(0.5, 0.5, 0.5), seed=-1)
    assert len(check("synthetic:24", wrong).problems) == 4
    for value in (-0.1, 1.1, float("nan")):
        assert "min_labelled: must be a share of pixels, 0 to 1" in _texts(
            "synthetic:24", replace(OPTIONS, min_labelled=value)
        )
    for value in (-1.0, float("inf"), float("nan")):
        assert "max_deviation: must be a number" in _texts(
            "synthetic:24", replace(OPTIONS, max_deviation=value)
        )
    known = "scored: must be classes, by label or name: 0 (background), 1 (soil), 2 ("
    for word in (7, "grass"):
        text = _texts("synthetic:24", replace(OPTIONS, scored=(word,)))
        assert text.startswith(known)
        assert text.endswith(f"got {word}")
    assert "ignored label cannot be scored" in _texts(
        "synthetic:24", replace(OPTIONS, scored=(0, 1))
    )
    assert "must be an npz file" in _texts(tmp_path / "nothing")
    for word in (
        "synthetic:",
        "synthetic:two",
        "synthetic:3",
        "synthetic:40:speed=2",
        "synthetic:40:seed=-1",
    ):
        assert len(check(word, OPTIONS).problems) == 1


def test_only_masks_of_several_classes_are_spoilt() -> None:
    keys = ["alien"] * 10 + ["border"] * 50 + ["rare"] * 9
    counts = [3] * 10 + [2] * 50 + [4] * 9
    assert list(spoilt_frames(keys, counts, 10)) == list(range(10))


def test_frames_that_look_alike_share_a_cluster() -> None:
    generator = np.random.default_rng(0)
    scenes = [cv2.resize(generator.random((4, 8)).astype(np.float32), (64, 32)) for _ in range(60)]
    images = [
        (scene * light * 255).astype(np.uint8)[:, :, None]
        for scene in scenes
        for light in (1.0, 0.8)
    ]
    looks = np.stack([thumbnail(image) for image in images])
    clusters = alike_clusters(looks, [str(index) for index in range(len(images))])
    assert np.array_equal(clusters[::2], clusters[1::2])
    assert clusters.max() > 50


@pytest.mark.parametrize("frames", [20, 200])
def test_a_camera_in_two_lights_stays_one_cluster_however_many_frames_it_has(frames: int) -> None:
    """Within a light frames are liker than across: the likest pairs alone would part the two."""
    generator, cameras = np.random.default_rng(1), 6
    looks = []
    for _ in range(cameras):
        scene, light = generator.normal(size=(2, 256))
        for sign in (-1, 1):
            lit = scene + 0.17 * sign * light
            looks.append(lit + generator.normal(0.0, 0.05, (frames, 256)))
    thumbnails = np.concatenate(looks).astype(np.float32)
    thumbnails -= thumbnails.mean(axis=1, keepdims=True)
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    across = thumbnails[0] @ thumbnails[frames]
    assert LIKENESS[0] < across < 0.96 < 0.99 < thumbnails[0] @ thumbnails[1]
    clusters = alike_clusters(thumbnails, [str(index) for index in range(len(thumbnails))])
    assert np.array_equal(clusters, np.arange(cameras).repeat(2 * frames))


def test_equal_frames_always_share_a_cluster_and_likeness_does_not_collapse() -> None:
    looks = np.tile(thumbnail(np.arange(256, dtype=np.uint8).reshape(16, 16, 1)), (300, 1))
    clusters = alike_clusters(looks, [str(index // 2) for index in range(300)])
    assert np.array_equal(clusters, np.arange(300) // 2)
    assert np.array_equal(thumbnail(np.full((8, 8, 3), 7, np.uint8)), np.zeros(256))


def test_resizing_takes_areas_for_images_and_labels_for_masks() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (8, 12, 5), np.uint16)
    halved = resize_image(image, 4, 6)
    assert halved.dtype == np.uint16
    assert np.abs(halved - image.reshape(4, 2, 6, 2, 5).mean((1, 3))).max() <= 0.5
    assert resize_image(image, 16, 24).shape == (16, 24, 5)
    mask = np.array([[0, 9], [3, 200]], np.uint8)
    assert np.array_equal(resize_mask(mask, 4, 4), mask.repeat(2, 0).repeat(2, 1))
    assert set(resize_mask(np.tile(mask, (5, 5)), 3, 7).ravel().tolist()) <= {0, 9, 3, 200}


def test_shrunk_frames_and_masks_stay_on_one_another() -> None:
    """By the centroids of a disc: a mask of each block's first corner lies 0.4 pixels off."""
    rows, columns = np.mgrid[:128, :192]
    disc = ((rows - 70.0) ** 2 + (columns - 101.0) ** 2 < 40.0**2).astype(np.uint8)
    image = resize_image(disc[:, :, None] * 255, 16, 24)[:, :, 0].astype(float)
    mask = resize_mask(disc, 16, 24).astype(float)
    for small in (image, mask):
        centre = [(np.indices(small.shape)[axis] * small).sum() / small.sum() for axis in (0, 1)]
        assert centre == pytest.approx([(70 + 0.5) / 8 - 0.5, (101 + 0.5) / 8 - 0.5], abs=0.1)


def test_shrinking_takes_the_mean_of_each_area() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 1)).astype(np.uint8)
    assert (
        np.abs(resize_image(image, 4, 6)[:, :, 0] - image.reshape(4, 4, 6, 4).mean((1, 3))).max()
        <= 0.5
    )


def test_condensed_counts_what_it_leaves_out() -> None:
    problems = [Problem(f"f{index}", "rule", "value") for index in range(25)] + [
        Problem("x", "other", "value")
    ]
    assert [problem.where for problem in condensed(problems)] == [
        *(f"f{index}" for index in range(10)),
        "15 more places",
        "x",
    ]


@pytest.mark.parametrize(
    "lines",
    [
        "00003\n00007\n",
        "00003.png\r\n\r\n images/00007.png \r\n00003\r\n",
        "\ufeff./images/00003.png\nimages\\00007.png",
    ],
)
def test_frames_that_a_file_names_are_left_out_unseen(lines: str, folder: Path) -> None:
    (folder / "images" / "00007.png").write_bytes(b"no picture")  # what cannot be read can be named
    listing = folder.parent / "out.txt"
    listing.write_text(lines, newline="")
    names = read_leave_out(listing)
    report = check(str(folder), replace(OPTIONS, leave_out=names))
    assert not report.problems
    assert {
        (each.frame, each.reason) for each in report.dropped if "--leave-out" in each.reason
    } == {
        ("00003", "named by --leave-out"),
        ("00007", "named by --leave-out"),
    }
    assert report.kept == report.frames - len(report.dropped)
    assert "must" in _texts(folder)  # without it the broken one is a problem


def test_an_npz_has_numbers_and_what_names_no_frame_is_said(tmp_path: Path) -> None:
    source = str(filtered_npz(tmp_path / "a.npz"))
    assert {
        each.frame for each in check(source, replace(OPTIONS, leave_out=("11", "3"))).dropped
    } == {3, 11}
    line = "leave_out: each line must name a frame of the data, got 40, x"
    assert _texts(source, replace(OPTIONS, leave_out=("3", "40", "x"))) == line
    every = tuple(str(number) for number in range(40))
    assert "cleaning must leave some frames" in _texts(source, replace(OPTIONS, leave_out=every))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "without any"), (b"\n \n", "without any"), (b"\xff\xfe", "one frame a line")],
)
def test_a_list_that_names_nothing_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_leave_out(tmp_path / "out.txt")
    with pytest.raises(UserError, match="no file"):
        read_leave_out(tmp_path)


def test_a_test_part_may_be_left_away_and_other_shares_may_be_had(folder: Path) -> None:
    usual, without = (
        check("synthetic:200", replace(OPTIONS, shares=shares))
        for shares in ((0.8, 0.1, 0.1), (0.9, 0.1, 0))
    )
    assert dict(usual.parts)["test"] > 0
    parts = dict(without.parts)
    assert parts["test"] == 0
    assert parts["train"] + parts["validation"] == without.kept
    assert parts["validation"] == pytest.approx(0.1 * without.kept, rel=0.3)
    assert not without.problems
    (line,) = [line for line in without.warnings if "test part" in line]
    assert line.startswith(
        "there is no test part: the score of the exported model will be that on validation, by "
        "which"
    )
    halves = dict(check("synthetic:200", replace(OPTIONS, shares=(0.5, 0.25, 0.25))).parts)
    assert halves["train"] == pytest.approx(0.5 * sum(halves.values()), rel=0.3)
    for shares in ((0.9, 0.2, 0.0), (1.0, 0.0, 0.0), (0.0, 0.5, 0.5), (0.9, 0.2, -0.1)):
        assert "add up to 1" in _texts("synthetic:40", replace(OPTIONS, shares=shares))
