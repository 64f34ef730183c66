"""What ``search export-best`` says of a bundle."""

from pathlib import Path

from rich.table import Table

from objectives.bundle.files import open_bundle
from objectives.bundle.provenance import NO_TEST, PartScore, Provenance
from objectives.data.spec import FrameSpec
from search.terminal.console import open_console


def print_export(out: Path, provenance: Provenance) -> None:
    """Say what was exported: where, its scores on validation and sealed test, and what they are
    worth.
    """
    spec = open_bundle(out, networks=False).settings.spec
    parts = _parts(provenance)
    console = open_console()
    console.print(
        f"bundle of {provenance.title} (out of {provenance.trials} trials), checked after writing: "
        f"{out.resolve()}"
    )
    console.print(score_table(spec, provenance))
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


def score_table(spec: FrameSpec, provenance: Provenance) -> Table:
    """Return the scores of a bundle, a column for each part, and IoU of the classes that it
    predicts.
    """
    parts = _parts(provenance)
    table = Table("", *parts, box=None, pad_edge=False)
    table.add_row(spec.score_words, *[f"{part.score:.4f}" for part in parts.values()])
    if any(part.interval for part in parts.values()):
        table.add_row("95 %", *[_interval(part) for part in parts.values()])
    for label in spec.scored:
        values = [part.iou[label] for part in parts.values()]
        if any(value is not None for value in values):
            table.add_row(
                f"IoU of {spec.class_names[label]}",
                *["-" if value is None else f"{value:.4f}" for value in values],
            )
    return table


def _parts(provenance: Provenance) -> dict[str, PartScore]:
    sealed = {"sealed test": provenance.test} if provenance.test else {}
    return {"validation": provenance.validation, **sealed}


def _interval(part: PartScore) -> str:
    return (
        f"{part.interval[0]:.4f} to {part.interval[1]:.4f} ({part.places} places)"
        if part.interval
        else "-"
    )
