"""The lines that make a study and its model again: commands for a shell, and a comment where no
command leads.

A study is written again with the budget that it had at first, for its first trials and its sampler
go by that; what it was given later is given again before its first trial, which leads to the same
draws.
"""

import shlex
from collections.abc import Sequence

from optuna.trial import FrozenTrial

from objectives.errors import UserError
from search.confirm.plan import choose_candidates, plan_of
from search.export.given_weights import weights_lines, weights_words
from search.export.space_words import leads_to, sets_for, space_words
from search.export.winner import Winner
from search.study.budget import Budget, current_budget
from search.study.migrate import find_copies
from search.study.option_words import frame_words, plain
from search.study.record import Notes
from search.study.spec import StudySpec
from search.study.stored import Study, open_study
from spaces import load_space, load_stored_space
from spaces.recipes import implied_sets

LEFT_OUT_FILE = "left-out.txt"


def reproduction(
    study: Study, winner: Winner, num_classes: int, program: str, export: str
) -> tuple[str, ...]:
    """Return the lines from the program to the bundle: of ``program``, the study, its confirmation,
    and ``export``.

    A study is the same again with the same trials in the same order, which more than one worker at
    a time does not promise.
    """
    checkout = (
        [f"git checkout {program.split()[1].rstrip(',')}"] if program.startswith("git ") else []
    )
    confirming = winner.study.spec
    confirm = [] if confirming.purpose.searches else _confirm_lines(study, winner.study)
    return (*checkout, *study_lines(study, num_classes), *confirm, export)


def study_lines(study: Study, num_classes: int) -> list[str]:
    """Return the lines that write a study and train it."""
    spec = study.spec
    worker = _trained_on(study) + shlex.join(["search", "worker", "--study", spec.name])
    more = extend_commands(spec, current_budget(study))
    copies = [
        trial for trial in study.optuna.get_trials(deepcopy=False) if Notes.of(trial).original
    ]
    if copies:
        return [*_migrate_lines(study, copies, num_classes), *more, worker]
    if spec.recipe_filters == 1.0:
        before = [*leave_out_lines(spec), *weights_lines(spec)]
        return [*before, init_command(spec, num_classes), *more, worker]
    # it trains, too
    return [
        *leave_out_lines(spec),
        _trained_on(study) + recipes_line(spec, num_classes),
        *([*more, worker] if more else []),
    ]


def _trained_on(study: Study) -> str:
    """Return what stands before a command that trains the trials of a study: that their frames were augmented
    on the device.
    """
    trials = study.optuna.get_trials(deepcopy=False)
    there = any(Notes.of(trial).augmented_on == "device" for trial in trials)
    return "SEARCH_AUGMENT=device " if there else ""


def init_command(spec: StudySpec, num_classes: int) -> str:
    """``search init`` with every option in which the study differs from what that command does by
    itself.
    """
    words = [
        "search",
        "init",
        "--study",
        spec.name,
        "--data",
        spec.source,
        *space_words(spec, num_classes),
        *(word for each in weights_words(spec) for word in ("--weights", each)),
    ]
    words += ["--trials", str(spec.trials), "--seed", str(spec.seed)]
    return _joined(
        words,
        {
            **_limits(spec.gpu_s, spec.until_s),
            **_frame_words(spec),
            "--recipes": ",".join(spec.recipes),
            "--learn-from": spec.lessons.asked,
        },
    )


def leave_out_lines(spec: StudySpec) -> list[str]:
    """Return the line that writes the list of the frames that a study leaves out; none
    without any.
    """
    names = shlex.join(spec.frames.leave_out)
    return [f"printf '%s\\n' {names} > {LEFT_OUT_FILE}"] if names else []


def recipes_line(spec: StudySpec, num_classes: int) -> str:
    """``search recipes run``, which alone takes a share of each recipe's filters, as
    `init_command`.
    """
    epochs = load_stored_space(spec.space).default().train.epochs
    implied = implied_sets(epochs, spec.recipe_filters)
    sets = sets_for(load_space("recipes", implied), spec.space["domains"])
    if not leads_to("recipes", [*implied, *sets], num_classes, spec):
        return (
            f"# no command leads to study {spec.name!r}, {spec.recipe_filters:g} of its "
            f"recipes' filters and this space"
        )
    words = ["search", "recipes", "run", "--study", spec.name, "--data", spec.source]
    words += ["--recipes", ",".join(spec.recipes) or "all", "--epochs", str(epochs)]
    words += ["--scale", plain(spec.recipe_filters), "--seed", str(spec.seed)]
    return _joined(
        [*words, *(word for each in sets for word in ("--set", each))], _frame_words(spec)
    )


def extend_commands(spec: StudySpec, budget: Budget) -> list[str]:
    """``search extend`` with what the study was given since it was written; none without that."""
    trials = budget.trials - spec.trials
    more = {"--trials": f"+{trials}" if trials else ""}
    more |= _limits(budget.gpu_s, budget.until_s, gpu_s=spec.gpu_s, until_s=spec.until_s)
    return [_joined(["search", "extend", "--study", spec.name], more)] if any(more.values()) else []


def migrate_command(
    spec: StudySpec, old: str, copies: int, num_classes: int, *, source: str
) -> str:
    """``search migrate`` with what was asked of it; the rest is the ``old`` study's, and so are the
    ``copies``.
    """
    words = [
        "search",
        "migrate",
        "--study",
        old,
        "--to",
        spec.name,
        *space_words(spec, num_classes),
    ]
    words += ["--trials", str(spec.trials - copies)]
    return _joined(
        words,
        {
            "--recipes": ",".join(spec.recipes),
            **_limits(spec.gpu_s, spec.until_s),
            "--data": source,
        },
    )


def _migrate_lines(study: Study, copies: Sequence[FrozenTrial], num_classes: int) -> list[str]:
    """Return the lines of the study that the copies come from, then ``search migrate``; a comment
    where that one is another by now.
    """
    spec = study.spec
    original = Notes.of(copies[0]).original
    assert original, copies[0].number
    name = original.study
    try:
        old = open_study(study.engine.url.render_as_string(hide_password=False), name)
    except UserError:  # deleted, or of another version
        old = None
    before = list[str]()
    source = spec.source
    if old is not None:
        before = study_lines(old, num_classes) if _gives(old, study, copies) else []
        source = "" if before and old.spec.source == spec.source else spec.source
        old.close()
    comment = (
        f"# study {spec.name!r} began with {len(copies)} trials copied from study {name!r} as that "
        f"was then, "
        "to which no command leads back: the next line needs it"
    )
    return [
        *(before or [comment]),
        migrate_command(spec, name, len(copies), num_classes, source=source),
    ]


def _gives(old: Study, new: Study, copies: Sequence[FrozenTrial]) -> bool:
    """Return whether a study, trained to the end of its present budget, gives another one just the
    copies that this has.
    """
    budget = current_budget(old)
    if (
        budget.waiting
        or budget.running
        or budget.counted < budget.trials
        or old.spec.frames != new.spec.frames
    ):
        return False
    try:
        copied = find_copies(old, new.space).copies
    except UserError:
        return False
    return [_told(copy) for copy in copied] == [_told(copy) for copy in copies]


def _told(copy: FrozenTrial) -> tuple[object, ...]:
    return Notes.of(copy).original, copy.params, copy.value, copy.state


def _confirm_lines(study: Study, confirming: Study) -> list[str]:
    """``search confirm``; after a comment, where the trials of now would give it other
    candidates.
    """
    confirm = plan_of(confirming.spec)
    words = [
        "search",
        "confirm",
        "--study",
        confirm.study,
        "--top",
        str(confirm.best),
        f"--{confirm.turns}",
        str(confirm.seeds),
    ]
    if not confirm.folds:
        words.append("--resplit" if confirm.resplit else "--no-resplit")
    command = _trained_on(confirming) + shlex.join(words)
    if choose_candidates(study, confirm.best) == confirm.candidates:
        return [command]
    return [
        f"# study {confirming.spec.name!r} was planned before all of these trials had ended: now it "
        f"would be of others",
        command,
    ]


def _joined(words: list[str], options: dict[str, str]) -> str:
    """Return the words and each option that has a value, for a shell."""
    return shlex.join(
        [*words, *(word for option, value in options.items() if value for word in (option, value))]
    )


def _frame_words(spec: StudySpec) -> dict[str, str]:
    return frame_words(spec.frames) | {
        "--leave-out": LEFT_OUT_FILE if spec.frames.leave_out else ""
    }


def _limits(
    gpu_now_s: float, until_now_s: float, *, gpu_s: float = 0.0, until_s: float = 0.0
) -> dict[str, str]:
    """Return the options that raise two limits from what they were to what they are, exactly."""
    hours = (gpu_now_s - gpu_s) / 3600
    seconds = until_now_s - until_s
    return {
        "--gpu-hours": plain(hours, lambda more: gpu_s + 3600 * more == gpu_now_s) if hours else "",
        "--until": f"{plain(seconds, lambda more: until_s + more == until_now_s)}s"
        if seconds
        else "",
    }
