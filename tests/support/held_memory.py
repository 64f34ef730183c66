"""A process that holds a GPU's memory; imported by the process that a test starts."""

from multiprocessing.connection import Connection

import torch

DEVICE = torch.device("cuda", 0)
LONGEST_S = 300.0


def hold(pipe: Connection, left_bytes: int) -> None:
    """Hold all of the GPU's memory but so much, until the other end says or is gone."""
    free, _ = torch.cuda.mem_get_info(DEVICE)
    held = torch.empty(max(0, free - left_bytes), dtype=torch.uint8, device=DEVICE)
    torch.cuda.synchronize()
    pipe.send(held.nbytes)
    pipe.poll(LONGEST_S)
