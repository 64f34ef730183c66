"""Entropy and disagreement against scipy and by hand, from either engine, whole and in windows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.data.spec import FrameSpec
from objectives.ensemble.program import Ensemble, build_program, combined, members_of
from objectives.predict.engines import open_engine
from objectives.predict.layers import layers_beside
from objectives.predict.segmentation import load
from objectives.predict.strips import whole
from objectives.predict.uncertainty import disagreement, entropy
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import Flip, Member, ProgramSettings
from objectives.windows.layout import cut
from tests.support.small_bundles import IMAGES, SMALL, SPEC, TWO, provenance_of

WINDOWED = SPEC.model_copy(update={"overlap": 0.25})
RNG = np.random.default_rng(0)
LARGE = RNG.integers(0, 256, (41, 67, 1), dtype=np.uint8)
LN_S = np.log(len(SPEC.scored))


def drawn(*shape: int, classes: int = 3) -> np.ndarray:
    """Probabilities (..., S, H, W), some of them 0."""
    drawn = RNG.dirichlet(np.full(classes, 0.3), shape)
    drawn[drawn < 0.01] = 0.0
    return np.moveaxis(drawn / drawn.sum(axis=-1, keepdims=True), -1, -3)


def mutual_information(members_MSHW: np.ndarray, weights: list[float]) -> np.ndarray:
    """Of label and member, as the mean divergence of the members from their mean."""
    shares = np.array(weights) / sum(weights)
    mean_SHW = np.einsum("m,mshw->shw", shares, members_MSHW.astype(float))
    each = [stats.entropy(member, mean_SHW, axis=0) for member in members_MSHW.astype(float)]
    return np.einsum("m,mhw->hw", shares, each) / np.log(members_MSHW.shape[1])


def test_entropy_is_that_of_scipy_as_a_part_of_the_most() -> None:
    probable = drawn(20, 30).astype(np.float32)
    found = entropy(probable)
    assert found.dtype == np.float32
    expected = stats.entropy(probable.astype(float), axis=0, base=3)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() < 0.05
    even, sure = np.full((4, 1, 1), 0.25), np.eye(4)[0][:, None, None]
    assert (entropy(even.astype(np.float32)), entropy(sure.astype(np.float32))) == (1, 0)
    assert entropy(np.ones((1, 2, 2), np.float32)).tolist() == [[0, 0], [0, 0]]


def test_disagreement_is_the_mutual_information_of_label_and_member() -> None:
    members, weights = np.stack([drawn(9, 8) for _ in range(3)]).astype(np.float32), [0.5, 0.2, 0.3]
    found = disagreement(members, weights)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mutual_information(members, weights), atol=1e-6)
    assert (found <= entropy(np.einsum("m,mshw->shw", weights, members)) + 1e-6).all()
    assert found.max() > 0.1
    opposed = np.eye(2, dtype=np.float32)[..., None, None]
    np.testing.assert_allclose(disagreement(opposed, [0.5, 0.5]), 1, atol=1e-6)
    same = [members[0], members[0]]
    np.testing.assert_allclose(disagreement(same, [0.9, 0.1]), 0, atol=1e-6)


@torch.no_grad()
def logs_by_member(directory: Path, pixels_HWC: np.ndarray, flips: list[int]) -> list[torch.Tensor]:
    """The logarithms (S, H, W) of each member's probabilities at the bundle's size, of pixels of that size
    and mirrored along some axes.
    """
    seen = torch.from_numpy(pixels_HWC.transpose(2, 0, 1)[None].copy())
    found = []
    for member in members_of(load_bundle(directory).segmenter):
        ways = [member(seen), *(member(seen.flip(axis)).flip(axis) for axis in flips)]
        shares = [torch.softmax(way[0, list(SPEC.scored)].double(), dim=0) for way in ways]
        found.append(torch.stack(shares).mean(dim=0).log())
    return found


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize("bundle", ["single", "ensemble"])
def test_a_frames_uncertainty_is_that_of_its_probabilities(
    engine: str, bundle: str, request: pytest.FixtureRequest
) -> None:
    segmentation = load(request.getfixturevalue(bundle), engine=engine)
    for image in (IMAGES[0], LARGE):
        found = segmentation.uncertainty(image)
        shares = segmentation.probabilities(image)[list(SPEC.scored)].astype(float)
        expected = stats.entropy(shares, axis=0) / LN_S
        assert (found.entropy.shape, found.entropy.dtype) == (image.shape[:2], np.float32)
        np.testing.assert_allclose(found.entropy, expected, atol=1e-5)
        assert (found.disagreement is None) == ((engine, bundle) != ("torch", "ensemble"))


def test_both_engines_are_as_unsure(single: Path, ensemble: Path) -> None:
    for bundle in (single, ensemble):
        torchs, onnxs = (load(bundle, engine=engine) for engine in ("torch", "onnx"))
        for image in (IMAGES[1], LARGE):
            np.testing.assert_allclose(
                torchs.uncertainty(image).entropy, onnxs.uncertainty(image).entropy, atol=1e-4
            )


def test_an_ensembles_disagreement_is_that_of_its_members_flips_averaged(ensemble: Path) -> None:
    weights = [member.weight for member in TWO.members]
    logs = torch.stack(logs_by_member(ensemble, IMAGES[0], [3])).exp().numpy()
    found = load(ensemble).uncertainty(IMAGES[0])
    assert found.disagreement is not None
    np.testing.assert_allclose(found.disagreement, mutual_information(logs, weights), atol=1e-5)
    assert found.disagreement.max() > 1e-3
    assert (found.disagreement <= found.entropy + 1e-6).all()


def test_members_are_enlarged_like_their_average(ensemble: Path) -> None:
    doubled = np.repeat(np.repeat(IMAGES[0], 2, axis=0), 2, axis=1)  # shrinks to the same again
    small = torch.stack(logs_by_member(ensemble, IMAGES[0], [3]))
    large = functional.interpolate(small, size=(32, 48), mode="bilinear").softmax(dim=1)
    found = load(ensemble).uncertainty(doubled).disagreement
    expected = mutual_information(large.numpy(), [member.weight for member in TWO.members])
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-5)


def written(
    directory: Path, spec: FrameSpec, *, alike: bool = False, flips: tuple[Flip, ...] = ()
) -> Path:
    """An ensemble of two networks, or of one and the same twice."""
    settings = ProgramSettings.of(
        (Member(config=SMALL, weight=0.7), Member(config=SMALL, weight=0.3)), spec, flips
    )
    torch.manual_seed(3)
    members = [build_segmenter(SMALL, spec).eval() for _ in settings.members]
    if alike:
        members[1].load_state_dict(members[0].state_dict())
    program = combined(members, settings)
    assert isinstance(program, Ensemble)
    write_bundle(directory, program, settings, provenance_of(program, 2), frames={})
    return directory


def stitched_by_hand(directory: Path, image_HWC: np.ndarray) -> np.ndarray:
    """Each member's probabilities (M, S, H, W), window by window."""
    windows = WINDOWED.windows
    assert windows is not None
    height, width = image_HWC.shape[:2]
    sums, total = np.zeros((2, 3, height + 16, width + 24)), np.zeros((height + 16, width + 24))
    for corner in windows.corners(height, width):
        rows, columns = (
            slice(start, start + side) for start, side in zip(corner, (16, 24), strict=True)
        )
        logs = logs_by_member(directory, cut(image_HWC, corner, 16, 24), [])
        sums[..., rows, columns] += torch.stack(logs).exp().numpy() * windows.weights_HW
        total[rows, columns] += windows.weights_HW
    return sums[..., :height, :width] / total[:height, :width]


@pytest.mark.long
@pytest.mark.parametrize("size", [(41, 67), (16, 24), (10, 30)])
def test_in_windows_members_are_put_together_before_they_are_compared(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    image = LARGE[: size[0], : size[1]]
    bundle = written(tmp_path / "windowed", WINDOWED)
    found = load(bundle).uncertainty(image)
    members = stitched_by_hand(bundle, image)
    assert found.disagreement is not None
    np.testing.assert_allclose(
        found.disagreement, mutual_information(members, [0.7, 0.3]), atol=1e-5
    )
    mean = 0.7 * members[0] + 0.3 * members[1]
    np.testing.assert_allclose(found.entropy, stats.entropy(mean, axis=0) / LN_S, atol=1e-5)
    onnx = load(bundle, engine="onnx").uncertainty(image)
    np.testing.assert_allclose(found.entropy, onnx.entropy, atol=1e-4)


@pytest.mark.long
def test_members_that_are_one_network_agree_where_windows_do_not(tmp_path: Path) -> None:
    """Compared window by window, what windows say differently would count as their disagreement."""
    bundle = written(tmp_path / "twice", WINDOWED, alike=True, flips=("horizontal",))
    found = load(bundle).uncertainty(LARGE)
    assert found.disagreement is not None
    np.testing.assert_allclose(found.disagreement, 0, atol=1e-5)
    assert found.entropy.min() > 0.01


def test_what_is_asked_for_beside_them_changes_no_label(tmp_path: Path, ensemble: Path) -> None:
    for bundle in (ensemble, written(tmp_path / "windowed", WINDOWED, flips=("horizontal",))):
        engine = open_engine(bundle, "torch")
        everything = layers_beside(("uncertainty", "probabilities"), disagreement=True)
        assert everything == ("labels", "probabilities", "entropy", "disagreement")
        (found,) = whole(engine.answers([LARGE], everything))
        (alone,) = whole(engine.answers([LARGE], ["labels"]))
        assert list(alone) == ["labels"]
        np.testing.assert_array_equal(found["labels"], alone["labels"])
        np.testing.assert_array_equal(found["labels"], found["probabilities"].argmax(axis=0))
        np.testing.assert_allclose(
            found["probabilities"], load(bundle).probabilities(LARGE), atol=1e-6
        )


def test_a_stack_has_no_disagreement(tmp_path: Path) -> None:
    settings = TWO.model_copy(update={"combining": "stack", "flips": ()})
    program = build_program(settings).eval()
    write_bundle(tmp_path / "stack", program, settings, provenance_of(program, 2), frames={})
    found = load(tmp_path / "stack").uncertainty(LARGE)
    assert found.disagreement is None
    assert found.entropy.max() > 0
