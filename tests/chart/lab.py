"""A database, a bucket with frames, and the Jobs of a release on them."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from tests.chart.frames import put_frames
from tests.chart.processes import ProcessPod, Secrets
from tests.chart.tools import CHART, Manifest, of_kind, render
from tests.support.ports import free_port
from tests.support.served import Serving, serving

TRIALS, EPOCHS, WORKERS = 5, 40, 2


@dataclass
class Lab:
    """A place for one study, and values that lead there."""

    served: Serving
    folder: Path
    values: list[str]
    begun: list[ProcessPod] = field(default_factory=list)

    @property
    def secrets(self) -> Secrets:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        store = {name: os.environ[name] for name in names}
        return {"search-db": {"uri": self.served.storage}, "search-s3": store}

    def job(self, component: str, *values: str) -> Manifest:
        """Return a Job of the release, with further values as JSON."""
        return self.manifest("Job", component, *values)

    def manifest(self, kind: str, component: str, *values: str) -> Manifest:
        words = [f"--set-json={each}" for each in (*self.values, *values)]
        example = CHART / "examples" / "gpu-s3.yaml"
        return of_kind(render("--values", example, *words), kind, component)

    def start(self, number: int, template: Manifest) -> ProcessPod:
        pod = ProcessPod(template, self.secrets, self.folder / f"{number}-{uuid.uuid4().hex}")
        self.begun.append(pod)
        return pod

    def run_to_end(self, component: str) -> int:
        """Return the exit code of one pod of a Job."""
        pod = self.start(0, self.job(component)["spec"]["template"])
        return pod.process.wait(120)

    def logs(self) -> str:
        return "\n".join(pod.said() for pod in self.begun)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the study's database."""
        with (
            closing(psycopg2.connect(self.served.storage)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def made_lab(search: Any, folder: Path, endpoint: str) -> Iterator[Lab]:
    """Yield a study's place; every process that a test has left is ended."""
    prefix = uuid.uuid4().hex
    values = [
        f'study.data="{put_frames(endpoint, f"{prefix}/frames.npz")}"',
        f"study.trials={TRIALS}",
        'study.space="tiny"',
        f'study.options=["--set", "train.epochs={EPOCHS}", "--set", "pruning={{kind: none}}"]',
        f'artifacts.url="s3://models/{prefix}/store"',
        f's3.endpoint="{endpoint}"',
        's3.region="us-east-1"',
        f"worker.parallelism={WORKERS}",
        'worker.device="cpu"',
        "worker.gpus=0",
        'worker.options=["--verbose", "--lease", "6s", "--threads", "1"]',
    ]
    pods = folder / "pods"
    pods.mkdir()
    with serving(search, folder / "home", free_port()) as served:
        made = Lab(served, pods, values)
        yield made
        for pod in made.begun:
            if pod.exit_code() is None:
                pod.kill()
                pod.process.wait()
