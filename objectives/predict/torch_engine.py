"""Prediction by a bundle's torch model, on any device."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from objectives.bundle.bundle_folder import load_bundle
from objectives.data.preparing.resize import resize_image
from objectives.data.spec import FrameSpec
from objectives.ensemble.program import reflipped
from objectives.program.pixels import pixels_on
from objectives.program.segmenter import class_probabilities, predict_labels
from objectives.program.settings import FlipsWanted, sensible_flips


@final
class TorchEngine:
    """A model on a device, in evaluation mode."""

    def __init__(self, program: nn.Module, spec: FrameSpec, device: torch.device) -> None:
        self.program = program.to(device).eval()
        self.spec = spec
        self.device = device

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
        return cls(program, bundle.spec, torch.device(device))

    def labels(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Labels uint8 (N, H, W) of raw images (H, W, C) of one size: resized for the network, its
        logits resized back.
        """
        found = [
            predict_labels(logits_BKHW, self.spec).to(torch.uint8).cpu()
            for logits_BKHW in self._logits(images)
        ]
        return np.asarray(torch.cat(found))

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities float32 (N, K, H, W) of the classes in raw images (H, W, C) of one size."""
        scored = torch.tensor(self.spec.scored, device=self.device)
        found = [
            class_probabilities(logits_BKHW, scored).cpu() for logits_BKHW in self._logits(images)
        ]
        return np.asarray(torch.cat(found))

    @torch.inference_mode()
    def _logits(self, images: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Yield logits (B, K, H, W) at the images' size: of all of them at once, or where they are resized
        frame by frame, as those of large frames are large.
        """
        spec = self.spec
        height, width = images[0].shape[:2]
        sized_BHWC = np.stack([resize_image(image, spec.height, spec.width) for image in images])
        logits_BKHW: Tensor = self.program(pixels_on(self.device, sized_BHWC))
        if (height, width) == (spec.height, spec.width):
            yield logits_BKHW
            return
        for logits_KHW in logits_BKHW:
            yield functional.interpolate(
                logits_KHW[None].float(), size=(height, width), mode="bilinear", align_corners=False
            )
