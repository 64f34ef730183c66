"""Everything that the report's sections say something of, computed once."""

from dataclasses import dataclass

from objectives.interval import Unknown
from search.confirm import Cell, cells, confirm_name
from search.confirmation import Confirmation, confirm
from search.pictures_store import PictureStore
from search.report import shown
from search.report.importance import Importances, importances
from search.report.numbers import Ledger, Moment, best_so_far, keep_ledger
from search.report.panels import Panel, read_panels
from search.report.reading import StudyRecord, read_study
from search.sampling import CONTROL
from search.shrinkage import Optimism, optimism
from search.storage import NoStudyError
from search.study import Study, open_study


@dataclass(frozen=True)
class Confirmed:
    """What a study's confirmation says so far, and the runs that it says it from."""

    study: str
    verdict: Confirmation
    runs: tuple[Cell, ...]
    planned: int


@dataclass(frozen=True)
class Findings:
    """A study and what follows from it."""

    study: StudyRecord
    moments: tuple[Moment, ...]
    ledger: Ledger
    unit: shown.Unit
    importances: Importances | Unknown
    panels: tuple[Panel, ...]
    optimism: Optimism | Unknown  # of the best score
    confirmed: Confirmed | None


def find(study: Study, url: str, pictures: PictureStore) -> Findings:
    """Read a study, its pictures and its confirmation, and compute.

    Raises: UserError when the study was deleted.
    """
    record = read_study(study)
    ledger = keep_ledger(record)
    return Findings(
        study=record,
        moments=best_so_far(record),
        ledger=ledger,
        unit=shown.unit_of(ledger.total.device_s),
        importances=importances(record),
        panels=read_panels(record, pictures),
        optimism=optimism([[score for _, score in trial.curve] for trial in record.of("complete")]),
        confirmed=read_confirmation(url, study.spec.name),
    )


def read_confirmation(url: str, name: str) -> Confirmed | None:
    """The verdict of the study that confirms this one; None where there is none, or no run of it has a score."""
    try:
        confirming = open_study(url, confirm_name(name))
    except NoStudyError:
        return None
    try:
        runs = tuple(cells(confirming))
        if all(run.score != run.score for run in runs):
            return None
        return Confirmed(confirming.spec.name, confirm(runs, CONTROL), runs, confirming.spec.trials)
    finally:
        confirming.close()
