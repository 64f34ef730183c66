"""Frames before and after augmentation."""

from collections.abc import Callable

import numpy as np
import torch
import typer

from objectives.augmentation.copy_paste import FrameAugmenter
from objectives.augmentation.crops import Cropper
from objectives.augmentation.on_device.augmenter import DeviceAugmenter
from objectives.augmentation.on_device.left_to_host import left_to_host
from objectives.config import Augment, Train
from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.outputs.place import is_stream
from objectives.pictures.panels import Augmentation, preview_sheet
from objectives.program.pixels import raw_BCHW
from search.cli.actions.picture_file import refuse_picture, write_picture
from search.cli.commands.data_preview import PreviewOptions
from search.cli.torch_device import torch_device
from search.cli.values import parse_size
from search.place import name_place
from search.study.data_path import data_path, here


def preview(asked: PreviewOptions) -> None:
    """Draw frames before and after augmentation."""
    refuse_picture(asked.out, "--out", force=asked.force, source=asked.source)
    device = None if asked.device == "none" else torch_device(asked.device)
    options = DataOptions(
        size=parse_size(asked.size),
        ignore=asked.ignore,
        exif=asked.exif,
        channels=asked.channels,
        window=parse_size(asked.window, "--window"),
    )
    cache = asked.cache or name_place("", "", asked.home).cache
    data = open_dataset(here(data_path(asked.source), cache), options, cache)
    train = data.parts["train"]
    chosen = np.sort(
        np.random.default_rng(asked.seed).choice(
            train, min(asked.frames, len(train)), replace=False
        )
    )
    augment = Augment(
        intensity=asked.intensity,
        elastic=asked.elastic,
        vertical_flip=asked.vertical,
        copy_paste=asked.paste,
    )
    augmenter = FrameAugmenter(augment, data)
    crop = Cropper(Train(), data)

    def cropped(position: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        frame = int(chosen[position])
        return crop(data.images[frame], data.masks[frame], frame, seed)

    ways: dict[str, Augmentation] = {
        "": lambda position, seed: augmenter(*cropped(position, seed), seed)
    }
    if device:
        there = on_device(augment, data, device)
        ways[f"on {asked.device}"] = lambda position, seed: there(*cropped(position, seed), seed)
    sheet = preview_sheet(data.images[chosen], data.masks[chosen], data.spec, ways, asked.seed)
    write_picture(asked.out, sheet, force=asked.force)
    typer.echo(f"{len(chosen)} frames drawn to {asked.out}", err=is_stream(asked.out))


def on_device(
    augment: Augment, data: Dataset, device: torch.device
) -> Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    """Return what makes of a frame, its mask and a seed what a training that augments on the device sees."""
    host = FrameAugmenter(left_to_host(augment), data)
    rest = DeviceAugmenter(augment, data.spec, device)

    def changed(
        image_HWC: np.ndarray, mask_HW: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        image_HWC, mask_HW = host(image_HWC, mask_HW, seed)
        height, width = mask_HW.shape
        drawn = rest.drawn(np.array([seed], np.uint32), (height, width), np.ones(1, bool))
        images_1CHW, masks_1HW = rest(
            raw_BCHW(image_HWC[None]).to(device),
            torch.from_numpy(np.array(mask_HW)[None]).to(device),
            drawn,
        )
        return images_1CHW[0].permute(1, 2, 0).cpu().numpy(), masks_1HW[0].cpu().numpy()

    return changed
