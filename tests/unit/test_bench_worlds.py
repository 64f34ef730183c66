"""The judge of searches: worlds made of recorded runs, studies in virtual time, and what is said of them."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

pytestmark = pytest.mark.long

TESTS = Path(__file__).parents[1]  # where the benches find each other
TOLD = 138  # the first part of the table


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The modules of the bench, and the world of table mars-a."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(TESTS))
        names = (
            "choices",
            "judging",
            "parts",
            "plans",
            "portfolio",
            "runs",
            "seconds",
            "surrogate",
            "tabular",
            "virtual",
        )
        modules = {name: importlib.import_module(f"search_bench.{name}") for name in names}
        peers = importlib.import_module("bench_peers")
        world = modules["surrogate"].Surrogate("mars-a", told=TOLD)
        yield SimpleNamespace(**modules, peers=peers, world=world)


def test_a_world_tells_the_configs_it_is_made_of_and_their_noise(bench: Any) -> None:
    world = bench.world
    assert len(world.configs) == 65
    truths = world.truth(world.points_CD)
    assert np.corrcoef(truths, world.finals_C)[0, 1] > 0.9
    assert abs(truths - world.finals_C).mean() < 0.02
    curves = np.array([world.run({}, 0, n) for n in range(300)])
    assert curves.shape == (300, 12)
    true_E = world.true_curves(world.control[None])[0]
    np.testing.assert_allclose(curves.mean(axis=0), true_E, atol=0.01)
    recorded = np.std([curve[-1] for curve in world.curves[world.configs.index("control")]])
    assert 0.5 * recorded < curves[:, -1].std() < 2 * recorded
    again = world.run({}, 0, 0)
    assert (again == curves[0]).all()


def test_a_world_is_of_the_first_runs_alone(bench: Any) -> None:
    few = bench.surrogate.Surrogate("mars-a", told=80)
    assert few.told == 80
    assert sum(map(len, few.curves)) == 80
    without = bench.surrogate.Surrogate("mars-a", ["control"], told=TOLD)
    assert set(bench.world.configs) - set(without.configs) == {"control"}


def test_a_study_spends_its_budget_and_is_known_as_far_as_it_was(bench: Any) -> None:
    method = bench.virtual.OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    trained = bench.virtual.play(method, bench.world, workers=2, budget=4, seed=3)
    assert sum(len(each.scores) for each in trained) == 4 * 12
    assert [each.state for each in trained[:4]] == [TrialState.COMPLETE] * 4
    assert trained[0].values == dict(bench.parts.GROUND.tried(bench.parts.GROUND.control).values)
    times = sorted(at for each in trained for at in each.known_at)
    np.testing.assert_allclose(times, np.arange(1, 49) / 12)
    scores, whole = trained[0].by(1.0, 12)
    assert (len(scores), whole) == (6, False)  # the other worker has spent the other half
    scores, whole = trained[0].by(2.0, 12)
    assert (len(scores), whole) == (12, True)
    assert [each.params for each in trained] == [
        each.params for each in bench.virtual.play(method, bench.world, workers=2, budget=4, seed=3)
    ]


def test_where_trainings_cost_their_seconds_a_budget_is_in_the_controls(bench: Any) -> None:
    method = bench.virtual.OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    priced = bench.surrogate.Priced("mars-a", told=TOLD)
    trained = bench.virtual.play(method, priced, workers=2, budget=4, seed=3)
    costs = [bench.seconds.Seconds.of_table("mars-a").cost(each.params) for each in trained]
    assert costs[0] == 1.0
    assert max(costs) > 2 * min(costs)
    spent = sum(len(each.scores) * cost / 12 for each, cost in zip(trained, costs, strict=True))
    assert 4 <= spent < 4 + max(costs) / 12
    events = sorted(
        (at, cost / 12) for each, cost in zip(trained, costs, strict=True) for at in each.known_at
    )
    np.testing.assert_allclose([at for at, _ in events], np.cumsum([cost for _, cost in events]))


def test_seconds_are_fitted_on_steps_and_multiply_adds(bench: Any) -> None:
    kept = bench.seconds.Seconds.of_table("terrain")
    measured = tuple(
        replace(each, seconds=0.03 * each.steps + 2e-11 * each.multiply_adds)
        for each in kept.measured
    )
    made = replace(kept, measured=measured)
    assert made.weights == pytest.approx((0.03, 2e-11))
    params = {each.config: each.params for each in bench.plans.plan_of(bench.plans.ALL["terrain"])}
    for each in made.measured:
        epoch = made.epoch(params[each.config])
        assert (epoch.steps, epoch.multiply_adds) == (each.steps, each.multiply_adds)
        assert made.fitted(epoch) == pytest.approx(each.seconds)
    with pytest.raises(SystemExit, match="mars-b: nothing is measured"):
        bench.seconds.Seconds.of_table("mars-b")


def test_pruners_end_trials_but_not_the_control(bench: Any) -> None:
    (method,) = (each for each in bench.peers.methods(40) if each.name == "tpe + halving")
    trained = bench.virtual.play(method, bench.world, workers=2, budget=6, seed=1)
    states = [each.state for each in trained]
    assert states[0] is TrialState.COMPLETE
    assert TrialState.PRUNED in states
    assert {len(each.scores) for each in trained if each.state is TrialState.PRUNED} <= {2, 6}


def test_choices_come_back_as_they_were_written(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = bench.virtual.OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    trained = bench.virtual.play(method, bench.world, workers=1, budget=8, seed=0)
    chosen = bench.peers.chosen_in(trained, 12, 8)
    study = bench.choices.Study(TOLD, "random", 1, 0, *chosen)
    monkeypatch.setattr(bench.choices, "TABLES", tmp_path)
    assert bench.choices.studies_of("mars-a") == []
    bench.choices.append("mars-a", study)
    bench.choices.append("mars-a", study)
    assert bench.choices.studies_of("mars-a") == [study, study]
    monkeypatch.setattr(bench.choices, "FULL", 1)  # what follows goes into a file of its own
    bench.choices.append("mars-a", study)
    assert bench.choices.studies_of("mars-a") == [study, study, study]
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert len(sizes) == 2
    assert 0 < sizes[0] < sizes[1]
    begun, complete, highest, _, params = chosen
    assert (begun[0], complete[0]) == (4, 4)
    scores = [max(each.scores) for each in trained[:4]]
    assert highest[0] == int(np.argmax(scores))
    assert params[highest[0]] == trained[highest[0]].params


def test_how_much_sooner_is_told_from_the_curves(bench: Any) -> None:
    judging = bench.judging
    budgets = np.array(bench.choices.budgets_to(40))
    theirs = judging.Gains(
        "random", "highest", np.array([0.005 * budgets / 40, 0.015 * budgets / 40])
    )
    ours = judging.Gains("model", "posterior", np.array([0.02 * budgets / 40, 0.02 * budgets / 40]))
    slow = judging.Gains("model", "posterior", np.zeros((2, len(budgets))))
    verdict = judging.Verdict(bench.world, 2)
    verdict.__dict__["all"] = [theirs, ours, slow]
    both = np.arange(2)
    assert verdict.speed_up(ours, both) == pytest.approx(2.0)  # 0.01 of 0.02
    assert verdict.speed_up(ours, np.array([0, 0])) == pytest.approx(4.0)
    assert verdict.speed_up(slow, both) == 0.0
    assert (ours.ours, ours.theirs, theirs.ours, theirs.theirs) == (True, False, False, True)
    assert not judging.Gains("model", "highest", np.zeros((1, 10))).ours


def test_a_tables_own_configs_are_trained_for_what_is_proposed(bench: Any) -> None:
    table = bench.tabular.Tabular("mars-a", told=TOLD)
    assert len(table.offered) == 65
    offer = table.offer()
    params = [dict(each.params) for each in bench.plans.plan_of(bench.plans.ALL["mars-a"])]
    near = next(each for each in params if each != dict(bench.parts.GROUND.control))
    assert offer(near) == near
    second = offer({**near, "optimiser.learning_rate": near["optimiser.learning_rate"] * 1.01})
    assert second != near, "no config twice"
    others = [offer(near) for _ in range(63)]
    assert len({str(each) for each in others}) == 63
    with pytest.raises(bench.tabular.NoneLeftError, match="all 65 configs of mars-a are tried"):
        offer(near)


def test_a_search_among_recorded_configs_is_told_what_was_trained(bench: Any) -> None:
    table = bench.tabular.Tabular("mars-a", told=TOLD)
    (method,) = (each for each in bench.peers.methods(40) if each.name == "optuna TPE + median")
    trained = bench.virtual.play(method, table, workers=2, budget=4, seed=1)
    planned = {each.config: each for each in bench.plans.plan_of(bench.plans.ALL["mars-a"])}
    recorded: dict[str, list[Any]] = {}
    for run in list(bench.runs.runs_of("mars-a").values())[:TOLD]:
        recorded.setdefault(run.config, []).append(run.scores_E)
    for trial in trained:
        (config,) = (name for name, each in planned.items() if dict(each.params) == trial.params)
        seen = len(trial.scores)
        assert any(trial.scores == list(each[:seen]) for each in recorded[config])


def test_what_a_recorded_config_is_worth_is_told_by_other_runs_alone(bench: Any) -> None:
    """Compared with the textbook's conditional mean (Rasmussen and Williams 2006, 2.38 and 2.42), by a plain inverse."""
    table = bench.tabular.Tabular("mars-a", told=TOLD)
    smooth, place = table.smooth, 7
    finals = [
        np.array([bench.surrogate.final_score(each) for each in curves]) for curves in smooth.curves
    ]
    left = [
        values[1:] if at in (place, table.control) else values for at, values in enumerate(finals)
    ]
    points = smooth.points_CD
    prior = smooth.scales.amplitude**2 * smooth.scales.correlation(points, points)
    counts = np.array([len(each) for each in left])
    means = np.array([each.mean() for each in left])
    inverse = np.linalg.inv(prior + np.diag(smooth.scales.noise**2 / counts + 1e-8))
    ones = np.ones(len(means))
    level = (ones @ inverse @ means) / (ones @ inverse @ ones)
    expected = level + prior @ inverse @ (means - level)
    worth = table.worth(place, 0, 0)
    assert worth == pytest.approx(expected[place] - expected[table.control], abs=1e-9)
    assert worth != pytest.approx(table.worth(place, 1, 0), abs=1e-6), "the seen run is left out"
    assert table.worth(table.control, 0, 0) == 0.0


def test_fresh_seeds_and_splits_judge_before_all_else(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config that no split has together with the control is known by what both were trained beside."""
    table = bench.tabular.Tabular("mars-a", told=TOLD)
    plan = [each for each in bench.plans.plan_of(bench.plans.ALL["mars-a"]) if not each.turn]
    runs = {each.number: bench.runs.runs_of("mars-a")[each.number] for each in plan}
    one = runs[0]
    splits = [
        {"control": 0.4, "near 0": 0.5},
        {"control": 0.3, "near 0": 0.36},
        {"near 0": 0.2, "near 1": 0.25},
    ]
    for turn, split in enumerate(splits, start=1):
        for config, score in split.items():
            number = len(runs)
            params = next(each.params for each in plan if each.config == config)
            plan.append(bench.plans.Planned(number, config, params, turn))
            scores = np.full_like(one.scores_E, score)
            runs[number] = bench.runs.Recorded(
                **{**vars(one), "number": number, "config": config, "scores_E": scores}
            )
    monkeypatch.setattr(bench.tabular, "runs_of", lambda name: runs)
    monkeypatch.setattr(bench.tabular, "plan_of", lambda table: plan)
    assert table.fresh == pytest.approx({"near 0": 0.08, "near 1": 0.13})
    place = table.smooth.configs.index("near 1")
    assert table.worth(place, 0, 0) == pytest.approx(0.13)


def test_a_portfolio_takes_the_step_that_adds_most_each_time(bench: Any) -> None:
    """Two that are good in the same worlds are worth no more than one; a poorer one for the others is."""
    draws_DS = np.array([[4.0, 3.9, -1.0, 0.5], [-2.0, -2.0, 1.0, 0.5]])
    gains = bench.portfolio.Gains(draws_DS.mean(axis=0), draws_DS.std(axis=0), draws_DS)
    assert bench.portfolio.portfolio([gains], 3) == [0, 2, 0]
    assert bench.portfolio.worth(gains, [0]) == 2.0
    assert bench.portfolio.worth(gains, [0, 1]) == 2.0
    assert bench.portfolio.worth(gains, [0, 2]) == 2.5
    assert bench.portfolio.worth(gains, [1, 3]) == pytest.approx((3.9 + 0.5) / 2)
    other = bench.portfolio.Gains(*(-each for each in (gains.means_S, gains.sds_S, draws_DS)))
    chosen = bench.portfolio.portfolio([gains, other], 1)
    assert chosen == [0], "the sums over tables are 3, 2.95, 1 and 0.5"


def test_steps_gain_what_the_posterior_of_the_table_tells(bench: Any) -> None:
    table = bench.plans.ALL["mars-a"]
    start = bench.portfolio.StepsFrom(bench.parts.GROUND.control)
    steps = start.changes()
    assert {"train.batch_size": 8} in steps
    assert {"loss.dice.on": False} in steps
    assert not any(step.get("optimiser.learning_rate") == 4e-3 for step in steps), "the control"
    picked = steps[:5]
    gains = start.gains(table, picked)
    ground = bench.parts.GROUND
    belief = bench.portfolio.believer_on(table).of(
        [ground.tried({**ground.control, **step}).values for step in picked]
    )
    np.testing.assert_allclose(gains.means_S, belief.means_C[:-1] - belief.means_C[-1])
    np.testing.assert_allclose(
        gains.draws_DS.mean(axis=0), gains.means_S, atol=4 * gains.sds_S.max() / 20
    )
    np.testing.assert_allclose(gains.draws_DS.std(axis=0), gains.sds_S, rtol=0.15)
    shares = (gains.draws_DS > 0).mean(axis=0)
    np.testing.assert_allclose(shares, belief.beats_control_C[:-1], atol=0.08)


def test_a_step_is_made_simpler_without_giving_away_what_it_gains(bench: Any) -> None:
    tables = [bench.plans.ALL["mars-a"]]
    start = bench.portfolio.StepsFrom(bench.parts.GROUND.control)
    singles = start.changes()
    means = start.mean_gains(tables, singles)
    best, worst = singles[int(means.argmax())], singles[int(means.argmin())]
    assert start.simplified({**worst, **best}, tables) == best
    assert start.simplified(best, tables) == best


def test_leads_are_worth_what_fresh_splits_leave_of_them(bench: Any) -> None:
    """Configs whose lead nobody has asked fresh splits about are worth its share that these left of others."""
    table = bench.tabular.Tabular("mars-a", told=202)
    fresh = {each: table.smooth.configs.index(each) for each in list(table.fresh)[:4]}
    truths_C = table.truths({})
    leads = truths_C - truths_C[table.control]
    other = next(each for each in table.offered if table.smooth.configs[each] not in table.fresh)
    for left, said in ((0.5, 0.5), (3.0, 1.0), (-1.0, 0.0)):
        table.__dict__["fresh"] = {each: left * leads[place] for each, place in fresh.items()}
        table.__dict__.pop("share_left", None)
        assert table.share_left == pytest.approx(said)
        first = next(iter(fresh))
        assert table.worth(fresh[first], 0, 0) == left * leads[fresh[first]]
        taken_C = table.truths({other: 0, table.control: 0})
        assert table.worth(other, 0, 0) == pytest.approx(
            said * (taken_C[other] - taken_C[table.control])
        )
    table.__dict__["fresh"] = {}
    del table.__dict__["share_left"]
    assert table.share_left == 1.0
