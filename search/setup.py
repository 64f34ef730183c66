"""Writing a study: data and space are checked in full before anything is written."""

from collections.abc import Iterator
from dataclasses import dataclass

from objectives.data.dataset import DataOptions, open_dataset
from search.blobs import check_writable, open_blobs
from search.commands.options import Place
from search.study import StudySpec, create_study, data_path
from spaces import load_space


@dataclass(frozen=True)
class Request:
    """What the user asks of a new study."""

    name: str
    source: str
    space: str
    sets: tuple[str, ...]
    trials: int
    until_s: float
    size: tuple[int, int] | None
    min_identical: int
    seed: int


def set_up(request: Request, place: Place) -> Iterator[str]:
    """Check everything, write the study, and say in lines for people what was found and done."""
    space = load_space(request.space, request.sets)
    check_writable(open_blobs(place.artifacts))
    options = DataOptions(size=request.size, min_identical=request.min_identical, seed=request.seed)
    data = open_dataset(data_path(request.source), options, place.cache)
    parts = ", ".join(f"{len(indices)} {part}" for part, indices in data.parts.items())
    yield f"data: {len(data.images)} frames of {data.spec.height}x{data.spec.width} ({parts}), {len(data.dropped)} dropped"
    yield from (f"warning: {warning}" for warning in data.warnings)
    spec = StudySpec(
        name=request.name,
        source=data_path(request.source),
        size=options.size,
        min_identical=options.min_identical,
        scored=data.spec.scored,
        data_fingerprint=data.fingerprint,
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=request.trials,
        until_s=request.until_s,
        seed=request.seed,
    )
    if create_study(place.storage, spec):
        yield f"study {spec.name!r}: {spec.trials} trials of {space.default().train.epochs} epochs, the control first"
    else:
        yield f"study {spec.name!r} is there already, with equal settings"
