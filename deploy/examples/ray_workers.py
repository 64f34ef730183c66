"""UNTESTED. Workers as tasks of a Ray cluster: ``python ray_workers.py 8``, with SEARCH_STORAGE,
SEARCH_ARTIFACTS and SEARCH_STUDY in the environment, and the program installed on every node.
"""

import os
import subprocess
import sys

import ray

LEAVE_CODE = 75


class AgainError(Exception):
    """A worker was asked to leave, or the world has failed: its task is to be run again."""


# Ray gives each task a GPU of its own by CUDA_VISIBLE_DEVICES, which a worker obeys; it runs a task again
# by itself where a node is lost.
@ray.remote(num_gpus=1, max_retries=-1, retry_exceptions=[AgainError])
def work(settings: dict[str, str]) -> int:
    """Run a worker to the end of its study; return 0, or 2 for what somebody must mend."""
    words = ["search", "worker", "--device", "cuda", "--leave-code", str(LEAVE_CODE)]
    code = subprocess.run(words, env=os.environ | settings).returncode
    if code in (0, 2):
        return code
    raise AgainError(f"the worker ended with {code}")


if __name__ == "__main__":
    ours = {
        name: value for name, value in os.environ.items() if name.startswith(("SEARCH_", "AWS_"))
    }
    ray.init()
    codes = ray.get([work.remote(ours) for _ in range(int(sys.argv[1]))])
    raise SystemExit(max(codes))
