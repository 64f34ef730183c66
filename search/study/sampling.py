"""How a study draws its trials: the first ones, and the sampler of the others."""

import random
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, assert_never

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from search.posterior.belief import Learned, Run
from search.posterior.ground import SpaceGround
from search.posterior.sampler import STARTUP, ModelSampler
from search.study.learned import Lessons
from search.study.purpose import Confirming, Retraining, Searching
from search.study.record import AGAIN, ConfirmationRun, Notes
from search.study.spec import StudySpec, stable_seed
from spaces import choose_recipes, load_stored_space
from spaces.recipes import scaled
from spaces.sampler import Sampler

TWICE = 24  # trials of a study that runs its control twice
MOST_MODELLED = 300  # trials: a proposal by the model costs the cube of what is known
NEIGHBOUR_KEEPS = 0.7  # share of the control's parameters that a neighbour keeps
STEP = "step from the control"

# TPE's multivariate and group, which are what we want
warnings.filterwarnings("ignore", category=ExperimentalWarning)


class FirstTrial(NamedTuple):
    """A trial that a study begins with: its parameters, the rest of which the sampler draws, and
    what is stored with it.
    """

    params: Mapping[str, Any]
    notes: Notes


def first_trials(spec: StudySpec) -> list[FirstTrial]:
    """Return the trials that a study begins with."""
    match spec.purpose:
        case Searching():
            return _searched_first(spec)
        case Confirming() as purpose:
            return _confirming_runs(purpose)
        case Retraining(candidate=candidate):
            return [
                FirstTrial(
                    candidate.params, Notes(recipe=f"trial {candidate.number} on all frames")
                )
            ]
        case _:
            assert_never(spec.purpose)


def _searched_first(spec: StudySpec) -> list[FirstTrial]:
    """Return the control, then the study's recipes, or else its space's steps and neighbours of the
    control; in a study of `TWICE` trials the control again, with the seed of its number.

    All are compared with the control, so that what its seed adds to it misleads the whole study: a
    second run halves the variance of that, and shows how large it is. Steps are configs that
    somebody thinks worth a trial; half of what is left goes to them at most. A neighbour keeps most of the
    control's parameters; the sampler draws the rest at random. A good control is knowledge, and a
    small budget has no trials to spare for draws from the whole space. They are part of the
    sampler's start-up: a model that has learned from other studies needs none. Source: the expert
    prior of PriorBand (Mallik et al., NeurIPS 2023), reduced to its first draws.
    """
    space = load_stored_space(spec.space)
    control = dict(space.control)
    first = [FirstTrial(control, Notes(recipe="control"))]
    if spec.recipes:
        chosen = choose_recipes(",".join(spec.recipes))
        chosen = tuple(scaled(recipe, spec.recipe_filters) for recipe in chosen)
        return first + [
            FirstTrial(space.encode(space.paced(recipe.config)), Notes(recipe=recipe.name))
            for recipe in chosen
        ]
    if spec.trials >= TWICE:
        first.append(FirstTrial(control, Notes(recipe=AGAIN)))
    if space.sampler is Sampler.MODEL and spec.lessons.runs >= STARTUP:
        return first
    steps = space.steps[: (spec.trials - len(first)) // 2]
    first += [FirstTrial(step, Notes(recipe=STEP)) for step in steps]
    most = min(startup_trials(spec), 1 + (spec.trials - 1) // 3)
    for number in range(len(first), most):
        dice = random.Random(stable_seed(spec.seed, "neighbour", number))
        redrawn = [name for name in control if dice.random() >= NEIGHBOUR_KEEPS] or dice.sample(
            sorted(control), 1
        )
        kept = {name: value for name, value in control.items() if name not in redrawn}
        first.append(FirstTrial(kept, Notes(recipe="neighbour of the control")))
    return first


def _confirming_runs(purpose: Confirming) -> list[FirstTrial]:
    """Return each candidate with the first seed, or fold, then each with the next: a study that
    ends early has whole rounds.
    """
    return [
        FirstTrial(
            each.params,
            Notes(
                recipe=f"trial {each.number}, {purpose.named(turn)}",
                confirmed=ConfirmationRun(each.number, turn),
            ),
        )
        for turn in range(purpose.seeds)
        for each in purpose.candidates
    ]


def startup_trials(spec: StudySpec) -> int:
    """Return how many trials the sampler looks at before it learns from them."""
    return min(10, max(4, spec.trials // 4))


def build_sampler(spec: StudySpec, ground: SpaceGround, number: int, again: int = 0) -> BaseSampler:
    """Return the sampler of one trial, seeded by its number, so that a draw depends on the study's
    history alone; another one for each time that the trial is drawn ``again``. From `MOST_MODELLED`
    trials on TPE draws instead of the model.
    """
    seed = stable_seed(spec.seed, "sampler", number, *([again] if again else []))
    match ground.space.sampler:
        case Sampler.RANDOM:
            return RandomSampler(seed)
        case Sampler.MODEL if number < MOST_MODELLED:
            learned = learned_on(ground, spec.lessons)
            return ModelSampler(seed=seed, ground=ground, learned=learned)
        case Sampler.TPE | Sampler.MODEL:
            return TPESampler(
                n_startup_trials=startup_trials(spec),
                multivariate=True,
                group=True,
                constant_liar=True,
                seed=seed,
            )
        case _:
            assert_never(ground.space.sampler)


def learned_on(ground: SpaceGround, lessons: Lessons) -> tuple[Learned, ...]:
    """Return what a study has learned from others, as the posterior takes it."""
    return tuple(
        Learned(
            tried=(tried := [ground.tried(run.params) for run in each.runs]),
            runs=[
                Run(config.values, np.array(run.scores), run.whole)
                for config, run in zip(tried, each.runs, strict=True)
            ],
            epochs=each.epochs,
            level=each.control,
        )
        for each in lessons.studies
    )
