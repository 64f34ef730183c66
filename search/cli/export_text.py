"""What ``search export-best`` says of a bundle."""

import json
from pathlib import Path

from rich.table import Table

from objectives.bundle.provenance import NO_TEST, PartScore, Provenance
from search.terminal.console import open_console


def open_names(bundle: Path) -> tuple[str, ...]:
    """Return the class names of a bundle."""
    return tuple(json.loads((bundle / "metrics.json").read_text(encoding="utf-8"))["class_names"])


def print_export(out: Path, provenance: Provenance, names: tuple[str, ...], words: str) -> None:
    """Say what was exported: where, and its scores on validation and sealed test; ``words`` are what
    a score is.
    """
    parts = {"validation": provenance.validation} | (
        {"sealed test": provenance.test} if provenance.test else {}
    )
    table = Table("", *parts, box=None, pad_edge=False)
    table.add_row(words, *[f"{part.score:.4f}" for part in parts.values()])
    if any(part.interval for part in parts.values()):
        table.add_row("95 %", *[_interval(part) for part in parts.values()])
    for k, name in enumerate(names):
        values = [part.iou[k] for part in parts.values()]
        if any(value is not None for value in values):
            table.add_row(
                f"IoU of {name}", *["-" if value is None else f"{value:.4f}" for value in values]
            )
    console = open_console()
    console.print(
        f"bundle of {provenance.title} (out of {provenance.trials} trials), checked after writing: "
        f"{out.resolve()}"
    )
    console.print(table)
    for name, part in parts.items():
        if part.left_out:
            console.print(f"note: the score on {name} is a {part.left_out}")
        if part.no_interval:
            console.print(f"note: no interval of the score on {name}: {part.no_interval}")
    console.print(str(provenance.belief))
    if provenance.confirmation:
        console.print(provenance.confirmation_then)
    if provenance.flips:
        console.print(str(provenance.flips))
    if provenance.retrained:
        console.print(str(provenance.retrained))
    if not provenance.has_test:
        console.print(NO_TEST)
    elif provenance.retrained and not provenance.test:
        console.print(
            "The sealed test part was not opened for the model before: there is no score of it, "
            "and will be none."
        )
    if provenance.test:
        console.print(
            f"The sealed test part has been looked at {provenance.test_looks} time(s), over all "
            f"studies that seal it."
        )


def _interval(part: PartScore) -> str:
    return (
        f"{part.interval[0]:.4f} to {part.interval[1]:.4f} ({part.places} places)"
        if part.interval
        else "-"
    )
