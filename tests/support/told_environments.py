"""A trial's process that tells what CUDA would be told, instead of training; imported by the process
that forks it.
"""

import json
import os
from multiprocessing.connection import Connection

from search.process import child
from search.process.link import Link
from search.process.messages import Job
from search.process.on_gpu import PIPES
from search.process.parent import Count

PIPES_HERE = "/run/mps"  # what a worker's environment says
NAMES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", PIPES)


def tells_environment(pipe: Connection, job: Job, beats: Count) -> None:
    """Be a trial's process up to its training."""

    def train(_job: Job, _config: object, _data: object, link: Link) -> None:
        link.note(json.dumps({name: os.environ.get(name) for name in NAMES}))

    os.environ[PIPES] = PIPES_HERE
    child.can_work = lambda *_: True
    child.train = train
    child.main(pipe, job, beats)
