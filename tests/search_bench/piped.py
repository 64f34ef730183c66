"""Peers outside Optuna: their own code, in environments of their own, asked and told over a pipe."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from search.posterior.belief import Learned
from search_bench.flat import fields, read
from search_bench.parts import GROUND
from search_bench.virtual import Offer, Search, Terms

SERVERS = Path(__file__).parent / "peers"
HOMES = Path(".bench-peers")


class PeerError(Exception):
    """A peer cannot be installed or driven; the message says why."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds what a file of pinned versions lists."""

    name: str

    @property
    def home(self) -> Path:
        """Where it lies."""
        return HOMES / self.name

    def python(self) -> Path:
        """Return its Python, after it was built where it lacks something.

        Raises:
            PeerError: It cannot be built.
        """
        wanted = SERVERS / f"{self.name}.txt"
        made_of = hashlib.sha256(wanted.read_bytes()).hexdigest()
        mark, python = self.home / ".made-of", self.home.absolute() / "bin" / "python"
        if not mark.exists() or mark.read_text() != made_of:
            print(f"building {self.home}: minutes, up to a GB ...", file=sys.stderr, flush=True)
            _done([sys.executable, "-m", "venv", "--clear", str(self.home)])
            quiet = ["--quiet", "--disable-pip-version-check"]
            _done([str(python), "-m", "pip", "install", *quiet, "--requirement", str(wanted)])
            mark.write_text(made_of)
        return python


@dataclass(frozen=True)
class PipedMethod:
    """A way to search that a server script plays in its environment."""

    name: str
    environment: Environment
    server: str

    def begin(self, terms: Terms) -> Search:
        """Return a new study.

        Raises:
            PeerError: Its environment cannot be built.
        """
        command = [str(self.environment.python()), str(SERVERS / self.server)]
        return PipedSearch(self.name, command, terms)

    def learned(self, seed: int) -> Sequence[Learned]:
        """Return nothing: a study of it knows its own runs alone."""
        return ()


class PipedSearch:
    """A study behind a pipe. Its server has no environment variable of Python's, and a folder of its own to
    write in.
    """

    def __init__(self, name: str, command: Sequence[str], terms: Terms) -> None:
        self._name = name
        self._params: list[Mapping[str, object]] = []
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "errors"
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        with self._errors.open("w") as errors:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                cwd=self._folder.name,
                env=kept | {"PYTHONHASHSEED": "0"},  # equal seeds give equal studies
            )
        self._send(
            {"method": name, "fields": _fields(), "control": dict(GROUND.control)} | asdict(terms)
        )

    def ask(self, offer: Offer) -> tuple[int, Mapping[str, object]]:
        """Return the trial that the peer wants to be trained, with what it reads of its parameters. Of what is
        offered instead it is told the scores alone.
        """
        answer = self._answer({"ask": True})
        number = answer["number"]
        if number == len(self._params):
            self._params.append(offer(read(answer["params"])))
        return number, self._params[number]

    def report(self, number: int, scores: Sequence[float]) -> TrialState:
        """Tell the trial's last score."""
        answer = self._answer({"number": number, "score": scores[-1]})
        return TrialState[answer["state"].upper()]

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.communicate()
        self._folder.cleanup()

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._server.stdin
        print(json.dumps(message), file=self._server.stdin, flush=True)

    def _answer(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._server.stdout
        try:
            self._send(message)
            line = self._server.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return dict(json.loads(line))
        self._server.wait()
        raise PeerError(f"{self._name} ended: {_last_line(self._errors.read_text())}")


@cache
def _fields() -> list[dict[str, Any]]:
    return fields()


def _done(command: list[str]) -> None:
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise PeerError(f"{' '.join(command[:4])} failed: {_last_line(made.stderr)}")


def _last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["nothing was said"])[
        -1
    ]


def piped() -> list[PipedMethod]:
    """Return the peers outside Optuna."""
    smac_ray, syne_tune = Environment("smac_ray"), Environment("syne_tune")
    schedulers = ("ASHA stopping", "ASHA promotion", "MOBSTER", "Hyper-Tune")
    return [
        PipedMethod("smac", smac_ray, "serve_smac.py"),
        PipedMethod("smac multi-fidelity", smac_ray, "serve_smac.py"),
        PipedMethod("ray ASHA", smac_ray, "serve_ray.py"),
        *(PipedMethod(f"syne-tune {name}", syne_tune, "serve_syne_tune.py") for name in schedulers),
    ]
