import re
import time

import pytest
import torch
from torch import Tensor

from objectives.config import (
    SGD,
    Adam,
    Config,
    ConvStack,
    DeepLab,
    DoubleUNet,
    EncoderUNet,
    GivenClassWeights,
    Lion,
    Loss,
    Model,
    NestedUNet,
    SecondPhase,
    Smp,
    Train,
    UNet,
)
from objectives.data.spec import FrameSpec
from objectives.errors import UserError
from objectives.losses import build_phases
from objectives.program.segmenter import build_segmenter
from objectives.training.feasibility import Unmeasurable, Verdict, check, infeasible
from objectives.training.resources import estimate
from objectives.training.saved_memory import EmulatedAutocast
from tests.support.frame_specs import frame_spec

CLASSES = 5


def spec_of(height: int = 32, width: int = 64) -> FrameSpec:
    return frame_spec((height, width), tuple("abcde"), mean=(0.5,), scored=(1, 2, 3, 4))


def really_kept(config: Config, spec: FrameSpec, frames: int) -> float:
    """Bytes that autograd keeps of one frame on the CPU, from a real way forward through network
    and loss.
    """
    segmenter = build_segmenter(config, spec).train()
    own = {
        tensor.untyped_storage().data_ptr()
        for tensor in (*segmenter.parameters(), *segmenter.buffers())
    }
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        return kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)

    losses = build_phases(config, weights_K=torch.ones(CLASSES), ignore_label=spec.ignore_label)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = segmenter.training_outputs(
            torch.randint(0, 256, (frames, 1, spec.height, spec.width))
        )
        for output in outputs:
            pack(output)
        loss = losses.first.over_outputs(
            outputs, torch.randint(0, CLASSES, (frames, spec.height, spec.width))
        )
    assert loss.isfinite()
    return (
        sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in own)
        / frames
    )


@pytest.mark.parametrize(
    "model",
    [
        UNet(depth=2, base_filters=8, dropout=0.1),
        UNet(depth=3, base_filters=8, norm="group", skip="attention", deep_supervision=True),
        NestedUNet(depth=2, base_filters=8, bottleneck="transformer"),
        DoubleUNet(depth=2, base_filters=8),
        DeepLab(base_filters=8),
        Smp(decoder="linknet", encoder="tu-test_efficientnet"),
        Smp(decoder="segformer", encoder="tu-test_resnet"),
        EncoderUNet(depth=3, base_filters=8, encoder="tu-test_resnet", skip="gated"),
    ],
    ids=lambda model: model.kind,
)
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_the_kept_memory_is_that_of_a_real_run(model: Model, scale: float) -> None:
    config = Config(
        model=model, loss=Loss(cross_entropy=0.5, dice=0.5), train=Train(scale=scale, batch_size=8)
    )
    spec = spec_of(64, 64)
    assert estimate(config, spec, bf16=False).frame_bytes == pytest.approx(
        really_kept(config, spec, 4), rel=0.1
    )


def test_the_work_of_a_stack_of_convolutions_is_that_of_a_hand_calculation() -> None:
    config = Config(model=ConvStack(depth=2, base_filters=8, growth=2.0, kernel_size=3))
    found = estimate(config, spec_of())
    pixels, per_pixel = 32 * 64, 1 * 8 * 9 + 8 * 16 * 9 + 16 * CLASSES
    assert found.multiply_adds == pixels * per_pixel
    assert estimate(config, spec_of(64, 64)).multiply_adds == 2 * found.multiply_adds


def test_the_state_is_weights_gradients_average_and_moments() -> None:
    model = ConvStack(depth=1, base_filters=4)
    sizes = {
        optimiser.kind: estimate(Config(model=model, optimiser=optimiser), spec_of(), bf16=False)
        for optimiser in (Adam(), Lion(), SGD(momentum=0.0))
    }
    parameters = sizes["adam"].parameters
    assert sizes["adam"].state_bytes - sizes["lion"].state_bytes == 4 * parameters
    assert sizes["lion"].state_bytes - sizes["sgd"].state_bytes == 4 * parameters
    assert sizes["sgd"].state_bytes >= 3 * 4 * parameters


def test_memory_is_the_state_and_the_batch() -> None:
    found = estimate(Config(train=Train(batch_size=7)), spec_of())
    assert found.memory_bytes == found.state_bytes + 7 * found.frame_bytes


def test_bf16_takes_about_half_of_what_is_kept() -> None:
    whole, half = (
        estimate(Config(model=UNet(base_filters=32)), spec_of(), bf16=bf16)
        for bf16 in (False, True)
    )
    assert 0.5 < half.frame_bytes / whole.frame_bytes < 0.7
    assert half.parameters == whole.parameters
    assert half.multiply_adds == whole.multiply_adds


def test_the_emulated_autocast_gives_the_types_of_the_real_one() -> None:
    conv, norm = torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4)
    with EmulatedAutocast(enabled=True) as autocast:
        emulated = norm(conv(torch.randn(2, 1, 8, 8)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert emulated.dtype == norm(conv(torch.randn(2, 1, 8, 8))).dtype == torch.bfloat16
    assert [copy.shape for copy in autocast.weights] == [conv.weight.shape, (4,)]


def test_the_greedier_phase_counts() -> None:
    first = Loss(cross_entropy=1.0)
    second = SecondPhase(cross_entropy=0.0, dice=0.5, boundary=0.5)
    alone = estimate(Config(loss=first), spec_of()).frame_bytes
    assert estimate(Config(loss=first, second_loss=second), spec_of()).frame_bytes > alone


@pytest.mark.parametrize(
    "model", [UNet(), Smp(decoder="segformer", encoder="mit_b0")], ids=["unet", "smp"]
)
def test_the_random_generator_stays_where_it_is(model: Model) -> None:
    before = torch.get_rng_state()
    estimate(Config(model=model), spec_of())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_small_network_takes_well_below_a_second() -> None:
    config = Config(model=UNet(depth=3, base_filters=8))
    estimate(config, spec_of())  # the first one loads what it needs
    start = time.process_time()
    estimate(config, spec_of())
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (Config(), ""),
        (Config(model=UNet(depth=5)), ""),
        (
            Config(model=UNet(depth=5), train=Train(scale=0.5)),
            r"model.depth must be at most 4 where .* 16 x 32 pixels.*got 5",
        ),
        (
            Config(model=DeepLab(depth=4), train=Train(scale=0.25)),
            r"model.depth must be at most 3 where .* 8 x 16 pixels",
        ),
        (
            Config(model=EncoderUNet(depth=5), train=Train(scale=0.25)),
            r"model.depth must be at most 3 where .* 8 x 16 pixels.*got 5",
        ),
        (
            Config(model=EncoderUNet(encoder="mit_b0", depth=2), train=Train(scale=0.2)),
            r"model.encoder: mit_b0 cannot see frames of 32 x 64 at train.scale 0.2 \(.*choose another",
        ),
        (
            Config(model=EncoderUNet(encoder="tu-test_vit")),
            r"model.encoder: tu-test_vit cannot be built .*choose another encoder",
        ),
        (Config(model=ConvStack(depth=6), train=Train(scale=0.1)), ""),
        (
            Config(model=Smp(), train=Train(scale=0.5)),
            r"model.encoder: resnet18 under unet needs at least 32 pixels a side",
        ),
        (Config(model=Smp(decoder="pspnet"), train=Train(scale=0.5, batch_size=1)), ""),
        (
            Config(model=Smp(decoder="deeplabv3"), train=Train(batch_size=1)),
            r"train.batch_size must be at least 2 .*got 1",
        ),
        (Config(model=Smp(decoder="deeplabv3"), train=Train(batch_size=2)), ""),
        (
            Config(model=Smp(decoder="pan", encoder="vgg11")),
            r"model.encoder: the decoder pan .* does not work with vgg11",
        ),
        (
            Config(model=Smp(encoder="nonsense9")),
            r"model.encoder must be an encoder .* got nonsense9",
        ),
        (
            Config(loss=Loss(class_weights=GivenClassWeights(values=(1.0, 2.0)))),
            r"loss.class_weights",
        ),
    ],
)
def test_what_cannot_work_is_said_in_one_line(config: Config, problem: str) -> None:
    found = infeasible(config, spec_of(), memory_bytes=0)
    assert "\n" not in found
    assert re.match(problem, found) if problem else found == ""


LONELY = (
    "for this smp network on frames of 32 x 64: a batch norm sees one value per channel of a "
    "lone frame"
)


@pytest.mark.parametrize(
    ("frames", "batch_size", "problem"),
    [
        (1, 8, f"the training part must have at least 2 frames {LONELY}, got 1"),
        (4, 1, f"train.batch_size must be at least 2 {LONELY}, got 1"),
        (2, 8, ""),
        (5, 2, ""),
    ],
)
def test_a_lone_frame_trains_the_networks_that_can(
    frames: int, batch_size: int, problem: str
) -> None:
    train = Train(batch_size=batch_size)
    assert (
        check(
            Config(model=Smp(decoder="deeplabv3"), train=train),
            spec_of(),
            memory_bytes=0,
            frames=frames,
        ).problem
        == problem
    )
    assert (
        check(Config(model=UNet(), train=train), spec_of(), memory_bytes=0, frames=frames).problem
        == ""
    )


def test_a_small_training_part_needs_less_memory_than_its_batch_size_says() -> None:
    config = Config(train=Train(batch_size=64))
    verdict = check(config, spec_of(), memory_bytes=0, frames=70)
    assert isinstance(verdict, Verdict)
    found = verdict.estimate
    assert found.memory_bytes == found.state_bytes + 35 * found.frame_bytes
    assert check(config, spec_of(), memory_bytes=found.memory_bytes, frames=70).problem == ""
    assert check(
        config, spec_of(), memory_bytes=found.memory_bytes - 1, frames=70
    ).problem.endswith("got 64")


def test_memory_beyond_the_limit_names_the_largest_batch_that_fits() -> None:
    config = Config(train=Train(batch_size=64))
    found = estimate(config, spec_of())
    limit = found.state_bytes + 40 * found.frame_bytes
    verdict = check(config, spec_of(), memory_bytes=limit)
    assert isinstance(verdict, Verdict)
    assert verdict.estimate == found
    assert verdict.problem.startswith(
        "train.batch_size must be at most 40: training needs about 0."
    )
    assert verdict.problem.endswith("got 64")
    assert infeasible(Config(train=Train(batch_size=40)), spec_of(), memory_bytes=limit) == ""
    assert infeasible(config, spec_of(), memory_bytes=0) == ""


@pytest.mark.parametrize(("batch_size", "at_once"), [(64, 2), (63, 3), (1, 1)])
def test_where_batches_are_divided_the_smallest_part_must_fit(
    batch_size: int, at_once: int
) -> None:
    config = Config(train=Train(batch_size=batch_size))
    found = estimate(config, spec_of())
    enough = found.state_bytes + at_once * found.frame_bytes
    assert check(config, spec_of(), memory_bytes=enough, divides=True).problem == ""
    problem = check(config, spec_of(), memory_bytes=enough - 1, divides=True).problem
    assert problem.startswith("model.base_filters 16 needs about")
    assert f"with {at_once} frame(s) at a time" in problem


@pytest.mark.parametrize("divides", [True, False])
def test_frames_that_live_on_the_device_count(divides: bool) -> None:
    config, held = Config(train=Train(batch_size=8)), 3_000_000_000
    plain, holding = (
        check(config, spec_of(), memory_bytes=0, held_bytes=each) for each in (0, held)
    )
    assert isinstance(plain, Verdict)
    assert isinstance(holding, Verdict)
    assert holding.estimate.memory_bytes == plain.estimate.memory_bytes + held
    enough = holding.estimate.state_bytes + (2 if divides else 8) * plain.estimate.frame_bytes
    for lacking in (0, 1):
        verdict = check(
            config,
            spec_of(),
            memory_bytes=enough - lacking,
            divides=divides,
            held_bytes=held,
        )
        assert bool(verdict.problem) == bool(lacking)


def test_a_network_too_large_for_one_frame_is_named_by_its_size() -> None:
    assert infeasible(Config(), spec_of(), memory_bytes=2**20).startswith(
        "model.base_filters 16 needs about"
    )
    assert infeasible(Config(model=Smp()), spec_of(), memory_bytes=2**20).startswith(
        "model.encoder resnet18 needs about"
    )


@pytest.mark.parametrize(
    "refused",
    [
        Config(model=Smp(decoder="linknet", encoder="mit_b0")),
        Config(model=Smp(encoder="nonsense9")),
        Config(model=Smp(decoder="deeplabv3"), train=Train(batch_size=1)),
        Config(loss=Loss(class_weights=GivenClassWeights(values=(1.0, 2.0)))),
    ],
    ids=["pair", "encoder", "batch", "weights"],
)
def test_what_cannot_be_measured_has_no_estimate(refused: Config) -> None:
    verdict = check(refused, spec_of(), memory_bytes=0)
    assert isinstance(verdict, Unmeasurable)
    with pytest.raises(UserError) as caught:
        estimate(refused, spec_of())
    assert verdict.problem in " ".join(str(caught.value).split())
