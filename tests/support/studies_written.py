"""Studies written as `search init` does, and their trials."""

from optuna.trial import FrozenTrial

from search.place import Place
from search.study.setup import Request, set_up
from search.study.stored import Study, open_study

FRAMES = "synthetic:40"


def write(place: Place, name: str, trials: int, sets: tuple[str, ...]) -> Study:
    """Write a study of a few frames and the space ``tiny``, and open it."""
    list(set_up(Request(name=name, source=FRAMES, space="tiny", trials=trials, sets=sets), place))
    return open_study(place.storage, name)


def trials_of(study: Study) -> list[FrozenTrial]:
    """All trials of a study as they are now."""
    return study.optuna.get_trials(deepcopy=False)
