"""``make bench-live``: one study by the service, by one worker, which tries the steps that the recorded tables commend,
beside a plain Optuna script with the same space, control and budget, on places of the Mars file that no table has.
Both winners and the control are trained again with seeds of their own and judged on the sealed part. The study is
kept in ``search_bench/live``, and a test makes its proposals again. ``MARS_NPZ`` must name the file. With
``--terrain`` instead a study of generated terrain is kept, in which the model ends trials; with ``--demo 5`` the study
of `search demo` is made with five seeds, its winner and its control judged alike.
"""

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna
import torch
from safetensors.torch import load as load_weights
from search_bench.live import recorded, save
from search_bench.parts import GROUND
from search_bench.plans import ALL, SPACE, Table
from search_bench.portfolio import StepsFrom
from search_bench.runs import runs_of
from torch import nn

from objectives.config import Config
from objectives.data.dataset import Dataset, open_dataset
from objectives.data.options import DataOptions
from objectives.scoring.evaluate import evaluate
from objectives.training.fit import fit, prepare
from objectives.training.state import TrainingState
from search.export.best import restore
from search.export.winner import best_trial
from search.place import Place, open_place
from search.posterior.draws import FromTrial
from search.study import setup
from search.study.stored import open_study
from search.terminal.how import How
from search.terminal.local import run_locally
from spaces import FromParams, Space, load_space

LIVE = Table("mars-live", "live", seed=5)
DEMO_TRIALS, DEMO_WORKERS = 10, 2  # as `search demo` has them
SHARES = (0.6, 0.2, 0.2)
STEPS = 3  # from the control
AGAIN = (101, 102, 103)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Found:
    """What a search hands out: a config, and of its network the score on validation and on the sealed part."""

    config: Config
    validation: float
    sealed: float


def main() -> None:
    """Search twice, train again, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trainings", type=int, default=8, help="of the control (%(default)s)")
    parser.add_argument("--home", type=Path, default=Path(".bench-live"))
    parser.add_argument("--set", action="append", default=[], help="of the space, as search has it")
    parser.add_argument("--terrain", action="store_true", help="keep a study of terrain instead")
    parser.add_argument("--demo", type=int, default=0, help="seeds of `search demo` instead")
    asked = parser.parse_args()
    torch.set_num_threads(2)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if asked.terrain:
        terrain(asked.home)
        return
    if asked.demo:
        demos(asked.home, asked.demo)
        return
    options = replace(LIVE.options(), shares=SHARES)
    sets = (commended(), *asked.set)
    space = load_space(str(SPACE), list(sets))
    with open_place("", "", asked.home, make=True) as place:
        data = open_dataset(LIVE.source, options, place.cache)
        sizes = {part: len(frames) for part, frames in data.parts.items()}
        print(f"{LIVE.name}: {sizes}, {asked.trainings} trainings", flush=True)
        request = setup.Request(
            name=LIVE.name,
            source=LIVE.source,
            space=str(SPACE),
            trials=asked.trainings,
            sets=sets,
            frames=options,
        )
        ours = by_service(place, request, data, workers=1, kept=True)
        plain = by_script(space, data, asked.trainings)
    control = space.default()
    print("| config | validation, as found | sealed, as found | sealed, three seeds | mean |")
    print("|---|--:|--:|--:|--:|")
    for name, config, found in (
        ("control", control, None),
        ("service", ours.config, ours),
        ("plain Optuna script", plain.config, plain),
    ):
        seeds = [sealed_score(trained(config, data, seed), data) for seed in AGAIN]
        first = f"{found.validation:.4f} | {found.sealed:.4f}" if found else "- | -"
        again = ", ".join(f"{score:.4f}" for score in seeds)
        print(f"| {name} | {first} | {again} | {np.mean(seeds):.4f} |", flush=True)


def commended() -> str:
    """Return the setting that gives a space the steps that the recorded tables commend, as many as the study has room
    for; no place of this study is in a table.
    """
    start = StepsFrom(GROUND.control)
    tables = [table for name, table in ALL.items() if runs_of(name)]
    steps = [
        {name: value for name, value in step.items() if GROUND.control.get(name) != value}
        for step in start.commended(tables, STEPS)
    ]
    return f"steps={json.dumps(steps)}"


def terrain(home: Path) -> None:
    """Train and keep a study of generated terrain, in which the model ends trials."""
    options = DataOptions(seed=7)
    with open_place("", "", home, make=True) as place:
        request = setup.Request(
            name="terrain-live",
            source="synthetic",
            space="tiny",
            trials=16,
            sets=("pruning={kind: model, below: 0.35}", "control.optimiser.learning_rate=8e-3"),
            frames=options,
        )
        data = open_dataset("synthetic", options, place.cache)
        by_service(place, request, data, workers=1, kept=True)


def demos(home: Path, seeds: int) -> None:
    """Print what the demo's search has gained, by seed: sealed scores in the mean over seeds of training."""
    space = load_space("tiny")
    print("| seed | control | winner | gain | its network, as handed out: validation | sealed |")
    print("|--:|--:|--:|--:|--:|--:|")
    with open_place("", "", home, make=True) as place:
        for seed in range(seeds):
            options = DataOptions(seed=seed)
            data = open_dataset("synthetic", options, place.cache)
            request = setup.Request(
                name=f"demo {seed}",
                source="synthetic",
                space="tiny",
                trials=DEMO_TRIALS,
                frames=options,
            )
            found = by_service(place, request, data, workers=DEMO_WORKERS)
            control, winner = (
                np.mean([sealed_score(trained(config, data, again), data) for again in AGAIN])
                for config in (space.default(), found.config)
            )
            print(
                f"| {seed} | {control:.4f} | {winner:.4f} | {winner - control:+.4f} | {found.validation:.4f} "
                f"| {found.sealed:.4f} |",
                flush=True,
            )


def by_service(
    place: Place, request: setup.Request, data: Dataset, *, workers: int, kept: bool = False
) -> Found:
    """Search by the service's own workers; the study may be kept."""
    for line in setup.set_up(request, place):
        print(line, flush=True)
    run_locally(request.name, place, workers=workers, how=How("cpu"))
    study = open_study(place.storage, request.name)
    winner = best_trial(study)
    if kept:
        save(request.name, recorded(study, winner.number, winner.belief.model_dump(mode="json")))
    restored = restore(study, winner, place, "")
    config = study.space.draw(FromParams(study.storage.get_trial(winner.trial_id).params))
    print(f"service: trial {winner.number}, {winner.belief}", flush=True)
    study.close()
    return Found(config, winner.score, score_on_test(restored.segmenter, data))


def by_script(space: Space, data: Dataset, trainings: int) -> Found:
    """Search as one would by hand: TPE, median pruning, the highest score, the control first."""
    epochs = trainings * space.default().train.epochs
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=LIVE.seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.enqueue_trial(dict(space.control))
    best: tuple[float, Config, TrainingState] | None = None
    spent = 0
    while spent < epochs:
        trial = study.ask()
        config = space.draw(FromTrial(trial))
        training = prepare(config, data, seed=trial.number, device=CPU)
        pruned = False
        for result in fit(training):
            spent += 1
            trial.report(result.score, result.number)
            pruned = trial.should_prune() or (spent >= epochs and not training.state.finished)
            if pruned:
                break
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        score = training.state.scored.score
        study.tell(trial, score)
        if best is None or score > best[0]:
            best = score, config, training.state
    assert best
    print(f"plain script: {len(study.trials)} trials, best {best[0]:.4f}", flush=True)
    return Found(best[1], best[0], sealed_score(best[2], data))


def trained(config: Config, data: Dataset, seed: int) -> TrainingState:
    """Return a training at its end."""
    training = prepare(config, data, seed=seed, device=CPU)
    for _ in fit(training):
        pass
    return training.state


def sealed_score(state: TrainingState, data: Dataset) -> float:
    """Return the score of a training's best epoch on the sealed part."""
    model = state.average.model
    model.load_state_dict(load_weights(state.scored_weights))
    return score_on_test(model, data)


def score_on_test(model: nn.Module, data: Dataset) -> float:
    """Return a network's score on the sealed part."""
    test = data.parts["test"]
    return evaluate(model, data.images[test], data.masks[test], data.spec, device=CPU).score


if __name__ == "__main__":
    main()
