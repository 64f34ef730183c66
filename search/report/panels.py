"""The pictures that the report shows: those that the best trial and the control left in the picture
store.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from optuna.artifacts.exceptions import ArtifactNotFound

from search.artifacts import StoreAwayError
from search.artifacts.pictures import PictureStore
from search.report.reading import StudyRecord, TrialRecord

SHOWN = ("predictions.png", "confusion.png")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Panel:
    """A trial's pictures as data URIs by file name, or why there are none."""

    trial: TrialRecord
    role: str  # what the trial is in the study
    uris: Mapping[str, str]
    missing: str


def read_panels(study: StudyRecord, store: PictureStore) -> tuple[Panel, ...]:
    """Return the pictures of the best trial and, where it is another one, of the control; of trials
    that have left some.
    """
    best = study.best
    control = study.control
    trials = [
        (trial, role)
        for trial, role in ((best, "the best trial"), (control, "the control"))
        if trial
    ]
    if best and best is control:
        trials = [(best, "the control, which is the best trial")]
    return tuple(
        _panel(trial, role, store)
        for trial, role in trials
        if any(name in trial.pictures for name in SHOWN)
    )


def _panel(trial: TrialRecord, role: str, store: PictureStore) -> Panel:
    uris = {}
    missing = ""
    for name in SHOWN:
        if name not in trial.pictures:
            continue
        try:
            png = store.open_reader(trial.pictures[name]).read()
        # the report is worth having without its pictures
        except (ArtifactNotFound, StoreAwayError) as error:
            missing = str(error)
        else:
            if png.startswith(_PNG):
                uris[name] = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return Panel(trial, role, uris, missing)
