"""The probabilities that an ensemble is chosen by, against the networks themselves, and what
``--ensemble`` takes.
"""

import numpy as np
import pytest
import torch

from objectives.config import Config, UNet
from objectives.ensemble.probabilities import LabelledFrames, measure_member, share_that_fits
from objectives.ensemble.probability_codes import decode_probabilities
from objectives.errors import UserError
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import MOST_MEMBERS
from objectives.scoring.evaluate import evaluate
from search.export.ensemble_choice import Combined, Listed, Single, parse_ensemble
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
SPEC = frame_spec(
    (16, 24),
    ("a", "void", "b", "c"),
    2,
    mean=(0.4, 0.5),
    std=(0.2, 0.3),
    ignore_label=1,
    scored=(0, 3),
)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 2)).astype(np.uint8)
MASKS = np.random.default_rng(1).integers(0, 4, (5, 16, 24)).astype(np.uint8)
GROUPS = np.array([7, 7, 2, 9, 2])


def test_a_member_is_scored_as_ever_and_its_probabilities_are_those_of_its_labelled_pixels() -> (
    None
):
    torch.manual_seed(0)
    segmenter = build_segmenter(Config(model=UNet(depth=2, base_filters=4)), SPEC).eval()
    frames = LabelledFrames(IMAGES, MASKS, GROUPS, SPEC)
    found = measure_member(segmenter, frames, device=CPU)
    assert found.evaluation.score == evaluate(segmenter, IMAGES, MASKS, SPEC, device=CPU).score
    with torch.no_grad():
        logits = (
            segmenter(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy()))
            .double()
            .numpy()[:, [0, 3]]
        )
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected_NHWS = (raised / raised.sum(axis=1, keepdims=True)).transpose(0, 2, 3, 1)
    probable_PK = decode_probabilities(found.codes_PK)
    np.testing.assert_allclose(probable_PK[:, [0, 3]], expected_NHWS[MASKS != 1], atol=0.004)
    assert not probable_PK[:, [1, 2]].any()
    library = frames.library((found.codes_PK,))
    np.testing.assert_array_equal(library.labels_P, MASKS[MASKS != 1])
    np.testing.assert_array_equal(
        library.places_P,
        np.broadcast_to(np.array([1, 1, 0, 2, 0])[:, None, None], MASKS.shape)[MASKS != 1],
    )
    assert library.places == frames.places == 3


@pytest.mark.parametrize("ignore_label", [1, None])
def test_what_does_not_fit_is_drawn_alike_for_every_member(ignore_label: int | None) -> None:
    spec = SPEC.model_copy(update={"ignore_label": ignore_label})
    labelled = int((MASKS != 1).sum()) if ignore_label == 1 else MASKS.size
    assert share_that_fits(MASKS, spec, 3, most_bytes=3 * 4 * labelled) == 1.0
    share = share_that_fits(MASKS, spec, 3, most_bytes=3 * 4 * labelled // 4)
    assert share == pytest.approx(0.25, abs=1e-3)
    frames = LabelledFrames(IMAGES, MASKS, GROUPS, spec, share)
    drawn = [frames.pixels(frame) for frame in range(5)]
    assert 0.15 * labelled < sum(map(len, drawn)) < 0.35 * labelled
    assert all(
        (MASKS[frame].ravel()[pixels] != ignore_label).all() for frame, pixels in enumerate(drawn)
    )
    assert all((frames.pixels(frame) == pixels).all() for frame, pixels in enumerate(drawn))
    segmenter = build_segmenter(Config(model=UNet(depth=2, base_filters=4)), spec)
    codes_PK = measure_member(segmenter, frames, device=CPU).codes_PK
    assert len(codes_PK) == len(frames.library((codes_PK,)).labels_P) == sum(map(len, drawn))


def test_what_may_be_asked_for() -> None:
    assert parse_ensemble("", anyway=False) == Single()
    assert parse_ensemble("rare", anyway=True) == Combined("rare", anyway=True)
    assert parse_ensemble("stack", anyway=False) == Combined("stack")
    assert parse_ensemble("2", anyway=False) == Combined(2)
    assert parse_ensemble("", " 3, B16-manet ", anyway=True) == Listed(
        ("3", "B16-manet"), anyway=True
    )
    assert parse_ensemble("", "b18,0", anyway=False) == Listed(
        ("B16", "B17", "0")
    )  # an ensemble of a report stands for its members
    for listed in ("3", "3,3", "B18,B16", "3,", ",".join(map(str, range(MOST_MEMBERS + 1)))):
        with pytest.raises(UserError, match="must name from 2 to 64 different trials"):
            parse_ensemble("", listed, anyway=False)
    with pytest.raises(UserError, match="leave out either"):
        parse_ensemble("4", "1,2", anyway=False)
    assert parse_ensemble(str(MOST_MEMBERS), anyway=False) == Combined(MOST_MEMBERS)
    for wrong in ("0", "1", "-2", "foo", "2.0", str(MOST_MEMBERS + 1), "9" * 5000, "²"):
        with pytest.raises(
            UserError, match="--ensemble must be rare, stack or a number of members from 2 to 64"
        ):
            parse_ensemble(wrong, anyway=False)
    with pytest.raises(UserError, match="--ensemble-anyway goes with --ensemble"):
        parse_ensemble("", anyway=True)
    assert parse_ensemble("4", anyway=False, searched=True) == Combined(4, searched=True)
    assert parse_ensemble("4", anyway=False).searched is False  # type: ignore[union-attr]
    assert parse_ensemble("", "0,1", anyway=False, searched=True) == Listed(("0", "1"))
    with pytest.raises(UserError, match="--ensemble-searched goes with --ensemble"):
        parse_ensemble("", anyway=False, searched=True)
