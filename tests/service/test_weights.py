"""A study that is given weights: its workers need nothing but the store, its bundle nothing but
itself, and whoever follows it finds them there.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

from objectives.bundle.bundle_folder import load_bundle
from objectives.errors import ProblemsError, UserError, WorldError
from search.artifacts import open_blobs
from search.confirm.plan import plan
from search.database.connections import NoStudyError
from search.export.best import ExportRequest, export_best, restore
from search.export.reproduction import study_lines
from search.export.retrain import plan as retrain_plan
from search.export.winner import find_winner
from search.garbage.store import collect
from search.place import Place
from search.study.migrate import Wish, migrate_study
from search.study.setup import Request, set_up
from search.study.stored import Study, open_study
from search.study.trial_lines import read_trials
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support import pretrained
from tests.support.blob_names import names_in

pytestmark = pytest.mark.long

TERRAIN = "synthetic:40"
SETS = (
    "model.kind=smp",
    f"model.encoder={pretrained.SMALLEST}",
    "model.weights=small",
    "train.epochs=2",
    "train.steps_per_epoch=1",
    "train.frozen_epochs=1",
    "train.scale=0.5",
)


@pytest.fixture
def place(database: str, tmp_path: Path) -> Place:
    return Place(database, str(tmp_path / "artifacts"), tmp_path / "cache")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    path.write_bytes(pretrained.random_file())
    return path


@pytest.fixture
def make(place: Place) -> Iterator[Callable[..., Study]]:
    """Write a study of one trial, and open it."""
    opened: list[Study] = []

    def make(*weights: object, sets: tuple[str, ...] = SETS, name: str = "small") -> Study:
        request = Request(
            name=name,
            source=TERRAIN,
            space="tiny",
            trials=1,
            sets=sets,
            weights=tuple(map(str, weights)),
        )
        list(set_up(request, place))
        opened.append(open_study(place.storage, name))
        return opened[-1]

    yield make
    for study in opened:
        study.close()


def work(study: Study, place: Place) -> list[str]:
    said: list[str] = []
    settings = WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1)
    run_worker(study, settings, Orders(), said.append)
    return said


def sha_of(study: Study) -> str:
    (given,) = study.space.weights
    return given.start.sha256


@pytest.mark.parametrize("kind", ["smp", "encoder_unet"])
def test_a_worker_trains_from_the_store_and_its_bundle_needs_neither(
    make: Callable[..., Study], place: Place, file: Path, tmp_path: Path, kind: str
) -> None:
    study = make(file, sets=(*SETS, f"model.kind={kind}"))
    file.unlink()  # a host without it

    said = work(study, place)

    (trial,) = read_trials(study)
    assert trial.state == "complete", said
    copy = place.cache / "weights" / sha_of(study)
    assert copy.read_bytes() == pretrained.random_file()
    open_blobs(place.artifacts).delete(sha_of(study))
    copy.unlink()
    export_best(study, place, tmp_path / "bundle", ExportRequest(test=False))
    bundle = load_bundle(tmp_path / "bundle")
    (started,) = bundle.provenance.weights
    assert (started.name, started.licence) == ("small", "MIT")
    assert started.sha256 == sha_of(study)
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "from nowhere; licence: MIT" in card
    assert sha_of(study) in card
    gain = bundle.segmenter.gain.flatten().tolist()  # type: ignore[union-attr, operator]
    assert gain == pytest.approx([1 / (0.25 * 255)])


def test_a_store_that_has_lost_them_keeps_a_trial_from_beginning(
    make: Callable[..., Study], place: Place, file: Path
) -> None:
    study = make(file)
    open_blobs(place.artifacts).delete(sha_of(study))
    orders = Orders()
    said: list[str] = []

    def hear(words: str) -> None:
        said.append(words)
        if "missing from the artifact store" in words:
            orders.stop.set()
            orders.leave.set()

    settings = WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1)
    run_worker(study, settings, orders, hear)

    assert any("missing from the artifact store" in words for words in said)
    (trial,) = study.optuna.get_trials()
    assert not trial.state.is_finished()
    assert not trial.intermediate_values


def test_nothing_is_stored_of_what_does_not_fit(
    make: Callable[..., Study], place: Place, file: Path
) -> None:
    resnet = tuple(each.replace(pretrained.SMALLEST, "resnet18") for each in SETS)
    with pytest.raises(
        ProblemsError, match=r"model\.blocks\.0\.0\.bn1\.bias: must be a tensor of resnet18"
    ):
        make(file, sets=resnet)
    with pytest.raises(ProblemsError, match="or given with --weights"):
        make(sets=SETS)
    without = tuple(each for each in SETS if "weights" not in each and "frozen" not in each)
    with pytest.raises(UserError, match=r"may start from small: .*model\.weights={choice: \[none"):
        make(file, sets=without)

    assert not names_in(open_blobs(place.artifacts))
    with pytest.raises(NoStudyError):
        open_study(place.storage, "small")


def test_equal_arguments_again_are_the_same_study_and_other_weights_are_not(
    make: Callable[..., Study], file: Path
) -> None:
    first = make(file)

    assert make(file).id == first.id
    file.write_bytes(pretrained.random_file(seed=2))
    with pytest.raises(UserError, match=r"exists with other settings: --weights is small \("):
        make(file)


def test_garbage_is_what_no_study_was_given(
    make: Callable[..., Study], place: Place, file: Path
) -> None:
    study = make(file)
    collect(study.engine, place.artifacts, older_than_s=-3600.0)
    assert open_blobs(place.artifacts).exists(sha_of(study))

    with study.engine.begin() as connection:
        connection.execute(text("UPDATE search_study SET study_id = -1"))  # its study is gone
    collect(study.engine, place.artifacts, older_than_s=-3600.0)
    assert not open_blobs(place.artifacts).exists(sha_of(study))


def test_studies_that_follow_have_the_same_weights(
    make: Callable[..., Study], place: Place, file: Path, tmp_path: Path
) -> None:
    study = make(file)
    file.unlink()
    work(study, place)

    wider = (*SETS[:-1], "train.scale={choice: [0.5, 1.0]}")
    wish = Wish(name="after", space="tiny", trials=1, sets=wider)
    assert "1 trials copied (1 complete)" in list(migrate_study(study, wish, place))
    after = open_study(place.storage, "after")
    assert after.space.weights == study.space.weights
    assert after.space.default().model == study.space.default().model
    after.close()
    confirming = plan(study, top=1, seeds=2, resplit=False)
    winner = restore(study, find_winner(study, place.storage), place, "")
    retraining = retrain_plan(study, winner)
    assert confirming.space["weights"] == retraining.space["weights"] == study.spec.space["weights"]
    open_blobs(place.artifacts).delete(sha_of(study))
    wish = Wish(name="later", space="tiny", trials=1, sets=SETS)
    with pytest.raises(WorldError, match="has lost the weights small"):
        list(migrate_study(study, wish, place))


def test_the_lines_that_make_a_study_again_name_its_weights(
    make: Callable[..., Study], file: Path
) -> None:
    study = make(file)
    comment, init, *_ = study_lines(study, 5)

    name = f"small-{sha_of(study)[:8]}"
    assert comment == f"# {name}: nowhere, the file with SHA-256 {sha_of(study)}"
    assert f"--weights small={name}" in init
    assert "--space tiny" in init


def test_an_earlier_studys_bundle_is_gone_on_from_with_new_classes(
    make: Callable[..., Study], place: Place, tmp_path: Path
) -> None:
    fixed = ("model.base_filters=8", "model.dropout=0.0")
    short = (*fixed, "train.epochs=1", "train.steps_per_epoch=1", "train.scale=0.5")
    before = make(sets=short, name="before")
    work(before, place)
    export_best(before, place, tmp_path / "bundle", ExportRequest(test=False))
    same = make(tmp_path / "bundle", sets=(*short, "model.weights=bundle"), name="same")

    (given,) = same.space.weights
    assert given.start.extent == "network"
    assert given.source.startswith("study before, trial 0")
    work(same, place)
    assert [trial.state for trial in read_trials(same)] == ["complete"]
    deeper = (*short, "model.weights=bundle", "model.depth=3")
    with pytest.raises(ProblemsError, match=r"model\.depth: must allow 2"):
        make(tmp_path / "bundle", sets=deeper, name="deeper")
    assert torch.is_tensor(load_bundle(tmp_path / "bundle").segmenter.gain)  # type: ignore[union-attr]
