"""The report's charts of a study's scores."""

import math
from collections.abc import Sequence
from statistics import median

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.report import shown
from search.report.drawing import Chart, Point, Tick, across, upwards
from search.report.markup import Html
from search.report.numbers import Moment
from search.report.reading import StudyRecord, TrialRecord
from search.report.scales import Scale, padded

SLICE = {"width": 360, "height": 240}
_REACH = 4.0  # times from the median up to the best, that an axis reaches down
_GOLDEN = 0.618034  # its multiples spread evenly
_SPREAD = 0.3  # of the room of one option or whole number, over which its dots are spread


def visible_scores(scores: Sequence[float]) -> list[float]:
    """Return the scores that an axis must hold: a few failures far below must not press all others
    together.
    """
    top = max(scores)
    floor = top - max(_REACH * (top - median(scores)), 0.02)
    return [score for score in scores if score >= floor]


def progress_chart(
    study: StudyRecord, moments: Sequence[Moment], total_s: float, unit: shown.Unit
) -> Html:
    """Return each complete trial and the best so far against device time."""
    scores = [moment.score for moment in moments]
    x = Scale(0.0, max(total_s / unit.seconds, 1e-6), *across())
    chart = Chart(x, padded(visible_scores(scores), *upwards()))
    if not math.isnan(study.control_score):
        chart.level(study.control_score, "control")
    for moment in moments:
        chart.dot(
            (moment.spent_s / unit.seconds, moment.score),
            "complete",
            _told(moment.number, moment.score),
            radius=2.6,
        )
    chart.lines([_steps(moments, total_s, unit)], "best")
    # none of a best one that a limit has cut
    for moment in moments:
        if study.best and moment.number == study.best.number:
            chart.dot(
                (moment.spent_s / unit.seconds, moment.score),
                "best",
                f"the best: {_told(moment.number, moment.score)}",
                radius=5,
            )
    return chart.svg("best score so far against device time", f"device time, {unit.name}")


def learning_chart(study: StudyRecord) -> Html:
    """Return every trial's score by epoch; crosses where trials were pruned, and the rungs at which
    that is decided.
    """
    curves = [trial for trial in study.trials if trial.curve]
    last = max(study.epochs, *(trial.curve[-1][0] for trial in curves))
    first = min(1, *(trial.curve[0][0] for trial in curves))
    # trials of one epoch are points
    x = Scale(first if first < last else first - 1, last, *across())
    chart = Chart(x, padded([score for trial in curves for _, score in trial.curve], *upwards()))
    for rung in study.rungs:
        chart.gate(rung, f"{rung}")
    for state in ("pruned", "failed", "complete"):
        chart.lines([trial.curve for trial in curves if trial.state == state], state)
    chart.lines(
        [trial.curve for trial in curves if trial.state in ("running", "interrupted")], "running"
    )
    chart.crosses([trial.curve[-1] for trial in curves if trial.state == "pruned"], "pruned")
    chart.crosses([trial.curve[-1] for trial in curves if trial.state == "failed"], "failed")
    for trial, kind in ((study.control, "control"), (study.best, "best")):
        if trial and trial.curve:
            chart.lines([trial.curve], f"thick {kind}")
            chart.dot(trial.curve[-1], kind, _told(trial.number, trial.last_score))
    return chart.svg("learning curves of all trials", "epoch")


def slice_chart(study: StudyRecord, name: str) -> Html:
    """Return the values of one parameter against the scores of the complete trials that have it."""
    trials = [trial for trial in study.of("complete") if name in trial.params]
    x, places, ticks = _values(name, trials)
    chart = Chart(
        x,
        padded(visible_scores([trial.score for trial in trials]), *upwards(SLICE["height"])),
        **SLICE,
    )
    chart.dots(
        [(place, trial.score) for place, trial in zip(places, trials, strict=True)], "complete"
    )
    for marked, style in ((study.control, "control"), (study.best, "best")):
        if marked in trials:
            place = places[trials.index(marked)]
            chart.dot(
                (place, marked.score),
                style,
                f"{style}: {shown.parameter(marked.params[name])}",
                radius=5,
            )
    return chart.svg(f"{name} against the score", name, x_ticks=ticks)


def _values(name: str, trials: Sequence[TrialRecord]) -> tuple[Scale, list[float], list[Tick]]:
    """Return a scale of the parameter's values, where each trial lies on it, and ticks where the
    scale has not its own.
    """
    ends = across(SLICE["width"])
    kind = trials[-1].distributions[name]
    aside = [_SPREAD * (trial.number * _GOLDEN % 1 - 0.5) for trial in trials]
    values = [trial.params[name] for trial in trials]
    match kind:
        case CategoricalDistribution():
            options = list(
                dict.fromkeys(option for trial in trials for option in _options(trial, name))
            )
            places = [
                options.index(value) + shift for value, shift in zip(values, aside, strict=True)
            ]
            ticks = [
                (float(index), shown.parameter(option)[:14]) for index, option in enumerate(options)
            ]
            return Scale(-0.5, len(options) - 0.5, *ends), places, ticks
        case IntDistribution(log=False):
            scale = Scale(min(values) - 0.5, max(values) + 0.5, *ends)
            whole = [(value, f"{value:g}") for value in scale.ticks() if value == int(value)]
            return scale, [value + shift for value, shift in zip(values, aside, strict=True)], whole
        case FloatDistribution() | IntDistribution():
            return padded(values, *ends, log=kind.log), [float(value) for value in values], []
        case _:
            raise AssertionError(f"Optuna has no such distribution: {kind!r}")


def _options(trial: TrialRecord, name: str) -> Sequence[object]:
    kind = trial.distributions[name]
    return kind.choices if isinstance(kind, CategoricalDistribution) else (trial.params[name],)


def _steps(moments: Sequence[Moment], total_s: float, unit: shown.Unit) -> list[Point]:
    """Return the best so far as a staircase up to now."""
    points: list[Point] = []
    for moment in moments:
        x = moment.spent_s / unit.seconds
        points += [(x, points[-1][1])] if points else []
        points.append((x, moment.best))
    return [*points, (total_s / unit.seconds, points[-1][1])]


def _told(number: int, score: float) -> str:
    return f"trial {number}: {shown.score(score)}"
