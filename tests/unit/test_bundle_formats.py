"""The formats of a bundle: ensembles with flips, open sizes, programs that hold no pickle, and bundles of the old format."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bundles_made import origin, seal
from PIL import Image
from torch import nn

from objectives.bundle import check_bundle, load_bundle, write_bundle
from objectives.bundle_settings import Axes, Member, Settings, fixed_axes
from objectives.config import Config, ConvStack, Train, UNet
from objectives.data.spec import FrameSpec
from objectives.engines import EngineName, FlipsWanted
from objectives.ensemble import Ensemble, build_program, reflipped
from objectives.errors import UserError
from objectives.evaluate import evaluate
from objectives.evaluate import predict as predict_with
from objectives.evaluate_bundle import evaluate_bundle
from objectives.onnx_engine import OnnxEngine
from objectives.pixel_program import pixel_program
from objectives.predict import predict
from objectives.program_checks import onnx_runner, torch_export_runner
from objectives.programs import export_programs
from objectives.provenance import FlipScores, Origin, PartScore, Provenance, current_versions
from objectives.segmenter import Segmenter, build_segmenter

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
SPEC = FrameSpec(
    height=16,
    width=24,
    channels=1,
    max_value=255,
    mean=(0.4,),
    std=(0.2,),
    class_names=("background", "soil", "bedrock", "sand", "big_rock"),
    colours=((0, 0, 0), (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)),
    ignore_label=0,
    scored=(1, 2, 4),
)
SMALL = Config(model=UNet(depth=2, base_filters=4))
HALF = Config(model=ConvStack(depth=1, base_filters=4), train=Train(scale=0.5))
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 16, 24, 1)).astype(np.uint8)
MASKS = RNG.integers(0, 5, (7, 16, 24)).astype(np.uint8)
TWO = Settings.of((Member(config=SMALL, weight=3.0), Member(config=HALF)), SPEC, ("horizontal",))


def provenance_of(program: nn.Module, members: int) -> Provenance:
    evaluation = evaluate(program, IMAGES, MASKS, SPEC, device=CPU)
    score = evaluation.score
    return origin(
        PartScore.of(score, evaluation.iou.tolist(), len(IMAGES)),
        versions=current_versions(),
        program="git " + "a" * 40,
        space="b" * 64,
        members=tuple(Origin(study="terrain", trial=7 + index, seed=3, epoch=20) for index in range(members)),
        flips=FlipScores(flips=("horizontal",), without=0.25, averaged=score, used=True),
        reproduce=("search init --storage postgresql://me:secret@db/search", "search export-best"),
    )


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, one of which shrinks its frames, and mirrored frames; checked after writing."""
    directory = tmp_path_factory.mktemp("formats") / "ensemble"
    torch.manual_seed(0)
    program = build_program(TWO).to(memory_format=torch.channels_last).eval()  # as training leaves it
    write_bundle(
        directory,
        program,
        TWO,
        provenance_of(program, 2),
        frames={"validation": []},
        check=lambda bundle: check_bundle(bundle, IMAGES, MASKS, device=CPU),
    )
    return directory


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network that takes frames of any size."""
    directory = tmp_path_factory.mktemp("formats") / "single"
    torch.manual_seed(1)
    settings = Settings.single(SMALL, SPEC)
    program = build_program(settings).eval()
    write_bundle(directory, program, settings, provenance_of(program, 1), frames={"validation": []})
    return directory


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
    assert (predict_with(bundle.segmenter, IMAGES, SPEC, device=CPU) == predict_with(program, IMAGES, SPEC, device=CPU)).all()
    stored = json.loads((ensemble / "config.json").read_text())
    assert [member["weight"] for member in stored["members"]] == [3.0, 1.0]
    assert stored["flips"] == ["horizontal"]
    assert stored["axes"] == {"frames": "any", "height": 16, "width": 24}


def test_an_ensemble_is_evaluated_like_any_bundle(ensemble: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "new.npz", training_set=np.stack([IMAGES[..., 0], MASKS], axis=1))
    found = evaluate_bundle(ensemble, tmp_path / "new.npz")
    assert found.evaluation.score == pytest.approx(load_bundle(ensemble).provenance.validation.score, abs=1e-9)


def test_weights_of_another_ensemble_are_refused(ensemble: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(ensemble, tmp_path / "copy"))
    settings = json.loads((copy / "config.json").read_text())
    settings["members"].reverse()
    (copy / "config.json").write_text(json.dumps(settings))
    seal(copy)
    with pytest.raises(UserError, match=r"differ in .* tensors, the first is members\.0\.network"):
        load_bundle(copy)


def test_the_card_and_the_metrics_tell_the_origin(ensemble: Path) -> None:
    card, metrics = (ensemble / "README.md").read_text(), json.loads((ensemble / "metrics.json").read_text())
    assert "The average of 2 networks (unet, conv_stack)" in card
    assert "- unet, weight 0.75: trial 7 of study terrain, seed 3, epoch 20 of 30" in card
    assert "- conv_stack, weight 0.25: trial 8 of study terrain" in card
    assert "      search init --storage postgresql://***@db/search" in card
    assert "secret" not in card + json.dumps(metrics)
    assert f"git {'a' * 40}" in card
    assert f"`{'b' * 64}`" in card
    assert "without 0.2500. The program does it." in card
    assert metrics["flips"]["without"] == 0.25
    assert [origin["trial"] for origin in metrics["members"]] == [7, 8]


def test_programs_take_frames_of_any_size_where_the_network_does(single: Path) -> None:
    bundle = load_bundle(single)
    assert bundle.settings.axes == Axes(height="any", width="any")
    assert "Frames of any size may go in" in (single / "README.md").read_text()
    runners = [onnx_runner((single / "model.onnx").read_bytes()), torch_export_runner((single / "model.pt2").read_bytes())]
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
        self.offsets = nn.Parameter(torch.randn(1, 5, 16, 24, generator=torch.Generator().manual_seed(0)))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        return images_BCHW + self.offsets


class Fickle(nn.Module):
    """A network that computes something else for wide frames, which an export of one size does not see."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        logits = torch.cat([images_BCHW * factor for factor in range(1, 6)], dim=1)
        return logits if images_BCHW.shape[3] <= 24 else -logits


@pytest.mark.parametrize("network", [Placed(), Fickle()])
def test_a_network_of_one_size_is_exported_for_that_size(network: nn.Module) -> None:
    segmenter = Segmenter(network, SPEC, 1.0).eval()
    programs = export_programs(segmenter, SPEC)
    assert programs.axes == fixed_axes(SPEC)
    with torch.no_grad():
        _, probabilities = pixel_program(segmenter, SPEC)(torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).astype(np.float32)))
    for run in (onnx_runner(programs.onnx), torch_export_runner(programs.torch_export)):
        _, found = run(IMAGES.transpose(0, 3, 1, 2).astype(np.float32))
        np.testing.assert_allclose(found, probabilities.numpy(), atol=1e-5)


def test_the_torch_export_program_holds_no_pickle_and_no_path_of_this_machine(ensemble: Path) -> None:
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
        predict_with(before.segmenter, IMAGES, SPEC, device=CPU) == predict_with(now.segmenter, IMAGES, SPEC, device=CPU)
    ).all()
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    masks = [predicted(old, tmp_path, engine="torch"), predicted(old, tmp_path, engine="onnx")]
    assert (masks[0] == masks[1]).all()


def test_a_new_bundle_without_its_torch_export_program_is_not_whole(single: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(single, tmp_path / "copy"))
    (copy / "model.pt2").unlink()
    with pytest.raises(UserError, match=r"not whole: model\.pt2"):
        load_bundle(copy)
    seal(copy)
    with pytest.raises(UserError, match=r"not whole: model\.pt2"):
        load_bundle(copy)


def predicted(
    bundle: Path, folder: Path, *, engine: EngineName = "torch", flips: FlipsWanted = "auto", source: str = "frames.npz"
) -> np.ndarray:
    out = folder / f"{bundle.name}-{engine}-{flips}.npz"
    predict(bundle, folder / source, out, engine=engine, flips=flips)
    return np.asarray(np.load(out)["masks"])


@pytest.mark.parametrize("wanted", ["auto", "on"])
def test_both_engines_give_equal_masks_with_flips_inside_and_outside(
    ensemble: Path, single: Path, tmp_path: Path, wanted: FlipsWanted
) -> None:
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    for bundle in (ensemble, single):
        torchs, onnxs = (predicted(bundle, tmp_path, engine=engine, flips=wanted) for engine in ("torch", "onnx"))  # type: ignore[arg-type]
        assert (torchs == onnxs).all()
        assert set(np.unique(torchs)) <= {1, 2, 4}
    loaded = load_bundle(single)
    flipping, _ = reflipped(loaded.segmenter, loaded.settings, ("horizontal",) if wanted == "on" else ())
    assert (torchs == predict_with(flipping, IMAGES, SPEC, device=CPU)).all()


def test_flips_of_a_bundle_can_be_taken_off_in_torch_alone(ensemble: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    loaded = load_bundle(ensemble)
    plain, _ = reflipped(loaded.segmenter, loaded.settings, ())
    found = predicted(ensemble, tmp_path, flips="off")
    assert (found == predict_with(plain, IMAGES, SPEC, device=CPU)).all()
    assert (found != predicted(ensemble, tmp_path)).any()
    with pytest.raises(UserError, match=r"flips inside \(horizontal\): use --engine torch for --flips off"):
        predicted(ensemble, tmp_path, engine="onnx", flips="off")


def test_a_stack_cannot_be_flipped_outside(tmp_path: Path) -> None:
    settings, written = TWO.model_copy(update={"combining": "stack", "flips": ()}), tmp_path / "stack"
    program = build_program(settings).eval()
    write_bundle(written, program, settings, provenance_of(program, 2), frames={"validation": []})
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    assert (predicted(written, tmp_path, engine="onnx") == predicted(written, tmp_path, engine="torch")).all()
    predicted(written, tmp_path, engine="torch", flips="on")
    with pytest.raises(UserError, match="is a stack, which flips inside or not at all: use --engine torch for --flips on"):
        predicted(written, tmp_path, engine="onnx", flips="on")


def test_onnx_runtime_is_asked_for_the_cpu_only(single: Path) -> None:
    with pytest.raises(UserError, match="on the CPU here, got --device cuda:1"):
        OnnxEngine.load(single, device="cuda:1", flips="auto")


def test_a_program_that_is_none_is_one_clear_line(single: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(single, tmp_path / "copy"))
    (copy / "model.onnx").write_bytes(b"no program")
    seal(copy)
    with pytest.raises(UserError, match=r"cannot run .*model\.onnx") as raised:
        OnnxEngine.load(copy, device="cpu", flips="auto")
    assert "\n" not in str(raised.value)


NO_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "safetensors"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("flips", ["auto", "on"])
def test_without_torch_the_command_gives_the_same_masks(
    ensemble: Path, single: Path, tmp_path: Path, flips: FlipsWanted
) -> None:
    """Through the real command, in a process that cannot import torch; frames of several sizes keep theirs."""
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(NO_TORCH)
    (tmp_path / "in").mkdir()
    images = {"same": IMAGES[0], "larger": np.repeat(np.repeat(IMAGES[1], 3, axis=0), 2, axis=1), "smaller": IMAGES[2][:9, :20]}
    for name, image_HWC in images.items():
        Image.fromarray(image_HWC[..., 0]).save(tmp_path / "in" / f"{name}.png")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "absent"), str(ROOT)])}
    bundle = ensemble if flips == "auto" else single
    words = ["search", "predict", str(bundle), str(tmp_path / "in"), "--flips", flips, "--out", str(tmp_path / "onnx")]
    done = run_python(["-m", *words], environment)
    assert done.returncode == 0, done.stderr
    assert "by ONNX Runtime" in done.stdout
    predict(bundle, tmp_path / "in", tmp_path / "torch", flips=flips)
    for name, image_HWC in images.items():
        ours, theirs = (np.asarray(Image.open(tmp_path / engine / f"{name}.png")) for engine in ("torch", "onnx"))
        assert ours.shape == image_HWC.shape[:2]
        assert (ours == theirs).all(), name


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_torch_that_is_not_there_is_said_in_one_line(single: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    options = ["--out", str(tmp_path / "x.npz"), "--engine", "torch"] if command == "predict" else []
    done = run_python(["-m", "search", command, str(single), "synthetic:24", *options], environment)
    assert done.returncode == 2
    assert done.stderr.startswith("search: torch is not installed here")
    assert len(done.stderr.splitlines()) == 1


def run_python(words: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SEARCH_")}
    return subprocess.run([sys.executable, *words], env=kept | environment, capture_output=True, text=True, timeout=300)


def test_single_networks_are_those_that_training_makes(single: Path) -> None:
    """So that weights of a trial load into a bundle's program by their own names."""
    torch.manual_seed(1)
    ours = build_segmenter(SMALL, SPEC).state_dict()
    theirs = load_bundle(single).segmenter.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
