"""``--weights``: files, bundles and the hub, each read and fitted before a study is written."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load, save

from objectives.errors import ProblemsError, UserError
from objectives.networks.weights_file import header_of
from search.study.given import read_offers
from spaces import Space, load_space
from tests.support import pretrained
from tests.support.frame_specs import frame_spec
from tests.support.small_hub import hub_of

LITE0 = pretrained.ENCODER
SPEC = frame_spec((8, 8), ("one", "two"), std=(0.3,), ignore_label=None)


def space_of(*encoders: str) -> Space:
    names = ", ".join(encoders)
    return load_space("tiny", ("model.kind=smp", f"model.encoder={{choice: [{names}]}}"))


def written(folder: Path, name: str = "lite0.safetensors") -> str:
    (folder / name).write_bytes(pretrained.lite0_file())
    return str(folder / name)


def test_a_file_is_for_the_encoder_that_it_fits(tmp_path: Path) -> None:
    file = written(tmp_path)

    (offer,) = read_offers([file], space_of("resnet18", LITE0), SPEC)
    (named,) = read_offers([f"pretrained={file}"], space_of(LITE0), SPEC)

    given = offer.given
    assert (given.name, named.given.name) == ("lite0", "pretrained")
    assert given.fits == {"model.kind": "smp", "model.encoder": LITE0}
    assert given.start.sha256 == hashlib.sha256(Path(file).read_bytes()).hexdigest()
    assert given.start.mean == given.start.std == (0.5, 0.5, 0.5)
    assert given.licence == pretrained.LICENCE
    assert pretrained.PACKAGE in given.source


def test_a_file_is_for_every_family_that_has_the_encoder(tmp_path: Path) -> None:
    families = "model.kind={choice: [unet, smp, encoder_unet]}"
    encoders = f"model.encoder={{choice: [resnet18, {LITE0}]}}"
    own = f"model.encoder_unet.encoder={LITE0}"
    for sets, fitting in (
        ((families, encoders), ["encoder_unet", "smp"]),
        ((families, encoders, own), ["encoder_unet", "smp"]),
        ((families, "model.encoder=resnet18", own), ["encoder_unet"]),
    ):
        offers = read_offers([written(tmp_path)], load_space("tiny", sets), SPEC)

        assert sorted(str(offer.given.fits["model.kind"]) for offer in offers) == fitting
        assert len({offer.given.start.sha256 for offer in offers}) == 1
        assert all(offer.given.fits["model.encoder"] == LITE0 for offer in offers)


def test_a_torch_file_is_stored_as_safetensors_and_known_by_its_own_hash(tmp_path: Path) -> None:
    torch.save(dict(pretrained.lite0_tensors()), tmp_path / "lite0.pth")
    file = written(tmp_path)

    (offer,) = read_offers([str(tmp_path / "lite0.pth")], space_of(LITE0), SPEC)
    (same,) = read_offers([file], space_of(LITE0), SPEC)

    stored = load(offer.data)
    assert stored.keys() == load(same.data).keys()
    assert all(torch.equal(stored[name], tensor) for name, tensor in load(same.data).items())
    assert offer.given.start.sha256 == hashlib.sha256(offer.data).hexdigest()
    assert offer.given.sha256 == hashlib.sha256((tmp_path / "lite0.pth").read_bytes()).hexdigest()
    assert (offer.given.source, offer.given.licence) == ("lite0.pth", "")


def test_a_wrong_tensor_is_named_with_its_file(tmp_path: Path) -> None:
    tensors = dict(pretrained.lite0_tensors())
    tensors["blocks.0.0.bn1.wieght"] = tensors.pop("blocks.0.0.bn1.weight")
    (tmp_path / "typo.safetensors").write_bytes(save(tensors))

    with pytest.raises(ProblemsError) as error:
        read_offers([str(tmp_path / "typo.safetensors")], space_of(LITE0), SPEC)
    assert "--weights typo.safetensors" in str(error.value)
    assert {problem.where for problem in error.value.problems} == {
        "blocks.0.0.bn1.wieght",
        "model.blocks.0.0.bn1.weight",
    }


def test_what_cannot_be_given_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "noise.pth").write_bytes(b"noise")
    (tmp_path / "1.safetensors").write_bytes(pretrained.lite0_file())
    (tmp_path / "imagenet.safetensors").write_bytes(pretrained.lite0_file())
    (tmp_path / "folder").mkdir()
    stated = save(
        {"a": torch.zeros(1)}, metadata={"encoder": "resnet18", "mean": "0.5", "std": "0.5"}
    )
    (tmp_path / "stated.safetensors").write_bytes(stated)
    half = save(dict(pretrained.lite0_tensors()), metadata={"mean": "half"})
    (tmp_path / "half.safetensors").write_bytes(half)
    for name, said in [
        ("missing.pth", "there is no such file"),
        ("\0", "there is no such file"),
        ("noise.pth", "tensors alone"),
        ("1.safetensors", "must begin with a letter"),
        ("imagenet.safetensors", "be neither none nor imagenet"),
        ("folder", "must be a bundle"),
        ("stated.safetensors", "for the encoder resnet18"),
        ("half.safetensors", "mean and std in its header must be 3 numbers"),
    ]:
        with pytest.raises(UserError, match=said) as error:
            read_offers([f"{tmp_path}/{name}"], space_of(LITE0), SPEC)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="no network of the space has an encoder"):
        read_offers([written(tmp_path)], load_space("tiny"), SPEC)


def test_one_name_for_two_files_is_refused(tmp_path: Path) -> None:
    first = written(tmp_path)
    changed = dict(pretrained.lite0_tensors())
    changed["conv_stem.weight"] = changed["conv_stem.weight"] + 1
    (tmp_path / "other.safetensors").write_bytes(save(changed))

    with pytest.raises(UserError, match="two are called 'lite0'"):
        read_offers([first, f"lite0={tmp_path / 'other.safetensors'}"], space_of(LITE0), SPEC)


def test_without_a_hub_imagenet_is_one_clear_line(tmp_path: Path) -> None:
    words = ["init", "--home", "home", "--data", "synthetic:40", "--space", "tiny", "--weights"]
    sets = ["--set", "model.kind=smp", "--set", f"model.encoder={LITE0}"]
    ended = subprocess.run(
        [sys.executable, "-m", "search", *words, "imagenet", *sets],
        cwd=tmp_path,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "--weights imagenet: http://127.0.0.1:1 cannot be reached from here" in line
    assert "give a file instead" in line
    assert not list((tmp_path / "home").glob("artifacts/blobs/*/*"))


def test_with_a_hub_the_library_fetches_once_and_the_result_is_a_file(tmp_path: Path) -> None:
    torch.manual_seed(5)
    whole = timm.create_model("test_efficientnet").state_dict()
    path = "/timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"
    file = save(whole, metadata={"format": "pt"})
    program = (
        "import sys; from objectives.networks.hub import hub_weights; "
        f"open('got', 'wb').write(hub_weights({pretrained.SMALLEST!r}))"
    )
    with hub_of({path: file}) as (url, asked):
        settings = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=120,
            check=True,
        )
    assert f"GET {path}" in asked
    got = (tmp_path / "got").read_bytes()
    assert header_of(got) == {
        "encoder": pretrained.SMALLEST,
        "source": "timm/test_efficientnet.r160_in1k",
        "license": "apache-2.0",
        "mean": "0.485,0.456,0.406",
        "std": "0.229,0.224,0.225",
    }
    tensors = load(got)
    assert len(tensors) > 50
    assert all(
        torch.equal(tensor, whole[name.removeprefix("model.")]) for name, tensor in tensors.items()
    )
