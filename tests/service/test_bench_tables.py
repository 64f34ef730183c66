"""The recorder of the search's judge, in small: all four parts of a plan, trained by real workers."""

import importlib
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from search.posterior.ground import SpaceGround
from spaces import load_space

TESTS = Path(__file__).parents[1]  # where the benches find each other
SPACE = """
optimiser.kind: adamw
optimiser.learning_rate: {float: [1.0e-4, 1.0e-2], log: true}
model.base_filters: 4
model.depth: 2
train.epochs: 2
train.bf16: false
pruning: {kind: none}
control:
  optimiser.learning_rate: 1.0e-3
"""


@pytest.mark.long
def test_a_table_is_recorded_in_four_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(TESTS))
    bench_tables, parts, plans, runs = map(
        importlib.import_module,
        ("bench_tables", "search_bench.parts", "search_bench.plans", "search_bench.runs"),
    )
    table = plans.Table("tiny", "", seed=5, frames=60)
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    ground = SpaceGround(load_space(str(space)))
    for module in (plans, runs):
        monkeypatch.setattr(module, "TABLES", tmp_path)
    for module in (parts, bench_tables):
        monkeypatch.setattr(module, "GROUND", ground)
    monkeypatch.setattr(bench_tables, "SPACE", space)
    monkeypatch.setitem(plans.ALL, "tiny", table)
    sizes = {"EACH": 1, "CONTROLS": 4, "BEST": 1, "TURNS": 1, "FEW": 1, "MORE_TURNS": 1}
    for name, value in sizes.items():
        for module in (bench_tables, parts, plans):
            monkeypatch.setattr(module, name, value, raising=False)

    def make(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["bench_tables.py", "--table", "tiny", *words])
        bench_tables.main()
        return capsys.readouterr().out

    home = ("--home", str(tmp_path / "home"))
    assert "tiny: 8 runs planned" in make("--extend")
    with pytest.raises(SystemExit, match="8 of 8 runs are not recorded yet"):
        make("--extend")
    assert "tiny: 8 of 8 runs" in make(*home)
    assert "tiny: 10 runs planned" in make("--extend")
    assert "tiny: 10 of 10 runs" in make(*home)
    assert "tiny: 12 runs planned" in make("--extend")
    assert "tiny: 12 of 12 runs" in make(*home)
    assert "tiny: 14 runs planned" in make("--extend")
    assert "tiny: 14 of 14 runs" in make(*home)
    assert "tiny: 14 runs planned, as before" in make("--extend")

    plan, recorded = plans.plan_of(table), runs.runs_of("tiny")
    assert sorted(recorded) == list(range(14))
    kinds = Counter(each.config for each in plan)
    best = plan[-1].config
    assert kinds.pop(best) == 4
    assert kinds == {"control": 6} | {
        each: 2 for each in ("uniform 0", "near 0", "proposed 0") if each != best
    }
    for planned in plan:
        run = recorded[planned.number]
        assert (run.config, run.cause) == (planned.config, "completed")
        assert len(run.scores_E) == len(run.soft_scores_E) == len(run.balanced_nll_E) == 2
        measured_E = np.nanmean(run.measured_EK, axis=1)
        np.testing.assert_allclose(measured_E, run.scores_E, atol=1e-4)
    searched = [recorded[each.number].seed for each in plan if not each.turn]
    fresh = [recorded[each.number].seed for each in plan if each.turn]
    assert len(set(searched)) == len(searched)
    assert len(set(fresh)) == 2, "of one turn all have one seed, of each turn another"
    assert Counter(each.turn for each in plan if each.turn) == {1: 2, 2: 2}
    assert not set(fresh) & set(searched)
