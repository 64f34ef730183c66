"""``search migrate``: a study in a changed space that begins with what another study has found out.

A trial is copied when its config lies in the new space and its score means the same there. The
copies are ended trials like any other: the sampler learns from them, pruning compares with them,
and the best of them can be exported. Nothing is trained for them, so they stand beside the budget
of new trials.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, text

from objectives.errors import ProblemsError, UserError
from search.place import Place
from search.study.copied import copy_of, is_control, unusable
from search.study.known import KNOWN
from search.study.record import RECIPE, Notes
from search.study.sampling import FirstTrial, first_trials, startup_trials
from search.study.setup import Prepared, Request, prepare
from search.study.spec import StudySpec, refuse_derived
from search.study.stored import Study, create_study, enqueue
from spaces import FromParams, Space, load_stored_space

COPY_POINTERS = text("""
    INSERT INTO search_checkpoint (trial_id, kind, blob, epoch, score)
    SELECT :copy, kind, blob, epoch, score FROM search_checkpoint WHERE trial_id = :original AND kind = 'best' FOR SHARE
""")  # the share lock keeps the originals, and so their blobs, until the copies are there

COPY_EPOCHS = text("""
    INSERT INTO search_epoch (trial_id, epoch, measured, soft_score, balanced_nll, seconds)
    SELECT :copy, epoch, measured, soft_score, balanced_nll, seconds FROM search_epoch WHERE trial_id = :original
""")


@dataclass(frozen=True)
class Migration:
    """What of a study fits into another space: the copies by number, and how many others were left
    out, by reason.
    """

    copies: tuple[FrozenTrial, ...]  # each with the id of its original
    with_control: bool  # the first of them is the new space's control, complete
    left_out: Counter[str]

    def __str__(self) -> str:
        states = Counter(copy.state.name.lower() for copy in self.copies)
        sentence = (
            f"{len(self.copies)} trials copied "
            f"({', '.join(f'{n} {state}' for state, n in sorted(states.items()))})"
        )
        if not self.left_out:
            return sentence
        reasons = "; ".join(f"{number}: {why}" for why, number in self.left_out.most_common())
        return f"{sentence}, {self.left_out.total()} left out ({reasons})"


@dataclass(frozen=True)
class Wish:
    """The new study, as far as it does not follow the old one."""

    name: str
    space: str
    trials: int  # new ones
    sets: tuple[str, ...] = ()
    recipes: str = ""
    gpu_s: float = 0.0
    until_s: float = 0.0
    source: str = ""  # where the old one's data lies here; empty: where it was


def migrate_study(old: Study, wish: Wish, place: Place) -> Iterator[str]:
    """Write the new study, and say in lines for people what was found and done.

    Raises:
        UserError: Space, data or study do not fit; nothing is written then.
    """
    prepared = prepare(_request(old, wish), place)
    check_same_scores(old.spec, prepared.spec)
    migration = find_copies(old, load_stored_space(prepared.spec.space))
    yield from prepared.findings
    yield str(migration)
    yield write_migration(place.storage, old, prepared, migration)


def find_copies(old: Study, space: Space) -> Migration:
    """Return the ended trials of a study that fit into a space.

    Raises:
        UserError: There is none.
    """
    refuse_derived(old.spec, "migrate that one")
    copies = list[FrozenTrial]()
    left_out = Counter[str]()
    for trial in old.optuna.get_trials(deepcopy=False):
        if reason := unusable(trial):
            left_out[reason] += 1
            continue
        try:
            params = space.encode(old.space.draw(FromParams(trial.params)))
        except ProblemsError as error:
            left_out[f"{error.problems[0].where} {error.problems[0].rule}"] += 1
        else:
            copies.append(copy_of(old, trial, space, params))
    if not copies:
        reasons = (
            "; ".join(f"{n} trials: {why}" for why, n in left_out.most_common())
            or "it has no trial"
        )
        raise UserError(
            f"nothing of study {old.spec.name!r} fits into the new space ({reasons}): start one "
            f"with `search init`"
        )
    controls = [copy for copy in copies if is_control(copy, space)]
    if controls:  # trial 0 of the new study
        copies.remove(controls[0])
        controls[0].set_user_attr(RECIPE, "control")
    return Migration((*controls[:1], *copies), bool(controls), left_out)


def check_same_scores(old: StudySpec, new: StudySpec) -> None:
    """Refuse two studies whose scores cannot be compared.

    Raises:
        UserError: Something differs; it is named.
    """
    pairs = {
        "data": (old.data_fingerprint[:12], new.data_fingerprint[:12]),
        "score": (old.score, new.score),
        "objective version": (old.objective_version, new.objective_version),
        "version of Optuna": (old.optuna, new.optuna),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise UserError(
                f"study {old.name!r} cannot be migrated: its {what} is {theirs}, here it is "
                f"{ours}, so that old and new scores "
                "would not mean the same; start a new study with `search init`"
            )


def write_migration(url: str, old: Study, prepared: Prepared, migration: Migration) -> str:
    """Write the new study with its copies, or find it there; says which. ``prepared`` counts its
    new trials alone.

    Nobody can join it before all of it is there; what a crash left of it is begun anew.

    Raises:
        UserError: Another study has its name.
    """
    spec = prepared.spec
    new = prepared.spec.trials
    there = copies_there(old, spec.name)
    whole = spec.model_copy(update={"trials": new + len(there or migration.copies)})
    if there:
        create_study(url, whole)
        return (
            f"study {spec.name!r} is there already, with equal settings and {len(there)} "
            f"copied "
            f"trials"
        )

    def begin(study: optuna.Study, written: StudySpec, connection: Connection) -> int:
        control, rest = first_of(spec, written, migration)
        for first in control:
            enqueue(study, first)
        for copy in migration.copies:
            study.add_trial(copy)
            connection.execute(text("SELECT 1"))  # it holds the lock, and is not idle meanwhile
        for first in rest:
            enqueue(study, first)
        ids = [
            trial._trial_id
            for trial in study.get_trials(deepcopy=False)
            if Notes.of(trial).original
        ]
        # a copy too many is recognised by the number of all
        pairs = [
            {"copy": copied, "original": copy._trial_id}
            for copied, copy in zip(ids, migration.copies, strict=False)
        ]
        connection.execute(COPY_POINTERS, pairs)
        connection.execute(COPY_EPOCHS, pairs)
        return len(control) + len(migration.copies) + len(rest)

    create_study(url, whole, begin=begin)
    first = "its control is among the copies" if migration.with_control else "the control first"
    return (
        f"study {spec.name!r}: {new} new trials of {prepared.epochs} epochs ({whole.trials} "
        f"with the copies), {first}"
    )


def first_of(
    spec: StudySpec, whole: StudySpec, migration: Migration
) -> tuple[list[FirstTrial], list[FirstTrial]]:
    """Return what a migrated study trains first, besides its copies: the control before them,
    recipes, or steps and neighbours, after them.

    ``spec`` counts the new trials alone, ``whole`` the copies too. Recipes and steps that were copied are
    not tried again, and steps and neighbours of the control only as far as the copies are too few for the
    sampler to start with.
    """
    control, *rest = first_trials(spec)
    tried = [copy.params for copy in migration.copies]
    rest = [first for first in rest if first.params not in tried]
    if not spec.recipes:
        rest = rest[: max(0, startup_trials(whole) - 1 - len(migration.copies))]
    return ([] if migration.with_control else [control]), rest


def copies_there(old: Study, name: str) -> list[FrozenTrial]:
    """Return the copies of the study of this name; none when there is no such study, or not all of
    it.

    Raises:
        UserError: The study has not come from the old one.
    """
    with old.engine.connect() as connection:
        if name not in {row.study_name for row in connection.execute(KNOWN)}:
            return []
    trials = optuna.load_study(study_name=name, storage=old.storage).get_trials(deepcopy=False)
    copies = {trial.number: original for trial in trials if (original := Notes.of(trial).original)}
    if {original.study for original in copies.values()} != {old.spec.name}:
        raise UserError(
            f"study {name!r} exists, and has not come from {old.spec.name!r}: choose another name "
            f"with --to"
        )
    return [trials[number] for number in copies]


def _request(old: Study, wish: Wish) -> Request:
    return Request(
        name=wish.name,
        source=wish.source or old.spec.source,
        space=wish.space,
        trials=wish.trials,
        sets=wish.sets,
        until_s=wish.until_s,
        gpu_s=wish.gpu_s,
        frames=old.spec.frames,
        recipes=wish.recipes,
        kept_weights=old.space.weights,
    )
