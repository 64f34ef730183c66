"""A bundle on new images: every image gets a mask of its own size."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from objectives.bundle import Bundle, load_bundle
from objectives.data.dataset import read_images
from objectives.data.resize import resize_image
from objectives.data.spec import FrameSpec
from objectives.errors import UserError
from objectives.evaluate import frames_at_once, pixels_BCHW
from objectives.prediction_files import NamedMask, writer_for
from objectives.segmenter import predict_labels

NamedImage = tuple[str, np.ndarray]  # a frame's name and its pixels (H, W, C)
CPU = torch.device("cpu")


def predict(directory: Path, source: str | Path, out: Path, *, device: torch.device = CPU) -> int:
    """Predict the frames of ``source`` (see `read_images`) into ``out`` (.npz, .csv or a folder); returns how many.

    Raises:
        UserError: the bundle, the frames or ``out`` cannot be used; nothing is written then.
        WorldError: ``out`` cannot be written.
    """
    write = writer_for(out)
    bundle = load_bundle(directory)
    return write(predict_frames(bundle, read_images(source), device=device), out)


def predict_frames(bundle: Bundle, frames: Iterable[NamedImage], *, device: torch.device = CPU) -> Iterator[NamedMask]:
    """The labels (H, W) uint8 of every frame, in order and at its own size; frames are read as they are needed.

    Raises:
        UserError: a frame has other channels or another bit depth than the bundle's.
    """
    bundle.segmenter.to(device).eval()
    count = frames_at_once(bundle.spec.height, bundle.spec.width)
    for _, alike in groupby(frames, key=lambda frame: (frame[1].shape, frame[1].dtype)):
        while batch := list(islice(alike, count)):
            names, images = zip(*batch, strict=True)
            refuse_foreign_pixels(names[0], images[0], bundle.spec)
            yield from zip(names, _predict_batch(bundle, images, device), strict=True)


def refuse_foreign_pixels(name: str, image_HWC: np.ndarray, spec: FrameSpec) -> None:
    """Nothing when a frame has the channels and the bit depth of the bundle's frames.

    Raises:
        UserError: it has others.
    """
    found = f"{image_HWC.shape[2]} channel(s) of 0..{np.iinfo(image_HWC.dtype).max}"
    expected = f"{spec.channels} channel(s) of 0..{spec.max_value}"
    if found != expected:
        raise UserError(f"frame {name} has {found}, the bundle takes {expected}; convert the frames")


@torch.inference_mode()
def _predict_batch(bundle: Bundle, images: Sequence[np.ndarray], device: torch.device) -> np.ndarray:
    """Labels of images of one size: they are resized for the network, and its logits are resized back."""
    spec, (height, width) = bundle.spec, images[0].shape[:2]
    sized_BHWC = np.stack([resize_image(image, spec.height, spec.width) for image in images])
    logits_BKHW = bundle.segmenter(pixels_BCHW(sized_BHWC).to(device))
    if (height, width) == (spec.height, spec.width):
        return predict_labels(logits_BKHW, spec).to(torch.uint8).cpu().numpy()
    labels = [_labels_at_size(logits_KHW, (height, width), spec) for logits_KHW in logits_BKHW]
    return np.stack(labels)


def _labels_at_size(logits_KHW: torch.Tensor, size: tuple[int, int], spec: FrameSpec) -> np.ndarray:
    """One frame at a time: logits of large frames are large."""
    logits_1KHW = functional.interpolate(logits_KHW[None].float(), size=size, mode="bilinear", align_corners=False)
    return np.asarray(predict_labels(logits_1KHW, spec)[0].to(torch.uint8).cpu())
