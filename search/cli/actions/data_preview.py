"""Frames before and after augmentation."""

import numpy as np
import typer

from objectives.augmentation.copy_paste import FrameAugmenter
from objectives.augmentation.crops import Cropper
from objectives.config import Augment, Train
from objectives.data.dataset import open_dataset
from objectives.data.options import DataOptions
from objectives.outputs.place import is_stream
from objectives.pictures.panels import preview_sheet
from search.cli.actions.picture_file import refuse_picture, write_picture
from search.cli.commands.data_preview import PreviewOptions
from search.cli.options import parse_size
from search.place import name_place
from search.study.data_path import data_path, here


def preview(asked: PreviewOptions) -> None:
    """Draw frames before and after augmentation."""
    refuse_picture(asked.out, "--out", force=asked.force, source=asked.source)
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

    def changed(position: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        frame = int(chosen[position])
        return augmenter(*crop(data.images[frame], data.masks[frame], frame, seed), seed)

    sheet = preview_sheet(data.images[chosen], data.masks[chosen], data.spec, changed, asked.seed)
    write_picture(asked.out, sheet, force=asked.force)
    typer.echo(f"{len(chosen)} frames drawn to {asked.out}", err=is_stream(asked.out))
