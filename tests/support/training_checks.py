"""For tests of training: how to read a state, whether two are equal bit for bit, and memory that is
too small.
"""

import json
from typing import Any

import torch
from safetensors.torch import load

from objectives.training.fit import Training

TOO_MUCH = "Tried to allocate 1024.00 TiB"  # which is beyond a trial's share of any device


def header_of(blob: bytes) -> dict[str, Any]:
    """The plain values of a state."""
    length = int.from_bytes(blob[:8], "little")
    state: dict[str, Any] = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["state"])
    return state


def assert_same_state(ours: bytes, theirs: bytes) -> None:
    """Every bit of both states is equal: weights, average, optimiser, schedule, generator, history;
    but not the seconds.
    """
    left, right = load(ours), load(theirs)
    assert left.keys() == right.keys()
    assert [
        name for name in left if left[name].numpy().tobytes() != right[name].numpy().tobytes()
    ] == []
    plain, other = header_of(ours), header_of(theirs)
    for result in plain["history"] + other["history"]:
        del result["seconds"]
    assert json.dumps(plain) == json.dumps(other)  # as text: it holds NaN


def leave_room(training: Training, frames: int) -> None:
    """From now on memory runs out when more frames are trained on at once: at the end of the way
    forward.
    """
    model, complete = training.state.model, training.state.model.training_outputs

    def training_outputs(pixels_BCHW: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs: tuple[torch.Tensor, ...] = complete(pixels_BCHW)
        if len(pixels_BCHW) > frames:
            raise torch.OutOfMemoryError(f"no room for {len(pixels_BCHW)} frames, {TOO_MUCH}")
        return outputs

    model.training_outputs = training_outputs
