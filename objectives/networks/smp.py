"""Decoders and encoders of segmentation-models-pytorch, for frames of any size
and channel count.
"""

from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from functools import cache
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from objectives.config import Smp
from objectives.errors import UserError, first_line
from objectives.networks.pointwise import subsample_first

ATTENTIVE = ("unet", "unetplusplus")  # the decoders that have a place for scse
# the pyramid of PAN halves the encoder's last map three times: eight pixels of stride 16
LEAST_SIDE = {"pan": 8 * 16}
DEPTH = 5  # of an encoder: how often it halves the frames, as most decoders take it
PROBE_SIDE = 128  # divisible by every stride, and large enough for every decoder
# what smp and timm raise for a pair that does not fit
REFUSALS = (ValueError, TypeError, LookupError, AttributeError, RuntimeError, AssertionError)


def build_smp(model: Smp, *, in_channels: int, num_classes: int) -> nn.Module:
    """Return the decoder on the encoder that ``model`` names, with random weights, without the
    parts that nothing reads.

    Raises:
        UserError: smp has no such encoder, or the decoder cannot stand on it.
    """
    _check_attention(model)
    _check_encoder(model.encoder)
    try:
        network = _of_smp(model, in_channels, num_classes)
        _remove_unread(network, in_channels)
        subsample_first(network)
    except REFUSALS as error:
        raise UserError(
            f"model.encoder: the decoder {model.decoder} of segmentation-models-pytorch does not "
            f"work with {model.encoder}"
            f" ({first_line(error)}); choose another encoder or another model.decoder"
        ) from error
    return SmpNetwork(
        network, multiple=int(network.encoder.output_stride), least=LEAST_SIDE.get(model.decoder, 1)
    )


@cache
def encoder_names() -> tuple[str, ...]:
    """Return names for ``model.encoder``: smp's own, then ``tu-`` and the name of any timm network.

    Not every timm network can be an encoder; ``build_smp`` says which cannot. The names
    ``timm-...`` are left out: smp warns that they will go, and each has its ``tu-`` equal.
    """
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    own = [name for name in get_encoder_names() if not name.startswith("timm-")]
    return (*own, *(f"tu-{name}" for name in timm.list_models()))


@final
class SmpNetwork(nn.Module):
    """A network of smp that takes frames of any height and width: padded by their edge, and the
    logits cropped back.

    Source: segmentation-models-pytorch 0.6 (Iakubovskii 2019), whose documentation names the paper
    of each decoder.
    """

    def __init__(self, network: nn.Module, *, multiple: int, least: int) -> None:
        super().__init__()
        self.network = network
        # the encoder's output stride: it divides height and width of what the network sees
        self.multiple = multiple
        self.least = least  # pixels a side that the decoder needs

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return logits (B, K, H, W)."""
        height, width = images_BCHW.shape[-2:]
        below = self._missing(height)
        right = self._missing(width)
        # an export's open sizes are symbols
        if not (isinstance(below, int) and isinstance(right, int)) or below or right:
            images_BCHW = functional.pad(images_BCHW, (0, right, 0, below), mode="replicate")
        logits_BKHW: Tensor = self.network(images_BCHW)
        return logits_BKHW[..., :height, :width]

    def _missing(self, size: int) -> int:
        return -size % self.multiple if size >= self.least else self.least - size


def _check_attention(model: Smp) -> None:
    if model.attention != "none" and model.decoder not in ATTENTIVE:
        raise UserError(
            f"model.attention must be none with decoder {model.decoder}, got {model.attention}: "
            f"only {' and '.join(ATTENTIVE)} have a place for it"
        )


def _check_encoder(encoder: str) -> None:
    names = encoder_names()
    if encoder in names:
        return
    near = get_close_matches(encoder, names, n=3)
    meant = (
        f"did you mean {', '.join(near)}?"
        if near
        else "see encoder_names() of objectives.networks.smp"
    )
    raise UserError(
        f"model.encoder must be an encoder of segmentation-models-pytorch, got {encoder}; {meant}"
    )


def _of_smp(model: Smp, in_channels: int, num_classes: int) -> Any:
    # here: it takes seconds, and the other families do without
    import segmentation_models_pytorch as smp

    options: dict[str, str] = (
        {} if model.attention == "none" else {"decoder_attention_type": model.attention}
    )
    with _device_to_build(model.encoder):
        return smp.create_model(
            model.decoder,
            model.encoder,
            encoder_weights=None,
            in_channels=in_channels,
            classes=num_classes,
            **options,
        )


def encoder_alone(encoder: str, in_channels: int, depth: int = DEPTH) -> Any:
    """Return an encoder by itself, with random weights, that gives a map for each of ``depth``
    halvings and one at full size.

    Raises:
        UserError: smp has no such encoder, or it has no map for one of the halvings.
    """
    from segmentation_models_pytorch.encoders import get_encoder

    _check_encoder(encoder)
    try:
        with _device_to_build(encoder):
            return get_encoder(encoder, in_channels=in_channels, depth=depth, weights=None)
    except REFUSALS as error:
        raise _unbuildable(encoder, error) from error


def encoder_of_depth(encoder: str, in_channels: int, depth: int) -> tuple[Any, list[int]]:
    """Return the same without the parts that its maps do not depend on; and the channels of these,
    from full size on, 0 where it has none.

    Raises:
        UserError: smp has no such encoder, or it has no map for one of the halvings.
    """
    alone = encoder_alone(encoder, in_channels, depth)
    try:
        _remove_unread(alone, in_channels)
        maps = maps_on_meta(alone.eval(), in_channels)
        for level, each in enumerate(maps):
            halved = PROBE_SIDE >> level
            if each.shape[-2:] != (halved, halved):
                raise ValueError(f"a map of {each.shape[-1]} pixels a side for {halved}")
    except REFUSALS as error:
        raise _unbuildable(encoder, error) from error
    subsample_first(alone)
    # at full size most give the frames back
    return alone.train(), [each.shape[1] if each.grad_fn else 0 for each in maps]


def _unbuildable(encoder: str, error: Exception) -> UserError:
    return UserError(
        f"model.encoder: {encoder} cannot be built by segmentation-models-pytorch "
        f"({first_line(error)}); choose another encoder"
    )


def _device_to_build(encoder: str) -> AbstractContextManager[object]:
    """Return the mix transformers read numbers out of a tensor while they are built, which the meta
    device cannot give.
    """
    return torch.device("cpu") if encoder.startswith("mit_") else nullcontext()


def _remove_unread(network: nn.Module, in_channels: int) -> None:
    """Replace by nothing what the logits, or an encoder's maps, do not depend on: heads, and stages
    beyond the decoder's depth.

    PSPNet reads three of five stages, an EfficientNet ends in a convolution for its classifier,
    U-Net++ has a centre for VGG that it never calls. Left in, they would count as parameters, take
    memory, and decay without ever learning. Where the library calls one of them all the same, in a
    way that nothing does not answer to, they stay, without a gradient.
    """
    network.eval()  # a lone value per channel stops batch norm in training only
    removed: list[tuple[nn.Module, str, nn.Module]] = []
    _prune(network, "", _read_parameters(network, in_channels), removed)
    try:
        maps_on_meta(network, in_channels)
    except REFUSALS:
        for parent, name, child in removed:
            setattr(parent, name, child)
    network.train()


def _read_parameters(network: nn.Module, in_channels: int) -> set[str]:
    """Return names of the parameters that the logits, or the maps, depend on, found on the meta
    device: no memory, no arithmetic.
    """
    parameters = _meta_parameters(network)
    maps = maps_on_meta(network, in_channels, parameters)
    leaves = set().union(*(_leaves(each.grad_fn) for each in maps if each.grad_fn))
    return {name for name, parameter in parameters.items() if id(parameter) in leaves}


def maps_on_meta(
    network: nn.Module, in_channels: int, parameters: dict[str, Tensor] | None = None
) -> list[Tensor]:
    """Return logits, or an encoder's maps, of frames of `PROBE_SIDE` on the meta device."""
    buffers = {
        name: torch.empty_like(buffer, device="meta") for name, buffer in network.named_buffers()
    }
    tensors = (parameters or _meta_parameters(network)) | buffers
    frames_BCHW = torch.empty(2, in_channels, PROBE_SIDE, PROBE_SIDE, device="meta")
    found = functional_call(network, tensors, (frames_BCHW,))
    return [found] if isinstance(found, Tensor) else list(found)


def _meta_parameters(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: torch.empty_like(p, device="meta", requires_grad=True)
        for name, p in network.named_parameters()
    }


def _leaves(node: Any) -> set[int]:
    """Ids of the tensors that a graph of autograd begins with; it is walked, not run, which would
    take seconds.
    """
    seen = {node}
    leaves = set()
    open_nodes = [node]
    while open_nodes:
        node = open_nodes.pop()
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        for below, _ in node.next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                open_nodes.append(below)
    return leaves


def _prune(
    module: nn.Module,
    prefix: str,
    read: set[str],
    removed: list[tuple[nn.Module, str, nn.Module]],
) -> None:
    for name, child in module.named_children():
        own = [f"{prefix}{name}.{parameter}" for parameter, _ in child.named_parameters()]
        if own and read.isdisjoint(own):
            for parameter in child.parameters():
                parameter.requires_grad = False
            removed.append((module, name, child))
            setattr(module, name, nn.Identity())
        else:
            _prune(child, f"{prefix}{name}.", read, removed)
    for name, parameter in module.named_parameters(recurse=False):
        parameter.requires_grad_(f"{prefix}{name}" in read)
