"""Class names, colours and the ignored label of labelled frames, and the reading of
``classes.yaml``.
"""

import colorsys
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from objectives.data.spec import Colour
from objectives.errors import Problem, ProblemsError

IGNORED_NAME = "ignored"  # given to an ignored label that classes.yaml does not name
MOST_CLASSES = 256  # masks are kept as uint8
LONGEST_NAME = 100
CLASS_NAME = (
    f"a class name must be text: printable, at most {LONGEST_NAME} characters (quote "
    f"words such as no)"
)
MOST_BYTES = 2**20  # of a classes.yaml


@dataclass(frozen=True)
class Classes:
    """The labels 0..K-1 of stored masks.

    ``raw_ignore`` is the ignored label as mask files write it; often 255, while the stored label is
    at most K-1.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    ignore_label: int | None = None
    raw_ignore: int | None = None

    def ignoring(self, label: str) -> "Classes":
        """Return the classes with another ignored label, as mask files write it, with none for
        ``none``, or these for an empty one.
        """
        if not label:
            return self
        # a label of its own, beyond the others
        extra = self.ignore_label is not None and self.raw_ignore != self.ignore_label
        count = len(self.names) - extra
        names = self.names[:count]
        colours = self.colours[:count]
        if label == "none":
            return Classes(names, colours)
        if (raw := int(label)) < count:
            return Classes(names, colours, raw, raw)
        return Classes((*names, IGNORED_NAME), (*colours, palette(1)[0]), count, raw)

    def outside(self, labels: Iterable[int]) -> list[int]:
        """Return the raw labels that no class has, in ascending order."""
        known = {label for label in range(len(self.names)) if label != self.ignore_label} | {
            self.raw_ignore
        }
        return sorted(label for label in labels if label not in known)

    def encode(self, mask_HW: np.ndarray) -> np.ndarray:
        """Return a raw mask with stored labels, uint8; every raw label must belong to a class."""
        if self.raw_ignore != self.ignore_label:
            mask_HW = np.where(mask_HW == self.raw_ignore, self.ignore_label or 0, mask_HW)
        return mask_HW.astype(np.uint8, copy=False)


def palette(count: int) -> tuple[Colour, ...]:
    """``count`` colours that are easy to tell apart, dark grey first."""
    # the golden ratio spreads neighbours apart
    hues = [(index * 0.618034) % 1.0 for index in range(count - 1)]
    bright = [colorsys.hsv_to_rgb(hue, 0.65, 0.95) for hue in hues]
    return (
        (40, 40, 40),
        *((round(red * 255), round(green * 255), round(blue * 255)) for red, green, blue in bright),
    )


COURSE = Classes(
    ("background", "soil", "bedrock", "sand", "big_rock"),
    ((40, 40, 40), (170, 110, 60), (120, 130, 150), (230, 200, 120), (200, 40, 40)),
    ignore_label=0,
    raw_ignore=0,
)


def numbered_classes(count: int, *, ignore_label: int | None = None) -> Classes:
    """Classes named ``class_0`` .. for labels that nobody has named."""
    return named_classes(
        tuple(f"class_{label}" for label in range(count)), ignore_label=ignore_label
    )


def named_classes(names: tuple[str, ...], *, ignore_label: int | None = None) -> Classes:
    """Classes of these names in label order, with colours of our choice."""
    return Classes(names, palette(len(names)), ignore_label, ignore_label)


def read_classes(path: Path) -> Classes:
    """Return the classes of a ``classes.yaml``: ``classes: {0: void, 1: sky}``, if wanted ``ignore:
    0``, ``colours: {0: [r, g, b]}``.

    Labels run 0..K-1 without gaps; only the ignored one may lie beyond them (255 say) and then
    becomes the last class.

    Raises:
        ProblemsError: The file is not such a file; every broken rule is named.
    """
    try:
        content = yaml.load(_read_text(path), Loader=_PlainLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ProblemsError(
            path.name, [Problem(path.name, "must be readable YAML", reason[:200])]
        ) from error
    problems = list(_shape_problems(content, path.name))
    if problems:
        raise ProblemsError(path.name, problems)
    names = dict(content["classes"])
    ignore = content.get("ignore")
    if ignore is not None:
        names.setdefault(ignore, IGNORED_NAME)
    return _in_order(names, ignore, content.get("colours") or {}, path.name)


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases, through which a small text grows without bound, and without keys that
    appear twice.

    A value that is not what its tag says (``!!timestamp noon``) is an error of the file, whatever
    the parser makes of it.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "found an alias, which this file may not have", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = "found a value that is not what its tag says"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(
                None, None, "found a key that appears twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _read_text(path: Path) -> str:
    if not path.is_file():  # a pipe would be waited for without end
        raise ValueError("it is no file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return path.read_text(encoding="utf-8")


def is_class_name(name: object) -> bool:
    """Return whether it can name a class in tables, files and the database."""
    return (
        isinstance(name, str)
        and bool(name.strip())
        and name.isprintable()
        and len(name) <= LONGEST_NAME
    )


def _in_order(
    names: dict[int, str], ignore: int | None, colours: dict[int, list[int]], where: str
) -> Classes:
    labels = sorted(names)
    scored = [label for label in labels if label != ignore]
    if labels == list(range(len(labels))):
        order = labels
    elif scored == list(range(len(scored))) and ignore is not None:
        order = [*scored, ignore]
    else:
        rule = (
            "classes must be labelled 0, 1, 2, ... without gaps (only the ignored label may be any)"
        )
        raise ProblemsError(
            where, [Problem(f"{where}: classes", rule, ", ".join(map(str, labels)))]
        )
    chosen = [colours.get(label) for label in order]
    shown = tuple(
        (given[0], given[1], given[2]) if given else own
        for given, own in zip(chosen, palette(len(order)), strict=True)
    )
    return Classes(
        tuple(names[label] for label in order),
        shown,
        None if ignore is None else order.index(ignore),
        ignore,
    )


def _shape_problems(content: Any, where: str) -> Iterable[Problem]:
    if not isinstance(content, dict) or not isinstance(content.get("classes"), dict):
        held = content.get("classes") if isinstance(content, dict) else content
        yield Problem(
            where,
            "must hold a mapping `classes: {0: name, 1: name, ...}`",
            f"a {type(held).__name__}",
        )
        return
    for key in content.keys() - {"classes", "ignore", "colours"}:
        yield Problem(where, "may hold classes, ignore and colours only", _shown(key))
    classes = content["classes"]
    for label, name in classes.items():
        if not _is_label(label):
            yield Problem(
                f"{where}: classes", "labels must be whole numbers, 0 to 65535", _shown(label)
            )
        if not is_class_name(name):
            yield Problem(f"{where}: classes.{_shown(label)}", CLASS_NAME, _shown(name))
    counts = Counter(name for name in classes.values() if isinstance(name, str))
    repeated = sorted(name for name, count in counts.items() if count > 1)
    if repeated:
        yield Problem(f"{where}: classes", "class names must differ", ", ".join(repeated))
    if not 2 <= len(classes) < MOST_CLASSES:
        yield Problem(
            f"{where}: classes", f"there must be 2 to {MOST_CLASSES - 1} classes", str(len(classes))
        )
    ignore = content.get("ignore")
    if ignore is not None and not _is_label(ignore):
        yield Problem(f"{where}: ignore", "must be a label or null", _shown(ignore))
    yield from _colour_problems(content.get("colours") or {}, where)


def _colour_problems(colours: Any, where: str) -> Iterable[Problem]:
    if not isinstance(colours, dict):
        yield Problem(
            f"{where}: colours", "must be a mapping {0: [red, green, blue], ...}", _shown(colours)
        )
        return
    for label, colour in colours.items():
        fits = (
            isinstance(colour, list)
            and len(colour) == 3
            and all(_is_label(part) and part <= 255 for part in colour)
        )
        if not fits:
            yield Problem(
                f"{where}: colours.{_shown(label)}",
                "must be [red, green, blue], each 0..255",
                _shown(colour),
            )


def _shown(value: Any) -> str:
    """Return the value in a message; a number of thousands of digits is refused by Python
    itself.
    """
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535
