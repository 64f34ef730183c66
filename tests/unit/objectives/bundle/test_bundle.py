"""Bundles: written whole or not at all, verified when loaded, the same answers from torch and from
ONNX Runtime.
"""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from objectives.bundle.bundle_folder import (
    CARD,
    FILES,
    SUMS,
    Bundle,
    check_bundle,
    compare_written_programs,
    load_bundle,
    refuse_taken,
    write_bundle,
)
from objectives.bundle.model_card import model_card
from objectives.bundle.program_checks import compare_programs, onnx_runner, torch_export_runner
from objectives.bundle.programs import export_programs
from objectives.bundle.provenance import PartScore, Provenance, current_versions
from objectives.config import Config, Train, UNet
from objectives.data.spec import FrameSpec
from objectives.device.computing import processor_of, threads_of
from objectives.device.processor import Processor
from objectives.errors import UserError, WorldError
from objectives.program.segmenter import Segmenter, build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.evaluate import evaluate, predict
from tests.support.bundles_made import origin, seal
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
CONFIG = Config(model=UNet(depth=2, base_filters=4), train=Train(scale=0.5))


def spec_of(channels: int = 1, max_value: int = 255, ignore_label: int | None = 0) -> FrameSpec:
    return frame_spec(
        (16, 24),
        ("background", "soil", "bedrock", "sand", "big_rock"),
        channels,
        max_value=max_value,
        ignore_label=ignore_label,
        scored=(1, 2, 3, 4) if ignore_label == 0 else (0, 2, 4),
    )


def segmenter_of(config: Config, spec: FrameSpec) -> Segmenter:
    torch.manual_seed(0)
    return build_segmenter(config, spec).eval()


def frames_of(spec: FrameSpec, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    dtype = np.uint8 if spec.max_value == 255 else np.uint16
    images = rng.integers(
        0, spec.max_value, (count, spec.height, spec.width, spec.channels), endpoint=True
    ).astype(dtype)
    return images, rng.integers(0, 5, (count, spec.height, spec.width)).astype(np.uint8)


def provenance_of(segmenter: Segmenter, spec: FrameSpec) -> Provenance:
    images, masks = frames_of(spec)
    evaluation = evaluate(segmenter, images, masks, spec, device=CPU)
    return origin(
        PartScore.of(evaluation.score, evaluation.iou.tolist(), len(images)),
        processor=processor_of(CPU).name,
        command="search export-best --storage postgresql://me:secret@db/search",
        versions=current_versions(),
    )


SETTINGS = ProgramSettings.single(CONFIG, spec_of())
FRAMES = {"train": ["aa", "bb"], "validation": ["cc"], "test": ["dd"]}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "model"
    spec = spec_of()
    segmenter = segmenter_of(CONFIG, spec)
    write_bundle(directory, segmenter, SETTINGS, provenance_of(segmenter, spec), frames=FRAMES)
    return directory


@pytest.fixture
def bundle_copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def test_a_bundle_holds_its_files_and_nothing_is_left_beside_it(written: Path) -> None:
    assert sorted(path.name for path in written.iterdir()) == sorted([*FILES, SUMS])
    assert [path.name for path in written.parent.iterdir()] == ["model"]
    # others may read what one user exported, as the umask says
    assert written.stat().st_mode & 0o055


def test_loading_gives_back_what_was_written(written: Path) -> None:
    bundle, spec = load_bundle(written), spec_of()
    segmenter = segmenter_of(CONFIG, spec)
    assert (bundle.config, bundle.spec) == (CONFIG, spec)
    assert bundle.frames == {part: frozenset(hashes) for part, hashes in FRAMES.items()}
    provenance = provenance_of(segmenter, spec)
    assert bundle.provenance == provenance
    images, _ = frames_of(spec)
    ours, theirs = (
        np.stack(predict(model, images, spec, device=CPU))
        for model in (segmenter, bundle.segmenter)
    )
    assert (ours == theirs).all()
    assert not bundle.segmenter.training


def test_loading_draws_no_random_numbers(written: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_bundle(written)
    assert torch.equal(torch.rand(3), expected)


def test_passwords_in_the_command_are_hidden(written: Path) -> None:
    assert "secret" not in "".join(path.read_text(errors="replace") for path in written.iterdir())
    assert (
        load_bundle(written).provenance.command
        == "search export-best --storage postgresql://***@db/search"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused_by_name(bundle_copy: Path, name: str) -> None:
    content = bytearray((bundle_copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle_copy / name).write_bytes(content)
    with pytest.raises(
        UserError, match=rf"changed after it was written: {re.escape(name)}"
    ) as raised:
        load_bundle(bundle_copy)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()
    with pytest.raises(UserError, match=re.escape(name)):
        load_bundle(bundle_copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="is no bundle"):
            load_bundle(path)


def test_a_bundle_of_another_version_is_refused_in_one_line(bundle_copy: Path) -> None:
    settings = json.loads((bundle_copy / "config.json").read_text())
    settings["members"][0]["config"]["model"]["base_filters"] = 8
    (bundle_copy / "config.json").write_text(json.dumps(settings))
    seal(bundle_copy)
    with pytest.raises(UserError, match="another version") as raised:
        load_bundle(bundle_copy)
    assert "\n" not in str(raised.value)
    (bundle_copy / "config.json").write_text(json.dumps({**settings, "format": 99}))
    seal(bundle_copy)
    with pytest.raises(UserError, match="format 99"):
        load_bundle(bundle_copy)


def test_a_class_may_have_any_name_in_the_card(written: Path) -> None:
    bundle = load_bundle(written)
    names = ("void", "a|b", "so<i>l", "`x\\", "big_rock")
    spec = bundle.spec.model_copy(update={"class_names": names})
    settings = ProgramSettings.single(bundle.settings.members[0].config, spec)
    rows = [
        line
        for line in model_card(settings, bundle.provenance, {"validation": 3}).splitlines()
        if line.startswith("| 1 ")
    ]
    assert len(rows) >= 1
    assert all(row.startswith("| 1 a\\|b | ") for row in rows)
    card = model_card(settings, bundle.provenance, {"validation": 3})
    assert "| 2 so&lt;i>l | " in card
    assert "| 3 \\`x\\\\ | " in card
    assert "| 4 big_rock | " in card


def test_the_model_card_is_honest_and_its_six_lines_run(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (written / "README.md").read_text()
    provenance = load_bundle(written).provenance
    assert "out of 12 trials" in card
    assert "optimistic" in card
    for label, name in ((1, "soil"), (4, "big_rock")):
        assert f"| {label} {name} | {provenance.validation.iou[label]:.4f} |" in card
    images, _ = frames_of(spec_of())
    monkeypatch.chdir(tmp_path)
    shutil.copy(written / "model.onnx", tmp_path)
    np.savez(tmp_path / "frames.npz", test_set=images[..., 0])
    code = card.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 6
    results: dict[str, np.ndarray] = {}
    exec(code, results)
    assert (
        results["labels"]
        == np.stack(predict(load_bundle(written).segmenter, images, spec_of(), device=CPU))
    ).all()


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        (
            UNet(
                depth=2,
                base_filters=4,
                block="residual",
                up="bilinear",
                bottleneck="dilated",
                norm="group",
            ),
            spec_of(3),
        ),
        (
            UNet(
                depth=3,
                base_filters=4,
                skip="attention",
                bottleneck="squeeze_excitation",
                dropout=0.3,
            ),
            spec_of(5, 65535, None),
        ),
    ],
)
def test_onnx_runtime_agrees_with_torch_and_unscored_classes_never_appear(
    model: UNet, spec: FrameSpec
) -> None:
    import onnxruntime

    segmenter = segmenter_of(Config(model=model), spec)
    with torch.no_grad():
        next(
            module
            for module in reversed(list(segmenter.modules()))
            if isinstance(module, torch.nn.Conv2d)
        ).bias.fill_(0)
    images, _ = frames_of(spec, count=3)
    programs = export_programs(segmenter, spec)
    runners = {
        "onnx": onnx_runner(programs.onnx),
        "pt2": torch_export_runner(programs.torch_export),
    }
    for comparison in compare_programs(runners, segmenter, [images], spec).values():
        assert comparison.frames == 3
        assert comparison.largest_difference < 1e-4
    session = onnxruntime.InferenceSession(programs.onnx, providers=["CPUExecutionProvider"])
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    labels, probabilities = session.run(["labels", "probabilities"], {"pixels": pixels})
    assert (labels.dtype, labels.shape) == (np.uint8, (3, 16, 24))
    assert set(np.unique(labels)) <= set(spec.scored)
    assert (labels == probabilities.argmax(axis=1)).mean() > 0.999  # ties aside
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)
    unscored = sorted(set(range(5)) - set(spec.scored))
    assert (probabilities[:, unscored] == 0).all()


def test_the_onnx_file_tells_no_paths_of_this_machine(written: Path) -> None:
    model = onnx.load(written / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (
        str(Path(__file__).resolve().parents[4]).encode()
        not in (written / "model.onnx").read_bytes()
    )
    assert not any(node.metadata_props for node in model.graph.node)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2"])
def test_a_different_program_is_found_in_either_format(
    written: Path, bundle_copy: Path, name: str
) -> None:
    bundle = load_bundle(written)
    images, _ = frames_of(bundle.spec)
    assert all(
        found.largest_difference < 1e-4
        for found in compare_written_programs(bundle, images).values()
    )
    other = segmenter_of(CONFIG, bundle.spec)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.05)
    programs = export_programs(other, bundle.spec)
    (bundle_copy / name).write_bytes(
        programs.onnx if name == "model.onnx" else programs.torch_export
    )
    with pytest.raises(WorldError, match=rf"{re.escape(name)} differs from torch over 6 frames"):
        compare_written_programs(dataclasses.replace(bundle, directory=bundle_copy), images)


def test_the_check_accepts_the_trials_score_and_refuses_another(written: Path) -> None:
    bundle = load_bundle(written)
    images, masks = frames_of(bundle.spec)
    assert {found.frames for found in check_bundle(bundle, images, masks, device=CPU).values()} == {
        6
    }
    score = bundle.provenance.validation.score
    for device, difference, accepted in [
        ("cpu", 1e-5, False),
        ("cuda", 1e-5, True),
        ("cuda", 3e-3, False),
    ]:
        validation = bundle.provenance.validation.model_copy(update={"score": score + difference})
        other = bundle.provenance.model_copy(update={"validation": validation, "device": device})
        changed = dataclasses.replace(bundle, provenance=other)
        if accepted:
            check_bundle(changed, images, masks, device=CPU)
        else:
            with pytest.raises(WorldError, match="scored"):
                check_bundle(changed, images, masks, device=CPU)


def test_the_check_computes_as_the_trial_did(written: Path) -> None:
    """With its number of threads; and to the last digits only on the kind of processor that scored
    it.
    """
    bundle, here, before = load_bundle(written), processor_of(CPU).name, torch.get_num_threads()
    images, masks = frames_of(bundle.spec)
    with threads_of(Processor("cpu", here, before + 1)):
        score = evaluate(bundle.segmenter, images, masks, bundle.spec, device=CPU).score
    seen: list[int] = []
    bundle.segmenter.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    for name, difference, threads, accepted in [
        (here, 0.0, before + 1, True),
        (here, 1e-5, before + 1, False),
        ("another", 1e-5, before, True),
        ("another", 3e-3, before, False),
    ]:
        validation = bundle.provenance.validation.model_copy(update={"score": score + difference})
        told = {"processor": name, "threads": before + 1, "validation": validation}
        changed = dataclasses.replace(bundle, provenance=bundle.provenance.model_copy(update=told))
        if accepted:
            check_bundle(changed, images, masks, device=CPU)
        else:
            with pytest.raises(WorldError, match="scored"):
                check_bundle(changed, images, masks, device=CPU)
        assert seen[0] == threads
        assert torch.get_num_threads() == before
        seen.clear()


def test_a_bundle_that_fails_its_check_never_appears_and_the_old_one_stays(
    bundle_copy: Path,
) -> None:
    before = {path.name: path.read_bytes() for path in bundle_copy.iterdir()}
    spec = spec_of()
    segmenter = segmenter_of(CONFIG, spec)

    def refuse(bundle: Bundle) -> None:
        assert bundle.directory != bundle_copy
        raise WorldError("not good enough")

    for directory, force in ((bundle_copy, True), (bundle_copy.parent / "new", False)):
        with pytest.raises(WorldError, match="not good enough"):
            write_bundle(
                directory,
                segmenter,
                SETTINGS,
                provenance_of(segmenter, spec),
                frames=FRAMES,
                force=force,
                check=refuse,
            )
    assert {path.name: path.read_bytes() for path in bundle_copy.iterdir()} == before
    assert [path.name for path in bundle_copy.parent.iterdir()] == ["copy"]


def test_a_bundle_is_replaced_with_force_only(bundle_copy: Path) -> None:
    spec = spec_of()
    segmenter = segmenter_of(CONFIG, spec)
    provenance = provenance_of(segmenter, spec).model_copy(update={"trial": 8})
    with pytest.raises(UserError, match="--force"):
        write_bundle(bundle_copy, segmenter, SETTINGS, provenance, frames=FRAMES)
    write_bundle(bundle_copy, segmenter, SETTINGS, provenance, frames=FRAMES, force=True)
    assert load_bundle(bundle_copy).provenance.trial == 8
    assert [path.name for path in bundle_copy.parent.iterdir()] == ["copy"]


def test_a_directory_that_holds_something_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(UserError, match="not empty"):
            refuse_taken(tmp_path, force=force)
    with pytest.raises(UserError, match="is a file"):
        refuse_taken(tmp_path / "thesis.txt", force=True)
    refuse_taken(tmp_path / "new")


def test_what_people_put_into_a_bundle_is_never_replaced(bundle_copy: Path) -> None:
    (bundle_copy / "predictions").mkdir()
    (bundle_copy / "predictions" / "7.png").write_text("mine")
    (bundle_copy / "notes.txt").write_text("mine")
    with pytest.raises(
        UserError, match=r"more than a bundle: notes\.txt, predictions; move that away"
    ):
        refuse_taken(bundle_copy, force=True)
    shutil.rmtree(bundle_copy / "predictions")
    (bundle_copy / "notes.txt").unlink()
    refuse_taken(bundle_copy, force=True)
    with (bundle_copy / CARD).open("a") as card:
        card.write("Not for use at night.\n")
    with pytest.raises(UserError, match="somebody has edited"):
        refuse_taken(bundle_copy, force=True)


def test_what_comes_into_a_bundle_while_another_is_written_stays(bundle_copy: Path) -> None:
    spec = spec_of()
    segmenter = segmenter_of(CONFIG, spec)

    def come(bundle: Bundle) -> None:
        (bundle_copy / "notes.txt").write_text("mine")

    with pytest.raises(UserError, match=r"notes\.txt"):
        write_bundle(
            bundle_copy,
            segmenter,
            SETTINGS,
            provenance_of(segmenter, spec),
            frames=FRAMES,
            force=True,
            check=come,
        )
    assert (bundle_copy / "notes.txt").read_text() == "mine"


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spec = spec_of()
    segmenter = segmenter_of(CONFIG, spec)
    with pytest.raises(
        WorldError, match=r"cannot write .*free space there or choose another place"
    ):
        write_bundle(
            tmp_path / "file" / "model",
            segmenter,
            SETTINGS,
            provenance_of(segmenter, spec),
            frames=FRAMES,
        )
