"""Where a study's data lies, as it is stored."""

from objectives.data.reading.source import existing_path
from objectives.data.reading.synthetic import is_synthetic


def data_path(source: str) -> str:
    """Return a data source as the study stores it: an absolute path, or the generator's word.

    Raises:
        ProblemsError: Nothing is there.
    """
    return source if is_synthetic(source) else str(existing_path(source).resolve())
