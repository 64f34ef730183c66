"""Runs carried to their end: whole ones stay, early ones follow the whole."""

import numpy as np
import pytest

from search.posterior.carried import (
    EARLY_SD,
    LEAST_SEED_SD,
    SEED_JUMPS,
    SEED_SD,
    Carried,
    carry,
    final_score,
    last_epochs,
    usual_seed_sd,
)

EPOCHS = 20


def curve(end: float, *, epochs: int = EPOCHS, start: float = 0.2) -> np.ndarray:
    share = np.arange(1, EPOCHS + 1) / EPOCHS
    return np.asarray((start + (end - start) * share)[:epochs])


def carried(runs: list[np.ndarray]) -> Carried:
    return carry(runs, [len(run) == EPOCHS for run in runs], EPOCHS)


def test_whole_runs_keep_the_mean_of_their_last_epochs() -> None:
    runs = [curve(0.6), curve(0.7)]
    found = carried(runs)
    assert found.scores_N == pytest.approx([run[-5:].mean() for run in runs])
    assert (found.early_sds_N == 0).all()
    assert [last_epochs(epochs) for epochs in (1, 3, 8, 12, 48)] == [1, 1, 2, 3, 5]
    assert final_score(np.array([0.9, 0.1, 0.2])) == 0.2


def test_an_early_run_gains_what_whole_runs_gained_and_its_lead_is_shrunk() -> None:
    whole = [curve(0.6), curve(0.7)]
    early = curve(0.7, epochs=10) + 0.04
    found = carried([*whole, early])
    then = np.mean([run[7:10].mean() for run in whole])
    lead = early[-3:].mean() - then
    ends = np.mean([run[-5:].mean() for run in whole])
    assert found.scores_N[2] == pytest.approx(ends + 0.75 * lead)


def test_the_first_looks_are_believed_least() -> None:
    runs = [curve(0.6), *(curve(0.6, epochs=epochs) for epochs in (1, 2, 10, 19))]
    found = carried(runs)
    assert (np.diff(found.early_sds_N[1:]) < 0).all()
    alone = carried([curve(0.6, epochs=2)])
    assert alone.early_sds_N[0] == pytest.approx(EARLY_SD * 0.9**0.5)
    assert alone.scores_N[0] == pytest.approx(curve(0.6)[:2].mean())


def test_looks_that_proved_right_are_believed_more() -> None:
    parallel = [curve(0.5 + 0.01 * lead) + 0.0 for lead in range(12)]
    for run in parallel:
        run[:] = curve(0.5) + (run[-1] - 0.5)  # the lead is there from the first epoch
    crossing = [curve(0.5, start=start) for start in np.linspace(0.1, 0.4, 12)]
    early = curve(0.5, epochs=5)
    sure = carried([*parallel, early]).early_sds_N[-1]
    unsure = carried([*crossing, early]).early_sds_N[-1]
    assert sure < unsure


def test_jumps_of_epochs_count_by_how_many_are_averaged() -> None:
    random = np.random.default_rng(0)
    runs = [0.6 + 0.01 * random.normal(size=EPOCHS) for _ in range(200)]
    found = carried([*runs, runs[0][:2]])
    assert found.epoch_sds_N[0] == pytest.approx(0.01 / 5**0.5, rel=0.1)
    assert found.epoch_sds_N[-1] == pytest.approx(0.55 * 0.01 / 2**0.5, rel=0.1), "a shrunk lead"


def test_where_epochs_jump_little_seeds_are_expected_to_move_little() -> None:
    """Gasser et al. 1986, (2.2): of white noise on a straight line what is told is its deviation."""
    random = np.random.default_rng(1)
    line = np.linspace(0.3, 0.7, EPOCHS)
    restless, calm = (
        [line + sd * random.normal(size=EPOCHS) for _ in range(100)] for sd in (0.01, 0.002)
    )
    for runs, sd in ((restless, 0.01), (calm, 0.002)):
        by_jumps = SEED_JUMPS * sd
        expected = np.exp((np.log(SEED_SD) + 100 * np.log(by_jumps)) / 101)
        assert usual_seed_sd(runs) == pytest.approx(expected, rel=0.05)
    first = [run.copy() for run in restless]
    for run in first:
        run[: EPOCHS // 2 - 1] += 0.1 * random.normal(size=EPOCHS // 2 - 1)
    assert usual_seed_sd(first) == usual_seed_sd(restless), "the second half alone"
    assert usual_seed_sd([]) == usual_seed_sd([line[:3]]) == SEED_SD
    assert usual_seed_sd([line] * 10_000) == pytest.approx(LEAST_SEED_SD, rel=0.01)


def test_a_run_that_ended_by_itself_is_whole_however_short() -> None:
    stopped = curve(0.7, epochs=8)
    found = carry([curve(0.6), stopped, curve(0.6, epochs=12)], [True, True, False], EPOCHS)
    assert found.scores_N[1] == pytest.approx(stopped[-2:].mean())
    assert found.early_sds_N[1] == 0
    assert np.isfinite(found.scores_N).all()
