"""Bundles and checkpoints: altered files under matching checksums, pickles, lying headers; refused
in words, or usable.
"""

import io
import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from objectives.bundle.bundle_folder import (
    CONFIG,
    FILES,
    FRAMES,
    METRICS,
    SUMS,
    WEIGHTS,
    load_bundle,
    write_bundle,
)
from objectives.bundle.evaluate import evaluate_bundle
from objectives.bundle.provenance import PartScore, current_versions
from objectives.config import Config, Train, UNet
from objectives.data.dataset import DataOptions, open_dataset
from objectives.errors import UserError, WorldError
from objectives.predict.masks import predict
from objectives.program.segmenter import build_segmenter
from objectives.program.settings import ProgramSettings
from objectives.training.fit import prepare
from tests.support.bundles_made import origin, seal
from tests.support.frame_specs import frame_spec
from tests.support.fuzzing import cases, changed_bytes, changed_trees, good_or_refused

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
CONFIGURATION = Config(
    model=UNet(depth=2, base_filters=4), train=Train(scale=0.5, bf16=False, batch_size=8)
)
NAMES = ("void", "soil", "rock")
SPEC = frame_spec((16, 24), NAMES, colours=((0, 0, 0), (200, 0, 0), (0, 200, 0)), scored=(1, 2))


class Trap:
    """Whoever unpickles it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bundle")
    torch.manual_seed(0)
    provenance = origin(
        PartScore(frames=3, score=0.5, iou=(None, 0.4, 0.6)), versions=current_versions()
    )
    segmenter = build_segmenter(CONFIGURATION, SPEC).eval()
    frames = {"train": ["aa", "bb"], "validation": ["cc"], "test": ["dd"]}
    write_bundle(
        root / "good",
        segmenter,
        ProgramSettings.single(CONFIGURATION, SPEC),
        provenance,
        frames=frames,
    )
    generator = np.random.default_rng(0)
    frames_N2HW = generator.integers(0, 3, (8, 2, 16, 24)).astype(np.uint8)
    np.savez(
        root / "frames.npz",
        training_set=frames_N2HW,
        test_set=frames_N2HW[:2, 0],
        class_names=np.array(NAMES),
    )
    return root


def use(root: Path) -> None:
    """Load the altered bundle; what loads must work."""
    with good_or_refused("bundle"):
        load_bundle(root / "changed")
        assert predict(root / "changed", root / "frames.npz", root / "masks.npz") == 2
        evaluate_bundle(root / "changed", root / "frames.npz")


def alter(root: Path, changed: dict[str, bytes], *, sealed: bool = True, sums: bytes = b"") -> None:
    """A copy of the good bundle with changed files; ``sealed``: under checksums that match."""
    shutil.rmtree(root / "changed", ignore_errors=True)
    shutil.copytree(root / "good", root / "changed")
    for name, content in changed.items():
        (root / "changed" / name).write_bytes(content)
    if sealed:
        seal(root / "changed")
    if sums:
        (root / "changed" / SUMS).write_bytes(sums)


LARGE = {
    "model": {"kind": "unet", "depth": 5, "base_filters": 128, "growth": 2.5, "kernel_size": 7},
    "deep": {
        "kind": "background_unet",
        "depth": 5,
        "base_filters": 128,
        "mask_filters": 128,
        "growth": 2.5,
    },
}


@cases(900)
@given(data=st.data())
def test_altered_settings_under_matching_checksums(data: st.DataObject, bundle: Path) -> None:
    name = data.draw(st.sampled_from([CONFIG, CONFIG, METRICS, FRAMES]))
    tree = json.loads((bundle / "good" / name).read_bytes())
    if name == CONFIG and data.draw(st.integers(0, 5)) == 0:
        tree["members"][0]["config"]["model"] = data.draw(st.sampled_from(list(LARGE.values())))
    elif name == CONFIG and data.draw(st.booleans()):
        part = data.draw(st.sampled_from(["spec", "members"]))
        tree[part] = data.draw(changed_trees(tree[part]))
    else:
        tree = data.draw(changed_trees(tree))
    alter(bundle, {name: json.dumps(tree).encode()})
    use(bundle)


@cases(500)
@given(data=st.data())
def test_altered_weights_under_matching_checksums(data: st.DataObject, bundle: Path) -> None:
    content = (bundle / "good" / WEIGHTS).read_bytes()
    tensors = load(content)
    name = data.draw(st.sampled_from(sorted(tensors)))
    match data.draw(
        st.sampled_from(["remove", "rename", "shape", "type", "values", "header", "bytes", "bytes"])
    ):
        case "remove":
            del tensors[name]
        case "rename":
            tensors[
                data.draw(
                    st.sampled_from(
                        ["", "../x", "network", "x.y", "\udcff".encode("utf-8", "replace").decode()]
                    )
                )
            ] = tensors.pop(name)
        case "shape":
            tensors[name] = torch.zeros(data.draw(st.lists(st.integers(0, 9), max_size=5)))
        case "type":
            tensors[name] = tensors[name].to(
                data.draw(st.sampled_from([torch.float64, torch.int8, torch.bool, torch.bfloat16]))
            )
        case "values":
            tensors[name] = torch.full_like(
                tensors[name], data.draw(st.sampled_from([0, 7]))
            ) * data.draw(st.sampled_from([1, -1]))
        case "header":
            header = data.draw(
                changed_trees(json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]]))
            )
            text = json.dumps(header).encode()
            content = (
                struct.pack("<Q", len(text))
                + text
                + content[8 + struct.unpack("<Q", content[:8])[0] :]
            )
            alter(bundle, {WEIGHTS: content})
            return use(bundle)
        case _:
            alter(bundle, {WEIGHTS: data.draw(changed_bytes(content))})
            return use(bundle)
    alter(bundle, {WEIGHTS: save(tensors)})
    return use(bundle)


SUM_NAMES = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "",
    ".",
    "model.safetensors/../x",
    "a\\b",
    "SHA256SUMS",
    "model.onnx",
    "é",
]


@cases(400)
@given(data=st.data())
def test_altered_checksums_and_torn_files(data: st.DataObject, bundle: Path) -> None:
    good = (bundle / "good" / SUMS).read_bytes()
    match data.draw(st.sampled_from(["lines", "bytes", "file", "config"])):
        case "lines":
            lines = good.splitlines(keepends=True)
            lines.insert(
                data.draw(st.integers(0, len(lines))),
                f"{'0' * 64}  {data.draw(st.sampled_from(SUM_NAMES))}\n".encode(),
            )
            alter(bundle, {}, sums=b"".join(lines))
        case "bytes":
            alter(bundle, {}, sums=data.draw(changed_bytes(good)) or b"\n")
        case kind:
            name = CONFIG if kind == "config" else data.draw(st.sampled_from(FILES))
            changed = data.draw(changed_bytes((bundle / "good" / name).read_bytes()))
            alter(bundle, {name: changed}, sealed=data.draw(st.booleans()))
    use(bundle)


def pickles(trap: Path) -> list[bytes]:
    """What a bundle of pickles would hold: plain, of torch's two formats, and under the header of
    another type.
    """
    found = [pickle.dumps(Trap(trap)), pickle.dumps({"network.head.weight": Trap(trap)})]
    for zipped in (True, False):
        stream = io.BytesIO()
        torch.save(
            {"network.head.weight": Trap(trap)}, stream, _use_new_zipfile_serialization=zipped
        )
        found.append(stream.getvalue())
    return [*found, struct.pack("<Q", len(found[0])) + found[0]]


def test_a_bundle_with_a_pickle_in_it_is_refused(bundle: Path, tmp_path: Path) -> None:
    for content in pickles(tmp_path / "sprung"):
        for name in (WEIGHTS, CONFIG, METRICS, FRAMES):
            alter(bundle, {name: content})
            with pytest.raises(UserError) as raised:
                load_bundle(bundle / "changed")
            assert "\n" not in str(raised.value)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_with_a_pickle_in_it_is_refused(tmp_path: Path) -> None:
    data = open_dataset("synthetic:24", DataOptions(size=(16, 24)), tmp_path / "cache")
    state = prepare(CONFIGURATION, data, seed=0, device=CPU).state
    good = state.to_bytes()
    for content in [*pickles(tmp_path / "sprung"), b"", good[:-1], good[:100], good[8:]]:
        with pytest.raises(WorldError) as raised:
            state.load_bytes(content)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("model", LARGE.values(), ids=LARGE.keys())
def test_a_config_of_a_huge_network_takes_no_memory(model: dict[str, Any], bundle: Path) -> None:
    settings = json.loads((bundle / "good" / CONFIG).read_bytes())
    settings["members"][0]["config"]["model"] = model
    alter(bundle, {CONFIG: json.dumps(settings).encode()})
    with pytest.raises(UserError, match="differ in"):
        load_bundle(bundle / "changed")


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (CONFIG, ("spec", "scored"), [1, 9]),
        (CONFIG, ("spec", "ignore_label"), -1),
        (CONFIG, ("spec", "mean"), [0.1, 0.2]),
        (CONFIG, ("spec", "colours"), []),
        (CONFIG, ("spec", "class_names"), ["a", "b", "b"]),
        (CONFIG, ("spec", "class_names"), ["a", "b", "c"]),
        (CONFIG, ("spec", "max_value"), 10**400),
        (CONFIG, ("spec", "height"), 40_000),
        (CONFIG, ("spec", "width"), 10**12),
        (METRICS, ("class_names",), ["soil"]),
        (METRICS, ("validation", "iou"), [0.1]),
        (METRICS, ("class_names",), 3),
        (FRAMES, ("train",), 3),
    ],
)
def test_parts_that_do_not_fit_each_other_are_refused_when_it_is_read(
    name: str, field: tuple[str, ...], value: object, bundle: Path
) -> None:
    tree = part = json.loads((bundle / "good" / name).read_bytes())
    for key in field[:-1]:
        part = part[key]
    part[field[-1]] = value
    alter(bundle, {name: json.dumps(tree).encode()})
    with pytest.raises(UserError, match="another version"):
        load_bundle(bundle / "changed")


def test_checksums_that_name_a_file_elsewhere_are_refused(bundle: Path) -> None:
    good = (bundle / "good" / SUMS).read_bytes()
    alter(bundle, {}, sums=good + f"{'0' * 64}  ../frames.npz\n".encode())
    with pytest.raises(UserError, match=r"\.\./frames\.npz, which lies outside"):
        load_bundle(bundle / "changed")
