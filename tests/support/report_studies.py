"""Studies for the tests of the report, written straight into a database with Optuna: nothing is
trained.
"""

import json
import math
import random
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert, text

from objectives.data.options import DataOptions
from search.database.connections import (
    open_engine,
)
from search.database.optuna_storage import (
    Fence,
    open_optuna,
)
from search.database.tables import LEASE, STUDY
from search.posterior.draws import FromTrial
from search.study.pruners import judging
from search.study.purpose import Candidate, Confirming
from search.study.spec import StudySpec
from search.study.stored import Study, open_study
from spaces import Space, load_space, load_stored_space

COPIES = (
    "trial_params (trial_id, param_name, param_value, distribution_json)",
    "trial_values (trial_id, objective, value, value_type)",
    "trial_user_attributes (trial_id, key, value_json)",
    "trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)",
)
CLASSES = ("soil", "bedrock", "sand", "big rock")
BEGIN = datetime(2026, 5, 4, 8, 0)
EPOCH_S = 30.0
OVERHEAD_S = 20.0  # that a worker held a trial beyond its epochs
WORKERS = 3
GOOD_CONTROL = (
    "control.optimiser.learning_rate=8e-3",
    "control.loss.cross_entropy=0.7",
    "control.loss.dice=0.3",
    "control.loss.class_weights.power=0.3",
    "control.train.rare_repeat=2",
)


def spec_of(
    name: str, *, preset: str = "tiny", trials: int = 20, classes: Sequence[str] = CLASSES
) -> StudySpec:
    """A specification as `search init` writes it; there are no such data. The control of `tiny` is one
    that is hard to beat.
    """
    space = load_space(preset, GOOD_CONTROL if preset == "tiny" else ())
    return StudySpec(
        name=name,
        source="/data/terrain.npz",
        frames=DataOptions(size=(64, 128), scored=tuple(range(1, 1 + len(classes))), seed=7),
        score=f"mean IoU of {', '.join(classes)}",
        data_fingerprint="d" * 64,
        space=space.to_dict(),
        space_fingerprint=space.fingerprint,
        trials=trials,
        until_s=0.0,
    )


def write_study(
    database: str,
    spec: StudySpec,
    trials: Sequence[FrozenTrial],
    *,
    looks: int = 0,
    leases: bool = True,
) -> Study:
    """Write a study with these trials; with ``leases`` each ended one has been held a little longer
    than its epochs took.
    """
    storage, engine = open_optuna(database, Fence()), open_engine(database)
    study = optuna.create_study(storage=storage, study_name=spec.name, direction="maximize")
    study.add_trials(trials)
    with engine.begin() as connection:
        row = {
            "spec": spec.model_dump(),
            "trials": spec.trials,
            "gpu_s": spec.gpu_s,
            "until_s": spec.until_s,
        }
        connection.execute(insert(STUDY).values(study_id=study._study_id, test_looks=looks, **row))
        for trial in storage.get_all_trials(study._study_id) if leases else []:
            held = {
                "trial_id": trial._trial_id,
                "owner": "",
                "fence": 1,
                "threads": 1,
                "spent_s": device_s(trial),
            }
            if trial.state != TrialState.WAITING:
                connection.execute(
                    insert(LEASE).values(expires_at=text("now() - interval '1 hour'"), **held)
                )
    storage.engine.dispose()
    engine.dispose()
    return open_study(database, spec.name)


def device_s(trial: FrozenTrial) -> float:
    """Seconds that a worker held a trial."""
    return float(trial.user_attrs.get("train_seconds", 0.0)) + OVERHEAD_S


def trial_of(
    number: int,
    state: str,
    params: dict[str, Any],
    kinds: dict[str, Any],
    curve: Sequence[float],
    **told: Any,
) -> FrozenTrial:
    """A trial as a worker leaves it; one of WORKERS ran it, the first trials at once."""
    train_s = EPOCH_S * len(curve)
    start = BEGIN + timedelta(seconds=600 * (number // WORKERS) + 5 * (number % WORKERS))
    ended = state not in ("RUNNING", "WAITING")
    counts = (
        {"epochs": len(curve), "best_epoch": 1 + max(range(len(curve)), key=curve.__getitem__)}
        if curve
        else {}
    )
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=TrialState[state],
        value=max(curve) if state == "COMPLETE" else None,
        datetime_start=None if state == "WAITING" else start,
        datetime_complete=start + timedelta(seconds=train_s + OVERHEAD_S) if ended else None,
        params=params,
        distributions=kinds,
        user_attrs={**counts, "train_seconds": train_s, "parameters": 120_000 + 7 * number, **told},
        system_attrs={},
        intermediate_values=dict(enumerate(curve, start=1)),
    )


def drawn_trials(
    space: Space, count: int, *, classes: Sequence[str] = CLASSES, seed: int = 0, prune: bool = True
) -> list[FrozenTrial]:
    """The control, two neighbours of it and random draws, most of them pruned at the space's rungs;
    a few failed.
    """
    dice = random.Random(seed)
    memory = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    memory.enqueue_trial(dict(space.control))
    found: list[FrozenTrial] = []
    passed: dict[int, list[float]] = {rung: [] for rung in judging(space).rungs if prune}
    for number in range(count):
        trial = memory.ask()
        epochs = space.draw(FromTrial(trial)).train.epochs
        recipe = {0: {"recipe": "control"}}.get(
            number, {"recipe": "neighbour of the control"} if number < 3 else {}
        )
        curve, cause = _curve(dice, trial.params, epochs, number), "completed"
        for rung, scores in passed.items():
            if (
                cause == "completed"
                and len(scores) >= 3
                and curve[rung - 1] < sorted(scores)[-1 - len(scores) // 3]
                and number
            ):
                curve, cause = curve[:rung], "pruned"
            if len(curve) >= rung:
                scores.append(curve[rung - 1])
        if number % 17 == 11:
            curve, cause = curve[:2], "diverged"
        state = {"completed": "COMPLETE", "pruned": "PRUNED", "diverged": "FAIL"}[cause]
        iou = {
            f"iou {name}": max(0.0, max(curve) + 0.25 - 0.45 * k / len(classes))
            for k, name in enumerate(classes)
        }
        told = {**recipe, **iou, "end_cause": cause} | (
            {"message": "the loss is not finite"} if state == "FAIL" else {}
        )
        found.append(
            trial_of(number, state, dict(trial.params), dict(trial.distributions), curve, **told)
        )
    return found


def surely_best(trials: Sequence[FrozenTrial]) -> FrozenTrial:
    """Let the highest trial's scores be so high that it surely beats the control, and return it."""
    best = max(
        (trial for trial in trials if trial.value is not None), key=lambda trial: trial.value or 0.0
    )
    best.intermediate_values = {
        epoch: 0.1 + score for epoch, score in best.intermediate_values.items()
    }
    best.value = max(best.intermediate_values.values())
    return best


def confirming_spec(spec: StudySpec, numbers: Sequence[int], seeds: int) -> StudySpec:
    """The specification of the study that confirms these trials of another."""
    candidates = tuple(Candidate(number=number, params={}, last_epoch=8) for number in numbers)
    purpose = Confirming(study=spec.name, seeds=seeds, candidates=candidates)
    return spec.model_copy(
        update={"name": f"{spec.name}/confirm", "trials": len(numbers) * seeds, "purpose": purpose}
    )


def confirming_trials(scores: dict[int, Sequence[float]]) -> list[FrozenTrial]:
    """The runs of candidates, by number, with each seed."""
    runs = [
        (candidate, seed, score)
        for candidate, row in scores.items()
        for seed, score in enumerate(row)
    ]
    return [
        trial_of(
            number,
            "COMPLETE",
            {},
            {},
            [score / 2, score],
            confirms=candidate,
            seed=seed,
            end_cause="completed",
            multiply_adds=5,
        )
        for number, (candidate, seed, score) in enumerate(runs)
    ]


def _curve(dice: random.Random, params: dict[str, Any], epochs: int, number: int) -> list[float]:
    rate = math.log10(params["optimiser.learning_rate"])
    top = 0.62 - 0.12 * abs(rate + 2.3) + 0.01 * dice.gauss(0, 1) + 0.02 * math.log10(2 + number)
    top -= 0.0 if number else 0.04  # others are surely better than the control
    pace = epochs / dice.uniform(4, 7)
    return [
        max(0.01, top * (1 - math.exp(-epoch / pace)) + 0.008 * dice.gauss(0, 1))
        for epoch in range(1, epochs + 1)
    ]


def drawn(
    database: str, *, name: str = "rocks", count: int = 24, trials: int = 24, **given: Any
) -> Study:
    """A study with so many trials drawn and told."""
    spec = spec_of(name, trials=trials)
    return write_study(database, spec, drawn_trials(load_stored_space(spec.space), count), **given)


def tell_luck(study: Study, luck: float) -> None:
    """Let two complete trials have scores without each of eight places that tell so much luck: the
    jackknife's variance of their difference is twice its square.
    """
    away = luck * 2.0**0.5 / 7**0.5 * np.array([1.0, -1.0] * 4)
    with study.engine.begin() as connection:
        complete = connection.execute(
            text("SELECT trial_id FROM trials WHERE state = 'COMPLETE' ORDER BY number LIMIT 2")
        ).scalars()
        connection.execute(
            text("""
                INSERT INTO trial_user_attributes (trial_id, key, value_json)
                VALUES (:trial_id, 'scores_without_places', :scores)
                ON CONFLICT (trial_id, key) DO UPDATE SET value_json = excluded.value_json
            """),
            [
                {"trial_id": trial_id, "scores": json.dumps(scores)}
                for trial_id, scores in zip(
                    complete, ([0.6] * 8, (0.6 + away).tolist()), strict=True
                )
            ],
        )


def multiply(study: Study, times: int) -> None:
    """Copy a study's first trial so often, with other scores."""
    first = (
        "JOIN trials AS first ON first.study_id = copy.study_id AND first.number = 0 WHERE "
        "copy.number > 0"
    )
    with study.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete) "
                "SELECT n, study_id, state, datetime_start + n * interval '9 s', datetime_complete "
                "+ n * interval '9 s' "
                f"FROM trials, generate_series(1, {times - 1}) AS n WHERE number = 0"
            )
        )
        for table in COPIES:
            name, columns = re.fullmatch(
                r"(\w+) \(trial_id, "
                r"(.*)\)",
                table,
            ).groups()  # type: ignore[union-attr]
            rows = first.replace("WHERE", f"JOIN {name} AS t ON t.trial_id = first.trial_id WHERE")
            connection.execute(
                text(
                    f"INSERT INTO {table} SELECT copy.trial_id, {columns} FROM trials AS copy "
                    f"{rows}"
                )
            )
        connection.execute(text("UPDATE trial_values SET value = value - 0.001 * (trial_id % 97)"))
