"""SMAC's facades, asked and told: the one for hyperparameters, and the one with epochs as budgets."""

import logging
from typing import Any

from ConfigSpace import (
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    Float,
    Integer,
    OrConjunction,
)
from serving import RUNNING, WAITING, serve
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.intensifier.hyperband_utils import get_n_trials_for_hyperband_multifidelity
from smac.runhistory.dataclasses import TrialInfo, TrialValue

FACADES = {
    "smac": HyperparameterOptimizationFacade,
    "smac multi-fidelity": MultiFidelityFacade,
}


class Smac:
    """A facade as it comes, but for its initial design, which begins with the control. Its cost is 1 less the
    highest score so far; a config that it wants with another seed is a trial of its own.
    """

    def __init__(self, terms: dict[str, Any]) -> None:
        self._epochs = terms["epochs"]
        space = _space(terms)
        facade = FACADES[terms["method"]]
        scenario = Scenario(space, seed=terms["seed"], output_directory="smac", **_sizes(terms))
        design = facade.get_initial_design(scenario)
        control = space.get_default_configuration()
        drawn = [each for each in design.select_configurations() if each != control]
        first = facade.get_initial_design(
            scenario, n_configs=0, additional_configs=[control, *drawn]
        )
        self._facade = facade(
            scenario, lambda config, seed=0, budget=0: 0.0, initial_design=first, overwrite=True
        )
        self._numbers: dict[tuple[Any, int], int] = {}
        self._asked: dict[int, TrialInfo] = {}

    def ask(self) -> tuple[int, dict[str, Any]]:
        """Return the trial that SMAC asks for, a new one or one with a larger budget."""
        info = self._facade.ask()
        number = self._numbers.setdefault((info.config, info.seed), len(self._numbers))
        self._asked[number] = info
        return number, dict(info.config)

    def report(self, number: int, scores: list[float]) -> str:
        """Tell SMAC a trial that has come to its budget, and return whether it goes on."""
        info = self._asked[number]
        if len(scores) < round(info.budget or self._epochs):
            return RUNNING
        self._facade.tell(info, TrialValue(cost=1.0 - max(scores)), save=False)
        return WAITING


def _sizes(terms: dict[str, Any]) -> dict[str, Any]:
    """Return how much is to be spent, as the facade counts it: trainings, or evaluations of budgets."""
    if terms["method"] == "smac":
        return {"n_trials": terms["budget"]}
    budgets = {"min_budget": 1, "max_budget": terms["epochs"]}
    trials = get_n_trials_for_hyperband_multifidelity(
        terms["budget"] * terms["epochs"], *budgets.values(), print_summary=False
    )
    return {"n_trials": trials, **budgets}


def _space(terms: dict[str, Any]) -> ConfigurationSpace:
    """Return the space with its conditions; its default is the control."""
    space = ConfigurationSpace(seed=terms["seed"])
    fields = {field["name"]: _parameter(field, terms["control"]) for field in terms["fields"]}
    space.add(*fields.values())
    for field in terms["fields"]:
        met = [
            EqualsCondition(fields[field["name"]], fields[name], option)
            for name, option in field["when"]
        ]
        if met:
            space.add(OrConjunction(*met) if len(met) > 1 else met[0])
    return space


def _parameter(field: dict[str, Any], control: dict[str, Any]) -> Any:
    name = field["name"]
    default = {"default": control[name]} if name in control else {}
    match field:
        case {"kind": "choice", "options": options}:
            return Categorical(name, options, **default)
        case {"kind": "int", "low": low, "high": high, "log": log}:
            return Integer(name, (low, high), log=log, **default)
        case {"kind": "float", "low": low, "high": high, "log": log}:
            return Float(name, (low, high), log=log, **default)
    raise ValueError(f"no such field: {field}")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    serve(Smac)
