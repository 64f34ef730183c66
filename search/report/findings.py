"""Everything that the report's sections say something of, computed once."""

from dataclasses import dataclass

from objectives.statistics.interval import Unknown
from search.artifacts.pictures import PictureStore
from search.confirm.standing import Standing, read_standing
from search.report import shown
from search.report.importance import Importances, importances
from search.report.numbers import Ledger, Moment, best_so_far, keep_ledger
from search.report.panels import Panel, read_panels
from search.report.reading import StudyRecord, read_study
from search.study.stored import Study


@dataclass(frozen=True)
class Findings:
    """A study and what follows from it."""

    study: StudyRecord
    moments: tuple[Moment, ...]
    ledger: Ledger
    unit: shown.Unit
    importances: Importances | Unknown
    panels: tuple[Panel, ...]
    confirmed: Standing | None  # None without a confirmation, also for one itself


def find(study: Study, url: str, pictures: PictureStore) -> Findings:
    """Read a study, its pictures and its confirmation, and compute.

    Raises:
        UserError: The study was deleted.
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
        confirmed=read_standing(study, url) if study.spec.purpose.searches else None,
    )
