"""``--learn-from``: choosing the studies of a database that a new one learns from, and copying what
they have found out. A copy, so that the new study stays what it is when they go on or are deleted.
"""

from collections.abc import Iterator
from contextlib import closing

from optuna.trial import TrialState

from objectives.errors import ProblemsError, UserError
from search.database.connections import open_engine, reachable
from search.posterior.sampler import ENDED, Known
from search.posterior.telling import most_telling
from search.study.known import KNOWN, read_spec
from search.study.learned import AUTO, LearnedRun, LearnedStudy, Lessons
from search.study.spec import StudySpec
from search.study.stored import Study, open_study
from spaces import Fixed, FromParams, Space, load_stored_space

SHARE = 0.8  # of a space's free fields that another one must vary, too
MOST_LEARNED = (
    100  # runs, over all studies that are learned from: each costs time at every proposal
)
DIGITS = 6  # of a score


def with_lessons(spec: StudySpec, url: str) -> StudySpec:
    """Return the specification of a new study with what it learns from; one that is written already
    keeps what it learned then, if as much was asked of it.

    Raises:
        UserError: A study that is named is not there or cannot teach this one.
        WorldError: Without a database.
    """
    asked = spec.lessons.asked
    if not asked:
        return spec
    engine = open_engine(url)
    with reachable(url), engine.connect() as connection:
        stored = {row.study_name: row.spec for row in connection.execute(KNOWN)}
    engine.dispose()
    if spec.name in stored:
        there = read_spec(spec.name, stored[spec.name]).lessons
        return spec.model_copy(update={"lessons": there}) if there.asked == asked else spec
    found = [*(_fitting(spec, url, stored) if asked == AUTO else _named(spec, url, [*stored]))]
    most = MOST_LEARNED // max(len(found), 1)
    studies = tuple(each.model_copy(update={"runs": _of_most(each, most)}) for each in found)
    return spec.model_copy(update={"lessons": Lessons(asked=asked, studies=studies)})


def _of_most(study: LearnedStudy, most: int) -> tuple[LearnedRun, ...]:
    heights = [max(run.scores) for run in study.runs]
    return tuple(study.runs[place] for place in most_telling(heights, most))


def _named(spec: StudySpec, url: str, there: list[str]) -> Iterator[LearnedStudy]:
    for name in dict.fromkeys(each.strip() for each in spec.lessons.asked.split(",")):
        if name == spec.name:
            raise UserError(f"--learn-from: study {name!r} cannot learn from itself: name another")
        if name not in there:
            names = ", ".join(each for each in there if each != spec.name) or "there is none yet"
            raise UserError(f"--learn-from: no study {name!r} in this database: {names}")
        with closing(open_study(url, name)) as study:
            yield learned_from(study, spec)


def _fitting(spec: StudySpec, url: str, there: dict[str, object]) -> Iterator[LearnedStudy]:
    for name in there:
        try:
            with closing(open_study(url, name)) as study:
                yield learned_from(study, spec)
        except UserError:
            continue


def learned_from(study: Study, spec: StudySpec) -> LearnedStudy:
    """Return what a new study can learn from another one: its whole and pruned runs whose configs lie
    in the new space, but for their number of epochs.

    Raises:
        UserError: It does not search, its score is another one, its space has too little in common
            with the new one, or no whole run of it fits.
    """
    space = load_stored_space(spec.space)
    if problem := _unlike(study, spec, space):
        raise UserError(f"--learn-from: study {study.spec.name!r} {problem}")
    with study.engine.connect() as connection:
        known = Known(study.ground, study.optuna, study.history.read(connection))
    whole = [source.state == TrialState.COMPLETE for source in known.sources]
    if not any(whole):
        raise UserError(
            f"--learn-from: study {study.spec.name!r} has no complete trial yet: wait for one, or "
            f"name another study"
        )
    runs = []
    for tried, source, run in zip(known.configs, known.sources, known.runs, strict=True):
        if source.state not in ENDED:
            continue
        try:
            params = space.encode(space.paced(study.space.draw(FromParams(tried.params))))
        except ProblemsError:
            continue
        scores = tuple(round(float(score), DIGITS) for score in run.scores_E)
        runs.append(LearnedRun(params=params, scores=scores, whole=run.whole))
    if not any(run.whole for run in runs):
        raise UserError(
            f"--learn-from: no complete trial of study {study.spec.name!r} lies in the new space: "
            f"widen the space, or name another study"
        )
    control = known.from_runs().of([]).means_C[-1]
    return LearnedStudy(
        study=study.spec.name,
        epochs=study.ground.epochs,
        control=round(float(control), DIGITS),
        runs=tuple(runs),
    )


def _unlike(study: Study, spec: StudySpec, space: Space) -> str:
    """Return why a study has nothing to teach, the rest of a sentence; empty where it may have."""
    if not study.spec.purpose.searches:
        return f"{study.spec.purpose.words}: name that one"
    if study.spec.score != spec.score:
        return (
            f"has another score, {study.spec.score} instead of {spec.score}: name one whose score "
            f"is the same"
        )
    wanted, theirs = free_fields(space), free_fields(study.space)
    lacking = [name for name in wanted if name not in theirs]
    if len(wanted) - len(lacking) < SHARE * len(wanted):
        return (
            f"varies {len(wanted) - len(lacking)} of this space's {len(wanted)} free fields, "
            f"{SHARE:.0%} are needed (it lacks {', '.join(lacking)}): name one with a space more "
            f"like this one"
        )
    return ""


def free_fields(space: Space) -> list[str]:
    """Return the fields that vary in a space."""
    return [path for path, domain in space.domains.items() if not isinstance(domain, Fixed)]
