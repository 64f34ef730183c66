"""How the score rose: the best so far against device time, and all learning curves."""

import math

from search.report.charts import learning_chart, progress_chart
from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.reading import StudyRecord
from search.report.sections.parts import NOTHING, figure, section
from search.report.shown import change, counted

MARKS = {
    "complete": ("complete", "line", "complete"),
    "pruned": ("pruned", "cross", "pruned: ended early, behind the others"),
    "failed": ("failed", "cross", "failed"),
    "running": ("running", "line", "running"),
}


def progress(findings: Findings) -> Html:
    """Return both charts, as far as there is something to draw."""
    parts = [_progress(findings) if findings.moments else NOTHING, _curves(findings.study)]
    return (
        section("How the score rose", element("div", *parts, class_="charts"), name="progress")
        if any(parts)
        else NOTHING
    )


def _progress(findings: Findings) -> Html:
    study = findings.study
    ledger = findings.ledger
    unit = findings.unit
    legend = [("best", "line", "highest score so far"), ("complete", "dots", "a complete trial")]
    legend += [] if math.isnan(study.control_score) else [("control", "line level", "the control")]
    since = ledger.total.device_s - ledger.improved_s
    caption = f"{unit.shown(ledger.total.device_s)} on devices."
    if not math.isnan(ledger.improved_s):
        caption = (
            f"The best was found after {unit.shown(ledger.improved_s)} of "
            f"{unit.shown(ledger.total.device_s)} on devices"
        )
        caption += f", with {unit.shown(since)} spent since." if since > 0 else "."
    gained = "" if math.isnan(ledger.gain) else f" Gained over the control: {change(ledger.gain)}."
    chart = progress_chart(study, findings.moments, ledger.total.device_s, unit)
    return figure(
        f"{study.spec.score_title}: best so far",
        chart,
        legend=legend,
        caption=f"{caption}{gained} Scores far below the others lie on the lower edge.",
    )


def _curves(study: StudyRecord) -> Html:
    drawn = [trial for trial in study.trials if trial.curve]
    if not drawn:
        return NOTHING
    states = {"running" if trial.state == "interrupted" else trial.state for trial in drawn}
    legend = [("best", "line", "the best trial")] if study.best else []
    legend += [("control", "line", "the control")] if study.control and study.control.curve else []
    legend += [mark for state, mark in MARKS.items() if state in states]
    pruned = len([trial for trial in drawn if trial.state == "pruned"])
    caption = f"{counted(len(drawn), 'trial')}, {pruned:,} of them pruned."
    if study.rungs:
        caption += " Dotted lines: the epochs after which trials that lie behind are ended."
    return figure(
        f"{study.spec.score_title}: learning curves",
        learning_chart(study),
        legend=legend,
        caption=caption,
    )
