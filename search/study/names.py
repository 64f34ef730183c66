"""Names of studies: how long they are, and those that are derived from the name of a search; the
number by which a trial is known to be the control.

mars                 the search mars/confirm         confirms it, mars/confirm-2 does so anew
NAME/retrain-7       trains the config of run 7 of the study NAME, a search or a confirmation, on
every frame
"""

from objectives.errors import UserError

CONTROL = 0  # the trial number of the default config, which is never pruned
LONGEST_NAME = 200
CONFIRM = "/confirm"
RETRAIN = "/retrain-"
ROOM = len(f"{CONFIRM}-999{RETRAIN}99999")  # for what is derived from the name of a search


def confirm_name(study: str, count: int = 1) -> str:
    """Return the name of the study that confirms another, for the ``count``-th time.

    Raises:
        UserError: It would be too long.
    """
    return derived_name(study, CONFIRM if count == 1 else f"{CONFIRM}-{count}")


def count_of(study: str, name: str) -> int:
    """Return for which time the study ``name`` confirms another."""
    return int(name.removeprefix(f"{study}{CONFIRM}").removeprefix("-") or 1)


def derived_name(study: str, suffix: str) -> str:
    """Return the name of a study with a suffix.

    Raises:
        UserError: It would be too long.
    """
    name = f"{study}{suffix}"
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"study {study!r} needs one more, called {name!r}, a name of {len(name)} characters "
            f"where {LONGEST_NAME} are"
            " possible: copy its trials into a study with a shorter name (`search migrate`)"
        )
    return name


def refuse_long_name(name: str) -> None:
    """Refuse a name for a new search that leaves no room for the names derived from it.

    Raises:
        UserError: It is too long.
    """
    most = LONGEST_NAME - ROOM
    if len(name) > most:
        raise UserError(
            f"--study must leave room for the studies that confirm and retrain it: at most {most} "
            f"characters, got {len(name)}"
        )
