"""GPUs as the driver lists them, read without opening CUDA."""

import os
from dataclasses import dataclass

import pynvml

BF16_SINCE = 8  # compute capability, Ampere


@dataclass(frozen=True)
class Gpu:
    """One GPU of this host, by the uuid that ``CUDA_VISIBLE_DEVICES`` accepts."""

    uuid: str
    name: str
    memory_bytes: int
    bf16: bool  # whether it computes bfloat16 natively


def list_gpus() -> list[Gpu]:
    """The GPUs that this process may use, in the driver's order; none without a driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus = [_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    return _visible(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _gpu(handle: object) -> Gpu:
    uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    major, _ = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(str(uuid), str(name), int(pynvml.nvmlDeviceGetMemoryInfo(handle).total), bf16=major >= BF16_SINCE)


def _visible(gpus: list[Gpu], setting: str | None) -> list[Gpu]:
    """What ``CUDA_VISIBLE_DEVICES`` leaves: indices or uuids (or their beginnings), separated by commas."""
    if setting is None:
        return gpus
    chosen = []
    for entry in filter(None, (part.strip() for part in setting.split(","))):
        if entry.isdigit():
            chosen += gpus[int(entry) : int(entry) + 1]
        else:
            chosen += [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
    return chosen
