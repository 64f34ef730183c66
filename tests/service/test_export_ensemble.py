"""Exports of several runs as one program: what is chosen, judged, refused, written and said."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from onnxruntime import InferenceSession
from optuna.trial import FrozenTrial
from sqlalchemy import text

from objectives.bundle.belief_in_ensemble import Weighed
from objectives.bundle.belief_in_one import Named, chance
from objectives.bundle.bundle_folder import load_bundle
from objectives.bundle.provenance import Provenance
from objectives.data.options import DataOptions
from objectives.ensemble.program import members_of
from objectives.errors import NotBetterError, UserError, WorldError
from objectives.program.pixels import pixels_BCHW
from objectives.scoring.evaluate import evaluate
from objectives.statistics.scores import class_scores, mean_over
from search.cli.export_text import print_export
from search.confirm.plan import plan, write_plan
from search.export.best import OF_THE_SEARCH, ExportRequest, export_best, with_flips
from search.export.ensemble import restore_ensemble
from search.export.ensemble_choice import Combined, Listed
from search.export.member_runs import listed_runs, member_runs
from search.export.restored import open_data, restore_run
from search.export.winner import find_winner
from search.place import Place
from search.study.looks import test_looks as looks_at
from search.study.names import confirm_name
from search.study.record import Notes
from search.study.setup import Request, set_up
from search.study.stored import Study, open_study
from search.trials import checkpoints
from search.worker.context import Orders, WorkerSettings
from search.worker.loop import run_worker
from tests.support.bundles_made import seal

CPU = torch.device("cpu")
ENSEMBLE_OF_TWO = Combined(2, anyway=True)
# one network, so that any run's weights fit any other; no rung before the end
FIXED = (
    "train.epochs=2",
    "model.base_filters=4",
    "model.dropout=0",
    "control.optimiser.learning_rate=8e-3",
)


@dataclasses.dataclass(frozen=True)
class Searched:
    """A study of three trained trials, and where it is."""

    study: Study
    place: Place


@pytest.fixture(scope="module")
def searched(
    make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Searched:
    root = tmp_path_factory.mktemp("searched")
    place = Place(make_database(), str(root / "artifacts"), root / "cache")
    # of this seed no run is the best on every class
    seeded = DataOptions(seed=1)
    list(
        set_up(
            Request(
                name="small",
                source="synthetic:120",
                space="tiny",
                trials=3,
                sets=FIXED,
                frames=seeded,
            ),
            place,
        )
    )
    study = open_study(place.storage, "small")
    run_worker(
        study,
        WorkerSettings(place.artifacts, place.cache, device="cpu", threads=1),
        Orders(),
        print,
    )
    return Searched(study, place)


def averaged_in_numpy(
    searched: Searched, bundle: Path
) -> tuple[npt.NDArray[np.float64], np.ndarray, np.ndarray]:
    """Mean softmax (N, S, H, W) of the members named in a bundle, from the study's own weights;
    frames and masks.
    """
    data = open_data(searched.study, searched.place, "")
    metrics = json.loads((bundle / "metrics.json").read_text())
    weights = [
        member["weight"] for member in json.loads((bundle / "config.json").read_text())["members"]
    ]
    by_number = {trial.number: trial._trial_id for trial in searched.study.optuna.get_trials()}
    indices = data.parts["validation"]
    images = np.asarray(data.images[indices])
    total = np.zeros(())
    for origin, weight in zip(metrics["members"], weights, strict=True):
        member = restore_run(
            searched.study, by_number[origin["trial"]], data, searched.place.artifacts
        )
        with torch.no_grad():
            logits = (
                member.segmenter(pixels_BCHW(images)).double().numpy()[:, list(data.spec.scored)]
            )
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        total = total + weight / sum(weights) * raised / raised.sum(axis=1, keepdims=True)
    return total, images, np.asarray(data.masks[indices])


@contextmanager
def rows_kept(study: Study) -> Iterator[None]:
    """Whatever happens to the rows of checkpoints inside, they are as before afterwards."""
    with study.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS TABLE search_checkpoint"))
    try:
        yield
    finally:
        with study.engine.begin() as connection:
            connection.execute(text("TRUNCATE search_checkpoint"))
            connection.execute(text("INSERT INTO search_checkpoint TABLE kept"))
            connection.execute(text("DROP TABLE kept"))


def test_a_bundle_averages_its_members_and_says_so(
    searched: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    provenance = export_best(
        searched.study, searched.place, out, ExportRequest(ensemble=ENSEMBLE_OF_TWO)
    )
    mean_NSHW, images, masks = averaged_in_numpy(searched, out)
    bundle = load_bundle(out)
    spec = bundle.spec
    assert len(members_of(bundle.segmenter)) == len(provenance.members) == 2
    labels = np.array(spec.scored)[mean_NSHW.argmax(axis=1)]
    inside = masks != spec.ignore_label
    cells = np.bincount(
        masks[inside].astype(int) * spec.num_classes + labels[inside], minlength=spec.num_classes**2
    )
    expected = class_scores(cells.reshape(spec.num_classes, spec.num_classes))
    # a pixel may be a tie
    assert provenance.validation.score == pytest.approx(
        mean_over(expected.iou, spec.scored), abs=1e-4
    )
    session = InferenceSession((out / "model.onnx").read_bytes())
    (probabilities,) = session.run(
        ["probabilities"], {"pixels": images.transpose(0, 3, 1, 2).astype(np.float32)}
    )
    np.testing.assert_allclose(probabilities[:, list(spec.scored)], mean_NSHW, atol=1e-4)
    _check_words(out, provenance, searched.study.optuna.get_trials(), capsys)


def _check_words(
    out: Path,
    provenance: Provenance,
    trials: list[FrozenTrial],
    capsys: pytest.CaptureFixture[str],
) -> None:
    belief = provenance.belief
    assert isinstance(belief, Weighed)
    assert sum(share.weight for share in belief.members) == pytest.approx(1.0)
    assert [share.trial for share in belief.members] == [
        origin.trial for origin in provenance.members
    ]
    assert provenance.trial == belief.members[0].trial
    card = (out / "README.md").read_text()
    assert "study small, an ensemble of 2 runs" in card
    assert f"is expected to gain {belief.gain:+.4f} ± {belief.sd:.4f} in true score" in card
    for share, origin in zip(belief.members, provenance.members, strict=True):
        assert (
            f"weight {share.weight:.3g}: trial {origin.trial} of study small, seed {origin.seed}, "
            f"epoch {origin.epoch}" in card
        )
    print_export(out, provenance)
    said = " ".join(capsys.readouterr().out.split())
    assert "an ensemble of 2 runs" in said
    assert f"is better with {chance(belief.better)}, at the cost of 2 networks" in said
    costs = {trial.number: Notes.of(trial).multiply_adds for trial in trials}
    members = sum(costs[share.trial] for share in belief.members)
    assert belief.times == pytest.approx(members / costs[belief.against.trial])
    assert f"for each prediction, {belief.times:.1f} times the multiply-adds." in said
    assert Provenance.model_validate(json.loads(provenance.model_dump_json())).belief == belief


@pytest.mark.long
def test_a_stack_is_one_program_and_says_what_it_is(searched: Searched, tmp_path: Path) -> None:
    out = tmp_path / "out"
    provenance = export_best(
        searched.study,
        searched.place,
        out,
        ExportRequest(ensemble=Combined("stack", anyway=True), flips="on"),
    )
    bundle = load_bundle(out)
    belief = provenance.belief
    assert isinstance(belief, Weighed)
    assert belief.stacked
    assert (
        len(members_of(bundle.segmenter))
        == len(provenance.members)
        == len(member_runs(searched.study))
        == 3
    )
    data = open_data(searched.study, searched.place, "")
    frames = np.asarray(data.images[data.parts["validation"]])
    with torch.no_grad():
        logits = bundle.segmenter(pixels_BCHW(frames)).double().numpy()[:, list(bundle.spec.scored)]
    session = InferenceSession((out / "model.onnx").read_bytes())
    (probabilities,) = session.run(
        ["probabilities"], {"pixels": frames.transpose(0, 3, 1, 2).astype(np.float32)}
    )
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        probabilities[:, list(bundle.spec.scored)],
        raised / raised.sum(axis=1, keepdims=True),
        atol=1e-4,
    )
    card = " ".join((out / "README.md").read_text().split())
    assert "A second model over the probabilities of 3 networks" in card
    assert "A second model reads the probabilities of trial" in card
    assert ", weight " not in card
    settings = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**settings, "combining": "average"}))
    seal(out)
    with pytest.raises(UserError, match=r"differ in 2 tensors, the first is stack\.bias"):
        load_bundle(out)


def test_the_rare_pair_is_the_best_run_and_the_best_on_the_class_that_training_has_least_of(
    searched: Searched,
) -> None:
    study, place, pairs = searched.study, searched.place, 0
    winner, data, runs = (
        find_winner(study, place.storage),
        open_data(study, place, ""),
        member_runs(study),
    )
    restored = [restore_run(study, run, data, place.artifacts) for run in runs]
    indices = data.parts["validation"]
    found = [
        evaluate(each.segmenter, data.images[indices], data.masks[indices], data.spec, device=CPU)
        for each in restored
    ]
    best = max(range(3), key=lambda run: found[run].score)
    for rarest in data.spec.scored:
        counts = np.full_like(data.class_pixels, 1000)
        counts[:, rarest] = 1
        here = dataclasses.replace(data, class_pixels=counts)
        iou = np.nan_to_num([each.iou[rarest] for each in found])
        # 8-bit probabilities may tell equals otherwise
        experts = {run for run in range(3) if iou[run] > iou.max() - 0.05}
        if experts == {best}:
            with pytest.raises(
                NotBetterError,
                match=rf"is trial {restored[best].origin.trial} of study 'small' alone",
            ):
                restore_ensemble(winner, here, place, Combined("rare", anyway=True))
        elif best not in experts:
            candidate = restore_ensemble(winner, here, place, Combined("rare", anyway=True))
            assert set(candidate.origins) in [
                {restored[best].origin, restored[expert].origin} for expert in experts
            ]
            pairs += 1
    assert pairs


def test_flips_are_measured_of_the_ensemble(searched: Searched) -> None:
    winner, data = (
        find_winner(searched.study, searched.place.storage),
        open_data(searched.study, searched.place, ""),
    )
    candidate = restore_ensemble(winner, data, searched.place, ENSEMBLE_OF_TWO)
    flipping = with_flips(candidate, "on")
    assert flipping.flips is not None
    assert flipping.flips.without == candidate.score
    assert flipping.score == flipping.flips.averaged != candidate.score
    assert (len(flipping.settings.members), flipping.settings.flips) == (2, ("horizontal",))


def test_what_is_not_judged_better_is_not_exported(searched: Searched, tmp_path: Path) -> None:
    """All runs are given the weights of one: no average of them can be better."""
    study, looks = searched.study, looks_at(searched.study)
    runs = member_runs(study)
    best = checkpoints.pointers_of(study.engine, runs[0])["best"]
    one = {"blob": best.blob, "epoch": best.epoch, "score": best.score}
    with rows_kept(study):
        with study.engine.begin() as connection:
            connection.execute(
                text("UPDATE search_checkpoint SET blob = :blob, epoch = :epoch, score = :score"),
                one,
            )
        with pytest.raises(
            NotBetterError, match=r"no more than 80%: nothing was exported.*--ensemble-anyway"
        ):
            export_best(
                study, searched.place, tmp_path / "out", ExportRequest(ensemble=Combined(2))
            )
        with pytest.raises(NotBetterError, match=r"is trial \d of study 'small' alone"):
            export_best(
                study,
                searched.place,
                tmp_path / "out",
                ExportRequest(ensemble=Combined("rare", anyway=True)),
            )
        with study.engine.begin() as connection:
            connection.execute(text("UPDATE search_checkpoint SET score = score + 0.01"))
        with pytest.raises(WorldError, match="nothing was exported"):
            export_best(
                study, searched.place, tmp_path / "out", ExportRequest(ensemble=Combined(2))
            )
    assert not (tmp_path / "out").exists()
    assert looks_at(study) == looks


def test_a_trial_can_be_named(searched: Searched, tmp_path: Path) -> None:
    study, place, out = searched.study, searched.place, tmp_path / "out"
    best = find_winner(study, place.storage).number
    other = next(trial for trial in study.optuna.get_trials() if trial.number != best)
    provenance = export_best(study, place, out, ExportRequest(trial=other.number, test=False))
    assert (provenance.trial, provenance.validation.score) == (other.number, other.value)
    assert isinstance(provenance.belief, Named)
    assert (
        "This model is one of 3 trials. It was exported by its number"
        in (out / "README.md").read_text()
    )
    for wrong in (3, -1, 10**30):
        with pytest.raises(
            UserError,
            match=rf"--trial must be the number of a complete trial of study 'small', got {wrong}",
        ):
            export_best(study, place, tmp_path / "wrong", ExportRequest(trial=wrong))
    with rows_kept(study):
        with study.engine.begin() as connection:
            connection.execute(
                text("DELETE FROM search_checkpoint WHERE trial_id = :id"), {"id": other._trial_id}
            )
        with pytest.raises(
            WorldError,
            match=rf"trial {other.number} of study 'small' are gone: a study keeps those of its "
            rf"best",
        ):
            export_best(study, place, tmp_path / "wrong", ExportRequest(trial=other.number))
    with pytest.raises(UserError, match="leave out either it or --ensemble"):
        export_best(
            study, place, tmp_path / "wrong", ExportRequest(trial=best, ensemble=ENSEMBLE_OF_TWO)
        )
    assert not (tmp_path / "wrong").exists()


def test_named_trials_are_averaged_evenly_and_judged(searched: Searched, tmp_path: Path) -> None:
    """By number and by recipe, in any study; the control is one."""
    study, place, out = searched.study, searched.place, tmp_path / "out"
    told = export_best(
        study, place, out, ExportRequest(ensemble=Listed(("2", "control"), anyway=True))
    )
    belief = told.belief
    assert isinstance(belief, Weighed)
    assert belief.listed
    assert [(share.trial, share.weight) for share in belief.members] == [(2, 0.5), (0, 0.5)]
    total_NSHW, images, masks = averaged_in_numpy(searched, out)
    labels = np.array(open_data(study, place, "").spec.scored)[total_NSHW.argmax(axis=1)]
    spec = open_data(study, place, "").spec
    program = load_bundle(out).segmenter
    assert evaluate(program, images, masks, spec, device=CPU).score == pytest.approx(
        told.validation.score, abs=1e-6
    )
    with torch.no_grad():
        found = program(pixels_BCHW(images)).numpy()[:, list(spec.scored)].argmax(axis=1)
    assert (np.array(spec.scored)[found] == labels).mean() > 0.999
    assert (
        "even average of trial 2 of small, trial 0 of small, which whoever exported it named"
        in str(belief)
    )
    scores = {trial.number: trial.value for trial in study.optuna.get_trials()}
    over = told.validation.score - (scores[2] + scores[0]) / 2
    assert belief.over_members == pytest.approx(over, abs=1e-2)  # 8-bit probabilities
    assert belief.optimism == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("members", "why"),
    [
        (("0", "control"), "names a trial twice"),
        (("0", "7"), "got '7': no trial has that name"),
        (("0", "B17"), "got 'B17': no trial has that name"),
    ],
)
def test_names_that_mean_no_two_trials_are_refused(
    members: tuple[str, ...], why: str, searched: Searched, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=why):
        export_best(
            searched.study,
            searched.place,
            tmp_path / "out",
            ExportRequest(ensemble=Listed(members, anyway=True)),
        )
    assert not (tmp_path / "out").exists()


def test_a_name_of_two_trials_is_refused(searched: Searched) -> None:
    study = open_study(searched.place.storage, "small")
    ids = [trial._trial_id for trial in study.optuna.get_trials()][1:]
    with study.engine.begin() as connection:
        for trial_id in ids:
            told = (
                "INSERT INTO trial_user_attributes (trial_id, key, value_json) VALUES (:id, "
                "'recipe', '\"B8-twice\"')"
            )
            connection.execute(text(told), {"id": trial_id})
    try:
        with pytest.raises(
            UserError, match="--ensemble-of b8: trials 1, 2 have that name; give a number"
        ):
            listed_runs(open_study(searched.place.storage, "small"), ["0", "b8"])
    finally:
        with study.engine.begin() as connection:
            connection.execute(
                text("DELETE FROM trial_user_attributes WHERE value_json = '\"B8-twice\"'")
            )
        study.close()


def test_one_run_or_one_place_is_too_little(searched: Searched) -> None:
    study, place = searched.study, searched.place
    winner, data = find_winner(study, place.storage), open_data(study, place, "")
    assert winner.trial_id in member_runs(study)
    here = dataclasses.replace(data, groups=np.zeros_like(data.groups))
    with pytest.raises(UserError, match="one place"):
        restore_ensemble(winner, here, place, ENSEMBLE_OF_TWO)
    with rows_kept(study):
        with study.engine.begin() as connection:
            connection.execute(
                text("DELETE FROM search_checkpoint WHERE trial_id <> :kept"),
                {"kept": winner.trial_id},
            )
        with pytest.raises(
            UserError, match=r"'small' has 1 complete trial\(s\) with their weights"
        ):
            restore_ensemble(winner, data, place, ENSEMBLE_OF_TWO)


def test_trials_of_the_search_are_combined_though_it_is_confirmed(
    searched: Searched, tmp_path: Path
) -> None:
    study, place, out = searched.study, searched.place, tmp_path / "out"
    before = member_runs(study)
    write_plan(place.storage, plan(study, top=1, seeds=2, resplit=False))
    confirming = open_study(place.storage, confirm_name("small"))
    try:
        for _ in range(4):
            trial = confirming.optuna.ask()
            trial.set_user_attr("end_cause", "completed")
            confirming.optuna.tell(trial, 0.5)
        assert find_winner(study, place.storage).study is not study
        with pytest.raises(UserError, match="'small/confirm' has 0 ended run"):
            export_best(study, place, out, ExportRequest(ensemble=ENSEMBLE_OF_TWO))
        wanted = dataclasses.replace(ENSEMBLE_OF_TWO, searched=True)
        told = export_best(study, place, out, ExportRequest(ensemble=wanted, test=False))
    finally:
        confirming.storage.delete_study(confirming.id)
        confirming.close()
    assert {origin.study for origin in told.members} == {"small"}
    assert {origin.trial for origin in told.members} <= {
        trial.number for trial in study.optuna.get_trials() if trial._trial_id in before
    }
    assert told.confirmation == (OF_THE_SEARCH,)
    assert OF_THE_SEARCH in (out / "README.md").read_text()
    alone = export_best(study, place, out, ExportRequest(ensemble=wanted, test=False, force=True))
    assert alone.confirmation == ()
    assert alone.belief == told.belief
