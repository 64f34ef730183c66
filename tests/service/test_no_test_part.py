"""A study without a sealed test part, and with frames left out by name: bundle, card and report say
so; no look is counted.
"""

from pathlib import Path

import pytest

from objectives.bundle.bundle_folder import load_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import NO_TEST
from objectives.data.options import DataOptions
from objectives.errors import UserError
from search.cli.app import answer
from search.export.best import export_best
from search.place import Place
from search.study.looks import test_looks as looks_at
from search.study.setup import Request, set_up
from search.study.stored import open_study
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker

READ = DataOptions(shares=(0.8, 0.2, 0.0), leave_out=("3", "5"))


@pytest.mark.long
def test_the_bundle_the_card_and_the_report_say_that_nothing_is_sealed(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")
    asked = Request(
        name="all",
        source="synthetic:40",
        space="tiny",
        trials=1,
        sets=("train.epochs=1",),
        frames=READ,
    )
    lines = list(set_up(asked, place))
    assert any("0 test" in line for line in lines)
    assert any(line.startswith("warning: there is no test part") for line in lines)
    study = open_study(database, "all")
    run_worker(
        study,
        WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1),
        Orders(),
        print,
    )
    provenance = export_best(study, place, tmp_path / "out")
    assert (provenance.test, provenance.has_test, provenance.test_looks) == (None, False, 0)
    assert looks_at(study) == 0
    study.close()
    assert NO_TEST in (tmp_path / "out" / "README.md").read_text()
    frames = load_bundle(tmp_path / "out").frames
    assert (len(frames["test"]), len(frames["left out"])) == (0, 2)
    assert evaluate_bundle(tmp_path / "out", "synthetic:40").foreign == 0
    with pytest.raises(UserError, match=r"no frame of synthetic:40 counts: .* other parts"):
        evaluate_bundle(tmp_path / "out", "synthetic:40", split="test")
    where = [
        "--storage",
        database,
        "--artifacts",
        place.artifacts,
        "--out",
        str(tmp_path / "report.html"),
    ]
    assert answer(["report", "--study", "all", *where]) == 0, capsys.readouterr().err
    assert NO_TEST in (tmp_path / "report.html").read_text()
