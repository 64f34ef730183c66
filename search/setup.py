"""Writing a study: data and space are checked in full before anything is written."""

from collections.abc import Iterator
from dataclasses import dataclass

from objectives.data.dataset import DataOptions, Dataset, open_dataset
from search.blobs import check_writable, open_blobs
from search.commands.options import Place
from search.spec import StudySpec, data_path, score_definition
from search.storage import open_engine, reachable
from search.study import create_study
from spaces import Space, load_space


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asks of a new study."""

    name: str
    source: str
    space: str
    trials: int
    sets: tuple[str, ...] = ()
    until_s: float = 0.0
    size: tuple[int, int] | None = None
    min_identical: int = 10
    scored: tuple[int, ...] = ()
    seed: int = 0


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

    Raises: UserError with every problem of the space or the data; WorldError when cache or artifacts cannot be written.
    """
    space = load_space(request.space, request.sets)
    blobs = open_blobs(place.artifacts)
    options = DataOptions(request.size, request.min_identical, seed=request.seed, scored=request.scored)
    data = open_dataset(data_path(request.source), options, place.cache)
    check_writable(blobs)
    return Prepared(_spec(request, space, data), space.default().train.epochs, tuple(_findings(data)))


def check_database(url: str) -> None:
    """Nothing when the database answers.

    Raises: UserError for a wrong URL; WorldError when it does not answer.
    """
    engine = open_engine(url)
    with reachable(url), engine.connect():
        pass
    engine.dispose()


def write(prepared: Prepared, place: Place) -> str:
    """Write the study, or find it there with equal settings; says which.

    Raises: UserError when another study has its name; WorldError without a database.
    """
    spec = prepared.spec
    if create_study(place.storage, spec):
        return f"study {spec.name!r}: {spec.trials} trials of {prepared.epochs} epochs, the control first"
    return f"study {spec.name!r} is there already, with equal settings"


def _spec(request: Request, space: Space, data: Dataset) -> StudySpec:
    return StudySpec(
        name=request.name,
        source=data_path(request.source),
        size=request.size,
        min_identical=request.min_identical,
        scored=request.scored,
        score=score_definition(data.spec),
        data_fingerprint=data.fingerprint,
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=request.trials,
        until_s=request.until_s,
        seed=request.seed,
    )


def _findings(data: Dataset) -> Iterator[str]:
    parts = ", ".join(f"{len(indices)} {part}" for part, indices in data.parts.items())
    size = f"{data.spec.height}x{data.spec.width}"
    yield f"data: {len(data.images)} frames of {size} ({parts}), {len(data.dropped)} dropped"
    yield from (f"warning: {warning}" for warning in data.warnings)
