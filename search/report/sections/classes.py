"""The score of each class: the best trial against the control, and the best that any
trial reached.
"""

import math

from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.reading import StudyRecord, TrialRecord
from search.report.sections.parts import NOTHING, heads, number, paragraph, row_head, section, table
from search.report.shown import change, score


def classes(findings: Findings) -> Html:
    """Return a row for each scored class; nothing before a trial is complete."""
    study = findings.study
    if study.best is None or not study.best.per_class:
        return NOTHING
    control = study.control if study.control in study.of("complete") else None
    rows = [_row(study, study.best, control, name) for name in study.class_names]
    rows.append(_means(study, study.best, control))
    titles = heads(
        "class",
        "control",
        f"best (trial {study.best.number})",
        "difference",
        "highest in any trial",
        "which",
    )
    note = (
        "IoU of each class on validation; the last row is the score. The last two columns show how "
        "much of a class was left behind by choosing the best score."
    )
    return section("Classes", table(titles, rows), paragraph(note, kind="note"), name="classes")


def _row(study: StudyRecord, best: TrialRecord, control: TrialRecord | None, name: str) -> Html:
    own = best.per_class.get(name, math.nan)
    base = control.per_class.get(name, math.nan) if control else math.nan
    holders = [trial for trial in study.of("complete") if name in trial.per_class]
    top = max(holders, key=lambda trial: (trial.per_class[name], -trial.number), default=None)
    highest = [
        number(score(top.per_class[name]) if top else "-"),
        number(f"trial {top.number}" if top else "-"),
    ]
    return element(
        "tr",
        row_head(name),
        number(score(base)),
        number(score(own), "mark-best"),
        _change(own - base),
        *highest,
    )


def _means(study: StudyRecord, best: TrialRecord, control: TrialRecord | None) -> Html:
    base = control.score if control else math.nan
    top = max([best, *study.of("complete")], key=lambda trial: (trial.score, -trial.number))
    cells = [
        number(score(base)),
        number(score(best.score), "mark-best"),
        _change(best.score - base),
    ]
    return element(
        "tr",
        row_head(study.spec.score_words),
        *cells,
        number(score(top.score)),
        number(f"trial {top.number}"),
        class_="total",
    )


def _change(value: float) -> Html:
    return number(change(value), "up" if value > 0 else "down" if value < 0 else "")
