"""Everything that a training run is, between two epochs; it turns into bytes and back without a
pickle.
"""

import json
import struct
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from objectives.config import Config
from objectives.data.spec import FrameSpec
from objectives.device.precision import computes_bf16
from objectives.device.processor import Processor
from objectives.device.running_out import shortage_in
from objectives.device.transfer import fetched
from objectives.errors import WorldError, first_line
from objectives.losses import second_from
from objectives.networks.pretrained import carried_names, load_start
from objectives.networks.weights_file import header_of, read_safetensors
from objectives.program.segmenter import build_segmenter, placed
from objectives.statistics.resampling import left_out_scores
from objectives.training.carried import Carried
from objectives.training.ema import AveragedModel
from objectives.training.optimise import LearningRate, build_optimiser
from objectives.training.results import EpochResult, scored_epoch

# what reading bytes that are no state of this trial may raise, besides what a device raises that is
# at fault itself
AT_FAULT = (torch.OutOfMemoryError, torch.AcceleratorError)
UNFIT = (
    SafetensorError,
    struct.error,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
)


class TrainingState:
    """Model, average, optimiser, schedule, random generator, history and scored weights of one
    trial.

    ``to_bytes`` gives one safetensors file (tensors, and the plain values as JSON in its header);
    ``load_bytes`` goes on from one. Nothing in it is executable.
    """

    def __init__(
        self,
        config: Config,
        spec: FrameSpec,
        *,
        seed: int,
        steps_per_epoch: int,
        device: torch.device,
        last_epoch: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.spec = spec
        self.seed = seed
        self.only_last = bool(last_epoch)  # the last epoch is the one that counts, not the best
        self.last_epoch = min(last_epoch or config.train.epochs, config.train.epochs)
        self.device = device
        # a trial keeps what it began with, wherever it goes on
        self.bf16 = config.train.bf16 and computes_bf16(device)
        self.model = placed(build_segmenter(config, spec), device)
        self.average = AveragedModel(self.model, config.train.ema)
        network = self.model.network
        frames = {"channels": spec.channels, "num_classes": spec.num_classes}
        self.carried = Carried(network, carried_names(network, config.model, **frames))
        self.optimiser = build_optimiser(config.optimiser, self.model, self.carried.parameters)
        self.learning_rate = LearningRate(
            config.schedule,
            self.optimiser,
            config.optimiser.learning_rate,
            config.train.epochs * steps_per_epoch,
        )
        # frames at once; fewer from the step on for which memory was too small
        self.micro_batch = config.train.batch_size
        self.history: list[EpochResult] = []
        # of the scored epoch, for groups of validation frames: see `Evaluation.matrices`
        self.confusions_GKK = torch.zeros((0, 0, 0), dtype=torch.int64)
        self.contours: list[Tensor] = []
        # tensors on the device until somebody wants the bytes: nothing waits for it meanwhile
        self._scored_weights: bytes | dict[str, Tensor] = b""

    def start_from(self, data: bytes) -> None:
        """Begin with the weights that the config names, which are a safetensors file of these bytes.

        Raises:
            UserError: They do not fit.
        """
        assert not self.epoch, self.epoch
        spec = self.spec
        load_start(
            self.model.network,
            self.config.model,
            read_safetensors(data),
            channels=spec.channels,
            num_classes=spec.num_classes,
        )
        self.average.model.load_state_dict(self.model.state_dict())

    def begin_epoch(self) -> None:
        """Put the model into the mode for training an epoch."""
        self.model.train()
        self.carried.hold(frozen=self.epoch < self.config.train.frozen_epochs)

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    @property
    def scored(self) -> EpochResult:
        """The epoch whose weights and score are the run's: the best so far, or the last. Needs at
        least one epoch.
        """
        return scored_epoch(self.history, last=self.only_last)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none was better for so long that training stops early."""
        if self.epoch >= self.last_epoch:
            return True
        patience = 0 if self.only_last else self.config.train.early_stopping
        return bool(patience and self.history and self.epoch - self._best_watched() >= patience)

    def _best_watched(self) -> int:
        """Return the number of the epoch that was best by what early stopping watches; of losses,
        by those of the present mixture.
        """
        watched = self.config.train.stop_on
        since = second_from(self.config) if watched == "loss" else 0
        comparable = self.history[since if self.epoch > since else 0 :]
        return max(comparable, key=lambda result: result.merit(watched)).number

    def note(self, result: EpochResult, *matrices: Tensor) -> None:
        """Add an epoch that has just been trained and scored; its weights are kept when it is the
        run's.
        """
        self.history.append(result)
        if self.scored is result:
            self.confusions_GKK, *self.contours = matrices
            weights = self.average.model.state_dict()
            self._scored_weights = {name: value.clone() for name, value in weights.items()}

    def left_out(self) -> tuple[float, ...]:
        """Return the score of the scored epoch without each block of validation frames in turn; nothing
        where there are not two, or where a block holds all that is scored.
        """
        if len(self.confusions_GKK) < 2:
            return ()
        judged = [self.confusions_GKK, *self.contours][-1]
        found = left_out_scores(judged.numpy(), self.spec.scoring)
        return tuple(found.tolist()) if np.isfinite(found).all() else ()

    @property
    def scored_weights(self) -> bytes:
        """The weights of the scored epoch as safetensors; empty before the first."""
        if isinstance(self._scored_weights, dict):
            self._scored_weights = save(fetched(self._scored_weights))
        return self._scored_weights

    def weights_bytes(self) -> bytes:
        """Return the weights that are scored now, as safetensors."""
        return save(fetched(self.average.model.state_dict()))

    def to_bytes(self) -> bytes:
        """Return the whole state as one safetensors file."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {
            f"average.{name}": value for name, value in self.average.model.state_dict().items()
        }
        optimiser = self.optimiser.state_dict()
        plain: dict[str, Any] = {"optimiser": {}, "groups": optimiser["param_groups"]}
        for index, values in optimiser["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    tensors[f"optimiser.{index}.{name}"] = value
                else:
                    plain["optimiser"].setdefault(str(index), {})[name] = value
        tensors["random.cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.device)
        tensors["confusion"] = self.confusions_GKK
        tensors |= dict(zip(("contours",), self.contours, strict=False))
        tensors["scored_weights"] = torch.from_numpy(
            np.frombuffer(self.scored_weights, np.uint8).copy()
        )
        plain |= {
            "tensors": sorted(tensors),
            "config": self.config.model_dump(mode="json"),
            "learning_rate": self.learning_rate.state_dict(),
            "updates": self.average.updates,
            "bf16": self.bf16,
            "micro_batch": self.micro_batch,
            "history": [asdict(result) for result in self.history],
        }
        return save(fetched(tensors), metadata={"state": json.dumps(plain)})

    def load_bytes(self, blob: bytes) -> None:
        """Go on from a state that ``to_bytes`` gave for the same config.

        Raises:
            WorldError: The bytes are no such state; what a device raises that has no memory or
                fails.
        """
        try:
            tensors = load(blob)
            plain = json.loads(header_of(blob)["state"])
            self._load(tensors, plain)
        except AT_FAULT:
            raise
        except UNFIT as error:
            if shortage_in(error, self.device):
                raise
            raise WorldError(
                f"the checkpoint is no state of this trial: {first_line(error)}"
            ) from error

    def _load(self, tensors: dict[str, Tensor], plain: dict[str, Any]) -> None:
        if plain["config"] != self.config.model_dump(mode="json"):
            raise ValueError("it was written under another config")
        if plain["tensors"] != sorted(tensors):
            raise ValueError("tensors are missing")
        self.model.load_state_dict(_part(tensors, "model."))
        self.average.model.load_state_dict(_part(tensors, "average."))
        self.average.updates = plain["updates"]
        self.bf16 = plain["bf16"]
        self.micro_batch = self._micro_batch(plain)
        self.optimiser.load_state_dict(
            {"state": self._optimiser_state(tensors, plain), "param_groups": plain["groups"]}
        )
        self.learning_rate.load_state_dict(plain["learning_rate"])
        self.history = [_epoch(result) for result in plain["history"]]
        confusions = tensors["confusion"]  # of before there were groups: (K, K)
        self.confusions_GKK = confusions[None] if confusions.dim() == 2 else confusions
        self.contours = [tensors["contours"]] if "contours" in tensors else []
        self._scored_weights = tensors["scored_weights"].numpy().tobytes()
        torch.set_rng_state(tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.device)

    def _micro_batch(self, plain: dict[str, Any]) -> int:
        whole = self.config.train.batch_size
        frames = int(plain.get("micro_batch", whole))  # states from before there were parts lack it
        if not 1 <= frames <= whole:
            raise ValueError(f"micro_batch must be in 1..{whole}, got {frames}")
        return frames

    def _optimiser_state(
        self, tensors: dict[str, Tensor], plain: dict[str, Any]
    ) -> dict[int, dict[str, Any]]:
        state: dict[int, dict[str, Any]] = {
            int(index): dict(values) for index, values in plain["optimiser"].items()
        }
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        for key, value in _part(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            # the memory format that safetensors drops
            if value.shape == (parameter := parameters[int(index)]).shape:
                value = torch.empty_like(parameter, requires_grad=False).copy_(value)
            state.setdefault(int(index), {})[name] = value
        return state


def _epoch(stored: dict[str, Any]) -> EpochResult:
    whole = {
        "iou": tuple(stored["iou"]),
        "measured": tuple(stored["measured"]),
        "scored_on": Processor(**stored["scored_on"]),
    }
    return EpochResult(**(stored | whole))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
