"""Fields that are read only while another one has a certain value: drawing, encoding and showing
agree on them.
"""

import pytest

from objectives.config import Augment, ConvStack, Model, NestedUNet, Smp
from objectives.errors import ProblemsError
from spaces import FromParams, load_space
from spaces.domains import Choice, Domain, Fixed, Float, Int, Weight
from spaces.fields.conditions import (
    Above0,
    Condition,
    NoneOf,
    OneOf,
    can_be_met,
    conditions_of,
    is_always_met,
)
from spaces.fields.schema import leaves, leaves_by_path


def test_every_condition_is_about_fields_that_exist_in_the_order_in_which_they_are_drawn() -> None:
    order = [leaf.path for leaf in leaves()]

    pairs = [(leaf, condition) for leaf in leaves() for condition in conditions_of(leaf)]
    assert len(pairs) > 30
    for leaf, condition in pairs:
        governors = [
            each
            for each in leaves_by_path()[condition.governor]
            if all(dict(leaf.when).get(path, kind) == kind for path, kind in each.when)
        ]
        assert governors, leaf.own_path
        assert order.index(condition.governor) < order.index(leaf.path)


def test_a_condition_of_one_variant_leaves_the_others_alone() -> None:
    conditions = {leaf.own_path: conditions_of(leaf) for leaf in leaves_by_path()["model.heads"]}

    assert conditions == {
        "model.nested_unet.heads": (OneOf("model.bottleneck", ("transformer",)),),
        "model.double_unet.heads": (),
    }


ABOVE, ONE, NONE = Above0("x"), OneOf("x", ("a", "b")), NoneOf("x", ("a",))


@pytest.mark.parametrize(
    ("condition", "domain", "possible", "certain"),
    [
        (ABOVE, Fixed(0), False, False),
        (ABOVE, Fixed(0.5), True, True),
        (ABOVE, Int(0, 3), True, False),
        (ABOVE, Float(0.1, 3.0), True, True),
        (ABOVE, Choice((0.0, 0.2)), True, False),
        (ABOVE, Weight(optional=True), True, False),
        (ABOVE, Weight(optional=False), True, True),
        (ONE, Fixed("c"), False, False),
        (ONE, Choice(("a", "c")), True, False),
        (ONE, Choice(("a", "b")), True, True),
        (NONE, Fixed("a"), False, False),
        (NONE, Choice(("a", "c")), True, False),
        (NONE, Choice(("b", "c")), True, True),
    ],
)
def test_what_a_domain_says_of_a_condition(
    condition: Condition, domain: Domain, possible: bool, certain: bool
) -> None:
    assert can_be_met(condition, domain) is possible
    assert is_always_met(condition, domain) is certain


def test_what_is_not_read_is_not_asked_for_and_has_its_default() -> None:
    space = load_space("mars", ["augment.copy_paste_edge=hard"])
    config = space.draw(FromParams({**space.control, "augment.intensity": 0.0}))

    assert config.augment == Augment(intensity=0.0)
    asked = {
        "augment.copy_paste": 0.8,
        "train.rare_pasted": True,
        "train.early_stopping": 20,
        "train.stop_on": "loss",
    }
    drawn = space.draw(FromParams({**space.control, **asked}))
    assert (drawn.augment.copy_paste_edge, drawn.train.rare_pasted, drawn.train.stop_on) == (
        "hard",
        True,
        "loss",
    )
    assert (config.train.rare_pasted, config.train.stop_on) == (False, "score")


@pytest.mark.parametrize(
    ("read", "unread", "name"),
    [
        (NestedUNet(bottleneck="transformer", heads=8), NestedUNet(heads=8), "model.heads"),
        (
            Smp(decoder="unet", attention="scse"),
            Smp(decoder="fpn", attention="scse"),
            "model.attention",
        ),
        (
            ConvStack(depth=1, base_filters=16),
            ConvStack(depth=0, base_filters=16),
            "model.base_filters",
        ),
    ],
)
def test_a_value_decides_whether_a_field_is_a_parameter(
    read: Model, unread: Model, name: str
) -> None:
    space = load_space("mars")
    plain = space.default()
    params, bare = (
        space.encode(plain.model_copy(update={"model": model})) for model in (read, unread)
    )

    assert name in params
    assert name not in bare
    assert space.draw(FromParams(params)).model == read
    # that field alone, which nothing reads, has its default
    assert space.draw(FromParams(bare)).model != unread


@pytest.mark.parametrize(
    ("augment", "read"),
    [
        (Augment(shear=False), True),
        (Augment(geometry=False, shear=False), False),
        # geometry has its default, which is on, and is itself not read
        (Augment(intensity=0.0, shear=False), False),
    ],
)
def test_all_conditions_of_a_field_must_hold(augment: Augment, read: bool) -> None:
    space = load_space("mars")
    params = space.encode(space.default().model_copy(update={"augment": augment}))

    assert ("augment.shear" in params) is read
    assert space.draw(FromParams(params)).augment.shear is not read


def test_a_domain_that_nothing_can_read_is_refused_or_settled() -> None:
    nested = ["model.kind=nested_unet", "model.bottleneck=plain"]

    with pytest.raises(
        ProblemsError, match=r"model\.heads: must be a plain value, since this space never reads it"
    ):
        load_space("small", [*nested, "model.heads={choice: [2, 4]}"])
    assert load_space("mars", nested).domains["model.heads"] == Fixed(4)
    both = load_space(
        "mars", ["model.kind={choice: [nested_unet, double_unet]}", "model.bottleneck=plain"]
    )
    assert both.domains["model.heads"] == Choice((2, 4, 8))
