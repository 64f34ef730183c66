"""The top of the report: which study, what came out, and how far to believe it."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from objectives.bundle.belief_in_one import chance
from objectives.bundle.provenance import NO_TEST
from objectives.statistics.interval import Interval
from search.confirm.confirmation import ChosenCandidate
from search.confirm.standing import Standing
from search.posterior.standing import BETTER
from search.report import shown
from search.report.findings import Findings
from search.report.markup import Html, element
from search.report.reading import StudyRecord, TrialRecord
from search.report.sections.parts import NOTHING, joined, paragraph, section, sentences
from search.report.shown import change, counted, score
from search.study.budget import WHY, Limit
from search.study.record import Believed

ENDED = ("complete", "pruned", "infeasible", "failed")
BEGUN = (*ENDED, "running", "interrupted")


def headline(findings: Findings) -> Html:
    """Name, state and the few numbers that matter."""
    study = findings.study
    read_at = datetime.fromtimestamp(study.read_at, UTC)
    warnings = [paragraph(warning, kind="warning") for warning in study.warnings]
    return element(
        "header",
        element("h1", study.spec.name),
        paragraph(
            f"Report of {read_at:%Y-%m-%d %H:%M} UTC. The study {state_of(study)}.", kind="muted"
        ),
        *warnings,
        element("dl", *facts(findings), class_="facts"),
        paragraph(
            f"Data: {data_of(study)}. Score: {study.spec.score}, on the validation part. Budget: "
            f"{budget_of(study)}."
        ),
        paragraph(f"It learns from {learned}.")
        if (learned := str(study.spec.lessons))
        else NOTHING,
    )


def facts(findings: Findings) -> Iterator[Html]:
    """Yield the numbers at the top."""
    study = findings.study
    ledger = findings.ledger
    unit = findings.unit
    if best := study.best:
        yield fact(
            f"best {study.spec.score_words} on validation",
            score(best.score),
            f"trial {best.number}, {origin_of(best.recipe)}",
        )
        if best.believed:
            yield fact(
                "to expect of its network", _believed(best.believed), "posterior mean ± deviation"
            )
    if not math.isnan(study.control_score):
        yield fact("control, the default config", score(study.control_score), "trial 0")
        yield fact("gained over the control", change(ledger.gain), _beats(study))
    if findings.confirmed and (choice := findings.confirmed.choice):
        yield fact(
            "to expect after confirmation",
            score(choice.expected),
            f"trial {choice.candidate}{_range(choice.interval)}",
        )
    ended = len(study.of(*ENDED))
    yield fact("trials ended", f"{ended:,}", f"of a budget of {study.budget.trials:,}")
    if ledger.total.device_s > 0:
        saved = (
            f"{unit.shown(ledger.saved_s)} more without pruning"
            if ledger.saved_s
            else "on all devices"
        )
        yield fact("device time", unit.shown(ledger.total.device_s), saved)


def fact(name: str, value: str, more: str) -> Html:
    """Return one number with its name."""
    return element("div", element("dt", name), element("dd", value, element("small", more)))


def _believed(believed: Believed) -> str:
    return f"{score(believed.mean)} ± {score(believed.sd)}"


def _beats(study: StudyRecord) -> str:
    believed = study.best.believed if study.best else None
    if believed is None or believed.beats_control is None:
        return f"of {study.spec.score_words}"
    return f"it is better with a probability of {chance(believed.beats_control)}"


def believability(findings: Findings) -> Html:
    """In plain words, how far the number at the top may be believed."""
    study = findings.study
    if study.best is None:
        return (
            paragraph("No trial is complete yet, so there is no score to report.")
            if study.of(*BEGUN)
            else NOTHING
        )
    return section(
        "How believable is the number?", sentences(_reasons(findings, study)), name="believable"
    )


def _reasons(findings: Findings, study: StudyRecord) -> Iterator[Html]:
    best = study.best
    assert best is not None
    complete = study.of("complete")
    others = len(study.of(*ENDED)) - len(study.of("complete"))
    if best not in complete:
        yield joined(
            f"{score(best.score)} is the score of a trial that is unfinished: the study's limit "
            f"cut it after "
            f"{counted(best.epochs, 'epoch')}, and it goes on when the study does."
        )
    elif len(complete) == 1:
        yield joined(f"{score(best.score)} is the score of the only complete trial.")
    else:
        also = f" ({counted(others, 'other')} ended early or failed)" if others else ""
        highest = max(complete, key=lambda trial: trial.score)
        what = "the highest score" if best is highest else "one score"
        yield joined(
            f"{score(best.score)} is {what} of {counted(len(complete), 'complete trial')}{also}. "
            f"The highest of many noisy scores is high partly by luck: expect less on new data."
        )
        if best is not highest:
            yield joined(_instead(highest))
    if study.spec.purpose.searches:
        yield joined(
            "The score is that of the trial's best epoch on validation, which adds a little more "
            "luck."
        )
    standing = findings.confirmed
    yield from (
        _confirmed(standing, standing.choice, study)
        if standing and standing.choice
        else _unconfirmed(findings)
    )
    yield from map(joined, standing.remarks if standing else ())
    yield _looks(study.test_looks) if study.spec.has_test else joined(NO_TEST)


def _unconfirmed(findings: Findings) -> Iterator[Html]:
    if not findings.study.spec.purpose.searches:
        return
    yield joined(
        "Not confirmed: ",
        _code("search confirm"),
        " trains the best trials again with other seeds.",
    )
    best = findings.study.best
    if best and best.believed:
        yield joined(
            f"All {best.believed.runs} runs that have ended taken together, the network of trial "
            f"{best.number} can be expected to score {_believed(best.believed)} on other frames like "
            f"those of the validation part."
        )


def _instead(highest: TrialRecord) -> str:
    sentence = f"Trial {highest.number} scored {score(highest.score)}"
    believed = highest.believed
    if believed is None:
        return f"{sentence}."
    worth = f"{sentence}; by all runs together it is believed to be worth {_believed(believed)}"
    if believed.beats_control is None or believed.standing == BETTER:
        return f"{worth}."
    return (
        f"{worth}, and to beat the control with {chance(believed.beats_control)}, which is too "
        f"little to be handed out instead of it."
    )


def _confirmed(confirmed: Standing, choice: ChosenCandidate, study: StudyRecord) -> Iterator[Html]:
    runs = [run for run in confirmed.runs if run.scored]
    searched = next(
        (trial.score for trial in study.trials if trial.number == choice.candidate), math.nan
    )
    folds = confirmed.plan.folds
    how = f"on {folds} folds" if folds else "with other seeds"
    yield joined(
        f"Confirmed in {counted(len(runs), 'run')} of {confirmed.planned} that were planned, in "
        f"which the best trials and the "
        f"control were trained again {how}: trial {choice.candidate} can be expected to "
        f"reach "
        f"{score(choice.expected)}{_range(choice.interval)}; the search alone had said "
        f"{score(searched)}."
    )
    if isinstance(choice.beats_control, float):
        yield joined(f"It beats the control with a probability of {chance(choice.beats_control)}.")


def _looks(looks: int) -> Html:
    match looks:
        case 0:
            return joined(
                "The sealed test part has not been opened: ",
                _code("search export-best"),
                " opens it once, for an honest number.",
            )
        case 1:
            return joined("The sealed test part has been opened once.")
        case _:
            return joined(
                f"The sealed test part has been opened {looks} times: each look that changes a "
                f"choice makes it less honest."
            )


def state_of(study: StudyRecord) -> str:
    """Return what the study is doing, to follow 'the study'."""
    ended = len(study.of(*ENDED))
    work = len(study.of("running"))
    done = f"{ended:,} of {counted(study.budget.trials, 'trial')} ended"
    if not study.of(*BEGUN):
        return "has not begun: no trial has started yet"
    if study.is_over:
        why = WHY.get(study.budget.limit()) or study.budget.no_room
        return f"is over: {done}{f', {why}' if why else ''}"
    doing = (
        "is paused"
        if study.budget.limit() is Limit.PAUSED
        else "is running"
        if work
        else "waits for workers"
    )
    return f"{doing}: {done}, {work:,} at work; every number may still change"


def budget_of(study: StudyRecord) -> str:
    """Return what the study may spend."""
    budget = study.budget
    limits = [f"{counted(budget.trials, 'trial')} of up to {counted(study.epochs, 'epoch')}"]
    limits += [f"{shown.HOURS.shown(budget.gpu_s)} on devices"] if budget.gpu_s else []
    limits += (
        [f"{shown.HOURS.shown(budget.until_s)} from the first trial on"] if budget.until_s else []
    )
    return ", ".join(limits)


def data_of(study: StudyRecord) -> str:
    """Return which data the study is about."""
    size = " at {}x{}".format(*study.spec.frames.size) if study.spec.frames.size else ""
    return f"{study.spec.source}{size} (fingerprint {study.spec.data_fingerprint[:12]})"


def origin_of(recipe: str) -> str:
    """Return where a trial came from."""
    return recipe or "drawn by the sampler"


def _range(interval: object) -> str:
    if not isinstance(interval, Interval):
        return ""
    low, high = interval.of_shares()
    return f" ({100 * interval.level:.0f} % interval {score(low)} to {score(high)})"


def _code(words: str) -> Html:
    return element("code", words)
