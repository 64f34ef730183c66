"""How a folder of frames is laid out: ``data.yaml``, or what is assumed without one."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from objectives.data.options import Channels, PixelReading
from objectives.data.reading.layout_parser import LayoutParser
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.yaml_file import read_yaml
from objectives.errors import Problem, ProblemsError

Overlap = Literal["later", "smallest"]
WithoutMask = Literal["refuse", "background", "drop"]
NoData = Literal["", "ignored"]
OF_MASKS = frozenset({"class", "object"})  # fields by which one frame has several mask files


@dataclass(frozen=True)
class Layout:
    """Where frames and masks lie, and how their files become one image and one mask.

    ``images[i]`` goes with ``masks[i]``, or with the only one. Where a frame has several mask
    files, ``overlap`` says which is on top; ``threshold`` is the least value that belongs to the
    class of a file. ``parts`` are text files with the frames of each part, or one CSV of all.
    Where there is a ``table``, its rows name the files instead, in two ``columns``: image and mask.
    """

    images: tuple[Pattern, ...]
    masks: tuple[Pattern, ...]
    root: str = ""  # the folder, from where the file lies
    parts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    parts_file: str = ""
    overlap: Overlap = "later"
    threshold: int = 1
    without_mask: WithoutMask = "refuse"
    channels: Channels = ""
    pixel_range: tuple[float, float] | None = None
    no_data: NoData = ""
    table: Pattern | None = None  # CSV or JSON lines; the rows' paths begin in its folder
    columns: tuple[str, str] = ("", "")

    @property
    def of_images(self) -> tuple[Pattern, ...]:
        """The patterns that lead to images: their own, or the table's."""
        return (self.table,) if self.table else self.images

    @property
    def folders(self) -> list[str]:
        """The folders that all files lie in."""
        return sorted({pattern.folder for pattern in (*self.of_images, *self.masks)})

    @property
    def above(self) -> str:
        """The folder that names of frames begin in: the one that all images share."""
        return os.path.commonpath([pattern.folder for pattern in self.of_images])

    @property
    def several_masks(self) -> bool:
        """Whether a frame has several mask files."""
        return any(pattern.fields & OF_MASKS for pattern in self.masks)

    @property
    def reading(self) -> PixelReading:
        """What it says of the pixels of images."""
        return PixelReading(channels=self.channels, range=self.pixel_range)

    def masks_of(self, index: int) -> Pattern:
        """Return where the masks of ``images[index]`` lie."""
        return self.masks[index if len(self.masks) > 1 else 0]

    def text(self) -> str:
        """Return the data.yaml that says this."""
        usual = Layout((), ())
        content: dict[str, Any] = {"root": self.root} if self.root else {}
        if self.table:
            content |= {"table": self.table.text, "images": self.columns[0]}
            content["masks"] = self.columns[1]
        else:
            for key, patterns in (("images", self.images), ("masks", self.masks)):
                texts = [pattern.text for pattern in patterns]
                content[key] = texts[0] if len(texts) == 1 else texts
        if self.parts_file or self.parts:
            content["parts"] = self.parts_file or {part: [*files] for part, files in self.parts}
        for key in ("overlap", "threshold", "without_mask", "channels", "no_data"):
            if getattr(self, key) != getattr(usual, key):
                content[key] = getattr(self, key)
        if self.pixel_range is not None:
            content["range"] = [*self.pixel_range]
        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000))


def read_layout(path: Path) -> Layout:
    """Return what a data.yaml says.

    Raises:
        ProblemsError: It is no such file; every broken rule is named.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        rule = "must be a mapping with images: and masks:"
        raise ProblemsError(path.name, [Problem(path.name, rule, f"a {type(content).__name__}")])
    if "names" in content and "images" not in content:
        rule = "must say where images and masks lie; an export is turned into frames by `search data import`"
        raise ProblemsError(path.name, [Problem(path.name, rule, "a data.yaml of YOLO")])
    parsed = LayoutParser(path.name, content)
    layout = _of_table(parsed) if "table" in content else _of_patterns(parsed)
    layout = replace(
        layout,
        root=parsed.text("root", ""),
        without_mask=parsed.choice("without_mask", get_args(WithoutMask), "refuse"),
        channels=parsed.choice("channels", get_args(Channels), ""),
        pixel_range=parsed.range(),
        no_data=parsed.choice("no_data", get_args(NoData), ""),
    )
    problems = [*parsed.unknown(), *parsed.problems]
    if problems or (problems := list(_together(layout, path.name))):
        raise ProblemsError(path.name, problems)
    return layout


def _of_patterns(parsed: LayoutParser) -> Layout:
    """Return where files lie by patterns of their paths."""
    images, masks = parsed.patterns("images"), parsed.patterns("masks")
    lists, table = parsed.parts()
    overlap = parsed.choice("overlap", get_args(Overlap), "later")
    return Layout(
        images,
        masks,
        parts=lists,
        parts_file=table,
        overlap=overlap,
        threshold=parsed.threshold(),
    )


def _of_table(parsed: LayoutParser) -> Layout:
    """Return where files lie by the rows of a table; ``{part}`` in its path is the one field."""
    text = parsed.text("table", "")
    table = Pattern(text)
    for rule, value in table.problems(fields=False):
        parsed.refuse("table", rule, value)
    if table.fields - {"part"} or "*" in text:
        parsed.refuse("table", "may have {part} only", repr(text))
    columns = parsed.text("images", ""), parsed.text("masks", "")
    for key, column in zip(("images", "masks"), columns, strict=True):
        if not column:
            parsed.refuse(key, "must be a column of the table", "none")
    lists, file = parsed.parts()
    return Layout((), (), parts=lists, parts_file=file, table=table, columns=columns)


def _together(layout: Layout, where: str) -> Iterator[Problem]:
    """Yield what two keys break together."""
    if any("part" in pattern.fields for pattern in layout.of_images) and (
        layout.parts or layout.parts_file
    ):
        key = "table" if layout.table else "images"
        yield Problem(f"{where}: parts", f"must not be given where {key}: has {{part}}", "both")
    if layout.table is None:
        yield from _fitting(layout, where)


def _fitting(layout: Layout, where: str) -> Iterator[Problem]:
    """Yield what patterns of images and masks break together."""
    if len(layout.masks) not in (1, len(layout.images)):
        rule = "must be one pattern, or as many as images:"
        yield Problem(f"{where}: masks", rule, str(len(layout.masks)))
        return
    for index, image in enumerate(layout.images):
        if odd := image.fields & OF_MASKS:
            rule = "{class} and {object} may be in masks: only"
            yield Problem(f"{where}: images", rule, _fields(odd))
        mask = layout.masks_of(index)
        if odd := mask.fields - image.fields - OF_MASKS:
            rule = "may have the fields of images:, {class} and {object} only"
            yield Problem(f"{where}: masks", rule, _fields(odd))
        if not mask.fields & image.fields:
            rule = "must share a field with images:, like {stem}"
            yield Problem(f"{where}: masks", rule, repr(mask.text))
        if mask.text == image.text:
            yield Problem(f"{where}: masks", "must lie elsewhere than images:", repr(mask.text))
    classes = {"class" in pattern.fields for pattern in layout.masks}
    if len(classes) > 1:
        yield Problem(f"{where}: masks", "must all have {class}, or none", "some with it")
    if layout.threshold != 1 and not any(classes):
        rule = "is for masks: with {class}; in other masks `values:` of classes.yaml has ranges"
        yield Problem(f"{where}: threshold", rule, str(layout.threshold))


def _fields(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
