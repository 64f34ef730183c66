"""The parts of a study: those that are given stay, those that are missing are cut from what is left,
and a fold is one of several validation parts over one test part.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from objectives.data.options import PARTS, DataOptions
from objectives.data.preparing.split import deal, split
from objectives.errors import Problem


def cut_parts(
    groups: np.ndarray, pixel_counts: np.ndarray, options: DataOptions, given: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the frames of ``train``, ``validation`` and ``test``, sorted int64 indices, as `split`
    does where nothing is given.

    ``given`` (N,) is the part of each frame or empty, none at all where nobody has decided. What is
    missing is cut from the given training part, or where there is none from all frames that have no
    part, in the ratio of the shares.
    """
    if not given and not options.folds:
        return split(groups, pixel_counts, options.shares, options.seed)
    stated = set(given)
    part_of = np.array(given or [""] * len(groups), dtype=object)
    parts = {part: np.flatnonzero(part_of == part) for part in PARTS}
    pool = parts["train"] if "train" in stated else np.flatnonzero(part_of == "")
    shares = dict(zip(PARTS, options.shares, strict=True))
    missing = [part for part in PARTS[1:] if part not in stated and shares[part]]
    held = {"train", *missing}
    if options.folds:
        missing = [part for part in missing if part == "test"]
        held = {"train", "validation", *missing}

    def dealt(of: np.ndarray, ratios: tuple[float, ...]) -> list[np.ndarray]:
        _, numbers = np.unique(groups[of], return_inverse=True)
        return [of[each] for each in deal(numbers, pixel_counts[of], ratios, options.seed)]

    ratios = [shares[part] / sum(shares[each] for each in held) for part in missing]
    cut = dealt(pool, (1.0 - sum(ratios), *ratios)) if missing else [pool]
    parts |= dict(zip(("train", *missing), cut, strict=True))
    if options.folds:
        folds = dealt(parts["train"], (1.0 / options.folds,) * options.folds)
        parts["validation"] = folds.pop(options.fold - 1)
        parts["train"] = np.sort(np.concatenate(folds))
    return parts


def part_problems(options: DataOptions, given: Sequence[str]) -> Iterator[Problem]:
    """Yield what the options and the parts that are given break together."""
    if "test" in given and not options.shares[2]:
        rule = "must leave a share for test, as a test part is given"
        yield Problem("shares", rule, "/".join(f"{share:g}" for share in options.shares))
    if "validation" in given and options.folds:
        rule = "must not be given, as a validation part is given: each fold would be another"
        yield Problem("folds", rule, str(options.folds))


def part_warnings(
    options: DataOptions,
    given: Sequence[str],
    groups: np.ndarray,
    parts: Mapping[str, np.ndarray],
) -> Iterator[str]:
    """Yield what is to be known of parts that are given."""
    if not given:
        return
    held = {part: set(groups[indices].tolist()) for part, indices in parts.items()}
    again = held["train"] & (held["validation"] | held["test"]) | (
        held["validation"] & held["test"]
    )
    if again:
        yield (
            f"{len(again)} groups lie in several of the given parts: scores are too high where "
            f"their frames show one place"
        )
    if "train" not in given:
        return
    for part in PARTS[1:]:
        if part not in given and len(parts[part]):
            switch = " (--split 90/10/0: no test part)" if part == "test" else ""
            yield (
                f"no {part} part is given: its {len(parts[part])} frames were cut from the given "
                f"training part{switch}"
            )
