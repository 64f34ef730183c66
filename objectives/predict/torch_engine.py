"""Prediction by a bundle's torch model, on any device."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self, final

import numpy as np
import torch
from torch import Tensor

from objectives.bundle.bundle_folder import load_bundle
from objectives.data.preparing.resize import resize_image
from objectives.ensemble.program import Ensemble, reflipped
from objectives.predict.layers import Layer, Opinion, no_disagreement
from objectives.predict.strips import Answer, alike_batches
from objectives.program.pixels import pixels_on
from objectives.program.segmenter import Segmenter, at_size, scored_on
from objectives.program.settings import FlipsWanted, ProgramSettings, sensible_flips
from objectives.scoring.passes import LEAST, stitched_planes
from objectives.windows.mosaic import Strip, Tile


@final
class TorchEngine:
    """A model on a device, in evaluation mode."""

    def __init__(
        self, program: Segmenter | Ensemble, settings: ProgramSettings, device: torch.device
    ) -> None:
        self.program = program.to(device).eval()
        self.spec = settings.spec
        self.no_disagreement = no_disagreement(settings)
        self.device = device
        self.scored_S = scored_on(device, self.spec)

    @classmethod
    def load(cls, directory: Path, *, device: str, flips: FlipsWanted) -> Self:
        """Return the engine of the bundle in ``directory``.

        Raises:
            UserError: The bundle cannot be used.
        """
        bundle = load_bundle(directory)
        program = bundle.segmenter
        inside = bundle.settings.flips
        if flips == "on" and not inside:
            program, _ = reflipped(program, bundle.settings, sensible_flips(bundle.settings))
        if flips == "off" and inside:
            program, _ = reflipped(program, bundle.settings, ())
        return cls(program, bundle.settings, torch.device(device))

    def answers(self, images: Iterable[np.ndarray], wanted: Sequence[Layer]) -> Iterator[Answer]:
        """Yield the wanted layers of raw images (H, W, C): seen in windows, or resized for the network and
        its logits resized back.
        """
        assert "disagreement" not in wanted or not self.no_disagreement, self.no_disagreement
        labels_S = self.scored_S.to(torch.uint8)
        for strip in self._strips(images, apart="disagreement" in wanted):
            labels_HW = labels_S[strip.values[: len(labels_S)].argmax(dim=0)]
            logs = partial(_on_cpu, strip.values)
            opinion = Opinion(_on_cpu(labels_HW), logs, self.spec, self._weights)
            yield Strip(strip.frame, strip.rows, opinion.layers(wanted))

    @property
    def _weights(self) -> tuple[float, ...]:
        return self.program.weights if isinstance(self.program, Ensemble) else ()

    def _strips(self, images: Iterable[np.ndarray], *, apart: bool) -> Iterator[Strip[Tensor]]:
        """Yield logits (P, rows, W) of the scored classes at the images' sizes: P = S, or with ``apart``
        S + M * S, those of the average and then of each member.

        Members' windows are put together like those of the average: a member is a model that predicts
        frames, not windows.
        """
        if windows := self.spec.windows:

            def planes(_: Sequence[Tile], pixels_BChw: Tensor) -> Tensor:
                logits_BPhw = self._logits(pixels_BChw, apart=apart)
                groups = logits_BPhw.chunk(logits_BPhw.shape[1] // len(self.scored_S), dim=1)
                return torch.cat([torch.softmax(each, dim=1) for each in groups], dim=1)

            found = stitched_planes(planes, images, self.spec, windows, device=self.device)
            for frame, rows, probable_PHW in found:
                yield Strip(frame, rows, probable_PHW.clamp_min(LEAST).log())
            return
        for first, alike in alike_batches(images, self.spec):
            for number, logits_PHW in enumerate(self._resized(alike, apart=apart), start=first):
                yield Strip(number, slice(0, logits_PHW.shape[1]), logits_PHW)

    def _logits(self, pixels_BCHW: Tensor, *, apart: bool) -> Tensor:
        """Return the same (B, P, H, W) of raw pixels (B, C, H, W)."""
        if not apart:
            logits_BKHW: Tensor = self.program(pixels_BCHW)
            return logits_BKHW.float().index_select(1, self.scored_S)
        assert isinstance(self.program, Ensemble)
        members_BSHW = self.program.by_member(pixels_BCHW)
        logs_BSHW = [each.clamp_min(LEAST).log() for each in members_BSHW]
        return torch.cat([self.program.combined(members_BSHW), *logs_BSHW], dim=1)

    @torch.inference_mode()
    def _resized(self, images: Sequence[np.ndarray], *, apart: bool) -> Iterator[Tensor]:
        """Yield the same (P, H, W) of each of some images of one size; those that are resized back, one by
        one, as those of large images are large.
        """
        spec = self.spec
        size = images[0].shape[:2]
        sized_BHWC = np.stack([resize_image(image, spec.height, spec.width) for image in images])
        for logits_PHW in self._logits(pixels_on(self.device, sized_BHWC), apart=apart):
            yield at_size(logits_PHW, size)


def _on_cpu(tensor: Tensor) -> np.ndarray:
    return np.asarray(tensor.cpu())
