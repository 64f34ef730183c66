"""``--weights``: what a new study is given to start its networks from. A file of an encoder, a bundle
of an earlier study, or ``imagenet``, which the encoders' own library fetches.

All of it is read and fitted before anything is written. Workers get the bytes out of the artifact
store, by their SHA-256.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from objectives.bundle.files import SUMS, WEIGHTS, open_bundle
from objectives.config import (
    HUB,
    NO_WEIGHTS,
    Config,
    GivenWeights,
    Model,
    Scalar,
    Start,
    Startable,
)
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, UserError, listed, one_line
from objectives.networks.hub import hub_weights
from objectives.networks.pretrained import (
    RGB,
    encoder_normalisation,
    fit_encoder,
    fit_network,
)
from objectives.networks.weights_file import (
    WeightsFile,
    as_safetensors,
    is_safetensors,
    read_weights,
)
from objectives.program.segmenter import normalised_for
from spaces import Space
from spaces.domains import options_of
from spaces.fields.schema import flatten, leaves, leaves_by_path
from spaces.fields.walk import can_exist, named_domain
from spaces.values import token

ENCODER = "model.encoder"
NAME = re.compile("[A-Za-z][A-Za-z0-9._-]{0,99}")
CALLED = re.compile(f"({NAME.pattern})=(.+)")  # by another name than its file's


@dataclass(frozen=True)
class Offered:
    """Weights for a study, and the safetensors file that they are."""

    given: GivenWeights
    data: bytes


def read_offers(asked: Sequence[str], space: Space, spec: FrameSpec) -> tuple[Offered, ...]:
    """Return the weights that are asked for, by a file or a bundle's folder, with ``NAME=`` before it
    where it has none, or by ``imagenet``, fitted to the encoders of a space and the frames of its data.

    Raises:
        UserError: One cannot be read, or two have one name.
        ProblemsError: One does not fit; every tensor in question is named.
    """
    offers = [offer for each in asked for offer in _offers(each, space, spec)]
    meant: dict[tuple[str, str], str] = {}
    for offer in offers:
        given = offer.given
        key = given.name, repr(sorted(given.fits.items()))
        if meant.setdefault(key, given.start.sha256) != given.start.sha256:
            raise UserError(f"--weights: two are called {given.name!r}: rename a file")
    return tuple(offers)


def _offers(asked: str, space: Space, spec: FrameSpec) -> Iterator[Offered]:
    if asked == HUB:
        networks = networks_with_encoders(space, asked)
        for encoder in dict.fromkeys(network[ENCODER] for network in networks):
            theirs = [network for network in networks if network[ENCODER] == encoder]
            yield from _of_encoder(HUB, hub_weights(encoder), theirs)
        return
    called = None if Path(asked).exists() else CALLED.fullmatch(asked)
    name, path = (called[1], Path(called[2])) if called else ("", Path(asked))
    if path.is_dir():
        yield _of_bundle(name, path, spec)
        return
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise UserError(f"--weights {one_line(asked)}: {error.strerror or error}") from None
    if data is None:
        raise UserError(f"--weights {one_line(asked)}: there is no such file, nor such a bundle")
    called_so = _name(name or path.stem)
    networks = networks_with_encoders(space, asked)
    yield from _of_encoder(called_so, data, networks, one_line(path.name))


def networks_with_encoders(space: Space, asked: str) -> list[dict[str, str]]:
    """Return each family of networks of a space that has encoders, with each encoder: as values by
    path.

    Raises:
        UserError: There is none.
    """
    networks = [
        {**{path: str(kind) for path, kind in leaf.when}, ENCODER: str(encoder)}
        for leaf in leaves_by_path()[ENCODER]
        if can_exist(leaf, space.domains) and (named := named_domain(space.domains, leaf))
        for encoder in options_of(named[1])
    ]
    if not networks:
        raise UserError(
            f"--weights {one_line(asked)}: no network of the space has an encoder; give it one with "
            f"--set model.kind=smp --set model.encoder=NAME"
        )
    return networks


def _of_encoder(
    name: str, data: bytes, networks: Sequence[dict[str, str]], file: str = HUB
) -> Iterator[Offered]:
    """Yield a file's weights for each of the networks whose encoder they fit."""
    read = _read(data, file)
    encoders = list(dict.fromkeys(network[ENCODER] for network in networks))
    stated = read.header.get("encoder", "")
    if stated and stated not in encoders:
        raise UserError(
            f"--weights {file}: it is for the encoder {stated}, and the space has "
            f"{listed(encoders)}; add --set model.encoder={stated}"
        )
    misfits: list[ProblemsError] = []
    fitting: list[str] = []
    for encoder in [stated] if stated else encoders:
        try:
            fit_encoder(read, encoder)
            fitting.append(encoder)
        except ProblemsError as error:
            misfits.append(error)
    if not fitting:  # the nearest tells most
        least = min(misfits, key=lambda misfit: len(misfit.problems))
        raise ProblemsError(f"--weights {file}, {least.subject}", least.problems)
    # nothing in the store is for an unpickler, not even for one that takes tensors alone
    stored = data if is_safetensors(data) else as_safetensors(read)
    for network in networks:
        if network[ENCODER] not in fitting:
            continue
        mean, std = _normalisation(read, network[ENCODER], file)
        start = Start(sha256=_sha256(stored), extent="encoder", mean=mean, std=std)
        yield Offered(
            GivenWeights(
                name=name,
                fits=network,
                start=start,
                sha256=_sha256(data),
                source=read.header.get("source", file),
                licence=read.header.get("license", ""),
            ),
            stored,
        )


def _of_bundle(name: str, folder: Path, spec: FrameSpec) -> Offered:
    """Return the weights of an earlier study's bundle, for networks like its own; other classes get
    a new head.
    """
    if not (folder / SUMS).is_file():
        raise UserError(
            f"--weights {one_line(str(folder))}: a folder must be a bundle that `search export-best` "
            f"wrote, or name a file in it"
        )
    files = open_bundle(folder)
    settings = files.settings
    then = settings.spec
    model = settings.members[0].config.model
    if not isinstance(model, Startable):
        raise UserError(
            f"--weights {folder}: its network {model.kind!r} comes from another package, and none of "
            f"those starts from weights"
        )
    if len(settings.members) > 1:
        raise UserError(
            f"--weights {folder}: it combines {len(settings.members)} networks; export a single one"
        )
    if then.channels != spec.channels:
        raise UserError(
            f"--weights {folder}: it is for frames of {then.channels} channel(s), and the data has "
            f"{spec.channels}"
        )
    data = files.contents[WEIGHTS]
    fit_network(
        _read(data, str(folder)), model, channels=then.channels, num_classes=then.num_classes
    )
    normalised = normalised_for(model, then)
    same = then.class_names == spec.class_names
    start = Start(
        sha256=_sha256(data),
        extent="network" if same else "body",
        mean=normalised.mean,
        std=normalised.std,
    )
    made = files.provenance
    return Offered(
        GivenWeights(
            name=_name(name or folder.resolve().name),
            fits=architecture(model),
            start=start,
            sha256=start.sha256,
            source=f"study {made.study}, trial {made.trial}, data {made.data[:12]}",
            licence="; ".join(each.licence for each in made.weights if each.licence),
        ),
        data,
    )


def architecture(model: Model) -> dict[str, Scalar]:
    """Return the values of all fields, by path, that make a network what it is."""
    values = flatten(Config(model=model))
    later = {leaf.path for leaf in leaves() if leaf.is_later}
    return {
        path: token(value)
        for path, value in values.items()
        if path.startswith("model.") and path not in later
    }


def _read(data: bytes, file: str) -> WeightsFile:
    try:
        return read_weights(data)
    except UserError as error:
        raise UserError(f"--weights {file}: {error}") from error


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _name(stem: str) -> str:
    if not NAME.fullmatch(stem) or stem in (NO_WEIGHTS, HUB):
        raise UserError(
            f"--weights {one_line(stem)}: the space calls weights by their file's name, which must "
            f"begin with a letter, hold letters, digits, dots, - and _ alone, and be neither "
            f"{NO_WEIGHTS} nor {HUB}: rename it, or give it another with NAME=FILE"
        )
    return stem


def _normalisation(
    read: WeightsFile, encoder: str, file: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and deviation that a file's header states, else those of the encoder's usual
    weights.
    """
    usual = encoder_normalisation(encoder)
    try:
        mean, std = (
            tuple(map(float, read.header[key].split(","))) if key in read.header else values
            for key, values in zip(("mean", "std"), usual, strict=True)
        )
        valid = len(mean) == len(std) == RGB and min(std) > 0
    except ValueError:
        valid = False
    if not valid:
        raise UserError(
            f"--weights {file}: mean and std in its header must be {RGB} numbers like 0.5,0.5,0.5"
        )
    return mean, std
