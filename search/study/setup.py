"""Writing a study: data and space are checked in full before anything is written."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from objectives.config import NO_WEIGHTS, WEIGHTS, GivenWeights
from objectives.data.dataset import DataOptions, Dataset, drop_reasons, open_dataset
from objectives.data.preparing.progress import Progress, untold
from objectives.errors import UserError, listed, one_line
from search.artifacts import BlobMissingError, BlobStore, check_writable, open_blobs
from search.artifacts.marker import mark_place
from search.database.checks import refuse_unfit
from search.database.connections import open_engine, reachable
from search.database.schema import refuse_outdated
from search.place import Place
from search.study.data_path import data_path, here
from search.study.learned import Lessons
from search.study.names import refuse_long_name
from search.study.sisters import with_lessons
from search.study.spec import StudySpec, score_definition
from search.study.stored import create_study
from spaces import Recipe, Space, choose_recipes, load_space
from spaces.fitting import fit_recipes, fit_space, refuse_large_crops
from spaces.starting import fit_weights, unnamed_weights

if TYPE_CHECKING:
    from search.study.given import Offered


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
    weights: tuple[str, ...] = ()  # to start networks from, as `read_offers` takes them
    # that another study was given, and are in the artifact store
    kept_weights: tuple[GivenWeights, ...] = ()


@dataclass(frozen=True)
class Prepared:
    """A checked study that is not written yet."""

    spec: StudySpec
    epochs: int
    findings: tuple[str, ...]  # lines for people
    blobs: tuple[bytes, ...] = ()  # of weights that it is given


def set_up(request: Request, place: Place) -> Iterator[str]:
    """Check everything, write the study, and say in lines for people what was found and done."""
    prepared = prepare(request, place)
    yield from prepared.findings
    yield write(prepared, place)


def prepare(request: Request, place: Place, progress: Progress = untold) -> Prepared:
    """Check space, data and artifact store; the database is not asked. ``progress`` is told how many frames
    are read.

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
    source = here(data_path(request.source), place.cache)
    data = open_dataset(source, request.frames, place.cache, progress)
    check_writable(blobs)
    space, narrowed = fit_space(space, data.spec.num_classes)
    refuse_large_crops(space, [data.images.size(index) for index in range(len(data.images))])
    offers = _offers(request, space, data)
    space = _with_weights(space, request, offers, blobs)
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
    return Prepared(
        spec,
        space.default().train.epochs,
        (*_findings(data), *dict.fromkeys(_given(space)), *narrowed, *left_out),
        tuple(offer.data for offer in offers),
    )


def _given(space: Space) -> Iterator[str]:
    for each in space.weights:
        licence = each.licence or "not stated"
        yield (
            f"weights: {each.name} from {one_line(each.source)}, licence {one_line(licence)}, "
            f"SHA-256 {each.sha256[:12]}..."
        )


def _offers(request: Request, space: Space, data: Dataset) -> tuple["Offered", ...]:
    """Return the weights that are asked for, read and fitted."""
    if not request.weights:
        return ()
    from search.study.given import read_offers  # torch: the others do not wait for it

    return read_offers(request.weights, space, data.spec)


def _with_weights(
    space: Space, request: Request, offers: tuple["Offered", ...], blobs: BlobStore
) -> Space:
    """Return the space with the weights that the study is given.

    Raises:
        UserError: Some are given in vain.
        ProblemsError: They do not fit.
        WorldError: The store has lost some that another study was given.
    """
    given = [offer.given for offer in offers]
    if vain := unnamed_weights(space, given):
        choice = f"{WEIGHTS}={{choice: [{', '.join([NO_WEIGHTS, *vain])}]}}"
        raise UserError(
            f"--weights: no network of the space may start from {listed(vain)}: name it there, like "
            f"--set '{choice}'"
        )
    fitted = fit_weights(space, [*given, *request.kept_weights])
    for each in fitted.weights:
        if each not in given and not blobs.exists(each.start.sha256):
            raise BlobMissingError(
                f"the artifact store has lost the weights {each.name} ({each.start.sha256[:12]}...): "
                f"begin a study with --weights"
            )
    return fitted


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
    for data in prepared.blobs:
        open_blobs(place.artifacts).put(data)
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
        given=data.given,
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=request.trials or 1 + len(recipes),
        until_s=request.until_s,
        gpu_s=request.gpu_s,
        recipes=recipes,
        recipe_filters=request.filters,
        lessons=Lessons(asked=request.learn_from),
    )


def _sizes(data: Dataset) -> str:
    """Return how large frames are, and what a network sees of them at once."""
    spec = data.spec
    if spec.windows is None:
        return f"{spec.height}x{spec.width}"
    sizes = sorted(
        {(height * width, height, width) for height, width in data.images.sizes_N2.tolist()}
    )
    shown = " to ".join(
        f"{height}x{width}" for _, height, width in dict.fromkeys(sizes[:1] + sizes[-1:])
    )
    return f"{shown}, seen in windows of {spec.height}x{spec.width}"


def _findings(data: Dataset) -> Iterator[str]:
    parts = ", ".join(f"{len(indices)} {part}" for part, indices in data.parts.items())
    yield (
        f"data: {len(data.images)} frames of {_sizes(data)} ({parts}), {len(data.dropped)} dropped"
    )
    yield from (f"dropped: {line}" for line in drop_reasons(data.dropped))
    yield from (f"warning: {warning}" for warning in data.warnings)
