"""Which fields are read only while another one has a certain value. Unions (``kind``) state all other conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never, final

from spaces.domains import Choice, Domain, Fixed, Float, Int, Weight
from spaces.fields.schema import Leaf
from spaces.fields.simplex import simplices
from spaces.values import Scalar, Value, shown


@final
@dataclass(frozen=True)
class Above0:
    """Read while the governor is above 0."""

    governor: str

    def met(self, value: Value) -> bool:
        """Whether the governor may have this value."""
        return isinstance(value, int | float) and value > 0

    def __str__(self) -> str:
        return f"{self.governor} > 0"


@final
@dataclass(frozen=True)
class OneOf:
    """Read while the governor is one of the options."""

    governor: str
    options: tuple[Scalar, ...]

    def met(self, value: Value) -> bool:
        """Whether the governor may have this value."""
        return value in self.options

    def __str__(self) -> str:
        return f"{self.governor} is {' or '.join(map(shown, self.options))}"


Condition = Above0 | OneOf

_OF_MIXTURES = {  # a parameter of a term, by the term
    "focal_gamma": "focal",
    "tversky_alpha": "tversky",
    "unified_delta": "unified_focal",
    "unified_gamma": "unified_focal",
}
_OF_GROUPS = {  # a transform's switch, by its group's
    "geometry": ("rotation", "shift", "zoom", "shear"),
    "elastic": ("elastic_waves", "grid_distortion"),
    "photometric": ("brightness", "contrast", "gamma", "noise", "blur"),
}
_OF_CONFIG: Mapping[str, tuple[Condition, ...]] = {
    "model.nested_unet.heads": (OneOf("model.bottleneck", ("transformer",)),),
    "model.conv_stack.base_filters": (Above0("model.depth"),),
    "model.conv_stack.growth": (Above0("model.depth"),),
    "model.conv_stack.kernel_size": (Above0("model.depth"),),
    "model.smp.attention": (OneOf("model.decoder", ("unet", "unetplusplus")),),
    "augment.flip": (Above0("augment.intensity"),),
    "augment.vertical_flip": (Above0("augment.intensity"),),
    "augment.geometry": (Above0("augment.intensity"),),
    "augment.elastic": (Above0("augment.intensity"),),
    "augment.photometric": (Above0("augment.intensity"),),
    **{
        f"augment.{transform}": (Above0("augment.intensity"), OneOf(f"augment.{group}", (True,)))
        for group, transforms in _OF_GROUPS.items()
        for transform in transforms
    },
    "augment.copy_paste_edge": (Above0("augment.copy_paste"),),
    "train.rare_pasted": (Above0("augment.copy_paste"),),
    "train.stop_on": (Above0("train.early_stopping"),),
}

# all of these must hold; by a path of `leaves_by_path`: a shared one means every variant, one with a variant's name it alone
READ_WHEN: Mapping[str, tuple[Condition, ...]] = {
    **{
        f"{simplex.section}.{name}": (Above0(f"{simplex.section}.{term}"),)
        for simplex in simplices()
        for name, term in _OF_MIXTURES.items()
    },
    **_OF_CONFIG,
}


def conditions_of(leaf: Leaf) -> tuple[Condition, ...]:
    """What must hold, all of it, for the leaf to be read."""
    return READ_WHEN.get(leaf.own_path) or READ_WHEN.get(leaf.path, ())


def is_read(leaf: Leaf, values: Mapping[str, Value]) -> bool:
    """Whether a config with these values, which has the leaf, reads it at all."""
    return all(condition.met(values[condition.governor]) for condition in conditions_of(leaf))


def can_be_met(condition: Condition, domain: Domain) -> bool:
    """Whether some value of the governor's domain meets the condition."""
    return any(map(condition.met, _extremes(domain)))


def is_always_met(condition: Condition, domain: Domain) -> bool:
    """Whether every value of the governor's domain meets the condition."""
    return all(map(condition.met, _extremes(domain)))


def _extremes(domain: Domain) -> tuple[Value, ...]:
    """Values that stand for all of the domain, as far as a condition tells them apart."""
    match domain:
        case Fixed(value):
            return (value,)
        case Choice(options):
            return options
        case Int(low, high) | Float(low, high):
            return low, high
        case Weight(optional):
            return (0.0, 1.0) if optional else (1.0,)
        case _:
            assert_never(domain)
