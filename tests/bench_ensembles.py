"""Which rule exports ensembles that are truly better than the single network, in made studies of which the
truth is known (`support/ensemble_worlds.py`): ``make bench-ensembles``.

For each world and rule: how often an ensemble was exported that is truly worse, how often one was refused that
is truly better (shares of all studies), and the true gain over always handing out the single network, the mean
over studies with its standard error. Below that, how far what is expected is from the truth; and what the single
network gains over the control's, by what it is chosen.
"""

import argparse
from collections.abc import Callable

import numpy as np

from search.posterior.standing import SURE
from tests.support.ensemble_worlds import MadeStudy, World, chosen

WORLDS = {
    f"{kind}, {places} places": World(places, common, seeds)
    for kind, common, seeds in (
        ("errors apart", 0.6, 0.05),
        ("errors alike", 0.9, 0.05),
        ("errors nearly equal", 0.97, 0.05),
        ("the same, seeds matter more", 0.97, 0.1),
    )
    for places in (12, 40)
}
RULES: dict[str, Callable[[MadeStudy], bool]] = {
    "always the ensemble": lambda study: True,
    "halves": lambda study: study.lead_by_halves > 0,
    "weighed, 50 %": lambda study: study.advantage.probability > 0.5,
    f"weighed, {SURE:.0%}": lambda study: study.advantage.probability > SURE,
}


CHOICES: dict[str, Callable[[MadeStudy], int]] = {
    "its config's posterior": lambda study: chosen(study.networks.configs),
    "its own": lambda study: study.first,
    "its own, luck by places alone": lambda study: chosen(study.networks.scores(study.luck)),
    "highest score": lambda study: int(np.argmax(study.scores)),
}


def choice_line(studies: list[MadeStudy], choice: Callable[[MadeStudy], int]) -> str:
    """Return what the single network truly gains over the control's, as cells of a table."""
    gains = np.array([study.truths[choice(study)] - study.truths[0] for study in studies])
    error = gains.std(ddof=1) / len(gains) ** 0.5
    return f"{(gains < 0).mean():.0%} | {gains.mean():+.4f} ± {error:.4f}"


def line(studies: list[MadeStudy], rule: Callable[[MadeStudy], bool]) -> str:
    """Return a rule's figures over studies, as cells of a table."""
    truths = np.array([study.truth for study in studies])
    taken = np.array([not study.is_single and rule(study) for study in studies])
    gains = np.where(taken, truths, 0.0)
    worse, missed = (taken & (truths < 0)).mean(), (~taken & (truths > 0)).mean()
    error = gains.std(ddof=1) / len(gains) ** 0.5
    return f"{worse:.0%} | {missed:.0%} | {gains.mean():+.4f} ± {error:.4f}"


def main() -> None:
    """Print a table of all worlds and rules, and how true the expectations are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="Number of the first study.")
    asked = parser.parse_args()
    off, deviations = [], []
    choices: list[str] = []
    print("| world | rule | truly worse, exported | truly better, refused | true gain |")
    print("|---|---|--:|--:|--:|")
    for name, world in WORLDS.items():
        numbers = range(asked.first, asked.first + asked.studies)
        studies = [MadeStudy(world, number) for number in numbers]
        for rule, exports in RULES.items():
            print(f"| {name} | {rule} | {line(studies, exports)} |", flush=True)
        choices += [
            f"| {name} | {by} | {choice_line(studies, choice)} |" for by, choice in CHOICES.items()
        ]
        several = [study for study in studies if not study.is_single]
        off += [study.advantage.gain - study.truth for study in several]
        deviations += [study.advantage.sd for study in several]
    scaled = np.array(off) / np.array(deviations)
    print(
        f"\nexpected less true gain: {np.mean(off):+.4f} in the mean; in units of the stated "
        f"deviation {scaled.mean():+.2f} in the mean, {(scaled**2).mean() ** 0.5:.2f} by the root mean square"
    )
    print("\n| world | network chosen by | truly worse than the control's | true gain |")
    print("|---|---|--:|--:|")
    print(*choices, sep="\n")


if __name__ == "__main__":
    main()
