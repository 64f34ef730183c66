"""What training again with other seeds says: a mean and an interval for each candidate, and the
choice.
"""

import math

from objectives.bundle.belief_in_one import chance
from objectives.statistics.interval import Interval
from search.confirm.confirmation import CandidateVerdict, Confirmation
from search.confirm.dealt_parts import parts_told
from search.confirm.standing import Standing
from search.report.drawing import STRIP_WIDTH, Strip, strip_axis
from search.report.findings import Findings
from search.report.markup import Html, element
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
from search.report.shown import score


def confirmed(findings: Findings) -> Html:
    """Return a row for each candidate, the highest mean first; nothing before a confirmation has a
    score.
    """
    standing = findings.confirmed
    if standing is None or standing.verdict is None:
        return NOTHING
    verdict = standing.verdict
    scale = padded(_ends(standing, verdict), 8, STRIP_WIDTH - 8)
    rows = [_row(standing, verdict, each, scale) for each in verdict.candidates]
    rows.append(element("tr", *[cell("")] * 5, cell(strip_axis(scale), "drawn")))
    titles = heads("candidate", "runs", "mean", "95 % interval", "beats the control", "")
    legend = [("best", "dots", "the choice")] if standing.choice else []
    legend += [("complete", "dots", "mean"), ("pruned", "dots", "one run")]
    content = figure(
        "Candidates trained again",
        table(titles, rows, folds=True),
        legend=legend,
        caption=_caption(standing),
    )
    return section("Confirmation", content, name="confirmation")


def _caption(standing: Standing) -> str:
    choice = standing.choice
    tied = [str(each) for each in choice.tied if each != choice.candidate] if choice else []
    sentences = [
        f"Each candidate was trained again {'on' if standing.plan.folds else 'with'} the same "
        f"{standing.plan.turns} as the others, and scored at its last epoch."
    ]
    sentences += (
        [
            f"As good as the choice for all that is known: trials {', '.join(tied)}; the cheapest "
            f"is taken."
        ]
        if tied
        else []
    )
    told = parts_told(standing.runs, folds=bool(standing.plan.folds))
    sentences += [f"{line[0].upper()}{line[1:]}." for line in told]
    return " ".join([*sentences, *standing.remarks])


def _row(standing: Standing, verdict: Confirmation, each: CandidateVerdict, scale: Scale) -> Html:
    strip = Strip(scale)
    if isinstance(each.interval, Interval):
        strip.reach(*each.interval.of_shares(), _kind(standing, verdict, each))
    for run in standing.runs:
        if run.candidate == each.candidate and not math.isnan(run.score):
            strip.dot(
                run.score,
                "pruned",
                f"{standing.plan.named(run.seed)}: {score(run.score)}",
                radius=2.8,
            )
    strip.dot(each.mean, _kind(standing, verdict, each), f"mean: {score(each.mean)}", radius=5)
    name = f"trial {each.candidate}" + (
        ", the control" if each.candidate == verdict.control else ""
    )
    chosen = "mark-best" if standing.choice and each.candidate == standing.choice.candidate else ""
    beats = chance(each.beats_control) if isinstance(each.beats_control, float) else "-"
    reach = (
        " to ".join(map(score, each.interval.of_shares()))
        if isinstance(each.interval, Interval)
        else "-"
    )
    numbers = [
        number(f"{each.runs:,}"),
        number(score(each.mean), chosen),
        number(reach),
        number(beats),
    ]
    return element("tr", row_head(name), *numbers, cell(strip.svg(f"runs of {name}"), "drawn"))


def _kind(standing: Standing, verdict: Confirmation, each: CandidateVerdict) -> str:
    if standing.choice and each.candidate == standing.choice.candidate:
        return "best"
    return "control" if each.candidate == verdict.control else "complete"


def _ends(standing: Standing, verdict: Confirmation) -> list[float]:
    reaches = [each.interval for each in verdict.candidates if isinstance(each.interval, Interval)]
    return [
        *(run.score for run in standing.runs if not math.isnan(run.score)),
        *(end for reach in reaches for end in reach.of_shares()),
        *(each.mean for each in verdict.candidates),
    ]
