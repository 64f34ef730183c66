"""Writing of a ``classes.yaml``, to be saved and edited."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import yaml

from objectives.data.reading.classes import IGNORED_NAME, Classes, palette


def classes_text(
    classes: Classes,
    entries: Sequence[tuple[str, int]] = (),
    shares: Mapping[str, float] | None = None,
    added: Iterable[int] = (),
) -> str:
    """Return the text of a file that says these classes, and which stored values mean which label.

    ``shares`` of all pixels stand beside the values; ``added`` are more classes, yet to be named.
    """
    return "\n".join([*_lines(classes, entries, shares or {}, added), ""])


def _lines(
    classes: Classes,
    entries: Sequence[tuple[str, int]],
    shares: Mapping[str, float],
    added: Iterable[int],
) -> Iterator[str]:
    if classes.raw_ignore is not None:
        yield f"ignore: {classes.raw_ignore}"
    yield "classes:"
    named = [
        (label, name)
        for label, name in zip(classes.raw_labels, classes.names, strict=True)
        if (label, name) != (classes.raw_ignore, IGNORED_NAME)
    ]
    for label, name in (*named, *((label, f"class_{label}") for label in added)):
        yield f"  {label}: {_scalar(name)}"
    if classes.colours != palette(len(classes.names)) and not classes.values.by_colour:
        yield "colours:"
        for label, colour in zip(classes.raw_labels, classes.colours, strict=True):
            yield f"  {label}: [{', '.join(map(str, colour))}]"
    if entries:
        yield "values:"
    for key, label in entries:
        share = f"  # {shares[key]:.2%} of all pixels" if key in shares else ""
        yield f"  {key if key.isdigit() else repr(key)}: {label}{share}"


def _scalar(name: str) -> str:
    """Return a text as YAML writes it in one line."""
    return yaml.safe_dump(name, allow_unicode=True, width=10_000).splitlines()[0]
