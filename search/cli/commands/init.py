"""``search init``."""

from search.cli.action import done_by, with_options
from search.cli.study_options import StudyOptions


@with_options(StudyOptions)
@done_by("search.cli.actions.study.init")
def command(asked: StudyOptions) -> None:
    """Check data and space, and write the study. With equal arguments again: nothing happens.

    \b
    Example:
      search init --study mars --data frames.npz --space small --trials 20 --set model.depth=3 \\
        --storage postgresql://user@host/db --artifacts /shared/artifacts
    """
