"""Writing a study: data and space are checked in full before anything is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from objectives.data.dataset import DataOptions, Dataset, drop_reasons, open_dataset
from objectives.errors import UserError
from search.artifacts import check_writable, open_blobs
from search.artifacts.marker import mark_place
from search.database.checks import refuse_unfit
from search.database.connections import open_engine, reachable
from search.database.schema import refuse_outdated
from search.place import Place
from search.study.data_path import data_path
from search.study.learned import Lessons
from search.study.names import refuse_long_name
from search.study.sisters import with_lessons
from search.study.spec import StudySpec, score_definition
from search.study.stored import create_study
from spaces import Recipe, Space, choose_recipes, load_space
from spaces.fitting import fit_recipes, fit_space


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of a new study."""

    name: str
    source: str
    space: str
    trials: int  # 0: the control and its recipes alone
    sets: tuple[str, ...] = ()
    until_s: float = 0.0
    gpu_s: float = 0.0
    # the seed is also that of the sampler and the trials
    frames: DataOptions = field(default_factory=DataOptions)
    recipes: str = ""  # as `choose_recipes` takes them; empty: those that the space names
    filters: float = 1.0  # the recipes' filters are multiplied by this
    learn_from: str = ""  # other studies, as `Lessons` takes them


@dataclass(frozen=True)
class Prepared:
    """A checked study that is not written yet."""

    spec: StudySpec
    epochs: int
    findings: tuple[str, ...]  # lines for people


def set_up(request: Request, place: Place) -> Iterator[str]:
    """Check everything, write the study, and say in lines for people what was found and done."""
    prepared = prepare(request, place)
    yield from prepared.findings
    yield write(prepared, place)


def prepare(request: Request, place: Place) -> Prepared:
    """Check space, data and artifact store; the database is not asked.

    Raises:
        UserError: For a name too long, or with every problem of the space or the data.
        WorldError: Cache or artifacts cannot be written.
    """
    refuse_long_name(request.name)
    space = load_space(request.space, request.sets)
    wanted = request.recipes or ",".join(space.recipes)
    if wanted:
        choose_recipes(wanted)  # a misspelt name is refused before the data is prepared
    blobs = open_blobs(place.artifacts)
    data = open_dataset(data_path(request.source), request.frames, place.cache)
    check_writable(blobs)
    space, narrowed = fit_space(space, data.spec.num_classes)
    recipes = tuple[Recipe, ...]()
    left_out = tuple[str, ...]()
    if wanted:
        learns = _learns_ignored(request, data)
        recipes, left_out = fit_recipes(
            wanted, space, data.spec.num_classes, request.filters, learns_ignored=learns
        )
    if 0 < request.trials <= len(recipes):
        raise UserError(
            f"--trials must be at least {len(recipes) + 1} for the control and {len(recipes)} "
            f"recipes, got {request.trials}; "
            "give more trials, or name fewer with --recipes"
        )
    spec = _spec(request, space, data, tuple(recipe.name for recipe in recipes))
    return Prepared(spec, space.default().train.epochs, (*_findings(data), *narrowed, *left_out))


def _learns_ignored(request: Request, data: Dataset) -> bool | None:
    """Return whether the study learns a label that it does not score, as ``--ignore none`` asks;
    None, where it scores all.
    """
    if data.spec.ignore_label is not None:
        return False
    return (
        True
        if request.frames.ignore == "none" and len(data.spec.scored) < data.spec.num_classes
        else None
    )


def check_database(url: str) -> None:
    """Refuse a database that does not answer or cannot hold a study.

    Raises:
        UserError: For a wrong URL, one that names what lacks, or tables of a later program.
        WorldError: It does not answer.
    """
    engine = open_engine(url)
    with reachable(url), engine.connect() as connection:
        refuse_unfit(connection)
        refuse_outdated(connection)
    engine.dispose()


def write(prepared: Prepared, place: Place) -> str:
    """Write the study, or find it there with equal settings; says which.

    Raises:
        UserError: Another study has its name, or it cannot learn from those that are named.
        WorldError: Without a database.
    """
    spec = with_lessons(prepared.spec, place.storage)
    mark_place(place.storage, place.artifacts, spec.name)
    if create_study(place.storage, spec):
        first = (
            f"the control and {len(spec.recipes)} recipes first"
            if spec.recipes
            else "the control first"
        )
        learned = f", learning from {spec.lessons}" if spec.lessons.asked else ""
        return f"study {spec.name!r}: {spec.trials} trials of {prepared.epochs} epochs, {first}{learned}"
    return f"study {spec.name!r} is there already, with equal settings"


def _spec(request: Request, space: Space, data: Dataset, recipes: tuple[str, ...]) -> StudySpec:
    return StudySpec(
        name=request.name,
        source=data_path(request.source),
        frames=request.frames,
        score=score_definition(data),
        measure_package=data.spec.measure_package,
        data_fingerprint=data.fingerprint,
        sealed=data.sealed,
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=request.trials or 1 + len(recipes),
        until_s=request.until_s,
        gpu_s=request.gpu_s,
        recipes=recipes,
        recipe_filters=request.filters,
        lessons=Lessons(asked=request.learn_from),
    )


def _findings(data: Dataset) -> Iterator[str]:
    parts = ", ".join(f"{len(indices)} {part}" for part, indices in data.parts.items())
    size = f"{data.spec.height}x{data.spec.width}"
    yield f"data: {len(data.images)} frames of {size} ({parts}), {len(data.dropped)} dropped"
    yield from (f"dropped: {line}" for line in drop_reasons(data.dropped))
    yield from (f"warning: {warning}" for warning in data.warnings)
