"""A new study: init and run."""

from search.cli.study_options import StudyOptions
from search.cli.written import request_of, written_study
from search.machine.gpus import offer
from search.study.spec import data_path
from search.terminal.local import run_locally


def init(asked: StudyOptions) -> None:
    """Write the study that is asked for."""
    with written_study(request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache):
        pass


def run(asked: StudyOptions, workers: int, device: str) -> None:
    """Write the study that is asked for, and train it here."""
    offer(device)  # refuses one that this host lacks, before any work
    with written_study(
        request_of(asked), asked.storage, asked.artifacts, asked.home, asked.cache
    ) as place:
        # the study may be of equal data that has moved since
        run_locally(
            asked.study, place, workers=workers, device=device, source=data_path(asked.data)
        )
