"""Which arrays of an npz hold frames: as a data.yaml with ``npz:`` says, or by names that are known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import yaml

from objectives.data.options import Channels, PixelReading
from objectives.data.reading.axes import Axes
from objectives.data.reading.layout_parser import LayoutParser
from objectives.data.reading.part_words import PART_WORDS, part_named
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.yaml_file import read_yaml
from objectives.errors import Problem, ProblemsError, listed

PART = frozenset({"part"})


class ArrayNames(NamedTuple):
    """The arrays of one set of frames; ``groups`` is empty where it has none."""

    images: str
    masks: str
    groups: str = ""
    part: str = ""  # that they are in; empty for none


@dataclass(frozen=True)
class ArrayLayout:
    """Where the arrays lie, and what they are called; ``{part}`` stands for the word of a part.
    ``images[i]`` goes with ``masks[i]`` and ``groups[i]``.
    """

    images: tuple[str, ...]
    masks: tuple[str, ...]
    groups: tuple[str, ...] = ()
    npz: str = ""  # the file, from where data.yaml lies
    axes: Axes = ""
    channels: Channels = ""
    pixel_range: tuple[float, float] | None = None

    @property
    def reading(self) -> PixelReading:
        """What it says of the pixels."""
        return PixelReading(channels=self.channels, range=self.pixel_range)

    def named(self, held: Sequence[str]) -> list[ArrayNames]:
        """Return the arrays of frames among those that an npz holds: all that ``images`` names."""
        return list(self._named(held))

    def _named(self, held: Sequence[str]) -> Iterator[ArrayNames]:
        for index, text in enumerate(self.images):
            pattern = Pattern(text)
            for name in held:
                if (fields := pattern.values(name)) is not None:
                    word = fields.get("part", "")
                    masks, groups = (
                        Pattern(texts[index]).filled(fields) if texts else ""
                        for texts in (self.masks, self.groups)
                    )
                    yield ArrayNames(name, masks, groups, word)

    def text(self) -> str:
        """Return the data.yaml that says this."""
        content: dict[str, Any] = {"npz": self.npz}
        for key in ("images", "masks", "groups"):
            if texts := getattr(self, key):
                content[key] = texts[0] if len(texts) == 1 else [*texts]
        content |= {key: getattr(self, key) for key in ("axes", "channels") if getattr(self, key)}
        if self.pixel_range is not None:
            content["range"] = [*self.pixel_range]
        return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000))


KNOWN = (
    ArrayLayout(("images",), ("masks",), ("groups",)),
    ArrayLayout(("images_{part}",), ("masks_{part}",), ("groups_{part}",)),
    ArrayLayout(("{part}_images",), ("{part}_masks",), ("{part}_groups",)),
    ArrayLayout(("x_{part}",), ("y_{part}",), ("groups_{part}",)),
    ArrayLayout(("X_{part}",), ("y_{part}",), ("groups_{part}",)),
)


def known_arrays(held: Sequence[str], npz: str) -> ArrayLayout | None:
    """Return the layout whose images and masks an npz holds; None where it has none that is known."""
    for layout in KNOWN:
        named = [each for each in layout.named(held) if not each.part or part_named(each.part)]
        if any(each.masks in held for each in named):
            groups = layout.groups if any(each.groups in held for each in named) else ()
            return replace(layout, npz=npz, groups=groups)
    return None


def says_npz(path: Path) -> bool:
    """Return whether a data.yaml is of an npz; one that cannot be read is said to be of a folder,
    whose reader names what is wrong.
    """
    try:
        content = read_yaml(path)
    except ProblemsError:
        return False
    return isinstance(content, dict) and "npz" in content


def read_array_layout(path: Path) -> ArrayLayout:
    """Return what a data.yaml with ``npz:`` says.

    Raises:
        ProblemsError: It breaks a rule; every one is named.
    """
    parsed = LayoutParser(path.name, read_yaml(path))
    layout = ArrayLayout(
        npz=parsed.text("npz", ""),
        images=parsed.texts("images", "the name of an array, like x_{part}"),
        masks=parsed.texts("masks", "the name of an array, like y_{part}", []),
        groups=parsed.texts("groups", "the name of an array, like places_{part}", []),
        axes=parsed.choice("axes", get_args(Axes), ""),
        channels=parsed.choice("channels", get_args(Channels), ""),
        pixel_range=parsed.range(),
    )
    problems = [*parsed.unknown(), *parsed.problems]
    if problems or (problems := list(_together(layout, path.name))):
        raise ProblemsError(path.name, problems)
    return layout


def _together(layout: ArrayLayout, where: str) -> Iterator[Problem]:
    """Yield what names of arrays break, each by itself and together."""
    for key in ("images", "masks", "groups"):
        texts = getattr(layout, key)
        if texts and len(texts) != len(layout.images):
            yield Problem(f"{where}: {key}", "must be as many as images:", str(len(texts)))
            continue
        if len(set(texts)) < len(texts):
            yield Problem(f"{where}: {key}", "must name each array once", listed(texts))
        for text, image in zip(texts, layout.images, strict=False):
            fields = Pattern(text).fields
            if fields - PART or "*" in text:
                rule = "may have {part} only, which stands for the word of a part"
                yield Problem(f"{where}: {key}", rule, repr(text))
            elif fields - Pattern(image).fields:
                yield Problem(f"{where}: {key}", "may have {part} where images: has it", repr(text))


def part_problems(named: Sequence[ArrayNames]) -> Iterator[Problem]:
    """Yield a problem for each array whose name has another word where ``{part}`` stands."""
    words = ", ".join(word for words in PART_WORDS.values() for word in words)
    for each in named:
        if each.part and not part_named(each.part):
            yield Problem(each.images, f"{{part}} must be one of {words}", each.part)
