"""Which parameters mattered, and where their good values lie."""

from itertools import islice

from objectives.statistics.interval import Unknown
from search.report.charts import slice_chart
from search.report.findings import Findings
from search.report.importance import Importances
from search.report.markup import Html, element
from search.report.reading import StudyRecord
from search.report.sections.parts import (
    NOTHING,
    bar,
    cell,
    figure,
    heads,
    number,
    paragraph,
    row_head,
    section,
    table,
)

SHOWN = 12
SLICED = 6


def parameters(findings: Findings) -> Html:
    """Importances and slices, or why there are none yet."""
    importances = findings.importances
    if isinstance(importances, Unknown):
        if not findings.study.of("complete"):
            return NOTHING
        return section(
            "What mattered", paragraph(f"Not shown: {importances.reason}."), name="parameters"
        )
    charts = [_slice(findings.study, name) for name in islice(importances.shares, SLICED)]
    return section(
        "What mattered",
        _ranking(importances),
        element(
            "h3",
            f"{findings.study.spec.score_title} against the values of the most "
            f"important parameters",
        ),
        element("div", *charts, class_="slices"),
        paragraph(
            "Only complete trials are drawn: pruned ones have no final score. A searched region "
            "with many dots is one that "
            "the sampler liked, which is no proof that the rest is worse.",
            kind="note",
        ),
        name="parameters",
    )


def _ranking(importances: Importances) -> Html:
    largest = next(iter(importances.shares.values()))
    rows = [
        element(
            "tr",
            row_head(name),
            number(f"{100 * share:.0f} %"),
            cell(bar(share / largest), "drawn"),
        )
        for name, share in islice(importances.shares.items(), SHOWN)
    ]
    caption = (
        f"How much each parameter tells the best {importances.top} of {importances.trials} complete trials "
        f"from the rest (PED-ANOVA, "
        "within what the search has tried). It shows what went together with good scores, one "
        "parameter at a time, not what "
        "caused them; a parameter that hardly varied cannot show, and with few trials the order of "
        "the lower ones is chance."
    )
    left = len(importances.shares) - SHOWN
    caption += f" {left} less important ones are left out." if left > 0 else ""
    return figure(
        "Importance of the parameters",
        table(heads("parameter", "share", ""), rows, folds=True),
        caption=caption,
    )


def _slice(study: StudyRecord, name: str) -> Html:
    return figure(name, slice_chart(study, name))
