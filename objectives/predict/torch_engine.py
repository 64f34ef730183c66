"""Prediction by a bundle's torch model, on any device."""

from collections.abc import Iterable, Iterator, Sequence
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
from objectives.predict.strips import Answer, alike_batches
from objectives.program.pixels import pixels_on
from objectives.program.settings import FlipsWanted, sensible_flips
from objectives.scoring.passes import LEAST, window_strips
from objectives.windows.mosaic import Strip


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

    def labels(self, images: Iterable[np.ndarray]) -> Iterator[Answer]:
        """Yield labels uint8 (rows, W) of raw images (H, W, C): seen in windows, or resized for the
        network and its logits resized back.
        """
        scored = torch.tensor(self.spec.scored, dtype=torch.uint8, device=self.device)
        for strip in self._strips(images):
            labels_HW = scored[strip.values.argmax(dim=0)]
            yield Strip(strip.frame, strip.rows, np.asarray(labels_HW.cpu()))

    def probabilities(self, images: Iterable[np.ndarray]) -> Iterator[Answer]:
        """Yield probabilities float32 (K, rows, W) of the classes in raw images (H, W, C)."""
        for strip in self._strips(images):
            shape = self.spec.num_classes, *strip.values.shape[1:]
            found = np.zeros(shape, np.float32)
            found[list(self.spec.scored)] = torch.softmax(strip.values, dim=0).cpu()
            yield Strip(strip.frame, strip.rows, found)

    def _strips(self, images: Iterable[np.ndarray]) -> Iterator[Strip[Tensor]]:
        """Yield logits (S, rows, W) of the scored classes at the images' sizes."""
        if windows := self.spec.windows:
            found = window_strips(self.program, images, self.spec, windows, device=self.device)
            for frame, rows, probable_SHW in found:
                yield Strip(frame, rows, probable_SHW.clamp_min(LEAST).log())
            return
        for first, alike in alike_batches(images, self.spec):
            for number, logits_SHW in enumerate(self._resized(alike), start=first):
                yield Strip(number, slice(0, logits_SHW.shape[1]), logits_SHW)

    @torch.inference_mode()
    def _resized(self, images: Sequence[np.ndarray]) -> Iterator[Tensor]:
        """Yield the logits (S, H, W) of each of some images of one size; those that are resized back, one
        by one, as those of large images are large.
        """
        spec = self.spec
        height, width = images[0].shape[:2]
        sized_BHWC = np.stack([resize_image(image, spec.height, spec.width) for image in images])
        scored = torch.tensor(spec.scored, device=self.device)
        logits_BKHW: Tensor = self.program(pixels_on(self.device, sized_BHWC))
        for logits_SHW in logits_BKHW.index_select(1, scored).float():
            if (height, width) == (spec.height, spec.width):
                yield logits_SHW
                continue
            size = height, width
            (enlarged_SHW,) = functional.interpolate(
                logits_SHW[None], size=size, mode="bilinear", align_corners=False
            )
            yield enlarged_SHW
