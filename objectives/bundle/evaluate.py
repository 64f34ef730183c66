"""A bundle on labelled frames; frames of its own study count only where that is fair, and the
answer says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from objectives.bundle.belief import Belief
from objectives.bundle.belief_in_one import Confirmed, Named
from objectives.bundle.bundle_folder import Bundle, load_bundle
from objectives.bundle.provenance import Provenance
from objectives.data.dataset import Labelled, read_labelled
from objectives.data.options import LEFT_OUT, PARTS
from objectives.data.preparing.duplicates import spoilt_frames
from objectives.data.preparing.outliers import unfit_frames
from objectives.data.preparing.resize import resize_image, resize_mask
from objectives.data.reading.frames import frame_hash
from objectives.data.reading.on_demand import ReadOnDemand
from objectives.data.spec import FrameSpec, left_out
from objectives.errors import UserError
from objectives.scoring.evaluate import Evaluation, predict
from objectives.scoring.inspection import Inspection, inspect_frames

CPU = torch.device("cpu")
Split = Literal["validation", "test"]
WORST_FRAMES = 8


@dataclass(frozen=True)
class WorstFrame:
    """One of the frames with the lowest scores, as the model saw it, with its truth and the model's
    labels (H, W).
    """

    name: str
    index: int  # among all frames of the source
    score: float  # see `Scoring.of`
    image_HWC: np.ndarray
    mask_HW: np.ndarray
    labels_HW: np.ndarray


@dataclass(frozen=True)
class BundleEvaluation:
    """Scores of a bundle on labelled frames, and which frames they are from.

    ``own`` frames are of the asked part of the bundle's own study, ``foreign`` ones are new to it;
    ``other_parts`` (training frames, say) and ``spoilt`` ones (many frames with one identical mask,
    say: what the study drops, too) were left out.
    """

    inspection: Inspection
    worst: tuple[WorstFrame, ...]  # WORST_FRAMES at most, the lowest score first
    spec: FrameSpec
    provenance: Provenance
    split: Split
    own: int
    foreign: int
    other_parts: int
    spoilt: int
    resized: int  # frames of other sizes than the study's
    own_size: bool  # whether these are scored at their own, else at the study's

    @property
    def evaluation(self) -> Evaluation:
        """The score over all frames that count."""
        return self.inspection.evaluation

    @property
    def looked_at_test(self) -> bool:
        """Whether frames of the study's sealed test part were scored: the caller counts
        the look.
        """
        return self.split == "test" and self.own > 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the score must know, one sentence each."""
        return tuple(self._notes())

    def _notes(self) -> Iterator[str]:
        if self.own or self.other_parts:
            known = self.own + self.other_parts
            study = self.provenance.study
            if self.provenance.retrained:
                yield (
                    f"{known} frames are of the model's own study {study}: it was trained on "
                    f"all "
                    f"of them, so none counts"
                )
            else:
                counted = f"only the {self.own} of its {self.split} part count"
                yield f"{known} frames are of the model's own study {study}: {counted}"
        if self.own and self.split == "validation":
            yield _chosen_by_this(self.provenance.belief)
        if self.looked_at_test:
            yield "this was a look at the sealed test part"
        frames = "these frames"
        size = f"{self.spec.height}x{self.spec.width}"
        if self.resized and self.own_size:
            yield (
                f"{self.resized} frames have other sizes than {size}, that of the study: they are "
                f"seen at it and scored at their own, as `search predict` writes masks"
            )
        elif self.resized:
            frames = f"these frames at {size}"
            yield (
                f"{self.resized} frames have other sizes than {size}, that of the study: they are "
                f"scored at it, where thin things may be lost; `search predict` writes masks of "
                f"their own sizes, which --own-size scores"
            )
        if missing := left_out(self.spec, self.inspection.classes.support, frames):
            yield f"the score is a {missing}"
        if self.spoilt:
            yield (
                f"{self.spoilt} frames are left out that the study's rules drop, such as those "
                f"with one identical mask"
            )


def _chosen_by_this(belief: Belief) -> str:
    """Return what the validation part had to do with the choice of the model that is
    scored on it.
    """
    match belief:
        case Confirmed():
            expectation = f"{belief.expected:.4f} is expected on parts like it"
            return (
                f"the validation part is one of those that the model was confirmed on, among "
                f"others: {expectation}"
            )
        case Named():
            return (
                "if the model was chosen by its score on the validation part, this score is "
                "optimistic"
            )
        case _:
            return (
                "the model was chosen by its score on the validation part, so this score is "
                "optimistic"
            )


def evaluate_bundle(
    directory: Path,
    source: str | Path,
    *,
    split: Split = "validation",
    own_size: bool = False,
    device: torch.device = CPU,
) -> BundleEvaluation:
    """Score the bundle in ``directory`` on the labelled frames of ``source``, at the
    study's size as in the study, or at their own: where the study has windows, and where
    ``own_size`` is asked for, as predictions are written.

    Of frames that belong to the bundle's own study (recognised by hash) only those of ``split``
    count; new frames all do.

    Raises:
        UserError: The bundle or the frames cannot be used, or no frame counts.
    """
    bundle = load_bundle(directory)
    labelled = read_labelled(source, bundle.spec, ignore=bundle.provenance.ignore)
    listed = (LEFT_OUT, *reversed(PARTS))  # of equal frames, train counts
    part_of = {digest: part for part in listed for digest in bundle.frames.get(part, ())}
    parts = [part_of.get(frame_hash(image)) for image in labelled.images]
    spoilt = {index for index in _spoilt(labelled, bundle) if parts[index] is None}
    chosen = [
        index for index, part in enumerate(parts) if part in (split, None) and index not in spoilt
    ]
    if not chosen and bundle.provenance.retrained:
        raise UserError(
            f"no frame of {source} counts: the bundle was trained on every labelled frame of its "
            f"own study, sealed test "
            "part included; give frames that are new to it"
        )
    if not chosen:
        raise UserError(
            f"no frame of {source} counts: {_why_none(parts, spoilt, split, bundle.provenance)}"
        )
    own = sum(parts[index] == split for index in chosen)
    others = sum(part not in (split, None) for part in parts)
    inspection = _inspect(bundle, labelled, chosen, device, own_size=own_size)
    if np.isnan(inspection.evaluation.score):
        raise UserError(
            f"no pixel of the {len(chosen)} frames of {source} that count has a scored label: "
            f"there is nothing to score"
        )
    worst = _worst_frames(bundle, labelled, chosen, inspection, device)
    return BundleEvaluation(
        inspection,
        worst,
        bundle.spec,
        bundle.provenance,
        split,
        own,
        len(chosen) - own,
        others,
        len(spoilt),
        _resized(bundle.spec, [labelled.masks[index] for index in chosen]),
        own_size,
    )


def _resized(spec: FrameSpec, masks: Sequence[np.ndarray]) -> int:
    """Return how many frames are not seen at their own size."""
    size = spec.height, spec.width
    return 0 if spec.windows else sum(mask.shape != size for mask in masks)


def _why_none(
    parts: Sequence[str | None], spoilt: set[int], split: Split, rules: Provenance
) -> str:
    """Return which rules have left all frames out."""
    others = sum(part is not None for part in parts)
    reasons = (
        [f"{others} are of other parts of the bundle's own study than {split}"] if others else []
    )
    if spoilt:
        asked = f"--min-identical {rules.min_identical}, --min-labelled {rules.min_labelled:g}"
        asked += f", --max-deviation {rules.max_deviation:g}"
        reasons += [
            f"{len(spoilt)} are new, but what the study's own rules drop as spoilt ({asked})"
        ]
    return "; ".join(reasons)


def _spoilt(labelled: Labelled, bundle: Bundle) -> set[int]:
    """Return the frames that the bundle's study would drop, by the same rules."""
    rules = bundle.provenance
    spec = bundle.spec
    keys = [(mask.shape, mask.tobytes()) for mask in labelled.masks]
    labels = [int(np.count_nonzero(np.bincount(mask.ravel()))) for mask in labelled.masks]
    spoilt = set(spoilt_frames(keys, labels, rules.min_identical))
    rest = [index for index in range(len(keys)) if index not in spoilt]
    shares = np.array([np.mean(labelled.masks[index] != spec.ignore_label) for index in rest])
    means = np.array([labelled.images[index].mean() / spec.max_value for index in rest])
    unfit = unfit_frames(
        shares, means, min_labelled=rules.min_labelled, max_deviation=rules.max_deviation
    )
    return spoilt | {rest[position] for position in unfit}


def _inspect(
    bundle: Bundle,
    labelled: Labelled,
    chosen: Sequence[int],
    device: torch.device,
    *,
    own_size: bool,
) -> Inspection:
    """Inspect the chosen frames, few at a time: they may be more than memory holds."""
    images, masks = _as_seen(labelled, chosen, bundle.spec)
    if own_size:
        masks = ReadOnDemand(len(chosen), lambda place: labelled.masks[chosen[place]])
    one_group = np.zeros(len(chosen), dtype=np.int64)  # the places of foreign frames are not known
    return inspect_frames(
        bundle.segmenter.to(device), images, masks, bundle.spec, groups_N=one_group, device=device
    )


def _as_seen(
    labelled: Labelled, indices: Sequence[int], spec: FrameSpec
) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
    """Return frames and masks, read when they are asked for, at the study's size; at their own where
    frames are seen in windows.
    """

    def image(place: int) -> np.ndarray:
        whole = labelled.images[indices[place]]
        return whole if spec.windows else resize_image(whole, spec.height, spec.width)

    def mask(place: int) -> np.ndarray:
        whole = labelled.masks[indices[place]]
        return whole if spec.windows else resize_mask(whole, spec.height, spec.width)

    return ReadOnDemand(len(indices), image), ReadOnDemand(len(indices), mask)


def _worst_frames(
    bundle: Bundle,
    labelled: Labelled,
    chosen: Sequence[int],
    inspection: Inspection,
    device: torch.device,
) -> tuple[WorstFrame, ...]:
    positions = inspection.worst(WORST_FRAMES)
    if not positions:
        return ()
    indices = [chosen[position] for position in positions]
    images, masks = _as_seen(labelled, indices, bundle.spec)
    labels = predict(bundle.segmenter, images, bundle.spec, device=device)
    scores = inspection.frame_scores_N[list(positions)].tolist()
    names = [labelled.names[index] for index in indices]
    return tuple(
        starmap(WorstFrame, zip(names, indices, scores, images, masks, labels, strict=True))
    )
