"""Configs that a study trains, or may train: what is known of its trials before any is drawn."""

import random

from objectives.config import Config
from search.study.sampling import first_trials
from search.study.spec import StudySpec, stable_seed
from spaces import Space
from spaces.dice import FromDice, Near

DRAWN = 32  # random configs of a space


def random_configs(space: Space, seed: int) -> list[Config]:
    """Return `DRAWN` random configs of a space; equal seeds give equal ones."""
    dice = random.Random(stable_seed(seed, "plan"))
    return [space.draw(FromDice(dice)) for _ in range(DRAWN)]


def likely_configs(spec: StudySpec, space: Space) -> list[Config]:
    """Return the configs that a study begins with, the control among them, and random ones where it
    draws others afterwards; each once.
    """
    dice = random.Random(stable_seed(spec.seed, "first"))
    first = [
        space.draw(FromDice(dice, Near(trial.params, changes=0.0))) for trial in first_trials(spec)
    ]
    others = [] if spec.fixed else random_configs(space, spec.seed)
    return list({config.model_dump_json(): config for config in first + others}.values())
