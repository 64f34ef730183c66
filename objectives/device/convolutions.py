"""Whether cuDNN tries its ways of computing a convolution before it takes one."""

import torch

# About 80 searches, 1 to 3 s of a training whose steps take a few milliseconds: an estimate.
PAYS_FROM_STEPS = 2_000


def search_for(steps: int) -> None:
    """Let cuDNN look for the fastest way of each convolution where so many steps of one shape are
    long enough to pay for it; otherwise it takes what it thinks fast.
    """
    torch.backends.cudnn.benchmark = steps >= PAYS_FROM_STEPS
