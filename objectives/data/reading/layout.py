"""How a folder of frames is laid out: ``data.yaml``, or what is assumed without one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from objectives.data.options import Channels, PixelReading
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.yaml_file import read_yaml, shown
from objectives.errors import Problem, ProblemsError

Overlap = Literal["later", "smallest"]
WithoutMask = Literal["refuse", "background", "drop"]
NoData = Literal["", "ignored"]
PART_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
OF_MASKS = frozenset({"class", "object"})  # fields by which one frame has several mask files


@dataclass(frozen=True)
class Layout:
    """Where frames and masks lie, and how their files become one image and one mask.

    ``images[i]`` goes with ``masks[i]``, or with the only one. Where a frame has several mask
    files, ``overlap`` says which is on top; ``threshold`` is the least value that belongs to the
    class of a file. ``parts`` are text files with the frames of each part, or one CSV of all.
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
    layout = Layout(
        parsed.patterns("images"),
        parsed.patterns("masks"),
        parsed.text("root", ""),
        *parsed.parts(),
        parsed.choice("overlap", get_args(Overlap), "later"),
        parsed.threshold(),
        parsed.choice("without_mask", get_args(WithoutMask), "refuse"),
        parsed.choice("channels", get_args(Channels), ""),
        parsed.range(),
        parsed.choice("no_data", get_args(NoData), ""),
    )
    problems = [*parsed.unknown(), *parsed.problems]
    if problems or (problems := list(_together(layout, path.name))):
        raise ProblemsError(path.name, problems)
    return layout


def _together(layout: Layout, where: str) -> Iterator[Problem]:
    """Yield what two keys break together."""
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
    if any("part" in pattern.fields for pattern in layout.images) and (
        layout.parts or layout.parts_file
    ):
        rule = "must not be given where images: has {part}"
        yield Problem(f"{where}: parts", rule, "both")


def _fields(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


@dataclass
class LayoutParser:
    """A data.yaml that is being read, key by key; what is wrong gathers in ``problems``."""

    where: str
    content: dict[Any, Any]
    problems: list[Problem] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def patterns(self, key: str) -> tuple[Pattern, ...]:
        """Return the patterns of files that a key must hold."""
        patterns = tuple(map(Pattern, self.texts(key, "a path like img/{stem}.jpg")))
        for pattern in patterns:
            for rule, value in pattern.problems():
                self.refuse(key, rule, value)
        return patterns

    def texts(self, key: str, what: str, usual: list[str] | None = None) -> tuple[str, ...]:
        """Return the text or texts that a key must hold, which ``what`` describes; ``usual`` where
        it may be left away.
        """
        held = self._take(key, usual)
        texts = held if isinstance(held, list) else [held]
        if all(isinstance(text, str) for text in texts) and (texts or usual is not None):
            return tuple(texts)
        self.refuse(key, f"must be {what}, or a list of such", shown(held))
        return ()

    def text(self, key: str, usual: str) -> str:
        """Return a path."""
        held = self._take(key, usual)
        if isinstance(held, str) and "\0" not in held:
            return held
        self.refuse(key, "must be a path", shown(held))
        return usual

    def choice(self, key: str, words: tuple[Any, ...], usual: Any) -> Any:
        """Return one of some words."""
        held = self._take(key, usual)
        if any(held is word or held == word for word in words if isinstance(held, str)):
            return held
        self.refuse(key, f"must be {' or '.join(word for word in words if word)}", shown(held))
        return usual

    def threshold(self) -> int:
        """Return the least value of a class in its mask file."""
        held = self._take("threshold", 1)
        if isinstance(held, int) and not isinstance(held, bool) and 1 <= held <= 65535:
            return held
        self.refuse("threshold", "must be a value 1 to 65535", shown(held))
        return 1

    def range(self) -> tuple[float, float] | None:
        """Return the lowest and the highest value of pixels; None where nobody says."""
        held = self._take("range")
        if held is None:
            return None
        numbers = isinstance(held, list) and [_number(each) for each in held]
        if isinstance(numbers, list) and len(numbers) == 2 and None not in numbers:
            low, high = numbers
            if low is not None and high is not None and low < high:
                return low, high
        self.refuse("range", "must be [lowest, highest] of the pixels, two numbers", shown(held))
        return None

    def parts(self) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], str]:
        """Return the lists of each part, or the one CSV."""
        held = self._take("parts", {})
        if isinstance(held, str) and held:
            return (), held
        words = [word for words in PART_WORDS.values() for word in words]
        rule = f"must be a CSV, or a mapping like {{train: train.txt}} of {', '.join(words)}"
        if not isinstance(held, dict):
            self.refuse("parts", rule, shown(held))
            return (), ""
        lists: dict[str, tuple[str, ...]] = {}
        for word, files in held.items():
            named = files if isinstance(files, list) else [files]
            part = part_named(word) if isinstance(word, str) else ""
            if not part or not named or not all(isinstance(each, str) and each for each in named):
                self.refuse("parts", rule, f"{shown(word)}: {shown(files)}")
            else:
                lists[part] = (*lists.get(part, ()), *named)
        return tuple(lists.items()), ""

    def unknown(self) -> Iterator[Problem]:
        """Yield a problem for each key that nobody has asked for."""
        for key in self.content.keys() - set(self.asked):
            rule = f"may hold {', '.join(self.asked)} only"
            yield Problem(self.where, rule, shown(key))

    def _take(self, key: str, usual: Any = None) -> Any:
        self.asked.append(key)
        held = self.content.get(key)
        return usual if held is None else held

    def refuse(self, key: str, rule: str, value: str) -> None:
        """Note that a key breaks a rule."""
        self.problems.append(Problem(f"{self.where}: {key}", rule, value))


def part_named(word: str) -> str:
    """Return the part that a word means; empty for none."""
    for part, words in PART_WORDS.items():
        if word.casefold() in words:
            return part
    return ""


def _number(value: Any) -> float | None:
    """Return a finite number of YAML, which writes 1e-3 as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None
