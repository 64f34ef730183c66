"""What an epoch takes: a fit on multiply-adds, of ten configs that were measured alone on one core.

The recording itself tells no seconds, since its workers shared their machine. An epoch takes so much a step and so
much a multiply-add; the way back counts as twice the way forward.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property

import numpy as np
from scipy.optimize import nnls

from objectives.config import Config, Model
from objectives.data.spec import FrameSpec
from objectives.training.order import count_batches, frames_a_batch
from objectives.training.resources import estimate
from search_bench.parts import GROUND
from search_bench.plans import TABLES
from spaces import FromParams

BACK = 2  # ways forward that the way back of a frame costs


@dataclass(frozen=True)
class Epoch:
    """What there is to do in an epoch of a config."""

    steps: int
    multiply_adds: float  # of all frames, trained and scored

    @property
    def parts(self) -> tuple[float, float]:
        """What seconds are fitted on."""
        return self.steps, self.multiply_adds


@dataclass(frozen=True)
class Measured:
    """A config that was measured alone."""

    config: str
    steps: int
    multiply_adds: float
    seconds: float  # of an epoch


@dataclass(frozen=True)
class Seconds:
    """Seconds an epoch of any config, on a table's frames."""

    spec: FrameSpec
    frames: int  # of the training part,
    rare: int  # those of them that hold the rarest class
    validation: int  # frames
    measured: tuple[Measured, ...]

    @classmethod
    def of_table(cls, name: str) -> "Seconds":
        """Read what was measured.

        Raises:
            SystemExit: Nothing was.
        """
        path = TABLES / f"{name}.seconds.json"
        if not path.exists():
            raise SystemExit(f"{name}: nothing is measured; make bench-seconds TABLE={name} does")
        kept = json.loads(path.read_text())
        measured = tuple(Measured(**each) for each in kept.pop("measured"))
        return cls(FrameSpec.model_validate(kept.pop("spec")), measured=measured, **kept)

    def write(self, name: str) -> None:
        """Keep what was measured."""
        kept = asdict(self) | {"spec": self.spec.model_dump(mode="json")}
        (TABLES / f"{name}.seconds.json").write_text(json.dumps(kept, indent=1) + "\n")

    def epoch(self, params: Mapping[str, object]) -> Epoch:
        """Return what there is to do in an epoch of a config, of these parameters."""
        config = GROUND.space.draw(FromParams(params))
        train = config.train
        trained = train.repeat * (self.frames + self.rare * (train.rare_repeat - 1))
        steps = count_batches(trained, train.batch_size)
        ways = (1 + BACK) * steps * frames_a_batch(trained, train.batch_size) + self.validation
        return Epoch(steps, float(ways) * self._multiply_adds(config))

    def _multiply_adds(self, config: Config) -> int:
        """Return those of one frame, forward. Dropout changes none."""
        plain = config.model.model_copy(update={"dropout": 0.0})
        return _counted(plain, self.spec)

    @cached_property
    def weights(self) -> tuple[float, float]:
        """Seconds a step and a multiply-add: least squares of relative errors, none below 0."""
        seconds_N = np.array([each.seconds for each in self.measured])
        parts_N2 = np.array([(each.steps, each.multiply_adds) for each in self.measured])
        scale_2 = parts_N2.max(axis=0)
        found_2, _ = nnls(parts_N2 / scale_2 / seconds_N[:, None], np.ones(len(seconds_N)))
        step, multiply_add = found_2 / scale_2
        return float(step), float(multiply_add)

    def fitted(self, epoch: Epoch) -> float:
        """Return the seconds of an epoch by the fit."""
        return float(np.dot(self.weights, epoch.parts))

    def cost(self, params: Mapping[str, object]) -> float:
        """Return what a training takes, in trainings of the control."""
        return self.fitted(self.epoch(params)) / self._control_s

    @cached_property
    def _control_s(self) -> float:
        return self.fitted(self.epoch(GROUND.control))


@cache
def _counted(model: Model, spec: FrameSpec) -> int:
    config = GROUND.space.default().model_copy(update={"model": model})
    return estimate(config, spec, bf16=False).multiply_adds
