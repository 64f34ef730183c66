"""What the predictions of the best trial and of the control look like."""

import math

from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.panels import Panel
from search.report.sections.parts import NOTHING, figure, paragraph, section
from search.report.shown import score

TITLES = {"predictions.png": "Predictions", "confusion.png": "Confusion"}


def pictures(findings: Findings) -> Html:
    """Return the pictures that are there; nothing where trials left none."""
    if not findings.panels:
        return NOTHING
    predictions = [_picture(panel, "predictions.png", "picture") for panel in findings.panels]
    confusions = element(
        "div",
        *[_picture(panel, "confusion.png", "picture small") for panel in findings.panels],
        class_="charts",
    )
    lost = [_lost(panel) for panel in findings.panels if panel.missing]
    return section(
        "Predictions on validation frames", *predictions, confusions, *lost, name="pictures"
    )


def _picture(panel: Panel, name: str, kind: str) -> Html:
    if name not in panel.uris:
        return NOTHING
    image = element(
        "img", src=panel.uris[name], alt=f"{TITLES[name]} of trial {panel.trial.number}"
    )
    return figure(f"{_titled(panel)}: {TITLES[name].lower()}", element("div", image, class_=kind))


def _lost(panel: Panel) -> Html:
    return paragraph(
        f"{_titled(panel)}: a picture could not be read ({panel.missing}).", kind="note"
    )


def _titled(panel: Panel) -> str:
    title = f"Trial {panel.trial.number}, {panel.role}"
    return title + (
        f" ({score(panel.trial.score)})"
        if not math.isnan(panel.trial.score)
        else f" ({panel.trial.state})"
    )
