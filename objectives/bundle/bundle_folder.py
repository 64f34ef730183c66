"""The bundle: the directory that an export writes, which appears whole or not at all and is
verified when it is loaded.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from objectives.bundle.files import (
    CARD,
    CONFIG,
    FILES,
    FRAMES,
    METRICS,
    ONNX,
    SUMS,
    TORCH_EXPORT,
    WEIGHTS,
    open_bundle,
    readable,
    refuse_taken,
)
from objectives.bundle.model_card import model_card
from objectives.bundle.program_checks import (
    Comparison,
    compare_programs,
    onnx_runner,
    torch_export_runner,
)
from objectives.bundle.programs import export_programs
from objectives.bundle.provenance import Provenance
from objectives.config import Config
from objectives.data.ragged import Frames
from objectives.data.spec import FrameSpec
from objectives.device.computing import processor_of, threads_of
from objectives.device.processor import refuse_other_score
from objectives.ensemble.program import Ensemble, build_program
from objectives.errors import one_line
from objectives.networks import build_network
from objectives.outputs.atomic import directory_at_once
from objectives.program.segmenter import Segmenter, placed
from objectives.program.settings import ProgramSettings
from objectives.scoring.evaluate import evaluate
from objectives.scoring.passes import seen_batches

__all__ = [
    "CARD",
    "CONFIG",
    "FILES",
    "FRAMES",
    "METRICS",
    "ONNX",
    "SUMS",
    "TORCH_EXPORT",
    "WEIGHTS",
    "Bundle",
    "check_bundle",
    "compare_written_programs",
    "load_bundle",
    "refuse_taken",
    "write_bundle",
]

LARGEST_SIDE = 16_384  # pixels; the matrices of a segmenter grow with its square


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle; ``segmenter`` is on the CPU and in evaluation mode, ``frames`` are the frame
    hashes of each part.
    """

    directory: Path
    settings: ProgramSettings
    provenance: Provenance
    frames: Mapping[str, frozenset[str]]
    segmenter: Segmenter | Ensemble

    @property
    def spec(self) -> FrameSpec:
        """The frames that the model takes, and its classes."""
        return self.settings.spec

    @property
    def config(self) -> Config:
        """The first member's config."""
        return self.settings.members[0].config


def write_bundle(
    directory: Path,
    segmenter: Segmenter | Ensemble,
    settings: ProgramSettings,
    provenance: Provenance,
    *,
    frames: Mapping[str, Sequence[str]],
    force: bool = False,
    check: Callable[[Bundle], object] = lambda bundle: None,
) -> None:
    """Write a bundle to ``directory``; nothing appears there unless it is whole and ``check`` of
    it, loaded afresh, returns.

    ``settings`` are what ``segmenter`` was built by (their ``axes`` are found out here). ``frames``
    are the frame hashes by part (train, validation, test), which let the bundle recognise its
    study's frames.

    Raises:
        UserError: ``directory`` is taken, see `refuse_taken`.
        WorldError: It cannot be written; and whatever ``check`` raises.
    """
    refuse_taken(directory, force=force)
    programs = export_programs(segmenter, settings.spec)
    settings = settings.model_copy(update={"axes": programs.axes})
    counts = {part: len(hashes) for part, hashes in frames.items()}
    contents = {
        WEIGHTS: _weights(segmenter),
        CONFIG: _json(settings.model_dump(mode="json")),
        ONNX: programs.onnx,
        TORCH_EXPORT: programs.torch_export,
        METRICS: _json(
            {
                "class_names": settings.spec.class_names,
                "score_is": settings.spec.score_words,
                **provenance.model_dump(mode="json"),
            }
        ),
        FRAMES: _json({part: list(hashes) for part, hashes in frames.items()}),
        CARD: model_card(settings, provenance, counts).encode(),
    }
    sums = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()
    )
    with directory_at_once(directory, last=SUMS, replace=force) as draft:
        for name, content in {**contents, SUMS: sums.encode()}.items():
            (draft / name).write_bytes(content)
        check(load_bundle(draft))
        refuse_taken(directory, force=force)  # again: minutes have passed


def load_bundle(directory: Path) -> Bundle:
    """Return the bundle in ``directory``, after its checksums were verified; nothing in it is
    unpickled, and ``model.pt2`` not opened.

    Raises:
        UserError: It is no bundle, a file is missing or was changed, or another version wrote it.
    """
    files = open_bundle(directory)
    with readable(directory, SafetensorError):
        weights = load(files.contents[WEIGHTS])
        _refuse_other_weights(weights, files.settings)
        with torch.random.fork_rng(devices=[]):  # fresh weights are drawn only to be overwritten
            segmenter = build_program(files.settings)
        segmenter.load_state_dict(weights)
    segmenter = placed(segmenter, torch.device("cpu")).eval()
    return Bundle(directory, files.settings, files.provenance, files.frames, segmenter)


def compare_written_programs(bundle: Bundle, images: Frames) -> dict[str, Comparison]:
    """Compare ONNX and torch.export programs with the torch model on raw frames (H, W, C), by
    file.

    Only for a bundle that this process wrote: `torch.export.load` unpickles what a forger may have
    put there.

    Raises:
        WorldError: A probability differs by more than 1e-4, or a label does without a tie.
    """
    runners = {
        ONNX: onnx_runner((bundle.directory / ONNX).read_bytes()),
        TORCH_EXPORT: torch_export_runner((bundle.directory / TORCH_EXPORT).read_bytes()),
    }
    batches = seen_batches(images, bundle.spec)
    return compare_programs(runners, bundle.segmenter, batches, bundle.spec)


def check_bundle(
    bundle: Bundle, images: Frames, masks: Frames, *, device: torch.device
) -> dict[str, Comparison]:
    """Score a bundle just written on the validation frames again, by the function that scored it,
    and compare its programs.

    Weights that were retrained on every frame have no score: of those the programs alone are
    compared.

    Raises:
        WorldError: The score is another (1e-6 on the same kind of processor, 0.002 across), or a
            program differs from torch.
    """
    if bundle.provenance.retrained:
        return compare_written_programs(bundle, images)
    segmenter = bundle.segmenter.to(device)
    with threads_of(bundle.provenance.scored_on):
        again = evaluate(segmenter, images, masks, bundle.spec, device=device).score
    made = bundle.provenance
    refuse_other_score(
        made.title, made.validation.score, again, now=processor_of(device), then=made.scored_on
    )
    return compare_written_programs(bundle, images)


def _refuse_other_weights(weights: Mapping[str, Tensor], settings: ProgramSettings) -> None:
    """Compare names, shapes and types on the meta device first: what a config states takes no
    memory until it is there.

    Raises:
        ValueError: The weights are of other networks, or the frames are too large for any.
    """
    spec = settings.spec
    if max(spec.height, spec.width) > LARGEST_SIDE:
        raise ValueError(
            f"frames of {spec.height}x{spec.width}, and {LARGEST_SIDE} is the largest side"
        )
    expected: dict[str, object] = {}
    for index, member in enumerate(settings.members):
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            network = build_network(
                member.config.model, in_channels=spec.channels, num_classes=spec.num_classes
            )
        prefix = "" if settings.plain else f"members.{index}."
        expected |= {
            f"{prefix}network.{name}": (value.shape, value.dtype)
            for name, value in network.state_dict().items()
        }
    if settings.combining == "stack":
        classes = len(spec.scored)
        inputs = classes * len(settings.members)
        expected |= {
            "stack.weight": (torch.Size([classes, inputs, 1, 1]), torch.float32),
            "stack.bias": (torch.Size([classes]), torch.float32),
        }
    given = {name: (value.shape, value.dtype) for name, value in weights.items()}
    if differing := sorted(
        name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name)
    ):
        raise ValueError(
            f"{WEIGHTS} and {CONFIG} differ in {len(differing)} tensors, the first is "
            f"{one_line(differing[0])}"
        )


def _weights(segmenter: Segmenter | Ensemble) -> bytes:
    """Return the weights as safetensors, which wants every tensor contiguous and by itself."""
    return bytes(
        save(
            {
                name: value.detach().cpu().contiguous().clone()
                for name, value in segmenter.state_dict().items()
            }
        )
    )


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
