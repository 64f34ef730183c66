"""What predicts with a bundle: torch and ONNX Runtime give equal masks, the latter also where there
is no torch.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from objectives.bundle.bundle_folder import load_bundle, write_bundle
from objectives.ensemble.program import build_program, reflipped
from objectives.errors import UserError
from objectives.predict.engines import EngineWanted
from objectives.predict.masks import predict
from objectives.predict.onnx_engine import OnnxEngine
from objectives.program.settings import FlipsWanted
from objectives.scoring.evaluate import predict as predict_with
from tests.support.bundles_made import seal
from tests.support.small_bundles import IMAGES, SPEC, TWO, predicted, provenance_of

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("wanted", ["auto", "on"])
def test_both_engines_give_equal_masks_with_flips_inside_and_outside(
    ensemble: Path, single: Path, tmp_path: Path, wanted: FlipsWanted
) -> None:
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    for bundle in (ensemble, single):
        torchs, onnxs = (
            predicted(bundle, tmp_path, engine=engine, flips=wanted) for engine in ("torch", "onnx")
        )  # type: ignore[arg-type]
        assert (torchs == onnxs).all()
        assert set(np.unique(torchs)) <= {1, 2, 4}
    loaded = load_bundle(single)
    flipping, _ = reflipped(
        loaded.segmenter, loaded.settings, ("horizontal",) if wanted == "on" else ()
    )
    assert (torchs == predict_with(flipping, IMAGES, SPEC, device=CPU)).all()


def test_flips_of_a_bundle_can_be_taken_off_in_torch_alone(ensemble: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    loaded = load_bundle(ensemble)
    plain, _ = reflipped(loaded.segmenter, loaded.settings, ())
    found = predicted(ensemble, tmp_path, flips="off")
    assert (found == predict_with(plain, IMAGES, SPEC, device=CPU)).all()
    assert (found != predicted(ensemble, tmp_path)).any()
    with pytest.raises(
        UserError, match=r"flips inside \(horizontal\): use --engine torch for --flips off"
    ):
        predicted(ensemble, tmp_path, engine="onnx", flips="off")


def test_a_stack_cannot_be_flipped_outside(tmp_path: Path) -> None:
    settings, written = (
        TWO.model_copy(update={"combining": "stack", "flips": ()}),
        tmp_path / "stack",
    )
    program = build_program(settings).eval()
    write_bundle(written, program, settings, provenance_of(program, 2), frames={"validation": []})
    np.savez(tmp_path / "frames.npz", test_set=IMAGES[..., 0])
    assert (
        predicted(written, tmp_path, engine="onnx") == predicted(written, tmp_path, engine="torch")
    ).all()
    predicted(written, tmp_path, engine="torch", flips="on")
    with pytest.raises(
        UserError,
        match="is a stack, which flips inside or not at all: use --engine torch for --flips on",
    ):
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
    """Through the real command, in a process that cannot import torch; frames of several sizes keep
    theirs.
    """
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "sitecustomize.py").write_text(NO_TORCH)
    (tmp_path / "in").mkdir()
    images = {
        "same": IMAGES[0],
        "larger": np.repeat(np.repeat(IMAGES[1], 3, axis=0), 2, axis=1),
        "smaller": IMAGES[2][:9, :20],
    }
    for name, image_HWC in images.items():
        Image.fromarray(image_HWC[..., 0]).save(tmp_path / "in" / f"{name}.png")
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "absent"), str(ROOT)])}
    bundle = ensemble if flips == "auto" else single
    words = [
        "search",
        "predict",
        str(bundle),
        str(tmp_path / "in"),
        "--flips",
        flips,
        "--out",
        str(tmp_path / "onnx"),
    ]
    done = run_python(["-m", *words], environment)
    assert done.returncode == 0, done.stderr
    assert "by ONNX Runtime" in done.stdout
    predict(bundle, tmp_path / "in", tmp_path / "torch", engine=EngineWanted(flips=flips))
    for name, image_HWC in images.items():
        ours, theirs = (
            np.asarray(Image.open(tmp_path / engine / f"{name}.png"))
            for engine in ("torch", "onnx")
        )
        assert ours.shape == image_HWC.shape[:2]
        assert (ours == theirs).all(), name


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_torch_that_is_not_there_is_said_in_one_line(
    single: Path, tmp_path: Path, command: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH)
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    options = (
        ["--out", str(tmp_path / "x.npz"), "--engine", "torch"] if command == "predict" else []
    )
    done = run_python(["-m", "search", command, str(single), "synthetic:24", *options], environment)
    assert done.returncode == 2
    assert done.stderr.startswith("search: torch is not installed here")
    assert len(done.stderr.splitlines()) == 1


def run_python(words: list[str], environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SEARCH_")}
    return subprocess.run(
        [sys.executable, *words],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
