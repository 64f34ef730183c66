"""Which networks of a space may start from given weights: those that they fit, and only where the
space names them.
"""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.config import EncoderUNet, GivenWeights, Scalar, Smp, Start, UNet
from objectives.errors import ProblemsError
from spaces import FromParams, Space, load_space, load_stored_space
from spaces.dice import FromDice
from spaces.starting import fit_weights, unnamed_weights

LITE0, RESNET = "tu-tf_efficientnet_lite0", "resnet18"
SMP = (
    "model.kind={choice: [unet, smp]}",
    "model.encoder={choice: [resnet18, tu-tf_efficientnet_lite0]}",
)
# as spaces of the version before named its fields
BEFORE = {
    "small": "6e91ee490ce21501f1295124391e6bd6ea038f58ab4e3c0bac96281f6b8ca913",
    "tiny": "b5687bd9d8c88255a454e28cba9ce44cf6ab04a30b96754ca9e3becfe7fcbf91",
    "mars": "1e0932a8015bc0fc7d968b22526f3c1019dff5f595bb5ce138c0854a3e5719cc",
}


def weights(name: str, sha: str = "0", **fits: Scalar) -> GivenWeights:
    start = Start(sha256=sha * 64, extent="encoder", mean=(0.5,) * 3, std=(0.5,) * 3)
    paths = {f"model.{field}": value for field, value in fits.items()}
    return GivenWeights(
        name=name, fits=paths, start=start, sha256=start.sha256, source=name, licence=""
    )


FOR_LITE0 = weights("lite0", kind="smp", encoder=LITE0)


def wide(*names: str) -> Space:
    options = ", ".join(["none", *names])
    return load_space(
        "small",
        (
            *SMP,
            f"model.weights={{choice: [{options}]}}",
            "model.normalise={choice: [weights, data]}",
            "optimiser.encoder_rate={float: [0.01, 1.0], log: true}",
            "train.frozen_epochs={int: [0, 3]}",
        ),
    )


@pytest.mark.parametrize("name", BEFORE)
def test_a_space_that_names_no_weights_is_the_space_that_it_ever_was(name: str) -> None:
    space = load_space(name)

    assert space.fingerprint == BEFORE[name]
    assert fit_weights(space, []) == space
    assert unnamed_weights(space, [FOR_LITE0]) == ["lite0"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_only_networks_that_they_fit_start_from_weights_and_read_what_is_for_them(
    seed: int,
) -> None:
    space = fit_weights(wide("lite0"), [FOR_LITE0])
    source = FromDice(random.Random(seed))

    config = space.draw(source)

    fits = isinstance(config.model, Smp) and config.model.encoder == LITE0
    assert ("model.weights" in source.answers) == fits
    assert isinstance(config.model, Smp | UNet)
    if config.model.weights == "none":
        assert config.model.start is None
        assert config.optimiser.encoder_rate == 1.0
        assert config.train.frozen_epochs == 0
        assert not {"optimiser.encoder_rate", "train.frozen_epochs"} & source.answers.keys()
    else:
        assert fits
        assert config.model.start == FOR_LITE0.start
        assert {"optimiser.encoder_rate", "train.frozen_epochs"} <= source.answers.keys()
    assert space.draw(FromParams(space.encode(config))).model == config.model
    assert load_stored_space(json.loads(json.dumps(space.to_dict()))) == space


def test_one_name_means_the_weights_of_the_encoder_that_is_drawn() -> None:
    both = [
        weights("imagenet", "1", kind="smp", encoder=LITE0),
        weights("imagenet", "2", kind="smp", encoder=RESNET),
    ]
    space = fit_weights(wide("imagenet"), both)
    configs = [space.draw(FromDice(random.Random(seed))) for seed in range(60)]
    started = {
        (model.encoder, model.start.sha256[0])
        for model in (config.model for config in configs)
        if isinstance(model, Smp) and model.start
    }

    assert started == {(LITE0, "1"), (RESNET, "2")}


def test_several_families_start_from_the_same_weights_where_each_has_the_encoder() -> None:
    both = [FOR_LITE0, weights("lite0", kind="encoder_unet", encoder=LITE0)]
    families = ("model.kind={choice: [unet, smp, encoder_unet]}", SMP[1])
    space = fit_weights(
        load_space("small", (*families, "model.weights={choice: [none, lite0]}")), both
    )
    configs = [space.draw(FromDice(random.Random(seed))) for seed in range(200)]
    started = {
        (config.model.kind, config.model.encoder)
        for config in configs
        if isinstance(config.model, Smp | EncoderUNet) and config.model.start
    }

    assert started == {("smp", LITE0), ("encoder_unet", LITE0)}
    encoders = {config.model.encoder for config in configs if isinstance(config.model, EncoderUNet)}
    assert encoders == {LITE0, RESNET}


def test_what_does_not_go_together_is_named() -> None:
    whole = weights("whole", kind="unet", depth=9)
    for space, given_, said in [
        (wide("lite0"), [], r"model\.weights: must be none, or given with --weights"),
        (
            wide("lite0", "r18"),
            [FOR_LITE0, weights("r18", kind="smp", encoder=RESNET)],
            "must all be for the same networks",
        ),
        (wide("whole"), [whole], r"model\.depth: must allow 9"),
        (
            load_space("small", (*SMP, "model.smp.weights=lite0")),
            [FOR_LITE0],
            rf"model\.encoder: must be {LITE0} alone where all networks start from lite0",
        ),
    ]:
        with pytest.raises(ProblemsError, match=said):
            fit_weights(space, given_)


def test_a_control_that_cannot_start_so_is_refused() -> None:
    sets = (*SMP, "model.weights={choice: [none, lite0]}", "control.model.kind=smp")
    space = load_space("small", (*sets, "control.model.weights=lite0"))

    with pytest.raises(ProblemsError, match=r"model\.weights: must be none here") as error:
        fit_weights(space, [FOR_LITE0])
    assert error.value.subject == "the space's control"
    fitting = load_space(
        "small", (*sets, "control.model.weights=lite0", f"control.model.encoder={LITE0}")
    )
    control = fit_weights(fitting, [FOR_LITE0]).default().model
    assert isinstance(control, Smp)
    assert control.start == FOR_LITE0.start


def test_a_config_of_other_weights_under_the_same_name_lies_outside() -> None:
    one = fit_weights(wide("lite0"), [FOR_LITE0])
    other = fit_weights(wide("lite0"), [weights("lite0", "7", kind="smp", encoder=LITE0)])
    configs = (one.draw(FromDice(random.Random(seed))) for seed in range(100))
    config = next(each for each in configs if getattr(each.model, "start", None))

    assert one.encode(config)
    with pytest.raises(ProblemsError, match="must be the same weights as lite0 of this space"):
        other.encode(config)


def test_what_only_given_weights_would_read_cannot_vary_without() -> None:
    with pytest.raises(ProblemsError, match=r"optimiser\.encoder_rate: must be a plain value"):
        load_space("small", ("optimiser.encoder_rate={float: [0.01, 1.0], log: true}",))
