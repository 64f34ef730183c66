"""The bundle: the directory that an export writes, which appears whole or not at all and is verified when it is loaded."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from objectives.atomic import directory_at_once
from objectives.config import Config
from objectives.data.spec import FrameSpec
from objectives.errors import UserError, WorldError, one_line
from objectives.evaluate import evaluate
from objectives.model_card import model_card
from objectives.networks import build_network
from objectives.onnx_program import OnnxComparison, compare_programs, export_onnx
from objectives.provenance import Provenance
from objectives.segmenter import Segmenter, build_segmenter

WEIGHTS, CONFIG, ONNX, METRICS, FRAMES, CARD = (
    "model.safetensors",
    "config.json",
    "model.onnx",
    "metrics.json",
    "frames.json",
    "README.md",
)
FILES = (WEIGHTS, CONFIG, ONNX, METRICS, FRAMES, CARD)
SUMS = "SHA256SUMS"
LARGEST_SIDE = 16_384  # pixels; the matrices of a segmenter grow with its square
FORMAT_VERSION = 1
SAME_DEVICE, ACROSS_DEVICES = 1e-6, 2e-3  # how far a score may move when it is measured again


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; ``segmenter`` is on the CPU and in evaluation mode, ``frames`` are the frame hashes of each part."""

    directory: Path
    config: Config
    spec: FrameSpec
    provenance: Provenance
    frames: Mapping[str, frozenset[str]]
    segmenter: Segmenter


def write_bundle(
    directory: Path,
    segmenter: Segmenter,
    config: Config,
    spec: FrameSpec,
    provenance: Provenance,
    *,
    frames: Mapping[str, Sequence[str]],
    force: bool = False,
    check: Callable[[Bundle], object] = lambda bundle: None,
) -> None:
    """Write a bundle to ``directory``; nothing appears there unless it is whole and ``check`` of it, loaded afresh, returns.

    ``frames`` are the frame hashes by part (train, validation, test), which let the bundle recognise its study's frames.

    Raises:
        UserError: ``directory`` is taken, see `refuse_taken`.
        WorldError: it cannot be written; and whatever ``check`` raises.
    """
    refuse_taken(directory, force=force)
    metrics = {"class_names": spec.class_names, **provenance.model_dump(mode="json")}
    settings = {"format": FORMAT_VERSION, "config": config.model_dump(mode="json"), "spec": spec.model_dump(mode="json")}
    contents = {
        WEIGHTS: _weights(segmenter),
        CONFIG: _json(settings),
        ONNX: export_onnx(segmenter, spec),
        METRICS: _json(metrics),
        FRAMES: _json({part: list(hashes) for part, hashes in frames.items()}),
        CARD: model_card(config, spec, provenance, {part: len(hashes) for part, hashes in frames.items()}).encode(),
    }
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
    with directory_at_once(directory, last=SUMS) as draft:
        for name, content in {**contents, SUMS: sums.encode()}.items():
            (draft / name).write_bytes(content)
        check(load_bundle(draft))


def refuse_taken(directory: Path, *, force: bool = False) -> None:
    """Nothing when a bundle may be written to ``directory``: it is not there or empty, or a bundle and ``force`` is given.

    Raises:
        UserError: something is there that must not be replaced.
    """
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file, a bundle is a directory; choose another one with --out")
    if not directory.exists() or all(entry.name.startswith(f".{directory.name}.") for entry in directory.iterdir()):
        return  # at most the draft of an export that was killed
    if not (directory / SUMS).exists() or not (directory / CONFIG).exists():
        raise UserError(f"{directory} is not empty and holds no bundle; choose another directory with --out")
    if not force:
        raise UserError(f"{directory} already holds a bundle; choose another directory with --out, or replace it with --force")


def load_bundle(directory: Path) -> Bundle:
    """The bundle in ``directory``, after its checksums were verified; nothing in it is unpickled.

    Raises:
        UserError: it is no bundle, a file is missing or was changed, or another version wrote it.
    """
    contents = _verified(directory)
    try:
        settings = json.loads(contents[CONFIG])
        if settings["format"] != FORMAT_VERSION:
            other = one_line(str(settings["format"]), 20)
            raise UserError(f"{directory} has bundle format {other}, this program reads {FORMAT_VERSION}")
        config, spec = Config.model_validate(settings["config"]), FrameSpec.model_validate(settings["spec"])
        metrics = json.loads(contents[METRICS])
        provenance = Provenance.model_validate({name: metrics[name] for name in metrics.keys() & Provenance.model_fields})
        _refuse_other_classes(metrics["class_names"], provenance, spec)
        frames = {part: frozenset(map(str, hashes)) for part, hashes in json.loads(contents[FRAMES]).items()}
        weights = load(contents[WEIGHTS])
        _refuse_other_weights(weights, config, spec)
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be overwritten
            segmenter = build_segmenter(config, spec)
        segmenter.load_state_dict(weights)
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, SafetensorError) as error:
        reason = one_line(" ".join(str(error).split()) or type(error).__name__, 200)
        raise UserError(f"{directory} was written by another version of this program: {reason}; export it again") from error
    segmenter = segmenter.to(memory_format=torch.channels_last).eval()
    return Bundle(directory, config, spec, provenance, frames, segmenter)


def compare_onnx(bundle: Bundle, images_NHWC: np.ndarray) -> OnnxComparison:
    """Compare the bundle's ONNX program with its torch model on raw frames (N, H, W, C).

    Raises:
        WorldError: a probability differs by more than 1e-4, or a label does without a tie.
    """
    return compare_programs((bundle.directory / ONNX).read_bytes(), bundle.segmenter, images_NHWC, bundle.spec)


def check_bundle(bundle: Bundle, images_NHWC: np.ndarray, masks_NHW: np.ndarray, *, device: torch.device) -> OnnxComparison:
    """Score the bundle on the validation frames again, by the function that scored the trial, and compare its ONNX program.

    Raises:
        WorldError: the score is not the trial's (1e-6 on the same device type, 0.002 across), or ONNX differs from torch.
    """
    segmenter = bundle.segmenter.to(device)
    again = evaluate(segmenter, images_NHWC, masks_NHW, bundle.spec, device=device).score
    allowed = SAME_DEVICE if device.type == bundle.provenance.device else ACROSS_DEVICES
    if not abs(again - bundle.provenance.validation.score) <= allowed:
        raise WorldError(
            f"trial {bundle.provenance.trial} scored {bundle.provenance.validation.score:.6f}, its exported model scores "
            f"{again:.6f} on the same frames (allowed difference {allowed:g}); nothing was exported"
        )
    return compare_onnx(bundle, images_NHWC)


def _verified(directory: Path) -> dict[str, bytes]:
    """The contents of all files, each checked against SHA256SUMS."""
    if not (directory / SUMS).is_file():
        raise UserError(f"{directory} is no bundle: it has no {SUMS}; give the directory that `search export-best` wrote")
    try:
        lines = (directory / SUMS).read_text(encoding="ascii").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        if outside := [name for name in sums if Path(name).name != name]:
            raise UserError(f"{directory} is no bundle: {SUMS} names {one_line(outside[0])}, which lies outside")
        missing = [name for name in FILES if not (directory / name).is_file() or name not in sums]
        if missing:
            raise UserError(f"{directory} is not whole: {', '.join(missing)} missing (or not in {SUMS}); export it again")
        contents = {name: (directory / name).read_bytes() for name in FILES}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{directory} cannot be read: {error}") from error
    changed = [name for name, content in contents.items() if hashlib.sha256(content).hexdigest() != sums[name]]
    if changed:
        raise UserError(f"{directory} was changed after it was written: {', '.join(changed)} not as in {SUMS}; export it again")
    return contents


def _refuse_other_classes(names: object, provenance: Provenance, spec: FrameSpec) -> None:
    if names != list(spec.class_names):
        raise ValueError(f"{METRICS} and {CONFIG} name other classes")
    for part in (provenance.validation, provenance.test):
        if part is not None and len(part.iou) != spec.num_classes:
            raise ValueError(f"{METRICS} has {len(part.iou)} IoU for {spec.num_classes} classes")


def _refuse_other_weights(weights: Mapping[str, Tensor], config: Config, spec: FrameSpec) -> None:
    """Compare names, shapes and types on the meta device first: what a config states takes no memory until it is there.

    Raises:
        ValueError: the weights are of another network, or the frames are too large for any.
    """
    if max(spec.height, spec.width) > LARGEST_SIDE:
        raise ValueError(f"frames of {spec.height}x{spec.width}, and {LARGEST_SIDE} is the largest side")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = build_network(config.model, in_channels=spec.channels, num_classes=spec.num_classes)
    expected = {f"network.{name}": (value.shape, value.dtype) for name, value in network.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in weights.items()}
    if differing := sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)):
        raise ValueError(f"{WEIGHTS} and {CONFIG} differ in {len(differing)} tensors, the first is {one_line(differing[0])}")


def _weights(segmenter: Segmenter) -> bytes:
    """The weights as safetensors, which wants every tensor contiguous and by itself."""
    return bytes(save({name: value.detach().cpu().contiguous().clone() for name, value in segmenter.state_dict().items()}))


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
