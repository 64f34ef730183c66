"""Which runs an ensemble may combine: those whose weights are there, and which none of the
validation part has trained.

Members must be alike in how their weights were chosen, or what made one optimistic would choose it.
So a study that is not confirmed has the trials of the search, each at its best epoch, also those
that a limit has cut. A confirmed one has the runs of its confirmation alone, each at its last
epoch; beside them, the search's own runs of the same configs would win by the luck that the
confirmation was made to remove. The search's trials alone can be asked for. Of the confirmation
only runs on one and the same parts count: those with the first seed or on the first fold, with
``--no-resplit`` all. Every other one has trained on frames that these are validated on.
"""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from objectives.errors import UserError, one_line
from search.confirm.plan import cells
from search.study.record import Notes
from search.study.stored import Study
from search.study.unfinished import Exportable, read_unfinished
from search.trials.checkpoints import BEST

KEPT = text("""
    SELECT trial_id, number, value, 0, value
    FROM trials JOIN trial_values USING (trial_id) JOIN search_checkpoint USING (trial_id)
    WHERE study_id = :study_id AND state = 'COMPLETE' AND kind = :kind ORDER BY value DESC, number
""")


def member_runs(holder: Study) -> list[int]:
    """Return the ids of the runs of a search, or of the study that confirms it, the one with the
    highest score first.

    Raises:
        UserError: With fewer than two.
    """
    with holder.engine.connect() as connection:
        runs = [
            Exportable(*row)
            for row in connection.execute(KEPT, {"study_id": holder.id, "kind": BEST})
        ]
    purpose = holder.spec.purpose
    runs += read_unfinished(holder) if purpose.searches else []
    kept = [run.trial_id for run in sorted(runs, key=lambda run: (-run.score, run.number))]
    if not purpose.searches:
        whole = {
            cell.trial_id
            for cell in cells(holder)
            if cell.scored and (cell.seed == 0 or not purpose.resplit)
        }
        kept = [trial_id for trial_id in kept if trial_id in whole]
    if len(kept) < 2:
        what = (
            "complete trial(s) with their weights"
            if purpose.searches
            else "ended run(s) on one and the same parts"
        )
        raise UserError(
            f"--ensemble combines at least two runs, and study {holder.spec.name!r} has "
            f"{len(kept)} {what}: wait for more "
            "(`search status`), or export without it"
        )
    return kept


def listed_runs(searched: Study, members: Sequence[str]) -> list[int]:
    """Return the ids of trials of a search, each named by its number, or by the name or the row of
    its recipe, in that order.

    They are the search's own, whether it is confirmed or not, each at its best epoch.

    Raises:
        UserError: For a name that no trial has, or more than one, and for one that is not complete.
    """
    trials = searched.optuna.get_trials(deepcopy=False)
    at_hand = {
        trial._trial_id
        for trial in trials
        if trial.value is not None and trial.state == TrialState.COMPLETE
    }
    at_hand |= {trial.trial_id for trial in read_unfinished(searched)}
    runs = []
    for member in members:
        named = [trial for trial in trials if member.lower() in _names(trial)]
        if len(named) > 1:
            numbers = ", ".join(str(trial.number) for trial in named)
            raise UserError(
                f"--ensemble-of {one_line(member, 40)}: trials {numbers} have that name; give a "
                f"number"
            )
        if not named or named[0]._trial_id not in at_hand:
            state = (
                f"trial {named[0].number} is {named[0].state.name.lower()}"
                if named
                else "no trial has that name"
            )
            raise UserError(
                f"--ensemble-of must name complete trials of study {searched.spec.name!r}, by "
                f"number or recipe, got "
                f"{one_line(member, 40)!r}: {state}; see `search status`"
            )
        runs.append(named[0]._trial_id)
    if repeated := next(
        (member for member, run in zip(members, runs, strict=True) if runs.count(run) > 1), ""
    ):
        raise UserError(f"--ensemble-of names a trial twice: {one_line(repeated, 40)}")
    return runs


def _names(trial: FrozenTrial) -> set[str]:
    recipe = Notes.of(trial).recipe.lower()
    return {str(trial.number), recipe, recipe.partition("-")[0]} - {""}
