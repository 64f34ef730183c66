"""Files of weights: tensors by name, read without running anything that stands in them."""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from objectives.errors import UserError, first_line

LENGTH = 8  # bytes before the header of a safetensors file, which is JSON
NESTED = "state_dict"  # under which training programs keep the tensors in a torch file


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file by name, and what its header says; a torch file has none."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str]


def read_weights(data: bytes) -> WeightsFile:
    """Return what a safetensors file holds, or one that `torch.save` wrote, as far as it is tensors.

    Raises:
        UserError: It is neither, or holds something else.
    """
    if is_safetensors(data):
        return read_safetensors(data)
    try:
        held: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # of anybody's bytes; what it says advises to run what stands there
        raise UserError(
            "is neither a safetensors file nor a torch file that holds tensors alone"
        ) from error
    if isinstance(held, Mapping) and isinstance(held.get(NESTED), Mapping):
        held = held[NESTED]
    if not isinstance(held, Mapping) or not all(isinstance(each, Tensor) for each in held.values()):
        raise UserError(f"must hold tensors by name, at its top or as {NESTED!r}")
    return WeightsFile({str(name): tensor for name, tensor in held.items()}, {})


def is_safetensors(data: bytes) -> bool:
    """Return whether bytes begin as a safetensors file does, which may still be cut."""
    return data[LENGTH : LENGTH + 1] == b"{"


def read_safetensors(data: bytes) -> WeightsFile:
    """Return what a safetensors file holds.

    Raises:
        UserError: It is none.
    """
    try:
        return WeightsFile(load(data), header_of(data))
    except SafetensorError as error:
        raise UserError(f"is no whole safetensors file ({first_line(error)})") from error


def as_safetensors(file: WeightsFile) -> bytes:
    """Return the same tensors as a safetensors file, the same bytes for the same tensors."""
    tensors = {name: file.tensors[name].contiguous().clone() for name in sorted(file.tensors)}
    return bytes(save(tensors, metadata=dict(file.header) or None))


def header_of(data: bytes) -> dict[str, str]:
    """Return the texts in the header of a safetensors file (8 bytes of length, then JSON)."""
    (length,) = struct.unpack("<Q", data[:LENGTH])
    header = json.loads(data[LENGTH : LENGTH + length])
    return dict(header.get("__metadata__", {}))
