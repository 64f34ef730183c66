"""What the chart makes of values: sound for Kubernetes' schemas, and in what those cannot tell."""

import copy
import json
import re
import tomllib
from itertools import pairwise
from typing import Any

import pytest
import yaml

from search.dashboard.app import HEALTH
from search.worker.context import LEAVE_S
from tests.chart.job_controller import DISRUPTED, action
from tests.chart.tools import (
    CHART,
    EXAMPLES,
    ROOT,
    Manifest,
    helm,
    known_versions,
    labels_of_pods,
    lacking_helm,
    lacking_schemas,
    of_kind,
    pods_of,
    problems,
    render,
    supported,
)
from tests.support.readme import lines_of

if lacking_helm():
    pytest.skip(lacking_helm(), allow_module_level=True)

needs_schemas = pytest.mark.skipif(bool(lacking_schemas()), reason=lacking_schemas())
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)

GPU = ["--values", CHART / "examples" / "gpu-s3.yaml"]
ALL = ["--values", CHART / "examples" / "everything.yaml"]
VOLUMES = ["--values", CHART / "examples" / "cpu-volume.yaml"]
LONG = "r" * 53  # Helm takes no longer name


def container_of(manifest: Manifest) -> dict[str, Any]:
    (found,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(manifest: Manifest) -> dict[str, Any]:
    return {each["name"]: each for each in container_of(manifest)["env"]}


def job_name(component: str, *words: object) -> str:
    return str(of_kind(render(*words), "Job", component)["metadata"]["name"])


@each_example
def test_helm_has_nothing_against_it(example: Any) -> None:
    done = helm("lint", "--strict", CHART, "--values", example)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_schemas
@each_example
def test_the_oldest_and_the_newest_kubernetes_know_every_field(example: Any) -> None:
    manifests = render("--values", example)
    assert {"Job", "Deployment", "Service", "NetworkPolicy"} <= {each["kind"] for each in manifests}
    for version in supported():
        for manifest in manifests:
            assert problems(manifest, version) == [], (version, manifest["metadata"]["name"])


@needs_schemas
def test_the_oldest_version_is_the_oldest_that_knows_the_exit_codes() -> None:
    worker = of_kind(render(*GPU), "Job", "worker")
    versions = known_versions()
    (before,) = [a for a, b in pairwise(versions) if b == supported()[0]]
    found = problems(worker, before)
    assert found
    assert all("'onPodConditions' is a required property" in each for each in found)


@needs_schemas
def test_the_schemas_see_what_is_wrong() -> None:
    worker = of_kind(render(*GPU), "Job", "worker")
    for version in supported():
        unknown, lacking = copy.deepcopy(worker), copy.deepcopy(worker)
        container_of(unknown)["securityContext"]["readonlyRootFilesystem"] = True
        del lacking["spec"]["podFailurePolicy"]["rules"][0]["action"]
        assert "readonlyRootFilesystem" in problems(unknown, version)[0]
        assert "'action' is a required property" in problems(lacking, version)[0]


@each_example
@pytest.mark.parametrize("component", ["init", "worker"])
def test_what_becomes_of_a_pod_is_what_its_exit_code_says(component: str, example: Any) -> None:
    spec = of_kind(render("--values", example), "Job", component)["spec"]
    # a queue, and as the API demands it beside a policy
    assert "completions" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    rules = spec["podFailurePolicy"]["rules"]
    for rule in rules:
        assert rule["action"] in ("FailJob", "Ignore", "Count")
        assert len(rule) == 2, "either codes or conditions"
        if codes := rule.get("onExitCodes"):
            assert (codes["containerName"], codes["operator"]) == (component, "In")
            assert 0 not in codes["values"], "which the API refuses"
            assert codes["values"] == sorted(set(codes["values"])), "in order, as it demands"
        for condition in rule.get("onPodConditions", []):
            assert condition == {"type": DISRUPTED, "status": "True"}
    left = {75: "Ignore", 143: "Ignore"} if component == "worker" else {75: "Count", 143: "Count"}
    expected = {1: "Count", 2: "FailJob", 137: "Count", **left}
    assert {code: action(spec["podFailurePolicy"], code, set()) for code in expected} == expected
    for code in expected:
        assert action(spec["podFailurePolicy"], code, {DISRUPTED}) == "Ignore"


@each_example
def test_a_worker_says_75_and_has_time_to(example: Any) -> None:
    worker = of_kind(render("--values", example), "Job", "worker")
    assert environment(worker)["SEARCH_LEAVE_CODE"]["value"] == "75"
    assert worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > LEAVE_S
    assert worker["spec"]["podReplacementPolicy"] == "Failed"


@pytest.mark.parametrize("slots", ["4", "auto"])
def test_slots_of_a_shared_gpu_are_told_where_they_are_wanted(slots: str) -> None:
    assert "SEARCH_PER_GPU" not in environment(of_kind(render(*GPU), "Job", "worker"))
    worker = of_kind(render(*GPU, "--set", f"worker.perGpu={slots}"), "Job", "worker")
    assert environment(worker)["SEARCH_PER_GPU"]["value"] == slots


def test_time_to_leave_cannot_be_taken() -> None:
    done = helm("template", "x", CHART, *GPU, "--set", "worker.graceSeconds=10")
    assert "/worker/graceSeconds" in done.stderr


CHANGES = {  # of values: which Jobs are made anew
    "study.trials=7": {"init"},
    "study.options={--recipes,all}": {"init"},
    "study.data=synthetic": {"init"},
    "init.resources.limits.memory=9Gi": {"init"},
    "worker.options={--verbose}": {"worker"},
    "worker.run=2": {"worker"},
    "worker.device=cpu": {"worker"},
    "worker.perGpu=4": {"worker"},
    "worker.podLabels.a=b": {"worker"},
    "worker.cache=30Gi": {"init", "worker"},
    "image.tag=0.2.0": {"init", "worker"},
    "study.name=other": {"init", "worker"},
    "database.existingSecret=other": {"init", "worker"},
    "worker.parallelism=9": set(),
    "worker.backoffLimit=2000000": set(),
    "worker.jobLabels.a=b": set(),
    "dashboard.port=81": set(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_job_has_another_name_when_what_it_cannot_change_is_changed(change: str) -> None:
    changed = {
        part
        for part in ("init", "worker")
        if job_name(part, *GPU) != job_name(part, *GPU, "--set", change)
    }
    assert changed == CHANGES[change]


def test_what_a_job_cannot_change_is_in_its_name() -> None:
    for change in CHANGES:
        for part in ("init", "worker"):
            before = of_kind(render(*GPU), "Job", part)
            after = of_kind(render(*GPU, "--set", change), "Job", part)
            if before["metadata"]["name"] == after["metadata"]["name"]:
                for fixed in ("template", "podFailurePolicy"):
                    assert before["spec"][fixed] == after["spec"][fixed], change


@each_example
@pytest.mark.parametrize("release", ["r", LONG, "a" * 41 + "-" + "b" * 11])
def test_every_name_is_one(release: str, example: Any) -> None:
    manifests = render("--values", example, release=release)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    for _, name in names:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name), name
    for manifest in manifests:
        labels = {**manifest["metadata"]["labels"]}
        for value in labels.values():
            assert re.fullmatch(r"[A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?", value), value


def test_a_space_of_ones_own_reaches_the_study_whole() -> None:
    manifests = render(*ALL)
    given = yaml.safe_load(ALL[1].read_text())["study"]["spaceYaml"]
    space = of_kind(manifests, "ConfigMap")
    assert space["data"] == {"space.yaml": given}
    init = of_kind(manifests, "Job", "init")
    assert "/space/space.yaml" in container_of(init)["args"]
    volumes = {each["name"]: each for each in init["spec"]["template"]["spec"]["volumes"]}
    assert volumes["space"]["configMap"]["name"] == space["metadata"]["name"]


@each_example
def test_secrets_are_named_and_never_written(example: Any) -> None:
    manifests = render("--values", example)
    given = yaml.safe_load(example.read_text())
    # nothing but these: no Secret, no role, no service account
    kinds = {each["kind"] for each in manifests}
    assert kinds <= {"Job", "Deployment", "Service", "NetworkPolicy", "ConfigMap"}
    assert "://" not in re.sub(r"(s3|http)://[\w./:-]+", "", str(manifests)), (
        "a URL with a password"
    )
    for manifest in manifests:
        if manifest["kind"] not in ("Job", "Deployment"):
            continue
        storage = environment(manifest)["SEARCH_STORAGE"]
        assert storage["valueFrom"]["secretKeyRef"] == {
            "name": given["database"]["existingSecret"],
            "key": given["database"].get("key", "uri"),
        }
        for name, each in environment(manifest).items():
            assert "value" not in each or not re.search("PASSWORD|SECRET|TOKEN|KEY", name)
        store = given.get("s3", {}).get("existingSecret")
        assert container_of(manifest).get("envFrom") == (
            [{"secretRef": {"name": store}}] if store else None
        )


@each_example
def test_every_pod_is_as_the_restricted_standard_wants_it(example: Any) -> None:
    """Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/, Restricted."""
    for template in pods_of(render("--values", example)):
        pod = template["spec"]
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context.get("runAsUser", 1000) > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
        kinds = {key for volume in pod["volumes"] for key in volume} - {"name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "configMap"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_ids_are_the_clusters_where_it_chooses_them() -> None:
    for template in pods_of(render(*ALL)):
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(template["spec"]["securityContext"])


@each_example
def test_what_is_written_has_a_place_beside_the_read_only_root(example: Any) -> None:
    for template in pods_of(render("--values", example)):
        (container,) = template["spec"]["containers"]
        mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        assert {each["name"] for each in mounts.values()} == set(volumes)
        settings = {each["name"]: each.get("value", "") for each in container["env"]}
        for name in ("HOME", "SEARCH_HOME", "SEARCH_CACHE", "SEARCH_ARTIFACTS"):
            path = settings[name]
            if not path.startswith("s3://"):
                assert any(path == mount or path.startswith(f"{mount}/") for mount in mounts), name
        for path in ("/tmp", "/cache"):
            assert volumes[mounts[path]["name"]]["emptyDir"]["sizeLimit"]
            assert not mounts[path].get("readOnly")
        assert container["workingDir"] == "/tmp"


@each_example
def test_resources_are_bounded_and_a_gpu_is_asked_for(example: Any) -> None:
    given = yaml.safe_load(example.read_text())["worker"]
    manifests = render("--values", example)
    for template in pods_of(manifests):
        (container,) = template["spec"]["containers"]
        assert container["resources"]["requests"]["memory"]
    worker = of_kind(manifests, "Job", "worker")
    limits = container_of(worker)["resources"]["limits"]
    assert limits["cpu"], "else a worker takes every core of its node for its own"
    assert limits["memory"]
    gpus = {name: count for name, count in limits.items() if name.startswith("nvidia.com/")}
    asked = {given.get("gpuResource", "nvidia.com/gpu"): "1"}
    assert gpus == ({} if given.get("gpus") == 0 else asked)
    assert environment(worker)["SEARCH_DEVICE"]["value"] == given.get("device", "cuda")
    (shared,) = [
        each["emptyDir"]
        for each in worker["spec"]["template"]["spec"]["volumes"]
        if each["name"] == "shm"
    ]
    assert shared == {"medium": "Memory", "sizeLimit": given.get("sharedMemory", "2Gi")}


@each_example
def test_policies_and_services_choose_the_pods_that_they_mean(example: Any) -> None:
    manifests = render("--values", example)
    dashboard = of_kind(manifests, "Deployment")
    chosen = {}
    for manifest in manifests:
        spec = manifest["spec"] if manifest["kind"] in ("Service", "NetworkPolicy") else {}
        selector = spec.get("selector") or spec.get("podSelector", {}).get("matchLabels")
        if selector:
            chosen[manifest["kind"], manifest["metadata"]["name"]] = [
                template["metadata"]["labels"]["app.kubernetes.io/component"]
                for template in pods_of(manifests)
                if selector.items() <= template["metadata"]["labels"].items()
            ]
    everything = sorted(["init", "worker", "dashboard"])
    assert sorted(chosen.pop(("NetworkPolicy", "rocks"))) == everything
    assert chosen
    assert all(pods == ["dashboard"] for pods in chosen.values())
    selector = dashboard["spec"]["selector"]["matchLabels"]
    assert selector == labels_of_pods(dashboard)
    (port,) = container_of(dashboard)["ports"]
    (service,) = of_kind(manifests, "Service")["spec"]["ports"]
    assert service["targetPort"] == port["name"]


def test_nobody_reaches_a_pod_unless_it_is_said_who() -> None:
    policies = [each["spec"] for each in render(*GPU) if each["kind"] == "NetworkPolicy"]
    (closed,) = policies
    assert closed["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in closed
    assert [[port["port"] for port in rule["ports"]] for rule in closed["egress"]] == [
        [53, 53],
        [5432],
        [443],
    ]
    _, opened = [each["spec"] for each in render(*ALL) if each["kind"] == "NetworkPolicy"]
    given = yaml.safe_load(ALL[1].read_text())["networkPolicy"]["dashboard"]["from"]
    assert opened["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}], "from": given}]


def test_the_dashboard_is_asked_where_it_answers_to_every_name() -> None:
    container = container_of(of_kind(render(*ALL), "Deployment"))
    assert container["readinessProbe"]["httpGet"] == {"path": HEALTH, "port": "http"}
    # it waits for the study before it listens, and would be killed meanwhile
    assert "livenessProbe" not in container
    asked = environment(of_kind(render(*ALL), "Deployment"))["SEARCH_ALLOWED_HOSTS"]["value"]
    assert asked == "dash.example,dash.internal"


@pytest.mark.parametrize("name", ["it's", 'a "b"', "a: b", "{a}", "#a", "null", "1e3", "ä\\n", " "])
def test_a_study_of_any_name_is_that_study(name: str, tmp_path: Any) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"study": {"name": name}}))
    for part in ("init", "worker"):
        job = of_kind(render(*GPU, "--values", values), "Job", part)
        assert environment(job)["SEARCH_STUDY"]["value"] == name


def test_what_has_no_default_must_be_given_and_is_all_named_at_once() -> None:
    done = helm("template", "x", CHART)
    assert done.returncode != 0
    for value in ("image/repository", "study/name", "study/data", "database/existingSecret"):
        assert f"'/{value}'" in done.stderr


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            ["artifacts.url="],
            "artifacts.url (s3://bucket/prefix) or artifacts.existingClaim must be given",
        ),
        (["artifacts.existingClaim=a"], "are two places: leave one empty"),
        (["study.data=/data/frames"], 'study.data "/data/frames" is a path: name the claim'),
        (["worker.gpus=0"], "take worker.device=cpu for workers without a GPU"),
        (["study.data=frames"], "'/study/data'"),
        (["database.url=postgresql://a:b@c/d"], "additional properties 'url' not allowed"),
        (["worker.device=gpu"], "'/worker/device'"),
        (["worker.gpus=2"], "'/worker/gpus'"),
        (["worker.perGpu=33"], "'/worker/perGpu'"),
        (["worker.perGpu=all"], "'/worker/perGpu'"),
        (["workers=3"], "additional properties 'workers' not allowed"),
        (["podSecurityContext.runAsUser=0"], "'/podSecurityContext/runAsUser'"),
        (["podSecurityContext.runAsNonRoot=false"], "'/podSecurityContext/runAsNonRoot'"),
        (["image.repository=a b"], "'/image/repository'"),
        (["study.trials=0"], "'/study/trials'"),
    ],
)
def test_values_that_cannot_be_are_refused_by_their_names(values: list[str], said: str) -> None:
    done = helm("template", "x", CHART, *GPU, *(f"--set={each}" for each in values))
    assert done.returncode != 0
    assert said in done.stderr


def test_parts_can_be_left_out() -> None:
    words = ["init.enabled=false", "worker.enabled=false", "dashboard.enabled=false"]
    left = render(*GPU, *(f"--set={each}" for each in words))
    assert [each["kind"] for each in left] == ["NetworkPolicy"]
    assert (
        render(*GPU, *(f"--set={each}" for each in words), "--set=networkPolicy.enabled=false")
        == []
    )


def test_the_notes_name_what_is_there() -> None:
    done = helm("install", "rocks", CHART, *GPU, "--dry-run=client", "--namespace", "lab")
    notes = done.stdout.partition("NOTES:")[2]
    dashboard = of_kind(render(*GPU), "Deployment")["metadata"]["name"]
    assert f"port-forward deployment/{dashboard} 8080:8080" in notes
    assert "app.kubernetes.io/instance=rocks" in notes
    assert "--set worker.run=2" in notes


def test_the_lines_of_the_readme_make_what_the_chart_needs() -> None:
    *secrets, install = lines_of("Kubernetes")
    made = {}
    for line in secrets:
        words = line.split()
        assert words[:4] == ["kubectl", "create", "secret", "generic"]
        made[words[4]] = {re.fullmatch(r"--from-literal=(\w+)=.+", each)[1] for each in words[5:]}
    program, *words = install.split()
    assert program == "helm"
    done = helm(*words, "--dry-run=client")
    assert done.returncode == 0, done.stderr
    worker = of_kind(render(*GPU), "Job", "worker")
    asked = environment(worker)["SEARCH_STORAGE"]["valueFrom"]["secretKeyRef"]
    assert asked["key"] in made[asked["name"]]
    ((store,),) = [each["secretRef"].values() for each in container_of(worker)["envFrom"]]
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} == made[store]


def test_the_values_of_the_page_are_those_of_the_commands_beside_them(tmp_path: Any) -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n# rocks.yaml\n(.*?)```", page, re.DOTALL)
    values = tmp_path / "rocks.yaml"
    values.write_text(block)
    manifests = render("--values", values)
    secrets = set(re.findall(r"kubectl create secret generic (\S+)", page))
    worker = of_kind(manifests, "Job", "worker")
    storage = environment(worker)["SEARCH_STORAGE"]["valueFrom"]["secretKeyRef"]["name"]
    ((store,),) = [each["secretRef"].values() for each in container_of(worker)["envFrom"]]
    assert {storage, store} == secrets
    named = set(re.findall(r"kubectl exec (?:\S+/)(\S+) --", page))
    assert named == {of_kind(manifests, "Deployment")["metadata"]["name"]}


@pytest.mark.parametrize("file", ["cloudnativepg", "keda"])
def test_manifests_of_other_programs_are_sound_and_say_that_they_are_untested(file: str) -> None:
    text = (CHART / "examples" / f"{file}.yaml").read_text()
    assert text.startswith("# UNTESTED.")
    for manifest in yaml.safe_load_all(text):
        assert {"apiVersion", "kind", "metadata", "spec"} == set(manifest)


def test_the_chart_is_of_this_program() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert about["appVersion"] == project["version"]
    image = container_of(of_kind(render(*GPU), "Deployment"))["image"]
    assert image == f"registry.example/segmentation-search:{project['version']}"


def test_the_image_suits_the_pods() -> None:
    """A name is no uid to ``runAsNonRoot``, and arguments alone are given to the image's entry."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["$SEARCH_UID:$SEARCH_GID"]
    assert 'ENTRYPOINT ["tini", "--", "search"]' in dockerfile
    for template in pods_of(render(*GPU)):
        assert "command" not in template["spec"]["containers"][0]
