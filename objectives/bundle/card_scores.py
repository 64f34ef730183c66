"""How good a model is, as parts of its card: tables of scores, and how far to trust them."""

from collections.abc import Mapping, Sequence

from objectives.bundle.belief_in_one import Named
from objectives.bundle.provenance import NO_TEST, PartScore, Provenance
from objectives.data.spec import FrameSpec


def score_table(spec: FrameSpec, provenance: Provenance) -> list[str]:
    """Return a table of the IoU per class, a column for each part that was scored."""
    parts = _opened_parts(provenance)
    titles = [f"{name} ({part.frames} frames)" for name, part in parts.items()]
    rows = [
        _row(
            f"{label} {escaped(spec.class_names[label])}",
            [part.iou[label] for part in parts.values()],
        )
        for label in spec.scored
    ]
    package = f" ({spec.measure_package})" if spec.measure_package else ""
    words = escaped(spec.score_words)
    score = _row(f"**{words}**{package}", [part.score for part in parts.values()])
    return [
        f"| class, IoU | {' | '.join(titles)} |",
        "|---|" + "---|" * len(parts),
        *rows,
        score,
        *_chosen_classes(spec),
        *_absent(spec, parts),
    ]


def _chosen_classes(spec: FrameSpec) -> list[str]:
    """Return what the score is where not all classes count alike."""
    if not spec.score.classes:
        return []
    definition = escaped(spec.score.definition(spec.class_names, spec.counting))
    return ["", f"The score is the {definition}; all classes of this table are predicted."]


def _absent(spec: FrameSpec, parts: Mapping[str, PartScore]) -> list[str]:
    """Return a sentence for each part in which scored classes have no pixel; none where pixels were
    not counted.
    """
    lines: list[str] = []
    for name, part in parts.items():
        if labels := [label for label in spec.scored if part.support and not part.support[label]]:
            absent = ", ".join(f"{label} {spec.class_names[label]}" for label in labels)
            over = f" (The {name} score is a {part.left_out}.)" if part.left_out else ""
            lines += [
                "",
                f"No pixel of the {name} part is labelled {absent}: nothing here tells how well "
                f"that is found.{over}",
            ]
    return lines


def details(spec: FrameSpec, provenance: Provenance) -> list[str]:
    """For each part that was scored a table of precision, recall, Dice and pixels per class, and
    the calibration error.
    """
    measured = {name: part for name, part in _opened_parts(provenance).items() if part.support}
    lines = ["## In detail", ""] if measured else []
    for name, part in measured.items():
        lines += [
            f"| class, {name} part | precision | recall | Dice | pixels |",
            "|---|---|---|---|---|",
        ]
        for label in spec.scored:
            fractions = [part.precision[label], part.recall[label], part.dice[label]]
            lines.append(
                f"{_row(f'{label} {escaped(spec.class_names[label])}', fractions)} "
                f"{part.support[label]} |"
            )
        lines += ["", *_calibration(name, part)]
    return lines


def _calibration(name: str, part: PartScore) -> list[str]:
    if part.calibration_error is None:
        return []
    stated = (
        f"Expected calibration error on the {name} part: {part.calibration_error:.4f} (15 bins). "
        f"So far the probability of the "
        "predicted class lies from the share of pixels that are right, over the pixels of scored "
        "classes."
    )
    return [stated, ""]


def _row(title: str, values: Sequence[float | None]) -> str:
    shown = ["does not occur" if value is None else f"{value:.4f}" for value in values]
    return f"| {title} | {' | '.join(shown)} |"


def caveats(words: str, provenance: Provenance) -> list[str]:
    """Return what is believed of the model, the intervals of its scores, and what the test part is worth;
    ``words`` name the score.
    """
    how = "is one of" if isinstance(provenance.belief, Named) else "was chosen out of"
    lines = [f"This model {how} {provenance.trials} trials. {provenance.belief}", ""]
    lines += [provenance.confirmation_then, ""] if provenance.confirmation else []
    for name, part in _opened_parts(provenance).items():
        if part.interval:
            low, high = part.interval
            lines += [
                f"{words} on the {name} part, with its {part.places} places resampled: 95 % in "
                f"{low:.4f} to {high:.4f}.",
                "",
            ]
        elif part.no_interval:
            lines += [f"{words} on the {name} part has no interval: {part.no_interval}.", ""]
    if provenance.flips:
        lines += [str(provenance.flips), ""]
    return [*lines, _test_caveat(provenance)]


def _test_caveat(provenance: Provenance) -> str:
    test = provenance.test
    looks = provenance.test_looks
    if not provenance.has_test:
        return NO_TEST
    if test is None and provenance.retrained:
        return (
            "The sealed test part was not opened for the model before, and these weights were "
            "trained on it: it cannot "
            f"score them any more. Looks at it so far, over all studies that seal it: {looks}."
        )
    if test is None:
        return (
            f"The sealed test part was not opened for this model. Looks at it so far, over all "
            f"studies that seal it: {looks}."
        )
    so_far = f"Looks at the sealed test part so far, over all studies that seal it: {looks}."
    return f"{so_far} Each look at it makes its score less of a proof."


def _opened_parts(provenance: Provenance) -> dict[str, PartScore]:
    return {"validation": provenance.validation} | (
        {"test": provenance.test} if provenance.test else {}
    )


def escaped(name: str) -> str:
    """Return a name as text of a Markdown table: no cell ends in it, and no markup of
    HTML begins.
    """
    for special in "\\|`":
        name = name.replace(special, f"\\{special}")
    return name.replace("<", "&lt;")
