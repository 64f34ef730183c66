"""Every trial: what became of it, what it cost, and in which parameters it differs from the
control.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from objectives.errors import one_line
from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.reading import STATES, StudyRecord, TrialRecord
from search.report.sections.parts import (
    NOTHING,
    cell,
    heads,
    number,
    paragraph,
    row_head,
    section,
    table,
)
from search.report.shown import Unit, parameter, score

ABSENT = object()
LONGEST = 300  # characters of a message
FEW = 12  # trials whose table is not worth a scrolling box


def trials(findings: Findings) -> Html:
    """Return a row for each trial, what is believed best first; nothing for an empty study."""
    study = findings.study
    if not study.trials:
        return NOTHING
    titles = [
        *heads("trial", "state", words=2),
        *heads("score", "believed", "epochs", f"time, {findings.unit.name}", "weights", words=0),
    ]
    titles += heads("origin", "differs from the control in", words=2)
    rows = [_row(study, trial, findings.unit) for trial in sorted(study.trials, key=_rank)]
    note = (
        "First what surely beats the control, then the control, each by what is believed; a score "
        "in brackets is the last of a trial that was not trained "
        "to its end. Believed: what its network is expected to score on other frames like these, by "
        "all runs together. Epochs: the best one of those trained. Weights: those of the network, "
        "in millions."
    )
    listed = table(titles, rows, kind="tall" if len(rows) > FEW else "scroll", folds=True)
    return section("All trials", paragraph(note, kind="note"), listed, name="trials")


def differences(params: Mapping[str, Any], control: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters that the control has otherwise or not at all; what a trial lacks follows
    from these.
    """
    for name in sorted(params):
        if params[name] != control.get(name, ABSENT):
            yield f"{name}={parameter(params[name])}"


def _rank(trial: TrialRecord) -> tuple[int, int, float, int]:
    height = 0.0 if math.isnan(trial.height) else -round(trial.height, 9)
    return STATES.index(trial.state), -trial.standing, height, trial.number


def _row(study: StudyRecord, trial: TrialRecord, unit: Unit) -> Html:
    kind = "best" if trial is study.best else "control" if trial is study.control else ""
    base = study.control.params if study.control else {}
    changed = (
        ", ".join(differences(trial.params, base))
        if trial is not study.control
        else "(the control)"
    )
    return element(
        "tr",
        row_head(f"{trial.number}"),
        cell(_state(trial), f"state state-{trial.state}"),
        number(_score(trial), "score"),
        number(_believed(trial)),
        number(
            f"{trial.best_epoch} of {trial.epochs}"
            if trial.best_epoch
            else f"{trial.epochs or '-'}"
        ),
        number(unit.number(trial.device_s) if trial.device_s else "-"),
        number(f"{trial.parameters / 1e6:.2f}" if trial.parameters else "-"),
        cell(trial.recipe or "sampler"),
        cell(_changed(changed), "words"),
        class_=kind,
    )


def _state(trial: TrialRecord) -> Html:
    cause = (
        f": {trial.cause}" if trial.cause and trial.cause not in (trial.state, "completed") else ""
    )
    words = [f"{trial.state}{cause}"]
    return element(
        "span",
        *words,
        *(
            [element("br"), element("small", one_line(trial.message, LONGEST))]
            if trial.message
            else []
        ),
    )


def _score(trial: TrialRecord) -> str:
    if not math.isnan(trial.score):
        return score(trial.score)
    return f"({score(trial.last_score)})" if trial.curve else "-"


def _believed(trial: TrialRecord) -> str:
    believed = trial.believed
    return f"{score(believed.mean)} ± {score(believed.sd)}" if believed else "-"


def _changed(words: str) -> Html:
    return element("small", words)
