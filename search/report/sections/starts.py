"""Where the good trials came from: the control and recipes against what the search found."""

import math
from collections.abc import Sequence

from search.report import shown
from search.report.drawing import STRIP_WIDTH, Strip, strip_axis
from search.report.findings import Findings
from search.report.groups import Group, origins
from search.report.markup import Html, element
from search.report.reading import StudyRecord
from search.report.scales import Scale, padded
from search.report.sections.parts import (
    NOTHING,
    cell,
    figure,
    heads,
    number,
    row_head,
    section,
    table,
)

SHOWN = 60


def starts(findings: Findings) -> Html:
    """Return a line for each origin of trials, all on one scale; nothing where there is
    only one.
    """
    study = findings.study
    groups = origins(findings.study)
    scores = [score for group in groups for score in _scores(group)]
    if len(groups) < 2 or not scores:
        return NOTHING
    scale = padded(scores, 8, STRIP_WIDTH - 8)
    rows = [_row(study, group, scale) for group in groups[:SHOWN]]
    rows.append(
        element("tr", cell(""), cell(""), cell(""), cell(""), cell(strip_axis(scale), "drawn"))
    )
    left = len(groups) - SHOWN
    caption = (
        "Filled: complete trials. Hollow: pruned ones, at their last score, which is no final one."
    )
    caption += f" {left} more origins, all below, are left out." if left > 0 else ""
    legend = [("best", "dots", "the best trial"), ("control", "line level", "the control's score")]
    titles = heads("origin", "complete", "pruned", "best", "")
    return section(
        "Where the good trials came from",
        figure("Scores by origin", table(titles, rows, folds=True), legend=legend, caption=caption),
        name="origins",
    )


def _row(study: StudyRecord, group: Group, scale: Scale) -> Html:
    strip = Strip(scale)
    if not math.isnan(study.control_score):
        strip.level(study.control_score, "control")
    for trial in group.pruned:
        strip.dot(
            trial.last_score,
            "pruned",
            f"trial {trial.number}: pruned at {shown.score(trial.last_score)}",
            radius=3.2,
        )
    for trial in group.complete:
        kind = (
            "best" if trial is study.best else "control" if trial is study.control else "complete"
        )
        strip.dot(trial.score, kind, f"trial {trial.number}: {shown.score(trial.score)}")
    drawn = strip.svg(f"scores of {group.name}")
    mark = "mark-best" if study.best in group.complete else ""
    counts = [number(f"{len(trials):,}") for trials in (group.complete, group.pruned)]
    return element(
        "tr",
        row_head(group.name),
        *counts,
        number(shown.score(group.best), mark),
        cell(drawn, "drawn"),
    )


def _scores(group: Group) -> Sequence[float]:
    return [
        *(trial.score for trial in group.complete),
        *(trial.last_score for trial in group.pruned),
    ]
