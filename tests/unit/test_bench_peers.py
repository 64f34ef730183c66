"""Peers behind a pipe, and the laws of virtual time that hold for all that pause and go on."""

import importlib
import random
import sys
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
COMMAND = [sys.executable, str(TESTS / "support" / "random_peer.py")]
TOLD, EPOCHS = 138, 12


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The modules of the bench, the servers' own, and the world of table mars-a."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(TESTS))
        patched.syspath_prepend(str(TESTS / "search_bench" / "peers"))
        names = (
            "choices",
            "flat",
            "judging",
            "one_epoch",
            "parts",
            "piped",
            "surrogate",
            "virtual",
        )
        modules = {name: importlib.import_module(f"search_bench.{name}") for name in names}
        modules |= {name: importlib.import_module(name) for name in ("bench_peers", "serving")}
        world = modules["surrogate"].Surrogate("mars-a", told=TOLD)
        yield SimpleNamespace(**modules, world=world)


class Piped:
    """The tests' own peer, behind a pipe."""

    def __init__(self, bench: Any, name: str = "random peer") -> None:
        self.name, self._bench = name, bench

    def begin(self, terms: Any) -> Any:
        return self._bench.piped.PipedSearch(self.name, COMMAND, terms)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_peer_that_pauses_keeps_the_laws_of_virtual_time(bench: Any, workers: int) -> None:
    play = bench.virtual.play
    trained = play(Piped(bench), bench.world, workers=workers, budget=8, seed=3)
    assert sum(len(each.scores) for each in trained) == 8 * EPOCHS
    times = sorted(at for each in trained for at in each.known_at)
    np.testing.assert_allclose(times, np.arange(1, 8 * EPOCHS + 1) / EPOCHS)
    assert trained[0].values == dict(bench.parts.GROUND.tried(bench.parts.GROUND.control).values)
    assert trained[0].state is TrialState.COMPLETE
    # never paused: an epoch in each round of all workers
    np.testing.assert_allclose(np.diff(trained[0].known_at), workers / EPOCHS)
    for number, each in enumerate(trained):
        whole_E = bench.world.run(each.values, 3, number)
        np.testing.assert_array_equal(each.scores, whole_E[: len(each.scores)])
    longest = [np.diff(each.known_at).max(initial=0) for each in trained]
    pauses = [gap > (workers + 0.5) / EPOCHS for gap in longest]
    resumed = [each for each, is_resumed in zip(trained, pauses, strict=True) if is_resumed]
    assert resumed
    assert all(len(each.scores) > 3 for each in resumed)
    states = [each.state for each in trained]
    assert {TrialState.WAITING, TrialState.PRUNED} <= set(states)
    pruned = [each for each in trained if each.state is TrialState.PRUNED]
    assert {len(each.scores) for each in pruned} == {3}
    again = play(Piped(bench), bench.world, workers=workers, budget=8, seed=3)
    assert [vars(each) for each in again] == [vars(each) for each in trained]


def test_a_peer_tells_why_it_ended(bench: Any) -> None:
    with pytest.raises(bench.piped.PeerError, match=r"broken ended: .*cannot be driven"):
        bench.virtual.play(Piped(bench, "broken"), bench.world, workers=1, budget=4, seed=0)


def test_the_control_is_told_as_far_as_its_peer_asks(bench: Any) -> None:
    """A peer that pauses the control after one epoch, and asks for it again when it is whole."""

    class Peer:
        asked = (0, 1, 0, 2)
        told: list[tuple[int, int]] = []  # noqa: RUF012

        def ask(self) -> tuple[int, dict[str, Any]]:
            number, *self.asked = self.asked
            return number, {}

        def report(self, number: int, scores: list[float]) -> str:
            self.told.append((number, len(scores)))
            return bench.serving.WAITING if len(scores) in (1, 3) else bench.serving.RUNNING

    peer = Peer()
    study = bench.serving.Study(peer, {"epochs": 4, "fields": []})
    assert study.ask()["number"] == 0
    states = [study.report(0, score)["state"] for score in (0.1, 0.2, 0.3, 0.4)]
    assert states == ["running", "running", "running", "complete"]
    assert peer.told == [(0, 1)]
    assert study.ask()["number"] == 1
    assert study.report(1, 0.5)["state"] == "waiting"
    assert study.ask()["number"] == 2  # the control goes on at once: its scores are known
    assert peer.told == [(0, 1), (1, 1), (0, 2), (0, 3)]


def test_fields_are_read_when_their_conditions_say_so(bench: Any) -> None:
    fields = bench.flat.fields()
    assert {field["name"] for field in fields} >= set(bench.parts.GROUND.control)
    assert [field["name"] for field in fields if field["when"]] == [
        "loss.cross_entropy.weight",
        "loss.focal.weight",
        "loss.dice.weight",
    ]
    dice = random.Random(1)
    for _ in range(200):
        params = bench.parts.GROUND.drawn(dice, None).params
        met = {
            field["name"]
            for field in fields
            if not field["when"] or any(params[name] == option for name, option in field["when"])
        }
        assert met == set(params)
        flat = {field["name"]: field.get("low") for field in fields} | dict(params)
        assert bench.flat.read(flat) == params


def test_an_environment_that_cannot_be_built_says_why(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none.txt").write_text("--no-index\nno-such-peer==1.0\n")
    monkeypatch.setattr(bench.piped, "SERVERS", tmp_path)
    monkeypatch.setattr(bench.piped, "HOMES", tmp_path / "homes")
    with pytest.raises(bench.piped.PeerError, match="no-such-peer"):
        bench.piped.Environment("none").python()
    assert not (tmp_path / "homes" / "none" / ".made-of").exists()


def test_what_peers_need_is_pinned(bench: Any) -> None:
    wanted = [each.environment.name for each in bench.piped.piped()]
    assert set(wanted) == {"smac_ray", "syne_tune"}
    for name in set(wanted):
        lines = (bench.piped.SERVERS / f"{name}.txt").read_text().splitlines()
        assert all(line.startswith("#") or "==" in line for line in lines)
    assert all((bench.piped.SERVERS / each.server).exists() for each in bench.piped.piped())


@pytest.mark.parametrize(("workers", "whole"), [(1, 3), (2, 4), (8, 8)])
def test_one_epoch_looks_at_many_and_trains_the_best(bench: Any, workers: int, whole: int) -> None:
    trained = bench.virtual.play(
        bench.one_epoch.OneEpoch(), bench.world, workers=workers, budget=20, seed=0
    )
    assert sum(len(each.scores) for each in trained) == 20 * EPOCHS
    assert {len(each.scores) for each in trained} == {1, EPOCHS}
    assert len(trained) == 20 * EPOCHS - (EPOCHS - 1) * (1 + whole)
    best = [each.scores[0] for each in trained[1:] if len(each.scores) == EPOCHS]
    assert len(best) == whole
    # what a worker asks for at the end of the looks does not know the others' last ones
    known = [each.scores[0] for each in trained[1 : len(trained) - workers + 1]]
    assert sum(score > min(best) for score in known) <= whole


def test_studies_are_played_once_and_told_apart_by_their_budget(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = bench.virtual.OptunaMethod("random", lambda seed, number: RandomSampler(seed))
    broken = Piped(bench, "broken")
    monkeypatch.setattr(bench.choices, "TABLES", tmp_path)
    monkeypatch.setattr(bench.bench_peers, "Surrogate", lambda table, told: bench.world)
    monkeypatch.setattr(bench.bench_peers, "methods", lambda budget, table="": [broken, plain])
    for budget in (4, 8, 8):
        arguments = f"--table mars-a --told {TOLD} --repetitions 2 --budget {budget}".split()
        monkeypatch.setattr(sys, "argv", ["bench_peers", *arguments])
        bench.bench_peers.main()
    studies = bench.choices.studies_of("mars-a")
    assert [(each.budget, each.repetition) for each in studies] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 3  # once in each run
    assert all(line.startswith("| broken | not played: broken ended: ") for line in shown)
    gains = bench.judging.Verdict(bench.world, 2, 8).all
    assert [(each.method, each.choice, each.gains_RB.shape) for each in gains] == [
        ("control only", "-", (2, 2)),
        ("random", "highest", (2, 2)),
        ("random", "posterior", (2, 2)),
    ]
    assert not gains[0].gains_RB.any()
    third = replace(studies[3], repetition=2)
    for study in (third, replace(third, method="seldom")):
        bench.choices.append("mars-a", study)
    verdict = bench.judging.Verdict(bench.world, 2, 8)
    assert {each.method: each.played for each in verdict.all} == {
        "control only": 3,
        "random": 3,
        "seldom": 1,
    }
    assert {each.method for each in verdict.compared} == {"random"}
    with pytest.raises(SystemExit, match="12 trainings"):
        _ = bench.judging.Verdict(bench.world, 2, 12).all
