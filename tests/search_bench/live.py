"""A live study as it was: what its one worker had tried, seen and been told, so that the same proposals can be made again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.study.record import Notes
from search.study.rungs import JUDGED
from search.study.stored import Study

FOLDER = Path(__file__).parent / "live"


@dataclass(frozen=True)
class LiveTrial:
    """A trial of a live study: its parameters, its scores by epoch, how it ended, what its proposal was expected to score,
    the verdicts of its rungs, and what it scores without each block of validation places.
    """

    params: Mapping[str, Any]
    scores: Sequence[float]
    state: str
    recipe: str
    expected: Mapping[str, Any] | None
    verdicts: Mapping[str, Any]
    left_out: Sequence[float]


@dataclass(frozen=True)
class LiveStudy:
    """A study that one worker has trained, a trial after the other, and the trial that it would hand out."""

    spec: Mapping[str, Any]
    trials: Sequence[LiveTrial]
    winner: int
    believed: Mapping[str, Any]  # of the winner


def recorded(study: Study, winner: int, believed: Mapping[str, Any]) -> LiveStudy:
    """Return an open study as it is to be kept."""
    found = []
    for trial in study.storage.get_all_trials(study.id, deepcopy=False):
        if trial.state == TrialState.WAITING:
            continue
        notes = Notes.of(trial)
        found.append(
            LiveTrial(
                params=dict(trial.params),
                scores=[score for _, score in sorted(trial.intermediate_values.items())],
                state=trial.state.name,
                recipe=notes.recipe,
                expected=asdict(notes.expected) if notes.expected else None,
                verdicts={
                    key: value
                    for key, value in trial.system_attrs.items()
                    if key.startswith(JUDGED)
                },
                left_out=list(notes.left_out),
            )
        )
    spec = study.spec.model_dump(mode="json") | {"source": Path(study.spec.source).name}
    return LiveStudy(spec, found, winner, believed)


def save(name: str, study: LiveStudy) -> None:
    """Write a live study, where it is committed."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(asdict(study), indent=1) + "\n", encoding="utf-8")


def load(name: str) -> LiveStudy:
    """Return a live study that was recorded."""
    read = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    trials = tuple(LiveTrial(**each) for each in read.pop("trials"))
    return LiveStudy(trials=trials, **read)
