"""Averages of several networks and of flipped frames as one program, against numpy."""

import numpy as np
import pytest
import torch

from objectives.bundle.pixel_program import PixelProgram
from objectives.config import Augment, Config, ConvStack, Train, UNet
from objectives.ensemble.program import (
    Ensemble,
    build_program,
    combined,
    members_of,
    reflipped,
    stacked,
)
from objectives.ensemble.stacking import Stack
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.program.settings import Flip, Member, ProgramSettings, sensible_flips, ways_of
from objectives.scoring.evaluate import evaluate, predict
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
SPEC = frame_spec(
    (16, 24), ("void", "a", "b", "c"), 2, mean=(0.4, 0.5), std=(0.2, 0.3), scored=(1, 3)
)
SMALL = Config(model=UNet(depth=2, base_filters=4), train=Train(scale=0.5))
OTHER = Config(model=ConvStack(depth=1, base_filters=4))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 2)).astype(np.uint8)
MASKS = np.random.default_rng(1).integers(0, 4, (5, 16, 24)).astype(np.uint8)
FLIPS: list[tuple[tuple[Flip, ...], list[tuple[int, ...]]]] = [
    ((), [()]),
    (("horizontal",), [(), (3,)]),
    (("vertical",), [(), (2,)]),
    (("horizontal", "vertical"), [(), (3,), (2,), (3, 2)]),
]


def members() -> list[Segmenter]:
    torch.manual_seed(0)
    return [build_segmenter(config, SPEC).eval() for config in (SMALL, OTHER)]


def settings_of(*weights: float, flips: tuple[Flip, ...] = ()) -> ProgramSettings:
    configs = (SMALL, OTHER)[: len(weights)]
    pairs = zip(configs, weights, strict=True)
    return ProgramSettings.of(
        tuple(Member(config=config, weight=weight) for config, weight in pairs), SPEC, flips
    )


def pixels() -> torch.Tensor:
    return torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())


@torch.no_grad()
def averaged_in_numpy(weights: list[float], ways: list[tuple[int, ...]]) -> np.ndarray:
    """Probabilities (B, S, H, W) of the scored classes, from each member's own logits."""
    total = np.zeros((5, 2, 16, 24))
    for member, weight in zip(members(), weights, strict=True):
        for axes in ways:
            seen = np.flip(IMAGES.transpose(0, 3, 1, 2), axes).copy()
            logits = member(torch.from_numpy(seen)).double().numpy()[:, [1, 3]]
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            total += (
                weight
                / sum(weights)
                / len(ways)
                * np.flip(shares / shares.sum(axis=1, keepdims=True), axes)
            )
    return total


@pytest.mark.parametrize(("flips", "ways"), FLIPS)
def test_the_softmax_of_an_ensemble_is_the_weighted_mean_of_its_members(
    flips: tuple[Flip, ...], ways: list[tuple[int, ...]]
) -> None:
    assert set(ways_of(flips)) == set(ways)
    program = combined(members(), settings_of(3.0, 1.0, flips=flips)).eval()
    with torch.no_grad():
        logits = program(pixels())
        labels, probabilities = PixelProgram(program, SPEC).eval()(pixels())
    expected = averaged_in_numpy([3.0, 1.0], ways)
    assert logits.shape == (5, 4, 16, 24)
    assert torch.isfinite(logits).all()
    np.testing.assert_allclose(torch.softmax(logits[:, [1, 3]], dim=1).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(probabilities[:, [1, 3]].numpy(), expected, atol=1e-6)
    assert (labels.numpy() == np.array([1, 3])[expected.argmax(axis=1)]).all()


@pytest.mark.parametrize(("flips", "ways"), FLIPS)
def test_a_stack_is_its_second_model_over_the_members_means(
    flips: tuple[Flip, ...], ways: list[tuple[int, ...]]
) -> None:
    settings = settings_of(1.0, 1.0, flips=flips).model_copy(update={"combining": "stack"})
    generator = np.random.default_rng(2)
    fitted = Stack(
        (0, 1),
        generator.normal(size=(2, 4)).astype(np.float32),
        generator.normal(size=2).astype(np.float32),
    )
    program = stacked(members(), settings, fitted).eval()
    one, other = averaged_in_numpy([1.0, 0.0], ways), averaged_in_numpy([0.0, 1.0], ways)
    expected = np.einsum(
        "sf,bfhw->bshw", fitted.weights_SF, np.log(np.concatenate([one, other], axis=1))
    )
    expected += fitted.offsets_S[:, None, None]
    with torch.no_grad():
        logits = program(pixels())
        np.testing.assert_allclose(logits[:, [1, 3]].numpy(), expected, atol=1e-4)
        assert torch.isfinite(logits).all()
        again, plain = reflipped(program, settings, ())
        both, _ = reflipped(again, plain, flips)
        torch.testing.assert_close(both(pixels()), logits, atol=0, rtol=0)
    assert {name.split(".network.")[0] for name in program.state_dict()} == {
        "members.0",
        "members.1",
        "stack.weight",
        "stack.bias",
    }


def test_an_ensemble_is_scored_as_any_model() -> None:
    program = combined(members(), settings_of(1.0, 1.0)).eval()
    expected = np.array([1, 3])[averaged_in_numpy([1.0, 1.0], [()]).argmax(axis=1)]
    assert (np.stack(predict(program, IMAGES, SPEC, device=CPU)) == expected).all()
    assert 0 < len(np.unique(expected)) <= 2
    score = evaluate(program, IMAGES, MASKS, SPEC, device=CPU).score
    labelled = MASKS != 0
    iou = [
        ((expected == k) & (k == MASKS) & labelled).sum()
        / (((expected == k) | (k == MASKS)) & labelled).sum()
        for k in (1, 3)
    ]
    assert score == pytest.approx(np.mean(iou))


def test_a_program_with_a_flip_sees_a_frame_and_its_mirror_alike() -> None:
    program = combined(members(), settings_of(1.0, 2.0, flips=("horizontal",))).eval()
    plain = combined(members(), settings_of(1.0, 2.0)).eval()
    with torch.no_grad():
        torch.testing.assert_close(
            program(pixels()).flip(3), program(pixels().flip(3)), atol=1e-5, rtol=0
        )
        assert not torch.allclose(plain(pixels()).flip(3), plain(pixels().flip(3)), atol=1e-3)


def test_a_class_of_which_a_member_is_certain_gives_no_infinities() -> None:
    certain = members()[1]
    with torch.no_grad():
        certain.network.head.bias.copy_(torch.tensor([0.0, 500.0, 0.0, -500.0]))
        logits = Ensemble([certain], [1.0], SPEC)(pixels())
    assert torch.isfinite(logits).all()
    assert (logits.argmax(dim=1) == 1).all()


def test_one_plain_member_is_a_program_by_itself() -> None:
    assert isinstance(build_program(settings_of(1.0)), Segmenter)
    assert isinstance(build_program(settings_of(1.0, flips=("horizontal",))), Ensemble)
    names = build_program(settings_of(1.0, 1.0)).state_dict().keys()
    assert {name.split(".network.")[0] for name in names} == {"members.0", "members.1"}


@pytest.mark.parametrize("weights", [(1.0,), (2.0, 1.0)])
def test_flips_can_be_put_on_and_taken_off_again(weights: tuple[float, ...]) -> None:
    before = settings_of(*weights)
    program = combined(members()[: len(weights)], before).eval()
    flipping, settings = reflipped(program, before, ("horizontal",))
    assert settings.flips == ("horizontal",)
    assert not flipping.training
    assert len(members_of(flipping)) == len(weights)
    again, restored = reflipped(flipping, settings, ())
    assert restored == before
    with torch.no_grad():
        torch.testing.assert_close(again(pixels()), program(pixels()), atol=0, rtol=0)
        assert not torch.allclose(flipping(pixels()), program(pixels()), atol=1e-4)


def test_frames_are_turned_upside_down_only_where_all_members_were_trained_so() -> None:
    def trained(*augments: Augment) -> ProgramSettings:
        return ProgramSettings.of(
            tuple(Member(config=Config(augment=augment)) for augment in augments), SPEC
        )

    both, sideways = Augment(vertical_flip=True), Augment(vertical_flip=False)
    assert sensible_flips(trained(both, both)) == ("horizontal", "vertical")
    assert sensible_flips(trained(both, sideways)) == ("horizontal",)
    assert sensible_flips(trained(Augment(vertical_flip=True, intensity=0.0))) == ("horizontal",)


def test_a_flip_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="must not repeat"):
        ProgramSettings(
            members=(Member(config=SMALL),),
            flips=("vertical", "vertical"),
            spec=SPEC,
            axes=settings_of(1.0).axes,
        )
