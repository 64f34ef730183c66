"""Reading of ``classes.yaml``, and of the ``labelmap.txt`` of a CVAT export in its place."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from objectives.data.reading.classes import (
    CLASS_NAME,
    IGNORED_NAME,
    MOST_CLASSES,
    Classes,
    is_class_name,
    palette,
)
from objectives.data.reading.settings_files import LABELMAP
from objectives.data.reading.yaml_file import read_text, read_yaml, shown
from objectives.data.values import Values, colour_of, is_colour, key_problems
from objectives.errors import Problem, ProblemsError

_LABELMAP_LINE = re.compile(r"(?P<name>.*?):(?P<colour>[0-9, ]*)(?::.*)?")


def classes_of(path: Path) -> Classes:
    """Return the classes of either file.

    Raises:
        ProblemsError: It is no such file; every broken rule is named.
    """
    return read_labelmap(path) if path.name == LABELMAP else read_classes(path)


def read_classes(path: Path) -> Classes:
    """Return the classes of a ``classes.yaml``: ``classes: {0: void, 1: sky}``, if wanted ``ignore:
    0``, ``colours: {0: [r, g, b]}``, ``values: {255: 1}``.

    Labels run 0..K-1 without gaps; only the ignored one may lie beyond them (255 say) and then
    becomes the last class.

    Raises:
        ProblemsError: The file is not such a file; every broken rule is named.
    """
    content = read_yaml(path)
    problems = list(_shape_problems(content, path.name))
    if problems:
        raise ProblemsError(path.name, problems)
    names = dict(content["classes"])
    ignore = content.get("ignore")
    if ignore is not None:
        names.setdefault(ignore, IGNORED_NAME)
    given = content.get("values") or {}
    entries = tuple((_key(key), label) for key, label in given.items())
    values = Values(entries).completed(names, ignore)
    return _in_order(names, ignore, content.get("colours") or {}, values, path.name)


def read_labelmap(path: Path) -> Classes:
    """Return the classes of a CVAT export ("Segmentation mask 1.1"): a line ``name:r,g,b::`` each,
    labels in their order; masks are read by colour.

    Raises:
        ProblemsError: It is no such file; every broken rule is named.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ProblemsError(
            path.name, [Problem(path.name, "must be a readable text", str(error))]
        ) from error
    problems = []
    colours = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LABELMAP_LINE.fullmatch(line.strip())
        if match and is_class_name(match["name"]) and is_colour(match["colour"]):
            colours[number] = match["name"], match["colour"]
        else:
            rule = "must be name:red,green,blue:parts:actions as CVAT writes it"
            problems.append(Problem(f"{path.name} line {number}", rule, repr(line)))
    names, keys = zip(*colours.values(), strict=True) if colours else ((), ())
    problems += _labelmap_problems(names, keys, path.name)
    if problems:
        raise ProblemsError(path.name, problems)
    values = Values(tuple((key, label) for label, key in enumerate(keys)))
    return Classes(tuple(names), tuple(map(colour_of, keys)), values=values)


def _labelmap_problems(names: Iterable[str], keys: Iterable[str], where: str) -> Iterator[Problem]:
    names = list(names)
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        yield Problem(where, "class names must differ", ", ".join(repeated))
    if not 2 <= len(names) < MOST_CLASSES:
        yield Problem(where, f"there must be 2 to {MOST_CLASSES - 1} classes", str(len(names)))
    for rule, value in key_problems(keys):
        yield Problem(where, rule, value)


def _in_order(
    names: dict[int, str],
    ignore: int | None,
    colours: dict[int, list[int]],
    values: Values,
    where: str,
) -> Classes:
    labels = sorted(names)
    scored = [label for label in labels if label != ignore]
    if labels == list(range(len(labels))):
        order = labels
    elif scored == list(range(len(scored))) and ignore is not None:
        order = [*scored, ignore]
    else:
        rule = (
            "classes must be labelled 0, 1, 2, ... without gaps (only the ignored label may be any); "
            "`values:` leads to them from what the masks hold"
        )
        raise ProblemsError(
            where, [Problem(f"{where}: classes", rule, ", ".join(map(str, labels)))]
        )
    drawn = {label: [*colour_of(key)] for key, label in reversed(values.entries) if "," in key}
    chosen = [(drawn | colours).get(label) for label in order]
    shown = tuple(
        (given[0], given[1], given[2]) if given else own
        for given, own in zip(chosen, palette(len(order)), strict=True)
    )
    return Classes(
        tuple(names[label] for label in order),
        shown,
        None if ignore is None else order.index(ignore),
        ignore,
        values,
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
    for key in content.keys() - {"classes", "ignore", "colours", "values"}:
        yield Problem(where, "may hold classes, ignore, values and colours only", shown(key))
    classes = content["classes"]
    for label, name in classes.items():
        if not _is_label(label):
            yield Problem(
                f"{where}: classes", "labels must be whole numbers, 0 to 65535", shown(label)
            )
        if not is_class_name(name):
            yield Problem(f"{where}: classes.{shown(label)}", CLASS_NAME, shown(name))
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
        yield Problem(f"{where}: ignore", "must be a label or null", shown(ignore))
    yield from _colour_problems(content.get("colours") or {}, where)
    labels = {*classes, *([ignore] if _is_label(ignore) else [])}
    yield from _value_problems(content.get("values") or {}, labels, where)


def _colour_problems(colours: Any, where: str) -> Iterable[Problem]:
    if not isinstance(colours, dict):
        yield Problem(
            f"{where}: colours", "must be a mapping {0: [red, green, blue], ...}", shown(colours)
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
                f"{where}: colours.{shown(label)}",
                "must be [red, green, blue], each 0..255",
                shown(colour),
            )


def _value_problems(values: Any, labels: set[Any], where: str) -> Iterable[Problem]:
    if not isinstance(values, dict):
        yield Problem(f"{where}: values", "must be a mapping {255: 1, ...}", shown(values))
        return
    for rule, value in key_problems(map(_key, values)):
        yield Problem(f"{where}: values", rule, value)
    for key, label in values.items():
        if not (_is_label(label) and label in labels):
            rule = "must be a label that `classes:` or `ignore:` names"
            yield Problem(f"{where}: values.{shown(key)}", rule, shown(label))


def _key(key: object) -> str:
    """Return a key of ``values:`` as text: a number needs no quotes."""
    return key.strip() if isinstance(key, str) else shown(key)


def _is_label(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535
