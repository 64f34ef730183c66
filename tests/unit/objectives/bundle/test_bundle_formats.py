"""The formats of a bundle: ensembles with flips, open sizes, programs that hold no pickle, and
bundles of the old format.
"""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from objectives.bundle.bundle_folder import load_bundle
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.pixel_program import pixel_program
from objectives.bundle.program_checks import onnx_runner, torch_export_runner
from objectives.bundle.programs import export_programs
from objectives.ensemble.program import Ensemble, build_program
from objectives.errors import UserError
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.program.settings import Axes, fixed_axes
from objectives.scoring.evaluate import predict as predict_with
from tests.support.bundles_made import seal
from tests.support.small_bundles import IMAGES, MASKS, SMALL, SPEC, TWO, predicted

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def old(single: Path, tmp_path: Path) -> Path:
    """The same as the version before wrote it: one config, no torch.export program."""
    directory = Path(shutil.copytree(single, tmp_path / "old"))
    settings = json.loads((directory / "config.json").read_text())
    (directory / "model.pt2").unlink()
    stored = {"format": 1, "config": settings["members"][0]["config"], "spec": settings["spec"]}
    (directory / "config.json").write_text(json.dumps(stored))
    seal(directory)
    return directory


def test_an_ensemble_comes_back_as_it_was_written(ensemble: Path) -> None:
    bundle = load_bundle(ensemble)
    torch.manual_seed(0)
    program = build_program(TWO).eval()
    assert isinstance(bundle.segmenter, Ensemble)
    assert bundle.segmenter.weights == (0.75, 0.25)
    assert bundle.settings == TWO
    assert (
        np.stack(predict_with(bundle.segmenter, IMAGES, SPEC, device=CPU))
        == np.stack(predict_with(program, IMAGES, SPEC, device=CPU))
    ).all()
    stored = json.loads((ensemble / "config.json").read_text())
    assert [member["weight"] for member in stored["members"]] == [3.0, 1.0]
    assert stored["flips"] == ["horizontal"]
    assert stored["axes"] == {"frames": "any", "height": 16, "width": 24}


def test_an_ensemble_is_evaluated_like_any_bundle(ensemble: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", training_set=np.stack([IMAGES[..., 0], MASKS], axis=1))
    found = evaluate_bundle(ensemble, tmp_path / "new.npz")
    assert found.evaluation.score == pytest.approx(
        load_bundle(ensemble).provenance.validation.score, abs=1e-9
    )


def test_weights_of_another_ensemble_are_refused(ensemble: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ensemble, tmp_path / "copy"))
    settings = json.loads((copy / "config.json").read_text())
    settings["members"].reverse()
    (copy / "config.json").write_text(json.dumps(settings))
    seal(copy)
    with pytest.raises(UserError, match=r"differ in .* tensors, the first is members\.0\.network"):
        load_bundle(copy)


def test_the_card_and_the_metrics_tell_the_origin(ensemble: Path) -> None:
    card, metrics = (
        (ensemble / "README.md").read_text(),
        json.loads((ensemble / "metrics.json").read_text()),
    )
    assert "The average of 2 networks (unet, conv_stack)" in card
    assert "- unet, weight 0.75: trial 7 of study terrain, seed 3, epoch 20 of 30" in card
    assert "- conv_stack, weight 0.25: trial 8 of study terrain" in card
    assert "      search init --storage postgresql://***@db/search" in card
    assert "secret" not in card + json.dumps(metrics)
    assert f"git {'a' * 40}" in card
    assert f"`{'b' * 64}`" in card
    assert "without 0.2500, at 2 times the multiply-adds. The program does it." in card
    assert metrics["flips"]["without"] == 0.25
    assert [origin["trial"] for origin in metrics["members"]] == [7, 8]


def test_programs_take_frames_of_any_size_where_the_network_does(single: Path) -> None:
    bundle = load_bundle(single)
    assert bundle.settings.axes == Axes(height="any", width="any")
    assert "Frames of any size may go in" in (single / "README.md").read_text()
    runners = [
        onnx_runner((single / "model.onnx").read_bytes()),
        torch_export_runner((single / "model.pt2").read_bytes()),
    ]
    for shape in [(1, 1, 16, 24), (5, 1, 33, 24), (2, 1, 7, 50)]:
        pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)
        with torch.no_grad():
            labels, probabilities = pixel_program(bundle.segmenter, SPEC)(torch.from_numpy(pixels))
        for run in runners:
            found_labels, found = run(pixels)
            np.testing.assert_allclose(found, probabilities.numpy(), atol=1e-5)
            assert (found_labels == labels.numpy()).mean() > 0.999  # ties aside


class Placed(nn.Module):
    """A network that knows its positions: made for one size."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Parameter(
            torch.randn(1, 5, 16, 24, generator=torch.Generator().manual_seed(0))
        )

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return images_BCHW + self.offsets


class Fickle(nn.Module):
    """A network that computes something else for wide frames, which an export of one size does not
    see.
    """

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        logits = torch.cat([images_BCHW * factor for factor in range(1, 6)], dim=1)
        return logits if images_BCHW.shape[3] <= 24 else -logits


@pytest.mark.parametrize("network", [Placed(), Fickle()])
def test_a_network_of_one_size_is_exported_for_that_size(network: nn.Module) -> None:
    segmenter = Segmenter(network, SPEC, 1.0).eval()
    programs = export_programs(segmenter, SPEC)
    assert programs.axes == fixed_axes(SPEC)
    with torch.no_grad():
        _, probabilities = pixel_program(segmenter, SPEC)(
            torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).astype(np.float32))
        )
    for run in (onnx_runner(programs.onnx), torch_export_runner(programs.torch_export)):
        _, found = run(IMAGES.transpose(0, 3, 1, 2).astype(np.float32))
        np.testing.assert_allclose(found, probabilities.numpy(), atol=1e-5)


def test_the_torch_export_program_holds_no_pickle_and_no_path_of_this_machine(
    ensemble: Path,
) -> None:
    with zipfile.ZipFile(io.BytesIO((ensemble / "model.pt2").read_bytes())) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert any(name.endswith("model.json") for name in contents)
    for name, content in contents.items():
        assert not content.startswith((b"\x80\x02", b"\x80\x04", b"PK")), name
        assert str(ROOT).encode() not in content, name
        assert b"site-packages" not in content, name


def test_a_bundle_of_the_old_format_still_works(old: Path, single: Path, tmp_path: Path) -> None:
    before, now = load_bundle(old), load_bundle(single)
    assert before.settings.members == now.settings.members
    assert before.settings.axes == fixed_axes(SPEC)
    assert (
        np.stack(predict_with(before.segmenter, IMAGES, SPEC, device=CPU))
        == np.stack(predict_with(now.segmenter, IMAGES, SPEC, device=CPU))
    ).all()
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    masks = [predicted(old, tmp_path, engine="torch"), predicted(old, tmp_path, engine="onnx")]
    assert (masks[0] == masks[1]).all()


def test_a_new_bundle_without_its_torch_export_program_is_not_whole(
    single: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(single, tmp_path / "copy"))
    (copy / "model.pt2").unlink()
    with pytest.raises(UserError, match=r"not whole: model\.pt2"):
        load_bundle(copy)
    seal(copy)
    with pytest.raises(UserError, match=r"not whole: model\.pt2"):
        load_bundle(copy)


def test_single_networks_are_those_that_training_makes(single: Path) -> None:
    """So that weights of a trial load into a bundle's program by their own names."""
    torch.manual_seed(1)
    ours = build_segmenter(SMALL, SPEC).state_dict()
    theirs = load_bundle(single).segmenter.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
