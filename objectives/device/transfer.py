"""Tensors to a device and back in few transfers: a process that waits for its device at each of them
launches nothing meanwhile.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

AT_ONCE = 64 * 2**20  # bytes that travel together: so much more of the device's memory is used


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device. Nothing is waited for: a copy out of pageable memory would begin
    when the device has done all that it was given before.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def fetched(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU of tensors of any device, contiguous and each by itself; as many of a
    device's as may go together wait for it once.
    """
    here = {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
        if tensor.device.type == "cpu"
    }
    away = {
        name: tensor.detach().contiguous() for name, tensor in tensors.items() if name not in here
    }
    copies = here | {
        name: copy for group in _groups(away) for name, copy in fetched_together(group).items()
    }
    return {name: copies[name] for name in tensors}


def fetched_together(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies on the CPU of contiguous tensors of one device, which travel as one."""
    parts = [tensor.reshape(-1).view(torch.uint8) for tensor in tensors.values()]
    packed = torch.split(torch.cat(parts).cpu(), [len(part) for part in parts])
    return {
        # cloned, as a piece may begin where no number of its type can
        name: part.clone().view(tensor.dtype).reshape(tensor.shape)
        for (name, tensor), part in zip(tensors.items(), packed, strict=True)
    }


def _groups(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield them in groups of `AT_ONCE`, or one alone that is larger."""
    group: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if group and size + tensor.nbytes > AT_ONCE:
            yield group
            group, size = {}, 0
        group[name] = tensor
        size += tensor.nbytes
    if group:
        yield group
