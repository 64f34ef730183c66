"""Exports that average over flipped frames: measured, kept only where asked for or where
they help.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from objectives.bundle.belief_in_one import chance
from objectives.bundle.bundle_folder import load_bundle
from objectives.device.computing import processor_of, threads_of
from objectives.device.processor import Processor
from objectives.ensemble.program import Ensemble, reflipped
from objectives.errors import WorldError
from objectives.scoring.evaluate import evaluate
from search.export.best import ExportRequest, export_best, restore, with_flips
from search.export.exported_program import ExportedProgram
from search.export.winner import find_winner
from search.place import Place
from search.posterior.standing import SURE
from search.study.stored import Study, open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker

CPU = torch.device("cpu")
Maker = Callable[..., None]


@pytest.fixture
def trained(database: str, make_study: Maker, tmp_path: Path) -> Study:
    """A study of one trial, trained."""
    make_study(database, trials=1, sets=("train.epochs=2",))
    study = open_study(database, "small")
    settings = WorkerSettings(
        str(tmp_path / "artifacts"), tmp_path / "cache", device="cpu", threads=1
    )
    run_worker(study, settings, Orders(), print)
    return study


def score_of(candidate: ExportedProgram, *, flipping: bool) -> float:
    program, _ = reflipped(
        candidate.segmenter, candidate.settings, ("horizontal",) if flipping else ()
    )
    images, masks = candidate.pixels("validation")
    with threads_of(candidate.scored_on):
        return evaluate(program, images, masks, candidate.data.spec, device=candidate.device).score


@pytest.mark.long
def test_flips_are_measured_and_kept_when_asked_for_or_better(
    trained: Study, database: str, tmp_path: Path
) -> None:
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    candidate = restore(trained, find_winner(trained, database), place, "")
    without, averaged = score_of(candidate, flipping=False), score_of(candidate, flipping=True)
    assert without != averaged
    then = Processor("cpu", processor_of(CPU).name, 1)
    assert candidate.scored_on == candidate.scores_on == then
    seen: list[int] = []
    hook = candidate.segmenter.register_forward_pre_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    candidate.inspect("validation")
    hook.remove()
    assert set(seen) == {1}
    assert with_flips(candidate, "off") is candidate
    kept = with_flips(candidate, "auto")
    assert kept.flips is not None
    assert (kept.flips.without, kept.flips.averaged) == (without, averaged)
    better = kept.flips.better
    assert better is not None
    assert (better > 0.5) == (averaged > without)
    assert kept.flips.used == (better > SURE) == isinstance(kept.segmenter, Ensemble)
    assert kept.score == (averaged if better > SURE else without)
    said = f"{averaged:.4f}, without {without:.4f}, better with {chance(better)}, at 2 times the"
    assert said in str(kept.flips)
    other = dataclasses.replace(
        candidate, winner=dataclasses.replace(candidate.winner, score=without + 0.01)
    )
    with pytest.raises(WorldError, match="nothing was exported"):
        with_flips(other, "on")

    provenance = export_best(
        trained, place, tmp_path / "out", ExportRequest(flips="on")
    )  # checks score and programs after writing
    assert provenance.validation.score == averaged
    assert load_bundle(tmp_path / "out").settings.flips == ("horizontal",)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["flips"] == {
        "flips": ["horizontal"],
        "without": without,
        "averaged": averaged,
        "used": True,
        "better": better,
    }
    assert (metrics["processor"], metrics["threads"]) == (then.name, then.threads)
    assert (
        f"Scored on cpu ({then.name}, 1 thread(s))" in (tmp_path / "out" / "README.md").read_text()
    )
    assert metrics["space"] == trained.spec.space_fingerprint
    assert metrics["program"].startswith(("git ", "segmentation-search"))
    assert metrics["members"] == [
        {"study": "small", "trial": 0, "seed": metrics["seed"], "epoch": metrics["epoch"]}
    ]
    begin = "search init --study small --data synthetic:40 --space tiny"
    assert any(command.startswith(begin) for command in metrics["reproduce"])
    trained.close()
