import numpy as np

from objectives.data.dataset import DataOptions, check
from objectives.data.reading.synthetic import ALIENS, generate


def test_equal_arguments_give_equal_pixels() -> None:
    first = generate(24, 5)
    generate.cache_clear()
    again, other = generate(24, 5), generate(24, 6)
    assert first is not again
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.images, other.images)


def test_aliens_share_the_mask_of_one_ordinary_frame() -> None:
    terrain = generate()
    identical = (terrain.masks == terrain.masks[terrain.reference]).all(axis=(1, 2))
    assert np.flatnonzero(identical).tolist() == [terrain.reference, *range(300, 300 + ALIENS)]
    assert len(np.unique(terrain.masks[terrain.reference])) >= 4


def test_big_rock_is_rare_and_uniform_masks_repeat() -> None:
    terrain = generate()
    shares = np.bincount(terrain.masks[:300].ravel(), minlength=5) / terrain.masks[:300].size
    assert 0.002 < shares[4] < 0.01
    assert shares[[1, 2]].min() > 0.2
    assert shares[3] > 0.04
    plain = (terrain.masks[:, :-1] == 1).all(axis=(1, 2)) & (terrain.masks[:, -1] == 0).all(axis=1)
    assert plain.sum() >= 10
    assert terrain.test_images.shape == (50, 64, 128)


def test_frames_of_one_place_look_alike() -> None:
    terrain = generate()
    brightness = terrain.images[:300].mean(axis=(1, 2))
    between = np.array(
        [brightness[terrain.groups[:300] == group].mean() for group in range(75)]
    ).std()
    within = np.mean([brightness[terrain.groups[:300] == group].std() for group in range(75)])
    assert within < between


def test_every_part_has_every_class_at_every_size() -> None:
    for word in ("synthetic:24", "synthetic:24:seed=3", "synthetic:60", "synthetic"):
        report = check(word, DataOptions())
        assert not report.problems
        assert not [
            warning
            for warning in report.warnings
            if "no pixel of" in warning or "no labelled pixel" in warning
        ]
        assert min(size for _, size in report.parts) >= 1
