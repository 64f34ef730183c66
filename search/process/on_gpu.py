"""What CUDA is told by the environment of a process of ours, before its first call."""

import os

PIPES = "CUDA_MPS_PIPE_DIRECTORY"  # where CUDA looks for the daemon of MPS
NO_PIPES = os.devnull  # no folder: CUDA finds no daemon there, and works without


def use_gpu(uuid: str, *, alone: bool) -> None:
    """Let this process see the GPU of this uuid only; where it is ``alone``, no daemon of MPS lets it
    share a context with others.

    Under MPS a fault of one process ends all that share its card's context. Source: NVIDIA,
    Multi-Process Service, "Memory protection and error containment".
    """
    # the order is that in which cards are counted everywhere else
    os.environ |= {"CUDA_VISIBLE_DEVICES": uuid, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if alone:
        os.environ[PIPES] = NO_PIPES
