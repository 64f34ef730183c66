"""What differs between two studies that one name asks for, or between a study and who joins it, in words."""

import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import TypeGuard

from objectives.data.options import DataOptions
from objectives.errors import UserError
from search.study.spec import StudySpec
from spaces.files.stored import stored_weights
from spaces.pruning import UNSTATED_PRUNING
from spaces.sampler import UNSTATED_SAMPLER

SET = "--set "  # before a field of a space

# what another score changes besides
BY_MEASURE = ("measure", "measure_package", "score", "data_fingerprint")


def refuse_other(there: StudySpec, wanted: StudySpec) -> None:
    """Refuse a study that is there with other settings.

    Raises:
        UserError: It is; every difference is named.
    """
    # the same data may lie elsewhere: its fingerprint decides, which knows their parts, too; of a
    # space its fields are named
    own = [
        name
        for name in StudySpec.model_fields
        if name not in ("source", "space", "space_fingerprint", "frames", "lessons", "given")
    ]
    pairs = {name: (getattr(there, name), getattr(wanted, name)) for name in own}
    pairs["--learn-from"] = there.lessons.asked, wanted.lessons.asked
    for name in (each.name for each in fields(DataOptions)):
        pairs[name] = getattr(there.frames, name), getattr(wanted.frames, name)
    for part in ("domains", "control"):
        theirs = there.space[part]
        ours = wanted.space[part]
        # as in a space file; a path may be in both
        prefix = "" if part == "domains" else "control."
        pairs |= {f"{prefix}{path}": (theirs.get(path), ours.get(path)) for path in theirs | ours}
    pairs["--weights"] = _weights(there), _weights(wanted)
    unstated: dict[str, object] = {
        "pruning": UNSTATED_PRUNING.model_dump(),
        "sampler": UNSTATED_SAMPLER.value,
        "steps": [],
    }
    pairs |= {
        f"{SET}{what}": (there.space.get(what, before), wanted.space.get(what, before))
        for what, before in unstated.items()
    }
    if "measure" in pairs and pairs["measure"][0] != pairs["measure"][1]:
        pairs = {"--score": pairs["measure"]} | {
            what: pair for what, pair in pairs.items() if what not in BY_MEASURE
        }
    differences = {what: (theirs, ours) for what, (theirs, ours) in pairs.items() if theirs != ours}
    if differences:
        listed = "; ".join(
            f"{what} is {short(theirs)} there, {short(ours)} wanted"
            for what, (theirs, ours) in differences.items()
        )
        more = ""
        if _extends(there, wanted, differences):
            more = ", or give it more budget with `search extend`"
        elif all(
            what.startswith(SET) and not _are_steps(theirs)
            for what, (theirs, _) in differences.items()
        ):  # defaults that have changed since
            sets = (
                f"{SET}'{what.removeprefix(SET)}={_written(theirs)}'"
                for what, (theirs, _) in differences.items()
            )
            more = f", or go on with {' '.join(sets)}"
        raise UserError(
            f"study {wanted.name!r} exists with other settings: {listed}; choose another --study "
            f"name{more}"
        )


def _weights(spec: StudySpec) -> str:
    """Return the weights that a study was given, in words."""
    given = stored_weights(spec.space)
    return ", ".join(f"{each.name} ({each.sha256[:12]})" for each in given)


def _extends(there: StudySpec, wanted: StudySpec, differing: Collection[str]) -> bool:
    """Return whether ``search extend`` leads from one study to the other: from limits that it has
    to higher ones, and nothing else.
    """
    limits = {
        "trials": (there.trials, wanted.trials),
        "gpu_s": (there.gpu_s, wanted.gpu_s),
        "until_s": (there.until_s, wanted.until_s),
    }
    return there.purpose.searches and all(
        what in limits and 0 < limits[what][0] < limits[what][1] for what in differing
    )


def _written(value: object) -> str:
    """Return a value as a space file has it, in one line."""
    if not isinstance(value, Mapping):
        return str(value)
    return f"{{{', '.join(f'{name}: {each}' for name, each in value.items())}}}"


def _are_steps(value: object) -> TypeGuard[list[object]]:
    """Return whether this is a list of steps, which no option can write."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def short(value: object) -> str:
    """Return a value for people, of a hash its beginning."""
    words = f"{len(value)} of them" if _are_steps(value) else str(value) or "none"
    return words[:12] if re.fullmatch("[0-9a-f]{64}", words) else words
