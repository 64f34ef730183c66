"""Networks that start from weights which were trained before: what fits, what is taken, and which
part of a network that is.
"""

from functools import cache

import torch
from torch import Tensor, nn

from objectives.config import NO_WEIGHTS, EncoderUNet, Model, Smp, Start, Startable
from objectives.errors import Problem, ProblemsError, UserError, condensed
from objectives.networks import build_network
from objectives.networks.weights_file import WeightsFile

RGB = 3  # channels of the frames that encoders are trained on
ENCODERS = ("network.encoder.", "path.encoder.")  # where smp's networks, and our U-Net, keep theirs
# where a bundle keeps a network: alone, or as the one that sees frames flipped, too
NETWORK = "network."
ONE_MEMBER = "members.0."
TIMM = "tu-"  # how smp calls timm's networks,
INNER = "model."  # and under which it keeps timm's own names
COUNTER = "num_batches_tracked"  # of batch norms: nothing reads it, and old files lack it
# how what follows the features is called in smp's own encoders
HEADS = ("fc.", "_fc.", "classifier.", "head.", "last_linear.")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
SCALED_BY_HALF = ("inceptionresnetv2", "inceptionv4", "xception")  # of smp's own, by its table


def fit_encoder(file: WeightsFile, encoder: str) -> dict[str, Tensor]:
    """Return a file's tensors under the names that smp's encoder for three channels has, all of it.

    A network of timm may have timm's own names. Beside the encoder's there may be those of its head:
    what the header lists as ``head``, by the beginnings of names, or what is known to follow the
    features.

    Raises:
        ProblemsError: Some are missing, unknown or of another shape; each is named.
        UserError: smp has no such encoder.
    """
    shapes, known_heads = _encoder_shapes(encoder)
    stated = tuple(filter(None, map(str.strip, file.header.get("head", "").split(","))))
    fitted: dict[str, Tensor] = {}
    problems: list[Problem] = []
    for name, tensor in sorted(file.tensors.items()):
        place = name if name in shapes else f"{INNER}{name}" if encoder.startswith(TIMM) else name
        if place not in shapes:
            if not name.removeprefix(INNER).startswith((*stated, *known_heads)):
                rule = f"must be a tensor of {encoder} or of its head"
                problems.append(Problem(name, rule, f"one of {_shown(tensor.shape)}"))
        elif place in fitted:
            problems.append(Problem(name, "must be there under one name", place))
        elif tensor.shape != shapes[place]:
            rule = f"must have the shape {_shown(shapes[place])} in {encoder}"
            problems.append(Problem(name, rule, _shown(tensor.shape)))
        else:
            fitted[place] = tensor
    wrong = {problem.where for problem in problems}
    problems += [
        Problem(name, f"must be there, since {encoder} has it", "nothing")
        for name in shapes
        if name not in fitted
        and not name.endswith(COUNTER)
        and wrong.isdisjoint((name, name.removeprefix(INNER)))
    ]
    if problems:
        raise ProblemsError(f"weights for {encoder}", condensed(problems))
    return fitted


@cache
def _encoder_shapes(encoder: str) -> tuple[dict[str, torch.Size], tuple[str, ...]]:
    """Return the shapes of an encoder's tensors by name, and what the names of its head begin with."""
    from objectives.networks.smp import encoder_alone

    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        shapes = {
            name: value.shape for name, value in encoder_alone(encoder, RGB).state_dict().items()
        }
        if not encoder.startswith(TIMM):
            return shapes, HEADS
        import timm

        whole = timm.create_model(encoder.removeprefix(TIMM)).state_dict()
    return shapes, tuple(name for name in whole if f"{INNER}{name}" not in shapes)


def encoder_normalisation(encoder: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation, of three channels in 0..1, by which an encoder's usual weights
    were trained, as timm or smp tells.
    """
    if encoder.startswith(TIMM):
        import timm

        told = timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
        return (tuple(told.mean), tuple(told.std)) if told is not None else IMAGENET
    return HALF if encoder in SCALED_BY_HALF else IMAGENET


def fit_network(file: WeightsFile, model: Model, *, channels: int, num_classes: int) -> None:
    """Refuse a bundle's weights that are not just those of a network.

    Raises:
        ProblemsError: Some are missing, unknown or of another shape.
    """
    shapes = _shapes(model, channels, num_classes)
    given = {name: tensor.shape for name, tensor in network_tensors(file).items()}
    problems = [
        Problem(name, f"must be {_shown(shapes.get(name))}", _shown(given.get(name)))
        for name in sorted(shapes.keys() | given.keys())
        if shapes.get(name) != given.get(name)
    ]
    if problems:
        raise ProblemsError(f"weights for {model.kind}", condensed(problems))


def started_from(model: Model) -> Start | None:
    """Return the weights that a network starts from; None for random ones.

    Raises:
        UserError: They have a name, and nobody has said what it means.
    """
    if not isinstance(model, Startable) or model.weights == NO_WEIGHTS:
        return None
    if model.start is None:
        raise UserError(
            f"model.weights: no study has given weights {model.weights!r}: begin one with --weights"
        )
    return model.start


def carried_names(
    network: nn.Module, model: Model, *, channels: int, num_classes: int
) -> frozenset[str]:
    """Return the tensors of the network of a config that come from weights which were trained before, but for its
    head: of an encoder's all that are the encoder's, of a network's all that stay the same whatever
    the classes.
    """
    start = started_from(model)
    if start is None:
        return frozenset()
    own = network.state_dict()
    if start.extent == "encoder":
        return frozenset(name for name in own if name.startswith(ENCODERS))
    others = _shapes(model, channels, num_classes + 1)
    return frozenset(name for name, value in own.items() if others[name] == value.shape)


def load_start(
    network: nn.Module, model: Model, file: WeightsFile, *, channels: int, num_classes: int
) -> None:
    """Let a network begin with the weights that its config names, as their file has them.

    Raises:
        UserError: They do not fit.
    """
    names = carried_names(network, model, channels=channels, num_classes=num_classes)
    start = started_from(model)
    assert start is not None, model
    if start.extent == "encoder":
        assert isinstance(model, Smp | EncoderUNet), model
        encoder = fit_encoder(file, model.encoder)
        held = {f"{place}{name}": each for place in ENCODERS for name, each in encoder.items()}
    else:
        held = network_tensors(file)
        names = names if start.extent == "body" else frozenset(network.state_dict())
    own = network.state_dict()
    taken = {
        name: adapted(held[name], own[name].shape)
        for name in names
        if name in held or not name.endswith(COUNTER)
    }
    network.load_state_dict(taken, strict=False)


def adapted(weights: Tensor, shape: torch.Size) -> Tensor:
    """Return the weights of a first convolution for frames of other channels, by the rule of timm:
    for one channel the sum of the three, else the three in turn, times 3 / channels. Any other
    tensor as it is.

    Source: timm, ``adapt_input_conv`` (Wightman 2019).
    """
    if weights.shape == shape:
        return weights
    from timm.models import adapt_input_conv

    fitting: Tensor = adapt_input_conv(shape[1], weights)
    return fitting


def network_tensors(file: WeightsFile) -> dict[str, Tensor]:
    """Return the tensors of the one network of a bundle's weights, by the names that it has itself."""
    return {
        name.removeprefix(ONE_MEMBER).removeprefix(NETWORK): tensor
        for name, tensor in file.tensors.items()
    }


def _shapes(model: Model, channels: int, num_classes: int) -> dict[str, torch.Size]:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build_network(model, in_channels=channels, num_classes=num_classes)
    return {name: value.shape for name, value in network.state_dict().items()}


def _shown(shape: torch.Size | None) -> str:
    if shape is None:
        return "nothing"
    return " x ".join(map(str, shape)) or "a single number"
