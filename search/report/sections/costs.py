"""What the study has cost, by what became of the trials, and what pruning has saved."""

import math
from collections.abc import Iterator

from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.numbers import LedgerEntry
from search.report.sections.parts import (
    NOTHING,
    bar,
    cell,
    heads,
    number,
    row_head,
    section,
    sentences,
    table,
)
from search.report.shown import Unit, change, counted, score


def costs(findings: Findings) -> Html:
    """Return the ledger and what follows from it; nothing before a trial has begun."""
    ledger = findings.ledger
    unit = findings.unit
    if not ledger.total.device_s > 0:
        return NOTHING
    rows = [_row(entry, ledger.total, unit) for entry in ledger.entries]
    rows.append(_row(ledger.total, ledger.total, unit, kind="total"))
    titles = heads("state", "trials", "epochs", f"device time, {unit.name}", "share", "")
    return section(
        "Cost", table(titles, rows, folds=True), sentences(_facts(findings)), name="cost"
    )


def _row(entry: LedgerEntry, total: LedgerEntry, unit: Unit, kind: str = "") -> Html:
    share = entry.device_s / total.device_s
    cells = [
        number(f"{entry.trials:,}"),
        number(f"{entry.epochs:,}"),
        number(unit.number(entry.device_s)),
    ]
    drawn = cell(bar(share), "drawn") if not kind else cell("", "drawn")
    return element(
        "tr", row_head(entry.state), *cells, number(f"{100 * share:.0f} %"), drawn, class_=kind
    )


def _facts(findings: Findings) -> Iterator[str]:
    study = findings.study
    ledger = findings.ledger
    unit = findings.unit
    yield (
        "Device time is what workers held a trial for, on GPUs or CPUs, with preparation, "
        "scoring and pictures."
    )
    if ledger.saved_s > 0:
        without = ledger.total.device_s + ledger.saved_s
        pruned = counted(len(study.of("pruned")), "trial")
        yield (
            f"Pruning saved about {unit.shown(ledger.saved_s)}: the epochs that {pruned} did not "
            f"train, at what one of each "
            f"had cost. Without it, these trials would have taken {unit.shown(without)}, "
            f"{without / ledger.total.device_s:.1f} times as long."
        )
    if best := study.best:
        hours = ledger.total.device_s / 3600
        gained = (
            ""
            if math.isnan(ledger.gain)
            else f"; over the control, {change(ledger.gain_per_hour)} an hour"
        )
        yield f"{study.spec.score_title} per device hour: {score(best.score / hours)}{gained}."
