"""The reports' systems trained under one budget: a table of what they report beside what this study
measured.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from objectives.outputs.atomic import file_at_once
from objectives.outputs.place import refuse_output
from search.study.record import Notes, State
from search.study.stored import Study
from search.study.unfinished import read_unfinished
from spaces.recipes import Recipe, load_recipes

# of the data, as recipes name them beside classes
PARTS = (
    "val",
    "test",
    "hidden",
    "hidden_second_run",
    "hidden_after_search",
    "val_all_data",
    "hidden_all_data",
)
PRINTED = Path("-")  # no file
MADE = "Made by `"
SHOWN = 12  # digits of a fingerprint
STATES = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
}


@dataclass(frozen=True)
class RecipeResult:
    """What one trial of a recipe came to; ``score`` and IoU are fractions, NaN where
    there is none.
    """

    recipe: str
    number: int
    state: State
    cause: str
    score: float
    per_class: Mapping[str, float]
    best_epoch: int
    epochs: int
    parameters: int  # 0: not known
    minutes: float


def measure(study: Study) -> list[RecipeResult]:
    """Return the named trials of a study that have ended, or that its limit has cut, the best
    first.
    """
    named = [
        trial
        for trial in study.storage.get_all_trials(study.id, deepcopy=False)
        if Notes.of(trial).recipe
    ]
    cut = {each.number: each.score for each in read_unfinished(study)}
    measured = [_measured(trial) for trial in named if trial.state.is_finished()]
    unfinished = [trial for trial in named if trial.number in cut]
    measured += [
        replace(_measured(trial), state=State.UNFINISHED, score=cut[trial.number])
        for trial in unfinished
    ]
    return sorted(measured, key=lambda each: (math.isnan(each.score), -each.score, each.number))


def _measured(trial: FrozenTrial) -> RecipeResult:
    notes = Notes.of(trial)
    return RecipeResult(
        recipe=notes.recipe,
        number=trial.number,
        state=STATES.get(trial.state, State.RUNNING),
        cause=notes.cause,
        score=float("nan") if trial.value is None else trial.value,
        per_class=notes.per_class,
        best_epoch=notes.best_epoch,
        epochs=notes.epochs,
        parameters=notes.parameters,
        minutes=notes.train_s / 60,
    )


def refuse_table(out: Path, *, force: bool, source: str) -> None:
    """Refuse to write the table to ``out`` where something else stands.

    Raises:
        UserError: Something else stands there.
    """
    if out != PRINTED:
        refuse_output(out, "table of recipes", written_here=_is_table, force=force, source=source)


def _is_table(path: Path) -> bool:
    with path.open(encoding="utf-8") as opened:
        return opened.read(len(MADE)) == MADE


def write_table(study: Study, out: Path, *, command: str, replace: bool = False) -> None:
    """Write the table of a study's recipes below the command that makes it again, whole or not at
    all; ``-`` prints it, unless nothing has ended.
    """
    measured = measure(study)
    if out == PRINTED and not measured:
        return
    names = dict.fromkeys(name for each in measured for name in each.per_class)
    spec = study.spec
    made = (
        f"{MADE}{command}` on data {spec.data_fingerprint[:SHOWN]}, objective version "
        f"{spec.objective_version}. Figures are in percent: reported ones are mean IoU, ours "
        f"{spec.score_words}, those of classes IoU."
    )
    table = f"{made}\n\n{markdown(measured, names, spec.score_words)}"
    if out == PRINTED:
        print(table, end="")
    else:
        with file_at_once(out, replace=replace) as draft:
            draft.write_text(table, encoding="utf-8")


def markdown(measured: Iterable[RecipeResult], class_names: Iterable[str], words: str) -> str:
    """Return the table: each recipe with the figures of its report and of this study, whose score
    is described by ``words``, in percent.
    """
    recipes = {recipe.name: recipe for recipe in load_recipes()}
    names = tuple(class_names)
    head = [
        "recipe",
        "reported mIoU %",
        f"here {words} %",
        *names,
        "best epoch",
        "parameters",
        "minutes",
    ]
    lines = [_line(head), _line(["---"] * 2 + ["---:"] * (len(head) - 2))]
    lines += [_line(_cells(each, recipes.get(each.recipe), names)) for each in measured]
    return "\n".join(lines) + "\n"


def _cells(each: RecipeResult, recipe: Recipe | None, names: tuple[str, ...]) -> list[str]:
    scored = {
        State.COMPLETE: _percent(each.score),
        State.UNFINISHED: f"{_percent(each.score)} (unfinished)",
    }
    here = scored.get(each.state, each.cause or each.state)
    classes = [_percent(each.per_class.get(name, float("nan"))) for name in names]
    epochs = f"{each.best_epoch} of {each.epochs}" if each.epochs else "-"
    reported = shown_reported(recipe.reported) if recipe else "-"
    parameters = f"{each.parameters:,}" if each.parameters else "-"
    return [each.recipe, reported, here, *classes, epochs, parameters, f"{each.minutes:.1f}"]


def shown_reported(reported: Mapping[str, float]) -> str:
    """Return a report's figures in one cell: ``val 59.45, test 58.91``; figures by class are left
    to the recipe itself.
    """
    return (
        ", ".join(f"{name} {value:g}" for name, value in reported.items() if name in PARTS) or "-"
    )


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
